//! A load that remembers what it was promised: after whatever happens to the nodes, each of these writes must be there.

use crate::{Cluster, wait_for};
use outboard_client::Client;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Writes that are under way at the same time.
const TASKS: usize = 32;

/// Writes one key after the other until it is told to stop, each key once and never again.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_stopped: AtomicBool,
    acknowledged: Mutex<BTreeMap<String, String>>,
}

impl Writer {
    /// Begins to write to a cluster.
    pub fn start(cluster: &Cluster) -> Writer {
        let shared = Arc::new(Shared::default());
        let (context, seen) = (cluster.client_context(), shared.clone());
        let options = cluster.client_options();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let client = Client::new(&context, options).expect("the context is sound");
                let tasks: Vec<_> =
                    (0..TASKS).map(|task| tokio::spawn(write(client.clone(), task, seen.clone()))).collect();
                for task in tasks {
                    task.await.expect("writing doesn't panic");
                }
            });
        });
        Writer { shared, thread: Some(thread) }
    }

    /// Waits until so many writes more are acknowledged.
    pub fn wait_for_more(&self, count: usize) {
        let before = self.count();
        wait_for("acknowledged writes", || (self.count() >= before + count).then_some(()));
    }

    /// No new writes; those under way go on.
    pub fn stop(&self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
    }

    /// The end, once no write is under way: every acknowledged key with its value.
    pub fn finish(mut self) -> BTreeMap<String, String> {
        self.stop();
        self.thread.take().expect("it is joined once").join().expect("writing doesn't panic");
        std::mem::take(&mut self.shared.lock())
    }

    fn count(&self) -> usize {
        self.shared.lock().len()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.acknowledged.lock().expect("nothing panics while it notes a key")
    }
}

/// A write without an answer is not noted: it may be there or not.
async fn write(client: Client, task: usize, shared: Arc<Shared>) {
    for number in 0.. {
        if shared.is_stopped.load(Ordering::Relaxed) {
            return;
        }
        let (key, value) = (format!("promised/{task}/{number}"), format!("{task} wrote {number}"));
        if client.command(["SET", &key, &value]).await.is_ok() {
            shared.lock().insert(key, value);
        }
    }
}
