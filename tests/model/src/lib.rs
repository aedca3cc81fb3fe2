//! The consensus core on trial. Everything here runs the real core (`host/raft`), none of it is a second opinion in prose.
//!
//! | what | file | how to run it |
//! | --- | --- | --- |
//! | small worlds, searched to the end | [`world`], [`worlds`], [`node`], [`frozen`] | `cargo run --release -p outboard-model -- worlds` |
//! | every guard of the core turned off in turn | [`mutations`] | `cargo run --release -p outboard-model -- mutations` |
//! | the known bugs of other systems, each in a test | [`regressions`] | `cargo test -p outboard-model` |
//! | the same schedules for another implementation | `tests/differential.rs` | `cargo test -p outboard-model` |
//!
//! `cargo test -p outboard-model` runs small versions of the worlds too.

pub mod frozen;
pub mod mutations;
pub mod node;
pub mod regressions;
pub mod world;
pub mod worlds;
