//! What the listener needs of the node, and nothing more.

use outboard_sandbox::Manifest;
use outboard_wire::client::{RequestBody, Response};
use std::sync::Arc;
use std::time::Duration;

/// The node as the listener sees it. Called on the node's own thread; must never block.
pub trait Backend: Clone + 'static {
    /// Hands over requests, in order. All that are handed over in one turn of the loop should go into the log together.
    fn submit(&self, asks: Vec<Ask>);
    /// What the running engine says of itself; none while the node starts, or lacks the engine. Asked for often: hand out clones of
    /// one `Arc` until the engine changes.
    fn manifest(&self) -> Option<Arc<Manifest>>;
    /// The node's figures for INFO.
    fn figures(&self) -> Figures;
}

/// A request and the way back for its answer.
pub struct Ask {
    /// What is asked.
    pub body: RequestBody,
    /// How long the node may wait before it answers that it doesn't know, in milliseconds.
    pub timeout_ms: u32,
    /// To be called once, from any thread; cheap. Dropped uncalled, it answers [`Response::Unknown`].
    pub reply: Box<dyn FnOnce(Response) + Send>,
}

/// A node's figures, for INFO and WAIT.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// The program's version.
    pub version: String,
    /// The node's name.
    pub node: String,
    /// The cluster's name.
    pub cluster: String,
    /// What the node is: `leader`, `follower`, …
    pub role: String,
    /// Who leads, if that is known.
    pub leader: Option<String>,
    /// The present term.
    pub term: u64,
    /// The index up to which the node has applied the log.
    pub applied: u64,
    /// How many nodes vote.
    pub voters: u32,
    /// Name and version of the running engine.
    pub engine: Option<String>,
    /// What an acknowledged write has survived: `sync` or `none`.
    pub durability: String,
    /// For how long the node has been running.
    pub uptime: Duration,
}
