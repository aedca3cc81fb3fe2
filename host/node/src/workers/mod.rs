//! One thread each for what blocks: the log, the tables, queries, making the tables durable, and reading old parts of the log again. They take jobs from a queue,
//! tell the core what they have done, and end when their queue's sender is dropped.
//!
//! The queues have no bound of their own because what fills them has one: the core hands out entries within the limits of
//! `outboard_raft::Config`, and requests within `WAITING_MAX`.

pub(crate) mod append;
pub(crate) mod apply;
pub(crate) mod persist;
pub(crate) mod query;
pub(crate) mod scrub;
pub(crate) mod threads;

use crate::core::{Event, Now};
use crate::error::Halt;
use crate::machine::Published;
use outboard_raft::SnapshotMeta;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::UnboundedSender;

/// What a worker or a transfer tells the loop.
pub(crate) enum Word {
    Event(Event),
    /// All that the log was given before this snapshot was wanted is durable: the tables may take it.
    Install(SnapshotMeta),
    /// This node can't go on.
    Halt(Halt),
    /// This node is no member any more: why.
    Removed(String),
    /// As kill -9: leave at once, hand over nothing.
    Kill,
    /// Begin a task on the loop's thread.
    Begin(Box<dyn FnOnce() + Send>),
}

/// The way to the loop, for every thread and task.
#[derive(Clone)]
pub(crate) struct Words(pub(crate) UnboundedSender<Word>);

impl Words {
    pub(crate) fn event(&self, event: Event) {
        self.send(Word::Event(event));
    }

    pub(crate) fn send(&self, word: Word) {
        // An error means that the loop has ended; whoever speaks will see its queue end too.
        self.0.send(word).unwrap_or_default();
    }
}

/// The clock of one node: the only place where time is read.
#[derive(Copy, Clone)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Clock {
        Clock(Instant::now())
    }

    pub(crate) fn mono_us(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(crate) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX), mono_us: self.mono_us() }
    }
}

/// The newest state that queries and snapshots may see: written by the apply worker, read by everyone else.
#[derive(Clone)]
pub(crate) struct Slot(Arc<Mutex<Published>>);

impl Slot {
    pub(crate) fn new(published: Published) -> Slot {
        Slot(Arc::new(Mutex::new(published)))
    }

    pub(crate) fn put(&self, published: Published) {
        // The old one is dropped outside the lock: the last holder of a view may have work to do.
        drop(std::mem::replace(&mut *self.lock(), published));
    }

    pub(crate) fn get(&self) -> Published {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Published> {
        // Replaced as a whole, so it is whole even if a thread panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
