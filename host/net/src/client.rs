//! A client's connection to one node: many requests at once on one standing stream, answered in any order.
//!
//! It never retries and never reconnects: it only says whether a request may have reached the node. Whoever wants the next node, or the same
//! request once more under the same id, builds it on top (host/client).

use std::collections::HashMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use bytes::{Buf, Bytes};
use quinn::{ClientConfig, Connection, Endpoint, RecvStream, SendStream, TokioRuntime};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::bulk::BulkStream;
use crate::credentials::Credentials;
use crate::dial::refused;
use crate::error::NetError;
use crate::frame::{CLIENT_FRAME_BYTES_MAX, Frame, FrameReader, FrameWriter, ID_BYTES, ReadEnd};
use crate::identity::{self, Holder, Principal};
use crate::lane::{StreamKind, open_greeted};
use crate::outbox::{Outbox, Room};
use crate::refusal::{Cause, CloseCode, Refusal, describe};
use crate::responder::{REQUEST_UNITS_MAX, units};
use crate::{crypto, tls, transport};

/// How long one attempt to connect takes at most.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Connects with one identity, over one UDP socket for each IP version that is asked for.
pub struct Dialler {
    identity: RwLock<Identity>,
    server_name: String,
    v4: Mutex<Option<Endpoint>>,
    v6: Mutex<Option<Endpoint>>,
}

/// What it shows; replaced as a whole.
struct Identity {
    credentials: Credentials,
    config: ClientConfig,
}

impl Identity {
    fn new(credentials: &Credentials) -> Result<Identity, NetError> {
        let mut config = ClientConfig::new(Arc::new(tls::client_config(credentials, tls::ALPN_CLIENT)?));
        config.transport_config(transport::client_transport());
        Ok(Identity { credentials: credentials.clone(), config })
    }
}

impl Dialler {
    /// Nothing is sent before [`Dialler::connect`].
    pub fn new(credentials: &Credentials) -> Result<Dialler, NetError> {
        Ok(Dialler {
            identity: RwLock::new(Identity::new(credentials)?),
            server_name: identity::cluster_server_name(credentials.cluster()),
            v4: Mutex::default(),
            v6: Mutex::default(),
        })
    }

    /// Shows these credentials on every further connection; those that stand keep standing. They must be for the same holder in the same
    /// cluster under the same authority's key.
    pub fn set_credentials(&self, credentials: &Credentials) -> Result<(), NetError> {
        let new = Identity::new(credentials)?;
        let mut identity = self.identity.write().expect(UNPOISONED);
        identity
            .credentials
            .check_successor(credentials)
            .map_err(|what| NetError::Tls { what: format!("these credentials can't be used here: {what}") })?;
        *identity = new;
        Ok(())
    }

    /// What it shows at present.
    pub fn credentials(&self) -> Credentials {
        self.identity.read().expect(UNPOISONED).credentials.clone()
    }

    /// Connects to the node at that address, whichever of the cluster it is. Needs a tokio runtime.
    pub async fn connect(&self, address: SocketAddr) -> Result<ClientConnection, NetError> {
        let config = self.identity.read().expect(UNPOISONED).config.clone();
        let connecting = self
            .endpoint(address)?
            .connect_with(config, address, &self.server_name)
            .map_err(|error| NetError::lost(format!("{address} can't be dialled: {error}")))?;
        let connect = async {
            let connection = connecting.await?;
            let (send, receive) = open_greeted(&connection, StreamKind::Requests).await?;
            Ok((connection, send, receive))
        };
        match timeout(CONNECT_TIMEOUT, connect).await {
            Ok(Ok((connection, send, receive))) => ClientConnection::start(connection, send, receive),
            Ok(Err(error)) => Err(refused(address, CONNECT_TIMEOUT, &error)),
            Err(_) => Err(NetError::NoAnswer { address, seconds: CONNECT_TIMEOUT.as_secs() }),
        }
    }

