//! What the connections of a listener share: the node, the options, the commands, the counters, and each other.
//!
//! All of it lives on the node's thread; only the [`Outbox`] is reached from others.

use crate::backend::{Ask, Backend, Figures};
use crate::commands::Commands;
use crate::connection::Connection;
use crate::limits::{LOGINS_AT_ONCE, LOGINS_WAITING_MAX, READ_BYTES};
use crate::options::Options;
use crate::outbox::{Outbox, Ticket, Word};
use crate::told::{Cause, Told};
use bytes::BytesMut;
use outboard_sandbox::Manifest;
use outboard_wire::client::{RequestBody, Response};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// A connection, shared by its task and the delivery.
pub(crate) type Shared = Rc<RefCell<Connection>>;

/// A [`Backend`] whose kind nobody here needs to know.
pub(crate) trait Node {
    fn submit(&self, asks: Vec<Ask>);
    fn manifest(&self) -> Option<Arc<Manifest>>;
    fn figures(&self) -> Figures;
}

impl<B: Backend> Node for B {
    fn submit(&self, asks: Vec<Ask>) {
        Backend::submit(self, asks);
    }

    fn manifest(&self) -> Option<Arc<Manifest>> {
        Backend::manifest(self)
    }

    fn figures(&self) -> Figures {
        Backend::figures(self)
    }
}

/// What the connections share.
pub(crate) struct Hub {
    pub(crate) backend: Box<dyn Node>,
    pub(crate) options: Options,
    /// Where the listener listens.
    pub(crate) address: SocketAddr,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) counters: Counters,
    /// What is read goes in here first.
    pub(crate) scratch: RefCell<BytesMut>,
    /// Replies of the gateway itself are put together here.
    pub(crate) reply: RefCell<Vec<u8>>,
    commands: RefCell<Rc<Commands>>,
    served: RefCell<Served>,
    held_bytes: Cell<usize>,
    logins: Arc<Semaphore>,
    logins_waiting: Cell<usize>,
    told: RefCell<Told>,
}

/// The connections that are served, each at its place.
#[derive(Default)]
struct Served {
    places: Vec<Option<Shared>>,
    free: Vec<usize>,
    next_id: u64,
}

/// What is counted, for INFO.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connected: Cell<usize>,
    pub(crate) connections: Cell<u64>,
    pub(crate) rejected: Cell<u64>,
    pub(crate) commands: Cell<u64>,
    pub(crate) commands_per_second: Cell<u64>,
    pub(crate) errors: Cell<u64>,
    pub(crate) input_bytes: Cell<u64>,
    pub(crate) output_bytes: Cell<u64>,
    pub(crate) cut_off: Cell<u64>,
    counted: Cell<u64>,
}

/// One more of these.
pub(crate) fn add(counter: &Cell<u64>, count: usize) {
    counter.set(counter.get() + count as u64);
}

impl Counters {
    /// CONFIG RESETSTAT.
    pub(crate) fn reset(&self) {
        let Counters { connections, rejected, commands, errors, input_bytes, output_bytes, cut_off, counted, .. } =
            self;
        for counter in [connections, rejected, commands, errors, input_bytes, output_bytes, cut_off, counted] {
            counter.set(0);
        }
    }

    /// Called now and then: the commands since the last call become a rate.
    pub(crate) fn measure(&self, since: Duration) {
        let count = self.commands.get().saturating_sub(self.counted.replace(self.commands.get()));
        let rate = count as f64 / since.as_secs_f64().max(0.001);
        self.commands_per_second.set(rate as u64);
    }
}

impl Hub {
    pub(crate) fn new(backend: impl Backend, options: Options, address: SocketAddr) -> Hub {
        Hub {
            commands: RefCell::new(Rc::new(Commands::new(backend.manifest()))),
            backend: Box::new(backend),
            options,
            address,
            outbox: Arc::default(),
            counters: Counters::default(),
            scratch: RefCell::new(BytesMut::with_capacity(READ_BYTES)),
            reply: RefCell::default(),
            served: RefCell::default(),
            held_bytes: Cell::new(0),
            logins: Arc::new(Semaphore::new(LOGINS_AT_ONCE)),
            logins_waiting: Cell::new(0),
            told: RefCell::default(),
        }
    }

