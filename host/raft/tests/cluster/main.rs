//! The core in a cluster: stories with expected events, and a cluster that is shaken.
#![allow(clippy::disallowed_methods, reason = "the scripts are files; the core under test still does no I/O")]
#![allow(missing_docs, unreachable_pub, reason = "a test has no readers outside")]
#![allow(clippy::print_stdout, reason = "a failing test tells its story")]

mod harness;
mod scripts;
mod simulation;
