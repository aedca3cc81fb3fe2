//! What nodes tell each other in frames: consensus messages in batches, requests passed on to the leader, and pulses that
//! compare states.

use crate::codec::{self, Blob, CodecError};
use crate::status::ChainMark;
use bytes::Bytes;
use outboard_raft::{Entry, Envelope, Index, Membership, Message, NodeId, Payload, Position, SnapshotMeta, Term};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One frame between nodes, decoded.
#[derive(Clone, Eq, PartialEq, Debug)]
pub enum PeerMessage {
    /// Consensus. The sender and receiver of each envelope are those of the connection, whatever the bytes say.
    Raft(Envelope),
    /// A client's request, passed on to the leader as it came.
    Forward {
        /// The sender's number for it.
        ticket: u64,
        /// An encoded [`crate::client::Request`].
        request: Bytes,
    },
    /// The outcome of a forwarded request.
    ForwardReply {
        /// From the request.
        ticket: u64,
        /// An encoded [`crate::client::Answer`].
        answer: Bytes,
    },
    /// The sender's state, every now and then: whoever finds another hash at the same index has found a divergence.
    Pulse(Vec<ChainMark>),
}

impl PeerMessage {
    /// As a frame.
    pub fn encode(&self) -> Vec<u8> {
        let room = match self {
            PeerMessage::Raft(envelope) => envelope.message.bytes() + 64,
            PeerMessage::Forward { request: body, .. } | PeerMessage::ForwardReply { answer: body, .. } => {
                body.len() + 16
            }
            PeerMessage::Pulse(marks) => marks.len() * 40 + 8,
        };
        codec::encode_into(&Frame::from(self), Vec::with_capacity(room))
    }

    /// From a frame that `from` sent to `to`.
    pub fn decode(bytes: &[u8], from: NodeId, to: NodeId) -> Result<PeerMessage, CodecError> {
        Ok(match codec::decode::<Frame<'_>>(bytes)? {
            Frame::Raft { term, message } => {
                PeerMessage::Raft(Envelope { from, to, term: Term(term), message: message.into_message()? })
            }
            Frame::Forward { ticket, request } => {
                PeerMessage::Forward { ticket, request: Bytes::copy_from_slice(request.0) }
            }
            Frame::ForwardReply { ticket, answer } => {
                PeerMessage::ForwardReply { ticket, answer: Bytes::copy_from_slice(answer.0) }
            }
            Frame::Pulse(marks) => PeerMessage::Pulse(marks),
        })
    }
}

/// [`PeerMessage`] in its wire shape, borrowing all bytes.
#[derive(Serialize, Deserialize)]
enum Frame<'a> {
    Raft {
        term: u64,
        #[serde(borrow)]
        message: WireMessage<'a>,
    },
    Forward {
        ticket: u64,
        #[serde(borrow)]
        request: Blob<'a>,
    },
    ForwardReply {
        ticket: u64,
        #[serde(borrow)]
        answer: Blob<'a>,
    },
    Pulse(Vec<ChainMark>),
}

impl<'a> From<&'a PeerMessage> for Frame<'a> {
    fn from(message: &'a PeerMessage) -> Frame<'a> {
        match message {
            PeerMessage::Raft(envelope) => {
                Frame::Raft { term: envelope.term.0, message: WireMessage::from(&envelope.message) }
            }
            PeerMessage::Forward { ticket, request } => Frame::Forward { ticket: *ticket, request: Blob(request) },
            PeerMessage::ForwardReply { ticket, answer } => {
                Frame::ForwardReply { ticket: *ticket, answer: Blob(answer) }
            }
            PeerMessage::Pulse(marks) => Frame::Pulse(marks.clone()),
        }
    }
}

/// Index and term.
type WirePosition = (u64, u64);

