//! One live instance of an engine in a wasmtime store of its own.
//!
//! Invariants: the tables are in reach only while a call runs; after a [`Stop`] the instance is dead and must be dropped (wasmtime
//! doesn't let a store be entered again after a trap), so the calls that may end so are made through [`Instance`] by its owners
//! only, who drop it then. Tests: `tests/outcomes.rs`.

use wasmtime::component::TypedFunc;
use wasmtime::{OutOfMemory, Store, Trap};

use crate::component::Component;
use crate::contract::{CommandParams, CommandResults, OpenParams, OpenResults};
use crate::host::{Host, Phase, Tables};
use crate::limits::{Limits, REJECTION_BYTES_MAX};
use crate::outcome::{Failure, Moment, NodeFault, Outcome, Stop};
use crate::resp;

pub(crate) struct Instance {
    store: Store<Host>,
    open: TypedFunc<OpenParams, OpenResults>,
    apply: TypedFunc<CommandParams<'static>, CommandResults>,
    query: TypedFunc<CommandParams<'static>, CommandResults>,
    reply_bytes_max: usize,
    log_lines_max: u32,
}

/// What a call may cost.
#[derive(Copy, Clone)]
pub(crate) struct Meter {
    pub(crate) fuel: u64,
    /// From now, in ticks of the epoch.
    pub(crate) deadline_ticks: u64,
}

impl Meter {
    /// Bounded by fuel alone; the clock has no say.
    pub(crate) fn fuel(fuel: u64) -> Meter {
        Meter { fuel, deadline_ticks: u64::MAX / 4 }
    }

    /// Bounded by the clock alone.
    pub(crate) fn ticks(deadline_ticks: u64) -> Meter {
        // Not the largest number: wasmtime counts fuel in a signed one.
        Meter { fuel: u64::MAX / 4, deadline_ticks }
    }
}

impl Instance {
    /// A fresh instance, not opened yet. `fuel` pays for the component's start functions.
    pub(crate) fn start(component: &Component, generation: u32, limits: &Limits) -> Result<Instance, Stop> {
        let code = &component.code;
        let mut store = store(code.pre.engine(), component.name.clone(), generation, limits);
        store.set_fuel(limits.open_fuel).expect("fuel is configured");
        let instance = match code.pre.instantiate(&mut store) {
            Ok(instance) => instance,
            Err(error) => return Err(not_started(&mut store, &error)),
        };
        let checked = "admission checked the types of the exports";
        let open = instance.get_typed_func(&mut store, code.open).expect(checked);
        let apply = instance.get_typed_func(&mut store, code.apply).expect(checked);
        let query = instance.get_typed_func(&mut store, code.query).expect(checked);
        let (reply_bytes_max, log_lines_max) = (limits.reply_bytes_max, limits.log_lines_max);
        Ok(Instance { store, open, apply, query, reply_bytes_max, log_lines_max })
    }

    /// Lets the engine fill its caches from `tables`, which come back whatever happens.
    pub(crate) fn open(&mut self, tables: Tables, meter: Meter) -> (Tables, Result<(), Stop>) {
        self.begin(Phase::Open, tables, meter);
        let called = self.open.call(&mut self.store, ());
        self.end(called)
    }

    /// Runs a command that writes.
    pub(crate) fn apply(
        &mut self,
        tables: Tables,
        meter: Meter,
        at: Moment,
        command: &[&[u8]],
    ) -> (Tables, Result<Outcome, Stop>) {
        let apply: TypedFunc<CommandParams<'_>, CommandResults> = self.apply;
        self.command(Phase::Apply, apply, tables, meter, at, command)
    }

    /// Runs a command that reads.
    pub(crate) fn query(
        &mut self,
        tables: Tables,
        meter: Meter,
        at: Moment,
        command: &[&[u8]],
    ) -> (Tables, Result<Outcome, Stop>) {
        let query: TypedFunc<CommandParams<'_>, CommandResults> = self.query;
        self.command(Phase::Query, query, tables, meter, at, command)
    }

    /// True when the last call was refused memory, whether or not the engine coped with it.
    pub(crate) fn was_refused_memory(&self) -> bool {
        self.store.data().memory.refused
    }

