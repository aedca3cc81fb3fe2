//! The control state: what the nodes agree on beside the engine's data. It lives in the tables of generation 0, changes only
//! by entries of the log, and is mirrored in memory by [`Control`].
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | 0 | `head` | [`Head`]: its version, position, time, chain, membership, active engine, generation of the engine's tables |
//! | 1 | digest | `EngineRecord` of every engine that was staged |
//! | 2 | digest, node (8 bytes, big-endian) | `EngineVote` |
//! | 3 | session (8 bytes, big-endian) | a version byte and the session: last use, settled up to where, replies by sequence |
//! | 4 | watcher (8 bytes, big-endian) | a version byte and the watcher: last use, whether it is broken, its keys |
//! | 5 | node (8 bytes, big-endian) | a version byte and the node: name, address, what it is to become ([`Directory`]) |
//! | 5 | `next` | the number of the next node (8 bytes, big-endian) |
//! | 6 | token (8 bytes, big-endian) | a version byte and the token's record ([`Permissions`]) |
//! | 7 | client's name | a version byte and the client: its role, whether it is revoked |
//!
//! Tables without an address book are those of a cluster that never changed its members: the book is that of the founders.
//!
//! Head, sessions and watchers are written once per batch and are not part of the hash chain (batches differ between nodes); the
//! others are. [`Control`] is published to the core with every change; [`Sessions`] and [`Watchers`] change with nearly every entry
//! and stay with the machine. Never: I/O, clocks. Tests: beside the files, and in `machine/tests`.

mod access;
mod chain;
mod directory;
mod head;
mod sessions;
mod upgrade;
mod watchers;

pub(crate) use access::{Permissions, principal_of};
pub(crate) use chain::{Chain, MARK_EVERY, Marks, RECENT_MARKS};
pub(crate) use directory::{Directory, Founders, Listed, Member, is_name};
pub(crate) use head::{Active, Head};
pub(crate) use sessions::{Asked, Sessions};
pub(crate) use watchers::Watchers;

use outboard_raft::{Membership, NodeId};
use outboard_store::{StoreError, Table, Transaction, View};
use outboard_wire::bulk::Readiness;
use outboard_wire::client::EngineInfo;
use outboard_wire::command::{Digest, EngineRecord, EngineVote};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) const HEAD: Table = Table::control(0);
const ENGINES: Table = Table::control(1);
const VOTES: Table = Table::control(2);

/// Engines that can be known at once; staging one more is refused. A later issue lets old ones go.
pub(crate) const ENGINES_MAX: usize = 256;

/// Which engines are known, who can run them, and which one runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Control {
    engines: BTreeMap<Digest, EngineRecord>,
    votes: BTreeMap<(Digest, NodeId), EngineVote>,
    /// None before the first leader has spoken.
    pub(crate) active: Option<Active>,
    pub(crate) voters: BTreeSet<NodeId>,
    /// As of the last applied entry.
    pub(crate) membership: Membership,
    pub(crate) directory: Arc<Directory>,
    pub(crate) permissions: Arc<Permissions>,
}

impl Control {
    /// Reads it back from the tables.
    pub(crate) fn load(view: &dyn View, head: &Head, founders: &Founders) -> Result<Control, StoreError> {
        let mut control = Control {
            active: head.active.clone(),
            voters: head.voters(),
            membership: head.membership.clone(),
            directory: Arc::new(Directory::load(view, founders)?),
            permissions: Arc::new(Permissions::load(view)?),
            ..Control::default()
        };
        for (_, value) in read_all(view, ENGINES)? {
            let engine = EngineRecord::decode(&value).map_err(|_| damaged("list of engines"))?;
            control.engines.insert(engine.digest, engine);
        }
        for (_, value) in read_all(view, VOTES)? {
            let vote = EngineVote::decode(&value).map_err(|_| damaged("list of votes"))?;
            control.votes.insert((vote.digest, NodeId(vote.node)), vote);
        }
        Ok(control)
    }

    /// Takes note of an engine. False if there are too many.
    pub(crate) fn stage(&mut self, engine: &EngineRecord, txn: &mut Transaction) -> Result<bool, StoreError> {
        if self.engines.contains_key(&engine.digest) {
            return Ok(true);
        }
        if self.engines.len() >= ENGINES_MAX {
            return Ok(false);
        }
        txn.put(ENGINES, &engine.digest.0, engine.encode())?;
        self.engines.insert(engine.digest, engine.clone());
        Ok(true)
    }

    /// Takes note of a node's word. A word on an unknown engine is forgotten.
    pub(crate) fn vote(&mut self, vote: &EngineVote, txn: &mut Transaction) -> Result<(), StoreError> {
        if !self.engines.contains_key(&vote.digest) {
            return Ok(());
        }
        let mut key = vote.digest.0.to_vec();
        key.extend_from_slice(&vote.node.to_be_bytes());
        txn.put(VOTES, &key, vote.encode())?;
        self.votes.insert((vote.digest, NodeId(vote.node)), vote.clone());
        Ok(())
    }

    /// The engine with this digest.
    pub(crate) fn engine(&self, digest: &Digest) -> Option<&EngineRecord> {
        self.engines.get(digest)
    }

    /// Every engine.
    pub(crate) fn engines(&self) -> impl Iterator<Item = &EngineRecord> {
        self.engines.values()
    }

    /// What `node` said of an engine.
    pub(crate) fn vote_of(&self, digest: &Digest, node: NodeId) -> Option<&EngineVote> {
        self.votes.get(&(*digest, node))
    }

    /// The only engine whose digest begins so; the error is for a person.
    pub(crate) fn find(&self, prefix: &str) -> Result<&EngineRecord, String> {
        let mut found = self.engines.values().filter(|engine| engine.digest.starts_with(prefix));
        match (found.next(), found.next()) {
            (Some(engine), None) => Ok(engine),
            (None, _) => Err(format!("no engine with digest {prefix} is staged")),
            (Some(_), Some(_)) => Err(format!("more than one engine has a digest that begins with {prefix}")),
        }
    }

    /// Each voter and how far it is with an engine.
    pub(crate) fn readiness(&self, digest: &Digest) -> Vec<(u64, Readiness)> {
        let word = |node: &NodeId| match self.vote_of(digest, *node) {
            None => Readiness::Waiting,
            Some(EngineVote { refusal: None, .. }) => Readiness::Ready,
            Some(EngineVote { refusal: Some(reason), .. }) => Readiness::Refused(reason.clone()),
        };
        self.voters.iter().map(|node| (node.0, word(node))).collect()
    }

    /// All engines as `engine list` shows them.
    pub(crate) fn infos(&self) -> Vec<EngineInfo> {
        let info = |engine: &EngineRecord| EngineInfo {
            engine: engine.clone(),
            active: self.active.as_ref().is_some_and(|a| a.engine.digest == engine.digest),
            nodes: self.readiness(&engine.digest),
        };
        self.engines.values().map(info).collect()
    }
}

fn damaged(what: &str) -> StoreError {
    StoreError::Corrupt { what: format!("the control state's {what} is unreadable") }
}

/// The key of a record that is known by a number.
fn key_of(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

fn number_of(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

fn read_all(view: &dyn View, table: Table) -> Result<Vec<(bytes::Bytes, bytes::Bytes)>, StoreError> {
    let mut all = Vec::new();
    let mut start = Vec::new();
    loop {
        let page = view.scan(table, &start, None, 1024, false)?;
        let Some((last, _)) = page.last() else { return Ok(all) };
        start = last.to_vec();
        start.push(0);
        all.extend(page);
    }
}
