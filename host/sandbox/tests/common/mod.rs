//! What the tests of this room share: sandboxes, tables, and components made by hand from text.
#![allow(dead_code, unreachable_pub, reason = "shared by test binaries, each of which uses its part")]

pub mod hand;

use std::sync::Arc;

use outboard_sandbox::{Component, Limits, Moment, Outcome, Sandbox};
use outboard_store::{MemoryStore, Store, Transaction};

/// Limits that a test reaches quickly.
pub fn limits() -> Limits {
    Limits { apply_fuel: 20_000_000, memory_bytes_max: 32 << 20, reply_bytes_max: 2 << 20, ..Limits::default() }
}

pub fn sandbox() -> Sandbox {
    Sandbox::new(limits(), None).expect("a sandbox")
}

pub fn admitted(sandbox: &Sandbox, bytes: &[u8]) -> Arc<Component> {
    sandbox.admit(bytes).unwrap_or_else(|refusal| panic!("{refusal}"))
}

pub fn at(index: u64) -> Moment {
    Moment { index, time_ms: 1_700_000_000_000 + index, seed: index.wrapping_mul(0x9E37_79B9_7F4A_7C15) }
}

pub fn words(line: &str) -> Vec<&[u8]> {
    line.split(' ').map(str::as_bytes).collect()
}

/// Tables in memory and a transaction over them.
pub fn transaction() -> Transaction {
    Transaction::new(MemoryStore::new().view())
}

/// A table, a key, and a value or a deletion.
pub type Write = (u64, Vec<u8>, Option<Vec<u8>>);

/// Everything that a command wrote, to compare.
pub fn writes(txn: &Transaction) -> Vec<Write> {
    txn.command_writes().map(|(table, key, value)| (table.0, key.to_vec(), value.map(<[u8]>::to_vec))).collect()
}

pub fn reply(text: &str) -> Outcome {
    Outcome::Reply(text.as_bytes().to_vec())
}
