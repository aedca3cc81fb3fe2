//! The scrub worker: reads the closed segments of the log again, slowly and one round after the other, because a disk that loses bits says so
//! to nobody until they are needed.
//!
//! What it finds is a suspicion, which goes to the log's owner. Never: writes, holds up anybody, goes on reading a disk that refuses.
//! Tests: `tests/cluster/damage.rs`, the log's own `tests/scrubbing.rs`.

use super::append::AppendJob;
use crate::settings::LogCare;
use outboard_wal::{Scrubber, Step};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

/// The longest rest between two steps: a slow pace is still one.
const REST_MAX: Duration = Duration::from_secs(5);

/// Works until `end`'s sender is dropped.
pub(crate) fn run(mut scrubber: Scrubber, care: &LogCare, log: &Sender<AppendJob>, end: &Receiver<()>) {
    loop {
        let rest = match scrubber.step() {
            Ok(Step::Read(bytes)) => pace(bytes, care.scrub_bytes_per_second),
            Ok(Step::Suspect(suspect)) => {
                log.send(AppendJob::Suspect(suspect.segment)).unwrap_or_default();
                Duration::ZERO
            }
            Ok(Step::Round) => care.scrub_pause,
            Err(error) => {
                return tracing::error!(%error, "old parts of the log can't be read again; the disk may be dying");
            }
        };
        match end.recv_timeout(rest) {
            Ok(()) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// How long so many bytes take.
fn pace(bytes: u64, bytes_per_second: u64) -> Duration {
    let micros = bytes.saturating_mul(1_000_000) / bytes_per_second.max(1);
    Duration::from_micros(micros).min(REST_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_followed_by_a_rest_as_long_as_its_bytes_may_take() {
        assert_eq!(pace(4 << 20, 8 << 20), Duration::from_millis(500));
        assert_eq!(pace(0, 8 << 20), Duration::ZERO);
        assert_eq!(pace(u64::MAX, 1), REST_MAX);
        assert_eq!(pace(1 << 20, 0), REST_MAX);
    }
}
