//! What nodes say to each other.
//!
//! The network may drop, repeat and reorder: every message can be judged from itself and the receiver's state.
//! An envelope's term is always its sender's own term at the time of writing, also for a pre-vote, whose proposed
//! term stands inside: nobody takes a term over that nobody reached.

use crate::types::{Entry, Index, NodeId, Position, Term};
use std::fmt;

/// A message on its way.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub struct Envelope {
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// The sender's term when it wrote the message.
    pub term: Term,
    /// What it says.
    pub message: Message,
}

/// What nodes say to each other.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub enum Message {
    /// Would you vote for me in `next_term`? Binds nobody, changes no term.
    PreVote {
        /// The term of the election to come.
        next_term: Term,
        /// Where the sender's log ends.
        last: Position,
    },
    /// The answer; a refusal's envelope carries the term that an outdated asker has to catch up to.
    PreVoteReply {
        /// The question's.
        next_term: Term,
        /// Whether the receiver of the question would vote so.
        granted: bool,
    },
    /// Vote for me in this term. Leaves only after the sender's own vote is durable.
    Vote {
        /// Where the sender's log ends.
        last: Position,
        /// The leader itself asked for this election, so that its being alive is no reason to refuse.
        transfer: bool,
    },
    /// The answer; a grant leaves only after the vote is durable.
    VoteReply {
        /// Whether the vote is the asker's.
        granted: bool,
    },
    /// Entries that follow `prev`; none at all to ask whether the logs agree at `prev`.
    Append {
        /// The position before the first entry.
        prev: Position,
        /// Consecutive entries.
        entries: Vec<Entry>,
        /// The leader's commit index; holds for the receiver up to the last of these entries.
        commit: Index,
    },
    /// The logs agree up to `matched`, and that is durable here. Leaves only after the write.
    AppendAccept {
        /// The end of the Append that this answers, not of the log.
        matched: Index,
    },
    /// The receiver's log has nothing, or something else, at the Append's `prev`.
    AppendReject {
        /// The Append's `prev` index, so that an outdated answer shows.
        prev: Index,
        /// The receiver's last position that could agree: no longer than its log, no term above `prev`'s.
        hint: Position,
    },
    /// The leader is alive.
    Heartbeat {
        /// The leader's commit index as far as the receiver is known to match.
        commit: Index,
        /// The newest round that confirms leadership for reads.
        read_round: u64,
    },
    /// Still following.
    HeartbeatReply {
        /// The heartbeat's.
        read_round: u64,
    },
    /// The commit index moved on and no entries are on the way to tell it. Not answered; a heartbeat repeats it.
    Commit {
        /// As in a heartbeat.
        commit: Index,
    },
    /// Your message is of an older term than the one on this envelope. Frees a node that is alone in a newer term.
    StaleTerm,
    /// Campaign at once: the leader wants the receiver to lead.
    TimeoutNow,
    /// A committed membership, in force at this index, does not have the receiver.
    Removed {
        /// Older news than the receiver's own is ignored.
        at: Index,
    },
    /// The sender's answer to an Append or a heartbeat while it is suspended: it lost data, and counts for nothing. See
    /// `suspension.rs`.
    Suspended {
        /// Names the loss; greater than every earlier one's of this node.
        incarnation: u64,
        /// The votes and terms of its past are lost too: only an entry that commits without it makes it harmless.
        fence: bool,
        /// As in an accepted Append; none in answer to a heartbeat.
        matched: Option<Index>,
    },
    /// The receiver may take part again once its log reaches `upto`.
    Readmitted {
        /// The suspension's.
        incarnation: u64,
        /// In this leader's log.
        upto: Index,
    },
    /// A follower's question, for all reads that wait there: from which index on are they linearizable?
    ReadIndex {
        /// Goes back in the answer; never used twice.
        ticket: u64,
    },
    /// The leader's answer, after it was confirmed as the leader.
    ReadIndexReply {
        /// The question's.
        ticket: u64,
        /// What has to be applied first.
        index: Index,
    },
}

impl Message {
    /// Its size in bytes as far as it matters for limits: that of its entries.
    pub fn bytes(&self) -> usize {
        match self {
            Message::Append { entries, .. } => entries.iter().map(Entry::bytes).sum(),
            Message::PreVote { .. }
            | Message::PreVoteReply { .. }
            | Message::Vote { .. }
            | Message::VoteReply { .. }
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
            | Message::ReadIndexReply { .. } => 0,
        }
    }
}

impl fmt::Display for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} t{} {}", self.from, self.to, self.term, self.message)
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::PreVote { next_term, last } => write!(f, "PreVote next_term={next_term} last={last}"),
            Message::PreVoteReply { next_term, granted } => {
                write!(f, "PreVoteReply next_term={next_term} {}", yes_no(*granted))
            }
            Message::Vote { last, transfer } => {
                write!(f, "Vote last={last}{}", if *transfer { " transfer" } else { "" })
            }
            Message::VoteReply { granted } => write!(f, "VoteReply {}", yes_no(*granted)),
            Message::Append { prev, entries, commit } => {
                write!(f, "Append prev={prev} {} commit={commit}", Entries(entries))
            }
            Message::AppendAccept { matched } => write!(f, "AppendAccept matched={matched}"),
            Message::AppendReject { prev, hint } => write!(f, "AppendReject prev={prev} hint={hint}"),
            Message::Heartbeat { commit, read_round } => write!(f, "Heartbeat commit={commit} round={read_round}"),
            Message::HeartbeatReply { read_round } => write!(f, "HeartbeatReply round={read_round}"),
            Message::Commit { commit } => write!(f, "Commit commit={commit}"),
            Message::StaleTerm => write!(f, "StaleTerm"),
            Message::TimeoutNow => write!(f, "TimeoutNow"),
            Message::Removed { at } => write!(f, "Removed at={at}"),
            Message::Suspended { incarnation, fence, matched } => {
                let fence = if *fence { " fence" } else { "" };
                let matched = matched.map_or(String::new(), |matched| format!(" matched={matched}"));
                write!(f, "Suspended incarnation={incarnation}{matched}{fence}")
            }
            Message::Readmitted { incarnation, upto } => write!(f, "Readmitted incarnation={incarnation} upto={upto}"),
            Message::ReadIndex { ticket } => write!(f, "ReadIndex ticket={ticket:x}"),
            Message::ReadIndexReply { ticket, index } => write!(f, "ReadIndexReply ticket={ticket:x} index={index}"),
        }
    }
}

fn yes_no(granted: bool) -> &'static str {
    if granted { "granted" } else { "refused" }
}

/// Entries in one short word: `[]`, `[7@2]`, `[7@2..9@3]`.
pub(crate) struct Entries<'a>(pub(crate) &'a [Entry]);

impl fmt::Display for Entries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => write!(f, "[]"),
            [only] => write!(f, "[{}]", only.position()),
            [first, .., last] => write!(f, "[{}..{}]", first.position(), last.position()),
        }
    }
}
