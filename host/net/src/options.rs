//! What a node's net is made of, and the bounds on what strangers and clients may take.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use outboard_raft::NodeId;
use tokio::sync::mpsc;

use crate::credentials::Credentials;
use crate::join_request::JoinRequest;

/// Where to listen.
#[derive(Debug)]
pub enum Listen {
    /// On this address; port 0 takes a free one.
    Address(SocketAddr),
    /// On this socket, bound already.
    Socket(UdpSocket),
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Listen {
        Listen::Address(address)
    }
}

impl From<UdpSocket> for Listen {
    fn from(socket: UdpSocket) -> Listen {
        Listen::Socket(socket)
    }
}

/// What a net is made of.
#[derive(Debug)]
pub struct Options {
    /// The UDP port.
    pub listen: Listen,
    /// Who this node is.
    pub credentials: Credentials,
    /// The nodes to be kept connected; this node itself is left out.
    pub peers: BTreeMap<NodeId, SocketAddr>,
    /// How many may come.
    pub limits: Limits,
    /// Where those who join by a token are to be decided. Without it the node doesn't offer `outboard-join/1`, and whoever shows no
    /// certificate fails in TLS already.
    pub joins: Option<mpsc::Sender<JoinRequest>>,
    /// How often the cluster was recovered by hand: nodes of another incarnation are fenced out, and fence this one out.
    pub incarnation: u64,
}

impl Options {
    /// With the usual limits, and without joins.
    pub fn new(listen: impl Into<Listen>, credentials: Credentials, peers: BTreeMap<NodeId, SocketAddr>) -> Options {
        Options { listen: listen.into(), credentials, peers, limits: Limits::default(), joins: None, incarnation: 0 }
    }
}

/// Bounds on what strangers and clients may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Incoming connections that may stand at once. Beyond it peers still come in, clients don't.
    pub connections_max: usize,
    /// Incoming handshakes that may be in progress at once.
    pub handshakes_max: usize,
    /// From this many on, a new one must prove that its address is real.
    pub handshakes_unproven_max: usize,
    /// Joins that may be under way at once, each with up to 128 KiB: enough that some silent strangers don't keep a joiner out.
    pub joins_max: usize,
    /// How long a joiner may take to say what it has to say.
    pub join_request_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections_max: 4_096,
            handshakes_max: 512,
            handshakes_unproven_max: 64,
            joins_max: 64,
            join_request_timeout: Duration::from_secs(5),
        }
    }
}
