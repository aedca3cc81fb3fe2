//! How a node and a cluster are, as `status` shows it.

use crate::command::EngineRecord;
use serde::{Deserialize, Serialize};

/// One node's state as it sees itself.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its number.
    pub node: u64,
    /// The name that the operator gave it.
    pub name: String,
    /// `host:port` that others reach it at.
    pub address: String,
    /// `leader`, `follower`, `candidate`, `pre-candidate`.
    pub role: String,
    /// Its term.
    pub term: u64,
    /// The leader that it follows, or itself.
    pub leader: Option<u64>,
    /// The commit index that it knows.
    pub commit: u64,
    /// What its store has applied.
    pub applied: u64,
    /// What would survive a loss of power without the log.
    pub applied_durable: u64,
    /// The first and last index of its log.
    pub log_first: u64,
    /// See `log_first`.
    pub log_last: u64,
    /// The log and the tables together, in bytes.
    pub disk_bytes: u64,
    /// Since the node started, in milliseconds.
    pub uptime_ms: u64,
    /// The engine that it runs; none before the first leader has spoken.
    pub engine: Option<EngineRecord>,
    /// The index at which that engine took over.
    pub engine_since: u64,
    /// Set while apply waits for a component that this node lacks: its digest.
    pub stalled_for: Option<String>,
    /// `sync` when a write is acknowledged only after a majority has synced it to disk, else `none`.
    pub durability: String,
    /// The hash chain at its applied index and at recent marks, newest first.
    pub chain: Vec<ChainMark>,
    /// Set when the node's chain was found to differ from another's.
    pub diverged: Option<Divergence>,
    /// Frames and handshakes from outside that were dropped as malformed or refused.
    pub refused: u64,
    /// Data was lost here and is not made good yet: the node counts for nothing until the others have given it back.
    pub suspended: bool,
    /// Damage of the log that was found while the node runs and is not repaired yet.
    pub damage: Option<String>,
}

/// The hash chain at an index.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct ChainMark {
    /// Where.
    pub index: u64,
    /// The chain's value after that entry.
    pub hash: [u8; 32],
}

/// Two nodes applied the same log and got different states.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct Divergence {
    /// The other node.
    pub with: u64,
    /// The last index at which both were seen equal.
    pub equal_at: u64,
    /// The first mark at which they were seen to differ.
    pub differs_at: u64,
}

/// The cluster as one of its nodes sees it.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// The cluster's id, `c-…`.
    pub cluster: String,
    /// The node that was asked.
    pub asked: u64,
    /// Every member, in the order of numbers.
    pub members: Vec<MemberStatus>,
}

/// A member and what it said.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct MemberStatus {
    /// Its number.
    pub node: u64,
    /// Its name.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// Whether its vote counts.
    pub voter: bool,
    /// From the asked node to it and back, in microseconds; none for the asked node itself.
    pub rtt_us: Option<u64>,
    /// None when it didn't answer.
    pub status: Option<NodeStatus>,
}

/// What comparing the chains of all members says.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Agreement {
    /// All that answered have the same state at this index.
    Equal(u64),
    /// Two of them differ at this index.
    Differs(u64),
    /// Their marks have no index in common yet.
    NoCommonMark,
}

impl ClusterStatus {
    /// Compares the hash chains of all members that answered, at the newest index that all of them have a mark for.
    pub fn agreement(&self) -> Agreement {
        let chains: Vec<&[ChainMark]> =
            self.members.iter().filter_map(|m| m.status.as_ref()).map(|s| s.chain.as_slice()).collect();
        let Some((first, others)) = chains.split_first() else { return Agreement::NoCommonMark };
        for mark in *first {
            let theirs: Vec<_> = others.iter().filter_map(|c| c.iter().find(|m| m.index == mark.index)).collect();
            if theirs.iter().any(|m| m.hash != mark.hash) {
                return Agreement::Differs(mark.index);
            }
            if theirs.len() == others.len() {
                return Agreement::Equal(mark.index);
            }
        }
        Agreement::NoCommonMark
    }

    /// The member that leads in the highest term that anyone reports.
    pub fn leader(&self) -> Option<&MemberStatus> {
        let leads = |m: &&MemberStatus| m.status.as_ref().is_some_and(|s| s.role == "leader");
        self.members.iter().filter(leads).max_by_key(|m| m.status.as_ref().map_or(0, |s| s.term))
    }
}