/// [`Message`] in its wire shape: the core has no serde, and its fields may change without changing the wire.
#[derive(Serialize, Deserialize)]
enum WireMessage<'a> {
    PreVote {
        next_term: u64,
        last: WirePosition,
    },
    PreVoteReply {
        next_term: u64,
        granted: bool,
    },
    Vote {
        last: WirePosition,
        transfer: bool,
    },
    VoteReply {
        granted: bool,
    },
    Append {
        prev: WirePosition,
        commit: u64,
        #[serde(borrow)]
        entries: Vec<WireEntry<'a>>,
    },
    AppendAccept {
        matched: u64,
    },
    AppendReject {
        prev: u64,
        hint: WirePosition,
    },
    Heartbeat {
        commit: u64,
        read_round: u64,
    },
    HeartbeatReply {
        read_round: u64,
    },
    Commit {
        commit: u64,
    },
    StaleTerm,
    TimeoutNow,
    Removed {
        at: u64,
    },
    Suspended {
        incarnation: u64,
        fence: bool,
        matched: Option<u64>,
    },
    Readmitted {
        incarnation: u64,
        upto: u64,
    },
    ReadIndex {
        ticket: u64,
    },
    ReadIndexReply {
        ticket: u64,
        index: u64,
    },
}

/// An entry's term and payload; its index follows from its place behind `prev`.
#[derive(Serialize, Deserialize)]
struct WireEntry<'a> {
    term: u64,
    #[serde(borrow)]
    payload: WirePayload<'a>,
}

#[derive(Serialize, Deserialize)]
enum WirePayload<'a> {
    Noop,
    Command(#[serde(borrow)] Blob<'a>),
    Membership(WireMembership),
}

/// The members, by their numbers.
#[derive(Clone, Eq, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct WireMembership {
    voters: Vec<u64>,
    outgoing: Vec<u64>,
    learners: Vec<u64>,
    learners_next: Vec<u64>,
    /// Who joins, and whom it replaces.
    joining: Vec<(u64, Option<u64>)>,
}

/// Where a snapshot stands and who the members are there.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct WireSnapshotMeta {
    position: WirePosition,
    membership: WireMembership,
}

impl<'a> From<&'a Message> for WireMessage<'a> {
    fn from(message: &'a Message) -> WireMessage<'a> {
        match message {
            Message::PreVote { next_term, last } => {
                WireMessage::PreVote { next_term: next_term.0, last: from_position(*last) }
            }
            Message::PreVoteReply { next_term, granted } => {
                WireMessage::PreVoteReply { next_term: next_term.0, granted: *granted }
            }
            Message::Vote { last, transfer } => WireMessage::Vote { last: from_position(*last), transfer: *transfer },
            Message::VoteReply { granted } => WireMessage::VoteReply { granted: *granted },
            Message::Append { prev, entries, commit } => WireMessage::Append {
                prev: from_position(*prev),
                commit: commit.0,
                entries: entries.iter().map(WireEntry::from).collect(),
            },
            Message::AppendAccept { matched } => WireMessage::AppendAccept { matched: matched.0 },
            Message::AppendReject { prev, hint } => {
                WireMessage::AppendReject { prev: prev.0, hint: from_position(*hint) }
            }
            Message::Heartbeat { commit, read_round } => {
                WireMessage::Heartbeat { commit: commit.0, read_round: *read_round }
            }
            Message::HeartbeatReply { read_round } => WireMessage::HeartbeatReply { read_round: *read_round },
            Message::Commit { commit } => WireMessage::Commit { commit: commit.0 },
            Message::StaleTerm => WireMessage::StaleTerm,
            Message::TimeoutNow => WireMessage::TimeoutNow,
            Message::Removed { at } => WireMessage::Removed { at: at.0 },
            Message::Suspended { incarnation, fence, matched } => WireMessage::Suspended {
                incarnation: *incarnation,
                fence: *fence,
                matched: matched.map(|matched| matched.0),
            },
            Message::Readmitted { incarnation, upto } => {
                WireMessage::Readmitted { incarnation: *incarnation, upto: upto.0 }
            }
            Message::ReadIndex { ticket } => WireMessage::ReadIndex { ticket: *ticket },
            Message::ReadIndexReply { ticket, index } => {
                WireMessage::ReadIndexReply { ticket: *ticket, index: index.0 }
            }
        }
    }
}

