//! What all tasks of a node's net share: its port, who it is, who is out, the links, the counters, and that it closes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use outboard_raft::NodeId;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, TokioRuntime};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::access::Gatekeeper;
use crate::counters::Tally;
use crate::credentials::Credentials;
use crate::error::NetError;
use crate::event::NetEvent;
use crate::identity::{ClusterId, Principal};
use crate::join_request::JoinRequest;
use crate::link::Links;
use crate::options::{Limits, Listen, Options};
use crate::refusal::{Cause, Refusal};
use crate::{tls, transport};

/// What all tasks of a net share.
pub(crate) struct Shared {
    pub(crate) node: NodeId,
    pub(crate) cluster: ClusterId,
    /// By the cluster's incarnation.
    pub(crate) peer_protocol: Vec<u8>,
    pub(crate) endpoint: Endpoint,
    identity: RwLock<Identity>,
    pub(crate) gatekeeper: Arc<Gatekeeper>,
    pub(crate) cut_off: watch::Sender<BTreeMap<NodeId, Refusal>>,
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
    pub(crate) closing: watch::Sender<bool>,
}

/// What the node shows; replaced as a whole.
struct Identity {
    credentials: Credentials,
    dialler: ClientConfig,
}

impl Identity {
    fn new(credentials: Credentials, peer_protocol: &[u8]) -> Result<Identity, NetError> {
        let mut dialler = ClientConfig::new(Arc::new(tls::client_config(&credentials, peer_protocol)?));
        dialler.transport_config(transport::peer_transport());
        Ok(Identity { credentials, dialler })
    }
}

impl Shared {
    /// Binds the port. Nothing is accepted or dialled yet.
    pub(crate) fn bind(options: Options, events: mpsc::Sender<NetEvent>) -> Result<Shared, NetError> {
        let Options { listen, credentials, peers: _, limits, joins, incarnation } = options;
        let peer_protocol = tls::peer_protocol(incarnation);
        let Principal::Node(node) = *credentials.principal() else {
            return Err(NetError::NotANode { principal: credentials.principal().to_string() });
        };
        let endpoint = endpoint(listen, &credentials, &peer_protocol, joins.is_some())?;
        Ok(Shared {
            node,
            cluster: credentials.cluster(),
            endpoint,
            identity: RwLock::new(Identity::new(credentials, &peer_protocol)?),
            peer_protocol,
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
        })
    }

    /// What it shows at present.
    pub(crate) fn credentials(&self) -> Credentials {
        self.identity.read().expect("nothing panics while it holds the identity").credentials.clone()
    }

    /// Shows these from now on, to whoever dials and to whom it dials.
    pub(crate) fn set_credentials(&self, credentials: Credentials) -> Result<(), NetError> {
        let server = transport::server_config(&credentials, &self.peer_protocol, self.joins.is_some())?;
        let next = Identity::new(credentials, &self.peer_protocol)?;
        let mut identity = self.identity.write().expect("nothing panics while it holds the identity");
        identity
            .credentials
            .check_successor(&next.credentials)
            .map_err(|what| NetError::Tls { what: format!("these credentials can't be used here: {what}") })?;
        *identity = next;
        self.endpoint.set_server_config(Some(server));
        Ok(())
    }

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

/// Counts the tasks that `close` waits for.
#[derive(Default)]
pub(crate) struct Writers(watch::Sender<usize>);

impl Writers {
    pub(crate) fn enter(&self) -> Writing<'_> {
        self.0.send_modify(|count| *count += 1);
        Writing(self)
    }

    pub(crate) async fn wait_none(&self) {
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
