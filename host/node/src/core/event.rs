//! Everything that can happen to the core, and everything that it can want.

use crate::control::Control;
use crate::reply::{Ordered, Reply};
use bytes::Bytes;
use outboard_raft::{
    Envelope, Index, LogAnswer, LogRequest, NodeId, Persist, PersistId, Position, SnapshotMeta, SnapshotRequest, Term,
};
use outboard_sandbox::Component;
use outboard_wire::client::Request;
use outboard_wire::command::{Digest, EngineRecord};
use outboard_wire::peer::PeerMessage;
use outboard_wire::status::ChainMark;
use std::sync::Arc;

/// The time of an event.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
pub struct Now {
    /// Milliseconds since 1970; may jump.
    pub wall_ms: u64,
    /// Microseconds since some start; never back.
    pub mono_us: u64,
}

/// What happened.
pub(crate) enum Event {
    /// The clock ticked; so many frames and handshakes were refused so far.
    Tick { refused: u64 },
    /// A peer's message, its sender proved by the connection.
    Peer { from: NodeId, message: PeerMessage },
    /// There is a connection to this peer now.
    PeerUp(NodeId),
    /// There is none any more.
    PeerDown(NodeId),
    /// Somebody asks; `encoded` is the request as it came, if it came over a wire, to be passed on.
    Request { request: Request, encoded: Option<Bytes>, reply: Reply },
    /// The append worker made a batch durable.
    Persisted(PersistId),
    /// The append worker read entries back.
    LogRead(LogAnswer),
    /// The apply worker committed a batch to the tables.
    Applied(AppliedNote),
    /// The tables up to here are on disk.
    TablesDurable { index: Index, bytes: u64 },
    /// The log's size on disk.
    LogBytes(u64),
    /// Something in the log up to this index is not as it was written.
    LogDamaged { what: String, upto: Index },
    /// A snapshot reached its peer, or did not.
    SnapshotSent { to: NodeId, at: Position, ok: bool },
    /// A peer's snapshot lies complete on this node's disk.
    SnapshotStaged { from: NodeId, term: Term, meta: SnapshotMeta },
    /// Tables and log were replaced.
    SnapshotInstalled { meta: SnapshotMeta, note: AppliedNote },
    /// An engine was fetched and tried: ready, refused for good, or not to be had now.
    EnginePrepared { digest: Digest, verdict: Verdict },
    /// The operator wants the node to stop.
    Stop,
}

/// What trying an engine has shown.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(crate) enum Verdict {
    Ready,
    Refused(String),
    /// No node could give it just now.
    NotHad(String),
}

/// What the tables have taken.
pub(crate) struct AppliedNote {
    pub(crate) index: Index,
    pub(crate) marks: Vec<ChainMark>,
    /// The control state and the running engine, if something about them changed.
    pub(crate) control: Option<(Arc<Control>, Option<Arc<Component>>)>,
    pub(crate) time_ms: u64,
    pub(crate) stalled_for: Option<EngineRecord>,
}

/// What is to be done.
pub(crate) enum Action {
    /// To a peer, at once.
    Send(Envelope),
    /// To a peer, at once; not consensus.
    SendPeer { to: NodeId, message: PeerMessage },
    /// Into the log, after all earlier ones; then its messages.
    Persist(Persist),
    /// Entries back from the log.
    ReadLog(LogRequest),
    /// The log up to here is not needed any more.
    Compact(Index),
    /// All that was lost here is here again: the log forgets the loss.
    SettleLoss,
    /// All that this node has promised is lost: write that down, and halt.
    NoteLoss { reason: String, at_ms: u64 },
    /// Into the tables, after all earlier ones.
    Apply(Vec<Ordered>),
    /// Reads whose barrier is reached.
    Query(Vec<Query>),
    /// Stream the tables to a peer.
    SendSnapshot(SnapshotRequest),
    /// Replace tables and log by the staged snapshot.
    Install(SnapshotMeta),
    /// Fetch (if need be), check and compile an engine; then say so.
    PrepareEngine(EngineRecord),
    /// The component that apply waits for has come.
    ResumeApply,
    /// Nothing more will be wanted: leave.
    Stopped,
    /// As `Stopped`, for good: this node was taken out of the membership at this index.
    Leave(Index),
}

/// A read that may run.
pub(crate) struct Query {
    pub(crate) arguments: Vec<Bytes>,
    /// The leader's stamp; none for a stale read, which gets the time of the tables.
    pub(crate) time_ms: Option<u64>,
    pub(crate) reply: Reply,
    /// Answered as not done after this, on the core's clock.
    pub(crate) deadline_us: u64,
}
