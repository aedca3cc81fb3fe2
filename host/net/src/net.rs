//! A node's net: one UDP port, everything that comes in on one channel of events, peers that are kept connected.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use outboard_raft::NodeId;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::access::Access;
use crate::bulk::BulkStream;
use crate::counters::{Counters, add};
use crate::credentials::Credentials;
use crate::error::NetError;
use crate::event::NetEvent;
use crate::identity::Principal;
use crate::link::{LinkStatus, PeerSender};
use crate::options::Options;
use crate::refusal::{CloseCode, Refusal};
use crate::shared::Shared;
use crate::{dial, serve};

/// How long `close` lets queued frames and responses go out.
const FLUSH: Duration = Duration::from_millis(500);
/// How long it waits until the goodbyes are sent.
const GOODBYE: Duration = Duration::from_millis(200);

/// The net of one node. Dropping it breaks all connections off; [`Net::close`] is the polite way.
pub struct Net {
    shared: Arc<Shared>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Net {
    /// Binds the port, starts accepting and dialling. Runs on the current tokio runtime; events arrive on `events`, whose capacity
    /// bounds how many batches wait: readers stop while it is full.
    pub async fn bind(options: Options, events: mpsc::Sender<NetEvent>) -> Result<Net, NetError> {
        let peers = options.peers.clone();
        let shared = Arc::new(Shared::bind(options, events)?);
        let accept = tokio::spawn(serve::accept(shared.clone())).abort_handle();
        let net = Net { shared, tasks: Mutex::new(vec![accept]) };
        net.set_peers(peers);
        Ok(net)
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.endpoint.local_addr().expect("a bound socket knows its address")
    }

    /// The way to peers.
    pub fn sender(&self) -> PeerSender {
        PeerSender::new(self.shared.links.clone(), self.shared.tally.clone())
    }

    /// A reading of all counters.
    pub fn counters(&self) -> Counters {
        self.shared.tally.read()
    }

    /// How the links to all peers are.
    pub fn links(&self) -> Vec<LinkStatus> {
        self.shared.links.status()
    }

    /// Keeps exactly these peers connected from now on (this node itself is left out). One whose address changed is dialled anew. Beside these
    /// it dials whoever dials it, as long as that one does. Must be called on the runtime of [`Net::bind`].
    pub fn set_peers(&self, mut peers: BTreeMap<NodeId, SocketAddr>) {
        peers.remove(&self.shared.node);
        let new = self.shared.links.set(&peers);
        let mut tasks = self.tasks.lock().expect("nothing panics while it holds the tasks");
        tasks.retain(|task| !task.is_finished());
        tasks.extend(new.into_iter().map(|link| tokio::spawn(dial::run(self.shared.clone(), link)).abort_handle()));
    }

    /// Shows these credentials from now on, to whoever dials and to whom it dials. Connections that stand keep standing, requests under way
    /// come to their end. They must be for the same node of the same cluster under the same authority's key.
    pub fn set_credentials(&self, credentials: Credentials) -> Result<(), NetError> {
        self.shared.set_credentials(credentials)?;
        // Whoever was refused for the old ones is dialled at once.
        self.shared.links.prod_those_down();
        Ok(())
    }

    /// What it shows at present.
    pub fn credentials(&self) -> Credentials {
        self.shared.credentials()
    }

    /// Who is out, from now on: checked at each handshake, and at once against every connection that stands, whoever dialled it. Those who
    /// are cut off read why. The default lets everybody in whose certificate holds.
    pub fn set_access(&self, access: Access) {
        for (connection, principal, refusal) in self.shared.gatekeeper.set(access) {
            add(&self.shared.tally.refused_revoked, 1);
            tracing::info!(%principal, address = %connection.remote_address(), "cut off: {refusal}");
            refusal.close_code().close(&connection, None);
        }
    }

    /// The peers that say that this node is out, and why: it was removed from the cluster, or its certificate revoked. A peer that takes us
    /// in again takes its word back. One peer may be mistaken or malicious; when a majority says so, it is so.
    pub fn cut_off(&self) -> watch::Receiver<BTreeMap<NodeId, Refusal>> {
        self.shared.cut_off.subscribe()
    }

    /// Opens a bulk stream to a peer whose link is up; waits while too many are open already.
    pub async fn open_bulk(&self, to: NodeId, header: Bytes) -> Result<BulkStream, NetError> {
        let link = self.shared.links.get(to).ok_or(NetError::NotConnected(to))?;
        let connection = link.connection().ok_or(NetError::NotConnected(to))?;
        BulkStream::open(&connection, Principal::Node(to), header, None).await
    }

    /// Lets what is queued go out for half a second at most, then says goodbye to everybody.
    pub async fn close(&self) {
        self.shared.closing.send_replace(true);
        self.shared.links.finish();
        if timeout(FLUSH, self.shared.writers.wait_none()).await.is_err() {
            tracing::debug!("not everything could be sent before closing");
        }
        self.shared.endpoint.close(CloseCode::Stopping.number(), b"the node stops");
        // Goodbyes that take longer are for peers that aren't there.
        timeout(GOODBYE, self.shared.endpoint.wait_idle()).await.unwrap_or_default();
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net")
            .field("node", &self.shared.node)
            .field("address", &self.local_addr())
            .finish_non_exhaustive()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.shared.closing.send_replace(true);
        for task in self.tasks.lock().expect("nothing panics while it holds the tasks").drain(..) {
            task.abort();
        }
        self.shared.endpoint.close(CloseCode::Stopping.number(), b"the node stops");
    }
}
