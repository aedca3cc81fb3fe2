//! The consensus core of Outboard: Raft as a value. Inputs go in, [`Ready`] comes out; no I/O, no clock, no threads,
//! no dependencies. The same inputs in the same order give the same outputs, on every machine.
//!
//! # What the owner does
//!
//! Build a [`Raft`] from what is on disk ([`Start`]). Then loop: take all inputs that are waiting (`step`, `tick`,
//! `on_...`) and all commands (`propose`, `read`, ...), call [`Raft::ready`] once for all of them, and do what it says.
//! A proposal or a read does nothing before the next `ready`: what is taken in together leaves in one message.
//!
//! 1. `send`: give to the network at once, beside everything else. A leader's Appends leave while its own disk writes.
//! 2. `persist`: queue for the log's only writer, in order. The writer appends hard state and entries (overwriting from
//!    the first entry's index on), syncs once for all batches that wait, *then* gives their `then_send` to the network
//!    and reports each by `on_persisted`. Nothing in `then_send` may leave earlier: it promises what the batch holds.
//! 3. `apply`: apply in order and report by `on_applied`. These entries are committed and on this node's disk. One ready
//!    carries one group; more come with the next ones, so call again as long as it is not empty.
//! 4. `barriers`: a read may be served once the store has applied the barrier's index. `barriers_lost`: answer that
//!    leadership was lost. Every read that was taken ends in one of the two.
//! 5. `reads`: read the entries from the log on disk, after all batches handed out earlier, and answer every request by
//!    `on_log_read`, an empty answer if they are gone.
//! 6. `snapshots`: stream a snapshot of the store as of now with the request's term; report the end by
//!    `on_snapshot_sent`, good or bad, every time, and good only when the receiver has told its core. Keep the log behind
//!    that snapshot until then (don't `compact`).
//! 7. `removed`: this node is out; finish what was handed out, then stop it. `readmitted`: forget the note that data was
//!    lost here.
//! 8. `install`: after all earlier batches are persisted and nothing is being applied, replace the store by the staged
//!    snapshot, then empty the log to begin after it (hard state stays), report by `on_snapshot_installed`. A staged
//!    snapshot that is not asked for in the next ready can be thrown away. A start that finds the store ahead of the
//!    log's end has crashed between the two steps: empty the log first.
//!
//! A start that finds data gone that was durable (an empty disk under an old number, a damaged log) says so in
//! [`Start::suspended`], and goes on saying so until `readmitted`; [`Suspension`] tells why.
//!
//! After the store is durable up to some index, drop the log up to there (or somewhat less: followers that lag behind
//! it need a whole snapshot) with `compact` and on disk. A failed write or read is not reported: the node halts. Damage in the log that
//! nobody needs before the tables hold what it hit is no reason to halt; as long as it hits more than is committed, say `on_unfit`.
//!
//! # What holds
//!
//! - At most one leader per term; a term and a vote are durable before anyone hears of them as a promise.
//! - A committed entry stays, at its place, in every later leader's log.
//! - A node that lost data counts for nothing until it can't break a promise any more.
//! - Terms, commit, applied and what a peer is known to have never go back.
//! - Everything is bounded by [`Config`]: entries in memory, bytes on the way to peers, to commit, to apply.
//!
//! Time is ticks, chance is the seed: a [`Raft`] can be cloned, compared and hashed, so a checker can walk its states.
//! Left out on purpose: leases (a read is a round of heartbeats), priorities, witnesses.
//!
//! # Where to look
//!
//! `raft` is the door, `look` its windows, `role` changes roles and judges votes; `follower`, `candidate`, `leader` are the roles and
//! `shared` what all of them know. A leader's parts: `progress`, `inflight`, `replicate`, `read`, `transfer`,
//! `uncommitted`, `change` (of membership). A follower's: `asking` (its reads). Who takes part: `membership`, `history`;
//! who lost data: `suspension`. The log: `log`, `terms`, `pending`. Tests: `tests/scripts/*.txt` tell stories with the
//! expected events; `tests/cluster/simulation.rs` shakes a cluster; `src/tests/` holds properties; the crate `tests/model`
//! searches small worlds to the end, turns every guard off in turn, and compares with another implementation.

mod apply;
mod asking;
mod candidate;
mod change;
mod follower;
mod history;
mod inflight;
mod leader;
mod log;
mod look;
mod membership;
mod message;
mod pending;
mod progress;
mod quorum;
mod raft;
mod read;
mod ready;
mod replicate;
mod role;
mod shared;
mod status;
mod suspension;
mod terms;
#[cfg(test)]
mod tests;
mod timer;
mod transfer;
mod types;
mod uncommitted;

pub use membership::{Membership, MembershipChange, MembershipStep};
pub use message::{Envelope, Message};
pub use raft::Raft;
pub use read::READS_WAITING_MAX;
pub use ready::{
    Barrier, LogAnswer, LogPurpose, LogRequest, Persist, PersistId, ReadId, Ready, SnapshotMeta, SnapshotRequest,
};
pub use shared::Start;
pub use status::{PeerProgress, PeerState, Refusal, RoleKind};
pub use suspension::Suspension;
pub use types::{Config, ENTRY_OVERHEAD_BYTES, Entry, HardState, Index, NodeId, Payload, Position, Term};
