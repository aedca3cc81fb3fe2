//! What a node shows of itself, and why it refuses.

use crate::types::{Index, NodeId};
use std::fmt;

/// A node's role, for those who only look.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub enum RoleKind {
    /// Takes what a leader says.
    Follower,
    /// Asks whether it would be elected.
    PreCandidate,
    /// Asks to be elected.
    Candidate,
    /// Leads its term.
    Leader,
}

/// Why a command was not taken: nothing happened.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub enum Refusal {
    /// Ask the leader.
    NotLeader {
        /// The leader, as far as known here.
        leader: Option<NodeId>,
    },
    /// A limit is reached; wait for commits or answers.
    Overloaded,
    /// Leadership is being handed over; ask again in a moment.
    Transferring,
    /// An earlier change of membership, or the leader's first entry, is not committed yet.
    MembershipBusy,
    /// The change of membership would put the cluster at risk as things stand; the reason. It can be forced.
    AtRisk(&'static str),
    /// It makes no sense here, and won't later; the reason.
    Rejected(&'static str),
}

/// What the leader knows of a peer, for status.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct PeerProgress {
    /// The peer.
    pub id: NodeId,
    /// It has a vote.
    pub voter: bool,
    /// How entries are sent to it.
    pub state: PeerState,
    /// Its log agrees up to here, durably.
    pub matched: Index,
    /// The next entry to send to it.
    pub next: Index,
    /// Appends on the way.
    pub inflight_messages: usize,
    /// Their bytes.
    pub inflight_bytes: usize,
    /// It was heard within the last election timeout.
    pub heard: bool,
    /// It lost data and counts for nothing until it has been readmitted.
    pub suspended: bool,
    /// A learner on its way to a vote: it has kept up for long enough to get it.
    pub caught_up: bool,
}

/// How entries are sent to a peer.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub enum PeerState {
    /// One at a time, to find where the logs agree.
    Probe,
    /// In a stream.
    Replicate,
    /// It needs a snapshot first.
    Snapshot,
}

impl fmt::Display for RoleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RoleKind::Follower => "follower",
            RoleKind::PreCandidate => "pre-candidate",
            RoleKind::Candidate => "candidate",
            RoleKind::Leader => "leader",
        })
    }
}

impl fmt::Display for PeerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PeerState::Probe => "probe",
            PeerState::Replicate => "replicate",
            PeerState::Snapshot => "snapshot",
        })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotLeader { leader: Some(leader) } => write!(f, "not the leader, {leader} is"),
            Refusal::NotLeader { leader: None } => write!(f, "not the leader, none is known"),
            Refusal::Overloaded => write!(f, "overloaded"),
            Refusal::Transferring => write!(f, "leadership is being handed over"),
            Refusal::MembershipBusy => write!(f, "an earlier change of membership is not committed yet"),
            Refusal::AtRisk(reason) | Refusal::Rejected(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for Refusal {}
