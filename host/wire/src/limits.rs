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

/// Nodes of a cluster at once: more make it slower, not safer.
pub const MEMBERS_MAX: usize = 15;
/// Numbers that a cluster gives to nodes in its life; none is given twice.
pub const NODE_NUMBERS_MAX: u64 = 10_000;
/// Tokens that the cluster knows at once.
pub const TOKENS_MAX: usize = 1_000;
/// Keys that may come in by all tokens together: each stays in its token's record.
pub const TOKEN_USES_ALL_MAX: u64 = 10_000;
/// The longest time that a token lets new ones in, in milliseconds: 30 days.
pub const TOKEN_LASTS_MS_MAX: u64 = 30 * 24 * 3_600_000;
/// A token is kept for so long after its time, so that an interrupted join goes on, in milliseconds: 7 days.
pub const TOKEN_KEPT_MS: u64 = 7 * 24 * 3_600_000;
/// Clients that the cluster knows at once, the revoked among them.
pub const CLIENTS_MAX: usize = 10_000;
/// The longest name of a node or client, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// The longest address of a node, in bytes: a DNS name, a colon and a port.
pub const ADDRESS_BYTES_MAX: usize = 260;
