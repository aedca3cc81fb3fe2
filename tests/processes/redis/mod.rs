//! Redis clients and real nodes: what they are promised. The tools are Debian's redis-tools; where they are missing, what they
//! are needed for is skipped, loudly.
//!
//! - `transcripts.rs`: what the README of raft-kv shows, and what raft-kv got wrong. `tools.rs`: each mode of the tools.
//! - `any_node.rs`: all nodes serve alike, and what they say without a leader. `transactions.rs`: MULTI and WATCH across nodes.
//! - `doors.rs`: passwords, TLS, and listeners that would be open to all. `strangers.rs`: who doesn't speak as clients do.
//! - `crowds.rs`: thousands of connections. `libraries.rs`: three client libraries through the death of the leader.

mod any_node;
mod crowds;
mod doors;
mod libraries;
mod strangers;
mod tools;
mod transactions;
mod transcripts;
