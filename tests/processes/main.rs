//! Stories with real processes: what is promised of a cluster, told against the program as its users run it.
//!
//! A test target of host/cli (its path says `tests/processes/`), so that cargo builds the program first and names it here.
//! The harness is the crate outboard-tests. Long measurements are `#[ignore]`d; each says how to run it.

mod access;
mod command_line;
mod crashes;
mod demo;
mod disks;
mod engines;
mod import;
mod membership;
mod nemesis;
mod redis;
mod sessions;
mod signals;
mod size;
mod strangers;
mod upgrades;

/// The program under test.
const OUTBOARD: &str = env!("CARGO_BIN_EXE_outboard");