impl WireMessage<'_> {
    fn into_message(self) -> Result<Message, CodecError> {
        Ok(match self {
            WireMessage::PreVote { next_term, last } => {
                Message::PreVote { next_term: Term(next_term), last: to_position(last) }
            }
            WireMessage::PreVoteReply { next_term, granted } => {
                Message::PreVoteReply { next_term: Term(next_term), granted }
            }
            WireMessage::Vote { last, transfer } => Message::Vote { last: to_position(last), transfer },
            WireMessage::VoteReply { granted } => Message::VoteReply { granted },
            WireMessage::Append { prev, commit, entries } => {
                Message::Append { prev: to_position(prev), entries: to_entries(prev, entries)?, commit: Index(commit) }
            }
            WireMessage::AppendAccept { matched } => Message::AppendAccept { matched: Index(matched) },
            WireMessage::AppendReject { prev, hint } => {
                Message::AppendReject { prev: Index(prev), hint: to_position(hint) }
            }
            WireMessage::Heartbeat { commit, read_round } => Message::Heartbeat { commit: Index(commit), read_round },
            WireMessage::HeartbeatReply { read_round } => Message::HeartbeatReply { read_round },
            WireMessage::Commit { commit } => Message::Commit { commit: Index(commit) },
            WireMessage::StaleTerm => Message::StaleTerm,
            WireMessage::TimeoutNow => Message::TimeoutNow,
            WireMessage::Removed { at } => Message::Removed { at: Index(at) },
            WireMessage::Suspended { incarnation, fence, matched } => {
                Message::Suspended { incarnation, fence, matched: matched.map(Index) }
            }
            WireMessage::Readmitted { incarnation, upto } => Message::Readmitted { incarnation, upto: Index(upto) },
            WireMessage::ReadIndex { ticket } => Message::ReadIndex { ticket },
            WireMessage::ReadIndexReply { ticket, index } => Message::ReadIndexReply { ticket, index: Index(index) },
        })
    }
}

impl<'a> From<&'a Entry> for WireEntry<'a> {
    fn from(entry: &'a Entry) -> WireEntry<'a> {
        let payload = match &entry.payload {
            Payload::Noop => WirePayload::Noop,
            Payload::Command(command) => WirePayload::Command(Blob(command)),
            Payload::Membership(membership) => WirePayload::Membership(membership.into()),
        };
        WireEntry { term: entry.term.0, payload }
    }
}

fn from_position(position: Position) -> WirePosition {
    (position.index.0, position.term.0)
}

fn to_position((index, term): WirePosition) -> Position {
    Position::new(index, term)
}

/// The entries behind `prev`. Terms never fall along a log; entries that claim so are refused here, before the core would
/// have to distrust its own kind.
fn to_entries(prev: WirePosition, entries: Vec<WireEntry<'_>>) -> Result<Vec<Entry>, CodecError> {
    let (mut index, mut term) = prev;
    let mut out = Vec::with_capacity(entries.len());
    for entry in entries {
        index = index.checked_add(1).ok_or_else(|| CodecError::Malformed("the index overflows".into()))?;
        if entry.term < term {
            return Err(CodecError::Malformed("the terms of the entries go back".into()));
        }
        term = entry.term;
        let payload = match entry.payload {
            WirePayload::Noop => Payload::Noop,
            WirePayload::Command(command) => Payload::Command(Arc::from(command.0)),
            WirePayload::Membership(membership) => Payload::Membership(membership.into()),
        };
        out.push(Entry { index: Index(index), term: Term(term), payload });
    }
    Ok(out)
}

