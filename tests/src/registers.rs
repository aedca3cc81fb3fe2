//! A load whose history is judged: clients read and write a few keys, new ones every few seconds, and at the end every key is read
//! once more. All of it together must be linearizable; so an acknowledged write that is gone, a stale read and something done twice
//! all come to light.
//!
//! Moments are numbers of one shared counter: a question gets its number before it is sent, an answer when it is there.

use crate::{Cluster, PATIENCE};
use outboard_client::{Client, ClientError, Options};
use outboard_sim::history::{Kind, Operation, Seen};
use outboard_sim::linear::{self, Verdict};
use outboard_sim::random::Random;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const CLIENTS: u64 = 10;
/// Keys that are in use at the same time.
const KEYS: u64 = 4;
/// How long keys are in use: the search for an order is for hundreds of operations on a key, not for thousands.
const ERA: Duration = Duration::from_secs(4);
/// A client gives up on an operation after this: its outcome is then unknown, and it goes on with another one.
const TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE_MS_MAX: u64 = 20;

/// Clients at work.
#[derive(Debug)]
pub struct Registers {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    seed: u64,
    began: Instant,
    is_stopped: AtomicBool,
    moments: AtomicU64,
    values: AtomicU64,
    history: Mutex<Vec<Operation>>,
}

/// What was done and how it ended.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Judgement {
    /// Operations with an answer.
    pub answered: usize,
    /// Writes of which nobody knows whether they were done.
    pub unknown: usize,
    /// Keys.
    pub keys: usize,
    /// Whether there is an order that explains it all.
    pub verdict: Verdict,
}

impl Registers {
    /// Begins to read and write.
    pub fn start(cluster: &Cluster, seed: u64) -> Registers {
        let (is_stopped, moments, values) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(1));
        let history = Mutex::default();
        let shared = Arc::new(Shared { seed, began: Instant::now(), is_stopped, moments, values, history });
        let (context, seen) = (cluster.client_context(), Arc::clone(&shared));
        let options = Options { timeout: TIMEOUT, ..cluster.client_options() };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let works = (1..=CLIENTS).map(|number| {
                    let client = Client::new(&context, options.clone()).expect("the context is sound");
                    tokio::spawn(Arc::clone(&seen).work(client, number))
                });
                for work in works.collect::<Vec<_>>() {
                    work.await.expect("a client does not panic");
                }
                let patient = Client::new(&context, Options { timeout: PATIENCE, ..options });
                seen.read_all(&patient.expect("the context is sound")).await;
            });
        });
        Registers { shared, thread: Some(thread) }
    }

    /// Waits until so many operations more are answered.
    pub fn wait_for_more(&self, count: usize) {
        let answered = || self.shared.lock().len();
        let before = answered();
        crate::wait_for("answered operations", || (answered() >= before + count).then_some(()));
    }

    /// The end, once all that is under way is over and all keys were read; the cluster has to be well by now.
    pub fn finish(mut self) -> Judgement {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is joined once").join().expect("clients don't panic");
        let history = std::mem::take(&mut *self.shared.lock());
        let answered = history.iter().filter(|operation| operation.answered.is_some()).count();
        let keys = history.iter().map(|operation| operation.key).collect::<BTreeSet<u64>>().len();
        Judgement { answered, unknown: history.len() - answered, keys, verdict: linear::check(&history) }
    }
}

impl Drop for Registers {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Judgement { answered, unknown, keys, verdict } = self;
        write!(f, "{answered} operations on {keys} keys answered, {unknown} of unknown outcome: ")?;
        match verdict {
            Verdict::Linearizable => write!(f, "linearizable"),
            Verdict::Undecided { key, stuck } => write!(f, "the search was given up at key {key}: {stuck}"),
            Verdict::Not { key, story, stuck } => {
                write!(f, "NOT LINEARIZABLE: key {key} at {stuck}; its story:\n{}", story.join("\n"))
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Operation>> {
        self.history.lock().expect("nothing panics while it notes an operation")
    }

    fn moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    async fn work(self: Arc<Shared>, client: Client, number: u64) {
        let mut random = Random::of(self.seed, &format!("client {number}"));
        while !self.is_stopped.load(Ordering::Relaxed) {
            let era = self.began.elapsed().as_secs() / ERA.as_secs();
            let key = era * KEYS + random.below(KEYS);
            // Values are unique, so that a read tells which write it saw; what is expected by CAS is a recent one.
            let value = self.values.fetch_add(1, Ordering::Relaxed) as i64 * 1_000;
            let kind = match random.below(10) {
                0..4 => Kind::Get,
                4..6 => Kind::Set(value),
                6..8 => Kind::Add(1),
                8 => Kind::Cas(value - 1_000 * random.between(1, 20) as i64, value),
                _ => Kind::Del,
            };
            self.ask(&client, number, key, kind).await;
            tokio::time::sleep(Duration::from_millis(random.below(PAUSE_MS_MAX))).await;
        }
        client.close().await;
    }

    async fn read_all(&self, client: &Client) {
        let keys: BTreeSet<u64> = self.lock().iter().map(|operation| operation.key).collect();
        for key in keys {
            self.ask(client, 0, key, Kind::Get).await;
        }
    }

    async fn ask(&self, client: &Client, number: u64, key: u64, kind: Kind) {
        let asked = self.moment();
        let call = client.command(kind.arguments(&format!("register:{key}"))).idempotent(!kind.writes());
        let answered = match call.send_raw().await {
            Ok(reply) => {
                let seen = kind.seen(&reply).unwrap_or_else(|| panic!("{kind:?} was answered with {reply:?}"));
                Some((self.moment(), seen))
            }
            // Not done, in so many words: if it was after all, the history shows it.
            Err(ClientError::Unavailable(_)) => return,
            Err(ClientError::Unknown(_) | ClientError::Timeout(_)) => None,
            Err(error) => panic!("{kind:?} ended with {error}"),
        };
        if answered.is_some() || kind.writes() {
            let operation = Operation { client: number, key, kind, asked, answered, node: 0, without_effect: false };
            self.lock().push(operation);
        }
        assert!(number > 0 || matches!(answered, Some((_, Seen::Value(_)))), "key {key} can't be read at the end");
    }
}
