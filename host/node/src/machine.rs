//! The replicated state machine: committed entries go in, in order, each exactly once; tables, replies and the hash chain come
//! out. One [`Transaction`] and one store commit for a batch.
//!
//! Invariants: what an entry does depends on the entry, the tables and the active engine alone, so it is the same on every node;
//! an entry after a switch never runs on the engine before it; a component that is missing stalls this node and nothing else.
//! Never: reads a clock (the time comes with the entries; the stopwatch only measures), sends, syncs.
//!
//! | file | holds |
//! | --- | --- |
//! | `commands` | commands for the engine: alone, once within a session, several in a transaction; watching keys |
//! | `engines` | which engine runs: the first, a switch, a component that is missing |
//! | `access` | who belongs to the cluster: members, tokens, clients |
//! | `batch` | what a batch collects; which part of an outcome enters the hash chain |
//!
//! Tests: `machine/tests.rs`, `machine/tests/`.

mod access;
mod batch;
mod commands;
mod engines;

pub(crate) use commands::in_transaction;

use crate::control::{Chain, Control, Founders, Head, Sessions, Watchers};
use crate::error::Halt;
use crate::library::Library;
use crate::reply::{Ordered, Reply};
use batch::{Batch, chained, outcome};
use outboard_raft::{Entry, Index, Membership, Payload, Position, SnapshotMeta};
use outboard_sandbox::{Applier, Component, Moment};
use outboard_store::{Records, Store, StoreError, View};
use outboard_wire::client::Response;
use outboard_wire::command::{Command, EngineRecord, Stamped};
use outboard_wire::status::ChainMark;
use std::collections::VecDeque;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// Tables and the engine that fits them, as of one commit: what queries and snapshots see.
#[derive(Clone)]
pub(crate) struct Published {
    pub(crate) view: Arc<dyn View>,
    pub(crate) head: Head,
    pub(crate) component: Option<Arc<Component>>,
}

/// What a batch has done.
pub(crate) struct Applied {
    /// Everything up to here is in the tables.
    pub(crate) index: Index,
    /// Chain values, ascending, the newest last.
    pub(crate) marks: Vec<ChainMark>,
    /// The control state, if it changed.
    pub(crate) control: Option<Arc<Control>>,
    /// The time of the last command.
    pub(crate) time_ms: u64,
    /// Set when the next entry needs a component that is not here.
    pub(crate) stalled_for: Option<EngineRecord>,
    /// To be sent now that the commit is done.
    pub(crate) replies: Vec<(Reply, Response)>,
}

/// Measures how long a switch takes, in microseconds from any start; a simulator gives one that stands still.
pub(crate) type Stopwatch = fn() -> u64;

/// The state machine of one node.
pub(crate) struct Machine {
    store: Arc<dyn Store>,
    library: Library,
    stopwatch: Stopwatch,
    /// Distinguishes the chance of two clusters with equal logs.
    salt: u64,
    /// Who formed the cluster: the address book of tables that have none.
    founders: Founders,
    head: Head,
    control: Control,
    sessions: Sessions,
    watchers: Watchers,
    /// The engine's live instance; none while its component is missing, or before the first engine.
    applier: Option<Applier>,
}

impl Machine {
    /// Takes up where the tables stand; the founders are the voters of a cluster without a first entry.
    pub(crate) fn open(
        store: Arc<dyn Store>,
        library: Library,
        founders: Founders,
        salt: u64,
        stopwatch: Stopwatch,
    ) -> Result<Machine, StoreError> {
        let view = store.view();
        let genesis = || Head::genesis(Membership::of_voters(founders.keys().copied()));
        let head = Head::load(&*view)?.unwrap_or_else(genesis);
        let control = Control::load(&*view, &head, &founders)?;
        let (sessions, watchers) = (Sessions::load(&*view)?, Watchers::load(&*view)?);
        let mut machine =
            Machine { store, library, stopwatch, salt, founders, head, control, sessions, watchers, applier: None };
        machine.try_load();
        Ok(machine)
    }

