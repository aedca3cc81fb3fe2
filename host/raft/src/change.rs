//! The leader's part in changes of membership: judges them, promotes newcomers, leaves the joint form, bids farewell.
//!
//! At most one change is uncommitted, and none begins before an entry of the leader's own term is committed: two leaders
//! could otherwise each change one voter on top of a different base. That holds for every change, forced or the leader's
//! own. Unless forced, a change must leave a quorum of nodes that were heard within an election timeout.

use crate::leader::Leader;
use crate::membership::{Membership, MembershipChange, MembershipStep};
use crate::message::Message;
use crate::progress::Progress;
use crate::quorum;
use crate::role::Change;
use crate::shared::Shared;
use crate::status::Refusal;
use crate::types::{Index, NodeId, Payload, Position};
use std::collections::BTreeSet;

impl Leader {
    pub(crate) fn propose_membership(
        &mut self,
        shared: &mut Shared,
        change: &MembershipChange,
        forced: bool,
    ) -> Result<Position, Refusal> {
        let membership = self.judge_membership(shared, change, forced)?;
        Ok(self.append(shared, Payload::Membership(membership)))
    }

    /// The membership that the change leads to.
    pub(crate) fn judge_membership(
        &self,
        shared: &Shared,
        change: &MembershipChange,
        forced: bool,
    ) -> Result<Membership, Refusal> {
        if self.transfer.is_some() {
            return Err(Refusal::Transferring);
        }
        if !self.has_committed_in_term(shared) || shared.memberships.index() > shared.commit {
            return Err(Refusal::MembershipBusy);
        }
        let membership = shared.membership().changed(change).map_err(Refusal::Rejected)?;
        if !forced {
            self.judge_risk(shared, change, &membership)?;
        }
        Ok(membership)
    }

    fn judge_risk(&self, shared: &Shared, change: &MembershipChange, target: &Membership) -> Result<(), Refusal> {
        let lags = |step: &MembershipStep| match step {
            MembershipStep::Promote(id) => !self.counting(*id).is_some_and(Progress::is_caught_up),
            MembershipStep::AddLearner(_)
            | MembershipStep::AddVoter(_)
            | MembershipStep::Replace { .. }
            | MembershipStep::Demote(_)
            | MembershipStep::Remove(_) => false,
        };
        if change.steps.iter().any(lags) {
            return Err(Refusal::AtRisk("the learner has not caught up with the log yet"));
        }
        let timeout = shared.config.election_timeout_ticks;
        let live = |id| id == shared.id || self.counting(id).is_some_and(|peer| peer.is_live(timeout));
        let same = target.voters == shared.membership().voters;
        if same || quorum::holds(target, live) {
            return Ok(());
        }
        Err(Refusal::AtRisk("no majority of the voters after the change was heard within an election timeout"))
    }

    /// The membership changed: newcomers are probed from the log's end, those who left are forgotten.
    pub(crate) fn meet_members(&mut self, shared: &mut Shared) {
        let members = shared.membership().members();
        self.peers.retain(|id, _| members.contains(id));
        let next = shared.log.last().index.next();
        for id in members.into_iter().filter(|id| *id != shared.id) {
            self.peers.entry(id).or_insert_with(|| Progress::new(next, &shared.config));
        }
        self.transfer.take_if(|transfer| !shared.membership().voters.contains(&transfer.target()));
        self.maybe_commit(shared);
    }

    pub(crate) fn maybe_leave_joint(&mut self, shared: &mut Shared) {
        let settled = self.has_committed_in_term(shared) && shared.memberships.index() <= shared.commit;
        if shared.membership().is_joint() && settled && self.transfer.is_none() {
            let left = shared.membership().left();
            self.append(shared, Payload::Membership(left));
        }
    }

    /// Notes how well the newcomers keep up, once per heartbeat.
    pub(crate) fn measure_newcomers(&mut self, shared: &Shared) {
        let last = shared.log.last().index;
        for id in shared.membership().joining.keys() {
            if let Some(peer) = self.peers.get_mut(id) {
                peer.measure(last);
            }
        }
    }

    /// Newcomers that have caught up get their vote, those they replace leave with the same step.
    pub(crate) fn maybe_promote(&mut self, shared: &mut Shared) {
        let ready = |id: &&NodeId| self.counting(**id).is_some_and(Progress::is_caught_up);
        let steps = shared.membership().joining.keys().filter(ready).map(|id| MembershipStep::Promote(*id));
        let change = MembershipChange { steps: steps.collect() };
        if !change.steps.is_empty() {
            // Refused for now: tried again with the next ready.
            let _ = self.propose_membership(shared, &change, false);
        }
    }

    /// Whoever is a member no longer is told, once; who misses it is told when it asks for votes.
    pub(crate) fn say_farewell(&self, shared: &mut Shared, mut left: BTreeSet<NodeId>) {
        let (at, _) = shared.memberships.committed();
        left.remove(&shared.id);
        for to in left {
            shared.send(to, Message::Removed { at });
        }
    }

    /// A leader whose own vote is gone, and that for certain, has told the others and done its last duty: it hands over.
    pub(crate) fn maybe_resign(&self, shared: &mut Shared) -> Option<Change> {
        let at = shared.memberships.index();
        if at > shared.commit || shared.membership().is_voter(shared.id) {
            return None;
        }
        if let Some(successor) = self.successor(shared, at) {
            shared.send(successor, Message::TimeoutNow);
        }
        if !shared.membership().members().contains(&shared.id) {
            shared.removed = Some(at);
            shared.out.removed = Some(at);
        }
        Some(Change::Follow { leader: None })
    }

    /// The voter that is closest to the log's end, and knows who the voters are.
    fn successor(&self, shared: &Shared, at: Index) -> Option<NodeId> {
        let timeout = shared.config.election_timeout_ticks;
        let voters = shared.membership().voters.iter();
        let able = voters.filter_map(|id| Some((id, self.counting(*id)?)).filter(|(_, peer)| peer.matched >= at));
        able.max_by_key(|(_, peer)| (peer.is_live(timeout), peer.matched)).map(|(id, _)| *id)
    }
}
