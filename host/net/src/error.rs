//! The room's errors, sorted by what is to be done about them.

use std::io;
use std::net::SocketAddr;

use outboard_raft::NodeId;

use crate::refusal::Refusal;

/// Why a node's net or one of its streams doesn't work.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The UDP port can't be used: another address, or another program in the way.
    #[error("can't listen on {address} (UDP): {source}")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The credentials don't make a TLS configuration, or can't take the place of those in use.
    #[error("TLS can't be set up: {what}")]
    Tls {
        /// The cause.
        what: String,
    },
    /// A node needs a node's credentials.
    #[error("these credentials belong to {principal}, not to a node")]
    NotANode {
        /// Whom they belong to.
        principal: String,
    },
    /// No connection to that node at the moment: try later, or another node.
    #[error("not connected to {0}")]
    NotConnected(NodeId),
    /// Nobody answers at that address (down, another port, a firewall that drops UDP).
    #[error("no answer from {address} within {seconds} s: nothing listens there, or UDP is blocked on the way")]
    NoAnswer {
        /// Who was asked.
        address: SocketAddr,
        /// How long.
        seconds: u64,
    },
    /// The other side was reached and one of the two refused the other.
    #[error("refused by {by}: {what}")]
    Refused {
        /// Who refused: `us` or an address.
        by: String,
        /// The cause in words.
        what: String,
        /// The cause.
        cause: Refusal,
    },
    /// The connection or the stream ended.
    #[error("the connection was lost: {what}")]
    Lost {
        /// The cause.
        what: String,
    },
    /// The bytes are longer than a frame may be.
    #[error("{bytes} bytes are too long for one frame ({max} at most)")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The limit.
        max: u64,
    },
}

impl NetError {
    pub(crate) fn lost(cause: impl ToString) -> NetError {
        NetError::Lost { what: cause.to_string() }
    }
}