impl From<&Membership> for WireMembership {
    fn from(membership: &Membership) -> WireMembership {
        let numbers = |nodes: &std::collections::BTreeSet<NodeId>| nodes.iter().map(|n| n.0).collect();
        WireMembership {
            voters: numbers(&membership.voters),
            outgoing: numbers(&membership.outgoing),
            learners: numbers(&membership.learners),
            learners_next: numbers(&membership.learners_next),
            joining: membership.joining.iter().map(|(id, old)| (id.0, old.map(|old| old.0))).collect(),
        }
    }
}

impl From<WireMembership> for Membership {
    fn from(wire: WireMembership) -> Membership {
        let nodes = |numbers: Vec<u64>| numbers.into_iter().map(NodeId).collect();
        Membership {
            voters: nodes(wire.voters),
            outgoing: nodes(wire.outgoing),
            learners: nodes(wire.learners),
            learners_next: nodes(wire.learners_next),
            joining: wire.joining.into_iter().map(|(id, old)| (NodeId(id), old.map(NodeId))).collect(),
        }
    }
}

impl From<&SnapshotMeta> for WireSnapshotMeta {
    fn from(meta: &SnapshotMeta) -> WireSnapshotMeta {
        WireSnapshotMeta { position: from_position(meta.position), membership: (&meta.membership).into() }
    }
}

impl From<WireSnapshotMeta> for SnapshotMeta {
    fn from(wire: WireSnapshotMeta) -> SnapshotMeta {
        SnapshotMeta { position: to_position(wire.position), membership: wire.membership.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(message: Message) {
        let (from, to) = (NodeId(1), NodeId(2));
        let sent = PeerMessage::Raft(Envelope { from, to, term: Term(3), message });
        let bytes = sent.encode();
        assert_eq!(PeerMessage::decode(&bytes, from, to), Ok(sent));
        for cut in 0..bytes.len() {
            assert!(PeerMessage::decode(&bytes[..cut], from, to).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn consensus_messages_survive_and_every_truncation_is_an_error() {
        let last = Position::new(7, 2);
        let command = Payload::Command(Arc::from(&b"bytes"[..]));
        let entries = vec![
            Entry { index: Index(8), term: Term(2), payload: Payload::Noop },
            Entry { index: Index(9), term: Term(3), payload: command },
        ];
        round_trip(Message::PreVote { next_term: Term(4), last });
        round_trip(Message::Vote { last, transfer: true });
        round_trip(Message::Append { prev: last, entries, commit: Index(7) });
        round_trip(Message::AppendReject { prev: Index(9), hint: last });
        round_trip(Message::Heartbeat { commit: Index(7), read_round: 12 });
        round_trip(Message::TimeoutNow);
        round_trip(Message::Removed { at: Index(9) });
        round_trip(Message::Suspended { incarnation: 5, fence: true, matched: Some(Index(7)) });
        round_trip(Message::Readmitted { incarnation: 5, upto: Index(7) });
        round_trip(Message::ReadIndex { ticket: u64::MAX });
        round_trip(Message::ReadIndexReply { ticket: 1, index: Index(7) });
        let mut membership = Membership::of_voters([NodeId(1), NodeId(2)]);
        membership.learners = [NodeId(3), NodeId(4)].into();
        membership.joining = [(NodeId(3), None), (NodeId(4), Some(NodeId(2)))].into();
        let entries = vec![Entry { index: Index(8), term: Term(2), payload: Payload::Membership(membership) }];
        round_trip(Message::Append { prev: last, entries, commit: Index(7) });
    }

    #[test]
    fn entries_whose_terms_go_back_are_refused() {
        let entries = vec![Entry { index: Index(8), term: Term(1), payload: Payload::Noop }];
        let message = Message::Append { prev: Position::new(7, 2), entries, commit: Index(7) };
        let (from, to) = (NodeId(1), NodeId(2));
        let bytes = PeerMessage::Raft(Envelope { from, to, term: Term(3), message }).encode();
        assert!(PeerMessage::decode(&bytes, from, to).is_err());
    }
}
