//! The memberships that may still be in force: what is needed to roll uncommitted changes back, and to know who left.
//!
//! Invariants: never empty; the first one is committed; ascending in the log.

use crate::membership::Membership;
use crate::types::{Entry, Index, NodeId, Payload};
use std::collections::BTreeSet;

/// The newest committed membership and those appended after it.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) struct History {
    /// (index of the entry, membership), ascending, never empty.
    known: Vec<(Index, Membership)>,
}

impl History {
    pub(crate) fn new(index: Index, membership: Membership) -> History {
        History { known: vec![(index, membership)] }
    }

    /// The membership in force.
    pub(crate) fn current(&self) -> &Membership {
        &self.newest().1
    }

    /// The entry that brought it.
    pub(crate) fn index(&self) -> Index {
        self.newest().0
    }

    /// Whether the node has a vote in any membership that may be in force.
    pub(crate) fn may_have_vote(&self, id: NodeId) -> bool {
        self.known.iter().any(|(_, membership)| membership.is_voter(id))
    }

    /// The newest one that is known to be committed, and an index where it is in force.
    pub(crate) fn committed(&self) -> (Index, &Membership) {
        let (index, membership) = self.known.first().expect("a history is never empty");
        (*index, membership)
    }

    /// Where the newest one stands that has this node as a member.
    pub(crate) fn newest_with(&self, id: NodeId) -> Option<Index> {
        self.known.iter().rev().find(|(_, membership)| membership.members().contains(&id)).map(|(index, _)| *index)
    }

    fn newest(&self) -> &(Index, Membership) {
        self.known.last().expect("a history is never empty")
    }

    /// Takes note of an appended entry; true if it changed the membership.
    pub(crate) fn on_append(&mut self, entry: &Entry) -> bool {
        match &entry.payload {
            Payload::Membership(membership) => {
                assert!(entry.index > self.index(), "memberships are appended in order");
                self.known.push((entry.index, membership.clone()));
                true
            }
            Payload::Noop | Payload::Command(_) => false,
        }
    }

    /// The log is truncated from `from` on.
    pub(crate) fn on_truncate(&mut self, from: Index) {
        self.known.retain(|(index, _)| *index < from);
        assert!(!self.known.is_empty(), "a committed membership is not truncated");
    }

    /// What is committed needs no way back. The answer names those who were members before and will not be any more.
    pub(crate) fn on_commit(&mut self, commit: Index) -> BTreeSet<NodeId> {
        let committed = self.known.iter().rposition(|(index, _)| *index <= commit).unwrap_or(0);
        let mut left: BTreeSet<NodeId> = BTreeSet::new();
        for (_, before) in self.known.drain(..committed) {
            left.extend(before.members());
        }
        for (_, after) in &self.known {
            left.retain(|id| !after.members().contains(id));
        }
        left
    }
}
