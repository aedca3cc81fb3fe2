//! The way back to whoever asked. A reply travels with what it waits for, into the log's entry or the read's barrier, and is
//! used exactly once.

use crate::peers::{self, PeerDoor};
use bytes::Bytes;
use outboard_net::Responder;
use outboard_raft::{Entry, NodeId};
use outboard_wire::client::{Answer, Hint, Response};
use outboard_wire::peer::PeerMessage;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// A committed entry and whoever waits for it.
pub(crate) struct Ordered {
    pub(crate) entry: Entry,
    pub(crate) reply: Reply,
}

/// The way back for one answer.
pub(crate) enum Reply {
    /// A client on this node.
    Client(Responder),
    /// A node that passed a client's request on, and the address of this one as a hint for the client.
    Peer { to: NodeId, ticket: u64, door: Arc<dyn PeerDoor>, hint: Arc<Hint> },
    /// A task of this node.
    Local(oneshot::Sender<Response>),
    /// A listener on this node.
    Gateway(GatewayReply),
    /// Nobody: the core's own doing.
    Nobody,
}

/// The way back to a listener.
pub(crate) struct GatewayReply {
    answer: Box<dyn FnOnce(Response) + Send>,
    /// The request's name in the node's own session, if it got one: settled when the reply is used.
    held: Option<Held>,
}

impl GatewayReply {
    pub(crate) fn new(answer: Box<dyn FnOnce(Response) + Send>) -> GatewayReply {
        GatewayReply { answer, held: None }
    }

    pub(crate) fn hold(&mut self, held: Held) {
        self.held = Some(held);
    }
}

/// Somebody waits for the outcome of a request that this node has named. Dropped with the reply, wherever that is used.
pub(crate) struct Held {
    sequence: u64,
    held: Arc<Mutex<BTreeSet<u64>>>,
}

impl Held {
    /// Of those in `held`, one; it leaves them when this is dropped.
    pub(crate) fn new(sequence: u64, held: Arc<Mutex<BTreeSet<u64>>>) -> Held {
        Held { sequence, held }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.sequence);
    }
}

impl Reply {
    /// Whether this node gave the request its name.
    pub(crate) fn is_named_here(&self) -> bool {
        matches!(self, Reply::Gateway(GatewayReply { held: Some(_), .. }))
    }

    /// Answers.
    pub(crate) fn send(self, response: Response) {
        self.send_with_hint(response, None);
    }

    /// Answers, and tells a client where the leader is.
    pub(crate) fn send_with_hint(self, response: Response, leader: Option<Hint>) {
        match self {
            Reply::Client(responder) => responder.send(Answer { leader, response }.encode().into()),
            Reply::Peer { to, ticket, door, hint } => {
                let answer = Answer { leader: Some(leader.unwrap_or_else(|| (*hint).clone())), response };
                let message = PeerMessage::ForwardReply { ticket, answer: answer.encode().into() };
                peers::send_other(&*door, to, &message);
            }
            Reply::Local(waiting) => drop(waiting.send(response)),
            Reply::Gateway(GatewayReply { answer, .. }) => answer(response),
            Reply::Nobody => {}
        }
    }

    /// Passes on what another node has answered.
    pub(crate) fn send_encoded(self, answer: Bytes) {
        match self {
            Reply::Client(responder) => responder.send(answer),
            Reply::Peer { .. } | Reply::Local(_) | Reply::Gateway(_) => {
                let response = match Answer::decode(&answer) {
                    Ok(answer) => answer.response,
                    Err(error) => Response::Unknown(format!("the leader's answer is unreadable: {error}")),
                };
                self.send(response);
            }
            Reply::Nobody => {}
        }
    }
}
