//! A node's net: one UDP port, everything that comes in on one channel of events, peers that are kept connected.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use bytes::Bytes;
use outboard_raft::NodeId;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, TokioRuntime};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::access::{Access, Gatekeeper};
use crate::bulk::BulkStream;
use crate::counters::{Counters, Tally, add};
use crate::credentials::Credentials;
use crate::enrol::JoinRequest;
use crate::error::NetError;
use crate::identity::{ClusterId, Principal};
use crate::link::{LinkStatus, Links, PeerSender};
use crate::refusal::{Cause, CloseCode, Refusal};
use crate::requests::{ClientInfo, Responder};
use crate::{dial, serve, tls, transport};

/// How long `close` lets queued frames and responses go out.
const FLUSH: Duration = Duration::from_millis(500);
/// How long it waits until the goodbyes are sent.
const GOODBYE: Duration = Duration::from_millis(200);

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

/// The net of one node. Dropping it breaks all connections off; [`Net::close`] is the polite way.
pub struct Net {
    shared: Arc<Shared>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Net {
    /// Binds the port, starts accepting and dialling. Runs on the current tokio runtime; events arrive on `events`, whose capacity
    /// bounds how many batches wait: readers stop while it is full.
    pub async fn bind(options: Options, events: mpsc::Sender<NetEvent>) -> Result<Net, NetError> {
        let Options { listen, credentials, peers, limits, joins, incarnation } = options;
        let peer_protocol = tls::peer_protocol(incarnation);
        let Principal::Node(node) = *credentials.principal() else {
            return Err(NetError::NotANode { principal: credentials.principal().to_string() });
        };
        let endpoint = endpoint(listen, &credentials, &peer_protocol, joins.is_some())?;
        let dialler = dialler(&credentials, &peer_protocol)?;
        let shared = Arc::new(Shared {
            node,
            cluster: credentials.cluster(),
            peer_protocol,
            endpoint,
            identity: RwLock::new(Identity { credentials, dialler }),
            gatekeeper: Gatekeeper::new(),
            cut_off: watch::Sender::default(),
            joins,
            joins_room: Semaphore::new(limits.joins_max),
            limits,
            tally: Arc::default(),
            events,
            links: Arc::default(),
            newest: Mutex::default(),
            handshakes: AtomicUsize::new(0),
            connections_seen: AtomicU64::new(0),
            writers: Writers::default(),
            closing: watch::Sender::new(false),
        });
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
        let peer_protocol = &self.shared.peer_protocol;
        let dialler = dialler(&credentials, peer_protocol)?;
        let server = transport::server_config(&credentials, peer_protocol, self.shared.joins.is_some())?;
        let mut identity = self.shared.identity.write().expect("nothing panics while it holds the identity");
        identity
            .credentials
            .check_successor(&credentials)
            .map_err(|what| NetError::Tls { what: format!("these credentials can't be used here: {what}") })?;
        *identity = Identity { credentials, dialler };
        self.shared.endpoint.set_server_config(Some(server));
        drop(identity);
        // Whoever was refused for the old ones is dialled at once.
        self.shared.links.prod_those_down();
        Ok(())
    }

    /// What it shows at present.
    pub fn credentials(&self) -> Credentials {
        self.shared.identity.read().expect("nothing panics while it holds the identity").credentials.clone()
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

/// How peers are dialled.
fn dialler(credentials: &Credentials, peer_protocol: &[u8]) -> Result<ClientConfig, NetError> {
    let mut dialler = ClientConfig::new(Arc::new(tls::client_config(credentials, peer_protocol)?));
    dialler.transport_config(transport::peer_transport());
    Ok(dialler)
}

fn endpoint(
    listen: Listen,
    credentials: &Credentials,
    peer_protocol: &[u8],
    takes_joins: bool,
) -> Result<Endpoint, NetError> {
    let socket = match listen {
        Listen::Address(address) => transport::bind(address)?,
        Listen::Socket(socket) => {
            transport::enlarge_buffers(&socket);
            socket
        }
    };
    let unspecified = SocketAddr::from(([0, 0, 0, 0], 0));
    let address = socket.local_addr().unwrap_or(unspecified);
    let config = transport::endpoint_config(credentials.key_pem().as_bytes());
    let server = transport::server_config(credentials, peer_protocol, takes_joins)?;
    Endpoint::new(config, Some(server), socket, Arc::new(TokioRuntime))
        .map_err(|source| NetError::Bind { address, source })
}

/// What all tasks of a net share.
pub(crate) struct Shared {
    pub(crate) node: NodeId,
    pub(crate) cluster: ClusterId,
    /// By the cluster's incarnation.
    pub(crate) peer_protocol: Vec<u8>,
    pub(crate) endpoint: Endpoint,
    identity: RwLock<Identity>,
    pub(crate) gatekeeper: Arc<Gatekeeper>,
    cut_off: watch::Sender<BTreeMap<NodeId, Refusal>>,
    pub(crate) joins: Option<mpsc::Sender<JoinRequest>>,
    pub(crate) joins_room: Semaphore,
    pub(crate) limits: Limits,
    pub(crate) tally: Arc<Tally>,
    events: mpsc::Sender<NetEvent>,
    pub(crate) links: Arc<Links>,
    /// Of each peer the newest connection that it made to us.
    newest: Mutex<BTreeMap<NodeId, Connection>>,
    pub(crate) handshakes: AtomicUsize,
    pub(crate) connections_seen: AtomicU64,
    pub(crate) writers: Writers,
    closing: watch::Sender<bool>,
}

/// What the node shows; replaced as a whole.
struct Identity {
    credentials: Credentials,
    dialler: ClientConfig,
}

impl Shared {
    /// How peers are dialled at present.
    pub(crate) fn dialler(&self) -> ClientConfig {
        self.identity.read().expect("nothing panics while it holds the identity").dialler.clone()
    }

    /// A connection with a peer ended: was it to tell us that we are out?
    pub(crate) fn heed(&self, by: NodeId, error: &ConnectionError) {
        let Some(cause) = Cause::refusal_by_them(error).filter(|cause| cause.is_cut_off()) else { return };
        if self.cut_off.send_if_modified(|said| said.insert(by, cause) != Some(cause)) {
            tracing::error!(peer = %by, "{cause}");
        }
    }

    /// A peer has taken us in.
    pub(crate) fn forgive(&self, by: NodeId) {
        self.cut_off.send_if_modified(|said| said.remove(&by).is_some());
    }

    /// Hands an event to the node; waits while the node is behind, gives up when the net closes.
    pub(crate) async fn send_event(&self, event: NetEvent) {
        tokio::select! {
            biased;
            // An error means that nobody listens any more.
            sent = self.events.send(event) => sent.unwrap_or_default(),
            () = self.wait_closing() => {}
        }
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    pub(crate) async fn wait_closing(&self) {
        self.closing.subscribe().wait_for(|closing| *closing).await.map(drop).unwrap_or_default();
    }

    pub(crate) fn open_connections(&self) -> usize {
        self.tally.connections_open.load(Ordering::Relaxed) as usize
    }

    /// Notes a peer's newest connection; returns the one before.
    pub(crate) fn replace_newest(&self, node: NodeId, connection: &Connection) -> Option<Connection> {
        self.newest.lock().expect("nothing panics while it holds this").insert(node, connection.clone())
    }

    /// Forgets a connection that ended, unless a newer one took its place: then this is false.
    pub(crate) fn forget_newest(&self, node: NodeId, connection: &Connection) -> bool {
        let mut newest = self.newest.lock().expect("nothing panics while it holds this");
        let is_newest = newest.get(&node).is_some_and(|known| known.stable_id() == connection.stable_id());
        if is_newest {
            newest.remove(&node);
        }
        is_newest
    }
}

/// Counts the tasks that `close` waits for.
#[derive(Default)]
pub(crate) struct Writers(watch::Sender<usize>);

impl Writers {
    pub(crate) fn enter(&self) -> Writing<'_> {
        self.0.send_modify(|count| *count += 1);
        Writing(self)
    }

    async fn wait_none(&self) {
        self.0.subscribe().wait_for(|count| *count == 0).await.map(drop).unwrap_or_default();
    }
}

/// One such task, as long as it lives.
pub(crate) struct Writing<'a>(&'a Writers);

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}