    /// Where the tables stand.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn control(&self) -> Arc<Control> {
        Arc::new(self.control.clone())
    }

    /// What queries may see now.
    pub(crate) fn publish(&self) -> Published {
        let component = self.applier.as_ref().map(|applier| applier.component().clone());
        Published { view: self.store.view(), head: self.head.clone(), component }
    }

    /// Applies entries from the front until there are none, `bytes_max` of commands are in the batch, or one needs a component
    /// that is not here; then commits.
    pub(crate) fn apply(&mut self, entries: &mut VecDeque<Ordered>, bytes_max: usize) -> Result<Applied, Halt> {
        let mut batch = Batch::new(self.store.view());
        // It may have come before anybody said so; whoever waits for it has to be told.
        batch.control_changed = self.missing().is_some() && self.try_load();
        let mut bytes = 0;
        while bytes < bytes_max
            && let Some(next) = entries.front()
        {
            if let Some(missing) = self.missing_for(&next.entry) {
                batch.stalled_for = Some(missing);
                break;
            }
            let Some(Ordered { entry, reply }) = entries.pop_front() else { break };
            bytes += entry.bytes();
            self.apply_entry(entry, reply, &mut batch)?;
        }
        self.commit(batch)
    }

    fn apply_entry(&mut self, entry: Entry, reply: Reply, batch: &mut Batch) -> Result<(), Halt> {
        let Position { index, .. } = entry.position();
        assert!(index == self.head.position.index.next(), "entries are applied in order, each once");
        self.head.position = entry.position();
        let (outcome, response) = match &entry.payload {
            Payload::Noop => (outcome::EMPTY, Response::Done),
            Payload::Membership(membership) => {
                self.on_membership(membership, batch)?;
                (outcome::EMPTY, Response::Done)
            }
            Payload::Command(bytes) => self.command(index, bytes, batch)?,
        };
        let text = chained(&response);
        let mut chain = Chain::step(&self.head.chain, index.0, outcome, &text);
        chain.writes(&batch.txn);
        batch.txn.keep();
        self.head.chain = chain.end();
        batch.marks.push(ChainMark { index: index.0, hash: self.head.chain });
        batch.replies.push((reply, response));
        Ok(())
    }

    fn command(&mut self, index: Index, bytes: &[u8], batch: &mut Batch) -> Result<(u8, Response), Halt> {
        let stamped = match Stamped::decode(bytes) {
            Ok(stamped) => stamped,
            // Written by a leader of another version; every node of this version reads it the same.
            Err(error) => return Ok((outcome::CONTROL, Response::Invalid(error.to_string()))),
        };
        self.head.time_ms = self.head.time_ms.max(stamped.time_ms);
        let at = Moment { index: index.0, time_ms: self.head.time_ms, seed: mix(index.0 ^ self.salt) };
        match &stamped.command {
            Command::Engine(arguments) => self.engine_command(at, arguments, batch),
            Command::EngineOnce { id, arguments } => {
                self.once(*id, |machine| machine.engine_command(at, arguments, batch))
            }
            Command::Transaction { commands, watcher, id: None } => self.transaction(at, commands, *watcher, batch),
            Command::Transaction { commands, watcher, id: Some(id) } => {
                self.once(*id, |machine| machine.transaction(at, commands, *watcher, batch))
            }
            Command::Watch { watcher, keys } => Ok((outcome::CONTROL, self.watch(index, *watcher, keys))),
            Command::Unwatch { watcher } => {
                self.watchers.forget(*watcher);
                Ok((outcome::CONTROL, Response::Done))
            }
            Command::SessionOpen => Ok((outcome::CONTROL, self.sessions.open(index.0, self.head.time_ms))),
            Command::SessionClose { session } => {
                self.sessions.close(*session);
                Ok((outcome::CONTROL, Response::Done))
            }
            Command::Access(command) => {
                batch.control_changed = true;
                Ok((outcome::CONTROL, self.access_command(command, &mut batch.txn)?))
            }
            Command::Genesis(_) | Command::EngineStage(_) | Command::EngineVote(_) | Command::Upgrade(_) => {
                batch.control_changed = true;
                Ok((outcome::CONTROL, self.control_command(index, &stamped.command, &mut batch.txn)?))
            }
        }
    }

    fn commit(&mut self, mut batch: Batch) -> Result<Applied, Halt> {
        let index = self.head.position.index;
        let marks = batch.told_marks();
        if !batch.replies.is_empty() {
            self.sessions.save(&mut batch.txn)?;
            self.watchers.save(&mut batch.txn)?;
            self.head.save(&mut batch.txn)?;
            self.store.commit(batch.txn.into_batch(index.0))?;
        }
        Ok(Applied {
            index,
            marks,
            control: batch.control_changed.then(|| self.control()),
            time_ms: self.head.time_ms,
            stalled_for: batch.stalled_for,
            replies: batch.replies,
        })
    }

    /// The answer to whoever waits for an entry that was not applied here because a snapshot has taken its place: what its session knows
    /// of it, else that nobody knows.
    pub(crate) fn recall(&self, entry: &Entry) -> Response {
        let unknown =
            || Response::Unknown("a snapshot with its outcome has come before it was applied on this node".into());
        let bytes = match &entry.payload {
            Payload::Noop | Payload::Membership(_) => return Response::Done,
            Payload::Command(bytes) => bytes,
        };
        let id = Stamped::decode(bytes).ok().and_then(|stamped| stamped.command.request_id());
        id.and_then(|id| self.sessions.recall(id)).unwrap_or_else(unknown)
    }

    /// Replaces everything by a snapshot.
    pub(crate) fn install(&mut self, meta: &SnapshotMeta, mut records: Records) -> Result<Applied, Halt> {
        self.store.install(meta.position.index.0, &mut records)?;
        let view = self.store.view();
        let head = Head::load(&*view)?.ok_or(StoreError::Corrupt { what: "a snapshot without a head".into() })?;
        assert!(head.position == meta.position, "a snapshot stands where it says");
        self.control = Control::load(&*view, &head, &self.founders)?;
        self.sessions = Sessions::load(&*view)?;
        self.watchers = Watchers::load(&*view)?;
        self.head = head;
        self.applier = None;
        self.try_load();
        Ok(Applied {
            index: meta.position.index,
            marks: vec![ChainMark { index: meta.position.index.0, hash: self.head.chain }],
            control: Some(self.control()),
            time_ms: self.head.time_ms,
            stalled_for: None,
            replies: Vec::new(),
        })
    }
}

/// Spreads an index over 64 bits (the finalizer of SplitMix64).
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
