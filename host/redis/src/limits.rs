//! Every bound of the listener, each with its unit. What a command may be (arguments, bytes) stands in
//! [`outboard_wire::limits`]; here is what a connection may hold.

use std::time::Duration;

pub use outboard_wire::limits::{
    ARGUMENTS_MAX, COMMAND_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_COMMANDS_MAX, VALUE_BYTES_MAX,
};

/// Connections that are served at once, unless [`Options`](crate::Options) says otherwise.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Files that the node itself may have open beside its connections (tables, log, QUIC), for a warning where fewer are allowed.
pub(crate) const FILES_RESERVED: u64 = 1_024;

/// The longest inline command, and the longest line with a length, in bytes.
pub const INLINE_BYTES_MAX: usize = 64 << 10;
/// A longer argument ends the connection; up to here one that is too long is skipped and refused, in bytes.
pub const SKIPPED_ARGUMENT_BYTES_MAX: usize = 512 << 20;
/// More arguments end the connection; up to here a command with too many is skipped and refused.
pub const SKIPPED_ARGUMENTS_MAX: usize = 1 << 20;
/// Arguments of one command before a login.
pub const LOGIN_ARGUMENTS_MAX: usize = 10;
/// The longest argument before a login, in bytes.
pub const LOGIN_ARGUMENT_BYTES_MAX: usize = 16 << 10;

/// What is read from a socket at once, in bytes.
pub(crate) const READ_BYTES: usize = 64 << 10;
/// Reads of one connection in one turn; then the others have theirs.
pub(crate) const READS_PER_TURN: usize = 4;

/// Commands of one connection that are under way at the node. Beyond it nothing more is read from the socket.
pub const PIPELINE_MAX: usize = 256;
/// Reads among them, as long as no reply was seen; one more with each.
pub(crate) const READS_FIRST: usize = 16;
/// Their arguments together, in bytes; a single command may be larger.
pub const PIPELINE_BYTES_MAX: usize = 16 << 20;
/// Replies that a client has not taken yet, with what those under way will probably add, in bytes. Beyond it nothing more of the
/// connection is started.
pub const OUTPUT_BYTES_PAUSE: usize = 8 << 20;
/// What the first replies of a connection are taken for, in bytes, until some have been seen.
pub(crate) const REPLY_BYTES_EXPECTED: usize = 64 << 10;
/// Replies that a client has not taken yet, in bytes. Beyond it the connection is cut off.
pub const OUTPUT_BYTES_MAX: usize = 256 << 20;
/// A reply of at least so many bytes is written from where it lies.
pub(crate) const REPLY_BYTES_COPIED: usize = 16 << 10;

/// What all connections together may hold (half commands, commands under way, queued transactions, replies), in bytes, unless
/// [`Options`](crate::Options) says otherwise. Beyond it commands are answered `-TRYAGAIN`, and whoever holds more than [`HELD_BYTES_FAIR`] and wants still more is cut off.
pub const HELD_BYTES_MAX: usize = 512 << 20;
/// What a connection may always hold, in bytes.
pub const HELD_BYTES_FAIR: usize = 64 << 10;

/// The longest name that a client may give itself, in bytes. CLIENT LIST repeats it.
pub const CLIENT_NAME_BYTES_MAX: usize = 256;

/// A TLS handshake must be finished after so long.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Half a command, and silence for so long: the connection is cut off.
pub const HALF_COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// A client that takes nothing of its replies for so long is cut off.
pub const STUCK_READER_TIMEOUT: Duration = Duration::from_secs(60);
/// After a last word to a client, its bytes are thrown away for so long, so that it can read that word.
pub(crate) const LINGER: Duration = Duration::from_secs(1);
/// How often the connections are looked at for these times.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// TCP asks a silent client after so long whether it is still there.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(300);
/// How long accepting pauses when the system refuses (file descriptors used up).
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Passwords that are checked at once; each costs tens of milliseconds of a core and some 20 MiB.
pub const LOGINS_AT_ONCE: usize = 2;
/// Logins that may wait for that. One more is answered `-TRYAGAIN`.
pub const LOGINS_WAITING_MAX: usize = 256;
