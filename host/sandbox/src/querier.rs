//! Runs the commands that read, on views, with a time limit.
//!
//! Nothing here is part of the replicated history: the clock may end a query, and another node may answer where this one was too
//! slow. Otherwise the rule is the applier's: what fails on a warm instance runs once more on a fresh one.
//!
//! An engine that caches filled its memory from the tables of one view; on a later view the cache is stale. So its instance lives
//! only as long as the view's applied index stays the same; that costs such an engine a fresh instance and an `open` for each
//! index it is asked at. Tests: `tests/queries.rs`.

use std::sync::Arc;

use outboard_store::View;

use crate::component::Component;
use crate::host::Tables;
use crate::instance::{Instance, Meter};
use crate::limits::Limits;
use crate::outcome::{Failure, Moment, NodeFault, Outcome, Stop};
use crate::sandbox::Sandbox;
use crate::ticker;

/// Owns one instance for queries. A node has one for each thread that answers them.
pub struct Querier {
    /// Held for its ticker, which ends a query in time.
    _sandbox: Sandbox,
    component: Arc<Component>,
    generation: u32,
    limits: Limits,
    warm: Option<Warm>,
}

struct Warm {
    instance: Instance,
    /// The applied index of the view that it was opened on.
    opened_at: u64,
}

impl Querier {
    /// Reads the tables of `generation`.
    pub fn new(sandbox: &Sandbox, component: Arc<Component>, generation: u32) -> Querier {
        let limits = sandbox.limits().clone();
        Querier { _sandbox: sandbox.clone(), component, generation, limits, warm: None }
    }

    /// The component that runs here.
    pub fn component(&self) -> &Arc<Component> {
        &self.component
    }

    /// Runs one command on `view`.
    pub fn query(&mut self, view: Arc<dyn View>, at: Moment, command: &[&[u8]]) -> Result<Outcome, NodeFault> {
        if let Some(warm) = self.warm_for(&view) {
            match self.run(warm, &view, at, command) {
                (Ok(outcome), false) => return Ok(outcome),
                (Err(Stop::Fault(fault)), _) => return Err(fault),
                // A second try would only take as long again.
                (Err(Stop::Failure(Failure::TimedOut)), _) => return Ok(Outcome::Failed(Failure::TimedOut)),
                (Ok(_) | Err(Stop::Failure(_)), _) => self.warm = None,
            }
        }
        let fresh = match self.fresh(&view) {
            Ok(fresh) => fresh,
            Err(Stop::Failure(_)) => return Ok(Outcome::Failed(Failure::Open)),
            Err(Stop::Fault(fault)) => return Err(fault),
        };
        match self.run(fresh, &view, at, command).0 {
            Ok(outcome) => Ok(outcome),
            Err(Stop::Failure(failure)) => Ok(Outcome::Failed(failure)),
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }

    fn warm_for(&mut self, view: &Arc<dyn View>) -> Option<Warm> {
        let caches = self.component.manifest.caches;
        self.warm.take().filter(|warm| !caches || warm.opened_at == view.applied())
    }

    fn fresh(&self, view: &Arc<dyn View>) -> Result<Warm, Stop> {
        let mut instance = Instance::start(&self.component, self.generation, &self.limits)?;
        // By fuel, not by the clock: a cache that takes longer than a query may would never be filled.
        instance.open(Tables::View(view.clone()), Meter::fuel(self.limits.open_fuel)).1?;
        Ok(Warm { instance, opened_at: view.applied() })
    }

    /// One run on one instance, which is kept unless it failed. The flag says that it was refused memory.
    fn run(
        &mut self,
        mut warm: Warm,
        view: &Arc<dyn View>,
        at: Moment,
        command: &[&[u8]],
    ) -> (Result<Outcome, Stop>, bool) {
        let meter = Meter::ticks(ticker::ticks(self.limits.query_timeout));
        let (_, outcome) = warm.instance.query(Tables::View(view.clone()), meter, at, command);
        let refused_memory = warm.instance.was_refused_memory();
        if outcome.is_ok() {
            self.warm = Some(warm);
        }
        (outcome, refused_memory)
    }
}
