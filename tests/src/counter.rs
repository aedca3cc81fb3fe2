//! A load of increments, each of which must be counted once: after whatever happens to the nodes, the replies tell.

use crate::{Cluster, wait_for};
use outboard_client::{Client, ClientError};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Increments that are under way at the same time.
const TASKS: usize = 16;

/// Increments one key until it is told to stop.
#[derive(Debug)]
pub struct Counter {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_stopped: AtomicBool,
    counted: Mutex<Counted>,
}

/// What the increments were told.
#[derive(Debug, Default)]
pub struct Counted {
    /// The numbers that they got.
    pub numbers: Vec<i64>,
    /// Those of which nobody knows whether they were counted, and anything else that went wrong.
    pub errors: Vec<ClientError>,
}

impl Counter {
    /// Begins to increment a key of a cluster.
    pub fn start(cluster: &Cluster, key: &'static str) -> Counter {
        let shared = Arc::new(Shared::default());
        let (context, options, seen) = (cluster.client_context(), cluster.client_options(), shared.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let client = Client::new(&context, options).expect("the context is sound");
                let tasks: Vec<_> =
                    (0..TASKS).map(|_| tokio::spawn(count(client.clone(), key, seen.clone()))).collect();
                for task in tasks {
                    task.await.expect("counting doesn't panic");
                }
                client.close().await;
            });
        });
        Counter { shared, thread: Some(thread) }
    }

    /// Waits until so many increments more are answered.
    pub fn wait_for_more(&self, count: usize) {
        let answered = || self.shared.lock().numbers.len();
        let before = answered();
        wait_for("counted increments", || (answered() >= before + count).then_some(()));
    }

    /// The end, once no increment is under way.
    pub fn finish(mut self) -> Counted {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is joined once").join().expect("counting doesn't panic");
        std::mem::take(&mut self.shared.lock())
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Counted> {
        self.counted.lock().expect("nothing panics while it notes a number")
    }
}

async fn count(client: Client, key: &str, shared: Arc<Shared>) {
    while !shared.is_stopped.load(Ordering::Relaxed) {
        match client.incr(key).await {
            Ok(number) => shared.lock().numbers.push(number),
            Err(error) => shared.lock().errors.push(error),
        }
    }
}
