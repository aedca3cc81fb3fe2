//! The limits on what clients may ask, in one place. They are checked before a command reaches the log; the sandbox checks
//! keys and values again when an engine writes them.

/// The longest key, in bytes: 64 KiB less what the tables put before it (`outboard_store::KEY_BYTES_MAX`; a test of the node holds the two together).
pub const KEY_BYTES_MAX: usize = (64 << 10) - 9;
/// The longest value, and so the longest argument of a command, in bytes.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// The most arguments of one command, its name included.
pub const ARGUMENTS_MAX: usize = 1 << 16;
/// The arguments of one command together, in bytes.
pub const COMMAND_BYTES_MAX: usize = 8 << 20;
/// The largest component that can be pushed, in bytes.
pub const COMPONENT_BYTES_MAX: usize = 16 << 20;
/// The longest time that a request may wait at a node, in milliseconds.
pub const REQUEST_TIMEOUT_MS_MAX: u32 = 600_000;
