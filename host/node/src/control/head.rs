//! Where the tables stand: one record, written with every batch, so that a restart or a snapshot knows all of it at once.

use super::HEAD;
use outboard_raft::{Membership, NodeId, Position, SnapshotMeta};
use outboard_store::{StoreError, Transaction, View};
use outboard_wire::command::EngineRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

const KEY: &[u8] = b"head";
const VERSION: u8 = 2;

/// Where the tables stand.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The last applied entry.
    pub(crate) position: Position,
    /// The time of the last applied command, milliseconds since 1970. Never goes back.
    pub(crate) time_ms: u64,
    /// The hash chain after that entry.
    pub(crate) chain: [u8; 32],
    /// The membership in force after that entry.
    pub(crate) membership: Membership,
    /// The engine that runs.
    pub(crate) active: Option<Active>,
    /// The generation of the engine's tables.
    pub(crate) generation: u32,
}

/// The engine that runs, and since when.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Active {
    pub(crate) engine: EngineRecord,
    /// The entry that switched to it.
    pub(crate) since: u64,
    /// The layout of the tables: that of the engine, or an older one that it takes over.
    pub(crate) schema: u32,
}

/// As it lies in the table.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u8,
    index: u64,
    term: u64,
    time_ms: u64,
    chain: [u8; 32],
    /// Voters, outgoing, learners, learners-next.
    members: [Vec<u64>; 4],
    /// Who joins, and whom it replaces.
    joining: Vec<(u64, Option<u64>)>,
    active: Option<Active>,
    generation: u32,
}

impl Head {
    /// Before the first entry of a cluster with these members.
    pub(crate) fn genesis(membership: Membership) -> Head {
        Head { position: Position::ZERO, time_ms: 0, chain: [0; 32], membership, active: None, generation: 1 }
    }

    /// The head in a view; none in empty tables.
    pub(crate) fn load(view: &dyn View) -> Result<Option<Head>, StoreError> {
        let Some(bytes) = view.get(HEAD, KEY)? else { return Ok(None) };
        let unreadable = |why: String| StoreError::Corrupt { what: format!("the head of the control state: {why}") };
        let stored: Stored = postcard::from_bytes(&bytes).map_err(|error| unreadable(error.to_string()))?;
        if stored.version != VERSION {
            return Err(unreadable(format!("version {} is not {VERSION}", stored.version)));
        }
        let head = Head {
            position: Position::new(stored.index, stored.term),
            time_ms: stored.time_ms,
            chain: stored.chain,
            membership: to_membership(stored.members, stored.joining),
            active: stored.active,
            generation: stored.generation,
        };
        if head.position.index.0 != view.applied() {
            let (head, tables) = (head.position.index, view.applied());
            return Err(unreadable(format!("it stands at {head} and the tables at {tables}")));
        }
        Ok(Some(head))
    }

    /// Into the batch that is about to be committed.
    pub(crate) fn save(&self, txn: &mut Transaction) -> Result<(), StoreError> {
        let stored = Stored {
            version: VERSION,
            index: self.position.index.0,
            term: self.position.term.0,
            time_ms: self.time_ms,
            chain: self.chain,
            members: from_membership(&self.membership),
            joining: self.membership.joining.iter().map(|(id, old)| (id.0, old.map(|old| old.0))).collect(),
            active: self.active.clone(),
            generation: self.generation,
        };
        let bytes = postcard::to_stdvec(&stored).expect("a head serializes: postcard knows all its shapes");
        txn.put(HEAD, KEY, bytes)?;
        txn.keep();
        Ok(())
    }

    /// For a snapshot of these tables.
    pub(crate) fn snapshot_meta(&self) -> SnapshotMeta {
        SnapshotMeta { position: self.position, membership: self.membership.clone() }
    }

    /// Everyone whose word counts.
    pub(crate) fn voters(&self) -> BTreeSet<NodeId> {
        self.membership.voters.union(&self.membership.outgoing).copied().collect()
    }
}

fn from_membership(membership: &Membership) -> [Vec<u64>; 4] {
    [&membership.voters, &membership.outgoing, &membership.learners, &membership.learners_next]
        .map(|set| set.iter().map(|node| node.0).collect())
}

fn to_membership(
    [voters, outgoing, learners, learners_next]: [Vec<u64>; 4],
    joining: Vec<(u64, Option<u64>)>,
) -> Membership {
    let set = |numbers: Vec<u64>| numbers.into_iter().map(NodeId).collect();
    Membership {
        voters: set(voters),
        outgoing: set(outgoing),
        learners: set(learners),
        learners_next: set(learners_next),
        joining: joining.into_iter().map(|(id, old)| (NodeId(id), old.map(NodeId))).collect(),
    }
}
