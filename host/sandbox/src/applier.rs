//! Runs the commands that write, one after another, on an instance that runs nothing else.
//!
//! **The outcome of a command is that of a fresh instance on the tables at its index.** A warm instance is an optimization: its
//! allocator and caches depend on what it did before (a restart, earlier traps), so its use of fuel and memory differs a little
//! from node to node. It therefore gets half of the fuel, and whatever goes wrong on it (a trap, no fuel, no memory, a bad reply)
//! proves nothing: the writes are discarded and the command runs again on a fresh instance with the full limits. That outcome
//! counts, and every node comes to it.
//!
//! The same holds for each step of a transaction of several commands: the tables at its place are those that the steps before it
//! left. Its reads run here too ([`Applier::read`]), metered by fuel, for they are part of the record.
//!
//! Invariants: after [`Applier::apply`] the transaction holds the command's writes if it was a reply, else none of them; an
//! instance that failed is never used again. Never: keeps a node's fault as an outcome. Tests: `tests/outcomes.rs`,
//! `tests/determinism.rs`, `tests/transactions.rs`.

use std::sync::Arc;

use outboard_store::Transaction;

use crate::component::Component;
use crate::host::Tables;
use crate::instance::{Instance, Meter};
use crate::limits::Limits;
use crate::nothing::nothing;
use crate::outcome::{Failure, Moment, NodeFault, Outcome, Stop};
use crate::sandbox::Sandbox;

/// The sole owner of the instance that applies. One for each engine that is live on a node.
pub struct Applier {
    component: Arc<Component>,
    generation: u32,
    limits: Limits,
    warm: Option<Instance>,
    /// Stands in for the caller's transaction while that is inside the instance.
    hollow: Option<Transaction>,
}

/// Which of the engine's functions a command is for.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
enum Export {
    Apply,
    Query,
}

impl Applier {
    /// Applies to the tables of `generation`.
    pub fn new(sandbox: &Sandbox, component: Arc<Component>, generation: u32) -> Applier {
        Applier { component, generation, limits: sandbox.limits().clone(), warm: None, hollow: None }
    }

    /// The component that runs here.
    pub fn component(&self) -> &Arc<Component> {
        &self.component
    }

    /// Runs one command. After a reply its writes stand in `txn`, to be kept; after anything else there is nothing to keep.
    pub fn apply(&mut self, txn: &mut Transaction, at: Moment, command: &[&[u8]]) -> Result<Outcome, NodeFault> {
        self.call(Export::Apply, txn, at, command)
    }

    /// Runs one command that only reads, as a step among commands that write: it sees their writes.
    pub fn read(&mut self, txn: &mut Transaction, at: Moment, command: &[&[u8]]) -> Result<Outcome, NodeFault> {
        self.call(Export::Query, txn, at, command)
    }

    /// Writes were discarded after the commands that made them had succeeded: what the engine cached of them must go with them.
    pub fn on_discarded(&mut self) {
        if self.component.manifest.caches {
            self.warm = None;
        }
    }

    fn call(
        &mut self,
        export: Export,
        txn: &mut Transaction,
        at: Moment,
        command: &[&[u8]],
    ) -> Result<Outcome, NodeFault> {
        assert!(txn.command_bytes() == 0, "the writes of the last command are kept or discarded before the next one");
        if let Some(warm) = self.warm.take() {
            let half = Meter::fuel(self.limits.apply_fuel / 2);
            match self.run(export, warm, txn, half, at, command) {
                (Ok(outcome), false) => return Ok(outcome),
                (Err(Stop::Fault(fault)), _) => return Err(fault),
                (Ok(_) | Err(Stop::Failure(_)), _) => {
                    txn.discard();
                    self.warm = None;
                }
            }
        }
        self.call_afresh(export, txn, at, command)
    }

    /// The canonical run.
    fn call_afresh(
        &mut self,
        export: Export,
        txn: &mut Transaction,
        at: Moment,
        command: &[&[u8]],
    ) -> Result<Outcome, NodeFault> {
        let opened = match Instance::start(&self.component, self.generation, &self.limits) {
            Ok(instance) => self.open(instance, txn),
            Err(stop) => Err(stop),
        };
        let instance = match opened {
            Ok(instance) => instance,
            Err(Stop::Failure(_)) => return Ok(Outcome::Failed(Failure::Open)),
            Err(Stop::Fault(fault)) => return Err(fault),
        };
        let full = Meter::fuel(self.limits.apply_fuel);
        match self.run(export, instance, txn, full, at, command).0 {
            Ok(outcome) => Ok(outcome),
            Err(Stop::Failure(failure)) => Ok(Outcome::Failed(failure)),
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }

    fn open(&mut self, mut instance: Instance, txn: &mut Transaction) -> Result<Instance, Stop> {
        let tables = self.lend(txn);
        let (tables, opened) = instance.open(tables, Meter::fuel(self.limits.open_fuel));
        self.take_back(txn, tables);
        opened.map(|()| instance)
    }

    /// One run on one instance, which is kept if it may run the next command. The flag says that it was refused memory.
    fn run(
        &mut self,
        export: Export,
        mut instance: Instance,
        txn: &mut Transaction,
        meter: Meter,
        at: Moment,
        command: &[&[u8]],
    ) -> (Result<Outcome, Stop>, bool) {
        let tables = self.lend(txn);
        let (tables, outcome) = match export {
            Export::Apply => instance.apply(tables, meter, at, command),
            Export::Query => instance.query(tables, meter, at, command),
        };
        self.take_back(txn, tables);
        let refused_memory = instance.was_refused_memory();
        match &outcome {
            Ok(Outcome::Reply(_)) => self.warm = Some(instance),
            Ok(Outcome::Rejected(_)) => {
                txn.discard();
                // What it cached of the discarded writes must go with them.
                self.warm = (!self.component.manifest.caches).then_some(instance);
            }
            Ok(Outcome::Failed(_)) | Err(_) => txn.discard(),
        }
        (outcome, refused_memory)
    }

    fn lend(&mut self, txn: &mut Transaction) -> Tables {
        let hollow = self.hollow.take().unwrap_or_else(|| Transaction::new(nothing()));
        Tables::Transaction(std::mem::replace(txn, hollow))
    }

    fn take_back(&mut self, txn: &mut Transaction, tables: Tables) {
        let Tables::Transaction(lent) = tables else { panic!("what was lent to an instance comes back") };
        self.hollow = Some(std::mem::replace(txn, lent));
    }
}
