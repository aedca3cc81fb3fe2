//! The client itself: what all its clones share, and how it comes to its first connection.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::call::Call;
use crate::context::Context;
use crate::error::ClientError;
use crate::link::{Link, OpenError};
use crate::route::{Hinted, Pick, Route};
use crate::sessions::Sessions;
use crate::verdict::Repeat;
use bytes::Bytes;
use outboard_net::Dialler;
use outboard_wire::client::{Consistency, Hint, RequestBody};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// Between the starts of the first attempts to connect: the first endpoint wins when it is well.
const STAGGER: Duration = Duration::from_millis(150);

/// For each session that is given back.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How a client behaves; each call may deviate in time and consistency.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a call waits at most, retries included.
    pub timeout: Duration,
    /// What reads may show.
    pub consistency: Consistency,
    /// Stay with the first endpoint: follow no hint, try no other node. For looking at one node.
    pub pinned: bool,
    /// Give writes names in a session, so that each is done once however often it has to be sent. The first write opens the
    /// session. Without, a write whose answer is lost ends as [`ClientError::Unknown`].
    pub sessions: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            timeout: Duration::from_secs(10),
            consistency: Consistency::Linearizable,
            pinned: false,
            sessions: true,
        }
    }
}

/// A client of one cluster. Clones share its connections; they close when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

impl Client {
    /// A client that has reached a node, with the usual options.
    pub async fn connect(context: &Context) -> Result<Client, ClientError> {
        Client::connect_with(context, Options::default()).await
    }

    /// A client that has reached a node: every endpoint is tried once, the first to answer is asked first.
    pub async fn connect_with(context: &Context, options: Options) -> Result<Client, ClientError> {
        let patience = options.timeout;
        let client = Client::new(context, options)?;
        match timeout(patience, client.inner.clone().reach_any()).await {
            Ok(result) => result.map(|()| client),
            Err(_) => Err(ClientError::Unavailable(format!("no node answers ({})", context.endpoints.join(", ")))),
        }
    }

    /// A client that connects when it is first asked something. Its calls need a tokio runtime with time and I/O.
    pub fn new(context: &Context, options: Options) -> Result<Client, ClientError> {
        if context.endpoints.is_empty() {
            return Err(ClientError::Invalid("the context has no endpoint".to_owned()));
        }
        let dialler = Dialler::new(&context.credentials).map_err(|error| ClientError::Auth(error.to_string()))?;
        let route = Route::new(&context.endpoints, options.pinned);
        let links = (0..route.len()).map(|node| Arc::new(Link::new(route.address(node)))).collect();
        let ways = Mutex::new(Ways { route, links });
        let inner = Inner { dialler, options, ways, sessions: Sessions::default() };
        Ok(Client { inner: Arc::new(inner) })
    }

    /// A command for the engine, its name first; the arguments are copied. Await it, or set it up first.
    pub fn command<A: AsRef<[u8]>>(&self, arguments: impl IntoIterator<Item = A>) -> Call<'_> {
        let arguments = arguments.into_iter().map(|argument| Bytes::copy_from_slice(argument.as_ref())).collect();
        self.command_bytes(arguments)
    }

    /// A command for the engine whose arguments are not copied.
    pub fn command_bytes(&self, arguments: Vec<Bytes>) -> Call<'_> {
        Call::new(self, arguments)
    }

    /// The caller knows that the node at this address is gone: others are asked first for a while.
    pub fn leave(&self, address: &str) {
        let mut ways = self.inner.lock();
        if let Some(node) = ways.route.find(address) {
            ways.route.on_silent(node, Instant::now());
        }
    }

    /// Gives the sessions back to the cluster, which would else keep them for an hour: for programs that come and go. The client
    /// can go on; its next write opens a session again.
    pub async fn close(&self) {
        let patience = CLOSE_TIMEOUT.min(self.options().timeout);
        for session in self.inner.sessions.take() {
            let closing = self.inner.ask(RequestBody::SessionClose { session }, Repeat::Harmless, patience);
            // What is not closed expires.
            if closing.await.is_err() {
                return;
            }
        }
    }

    /// How this client behaves.
    pub fn options(&self) -> &Options {
        &self.inner.options
    }
}

