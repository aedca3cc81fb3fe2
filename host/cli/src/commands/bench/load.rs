//! The workers: each asks, waits, notes the time, and asks again; or, at a fixed rate, asks when the next request is due.
//!
//! At a fixed rate a request's time counts from when it was due, so that a stalled server can't hide behind the requests
//! that it kept from being sent. Only where a worker slept until then and woke a little late is it the timer that is late, not the
//! server: such a request counts from when it was sent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::Operation;
use super::keys::{Chance, Keys};
use bytes::Bytes;
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use outboard_client::{Client, ClientError};
use tokio::task::JoinSet;

/// The runtime's timers are this coarse.
const TIMER: Duration = Duration::from_millis(2);
/// Values are cut out of this many bytes of chance, so that no two of them compress together.
const VALUE_POOL_BYTES: usize = 4 << 20;
/// Times above this count as this, in microseconds.
const LATENCY_US_MAX: u64 = 600_000_000;
/// RESP3's nil.
const NIL: &[u8] = b"_\r\n";

/// What the load is.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) operation: Operation,
    pub(super) workers: usize,
    pub(super) read_ratio: f64,
    pub(super) value_bytes: usize,
    pub(super) duration: Option<Duration>,
    pub(super) requests: Option<u64>,
    pub(super) rate: Option<u64>,
    pub(super) warmup: Duration,
    /// Puts have no names in a session; they are sent again all the same.
    pub(super) nameless: bool,
}

/// What was measured.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Times in microseconds.
    pub(super) puts: Histogram<u64>,
    pub(super) gets: Histogram<u64>,
    /// Gets that found nothing.
    pub(super) missing: u64,
    /// By kind.
    pub(super) errors: BTreeMap<&'static str, u64>,
    pub(super) first_error: Option<ClientError>,
    /// From the end of the warm-up to the last answer.
    pub(super) elapsed: Duration,
}

/// The load on its way.
pub(super) struct Load {
    clients: Vec<Client>,
    shared: Arc<Shared>,
}

struct Shared {
    keys: Keys,
    plan: Plan,
    pool: Bytes,
    began: Instant,
    counted_from: Instant,
    ends: Option<Instant>,
    issued: AtomicU64,
    stopped: AtomicBool,
    tally: Mutex<Tally>,
}

impl Load {
    pub(super) fn new(clients: Vec<Client>, keys: Keys, plan: Plan) -> Load {
        let began = Instant::now();
        let counted_from = began + plan.warmup;
        let ends = plan.duration.map(|duration| counted_from + duration);
        let pool = pool(plan.value_bytes);
        let tally = Mutex::new(Tally::new());
        let (issued, stopped) = (AtomicU64::new(0), AtomicBool::new(false));
        Load {
            clients,
            shared: Arc::new(Shared { keys, plan, pool, began, counted_from, ends, issued, stopped, tally }),
        }
    }

    /// Runs to the end of the plan, or to Ctrl-C.
    pub(super) async fn run(self, quiet: bool) -> Tally {
        let mut workers = JoinSet::new();
        for number in 0..self.shared.plan.workers {
            let (client, shared) = (self.clients[number % self.clients.len()].clone(), self.shared.clone());
            workers.spawn(async move { shared.work(&client, Chance::new(number as u64)).await });
        }
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        let mut before = 0;
        loop {
            tokio::select! {
                done = workers.join_next() => if done.is_none() { break },
                _ = tokio::signal::ctrl_c() => self.shared.stopped.store(true, Ordering::Relaxed),
                _ = tick.tick() => {
                    let answered = self.shared.lock().answered();
                    bar.set_message(format!("{}/s", answered - before));
                    bar.tick();
                    before = answered;
                }
            }
        }
        bar.finish_and_clear();
        let mut tally = self.shared.lock().clone();
        tally.elapsed = self.shared.counted_from.elapsed();
        tally
    }
}

