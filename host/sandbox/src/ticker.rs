//! The clock of the query deadlines: a thread that advances the epoch every [`TICK`].
//!
//! It holds the engine weakly and ends when the ticker is dropped.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::Engine;

/// A query's deadline is counted in these.
pub(crate) const TICK: Duration = Duration::from_millis(10);

pub(crate) struct Ticker {
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Ticker> {
        let (stop, stopped) = channel();
        let engine = engine.weak();
        let run = move || {
            while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        };
        let thread = std::thread::Builder::new().name("outboard-epoch".into()).spawn(run)?;
        Ok(Ticker { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It can't have panicked with anything to tell; there is nothing left to do for it.
            let _ = thread.join();
        }
    }
}

/// The number of ticks that a limit lasts at least.
pub(crate) fn ticks(limit: Duration) -> u64 {
    let whole = limit.as_nanos().div_ceil(TICK.as_nanos());
    // The first tick may come at once.
    u64::try_from(whole).unwrap_or(u64::MAX / 4).min(u64::MAX / 4) + 1
}
