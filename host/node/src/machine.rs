//! The replicated state machine: committed entries go in, in order, each exactly once; tables, replies and the hash chain come
//! out. One [`Transaction`] and one store commit for a batch.
//!
//! Invariants: what an entry does depends on the entry, the tables and the active engine alone, so it is the same on every node;
//! an entry after a switch never runs on the engine before it; a component that is missing stalls this node and nothing else.
//! Never: reads a clock (the time comes with the entries; the stopwatch only measures), sends, syncs.
//! Tests: `machine/tests.rs`.

use crate::control::{Active, Chain, Control, Head, MARK_EVERY, RECENT_MARKS};
use crate::error::Halt;
use crate::library::Library;
use crate::reply::Reply;
use outboard_raft::{Entry, Index, Membership, Payload, Position, SnapshotMeta};
use outboard_sandbox::{Applier, Component, Moment, Outcome};
use outboard_store::{Records, Store, StoreError, Transaction, View};
use outboard_wire::client::{Response, Upgraded};
use outboard_wire::command::{Command, EngineRecord, Stamped, Upgrade};
use outboard_wire::status::ChainMark;
use std::collections::VecDeque;
use std::sync::Arc;

#[cfg(test)]
mod tests;

/// A committed entry and whoever waits for it.
pub(crate) struct Ordered {
    pub(crate) entry: Entry,
    pub(crate) reply: Reply,
}

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

/// Kinds of outcomes in the hash chain. Never renumber.
mod outcome {
    pub(super) const EMPTY: u8 = 0;
    pub(super) const REPLY: u8 = 1;
    pub(super) const REJECTED: u8 = 2;
    pub(super) const FAILED: u8 = 3;
    pub(super) const CONTROL: u8 = 4;
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
    head: Head,
    control: Control,
    /// The engine's live instance; none while its component is missing, or before the first engine.
    applier: Option<Applier>,
}

