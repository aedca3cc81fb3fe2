//! The gateway: how a listener of another protocol on this node asks the cluster, without a wire in between.
//!
//! What is submitted goes into the loop's next turn together with all else that waits, and so into one batch of the log. Bounded:
//! what is submitted beyond the bound is answered [`Response::Overloaded`] at once.

use crate::settings::WAITING_MAX;
use outboard_sandbox::Manifest;
use outboard_wire::client::{Hint, RequestBody, Response};
use outboard_wire::command::EngineRecord;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// One question to the cluster.
pub struct Ask {
    /// What is asked. A write needs no [`outboard_wire::client::RequestId`]: the node gives it one of its own where that helps.
    pub body: RequestBody,
    /// How long to wait for an outcome, in milliseconds.
    pub timeout_ms: u32,
    /// Called once, on a thread of the node's, which it must not hold up: pass the response on and return.
    pub reply: Box<dyn FnOnce(Response) + Send>,
}

/// The way into one node. Clones lead to the same node; when that has ended, everything is answered [`Response::NotDone`].
#[derive(Clone)]
pub struct Gateway {
    asks: UnboundedSender<Vec<Ask>>,
    shared: Arc<Shared>,
}

/// What the loop and the gateways share.
struct Shared {
    /// Submitted, and not taken by the loop yet.
    queued: AtomicUsize,
    told: Mutex<Told>,
    started: Instant,
}

#[derive(Default)]
struct Told {
    manifest: Option<Arc<Manifest>>,
    figures: Figures,
}

/// A node at a glance, at most a moment old.
#[derive(Clone, Eq, PartialEq, Debug, Default)]
pub struct Figures {
    /// Its number.
    pub node: u64,
    /// The name that the operator gave it.
    pub name: String,
    /// Its cluster's id.
    pub cluster: String,
    /// `leader`, `follower`, `candidate`, `pre-candidate`.
    pub role: String,
    /// The leader that it knows, perhaps itself.
    pub leader: Option<Hint>,
    /// Its term.
    pub term: u64,
    /// The commit index that it knows.
    pub commit: u64,
    /// What its tables have applied.
    pub applied: u64,
    /// All members, with the addresses that nodes find them at.
    pub members: Vec<Hint>,
    /// Since it started, in milliseconds.
    pub uptime_ms: u64,
    /// The engine that runs; none before the first leader has spoken, or while its component is not here.
    pub engine: Option<EngineRecord>,
}

impl Gateway {
    /// Asks all of these in the loop's next turn. Never blocks.
    pub fn submit(&self, asks: Vec<Ask>) {
        let count = asks.len();
        let queued = self.shared.queued.fetch_add(count, Ordering::Relaxed);
        if queued + count > WAITING_MAX {
            self.shared.queued.fetch_sub(count, Ordering::Relaxed);
            return asks.into_iter().for_each(|ask| (ask.reply)(Response::Overloaded));
        }
        if let Err(refused) = self.asks.send(asks) {
            let ended = || Response::NotDone("the node has ended".into());
            refused.0.into_iter().for_each(|ask| (ask.reply)(ended()));
        }
    }

    /// What the running engine says of itself: its commands, which of them write, which arguments are keys. None before the first
    /// leader has spoken, or while its component is not here. Changes with an upgrade.
    pub fn manifest(&self) -> Option<Arc<Manifest>> {
        self.shared.told().manifest.clone()
    }

    /// How the node stands.
    pub fn figures(&self) -> Figures {
        let uptime_ms = u64::try_from(self.shared.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Figures { uptime_ms, ..self.shared.told().figures.clone() }
    }
}

impl Shared {
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        // Each part is replaced as a whole.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop's end of the gateways.
pub(crate) struct Entrance {
    asks: UnboundedReceiver<Vec<Ask>>,
    shared: Arc<Shared>,
}

/// A gateway, and its other end.
pub(crate) fn open() -> (Gateway, Entrance) {
    let (sender, asks) = unbounded_channel();
    let shared = Arc::new(Shared { queued: AtomicUsize::new(0), told: Mutex::default(), started: Instant::now() });
    (Gateway { asks: sender, shared: shared.clone() }, Entrance { asks, shared })
}

impl Entrance {
    /// Waits until something is asked; false when nobody can ask any more. Nothing is lost when it is dropped while it waits.
    pub(crate) async fn wait(&mut self, into: &mut Vec<Ask>) -> bool {
        match self.asks.recv().await {
            Some(asks) => {
                self.take(asks, into);
                true
            }
            None => false,
        }
    }

    /// Everything else that is asked now.
    pub(crate) fn take_all(&mut self, into: &mut Vec<Ask>) {
        while let Ok(asks) = self.asks.try_recv() {
            self.take(asks, into);
        }
    }

    fn take(&self, asks: Vec<Ask>, into: &mut Vec<Ask>) {
        self.shared.queued.fetch_sub(asks.len(), Ordering::Relaxed);
        into.extend(asks);
    }

    pub(crate) fn tell_manifest(&self, manifest: Option<Arc<Manifest>>) {
        self.shared.told().manifest = manifest;
    }

    pub(crate) fn tell_figures(&self, figures: Figures) {
        self.shared.told().figures = figures;
    }
}

impl Drop for Entrance {
    /// The node has ended: whoever has asked and was not heard is told so.
    fn drop(&mut self) {
        self.asks.close();
        let mut unheard = Vec::new();
        self.take_all(&mut unheard);
        unheard.into_iter().for_each(|ask| (ask.reply)(Response::NotDone("the node has ended".into())));
    }
}