impl Shared {
    async fn work(&self, client: &Client, mut chance: Chance) {
        while let Some(began) = self.next_start().await {
            let is_get = match self.plan.operation {
                Operation::Put => false,
                Operation::Get => true,
                Operation::Mixed => chance.unit() < self.plan.read_ratio,
            };
            let key = self.keys.next(&mut chance);
            let command = if is_get {
                vec![Bytes::from_static(b"GET"), key]
            } else {
                vec![Bytes::from_static(b"SET"), key, self.value(&mut chance)]
            };
            let is_harmless = is_get || self.plan.nameless;
            let result = client.command_bytes(command).idempotent(is_harmless).send_raw().await;
            let ended = Instant::now();
            if ended >= self.counted_from {
                self.lock().count(is_get, ended - began, result);
            }
        }
    }

    /// When the next request's time begins; none when the load is over.
    async fn next_start(&self) -> Option<Instant> {
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let over = self.plan.requests.is_some_and(|requests| number >= requests)
            || self.ends.is_some_and(|ends| now >= ends)
            || self.stopped.load(Ordering::Relaxed);
        if over {
            return None;
        }
        let Some(rate) = self.plan.rate else { return Some(now) };
        let due = self.began + Duration::from_secs_f64(number as f64 / rate as f64);
        if due <= now {
            return Some(due);
        }
        if self.ends.is_some_and(|ends| due >= ends) {
            return None;
        }
        tokio::time::sleep_until(due.into()).await;
        let woke = Instant::now();
        Some(if woke - due < TIMER { woke } else { due })
    }

    fn value(&self, chance: &mut Chance) -> Bytes {
        let room = self.pool.len() - self.plan.value_bytes + 1;
        let at = chance.below(room as u64) as usize;
        self.pool.slice(at..at + self.plan.value_bytes)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tally> {
        self.tally.lock().expect("nothing panics while it counts")
    }
}

impl Tally {
    pub(super) fn new() -> Tally {
        let histogram =
            || Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("the bounds are constants that it takes");
        Tally {
            puts: histogram(),
            gets: histogram(),
            missing: 0,
            errors: BTreeMap::new(),
            first_error: None,
            elapsed: Duration::ZERO,
        }
    }

    fn count(&mut self, is_get: bool, time: Duration, result: Result<Bytes, ClientError>) {
        match result {
            Ok(reply) => {
                let histogram = if is_get { &mut self.gets } else { &mut self.puts };
                histogram.saturating_record(time.as_micros() as u64);
                self.missing += u64::from(is_get && reply.as_ref() == NIL);
            }
            Err(error) => {
                *self.errors.entry(kind(&error)).or_default() += 1;
                self.first_error.get_or_insert(error);
            }
        }
    }

    pub(super) fn answered(&self) -> u64 {
        self.puts.len() + self.gets.len()
    }
}

fn kind(error: &ClientError) -> &'static str {
    match error {
        ClientError::Unavailable(_) => "unavailable",
        ClientError::Timeout(_) => "timeout",
        ClientError::Unknown(_) => "unknown",
        ClientError::Rejected(_) => "rejected",
        ClientError::Failed(_) => "failed",
        ClientError::WatchBroken => "watch broken",
        ClientError::Invalid(_) => "invalid",
        ClientError::Auth(_) => "auth",
        ClientError::Conflict(_) | ClientError::AtRisk(_) => "conflict",
        ClientError::Forbidden(_) => "forbidden",
        ClientError::Refused(_) => "refused",
        ClientError::Protocol(_) => "protocol",
    }
}

fn pool(value_bytes: usize) -> Bytes {
    let mut chance = Chance::new(1);
    let words = VALUE_POOL_BYTES.max(value_bytes).div_ceil(8);
    Bytes::from((0..words).flat_map(|_| chance.next().to_le_bytes()).collect::<Vec<u8>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_errors_are_counted_apart() {
        let mut tally = Tally::new();
        tally.count(true, Duration::from_micros(100), Ok(Bytes::from_static(NIL)));
        tally.count(false, Duration::from_micros(300), Ok(Bytes::from_static(b"+OK\r\n")));
        tally.count(false, Duration::ZERO, Err(ClientError::Unknown("first".into())));
        tally.count(false, Duration::ZERO, Err(ClientError::Unknown("second".into())));
        assert_eq!((tally.answered(), tally.missing, tally.errors["unknown"]), (2, 1, 2));
        assert_eq!(tally.first_error, Some(ClientError::Unknown("first".into())));
    }
}
