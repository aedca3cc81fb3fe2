//! What the host keeps beside a live instance: the tables it may reach, what it may still log and allocate, and why it was ended.

use std::sync::Arc;

use outboard_store::{Table, Transaction, View};
use wasmtime::ResourceLimiter;

use crate::limits::{PARTS_MAX, TABLE_ELEMENTS_MAX};
use crate::outcome::{NodeFault, Stop};

/// The data of a wasmtime store: one for each instance.
pub(crate) struct Host {
    /// The engine's name, for log lines.
    pub(crate) engine: Arc<str>,
    pub(crate) generation: u32,
    pub(crate) phase: Phase,
    pub(crate) tables: Tables,
    pub(crate) memory: Memory,
    pub(crate) log: Log,
    /// Why a host function ended the guest; taken by the caller.
    pub(crate) stop: Option<Stop>,
}

/// Which export is running. Writing is for `Apply` alone.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Phase {
    Describe,
    Open,
    Apply,
    Query,
}

/// The tables in reach. A transaction is moved in for a call and out after it, so no lifetime crosses the border.
#[derive(Default)]
pub(crate) enum Tables {
    #[default]
    Closed,
    View(Arc<dyn View>),
    Transaction(Transaction),
}

/// Linear memory, all of the instance's together.
pub(crate) struct Memory {
    pub(crate) bytes: usize,
    pub(crate) bytes_max: usize,
    /// A request over the limit was refused since this was last cleared. The guest sees that, and what it saw on a warm instance
    /// depends on the instance's past.
    pub(crate) refused: bool,
}

/// Lines that the running call may still write.
pub(crate) struct Log {
    pub(crate) lines_left: u32,
    pub(crate) lines_dropped: u32,
    /// The last line of a `describe`.
    pub(crate) last_words: Option<String>,
}

impl Host {
    pub(crate) fn new(engine: Arc<str>, generation: u32, memory_bytes_max: usize) -> Host {
        Host {
            engine,
            generation,
            phase: Phase::Describe,
            tables: Tables::Closed,
            memory: Memory { bytes: 0, bytes_max: memory_bytes_max, refused: false },
            log: Log { lines_left: 1, lines_dropped: 0, last_words: None },
            stop: None,
        }
    }

    pub(crate) fn table(&self, number: u32) -> Table {
        Table::engine(self.generation, number)
    }
}

impl Log {
    pub(crate) fn admits_a_line(&mut self) -> bool {
        match self.lines_left.checked_sub(1) {
            Some(left) => self.lines_left = left,
            None => self.lines_dropped = self.lines_dropped.saturating_add(1),
        }
        self.lines_dropped == 0
    }
}

/// What wasmtime says of a growth beyond what the memory's type can express, the one failure that it reports without asking
/// `memory_growing` first. A test holds wasmtime to it.
const TYPE_LIMIT: &str = "memory growth exceeds memory type's limits";

impl ResourceLimiter for Host {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let bytes = (self.memory.bytes - current).saturating_add(desired);
        if bytes > self.memory.bytes_max || maximum.is_some_and(|maximum| desired > maximum) {
            self.memory.refused = true;
            return Ok(false);
        }
        self.memory.bytes = bytes;
        Ok(true)
    }

    /// Allowed above and yet failed: the operating system refused. That is this machine's trouble and must not reach the guest as
    /// an answer, so it ends the guest.
    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        if error.to_string() == TYPE_LIMIT {
            self.memory.refused = true;
            return Ok(());
        }
        self.stop = Some(NodeFault::Memory(format!("{error:#}")).into());
        Err(error)
    }

    fn table_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let allowed = desired <= TABLE_ELEMENTS_MAX && maximum.is_none_or(|maximum| desired <= maximum);
        self.memory.refused |= !allowed;
        Ok(allowed)
    }

    fn instances(&self) -> usize {
        PARTS_MAX
    }

    fn tables(&self) -> usize {
        PARTS_MAX
    }

    fn memories(&self) -> usize {
        PARTS_MAX
    }
}
