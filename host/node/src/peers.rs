//! The way to the other nodes, for whoever has something to say to them from a thread of its own: the log's writer with its
//! `then_send`, a reply to a request that another node passed on. What the core wants to say comes out of it as actions.

use bytes::Bytes;
use outboard_net::{Lane, PeerSender};
use outboard_raft::{Envelope, Message, NodeId};
use outboard_wire::peer::PeerMessage;

/// Takes frames for peers, never waits, and may lose them. Two homes: the network, and the simulator.
pub(crate) trait PeerDoor: Send + Sync {
    /// Queues or drops a frame.
    fn send(&self, to: NodeId, lane: Lane, frame: Bytes);
}

impl PeerDoor for PeerSender {
    fn send(&self, to: NodeId, lane: Lane, frame: Bytes) {
        PeerSender::send(self, to, lane, frame);
    }
}

/// A consensus message: entries on their own lane, so that they never delay a heartbeat.
pub(crate) fn send(door: &dyn PeerDoor, envelope: Envelope) {
    let lane = match &envelope.message {
        Message::Append { .. }
        | Message::AppendAccept { .. }
        | Message::AppendReject { .. }
        | Message::Commit { .. } => Lane::Append,
        Message::PreVote { .. }
        | Message::PreVoteReply { .. }
        | Message::Vote { .. }
        | Message::VoteReply { .. }
        | Message::Heartbeat { .. }
        | Message::HeartbeatReply { .. }
        | Message::StaleTerm
        | Message::TimeoutNow
        | Message::Removed { .. }
        | Message::Suspended { .. }
        | Message::Readmitted { .. }
        | Message::ReadIndex { .. }
        | Message::ReadIndexReply { .. } => Lane::Control,
    };
    let to = envelope.to;
    door.send(to, lane, PeerMessage::Raft(envelope).encode().into());
}

/// Anything else, behind the entries that are on their way.
pub(crate) fn send_other(door: &dyn PeerDoor, to: NodeId, message: &PeerMessage) {
    door.send(to, Lane::Append, message.encode().into());
}