/// What the clones of a client share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) dialler: Dialler,
    pub(crate) options: Options,
    /// Held for a few instructions only, never across an await.
    ways: Mutex<Ways>,
    pub(crate) sessions: Sessions,
}

#[derive(Debug)]
pub(crate) struct Ways {
    pub(crate) route: Route,
    /// One for each node of the route, in its order.
    pub(crate) links: Vec<Arc<Link>>,
}

impl Inner {
    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, Ways> {
        self.ways.lock().expect("nothing panics while it holds the ways")
    }

    /// The node to ask now, its link, and whether there are others.
    pub(crate) fn pick(&self) -> (Pick, Arc<Link>, bool) {
        let mut ways = self.lock();
        let pick = ways.route.pick(Instant::now());
        (pick, ways.links[pick.node].clone(), ways.links.len() > 1)
    }

    /// Follows a hint to the leader: at once if it is connected, else a connection is made beside the traffic, so that no
    /// request waits for an address that this client may not be able to reach.
    pub(crate) fn on_hint(self: &Arc<Self>, hint: &Hint) {
        let (node, link) = {
            let mut ways = self.lock();
            let Hinted::Try(node) = ways.route.on_hint(&hint.address, Instant::now()) else { return };
            if node == ways.links.len() {
                ways.links.push(Arc::new(Link::new(&hint.address)));
            }
            let link = ways.links[node].clone();
            if link.standing().is_some() {
                return ways.route.prefer(node);
            }
            // Until the attempt has ended, further hints to it are ignored.
            ways.route.on_lost(node, Instant::now());
            (node, link)
        };
        let inner = Arc::downgrade(self);
        tokio::spawn(async move {
            let Some(inner) = inner.upgrade() else { return };
            if link.open(&inner.dialler, true).await.is_ok() {
                inner.lock().route.prefer(node);
            }
        });
    }

    /// A node said so of these credentials.
    pub(crate) fn is_revoked(&self) -> bool {
        self.lock().links.iter().any(|link| link.is_revoked())
    }

    /// When no further attempt will help: what was said. The cluster has revoked these credentials, or every node refused them at its last
    /// attempt.
    pub(crate) fn refused_for_good(&self, error: &OpenError) -> Option<String> {
        match error {
            OpenError::Revoked(why) => return Some(why.clone()),
            OpenError::Refused(_) => {}
            OpenError::Failed(_) => return None,
        }
        let links = self.lock().links.clone();
        let refusals: Option<Vec<String>> = links.iter().map(|link| link.refused()).collect();
        refusals.and_then(|refusals| refusals.into_iter().next())
    }

    /// Tries all endpoints, a little apart, until one is connected.
    async fn reach_any(self: Arc<Self>) -> Result<(), ClientError> {
        let links = self.lock().links.clone();
        let mut attempts = JoinSet::new();
        for (node, link) in links.into_iter().enumerate() {
            let inner = self.clone();
            attempts.spawn(async move {
                sleep(STAGGER * node as u32).await;
                link.open(&inner.dialler, false).await.map(|_| node)
            });
        }
        let mut failures = Vec::new();
        while let Some(attempt) = attempts.join_next().await {
            match attempt.expect("connecting doesn't panic") {
                Ok(node) => {
                    self.lock().route.prefer(node);
                    return Ok(());
                }
                Err(failure) => failures.push(failure),
            }
        }
        Err(no_way(failures))
    }
}

/// Revoked, or all refused: the credentials are wrong. Else the cluster is not there.
fn no_way(failures: Vec<OpenError>) -> ClientError {
    if let Some(revoked) = failures.iter().position(|failure| matches!(failure, OpenError::Revoked(_))) {
        return ClientError::Auth(failures.into_iter().nth(revoked).expect("it is there").into_text());
    }
    let all_refused = failures.iter().all(|failure| matches!(failure, OpenError::Refused(_)));
    let mut texts: Vec<String> = failures.into_iter().map(OpenError::into_text).collect();
    if all_refused { ClientError::Auth(texts.swap_remove(0)) } else { ClientError::Unavailable(texts.join("; ")) }
}
