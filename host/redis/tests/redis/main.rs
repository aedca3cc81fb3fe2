//! The listener before a node that keeps a map, met by clients as they come: well-behaved, hasty, slow, and by mistake.

#![allow(clippy::wildcard_enum_match_arm, clippy::print_stderr)]

mod bounds;
mod commands;
mod damage;
mod fake;
mod harness;
mod order;
mod security;
mod strangers;
mod tools;
mod transactions;
mod versus;
