//! The workers' threads: started together, ended together after the loop has gone.
//!
//! Invariant: a node whose worker broke a rule does not end as if all were well.

use super::append::{AppendJob, AppendWorker};
use super::apply::ApplyWorker;
use super::persist::{self, PersistJob};
use super::query::QueryWorker;
use super::scrub;
use super::{Clock, Words};
use crate::error::{Halt, HaltKind};
use crate::run::{Ending, Jobs};
use crate::settings::LogCare;
use outboard_store::Store;
use outboard_wal::Scrubber;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// The workers of one node, before they have threads.
pub(crate) struct Workers {
    pub(crate) append: AppendWorker,
    pub(crate) apply: ApplyWorker,
    pub(crate) query: QueryWorker,
    pub(crate) clock: Clock,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) words: Words,
    pub(crate) scrubber: Scrubber,
    pub(crate) care: LogCare,
}

/// The threads of one node. They end when the loop has dropped its [`Jobs`], and these.
pub(crate) struct Threads {
    persist: Sender<PersistJob>,
    scrub: Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts them all; what the loop gives them goes into [`Jobs`]. `log` is the queue that the apply worker has a way into already.
    pub(crate) fn start(
        name: &str,
        workers: Workers,
        (log, log_jobs): (Sender<AppendJob>, Receiver<AppendJob>),
    ) -> (Threads, Jobs) {
        let Workers { append, apply, query, clock, store, words, scrubber, care } = workers;
        let (tables, table_jobs) = channel();
        let (queries, query_jobs) = channel();
        let (persist, persist_jobs) = channel();
        let (scrub, scrub_end) = channel();
        let suspects = log.clone();
        let threads = vec![
            thread(&format!("{name}-append"), move || append.run(&log_jobs)),
            thread(&format!("{name}-apply"), move || apply.run(&table_jobs)),
            thread(&format!("{name}-query"), move || query.run(&query_jobs, clock)),
            thread(&format!("{name}-persist"), move || persist::run(&store, &words, &persist_jobs)),
            thread(&format!("{name}-scrub"), move || scrub::run(scrubber, &care, &suspects, &scrub_end)),
        ];
        (Threads { persist, scrub, threads }, Jobs { log, tables, queries })
    }

    /// The loop is gone, and with it the other ends of the queues.
    pub(crate) fn end(self, ending: Ending) -> Result<(), Halt> {
        let Threads { persist, scrub, threads } = self;
        drop(scrub);
        if let Ending::Stopped | Ending::Removed(_) = ending {
            persist.send(PersistJob::Last).unwrap_or_default();
        }
        drop(persist);
        let mut broken = false;
        for thread in threads {
            broken |= thread.join().is_err();
        }
        match ending {
            Ending::Halted(halt) => Err(halt),
            Ending::Removed(reason) => Err(Halt { kind: HaltKind::Removed, reason }),
            Ending::Stopped | Ending::Killed if broken => {
                Err(Halt { kind: HaltKind::Machine, reason: "a worker broke a rule; the log above tells which".into() })
            }
            Ending::Stopped | Ending::Killed => Ok(()),
        }
    }
}

/// A thread of a node, with a name that tools show.
pub(crate) fn thread<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(work).expect("the system gives a node its few threads")
}
