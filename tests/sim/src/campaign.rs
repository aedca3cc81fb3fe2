//! Many seeds, on all cores: each thread runs worlds of its own, one after the other.

use crate::engines::Engines;
use crate::plan::Plan;
use crate::report::{Failure, Figures};
use crate::world;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Which seeds, and for how long.
pub struct Campaign {
    /// The seeds.
    pub seeds: Range<u64>,
    /// Stop after this, wherever it is.
    pub limit: Option<Duration>,
    /// Worlds at a time.
    pub threads: usize,
    /// Go on after so many failures.
    pub failures_max: usize,
}

/// What came of it.
#[derive(Default)]
pub struct Outcome {
    /// All runs together.
    pub figures: Figures,
    /// Those that failed, by seed.
    pub failures: Vec<(Plan, Failure)>,
    /// Real time.
    pub took: Duration,
}

impl Campaign {
    /// Runs it; `change` makes each seed's plan.
    pub fn run(&self, engines: &Engines, plan: impl Fn(u64) -> Plan + Sync, told: impl Fn(&Figures) + Sync) -> Outcome {
        let began = Instant::now();
        let (next, stop) = (AtomicU64::new(self.seeds.start), AtomicBool::new(false));
        let outcome = Mutex::new(Outcome::default());
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        let late = self.limit.is_some_and(|limit| began.elapsed() >= limit);
                        if seed >= self.seeds.end || late || stop.load(Ordering::Relaxed) {
                            return;
                        }
                        let plan = plan(seed);
                        let report = world::run(&plan, engines, false);
                        let mut outcome = outcome.lock().expect("nothing panics while it holds the outcome");
                        outcome.figures.add(&report.figures);
                        if let Some(failure) = report.failure {
                            outcome.failures.push((plan, failure));
                            stop.store(outcome.failures.len() >= self.failures_max, Ordering::Relaxed);
                        }
                        if outcome.figures.schedules.is_multiple_of(1_000) {
                            told(&outcome.figures);
                        }
                    }
                });
            }
        });
        let mut outcome = outcome.into_inner().expect("nothing panics while it holds the outcome");
        outcome.failures.sort_by_key(|(plan, _)| plan.seed);
        outcome.took = began.elapsed();
        outcome
    }
}
