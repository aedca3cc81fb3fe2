//! The tables: ordered maps of bytes that the host keeps for the engine and for its own control state.
//!
//! A [`Store`] holds all tables of a node and changes only by [`Store::commit`], which takes one [`Batch`] (the writes of some entries
//! and the index of the last of them) whole or not at all, and by [`Store::install`], which replaces everything by a snapshot. It is
//! read through a [`View`], a state that does not move. Writing starts with a [`Transaction`]: the writes of one command, kept or
//! discarded as a whole, over those of the batch so far, over a view.
//!
//! Two homes: [`DiskStore`] on the LSM library `fjall`, [`MemoryStore`] for tests, the simulator and throw-away clusters. Only
//! `disk*.rs` names fjall; what it leaves on the disk is told in FORMAT.md.
//!
//! ```text
//! command's writes ─keep─▶ batch's writes ─into_batch─▶ Store::commit ─▶ Store::view ─▶ base of the next transaction
//!                                                            └─ now and then Store::persist ─▶ the log may be compacted so far
//! ```
//!
//! Invariants: a view's tables are those at its applied index; a commit is never half seen, not after a crash either; a commit is
//! durable only when `persist` says so, and what a crash takes is always the newest commits. Nothing is retried: after a failed
//! write the store is halted.
//! Never: looks inside a value, knows what an engine is, sends, reads the clock. Tests: `tests/store`, most of them
//! against a model that is a plain map.

mod arrival;
mod batch;
mod disk;
mod disk_error;
mod disk_folder;
mod disk_journal;
mod disk_panic;
mod disk_recent;
mod disk_tables;
#[cfg(test)]
mod disk_tests;
mod disk_view;
mod error;
mod key;
mod memory;
mod overlay;
mod page;
mod store;
mod table;
mod transaction;

pub use batch::Batch;
pub use disk::DiskStore;
pub use disk_tables::Options;
pub use error::StoreError;
pub use key::KEY_BYTES_MAX;
pub use memory::MemoryStore;
pub use page::{SCAN_PAGE_BYTES_MAX, SCAN_RECORD_BYTES};
pub use store::{Range, Records, Store, View};
pub use table::Table;
pub use transaction::Transaction;
