//! The node: everything between the sockets and the disks that decides.
//!
//! ```text
//!          net ──▶ run ──▶ core (pure: Event in, Action out) ──▶ run ──▶ workers/append ──▶ wal ──▶ then_send, Persisted
//!                   ▲                                                 ├──▶ workers/apply  ──▶ machine ──▶ replies, Applied
//!                   └──────────── events of the workers ◀─────────────┴──▶ workers/query  ──▶ replies
//! ```
//!
//! - [`core`]: consensus and who waits for what. No I/O, no clock, no threads: the simulator runs it as it is.
//! - [`machine`]: applies committed entries: the engine's commands through the sandbox, the others to the control state.
//! - [`control`]: the replicated state beside the engine: which engines are known, who has them ready, which one runs, and
//!   the hash chain that proves that all nodes got the same.
//! - [`library`]: the components on this node's disk.
//! - [`workers`]: one thread each for the log, for applying, for queries, for making the tables durable and for reading old parts of the log again.
//! - [`desk`]: what the tasks beside the loop work with.
//! - [`transfer`]: what takes longer than a frame: snapshots and components.
//! - [`gateway`]: how listeners of other protocols on this node ask the cluster.
//! - [`recovery`]: from the disks to a node's parts.
//! - [`stepped`]: the same parts without threads, for the simulator.
//! - [`formation`]: the data folder, and how the folders of a new cluster are made.
//! - [`enrolment`]: how somebody comes into a cluster by a token, who signs certificates, and their renewal.
//! - [`neighbours`]: whom this node dials and lets in. [`permission`]: which client may ask what.
//!
//! Invariants: one order of events (propose, append, replicate, commit, apply), no side door; a reply handle travels with its
//! entry; a failed write or sync, a damaged log and a fault below an engine halt the node ([`Halt`]) and are never retried.
//! Tests: beside the files that decide something alone; the whole node in `tests/` of this room and, as real processes, in the workspace's `tests/`.

mod control;
mod core;
mod desk;
pub mod enrolment;
mod error;
pub mod formation;
mod gateway;
mod inspect;
mod keys;
mod library;
mod machine;
mod neighbours;
mod node;
mod peers;
mod permission;
mod recovery;
mod reply;
mod run;
mod settings;
mod signer;
#[doc(hidden)]
pub mod stepped;
mod transfer;
mod workers;

pub use error::{Halt, HaltKind, StartError};
pub use gateway::{Ask, Figures, Gateway};
pub use inspect::{Inspection, inspect};
pub use node::Node;
pub use recovery::offline::{Plan, RecoverError, Survivor};
pub use settings::{Durability, LogCare, NodeSettings};
