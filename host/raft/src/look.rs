//! What a node shows of itself. Nothing here changes what it does.

use crate::candidate::Round;
use crate::membership::Membership;
use crate::progress::{Progress, State};
use crate::raft::Raft;
use crate::role::Role;
use crate::status::{PeerProgress, PeerState, RoleKind};
use crate::types::{HardState, Index, NodeId, Position, Term};

impl Raft {
    /// This node.
    pub fn id(&self) -> NodeId {
        self.shared.id
    }

    /// The newest term it knows.
    pub fn term(&self) -> Term {
        self.shared.term
    }

    /// Term and vote, not necessarily durable yet.
    pub fn hard_state(&self) -> HardState {
        HardState { term: self.shared.term, vote: self.shared.vote }
    }

    /// Its role.
    pub fn role(&self) -> RoleKind {
        match &self.role {
            Role::Follower(_) => RoleKind::Follower,
            Role::Candidate(candidate) => match candidate.round {
                Round::Pre => RoleKind::PreCandidate,
                Round::Real { .. } => RoleKind::Candidate,
            },
            Role::Leader(_) => RoleKind::Leader,
        }
    }

    /// The leader of the current term, as far as known.
    pub fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Follower(follower) => follower.leader,
            Role::Candidate(_) => None,
            Role::Leader(_) => Some(self.shared.id),
        }
    }

    /// Known to be committed.
    pub fn commit(&self) -> Index {
        self.shared.commit
    }

    /// The entry that brought the membership in force, which takes effect where it is appended.
    pub fn membership_since(&self) -> Index {
        self.shared.memberships.index()
    }

    /// Reported as applied.
    pub fn applied(&self) -> Index {
        self.shared.applying.applied()
    }

    /// The log's end, not necessarily durable yet.
    pub fn last(&self) -> Position {
        self.shared.log.last()
    }

    /// The log's end on this node's disk.
    pub fn durable(&self) -> Index {
        self.shared.log.durable()
    }

    /// The last compacted position.
    pub fn base(&self) -> Position {
        self.shared.log.base()
    }

    /// The term of the entry at `index`, known from the base to the log's end.
    pub fn term_at(&self, index: Index) -> Option<Term> {
        self.shared.log.term_at(index)
    }

    /// The membership in force, committed or not.
    pub fn membership(&self) -> &Membership {
        self.shared.membership()
    }

    /// Data was lost here and is not made good yet: no word of this node counts.
    pub fn is_suspended(&self) -> bool {
        self.shared.suspended.is_some()
    }

    /// It was told that it is no member any more, as of this index.
    pub fn removed_at(&self) -> Option<Index> {
        self.shared.removed
    }

    /// For so many ticks the disk has finished nothing although a batch waits.
    pub fn persist_waited_ticks(&self) -> u32 {
        self.shared.log.persist_waited_ticks()
    }

    /// Leadership is being handed over.
    pub fn is_transferring(&self) -> bool {
        match &self.role {
            Role::Leader(leader) => leader.transfer.is_some(),
            Role::Follower(_) | Role::Candidate(_) => false,
        }
    }

    /// A leader's accepted and uncommitted bytes; 0 for everyone else.
    pub fn uncommitted_bytes(&self) -> usize {
        match &self.role {
            Role::Leader(leader) => leader.uncommitted.bytes(),
            Role::Follower(_) | Role::Candidate(_) => 0,
        }
    }

    /// The bytes of entries held in memory.
    pub fn cached_bytes(&self) -> usize {
        self.shared.log.window_bytes()
    }

    /// What a leader knows of its peers, in order; empty for everyone else.
    pub fn progress(&self) -> Vec<PeerProgress> {
        let Role::Leader(leader) = &self.role else { return Vec::new() };
        let look = |(id, peer): (&NodeId, &Progress)| PeerProgress {
            id: *id,
            voter: self.membership().is_voter(*id),
            state: match peer.state {
                State::Probe { .. } => PeerState::Probe,
                State::Replicate => PeerState::Replicate,
                State::Snapshot(_) => PeerState::Snapshot,
            },
            matched: peer.matched,
            next: peer.next,
            inflight_messages: peer.inflight.messages(),
            inflight_bytes: peer.inflight.bytes(),
            heard: peer.is_live(self.shared.config.election_timeout_ticks),
            suspended: peer.is_suspended(),
            caught_up: peer.is_caught_up(),
        };
        leader.peers.iter().map(look).collect()
    }

    /// For searches of all states: clocks and chance begin anew, and the batches that are on their way are numbered anew,
    /// from 1. Nodes that differ in nothing else become equal. What is decided never depends on these.
    pub fn forget_time(&mut self) {
        self.shared.forget_time();
        match &mut self.role {
            Role::Follower(follower) => follower.timer = self.shared.new_timer(),
            Role::Candidate(candidate) => candidate.timer = self.shared.new_timer(),
            Role::Leader(leader) => leader.forget_time(),
        }
        self.shared.forget_time();
    }
}
