//! Who takes part: voters, learners, and the joint form that leads from one set of voters to another.
//!
//! A membership is in force from the moment its entry is appended, committed or not, and leaves with its entry when
//! that is truncated (paper, section 6). One path for all changes: steps are applied to the current membership, and
//! the core itself takes the joint form when more than one voter differs.
//!
//! Invariants: nobody is voter and learner at once; outgoing and learners_next are empty unless joint; a history is
//! never empty and holds at most what is needed to roll uncommitted entries back.

use crate::types::{Entry, Index, NodeId, Payload};
use std::collections::BTreeSet;
use std::fmt;

/// Who takes part in a cluster.
#[derive(Clone, Eq, PartialEq, Hash, Debug, Default)]
pub struct Membership {
    /// They elect and commit.
    pub voters: BTreeSet<NodeId>,
    /// Not empty while joint: the voters before the change, whose majority is needed too.
    pub outgoing: BTreeSet<NodeId>,
    /// They receive everything and decide nothing.
    pub learners: BTreeSet<NodeId>,
    /// Outgoing voters that become learners when the joint form is left.
    pub learners_next: BTreeSet<NodeId>,
}

/// Steps from the current membership to the next, all taken at once.
#[derive(Clone, Eq, PartialEq, Hash, Debug, Default)]
pub struct MembershipChange {
    /// Applied in order.
    pub steps: Vec<MembershipStep>,
}

/// One step of a change.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub enum MembershipStep {
    /// A new node that receives the log without a vote.
    AddLearner(NodeId),
    /// A learner or a new node gets a vote.
    AddVoter(NodeId),
    /// A voter becomes a learner.
    Demote(NodeId),
    /// A voter or learner leaves.
    Remove(NodeId),
}

impl Membership {
    /// A simple membership of these voters.
    pub fn of_voters(voters: impl IntoIterator<Item = NodeId>) -> Membership {
        Membership { voters: voters.into_iter().collect(), ..Membership::default() }
    }

    /// Two majorities are needed.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Has a vote in either half.
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.voters.contains(&id) || self.outgoing.contains(&id)
    }

    /// Everyone with a vote in either half, in order.
    pub fn electorate(&self) -> BTreeSet<NodeId> {
        self.voters.union(&self.outgoing).copied().collect()
    }

    /// Everyone that receives the log, in order.
    pub fn members(&self) -> BTreeSet<NodeId> {
        [&self.voters, &self.outgoing, &self.learners, &self.learners_next].into_iter().flatten().copied().collect()
    }

    /// Its accounted size in an entry.
    pub(crate) fn bytes(&self) -> usize {
        (self.voters.len() + self.outgoing.len() + self.learners.len() + self.learners_next.len()) * size_of::<NodeId>()
    }

    /// The membership after `change`; the reason if there can be none.
    pub(crate) fn changed(&self, change: &MembershipChange) -> Result<Membership, &'static str> {
        if self.is_joint() {
            return Err("the previous change is still on its way");
        }
        let mut target = self.clone();
        for step in &change.steps {
            target.take(*step)?;
        }
        if target.voters.is_empty() {
            return Err("no voter would be left");
        }
        if target == *self {
            return Err("nothing would change");
        }
        if target.voters.symmetric_difference(&self.voters).count() > 1 {
            target.learners_next = target.learners.intersection(&self.voters).copied().collect();
            target.learners = target.learners.difference(&self.voters).copied().collect();
            target.outgoing = self.voters.clone();
        }
        target.check();
        Ok(target)
    }

    fn take(&mut self, step: MembershipStep) -> Result<(), &'static str> {
        let possible = match step {
            MembershipStep::AddLearner(id) => !self.voters.contains(&id) && self.learners.insert(id),
            MembershipStep::AddVoter(id) => {
                self.learners.remove(&id);
                self.voters.insert(id)
            }
            MembershipStep::Demote(id) => self.voters.remove(&id) && self.learners.insert(id),
            MembershipStep::Remove(id) => self.voters.remove(&id) || self.learners.remove(&id),
        };
        if possible {
            return Ok(());
        }
        Err(match step {
            MembershipStep::AddLearner(_) => "the node is a member already",
            MembershipStep::AddVoter(_) => "the node is a voter already",
            MembershipStep::Demote(_) => "the node is not a voter",
            MembershipStep::Remove(_) => "the node is not a member",
        })
    }

    /// The simple membership that a joint one leads to.
    pub(crate) fn left(&self) -> Membership {
        assert!(self.is_joint(), "only a joint membership is left");
        let left = Membership {
            voters: self.voters.clone(),
            outgoing: BTreeSet::new(),
            learners: self.learners.union(&self.learners_next).copied().collect(),
            learners_next: BTreeSet::new(),
        };
        left.check();
        left
    }

    fn check(&self) {
        assert!(!self.voters.is_empty(), "a membership has a voter");
        assert!(self.voters.is_disjoint(&self.learners), "nobody is voter and learner at once");
        assert!(self.learners_next.is_subset(&self.outgoing), "only an outgoing voter can become a learner later");
    }
}

impl fmt::Display for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sets = [
            ("voters", &self.voters),
            ("outgoing", &self.outgoing),
            ("learners", &self.learners),
            ("learners_next", &self.learners_next),
        ];
        let mut space = "";
        for (name, ids) in sets {
            if !ids.is_empty() || name == "voters" {
                let ids: Vec<String> = ids.iter().map(NodeId::to_string).collect();
                write!(f, "{space}{name}={}", ids.join(","))?;
                space = " ";
            }
        }
        Ok(())
    }
}

/// The memberships that may still be in force: the newest committed one and those appended after it.
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

    /// What is committed needs no way back.
    pub(crate) fn on_commit(&mut self, commit: Index) {
        let committed = self.known.iter().rposition(|(index, _)| *index <= commit).unwrap_or(0);
        self.known.drain(..committed);
    }
}
