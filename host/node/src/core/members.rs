//! Changes of membership: asked for by an operator, or due because somebody was enrolled. Consensus judges and carries them out; here is who
//! asks it, and in which words it answers.
//!
//! Whoever leads lets in those who are in the address book and not in the membership, so an enrolment is one entry, and nothing is lost when
//! its leader is. Invariant: that is decided only where everything is applied that says who is in and who is out: a node on its way out, or
//! already out, is not let in again by a leader whose tables are behind.

use super::waiting::Parked;
use super::{Action, Core};
use outboard_raft::{Membership, MembershipChange, MembershipStep, NodeId, Position, Refusal};
use outboard_wire::access::{AccessCommand, MemberChange, MemberInfo, Standing, Wish};
use outboard_wire::client::Response;
use outboard_wire::command::Command;

impl Core {
    /// Lets in the first of those who were enrolled and are no members yet.
    pub(super) fn look_after_members(&mut self) {
        if !self.is_leader() || !self.has_applied_who_is_in() {
            return;
        }
        let members = self.raft.membership().members();
        let due = self.control.directory.iter().find(|(node, _)| !members.contains(node));
        let Some((node, listed)) = due else { return };
        let step = match listed.wish {
            Wish::Voter => MembershipStep::AddVoter(node),
            Wish::Learner => MembershipStep::AddLearner(node),
        };
        match self.raft.propose_membership(MembershipChange { steps: vec![step] }) {
            Ok(position) => tracing::info!(%node, %position, "a node that was enrolled is let in"),
            // With the next tick.
            Err(refusal) => tracing::debug!(%node, %refusal, "a node that was enrolled is not let in yet"),
        }
    }

    /// Nothing of the log that is not applied here yet lets anybody in or out: neither an entry of an earlier leader, nor one of this one's.
    /// Comparing memberships would not do: one that came and went looks like none.
    fn has_applied_who_is_in(&self) -> bool {
        let applied = self.raft.applied();
        let all_of_earlier_terms = self.raft.term_at(applied) == Some(self.raft.term());
        // What it proposed in an earlier term may be gone, and others' entries at its place.
        let own = Some(self.access_proposed).filter(|own| own.term == self.raft.term());
        all_of_earlier_terms && applied >= self.raft.membership_since() && own.is_none_or(|own| applied >= own.index)
    }

    /// The members as this leader sees them.
    pub(super) fn members(&self) -> Vec<MemberInfo> {
        let (me, membership, last) = (self.raft.id(), self.raft.membership(), self.raft.last().index);
        let progress = self.raft.progress();
        let member = |(node, listed): (NodeId, &crate::control::Listed)| {
            let peer = progress.iter().find(|peer| peer.id == node);
            let matched = if node == me { Some(last) } else { peer.map(|peer| peer.matched) };
            MemberInfo {
                node: node.0,
                name: listed.name.clone(),
                address: listed.address.clone(),
                standing: standing(membership, node),
                leader: node == me,
                heard: node == me || peer.is_some_and(|peer| peer.heard),
                lag: last.0 - matched.map_or(0, |matched| matched.0.min(last.0)),
            }
        };
        self.control.directory.iter().map(member).collect()
    }

    /// An operator's wish.
    pub(super) fn lead_member_change(
        &mut self,
        change: MemberChange,
        (forced, dry_run): (bool, bool),
        asked: Parked,
        out: &mut Vec<Action>,
    ) {
        if let Some(reason) = self.stranger_in(change) {
            return asked.reply.send(Response::ChangeRefused { reason, can_be_forced: false });
        }
        if let Some(node) = self.never_let_in(change) {
            let command = Command::Access(AccessCommand::MemberForget { node: node.0 });
            return if dry_run { asked.reply.send(Response::Done) } else { self.propose_or_park(command, asked) };
        }
        let steps = MembershipChange { steps: vec![step(change, forced)] };
        if dry_run {
            let judged = self.raft.preview_membership(&steps, forced).map(drop);
            return match judged {
                Ok(()) => asked.reply.send(Response::Done),
                Err(refusal) => self.refuse_change(refusal, change, asked, out),
            };
        }
        let proposed = if forced { self.raft.force_membership(steps) } else { self.raft.propose_membership(steps) };
        match proposed {
            Ok(position) => self.await_change(position, change, asked),
            Err(refusal) => self.refuse_change(refusal, change, asked, out),
        }
    }

