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

/// Client sessions that the cluster keeps at once.
pub const SESSIONS_MAX: usize = 10_000;
/// How far the sequence of a request may be ahead of its `settled_below`: so many requests of a session may be unanswered.
pub const SESSION_OUTSTANDING_MAX: u64 = 1_024;
/// The replies that one session keeps for retries, in bytes. Beyond it the oldest are forgotten.
pub const SESSION_REPLY_BYTES_MAX: usize = 1 << 20;
/// The replies that all sessions keep together, in bytes. Beyond it the session that adds one forgets its own oldest.
pub const SESSIONS_REPLY_BYTES_MAX: usize = 64 << 20;
/// A session that is not used for so long is gone, in milliseconds of the log's time.
pub const SESSION_IDLE_MS_MAX: u64 = 3_600_000;

/// Watchers that the cluster keeps at once.
pub const WATCHERS_MAX: usize = 10_000;
/// Keys of one watcher.
pub const WATCHER_KEYS_MAX: usize = 1_024;
/// The keys of all watchers together, in bytes.
pub const WATCHED_BYTES_MAX: usize = 64 << 20;
/// A watcher that was not extended or used for so long is gone, in milliseconds of the log's time.
pub const WATCHER_AGE_MS_MAX: u64 = 600_000;

/// Commands of one transaction.
pub const TRANSACTION_COMMANDS_MAX: usize = 1_024;
/// The arguments of all commands of one transaction together, in bytes.
pub const TRANSACTION_BYTES_MAX: usize = 8 << 20;
/// The replies of all commands of one transaction together, in bytes.
pub const TRANSACTION_REPLY_BYTES_MAX: usize = 8 << 20;
