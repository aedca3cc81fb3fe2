//! What a net hands to its node.

use std::sync::Arc;

use bytes::Bytes;
use outboard_raft::NodeId;

use crate::bulk::BulkStream;
use crate::responder::{ClientInfo, Responder};

/// What comes in. Frames and requests come in batches: all that was there when the reader looked.
#[derive(Debug)]
pub enum NetEvent {
    /// Frames from a peer, in the order of their lane, each at least one byte.
    Peer {
        /// Who sent them.
        from: NodeId,
        /// The frames, slices of what arrived: whoever keeps a small one for long should copy it, it holds up to 64 KiB.
        frames: Vec<Bytes>,
    },
    /// Requests from a client, in its order.
    Client {
        /// Who asks.
        from: Arc<ClientInfo>,
        /// Each request with the way back.
        requests: Vec<(Bytes, Responder)>,
    },
    /// Frames to this peer have a connection from now on.
    PeerUp(NodeId),
    /// Frames to this peer are dropped from now on.
    PeerDown(NodeId),
    /// A peer or a client opened a bulk stream.
    Bulk(BulkStream),
}
