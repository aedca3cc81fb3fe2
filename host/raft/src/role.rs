//! The roles, the one door between them, and what is decided before a role sees a message: terms and votes.

use crate::candidate::{Candidate, Round};
use crate::follower::Follower;
use crate::leader::Leader;
use crate::message::Message;
use crate::raft::Raft;
use crate::shared::Shared;
use crate::status::Refusal;
use crate::types::{Index, NodeId, Position, Term};

/// What a node is, with all that only this role knows.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) enum Role {
    Follower(Follower),
    Candidate(Candidate),
    Leader(Leader),
}

/// The change of role that a role wants; made by [`Raft::enter`].
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) enum Change {
    /// Follow this leader, or wait for one.
    Follow { leader: Option<NodeId> },
    /// Ask whether an election would be won.
    PreCampaign,
    /// Ask for votes in the next term.
    Campaign { transfer: bool },
    /// Lead this term.
    Lead,
}

impl Raft {
    /// The only place where a role changes. A role may be passed through: alone, a pre-candidate wins at once.
    pub(crate) fn enter(&mut self, change: Change) {
        let mut next = Some(change);
        while let Some(change) = next.take() {
            let role = match change {
                Change::Follow { leader } => self.new_follower(leader),
                Change::PreCampaign => {
                    let mut candidate = Candidate::new(&mut self.shared, Round::Pre);
                    next = candidate.on_answer(&self.shared, self.shared.id, true);
                    Role::Candidate(candidate)
                }
                Change::Campaign { transfer } => {
                    self.shared.adopt(self.shared.term.next());
                    self.shared.vote_for(self.shared.id);
                    Role::Candidate(Candidate::new(&mut self.shared, Round::Real { transfer }))
                }
                Change::Lead => Role::Leader(Leader::new(&mut self.shared)),
            };
            match std::mem::replace(&mut self.role, role) {
                Role::Leader(leader) => self.shared.out.barriers_lost.extend(leader.reads.into_lost()),
                Role::Follower(follower) => self.shared.out.barriers_lost.extend(follower.asking.into_lost()),
                Role::Candidate(_) => {}
            }
        }
    }

    pub(crate) fn maybe_enter(&mut self, change: Option<Change>) {
        if let Some(change) = change {
            self.enter(change);
        }
    }

    /// Without a leader in sight a follower's time goes on: a newer term alone is no reason to wait longer.
    fn new_follower(&mut self, leader: Option<NodeId>) -> Role {
        let timer = match &self.role {
            Role::Follower(follower) if leader.is_none() => follower.timer.clone(),
            Role::Follower(_) | Role::Candidate(_) | Role::Leader(_) => self.shared.new_timer(),
        };
        Role::Follower(Follower::new(leader, timer))
    }

    /// Enters a newer term, whoever leads it.
    pub(crate) fn adopt(&mut self, term: Term) {
        self.shared.adopt(term);
        self.enter(Change::Follow { leader: None });
    }

    /// A pre-vote commits to nothing, and a vote against a live leader is not listened to (thesis, section 4.2.3).
    pub(crate) fn adopts_term_of(&self, message: &Message) -> bool {
        match message {
            Message::PreVote { .. } => false,
            Message::Vote { transfer, .. } => *transfer || !self.has_live_leader(),
            Message::PreVoteReply { .. }
            | Message::VoteReply { .. }
            | Message::Append { .. }
            | Message::AppendAccept { .. }
            | Message::AppendReject { .. }
            | Message::Heartbeat { .. }
            | Message::HeartbeatReply { .. }
            | Message::Commit { .. }
            | Message::StaleTerm
            | Message::TimeoutNow
            | Message::Removed { .. }
            | Message::Suspended { .. }
            | Message::Readmitted { .. }
            | Message::ReadIndex { .. }
            | Message::ReadIndexReply { .. } => true,
        }
    }

    fn has_live_leader(&self) -> bool {
        match &self.role {
            Role::Leader(_) => true,
            Role::Follower(follower) => follower.has_live_leader(self.shared.config.election_timeout_ticks),
            Role::Candidate(_) => false,
        }
    }

    /// Judged like a vote, log included: a pre-vote that is easier to win than the vote would be won for ever.
    pub(crate) fn on_pre_vote(&mut self, from: NodeId, term: Term, next_term: Term, last: Position) {
        self.shared.maybe_tell_removed(from);
        let granted = term >= self.shared.term && !self.has_live_leader() && self.shared.approves(last);
        self.shared.send(from, Message::PreVoteReply { next_term, granted });
    }

    /// The same candidate may ask again: its first answer may be lost.
    pub(crate) fn on_vote(&mut self, from: NodeId, term: Term, last: Position, transfer: bool) {
        self.shared.maybe_tell_removed(from);
        if term > self.shared.term {
            assert!(!transfer && self.has_live_leader(), "only a live leader is a reason to stay in an older term");
            return;
        }
        let free = self.shared.vote.is_none() && self.leader().is_none();
        let may = term == self.shared.term && (free || self.shared.vote == Some(from));
        if !may || !self.shared.approves(last) {
            self.shared.send(from, Message::VoteReply { granted: false });
            return;
        }
        self.shared.vote_for(from);
        self.on_vote_given();
        self.shared.send_after_persist(from, Message::VoteReply { granted: true });
    }

    /// Gives the candidate its time.
    fn on_vote_given(&mut self) {
        match &mut self.role {
            Role::Follower(follower) => follower.timer.reset(),
            Role::Candidate(_) => self.enter(Change::Follow { leader: None }),
            Role::Leader(_) => panic!("a leader voted for itself"),
        }
    }

    /// Who is out and knows it does not stand for election any more.
    pub(crate) fn on_removed(&mut self, at: Index) {
        self.shared.on_removed(at);
        if self.shared.removed.is_some() && matches!(self.role, Role::Candidate(_)) {
            self.enter(Change::Follow { leader: None });
        }
    }

    /// An Append, a heartbeat or a commit: someone leads, or believes so.
    pub(crate) fn on_leader_message(&mut self, from: NodeId, term: Term, message: Message) {
        if term < self.shared.term {
            return self.shared.send(from, Message::StaleTerm);
        }
        if matches!(self.role, Role::Candidate(_)) {
            self.enter(Change::Follow { leader: Some(from) });
        }
        self.step_role(from, message);
    }

    pub(crate) fn step_role(&mut self, from: NodeId, message: Message) {
        let change = match &mut self.role {
            Role::Follower(follower) => follower.step(&mut self.shared, from, message),
            Role::Candidate(candidate) => candidate.step(&self.shared, from, message),
            Role::Leader(leader) => leader.step(&mut self.shared, from, message),
        };
        self.maybe_enter(change);
    }

    pub(crate) fn as_leader(&mut self) -> Result<(&mut Leader, &mut Shared), Refusal> {
        let leader = self.leader();
        match &mut self.role {
            Role::Leader(role) => Ok((role, &mut self.shared)),
            Role::Follower(_) | Role::Candidate(_) => Err(Refusal::NotLeader { leader }),
        }
    }
}