    fn endpoint(&self, address: SocketAddr) -> Result<Endpoint, NetError> {
        let (slot, any) = match address {
            SocketAddr::V4(_) => (&self.v4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
            SocketAddr::V6(_) => (&self.v6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))),
        };
        let mut slot = slot.lock().expect("nothing panics while it holds an endpoint");
        if let Some(endpoint) = &*slot {
            return Ok(endpoint.clone());
        }
        let socket = transport::bind(any)?;
        let config = transport::endpoint_config(&crypto::random_bytes::<32>());
        let endpoint = Endpoint::new(config, None, socket, Arc::new(TokioRuntime))
            .map_err(|source| NetError::Bind { address: any, source })?;
        Ok(slot.insert(endpoint).clone())
    }
}

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialler").field("credentials", &self.credentials()).finish_non_exhaustive()
    }
}

const UNPOISONED: &str = "nothing panics while it holds the identity";

/// A connection to one node. Clones share it; it closes when the last one (and the last bulk stream on it) is dropped.
#[derive(Clone)]
pub struct ClientConnection {
    shared: Arc<Shared>,
    _last: Arc<CloseOnDrop>,
}

impl ClientConnection {
    /// Connects over a socket of its own. For many connections see [`Dialler`].
    pub async fn connect(address: SocketAddr, credentials: &Credentials) -> Result<ClientConnection, NetError> {
        Dialler::new(credentials)?.connect(address).await
    }

    /// Sends a request and waits for its response. Any number at once; waits its turn when 8,192 or 64 MiB are under way.
    /// Dropped before its end, the request may still be carried out.
    pub async fn request(&self, body: Bytes) -> Result<Bytes, RequestError> {
        if body.len() > CLIENT_FRAME_BYTES_MAX - ID_BYTES {
            return Err(RequestError::TooLarge { bytes: body.len() });
        }
        let shared = &*self.shared;
        let room = shared.room.acquire_many(units(body.len()) as u32).await;
        let Ok(_room) = room else { return Err(RequestError::NotSent(shared.why_closed())) };
        let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let _waiting = Waiting::enter(shared, id, answer);
        if shared.requests.push(Frame { id: Some(id), body }).is_err() {
            return Err(RequestError::NotSent(shared.why_closed()));
        }
        match answered.await {
            Ok(result) => result,
            Err(_) => Err(RequestError::Lost(shared.why_closed())),
        }
    }

    /// Opens a bulk stream beside the requests.
    pub async fn open_bulk(&self, header: Bytes) -> Result<BulkStream, NetError> {
        let keep = Some(self._last.clone() as _);
        BulkStream::open(&self.shared.connection, self.shared.node.clone(), header, keep).await
    }

    /// Whether requests can't be sent any more.
    pub fn is_closed(&self) -> bool {
        self.shared.connection.close_reason().is_some()
    }

    /// Waits until the connection ends; says why.
    pub async fn closed(&self) -> String {
        describe(&self.shared.connection.closed().await)
    }

    /// What the node refused this client for, once the connection has ended for that: revoked, for one. None for every other end.
    pub fn refusal(&self) -> Option<Refusal> {
        Cause::refusal_by_them(&self.shared.connection.close_reason()?)
    }

    /// The node at the other end, as its certificate says.
    pub fn node(&self) -> &Principal {
        &self.shared.node
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.shared.connection.remote_address()
    }

    /// The round trip as QUIC measures it.
    pub fn round_trip(&self) -> Duration {
        self.shared.connection.rtt()
    }

    /// Closes now; what waits for a response gets [`RequestError::Lost`].
    pub fn close(&self) {
        CloseCode::Done.close(&self.shared.connection, None);
    }

    fn start(connection: Connection, send: SendStream, receive: RecvStream) -> Result<ClientConnection, NetError> {
        let Holder { principal: node, .. } = Holder::of(&connection).map_err(NetError::lost)?;
        let shared = Arc::new(Shared {
            connection: connection.clone(),
            node,
            // The semaphore bounds what waits; the outbox only has to have room for all of it.
            requests: Outbox::new(Room { frames_max: usize::MAX, bytes_max: usize::MAX }, true),
            room: Semaphore::new(REQUEST_UNITS_MAX),
            next_id: AtomicU64::new(0),
            waiting: Mutex::default(),
        });
        tokio::spawn(drive(shared.clone(), send, receive));
        Ok(ClientConnection { shared, _last: Arc::new(CloseOnDrop(connection)) })
    }
}

