//! Who takes part: voters, learners, and the joint form that leads from one set of voters to another.
//!
//! A membership is in force from the moment its entry is appended, committed or not, and leaves with its entry when
//! that is truncated (paper, section 6; `history` keeps the way back). One path for all changes: steps are applied to the
//! current membership, and the core itself takes the joint form when more than one voter differs.
//!
//! Who is to get a vote comes in as a learner, with the wish written down beside it (`joining`): whoever leads fulfils it
//! once the learner has caught up, so a newcomer that is slow or dead never costs the cluster its quorum.
//!
//! Invariants: nobody is voter and learner at once; outgoing and learners_next are empty unless joint; who joins is a
//! learner, now or after the joint form; who is to be replaced is a voter, and by one node only.

use crate::types::NodeId;
use std::collections::{BTreeMap, BTreeSet};
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
    /// Learners that get a vote as soon as they have caught up, and the voter that leaves in the same step, if any.
    pub joining: BTreeMap<NodeId, Option<NodeId>>,
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
    /// A new node or a learner is to get a vote: it is a learner until it has caught up, then the leader promotes it.
    AddVoter(NodeId),
    /// A new node or a learner is to take a voter's place, in one joint step once it has caught up.
    Replace {
        /// Leaves.
        old: NodeId,
        /// Comes.
        new: NodeId,
    },
    /// A learner gets its vote at once, and whom it was to replace leaves.
    Promote(NodeId),
    /// A voter becomes a learner; a learner that was to get a vote stays one.
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
        let sets = self.voters.len() + self.outgoing.len() + self.learners.len() + self.learners_next.len();
        (sets + 2 * self.joining.len()) * size_of::<NodeId>()
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
        match step {
            MembershipStep::AddLearner(id) => {
                let new = !self.voters.contains(&id) && self.learners.insert(id);
                new.then_some(()).ok_or("the node is a member already")
            }
            MembershipStep::AddVoter(id) => self.join(id, None),
            MembershipStep::Replace { old, new } => {
                if !self.voters.contains(&old) {
                    return Err("the node to be replaced is not a voter");
                }
                if self.joining.values().any(|replaced| *replaced == Some(old)) {
                    return Err("the node is being replaced already");
                }
                self.join(new, Some(old))
            }
            MembershipStep::Promote(id) => self.promote(id),
            MembershipStep::Demote(id) => self.demote(id),
            MembershipStep::Remove(id) => {
                let known = self.leave(id) || self.learners.remove(&id);
                self.joining.remove(&id);
                known.then_some(()).ok_or("the node is not a member")
            }
        }
    }

    fn join(&mut self, id: NodeId, replaces: Option<NodeId>) -> Result<(), &'static str> {
        if self.voters.contains(&id) {
            return Err("the node is a voter already");
        }
        if self.joining.insert(id, replaces) == Some(replaces) {
            return Err("the node is on its way to a vote already");
        }
        self.learners.insert(id);
        Ok(())
    }

    fn promote(&mut self, id: NodeId) -> Result<(), &'static str> {
        if !self.learners.remove(&id) {
            return Err("the node is not a learner");
        }
        self.voters.insert(id);
        if let Some(Some(replaced)) = self.joining.remove(&id) {
            self.leave(replaced);
        }
        Ok(())
    }

    fn demote(&mut self, id: NodeId) -> Result<(), &'static str> {
        if self.joining.remove(&id).is_some() {
            return Ok(());
        }
        if !self.leave(id) {
            return Err("the node has no vote and is not on its way to one");
        }
        self.learners.insert(id);
        Ok(())
    }

    /// No voter any more. Who was to take its place still comes, in nobody's.
    fn leave(&mut self, id: NodeId) -> bool {
        for replaced in self.joining.values_mut() {
            replaced.take_if(|replaced| *replaced == id);
        }
        self.voters.remove(&id)
    }

    /// The simple membership that a joint one leads to.
    pub(crate) fn left(&self) -> Membership {
        assert!(self.is_joint(), "only a joint membership is left");
        let left = Membership {
            voters: self.voters.clone(),
            outgoing: BTreeSet::new(),
            learners: self.learners.union(&self.learners_next).copied().collect(),
            learners_next: BTreeSet::new(),
            joining: self.joining.clone(),
        };
        left.check();
        left
    }

    fn check(&self) {
        assert!(!self.voters.is_empty(), "a membership has a voter");
        assert!(self.voters.is_disjoint(&self.learners), "nobody is voter and learner at once");
        assert!(self.learners_next.is_subset(&self.outgoing), "only an outgoing voter can become a learner later");
        let mut replaced = BTreeSet::new();
        for (id, old) in &self.joining {
            let learns = self.learners.contains(id) || self.learners_next.contains(id);
            assert!(learns, "who joins is a learner first");
            assert!(old.is_none_or(|old| self.voters.contains(&old)), "who is to be replaced is a voter");
            assert!(old.is_none_or(|old| replaced.insert(old)), "nobody is replaced twice");
        }
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
        if !self.joining.is_empty() {
            let joining = self.joining.iter().map(|(id, old)| match old {
                Some(old) => format!("{id}(for {old})"),
                None => id.to_string(),
            });
            write!(f, " joining={}", joining.collect::<Vec<_>>().join(","))?;
        }
        Ok(())
    }
}
