//! The plain values of consensus: who, when, where in the log, and what stands there.
//!
//! Everything here is data without behaviour that could fail; the same values are stored by the log on disk and sent
//! between nodes.

use crate::membership::Membership;
use std::fmt;
use std::sync::Arc;

/// A node's number, unique for ever within a cluster: a number whose disk was lost is not used again.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug, Default)]
pub struct NodeId(pub u64);

/// An election's number: at most one leader per term.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug, Default)]
pub struct Term(pub u64);

/// A place in the log, from 1; 0 is the place before the first entry.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug, Default)]
pub struct Index(pub u64);

/// An entry's identity: two logs that hold an entry at the same position hold the same entries up to there.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug, Default)]
pub struct Position {
    /// Where in the log.
    pub index: Index,
    /// The term of the leader that first appended it.
    pub term: Term,
}

/// One entry of the log. A clone of a command's entry costs a reference count, not a copy.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub struct Entry {
    /// Where in the log.
    pub index: Index,
    /// The term of the leader that first appended it.
    pub term: Term,
    /// What it says.
    pub payload: Payload,
}

/// What an entry says.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub enum Payload {
    /// Opens a leader's term: with it, everything before it commits too.
    Noop,
    /// The owner's bytes, never looked into.
    Command(Arc<[u8]>),
    /// The membership from this entry on, in force as soon as the entry is appended.
    Membership(Membership),
}

/// What a node must remember across a crash besides its log, written and read as one. The commit index is not part
/// of it: what the store has applied is its floor, and the next leader tells the rest.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug, Default)]
pub struct HardState {
    /// The newest term that this node has seen.
    pub term: Term,
    /// Whom it voted for in that term.
    pub vote: Option<NodeId>,
}

/// The limits and times of one node. All nodes of a cluster should have equal times.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct Config {
    /// A follower that hears nothing for so many ticks (up to twice as many, by chance) asks for votes; a leader that
    /// hears no quorum for so many ticks steps down.
    pub election_timeout_ticks: u32,
    /// How often a leader makes itself heard; well below the election timeout.
    pub heartbeat_ticks: u32,
    /// The entries of one Append, of one read for a peer; a single larger entry still goes, alone.
    pub append_bytes_max: usize,
    /// Appends on the way to one peer that are not answered yet.
    pub inflight_messages_max: usize,
    /// Their bytes; the message that crosses this line is the last one.
    pub inflight_bytes_max: usize,
    /// Commands that a leader accepted and that are not committed yet; beyond it proposals are refused.
    pub uncommitted_bytes_max: usize,
    /// Applied entries kept in memory for followers that lag a little.
    pub cache_bytes_max: usize,
    /// The committed entries of one ready; a single larger entry still goes, alone.
    pub apply_bytes_max: usize,
    /// A leader whose oldest write has waited for the disk for so many ticks hands over, again and again while that lasts.
    pub stall_ticks_max: u32,
    /// The source of this node's randomized timeouts and of its tickets for reads; different on every node and at every
    /// start: an answer to an earlier life's question must not fit a later one's.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Config {
            election_timeout_ticks: 10,
            heartbeat_ticks: 2,
            append_bytes_max: MIB,
            inflight_messages_max: 64,
            inflight_bytes_max: 16 * MIB,
            uncommitted_bytes_max: 64 * MIB,
            cache_bytes_max: 32 * MIB,
            apply_bytes_max: 4 * MIB,
            stall_ticks_max: 20,
            seed: 0,
        }
    }
}

/// Accounted for every entry on top of its command: its header in memory and on the wire.
pub const ENTRY_OVERHEAD_BYTES: usize = 48;

impl Entry {
    /// Where it stands.
    pub fn position(&self) -> Position {
        Position { index: self.index, term: self.term }
    }

    /// Its size in every limit of [`Config`], in bytes; never zero, so that a flood of empty entries is bounded too.
    pub fn bytes(&self) -> usize {
        ENTRY_OVERHEAD_BYTES
            + match &self.payload {
                Payload::Noop => 0,
                Payload::Command(command) => command.len(),
                Payload::Membership(membership) => membership.bytes(),
            }
    }
}

impl Index {
    /// The place after this one.
    pub fn next(self) -> Index {
        Index(self.0.saturating_add(1))
    }

    /// The place before this one; before the log there is only 0.
    pub fn previous(self) -> Index {
        Index(self.0.saturating_sub(1))
    }
}

impl Term {
    /// The term after this one.
    pub fn next(self) -> Term {
        Term(self.0 + 1)
    }
}

impl Position {
    /// The place before the log.
    pub const ZERO: Position = Position { index: Index(0), term: Term(0) };

    /// A position from plain numbers.
    pub fn new(index: u64, term: u64) -> Position {
        Position { index: Index(index), term: Term(term) }
    }

    /// Whether a log that ends here may lead one that ends at `other` (paper, section 5.4.1).
    pub fn up_to_date_with(self, other: Position) -> bool {
        (self.term, self.index) >= (other.term, other.index)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}
