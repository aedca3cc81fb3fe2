//! Quorum arithmetic against counting every subset.

use crate::membership::{Membership, MembershipChange, MembershipStep};
use crate::quorum::{self, Tally};
use crate::types::NodeId;
use proptest::prelude::*;
use std::collections::BTreeSet;

const NODES: u64 = 7;

fn ids() -> impl Strategy<Value = BTreeSet<NodeId>> {
    prop::collection::btree_set((1..=NODES).prop_map(NodeId), 0..=NODES as usize)
}

fn memberships() -> impl Strategy<Value = Membership> {
    (ids(), ids())
        .prop_filter("a membership has a voter", |(voters, _)| !voters.is_empty())
        .prop_map(|(voters, outgoing)| Membership { voters, outgoing, ..Membership::default() })
}

/// By the book: more than half of each half.
fn is_quorum(membership: &Membership, nodes: &BTreeSet<NodeId>) -> bool {
    let more_than_half = |half: &BTreeSet<NodeId>| half.intersection(nodes).count() * 2 > half.len();
    more_than_half(&membership.voters) && (membership.outgoing.is_empty() || more_than_half(&membership.outgoing))
}

proptest! {
    #[test]
    fn a_value_is_reached_when_a_quorum_has_it(
        membership in memberships(),
        values in prop::collection::vec(0u64..10, NODES as usize),
    ) {
        let value = |id: NodeId| values[id.0 as usize - 1];
        let having = |least: u64| (1..=NODES).map(NodeId).filter(|id| value(*id) >= least).collect::<BTreeSet<_>>();
        let expected = (1..10).filter(|least| is_quorum(&membership, &having(*least))).max().unwrap_or(0);
        prop_assert_eq!(quorum::reached(&membership, value), expected);
    }

    #[test]
    fn a_tally_is_won_or_lost_exactly_when_nothing_can_change_it(
        membership in memberships(),
        answers in prop::collection::vec(prop::option::of(any::<bool>()), NODES as usize),
    ) {
        let answer = |id: NodeId| answers[id.0 as usize - 1];
        let with = |wanted: &[Option<bool>]| {
            (1..=NODES).map(NodeId).filter(|id| wanted.contains(&answer(*id))).collect::<BTreeSet<_>>()
        };
        let expected = if is_quorum(&membership, &with(&[Some(true)])) {
            Tally::Won
        } else if is_quorum(&membership, &with(&[Some(true), None])) {
            Tally::Pending
        } else {
            Tally::Lost
        };
        prop_assert_eq!(quorum::tally(&membership, answer), expected);
    }

    #[test]
    fn two_quorums_of_neighbouring_memberships_always_meet(
        voters in ids(),
        steps in prop::collection::vec((0..4, 1..=NODES), 1..4),
        one in ids(),
        other in ids(),
    ) {
        prop_assume!(!voters.is_empty());
        let before = Membership { voters, ..Membership::default() };
        let steps = steps.into_iter().map(|(kind, id)| match kind {
            0 => MembershipStep::AddLearner(NodeId(id)),
            1 => MembershipStep::AddVoter(NodeId(id)),
            2 => MembershipStep::Demote(NodeId(id)),
            _ => MembershipStep::Remove(NodeId(id)),
        });
        let Ok(after) = before.changed(&MembershipChange { steps: steps.collect() }) else { return Ok(()) };
        if is_quorum(&before, &one) && is_quorum(&after, &other) {
            prop_assert!(!one.is_disjoint(&other), "{before} and {after}");
        }
        if after.is_joint() && is_quorum(&after, &one) && is_quorum(&after.left(), &other) {
            prop_assert!(!one.is_disjoint(&other), "{after} and what it leads to");
        }
    }
}

#[test]
fn without_voters_nothing_is_decided() {
    let nobody = Membership::default();
    assert_eq!(quorum::reached(&nobody, |_| 7), 0);
    assert_eq!(quorum::tally(&nobody, |_| Some(true)), Tally::Lost);
}
