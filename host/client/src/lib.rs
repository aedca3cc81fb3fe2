//! The async Rust client of a cluster: commands for the engine, and what an operator asks.
//!
//! A [`Client`] is built from a [`Context`] (one file: cluster, endpoints, credentials), is cheap to clone, and many tasks
//! may use it at once: all their requests share one connection to the node that leads. It follows the leader, goes to
//! another node when one is lost or silent, and waits out elections until the call's deadline.
//!
//! Invariant: a command that may have reached the log is never sent again, unless its caller said that doing it twice is
//! harmless ([`Call::idempotent`]). So a [`ClientError`] always says whether the thing was done, was not, or may have been.
//!
//! Never: prints, logs keys or values, or holds a lock while it waits.
//!
//! Tests: beside the files that decide without I/O (`verdict.rs`, `route.rs`, `reply.rs`, `context.rs`); against
//! made-up nodes over real QUIC in `tests/asking.rs`; with real nodes in the workspace's `tests/`.

mod admin;
mod ask;
mod call;
mod client;
mod context;
mod error;
mod link;
mod push;
mod reply;
mod route;
mod verdict;

pub use call::Call;
pub use client::{Client, Options};
pub use context::{Context, ContextError};
pub use error::ClientError;
pub use reply::{Reply, ReplyError};

pub use outboard_wire::client::Consistency;
