//! One node as a client sees it: its address and the one connection that all requests to it share.
//!
//! However many tasks want the connection at once, one dials and the others wait for that. Never: holds a lock of the
//! standard library across an await.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use outboard_net::{ClientConnection, Dialler, NetError, Refusal};
use tokio::time::{Instant, timeout};

/// The first attempt to connect gets this long, each further one twice as long as the one before ...
const DIAL_MIN: Duration = Duration::from_millis(500);
/// ... up to this.
const DIAL_MAX: Duration = Duration::from_secs(4);

/// The way to one node.
#[derive(Debug)]
pub(crate) struct Link {
    address: String,
    state: Mutex<State>,
    dialling: tokio::sync::Mutex<()>,
    born: Instant,
    /// When the last answer came, in milliseconds since `born`.
    heard_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<ClientConnection>,
    failures: u32,
    /// Set when the last attempt ended by one side refusing the other.
    refused: Option<String>,
    /// Counts the attempts, so that who waited for one doesn't repeat it.
    attempts: u64,
    last_error: Option<OpenError>,
}

/// Why there is no connection.
#[derive(Clone, Debug)]
pub(crate) enum OpenError {
    /// The cluster has revoked these credentials: every node says so, sooner or later.
    Revoked(String),
    /// One side refused the other's certificate or role.
    Refused(String),
    /// Anything else; another time it may work.
    Failed(String),
}

impl OpenError {
    /// In words.
    pub(crate) fn into_text(self) -> String {
        match self {
            OpenError::Revoked(text) | OpenError::Refused(text) | OpenError::Failed(text) => text,
        }
    }
}

impl Link {
    pub(crate) fn new(address: &str) -> Link {
        Link {
            address: address.to_owned(),
            state: Mutex::default(),
            dialling: tokio::sync::Mutex::new(()),
            born: Instant::now(),
            heard_ms: AtomicU64::new(0),
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The connection if it stands.
    pub(crate) fn standing(&self) -> Option<ClientConnection> {
        let connection = self.lock().connection.clone();
        connection.filter(|connection| !connection.is_closed())
    }

    /// The connection, dialled if need be. `short`: there are other nodes to try.
    pub(crate) async fn open(&self, dialler: &Dialler, short: bool) -> Result<ClientConnection, OpenError> {
        if let Some(connection) = self.standing() {
            return Ok(connection);
        }
        let attempts = self.lock().attempts;
        let _one_at_a_time = self.dialling.lock().await;
        if let Some(connection) = self.standing() {
            return Ok(connection);
        }
        let patience = {
            let state = self.lock();
            // Somebody else tried while this call waited for its turn: that result holds for both.
            if state.attempts != attempts
                && let Some(error) = &state.last_error
            {
                return Err(error.clone());
            }
            if short { DIAL_MIN.saturating_mul(1 << state.failures.min(10)).min(DIAL_MAX) } else { DIAL_MAX }
        };
        let result = dial(dialler, &self.address, patience).await;
        let mut state = self.lock();
        state.attempts += 1;
        match &result {
            Ok(connection) => {
                *state = State { connection: Some(connection.clone()), attempts: state.attempts, ..State::default() };
                drop(state);
                self.on_heard();
            }
            Err(error) => {
                state.failures = state.failures.saturating_add(1);
                state.refused = match error {
                    OpenError::Revoked(what) | OpenError::Refused(what) => Some(what.clone()),
                    OpenError::Failed(_) => None,
                };
                state.last_error = Some(error.clone());
            }
        }
        result
    }

    /// Why one side refused the other at the last attempt, if so.
    pub(crate) fn refused(&self) -> Option<String> {
        self.lock().refused.clone()
    }

    /// Whether these credentials were revoked, as of the last attempt.
    pub(crate) fn is_revoked(&self) -> bool {
        matches!(self.lock().last_error, Some(OpenError::Revoked(_)))
    }

    /// An answer came.
    pub(crate) fn on_heard(&self) {
        self.heard_ms.store(self.born.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// When the last answer came, or when the link was made.
    pub(crate) fn heard(&self) -> Instant {
        self.born + Duration::from_millis(self.heard_ms.load(Ordering::Relaxed))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds a link's state")
    }
}

async fn dial(dialler: &Dialler, address: &str, patience: Duration) -> Result<ClientConnection, OpenError> {
    let attempt = async {
        let resolved = tokio::net::lookup_host(address).await;
        let resolved = resolved.map_err(|error| OpenError::Failed(format!("{address} can't be looked up: {error}")))?;
        let mut last = OpenError::Failed(format!("{address} names no address"));
        for socket in resolved {
            match dialler.connect(socket).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = sort(error),
            }
        }
        Err(last)
    };
    timeout(patience, attempt).await.unwrap_or_else(|_| Err(OpenError::Failed(format!("no answer from {address}"))))
}

fn sort(error: NetError) -> OpenError {
    match error {
        // A node that is full or about to stop refuses everybody, whoever it is.
        NetError::Refused { cause: Refusal::Busy, .. } => OpenError::Failed(error.to_string()),
        NetError::Refused { cause: Refusal::Revoked, .. } => OpenError::Revoked(error.to_string()),
        NetError::Refused { .. } | NetError::Tls { .. } | NetError::NotANode { .. } => {
            OpenError::Refused(error.to_string())
        }
        NetError::Bind { .. }
        | NetError::NotConnected(_)
        | NetError::NoAnswer { .. }
        | NetError::Lost { .. }
        | NetError::TooLarge { .. } => OpenError::Failed(error.to_string()),
    }
}
