//! What can come out of a call: an [`Outcome`], the same on every node and fit for the record, or a [`NodeFault`], which is this
//! node's own trouble and never becomes an entry's result.

use outboard_store::StoreError;

/// Where a command stands in the replicated history.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Moment {
    /// The command's place in the log.
    pub index: u64,
    /// Milliseconds since 1970, stamped by the leader.
    pub time_ms: u64,
    /// A number derived from the index, the same on every node.
    pub seed: u64,
}

/// How a command ended.
#[derive(Clone, Eq, PartialEq, Debug)]
pub enum Outcome {
    /// One well-formed value in RESP3 notation.
    Reply(Vec<u8>),
    /// The engine said no: one line, a Redis error without its minus sign. Nothing is kept.
    Rejected(String),
    /// The engine broke or overstepped a limit. Nothing is kept.
    Failed(Failure),
}

/// Why an engine failed. Part of the replicated history: the texts never change and never say anything that could differ between
/// two machines (an address, a stack's depth, a compiler's words). Details go to the node's log.
///
/// Displayed as the text of a Redis error: `ENGINE ran out of fuel`.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug, thiserror::Error)]
#[error("ENGINE {}", self.short())]
pub enum Failure {
    /// The guest trapped: a panic, an access out of bounds, an overflow of its stack, a division by zero.
    Trapped,
    /// The command's fuel was used up.
    OutOfFuel,
    /// The guest asked for more memory than an instance may have, and could not go on without.
    OutOfMemory,
    /// A key, a value, the command's writes together, or the reply.
    TooLarge,
    /// The reply is not exactly one value in RESP3 notation, or the rejection is not one line of text.
    MalformedReply,
    /// It tried to write in `open`, `query` or `describe`.
    ReadOnly,
    /// `open` trapped, ran out of something, or tried to write.
    Open,
    /// A query reached its time limit. Never an outcome of an applied command.
    TimedOut,
}

impl Failure {
    /// The text without the word ENGINE before it.
    pub fn short(self) -> &'static str {
        match self {
            Failure::Trapped => "trapped",
            Failure::OutOfFuel => "ran out of fuel",
            Failure::OutOfMemory => "ran out of memory",
            Failure::TooLarge => "wrote a key, a value, a transaction or a reply over the limit",
            Failure::MalformedReply => "gave a malformed reply",
            Failure::ReadOnly => "tried to write where it may only read",
            Failure::Open => "could not open",
            Failure::TimedOut => "took too long to answer",
        }
    }
}

/// This node can't do its part. The caller stalls or halts; it never records this as a command's result.
#[derive(Debug, thiserror::Error)]
pub enum NodeFault {
    /// The table store failed below the engine.
    #[error("the table store failed while an engine ran: {0}")]
    Store(#[from] StoreError),
    /// The operating system refused memory that the limits allow.
    #[error("this machine has no memory left for an engine's instance: {0}")]
    Memory(String),
}

/// Why a call into the guest ended without a reply.
#[derive(Debug)]
pub(crate) enum Stop {
    Failure(Failure),
    Fault(NodeFault),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failure(failure)
    }
}

impl From<NodeFault> for Stop {
    fn from(fault: NodeFault) -> Stop {
        Stop::Fault(fault)
    }
}
