//! What a call costs: `cargo run --release -p outboard-sandbox --example call_cost`.
//!
//! Over tables in memory, with 10-byte keys and 256-byte values, one thread. Beside each figure of the sandbox stands the same
//! work without it, so that the difference is what the sandbox costs.
#![allow(clippy::print_stdout, reason = "a program that prints")]

#[path = "../tests/common/mod.rs"]
mod common;

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use common::hand::Hand;
use outboard_sandbox::{Applier, Failure, Limits, Moment, Outcome, Querier, Sandbox};
use outboard_store::{MemoryStore, Store, Table, Transaction};

const KEYS: u64 = 10_000;
const BATCH: u64 = 64;
const ROUNDS: u64 = 600_000;
const SLICES: u64 = 50;

fn main() {
    let sandbox = Sandbox::new(Limits::default(), None).expect("a sandbox");
    let started = Instant::now();
    let kv = sandbox.admit(outboard_embedded::KV).expect("kv is admitted");
    println!("admit kv ({} KB): {} ms", kv.bytes_len() >> 10, started.elapsed().as_millis());

    let store = MemoryStore::new();
    let mut applier = Applier::new(&sandbox, kv.clone(), 1);
    let value = [b'x'; 256];
    for round in 0..3 {
        measure(&format!("SET by the applier, round {round}"), |count| {
            batches(&store, count, |txn, n| {
                let outcome = applier.apply(txn, at(n), &[b"SET", &key(n), &value]).expect("no fault");
                assert_eq!(outcome, Outcome::Reply(b"+OK\r\n".to_vec()));
            });
        });
    }
    let native = MemoryStore::new();
    measure("the same puts without the sandbox", |count| {
        batches(&native, count, |txn, n| {
            txn.put(Table::engine(1, 0), &key(n), Bytes::copy_from_slice(&value)).expect("a short key");
        });
    });

    let mut querier = Querier::new(&sandbox, kv.clone(), 1);
    let view = store.view();
    measure("GET by the querier", |count| {
        for n in 0..count {
            let outcome = querier.query(view.clone(), at(n), &[b"GET", &key(n)]).expect("no fault");
            assert!(matches!(black_box(outcome), Outcome::Reply(reply) if reply.len() > 256));
        }
    });
    let native = native.view();
    measure("the same gets without the sandbox", |count| {
        for n in 0..count {
            assert!(black_box(native.get(Table::engine(1, 0), &key(n))).is_ok_and(|value| value.is_some()));
        }
    });

    let by_hand = sandbox.admit(&Hand::default().build()).expect("a component by hand");
    let mut empty = Applier::new(&sandbox, by_hand.clone(), 1);
    let mut txn = Transaction::new(store.view());
    measure("an empty command by the applier", |count| {
        for n in 0..count {
            black_box(empty.apply(&mut txn, at(n), &[b"DO"]).expect("no fault"));
        }
    });
    let tables = r#"(import "outboard:engine/tables@0.1.0" "put" (func $put (param i32 i32 i32 i32 i32)))
        (import "outboard:engine/tables@0.1.0" "get" (func $get (param i32 i32 i32 i32)))"#;
    for (what, call) in [
        (
            "with a put of 256 bytes",
            "(call $put (i32.const 0) (i32.const 64) (i32.const 4) (i32.const 1000) (i32.const 256))",
        ),
        ("with a get of 256 bytes", "(call $get (i32.const 0) (i32.const 64) (i32.const 4) (i32.const 16))"),
    ] {
        let apply = format!("{call} (call $ok (i32.const 64) (i32.const 5))");
        let hand = Hand { apply, imports: tables.into(), ..Hand::default() }.build();
        let mut applier = Applier::new(&sandbox, sandbox.admit(&hand).expect("admitted"), 1);
        txn.put(Table::engine(1, 0), b"+OK\r", Bytes::copy_from_slice(&value)).expect("a short key");
        txn.keep();
        measure(what, |count| {
            for n in 0..count {
                black_box(applier.apply(&mut txn, at(n), &[b"DO", &key(n), &value]).expect("no fault"));
                txn.discard();
            }
        });
    }
    few("a fresh instance of kv with its first GET", |count| {
        for n in 0..count {
            let mut querier = Querier::new(&sandbox, kv.clone(), 1);
            black_box(querier.query(view.clone(), at(n), &[b"GET", &key(n)]).expect("no fault"));
        }
    });
    let trap = Hand { apply: "unreachable".into(), ..Hand::default() }.build();
    let mut trapping = Applier::new(&sandbox, sandbox.admit(&trap).expect("it describes itself"), 1);
    few("a trap on a fresh instance", |count| {
        for n in 0..count {
            let outcome = trapping.apply(&mut txn, at(n), &[b"DO"]).expect("no fault");
            assert_eq!(outcome, Outcome::Failed(Failure::Trapped));
        }
    });
    few("a loop of a million steps", |count| {
        let steps = "(loop
            (local.set $h (i32.add (local.get $h) (i32.load8_u (i32.and (local.get $n) (i32.const 1023)))))
            (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000000))))
            (i32.store (i32.const 4) (local.get $h)) (call $ok (i32.const 64) (i32.const 5))";
        let looping = Hand { apply: steps.into(), ..Hand::default() }.build();
        let mut applier = Applier::new(&sandbox, sandbox.admit(&looping).expect("admitted"), 1);
        for n in 0..count {
            black_box(applier.apply(&mut txn, at(n), &[b"DO"]).expect("no fault"));
        }
    });
}

/// Commits a batch of kept commands after every [`BATCH`] of them, as the node does under load.
fn batches(store: &MemoryStore, count: u64, mut command: impl FnMut(&mut Transaction, u64)) {
    for first in (0..count).step_by(usize::try_from(BATCH).expect("a small number")) {
        let mut txn = Transaction::new(store.view());
        for n in first..count.min(first + BATCH) {
            command(&mut txn, n);
            txn.keep();
        }
        store.commit(txn.into_batch(store.applied() + 1)).expect("memory takes it");
    }
}

fn measure(what: &str, run: impl FnMut(u64)) {
    report(what, ROUNDS, run);
}

fn few(what: &str, run: impl FnMut(u64)) {
    report(what, ROUNDS / 600, run);
}

/// The fastest of many slices: what the machine does beside this only ever adds.
fn report(what: &str, count: u64, mut run: impl FnMut(u64)) {
    let slice = count / SLICES;
    let fastest = (0..SLICES).map(|_| {
        let started = Instant::now();
        run(slice);
        started.elapsed().as_nanos() / u128::from(slice)
    });
    println!("{what:<45} {:>9} ns", fastest.min().expect("there are slices"));
}

fn key(n: u64) -> [u8; 10] {
    let mut key = *b"k000000000";
    let mut rest = n % KEYS;
    for digit in key[1..].iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).expect("a digit");
        rest /= 10;
    }
    key
}

fn at(n: u64) -> Moment {
    Moment { index: n, time_ms: 1_700_000_000_000, seed: n }
}