impl Machine {
    /// Takes up where the tables stand; `membership` is that of a cluster without a first entry.
    pub(crate) fn open(
        store: Arc<dyn Store>,
        library: Library,
        membership: Membership,
        salt: u64,
        stopwatch: Stopwatch,
    ) -> Result<Machine, StoreError> {
        let view = store.view();
        let head = Head::load(&*view)?.unwrap_or_else(|| Head::genesis(membership));
        let control = Control::load(&*view, &head)?;
        let mut machine = Machine { store, library, stopwatch, salt, head, control, applier: None };
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
                self.head.membership = membership.clone();
                self.control.voters = self.head.voters();
                batch.control_changed = true;
                (outcome::EMPTY, Response::Done)
            }
            Payload::Command(bytes) => self.command(index, bytes, batch)?,
        };
        let text = chained(&response);
        let mut chain = Chain::step(&self.head.chain, index.0, outcome, text);
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
        let txn = &mut batch.txn;
        let response = match &stamped.command {
            Command::Engine(arguments) => return self.engine_command(at, arguments, txn),
            Command::Genesis(engine) => {
                batch.control_changed = true;
                self.genesis(index, engine, txn)?
            }
            Command::EngineStage(engine) => {
                batch.control_changed = true;
                match self.control.stage(engine, txn)? {
                    true => Response::Done,
                    false => Response::Invalid("too many engines are staged".into()),
                }
            }
            Command::EngineVote(vote) => {
                batch.control_changed = true;
                self.control.vote(vote, txn)?;
                Response::Done
            }
            Command::Upgrade(upgrade) => {
                batch.control_changed = true;
                self.upgrade(index, upgrade)
            }
        };
        Ok((outcome::CONTROL, response))
    }

    fn engine_command(
        &mut self,
        at: Moment,
        arguments: &[outboard_wire::Blob<'_>],
        txn: &mut Transaction,
    ) -> Result<(u8, Response), Halt> {
        let Some(applier) = &mut self.applier else {
            let text = "the cluster has no engine yet".to_owned();
            return Ok((outcome::REJECTED, Response::Rejected(text)));
        };
        let arguments: Vec<&[u8]> = arguments.iter().map(|argument| argument.0).collect();
        Ok(match applier.apply(txn, at, &arguments)? {
            Outcome::Reply(reply) => (outcome::REPLY, Response::Reply(reply.into())),
            Outcome::Rejected(text) => (outcome::REJECTED, Response::Rejected(text)),
            Outcome::Failed(failure) => (outcome::FAILED, Response::Failed(failure.to_string())),
        })
    }

    fn genesis(&mut self, index: Index, engine: &EngineRecord, txn: &mut Transaction) -> Result<Response, Halt> {
        if self.control.active.is_some() {
            return Ok(Response::Invalid("the cluster has an engine already".into()));
        }
        self.control.stage(engine, txn)?;
        self.switch_to(Active { engine: engine.clone(), since: index.0, schema: engine.schema });
        Ok(Response::Done)
    }

    /// Valid only if, at its own place in the log, everything holds; else a recorded no-op with its reason.
    fn upgrade(&mut self, index: Index, upgrade: &Upgrade) -> Response {
        let to = match self.control.may_upgrade(upgrade) {
            Ok(to) => to.clone(),
            Err(reason) => return Response::UpgradeRefused(reason),
        };
        let began = (self.stopwatch)();
        let before = self.control.active.clone().expect("an upgrade is valid only where an engine runs");
        // The same tables go on; from now on they are written in the new engine's layout.
        self.switch_to(Active { engine: to.clone(), since: index.0, schema: to.schema });
        let pause_us = (self.stopwatch)().saturating_sub(began);
        tracing::info!(from = %before.engine.digest, to = %to.digest, index = index.0, pause_us, "engine switched");
        Response::Upgraded(Box::new(Upgraded { from: before.engine, to, index: index.0, pause_us }))
    }

    fn switch_to(&mut self, active: Active) {
        self.head.active = Some(active.clone());
        self.control.active = Some(active);
        self.applier = None;
        let loaded = self.try_load();
        assert!(loaded, "a switch is applied only when its component is here");
    }

    /// The engine whose component has to be here before this entry can be applied, if it is not.
    fn missing_for(&mut self, entry: &Entry) -> Option<EngineRecord> {
        let needed = self.needed_by(entry)?;
        let here = self.library.load(&needed.digest).is_some() && (self.applier.is_some() || self.try_load());
        (!here).then_some(needed)
    }

    fn needed_by(&self, entry: &Entry) -> Option<EngineRecord> {
        let active = self.control.active.as_ref();
        if let Some(active) = active
            && self.applier.is_none()
        {
            return Some(active.engine.clone());
        }
        let Payload::Command(bytes) = &entry.payload else { return None };
        if !is_switch(bytes) {
            return None;
        }
        match Stamped::decode(bytes).ok()?.command {
            Command::Genesis(engine) if active.is_none() => Some(engine),
            Command::Upgrade(upgrade) => self.control.may_upgrade(&upgrade).ok().cloned(),
            Command::Genesis(_) | Command::Engine(_) | Command::EngineStage(_) | Command::EngineVote(_) => None,
        }
    }

    /// Makes the active engine's applier if its component is here; true also where there is nothing to load.
    fn try_load(&mut self) -> bool {
        let Some(active) = &self.head.active else { return true };
        let Some(component) = self.library.load(&active.engine.digest) else { return false };
        self.applier = Some(Applier::new(self.library.sandbox(), component, self.head.generation));
        true
    }

    /// The active engine, if its component is not here: nothing can be applied or read before it comes.
    pub(crate) fn missing(&self) -> Option<EngineRecord> {
        let active = self.head.active.as_ref().filter(|_| self.applier.is_none());
        active.map(|active| active.engine.clone())
    }

    /// The active engine's component has come since the last look: what there is to publish now.
    pub(crate) fn resume(&mut self) -> Option<Applied> {
        let resumed = self.missing().is_some() && self.try_load();
        resumed.then(|| Applied {
            index: self.head.position.index,
            marks: Vec::new(),
            control: Some(self.control()),
            time_ms: self.head.time_ms,
            stalled_for: None,
            replies: Vec::new(),
        })
    }

    fn commit(&mut self, mut batch: Batch) -> Result<Applied, Halt> {
        let index = self.head.position.index;
        let marks = batch.told_marks();
        if !batch.replies.is_empty() {
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

    /// Replaces everything by a snapshot.
    pub(crate) fn install(&mut self, meta: &SnapshotMeta, mut records: Records) -> Result<Applied, Halt> {
        self.store.install(meta.position.index.0, &mut records)?;
        let view = self.store.view();
        let head = Head::load(&*view)?.ok_or(StoreError::Corrupt { what: "a snapshot without a head".into() })?;
        assert!(head.position == meta.position, "a snapshot stands where it says");
        self.control = Control::load(&*view, &head)?;
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

/// A batch in the making.
struct Batch {
    txn: Transaction,
    marks: Vec<ChainMark>,
    replies: Vec<(Reply, Response)>,
    control_changed: bool,
    stalled_for: Option<EngineRecord>,
}

impl Batch {
    fn new(view: Arc<dyn View>) -> Batch {
        let txn = Transaction::new(view);
        Batch { txn, marks: Vec::new(), replies: Vec::new(), control_changed: false, stalled_for: None }
    }

    /// The marks that are worth telling: the newest, and those that all nodes keep.
    fn told_marks(&mut self) -> Vec<ChainMark> {
        let mut marks = std::mem::take(&mut self.marks);
        let newest = marks.len().saturating_sub(RECENT_MARKS);
        let recent = marks.split_off(newest);
        marks.retain(|mark| mark.index.is_multiple_of(MARK_EVERY));
        marks.extend(recent);
        marks
    }
}

/// The part of a response that enters the hash chain: what the asker gets, without what differs between nodes.
fn chained(response: &Response) -> &[u8] {
    match response {
        Response::Reply(bytes) => bytes,
        Response::Rejected(text) | Response::Failed(text) => text.as_bytes(),
        Response::UpgradeRefused(reason) | Response::Invalid(reason) => reason.as_bytes(),
        Response::Upgraded(upgraded) => &upgraded.to.digest.0,
        Response::Done => b"",
        Response::NotDone(_)
        | Response::Overloaded
        | Response::Unknown(_)
        | Response::Status(_)
        | Response::NodeStatus(_)
        | Response::Engines(_)
        | Response::Transferred { .. } => unreachable!("not an outcome of an entry"),
    }
}

/// Whether an entry's payload could be a switch of engines: the hot path must not decode every command twice.
fn is_switch(payload: &[u8]) -> bool {
    // Version, time as a varint, then the variant: 0 is an engine's command.
    let variant = payload.iter().skip(1).skip_while(|byte| **byte & 0x80 != 0).nth(1);
    variant.is_some_and(|variant| *variant != 0)
}

/// Spreads an index over 64 bits (the finalizer of SplitMix64).
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