impl fmt::Debug for ClientConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConnection").field("node", &self.shared.node).finish_non_exhaustive()
    }
}

/// What became of a request that got no response.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RequestError {
    /// It never left: send it elsewhere.
    #[error("not sent: {0}")]
    NotSent(String),
    /// The connection ended while it was under way: perhaps carried out, perhaps not.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// It is longer than a frame may be.
    #[error("a request of {bytes} bytes is too long ({} at most)", CLIENT_FRAME_BYTES_MAX - ID_BYTES)]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
}

type Answer = oneshot::Sender<Result<Bytes, RequestError>>;

struct Shared {
    connection: Connection,
    node: Principal,
    requests: Outbox,
    room: Semaphore,
    next_id: AtomicU64,
    waiting: Mutex<HashMap<u64, Answer>>,
}

impl Shared {
    fn take_waiting(&self, id: u64) -> Option<Answer> {
        self.waiting.lock().expect("nothing panics while it holds this").remove(&id)
    }

    fn why_closed(&self) -> String {
        self.connection.close_reason().map_or_else(|| "the request stream ended".to_string(), |error| describe(&error))
    }
}

/// Takes a request out of the list however its wait ends.
struct Waiting<'a> {
    shared: &'a Shared,
    id: u64,
}

impl<'a> Waiting<'a> {
    fn enter(shared: &'a Shared, id: u64, answer: Answer) -> Waiting<'a> {
        shared.waiting.lock().expect("nothing panics while it holds this").insert(id, answer);
        Waiting { shared, id }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.take_waiting(self.id);
    }
}

struct CloseOnDrop(Connection);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        CloseCode::Done.close(&self.0, None);
    }
}

/// Writes requests and hands out responses until the connection ends; then tells everybody who waits.
async fn drive(shared: Arc<Shared>, send: SendStream, receive: RecvStream) {
    tokio::select! {
        () = write(&shared, send) => {}
        () = read(&shared, receive) => {}
        _ = shared.connection.closed() => {}
    }
    // A node that ends the stream says next why it closes the connection.
    timeout(Duration::from_millis(200), shared.connection.closed()).await.map(drop).unwrap_or_default();
    let why = shared.why_closed();
    CloseCode::Done.close(&shared.connection, None);
    shared.room.close();
    for frame in shared.requests.close() {
        if let Some(answer) = frame.id.and_then(|id| shared.take_waiting(id)) {
            answer.send(Err(RequestError::NotSent(why.clone()))).unwrap_or_default();
        }
    }
    let waiting = std::mem::take(&mut *shared.waiting.lock().expect("nothing panics while it holds this"));
    for (_, answer) in waiting {
        answer.send(Err(RequestError::Lost(why.clone()))).unwrap_or_default();
    }
}

async fn write(shared: &Shared, mut send: SendStream) {
    let mut writer = FrameWriter::new();
    let mut frames = Vec::new();
    while shared.requests.take_all(&mut frames).await {
        if writer.write(&mut send, &mut frames).await.is_err() {
            return;
        }
    }
}

async fn read(shared: &Shared, receive: RecvStream) {
    let mut reader = FrameReader::new(receive, CLIENT_FRAME_BYTES_MAX);
    loop {
        let frames = match reader.next().await {
            Ok(frames) => frames,
            Err(ReadEnd::Closed) => return,
            Err(ReadEnd::Malformed(malformed)) => {
                return CloseCode::Malformed.close(&shared.connection, Some(&malformed));
            }
        };
        let mut waiting = shared.waiting.lock().expect("nothing panics while it holds this");
        for mut body in frames {
            if body.len() < ID_BYTES {
                return CloseCode::Malformed.close(&shared.connection, None);
            }
            let id = body.get_u64_le();
            // Nobody waits for it any more, or the node made the id up: either way there is nothing to do.
            if let Some(answer) = waiting.remove(&id) {
                answer.send(Ok(body)).unwrap_or_default();
            }
        }
    }
}