    fn command<'a>(
        &mut self,
        phase: Phase,
        function: TypedFunc<CommandParams<'a>, CommandResults>,
        tables: Tables,
        meter: Meter,
        at: Moment,
        command: &'a [&'a [u8]],
    ) -> (Tables, Result<Outcome, Stop>) {
        self.begin(phase, tables, meter);
        let called = function.call(&mut self.store, (at.into(), command));
        let (tables, ended) = self.end(called);
        let outcome = ended.and_then(|(answer,)| match answer {
            Ok(reply) => self.checked_reply(reply),
            Err(text) => checked_rejection(text),
        });
        (tables, outcome)
    }

    fn begin(&mut self, phase: Phase, tables: Tables, meter: Meter) {
        self.store.set_fuel(meter.fuel).expect("fuel is configured");
        self.store.set_epoch_deadline(meter.deadline_ticks);
        let host = self.store.data_mut();
        host.phase = phase;
        host.tables = tables;
        host.memory.refused = false;
        host.log.lines_left = self.log_lines_max;
        host.log.lines_dropped = 0;
    }

    fn end<T>(&mut self, called: wasmtime::Result<T>) -> (Tables, Result<T, Stop>) {
        let host = self.store.data_mut();
        if host.log.lines_dropped > 0 {
            tracing::warn!(engine = &*host.engine, lines = host.log.lines_dropped, "log lines of one command dropped");
        }
        let tables = std::mem::take(&mut host.tables);
        (tables, called.map_err(|error| stopped(host, &error)))
    }

    fn checked_reply(&self, reply: Vec<u8>) -> Result<Outcome, Stop> {
        if reply.len() > self.reply_bytes_max {
            return Err(Failure::TooLarge.into());
        }
        if !resp::is_one_value(&reply) {
            return Err(Failure::MalformedReply.into());
        }
        Ok(Outcome::Reply(reply))
    }
}

/// A rejection is one line that can be sent after a minus sign.
fn checked_rejection(text: String) -> Result<Outcome, Stop> {
    if text.len() > REJECTION_BYTES_MAX {
        return Err(Failure::TooLarge.into());
    }
    if text.is_empty() || text.contains(['\r', '\n']) {
        return Err(Failure::MalformedReply.into());
    }
    Ok(Outcome::Rejected(text))
}

/// A store for one instance, with every limit set.
pub(crate) fn store(
    engine: &wasmtime::Engine,
    name: std::sync::Arc<str>,
    generation: u32,
    limits: &Limits,
) -> Store<Host> {
    let mut store = Store::new(engine, Host::new(name, generation, limits.memory_bytes_max));
    store.limiter(|host| host);
    store.set_epoch_deadline(Meter::fuel(0).deadline_ticks);
    // What the host copies out of the guest at once: a reply. (Keys and values are read in place, but count as well.)
    store.set_hostcall_fuel(limits.transfer_bytes_max());
    store
}

/// Why a call ended. What a host function left behind counts first: the error itself is only its echo.
pub(crate) fn stopped(host: &mut Host, error: &wasmtime::Error) -> Stop {
    let stop = host.stop.take().unwrap_or_else(|| unexplained(error, host.memory.refused));
    match &stop {
        // For the engine's author. Who called it gets the failure, and may call it as often as it likes.
        Stop::Failure(failure) => tracing::debug!(engine = &*host.engine, %failure, "{error:#}"),
        Stop::Fault(fault) => {
            tracing::error!(engine = &*host.engine, %fault, "this node could not run an engine's call")
        }
    }
    stop
}

fn unexplained(error: &wasmtime::Error, refused_memory: bool) -> Stop {
    if error.is::<OutOfMemory>() {
        return NodeFault::Memory(format!("{error:#}")).into();
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Failure::OutOfFuel.into(),
        Some(Trap::Interrupt) => Failure::TimedOut.into(),
        // Rust, C and the rest end an allocation that they were refused with some trap.
        Some(_) | None if refused_memory => Failure::OutOfMemory.into(),
        // Wasmtime has no type for data over `set_hostcall_fuel`. A test holds it to this text.
        None if error.root_cause().to_string().contains("fuel allocated for hostcalls") => Failure::TooLarge.into(),
        // All kinds of trap look alike, the overflow of the stack too. A string or list that breaks the component model's rules
        // is an error that is not a trap; it is the guest's doing all the same, and the same on every node.
        Some(_) | None => Failure::Trapped.into(),
    }
}

/// Instantiation ran once at admission, so only two things can be new: a start function that fails for a reason in its code (it
/// can reach no tables, so this can't really be), or a machine without memory to map.
fn not_started(store: &mut Store<Host>, error: &wasmtime::Error) -> Stop {
    if error.is::<Trap>() || store.data().memory.refused {
        return stopped(store.data_mut(), error);
    }
    Stop::Fault(NodeFault::Memory(format!("{error:#}")))
}
