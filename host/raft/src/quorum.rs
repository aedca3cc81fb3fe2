//! Majorities, also of joint memberships: something holds when it holds in a majority of each half.
//!
//! Pure arithmetic over a [`Membership`]; who is heard, matched or asked is the caller's. Tests: `src/tests/quorum.rs`
//! compares with brute force.

use crate::membership::Membership;
use crate::types::NodeId;
use std::collections::BTreeSet;

/// How an election stands.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) enum Tally {
    /// A quorum said yes.
    Won,
    /// No quorum can say yes any more.
    Lost,
    /// Open.
    Pending,
}

/// The highest value that a quorum has reached. Zero for a membership without voters: nobody can decide anything.
pub(crate) fn reached(membership: &Membership, value: impl Fn(NodeId) -> u64) -> u64 {
    let incoming = reached_by_half(&membership.voters, &value);
    if membership.outgoing.is_empty() {
        return incoming;
    }
    incoming.min(reached_by_half(&membership.outgoing, &value))
}

/// Whether a quorum consists of nodes for which `holds`.
pub(crate) fn holds(membership: &Membership, holds: impl Fn(NodeId) -> bool) -> bool {
    reached(membership, |id| u64::from(holds(id))) == 1
}

/// How an election stands, given each voter's answer, if there is one.
pub(crate) fn tally(membership: &Membership, answer: impl Fn(NodeId) -> Option<bool>) -> Tally {
    if holds(membership, |id| answer(id) == Some(true)) {
        Tally::Won
    } else if holds(membership, |id| answer(id) != Some(false)) {
        Tally::Pending
    } else {
        Tally::Lost
    }
}

fn reached_by_half(voters: &BTreeSet<NodeId>, value: &impl Fn(NodeId) -> u64) -> u64 {
    if voters.is_empty() {
        return 0;
    }
    let mut values: Vec<u64> = voters.iter().map(|id| value(*id)).collect();
    values.sort_unstable();
    // Ascending, so that a majority stands at this place or above it.
    values[(values.len() - 1) / 2]
}
