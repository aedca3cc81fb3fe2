//! The node as a value: inputs go in, [`Ready`] comes out, and one door leads from role to role.

use crate::candidate::Round;
use crate::follower::Follower;
use crate::membership::{Membership, MembershipChange};
use crate::message::{Envelope, Message};
use crate::ready::{LogAnswer, LogPurpose, PersistId, ReadId, Ready, SnapshotMeta};
use crate::replicate;
use crate::role::{Change, Role};
use crate::shared::{Shared, Start};
use crate::status::{Refusal, RoleKind};
use crate::types::{Index, NodeId, Position, Term};
use std::sync::Arc;

/// One node's part in consensus. See the crate's page for what its owner has to do, and in which order.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub struct Raft {
    pub(crate) shared: Shared,
    pub(crate) role: Role,
}

impl Raft {
    /// A follower, as new or as recovered.
    pub fn new(start: Start) -> Raft {
        let mut shared = Shared::new(start);
        let timer = shared.new_timer();
        Raft { shared, role: Role::Follower(Follower::new(None, timer)) }
    }

    /// Input: one tick of time went by.
    pub fn tick(&mut self) {
        self.shared.log.tick();
        let change = match &mut self.role {
            Role::Follower(follower) => follower.tick(&mut self.shared),
            Role::Candidate(candidate) => candidate.tick(&self.shared),
            Role::Leader(leader) => leader.tick(&mut self.shared),
        };
        self.maybe_enter(change);
    }

    /// Input: a message from a peer. Whatever doesn't concern this node is ignored.
    pub fn step(&mut self, envelope: Envelope) {
        let Envelope { from, to, term, message } = envelope;
        if to != self.shared.id || from == to {
            return;
        }
        if term > self.shared.term && self.adopts_term_of(&message) {
            self.adopt(term);
        }
        match message {
            Message::PreVote { next_term, last } => self.on_pre_vote(from, term, next_term, last),
            Message::Vote { last, transfer } => self.on_vote(from, term, last, transfer),
            // True in every term.
            Message::Removed { at } => self.on_removed(at),
            // A grant comes with the granter's term, which may be lower.
            Message::PreVoteReply { .. } => self.step_role(from, message),
            Message::Append { .. } | Message::Heartbeat { .. } | Message::Commit { .. } => {
                self.on_leader_message(from, term, message);
            }
            Message::VoteReply { .. }
            | Message::AppendAccept { .. }
            | Message::AppendReject { .. }
            | Message::HeartbeatReply { .. }
            | Message::StaleTerm
            | Message::TimeoutNow
            | Message::Suspended { .. }
            | Message::Readmitted { .. }
            | Message::ReadIndex { .. }
            | Message::ReadIndexReply { .. } => {
                if term == self.shared.term {
                    self.step_role(from, message);
                }
            }
        }
    }

    /// Input: this batch is durable.
    pub fn on_persisted(&mut self, id: PersistId) {
        self.shared.log.finish_persist(id);
        let own_vote = self.shared.is_own_vote_durable();
        let change = match &mut self.role {
            Role::Leader(leader) => {
                leader.maybe_commit(&mut self.shared);
                None
            }
            Role::Candidate(candidate) if own_vote && candidate.round != Round::Pre => {
                candidate.on_answer(&self.shared, self.shared.id, true)
            }
            Role::Candidate(_) | Role::Follower(_) => None,
        };
        self.maybe_enter(change);
    }

    /// Input: the store has applied everything up to here. A store that has a snapshot may say so before the log begins behind it; that it
    /// is installed is [`Raft::on_snapshot_installed`]'s to tell.
    pub fn on_applied(&mut self, index: Index) {
        let is_installed = self.shared.installing.as_ref().is_some_and(|meta| meta.position.index == index);
        if !is_installed {
            self.shared.applying.on_applied(index);
        }
    }

    /// Input: entries read back from the log on disk.
    pub fn on_log_read(&mut self, answer: LogAnswer) {
        self.shared.on_read_answered(answer.purpose);
        match answer.purpose {
            LogPurpose::Apply => {
                let limit = self.shared.apply_limit();
                self.shared.applying.on_read(&self.shared.log, limit, answer);
            }
            LogPurpose::Peer(to) => {
                if let Role::Leader(leader) = &mut self.role
                    && let Some(peer) = leader.peers.get_mut(&to)
                {
                    replicate::on_read(&mut self.shared, to, peer, answer.entries);
                }
            }
        }
    }

    /// Getter: whether this message shows that the log here is not what it was. A leader names in a heartbeat no commit index beyond what the peer has
    /// acknowledged to it as durable; if the log ends before that, it is an older copy, or was emptied, and this node did not know. Such a
    /// message must not be stepped: the node may have promised anything, and has to start anew with a [`Suspension`](crate::Suspension).
    pub fn has_forgotten(&self, envelope: &Envelope) -> bool {
        let Message::Heartbeat { commit, .. } = envelope.message else { return false };
        let shared = &self.shared;
        let is_whole = shared.suspended.is_none() && shared.installing.is_none();
        is_whole && envelope.term >= self.term() && commit > shared.log.last().index
    }

    /// Input: entries of the log that are not committed yet can't be read back, or can again, or are committed meanwhile. Nobody gets from this
    /// node what others need to go on: it leaves the lead to them.
    pub fn on_unfit(&mut self, unfit: bool) {
        self.shared.unfit = unfit;
        if unfit && self.role() != RoleKind::Follower {
            self.enter(Change::Follow { leader: None });
        }
    }

