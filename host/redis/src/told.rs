//! Log lines about clients: at most one of a kind in a second, so that nobody can fill the log by misbehaving.

use std::time::{Duration, Instant};

/// What a line is about.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Cause {
    /// There were too many connections.
    Full,
    /// A connection could not be accepted.
    Accept,
    /// A client of TLS on a plain port, or the other way round.
    Tls,
    /// HTTP.
    Http,
    /// A stream that can't be read on.
    Protocol,
    /// A client that does not read.
    SlowReader,
    /// A client that does not go on.
    Silence,
    /// Too much was held.
    Memory,
    /// A wrong password.
    Login,
}

const CAUSES: usize = 9;
const EVERY: Duration = Duration::from_secs(1);

/// When a line of each kind was last written.
#[derive(Debug, Default)]
pub(crate) struct Told {
    last: [Option<Instant>; CAUSES],
    unsaid: [u64; CAUSES],
}

impl Told {
    /// Whether a line may be written now, and how many were not since the last one.
    pub(crate) fn may(&mut self, cause: Cause, now: Instant) -> Option<u64> {
        let place = cause as usize;
        if self.last[place].is_some_and(|last| now.saturating_duration_since(last) < EVERY) {
            self.unsaid[place] += 1;
            return None;
        }
        self.last[place] = Some(now);
        Some(std::mem::take(&mut self.unsaid[place]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_told_once_a_second_and_the_rest_is_counted() {
        let (mut told, start) = (Told::default(), Instant::now());
        assert_eq!(told.may(Cause::Http, start), Some(0));
        assert_eq!(told.may(Cause::Http, start), None);
        assert_eq!(told.may(Cause::Login, start), Some(0));
        assert_eq!(told.may(Cause::Http, start + EVERY / 2), None);
        assert_eq!(told.may(Cause::Http, start + EVERY), Some(2));
        assert_eq!(told.may(Cause::Http, start + 3 * EVERY), Some(0));
    }
}
