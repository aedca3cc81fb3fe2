//! The sandbox: component bytes become a live engine over a store's transaction. The only room that names wasmtime.
//!
//! ```text
//! bytes ─ Sandbox::admit ─▶ Component ─┬─ Applier::apply(transaction, moment, command) ─▶ Outcome, writes in the transaction
//!          or a Refusal                └─ Querier::query(view, moment, command) ────────▶ Outcome
//! ```
//!
//! A guest has no clock, no chance, no files and no network; it sees the tables of its generation while a command runs, and may
//! write lines to the log. What a command may cost is limited in [`Limits`]. What comes out is an [`Outcome`], the same on every
//! node, or a [`NodeFault`], which is this machine's trouble and never recorded.
//!
//! | file | holds |
//! | --- | --- |
//! | `sandbox` `admit` `manifest` `component` | from bytes to an admitted component |
//! | `config` `limits` `cache` `ticker` | how it is compiled, bounded, kept, and kept in time |
//! | `contract` `host` `instance` | the border: types, host functions, one live instance |
//! | `applier` `querier` `outcome` `resp` | which instance runs a command, and what counts as its outcome |
//!
//! Invariants: the outcome of an applied command is that of a fresh instance (see `applier`); host memory, disk and time never
//! decide it. Never: opens a table by itself, sends, prints. Tests: `tests/`, with the engine `chaos` and with components made by
//! hand; speed: `examples/call_cost.rs`.

mod admit;
mod applier;
mod cache;
mod component;
mod config;
mod contract;
mod host;
mod instance;
mod limits;
mod manifest;
mod nothing;
mod outcome;
mod querier;
mod resp;
mod sandbox;
mod ticker;

pub use admit::Refusal;
pub use applier::Applier;
pub use component::{CommandSpec, Component, Digest, KeyPositions, Manifest};
pub use limits::{
    COMMAND_WRITES_BYTES_MAX, GUEST_STACK_BYTES, KEY_BYTES_MAX, LOG_LINE_BYTES_MAX, Limits, REJECTION_BYTES_MAX,
    THREAD_STACK_BYTES_MIN, VALUE_BYTES_MAX,
};
pub use outcome::{Failure, Moment, NodeFault, Outcome};
pub use querier::Querier;
pub use sandbox::{Sandbox, SandboxError};
