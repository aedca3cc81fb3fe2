//! The desk: what the tasks beside the node's loop work with. They ask the loop as clients do, and other nodes over streams of their own.

use crate::control::Control;
use crate::core::Event;
use crate::library::Library;
use crate::reply::Reply;
use crate::signer::Signer;
use crate::workers::{Slot, Words};
use outboard_net::{BulkStream, Net, NetError};
use outboard_raft::NodeId;
use outboard_wire::bulk::{BulkHeader, BulkReply};
use outboard_wire::client::{Request, RequestBody, Response};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// What a task needs of the node. Clones are the same desk.
#[derive(Clone)]
pub(crate) struct Desk {
    pub(crate) id: NodeId,
    pub(crate) net: Arc<Net>,
    pub(crate) library: Library,
    pub(crate) words: Words,
    pub(crate) slot: Slot,
    pub(crate) control: watch::Receiver<Arc<Control>>,
    /// The authority, if this node signs.
    pub(crate) signer: Signer,
    /// Where incoming snapshots are staged.
    pub(crate) incoming: PathBuf,
    /// Held while one comes in.
    pub(crate) receiving: Arc<tokio::sync::Mutex<()>>,
}

/// The loop gives no answer any more.
#[derive(Debug, thiserror::Error)]
#[error("the node is stopping")]
pub(crate) struct Stopping;

impl Desk {
    /// The other nodes that this one dials.
    pub(crate) fn peers(&self) -> Vec<NodeId> {
        self.net.links().into_iter().map(|link| link.peer).collect()
    }

    /// It is this node, or there is a connection to it now.
    pub(crate) fn is_connected(&self, node: NodeId) -> bool {
        node == self.id || self.net.links().iter().any(|link| link.peer == node && link.round_trip.is_some())
    }

    /// Asks the cluster through this node's loop.
    pub(crate) async fn request(&self, body: RequestBody, timeout: Duration) -> Result<Response, Stopping> {
        let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
        let (waiting, answered) = oneshot::channel();
        let request = Request { timeout_ms, body };
        self.words.event(Event::Request { request, encoded: None, reply: Reply::Local(waiting) });
        answered.await.map_err(|_| Stopping)
    }

    /// Asks another node; what it sends behind its first answer is still on the stream.
    pub(crate) async fn ask(&self, peer: NodeId, header: BulkHeader) -> Result<(BulkReply, BulkStream), String> {
        let told = |error: NetError| error.to_string();
        let mut stream = self.net.open_bulk(peer, header.encode().into()).await.map_err(told)?;
        stream.finish().await.map_err(told)?;
        let frame = stream.read_frame().await.map_err(told)?.ok_or("no answer")?;
        let reply = BulkReply::decode(&frame).map_err(|error| error.to_string())?;
        Ok((reply, stream))
    }
}

/// Runs what blocks on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
