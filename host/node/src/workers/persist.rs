//! The persist worker: makes the tables durable every now and then, so that the log behind them can be compacted.
//!
//! Invariant: the log is never compacted beyond what [`Store::persist`] has returned.

use super::{Word, Words};
use crate::core::Event;
use crate::error::Halt;
use crate::settings::PERSIST_EVERY;
use outboard_raft::Index;
use outboard_store::{Store, StoreError};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

/// How the worker ends.
pub(crate) enum PersistJob {
    /// The node stops: once more, so that the next start has nothing to apply.
    Last,
}

/// Works until it is told to end, or its queue ends without a word (as in a kill).
pub(crate) fn run(store: &Arc<dyn Store>, words: &Words, jobs: &Receiver<PersistJob>) {
    let mut durable = None;
    loop {
        let last = match jobs.recv_timeout(PERSIST_EVERY) {
            Ok(PersistJob::Last) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if durable != Some(store.applied()) {
            match persist(store, words) {
                Ok(index) => durable = Some(index),
                Err(error) => return words.send(Word::Halt(Halt::from(error))),
            }
        }
        if last {
            return;
        }
    }
}

/// Makes the tables durable and says up to where.
pub(crate) fn persist(store: &Arc<dyn Store>, words: &Words) -> Result<u64, StoreError> {
    let index = store.persist()?;
    words.event(Event::TablesDurable { index: Index(index), bytes: store.bytes_on_disk() });
    Ok(index)
}