    fn await_change(&mut self, position: Position, change: MemberChange, asked: Parked) {
        tracing::info!(?change, %position, "a change of membership is proposed");
        self.waiting.proposals.push(position, asked.reply, asked.deadline_us);
    }

    fn refuse_change(&mut self, refusal: Refusal, change: MemberChange, asked: Parked, out: &mut Vec<Action>) {
        match refusal {
            // An earlier change is on its way: with the next tick.
            Refusal::MembershipBusy | Refusal::Transferring => self.postpone(asked),
            Refusal::AtRisk(reason) => {
                let reason = format!("{reason}{}", self.silent_voters(change));
                asked.reply.send(Response::ChangeRefused { reason, can_be_forced: true });
            }
            Refusal::Rejected("the previous change is still on its way") => self.postpone(asked),
            Refusal::Rejected(reason) => {
                let reason = reason.to_owned();
                asked.reply.send(Response::ChangeRefused { reason, can_be_forced: false });
            }
            Refusal::NotLeader { .. } | Refusal::Overloaded => self.refuse(refusal, asked, out),
        }
    }

    /// Names that nobody has.
    fn stranger_in(&self, change: MemberChange) -> Option<String> {
        let nodes = match change {
            MemberChange::Promote { node } | MemberChange::Demote { node } | MemberChange::Remove { node } => {
                vec![node]
            }
            MemberChange::Replace { old, new } => vec![old, new],
        };
        let stranger = nodes.into_iter().map(NodeId).find(|node| self.control.directory.get(*node).is_none())?;
        Some(match self.control.directory.is_removed(stranger) {
            true => format!("{stranger} was removed"),
            false => format!("there is no node {stranger}"),
        })
    }

    /// The node that is to leave and never was in.
    fn never_let_in(&self, change: MemberChange) -> Option<NodeId> {
        match change {
            MemberChange::Remove { node } => {
                let (node, settled) = (NodeId(node), self.has_applied_who_is_in());
                (settled && !self.raft.membership().members().contains(&node)).then_some(node)
            }
            MemberChange::Promote { .. } | MemberChange::Demote { .. } | MemberChange::Replace { .. } => None,
        }
    }

    fn silent_voters(&self, change: MemberChange) -> String {
        let leaves = match change {
            MemberChange::Demote { node } | MemberChange::Remove { node } => Some(NodeId(node)),
            MemberChange::Replace { old, .. } => Some(NodeId(old)),
            MemberChange::Promote { .. } => None,
        };
        let silent = self.raft.progress().into_iter().filter(|peer| peer.voter && !peer.heard);
        let name = |node: NodeId| self.control.directory.get(node).map_or(node.to_string(), |it| it.name.clone());
        let names: Vec<String> = silent.filter(|peer| Some(peer.id) != leaves).map(|peer| name(peer.id)).collect();
        if names.is_empty() { String::new() } else { format!(" (silent: {})", names.join(", ")) }
    }
}

fn step(change: MemberChange, forced: bool) -> MembershipStep {
    match change {
        // Unless forced it waits until it has caught up.
        MemberChange::Promote { node } if forced => MembershipStep::Promote(NodeId(node)),
        MemberChange::Promote { node } => MembershipStep::AddVoter(NodeId(node)),
        MemberChange::Demote { node } => MembershipStep::Demote(NodeId(node)),
        MemberChange::Remove { node } => MembershipStep::Remove(NodeId(node)),
        MemberChange::Replace { old, new } => MembershipStep::Replace { old: NodeId(old), new: NodeId(new) },
    }
}

fn standing(membership: &Membership, node: NodeId) -> Standing {
    if membership.voters.contains(&node) {
        return Standing::Voter;
    }
    if membership.outgoing.contains(&node) {
        return Standing::Leaving;
    }
    match membership.joining.get(&node) {
        Some(replaces) => Standing::Joining { replaces: replaces.map(|old| old.0) },
        None if membership.learners.contains(&node) => Standing::Learner,
        None => Standing::Enrolled,
    }
}
