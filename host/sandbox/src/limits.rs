//! Every bound of the room, each with its unit. The fixed ones come from the contract (`wit/engine.wit`); the others stand in
//! [`Limits`].
//!
//! What decides an outcome (fuel, memory, reply size) must be the same on every node of a cluster, so [`Sandbox::environment`]
//! takes it in. The rest is each node's own affair.
//!
//! [`Sandbox::environment`]: crate::Sandbox::environment

use std::time::Duration;

/// The longest key that an engine may write, in bytes: 64 KiB less what the table store puts before it.
pub const KEY_BYTES_MAX: usize = outboard_store::KEY_BYTES_MAX;
/// The longest value that an engine may write, in bytes: a client's longest, and room for what the engine puts before it.
pub const VALUE_BYTES_MAX: usize = (1 << 20) + 256;
/// What one command may write, together, in bytes as [`Transaction::command_bytes`](outboard_store::Transaction::command_bytes)
/// counts them.
pub const COMMAND_WRITES_BYTES_MAX: usize = 64 << 20;
/// The longest text of a rejection, in bytes. An error is one line for people, not a way to return data.
pub const REJECTION_BYTES_MAX: usize = 4 << 10;
/// A line for the node's log is cut here, in bytes.
pub const LOG_LINE_BYTES_MAX: usize = 4 << 10;
/// Stack that a guest may use, in bytes. See `config.rs` for the reason.
pub const GUEST_STACK_BYTES: usize = 1 << 20;
/// The least stack of a thread that calls [`Applier`](crate::Applier), [`Querier`](crate::Querier) or
/// [`Sandbox::admit`](crate::Sandbox::admit), in bytes: the guest's part, and as much again for the host functions and the table
/// store below them. It is what std gives a thread; a smaller thread could be aborted by a deep engine.
pub const THREAD_STACK_BYTES_MIN: usize = 2 * GUEST_STACK_BYTES;

/// Fuel that a call into the host costs, beside the guest's own instructions, and the bytes moved that cost one more. A loop
/// over large records costs little in the guest and much in the host; without a price it could hold every node for minutes.
pub(crate) const HOST_CALL_FUEL: u64 = 50;
pub(crate) const HOST_BYTES_PER_FUEL: u64 = 8;

/// Elements in a component's tables (of functions), all together.
pub(crate) const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Core instances, memories and tables that a component may be made of. One engine in one language needs a handful.
pub(crate) const PARTS_MAX: usize = 32;

/// What the owner of a sandbox may choose.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Fuel of one command on a fresh instance; about one unit for each Wasm instruction. A warm instance gets half of it.
    pub apply_fuel: u64,
    /// Fuel of `open`, which may read much to fill caches.
    pub open_fuel: u64,
    /// Linear memory of one instance, in bytes.
    pub memory_bytes_max: usize,
    /// The longest reply, in bytes.
    pub reply_bytes_max: usize,
    /// The largest component, in bytes.
    pub component_bytes_max: usize,
    /// How long a query may run. Measured in ticks of 10 ms, so it ends up to two of them late.
    pub query_timeout: Duration,
    /// Log lines that one command may write; the rest is counted and dropped.
    pub log_lines_max: u32,
}

impl Limits {
    /// What the host takes from the guest at once, in bytes: a reply, or a key with its value.
    pub(crate) fn transfer_bytes_max(&self) -> usize {
        self.reply_bytes_max.max(2 * VALUE_BYTES_MAX)
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            apply_fuel: 200_000_000,
            open_fuel: 20_000_000_000,
            memory_bytes_max: 256 << 20,
            reply_bytes_max: 16 << 20,
            component_bytes_max: 16 << 20,
            query_timeout: Duration::from_secs(2),
            log_lines_max: 16,
        }
    }
}