    /// The commands there are now.
    pub(crate) fn commands(&self) -> Rc<Commands> {
        let manifest = self.backend.manifest();
        let mut commands = self.commands.borrow_mut();
        let same = match (&manifest, commands.manifest()) {
            (Some(now), Some(before)) => Arc::ptr_eq(now, before),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !same {
            *commands = Rc::new(Commands::new(manifest));
        }
        commands.clone()
    }

    /// Hands requests over.
    pub(crate) fn submit(&self, asks: Vec<Ask>) {
        if !asks.is_empty() {
            self.backend.submit(asks);
        }
    }

    /// A watcher that nobody needs any more. If this is lost, it expires.
    pub(crate) fn unwatch(&self, watcher: u64, asks: &mut Vec<Ask>) {
        let body = RequestBody::Unwatch { watcher };
        asks.push(Ask { body, timeout_ms: self.options.timeout_ms, reply: Box::new(|_| ()) });
    }

    /// Gives a new connection its place and number.
    pub(crate) fn admit(&self, connection: impl FnOnce(usize, u64) -> Connection) -> Shared {
        let mut served = self.served.borrow_mut();
        served.next_id += 1;
        let place = served.free.pop().unwrap_or_else(|| {
            served.places.push(None);
            served.places.len() - 1
        });
        let shared = Rc::new(RefCell::new(connection(place, served.next_id)));
        served.places[place] = Some(shared.clone());
        self.counters.connected.set(self.counters.connected.get() + 1);
        add(&self.counters.connections, 1);
        shared
    }

    /// A connection is over.
    pub(crate) fn dismiss(&self, place: usize) {
        let mut served = self.served.borrow_mut();
        assert!(served.places[place].take().is_some(), "a connection ends once");
        served.free.push(place);
        self.counters.connected.set(self.counters.connected.get() - 1);
    }

    /// All connections, for a look at each.
    pub(crate) fn connections(&self) -> Vec<Shared> {
        self.served.borrow().places.iter().flatten().cloned().collect()
    }

    fn connection(&self, ticket: Ticket) -> Option<Shared> {
        let served = self.served.borrow();
        let shared = served.places.get(ticket.place)?.as_ref()?;
        (shared.borrow().facts().id == ticket.connection).then(|| shared.clone())
    }

    /// Brings answers to their connections; each connection is written to once, and what that sets free goes to the node together.
    pub(crate) fn deliver(self: &Rc<Hub>, words: &mut Vec<(Ticket, Word)>) -> Vec<Ask> {
        let mut asks = Vec::new();
        let mut touched: Vec<Shared> = Vec::new();
        for (ticket, word) in words.drain(..) {
            match self.connection(ticket) {
                Some(shared) => {
                    if shared.borrow_mut().arrive(ticket.sequence, word) {
                        touched.push(shared);
                    }
                }
                None => {
                    if let Word::Answer(Response::Watching { watcher }) = word {
                        self.unwatch(watcher, &mut asks);
                    }
                }
            }
        }
        for shared in touched {
            shared.borrow_mut().settle(self, &mut asks);
        }
        asks
    }

    /// What all connections hold, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes.get()
    }

    /// Whether that is too much.
    pub(crate) fn is_full(&self) -> bool {
        self.held_bytes.get() >= self.options.held_bytes_max
    }

    /// A connection holds so much now, after so much before.
    pub(crate) fn account(&self, before: usize, now: usize) {
        self.held_bytes.set(self.held_bytes.get() + now - before);
    }

    /// Whether one more password may wait for its check.
    pub(crate) fn has_room_for_login(&self) -> bool {
        self.logins_waiting.get() < LOGINS_WAITING_MAX
    }

    /// Checks a password beside the loop; the word comes back under the ticket.
    pub(crate) fn check_password(self: &Rc<Hub>, name: Vec<u8>, password: Vec<u8>, ticket: Ticket) {
        self.logins_waiting.set(self.logins_waiting.get() + 1);
        let hub = self.clone();
        tokio::task::spawn_local(async move {
            let users = hub.options.users.clone();
            let permit = hub.logins.acquire().await.expect("the listener never closes it");
            let right = tokio::task::spawn_blocking(move || users.verify(&name, &password)).await.unwrap_or(false);
            drop(permit);
            hub.logins_waiting.set(hub.logins_waiting.get() - 1);
            hub.outbox.push(ticket, Word::Checked(right));
        });
    }

    /// Writes a line about a client into the log, unless there was one of the kind just now.
    pub(crate) fn tell(&self, cause: Cause, peer: SocketAddr, what: fmt::Arguments<'_>) {
        if let Some(unsaid) = self.told.borrow_mut().may(cause, Instant::now()) {
            tracing::warn!(%peer, unsaid, "Redis client: {what}");
        }
    }
}
