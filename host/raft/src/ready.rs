//! What the core hands out: the work that its owner has to do, and in which order.

use crate::membership::Membership;
use crate::message::Envelope;
use crate::types::{Entry, HardState, Index, NodeId, Position, Term};

/// Everything that is to be done since the last call of `ready`; the parts may be done at the same time, except
/// where a part's own text says otherwise.
#[derive(Clone, Eq, PartialEq, Hash, Debug, Default)]
pub struct Ready {
    /// To be made durable, after all earlier ones.
    pub persist: Option<Persist>,
    /// May leave at once. Whatever has to wait for the disk is in `persist.then_send` instead.
    pub send: Vec<Envelope>,
    /// Committed and durable here, in order, each entry exactly once. Report progress by `on_applied`.
    pub apply: Vec<Entry>,
    /// Read these entries from the log on disk and answer each by `on_log_read`.
    pub reads: Vec<LogRequest>,
    /// Reads that may be served as soon as the store has applied their index.
    pub barriers: Vec<Barrier>,
    /// Reads that will get no barrier, because leadership was lost: to be tried again elsewhere.
    pub barriers_lost: Vec<ReadId>,
    /// Send a snapshot to each of these peers and report the end of each by `on_snapshot_sent`, good or bad.
    pub snapshots: Vec<SnapshotRequest>,
    /// Replace the store and then the log by this staged snapshot: after `persist` and after everything that was
    /// handed out to apply, whose outcome no longer matters. Report by `on_snapshot_installed`.
    pub install: Option<SnapshotMeta>,
    /// Once: as of this index this node is no member any more, and that is committed. It does not campaign from now on;
    /// its owner stops it. Numbers are not used twice; should a later membership have it nevertheless, it takes part again.
    pub removed: Option<Index>,
    /// Once: the suspension of this incarnation is over, all that the node may have promised is on its disk again. Its
    /// owner forgets that it ever was suspended.
    pub readmitted: Option<u64>,
}

impl Ready {
    /// Nothing to do.
    pub fn is_empty(&self) -> bool {
        self.persist.is_none()
            && self.send.is_empty()
            && self.apply.is_empty()
            && self.reads.is_empty()
            && self.barriers.is_empty()
            && self.barriers_lost.is_empty()
            && self.snapshots.is_empty()
            && self.install.is_none()
            && self.removed.is_none()
            && self.readmitted.is_none()
    }
}

/// Make durable, in this order; `then_send` may leave this node only afterwards. A batch with neither hard state nor
/// entries needs no sync of its own, only its turn behind the earlier batches.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub struct Persist {
    /// To be reported by `on_persisted`.
    pub id: PersistId,
    /// Replaces the stored one, if given.
    pub hard_state: Option<HardState>,
    /// Consecutive; overwrite anything at or after the first one's index.
    pub entries: Vec<Entry>,
    /// Messages that promise what this batch (or an earlier one) makes durable.
    pub then_send: Vec<Envelope>,
}

/// Names one batch; ascending, never reused while the core lives.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug, Default)]
pub struct PersistId(pub u64);

/// Names one waiting read; the owner's to choose.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug, Default)]
pub struct ReadId(pub u64);

/// These reads are linearizable on any state that has applied `index`.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub struct Barrier {
    /// All reads that share it.
    pub ids: Vec<ReadId>,
    /// Serve once applied has come so far.
    pub index: Index,
}

/// What entries are read back from disk for.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub enum LogPurpose {
    /// To be applied here.
    Apply,
    /// To be appended there.
    Peer(NodeId),
}

/// Entries that left the core's memory and are needed again. At most one request per purpose is open.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub struct LogRequest {
    /// Goes back in the answer.
    pub purpose: LogPurpose,
    /// The first entry.
    pub from: Index,
    /// The last one, inclusive; the answer may end earlier.
    pub to: Index,
    /// Stop reading at so many bytes, but not before the first entry.
    pub bytes_max: usize,
}

/// The entries of a [`LogRequest`]: at least the first one, unless it is no longer there. Answers that the log has
/// outrun meanwhile do no harm.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub struct LogAnswer {
    /// The request's.
    pub purpose: LogPurpose,
    /// Consecutive, beginning at the request's first index.
    pub entries: Vec<Entry>,
}

/// A peer needs entries that are compacted away.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct SnapshotRequest {
    /// The peer.
    pub to: NodeId,
    /// The leader's term, to be sent along: a snapshot of an older term is not taken.
    pub term: Term,
}

/// Where a snapshot stands in the log, and who the members are there.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub struct SnapshotMeta {
    /// The last entry that it contains.
    pub position: Position,
    /// The membership in force after that entry.
    pub membership: Membership,
}
