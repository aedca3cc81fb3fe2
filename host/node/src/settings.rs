//! How a node is started, and the times and sizes that hold inside it, each with its unit.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What a node is started with; everything else stands in its data folder.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// The node's folder (see `formation.rs`).
    pub data_dir: PathBuf,
    /// The component that the cluster starts with if it has no engine yet; later the log says which one runs.
    pub engine: Arc<[u8]>,
    /// What an acknowledged write has survived.
    pub durability: Durability,
    /// Listen here instead of the address in the data folder.
    pub listen: Option<SocketAddr>,
    /// How the log is kept, and looked after.
    pub log: LogCare,
}

/// How the log is kept on the disk, and how its old parts are read again in search of lost bits.
#[derive(Clone, Debug)]
pub struct LogCare {
    /// Of a segment.
    pub segment_bytes: u64,
    /// How fast closed segments are read again, at most.
    pub scrub_bytes_per_second: u64,
    /// Between the end of one round over all of them and the next one.
    pub scrub_pause: Duration,
}

impl Default for LogCare {
    fn default() -> LogCare {
        LogCare {
            segment_bytes: outboard_wal::Options::default().segment_bytes,
            scrub_bytes_per_second: 8 << 20,
            scrub_pause: Duration::from_secs(600),
        }
    }
}

/// What an acknowledged write has survived.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Durability {
    /// It is on the disks of a majority.
    Sync,
    /// It is in the memory of a majority: a loss of power on several nodes at once may lose it. For throw-away clusters.
    None,
}

impl Durability {
    /// Its name in `status`.
    pub fn name(self) -> &'static str {
        match self {
            Durability::Sync => "sync",
            Durability::None => "none",
        }
    }
}

/// The core's clock.
pub(crate) const TICK: Duration = Duration::from_millis(50);
/// A follower that hears nothing for 600 to 1200 ms asks for votes.
pub(crate) const ELECTION_TIMEOUT_TICKS: u32 = 12;
/// A leader speaks every 100 ms.
pub(crate) const HEARTBEAT_TICKS: u32 = 2;
/// How often the nodes compare their hash chains, and look after engines that are staged but not tried yet.
pub(crate) const PULSE_TICKS: u32 = 20;
/// How often the tables are made durable, so that the log may be compacted. A kill of the process loses nothing either way.
pub(crate) const PERSIST_EVERY: Duration = Duration::from_secs(5);
/// Log kept behind the durable tables for followers that lag or restart, in bytes.
pub(crate) const LOG_KEEP_BYTES: u64 = 256 << 20;
/// How fast the tables are read for a snapshot, in bytes per second: it shares disk and network with everything else.
pub(crate) const SNAPSHOT_BYTES_PER_SECOND: u64 = 128 << 20;
/// Applied entries that are committed to the store together, in bytes of commands.
pub(crate) const APPLY_BATCH_BYTES: usize = 4 << 20;
/// Entries of the log that are loaded into memory at a start, in bytes; the core asks for the others.
pub(crate) const START_TAIL_BYTES: usize = 16 << 20;
/// Requests that wait at one node for a leader or for an engine. One more is answered Overloaded.
pub(crate) const PARKED_MAX: usize = 16_384;
/// Requests that wait at one node for any outcome.
pub(crate) const WAITING_MAX: usize = 131_072;
/// Requests that one query worker takes at once; the published state is renewed in between.
pub(crate) const QUERY_BATCH: usize = 256;
/// How long a node that is asked to stop tries to hand leadership over.
pub(crate) const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a node waits for another one's word in `status`, in milliseconds.
pub(crate) const INQUIRY_TIMEOUT_MS: u64 = 1_000;