    /// Input: the snapshot that was asked for has wholly arrived at the peer, or has failed.
    pub fn on_snapshot_sent(&mut self, to: NodeId, at: Position, ok: bool) {
        if let Role::Leader(leader) = &mut self.role
            && let Some(peer) = leader.peers.get_mut(&to)
        {
            peer.on_snapshot_sent(at.index, ok && at.index <= self.shared.log.last().index);
        }
    }

    /// Input: a whole snapshot, sent in `term`, is staged here. If the next ready doesn't ask to install it, it is not
    /// needed.
    pub fn on_snapshot_received(&mut self, from: NodeId, term: Term, meta: SnapshotMeta) {
        if term < self.shared.term || meta.position.term > term || from == self.shared.id {
            return;
        }
        if term > self.shared.term {
            self.adopt(term);
        }
        if self.leader().is_none_or(|leader| leader == from) {
            self.enter(Change::Follow { leader: Some(from) });
            self.shared.maybe_install(from, meta);
        }
    }

    /// Input: store and log were replaced as the ready asked; the log on disk is empty and begins after `meta`.
    pub fn on_snapshot_installed(&mut self, meta: &SnapshotMeta) {
        self.shared.on_installed(meta);
        if let Some(leader) = self.leader() {
            self.shared.accept(leader, meta.position.index);
        }
    }

    /// Input: the network lost the way to this peer, and probably what was on it.
    pub fn on_unreachable(&mut self, peer: NodeId) {
        if let Role::Leader(leader) = &mut self.role
            && let Some(peer) = leader.peers.get_mut(&peer)
        {
            peer.on_unreachable();
        }
    }

    /// Command: append this. The position is where it will stand if it commits; another entry may come to stand there.
    pub fn propose(&mut self, command: Arc<[u8]>) -> Result<Position, Refusal> {
        let (leader, shared) = self.as_leader()?;
        leader.propose(shared, command)
    }

    /// Command: change the membership. Takes the joint form by itself where it must, and leaves it by itself.
    pub fn propose_membership(&mut self, change: MembershipChange) -> Result<Position, Refusal> {
        let (leader, shared) = self.as_leader()?;
        leader.propose_membership(shared, &change, false)
    }

    /// Command: change the membership although voters were not heard lately or a learner lags. The rules that keep
    /// what is committed hold nevertheless: one change at a time, none before the leader's first commit.
    pub fn force_membership(&mut self, change: MembershipChange) -> Result<Position, Refusal> {
        let (leader, shared) = self.as_leader()?;
        leader.propose_membership(shared, &change, true)
    }

    /// What [`Raft::propose_membership`] would come to now, or [`Raft::force_membership`]; nothing is proposed.
    pub fn preview_membership(&self, change: &MembershipChange, forced: bool) -> Result<Membership, Refusal> {
        match &self.role {
            Role::Leader(leader) => leader.judge_membership(&self.shared, change, forced),
            Role::Follower(_) | Role::Candidate(_) => Err(Refusal::NotLeader { leader: self.leader() }),
        }
    }

    /// Command: a barrier for a linearizable read on the leader. Its answer is in a later ready, as a barrier or as lost.
    pub fn read(&mut self, id: ReadId) -> Result<(), Refusal> {
        let (leader, _) = self.as_leader()?;
        leader.read(id)
    }

    /// Command: a barrier for a linearizable read on this node, whatever it is: a follower or learner asks the leader. Its
    /// answer comes like that of [`Raft::read`].
    pub fn read_here(&mut self, id: ReadId) -> Result<(), Refusal> {
        let refusal = Refusal::NotLeader { leader: None };
        match &mut self.role {
            Role::Leader(leader) => leader.read(id),
            Role::Follower(follower) if follower.leader.is_some() => {
                if follower.asking.add(id) {
                    Ok(())
                } else {
                    Err(Refusal::Overloaded)
                }
            }
            Role::Follower(_) | Role::Candidate(_) => Err(refusal),
        }
    }

    /// Command: hand leadership over, to the voter that is closest if none is named. The answer names it.
    pub fn transfer(&mut self, to: Option<NodeId>) -> Result<NodeId, Refusal> {
        let (leader, shared) = self.as_leader()?;
        leader.transfer(shared, to)
    }

    /// Command: don't wait for the timer. Does nothing on a leader or without a vote of one's own; the others refuse
    /// while they hear a leader.
    pub fn campaign(&mut self) {
        if self.role() != RoleKind::Leader && self.shared.is_promotable() {
            self.enter(Change::PreCampaign);
        }
    }

    /// Command: forget the log up to here, which is applied; its owner drops it from disk.
    pub fn compact(&mut self, upto: Index) {
        assert!(upto <= self.applied(), "only what is applied is compacted");
        if upto > self.base().index {
            self.shared.log.compact(upto);
        }
    }

    /// Output: everything that is to be done since the last call.
    pub fn ready(&mut self) -> Ready {
        let change = match &mut self.role {
            Role::Leader(leader) => leader.flush(&mut self.shared),
            Role::Follower(follower) => {
                follower.flush(&mut self.shared);
                None
            }
            Role::Candidate(_) => None,
        };
        self.maybe_enter(change);
        self.shared.ready()
    }
}
