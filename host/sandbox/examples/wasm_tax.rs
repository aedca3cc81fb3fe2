//! The price of the sandbox, command by command: `cargo run --release -p outboard-sandbox --example wasm_tax`.
//!
//! The same engine code (`engines/kv`) over the same tables in memory, once compiled for this machine and called directly, once as the
//! component in the sandbox. The two take turns in slices within one run, and the medians of the slices are compared.
#![allow(clippy::print_stdout, reason = "a program that prints")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use outboard_sandbox::{Applier, Limits, Moment, Outcome, Querier, Sandbox};
use outboard_sdk::{Pair, ReadTables, Tables};
use outboard_store::{MemoryStore, Store, Table, Transaction, View};

const KEYS: u64 = 10_000;
const SLICES: usize = 41;
const SLICE: u64 = 4_000;
/// Commands that are committed together.
const BATCH: u64 = 64;

fn main() {
    let sandbox = Sandbox::new(Limits::default(), None).expect("a sandbox");
    let kv = sandbox.admit(outboard_embedded::KV).expect("kv is admitted");
    let (natively, sandboxed) = (MemoryStore::new(), MemoryStore::new());
    let mut applier = Applier::new(&sandbox, kv.clone(), 1);
    println!("{:<34}{:>10}{:>10}{:>8}", "command, 256-byte values", "native", "sandbox", "ratio");
    let value = "x".repeat(256);
    for (title, command) in [
        ("SET key value", vec!["SET", "{}", &value]),
        ("SET key value EX 1000", vec!["SET", "{}", &value, "EX", "1000"]),
        ("SETNX key value (it is there)", vec!["SETNX", "{}", "y"]),
        ("INCR counter", vec!["INCR", "counter-{}"]),
        ("MSET of five", vec!["MSET", "a{}", &value, "b{}", &value, "c{}", &value, "d{}", &value, "e{}", &value]),
    ] {
        let native = |from| native_writes(&natively, &command, from);
        compare(title, native, |from| sandbox_writes(&sandboxed, &mut applier, &command, from));
    }
    let mut querier = Querier::new(&sandbox, kv, 1);
    for (title, command) in [
        ("GET key", vec!["GET", "{}"]),
        ("GET key (it is not there)", vec!["GET", "none-{}"]),
        ("EXISTS key", vec!["EXISTS", "{}"]),
        ("MGET of five", vec!["MGET", "a{}", "b{}", "c{}", "d{}", "e{}"]),
        ("SCAN 0 COUNT 100", vec!["SCAN", "0", "COUNT", "100"]),
    ] {
        let native = |from| native_reads(&natively.view(), &command, from);
        compare(title, native, |from| sandbox_reads(&sandboxed.view(), &mut querier, &command, from));
    }
}

/// Slices in turn; prints the medians in nanoseconds for a command and their ratio.
fn compare(title: &str, mut native: impl FnMut(u64), mut sandbox: impl FnMut(u64)) {
    let mut times = (Vec::new(), Vec::new());
    for slice in 0..SLICES as u64 {
        let took = |run: &mut dyn FnMut(u64)| {
            let started = Instant::now();
            run(slice * SLICE);
            started.elapsed().as_nanos() as f64 / SLICE as f64
        };
        times.0.push(took(&mut native));
        times.1.push(took(&mut sandbox));
    }
    let (native, sandbox) = (median(&mut times.0), median(&mut times.1));
    println!("{title:<34}{native:>7.0} ns{sandbox:>7.0} ns{:>8.1}", sandbox / native);
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The command with every `{}` replaced by a key.
fn words(command: &[&str], n: u64) -> Vec<Vec<u8>> {
    let key = format!("{:08}", n.wrapping_mul(0x9e37_79b9) % KEYS);
    command.iter().map(|word| word.replace("{}", &key).into_bytes()).collect()
}

fn at(n: u64) -> (u64, u64) {
    (n + 1, 1_700_000_000_000)
}

fn batches(store: &MemoryStore, from: u64, mut run: impl FnMut(&mut Transaction, u64)) {
    for batch in 0..SLICE.div_ceil(BATCH) {
        let mut txn = Transaction::new(store.view());
        for n in 0..BATCH {
            run(&mut txn, from + batch * BATCH + n);
            txn.keep();
        }
        let applied = store.applied() + BATCH;
        store.commit(txn.into_batch(applied)).expect("memory");
    }
}

fn native_writes(store: &MemoryStore, command: &[&str], from: u64) {
    batches(store, from, |txn, n| {
        let (index, time_ms) = at(n);
        let at = outboard_sdk::Moment { index, time_ms, seed: index };
        black_box(kv::ENGINE.apply(&mut Native(txn), at, words(command, n)).expect("kv takes it"));
    });
}

fn sandbox_writes(store: &MemoryStore, applier: &mut Applier, command: &[&str], from: u64) {
    batches(store, from, |txn, n| {
        let (index, time_ms) = at(n);
        let words = words(command, n);
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let outcome = applier.apply(txn, Moment { index, time_ms, seed: index }, &words).expect("no fault");
        assert!(matches!(outcome, Outcome::Reply(_)), "kv takes it: {outcome:?}");
    });
}

fn native_reads(view: &Arc<dyn View>, command: &[&str], from: u64) {
    for n in from..from + SLICE {
        let (index, time_ms) = at(n);
        let at = outboard_sdk::Moment { index, time_ms, seed: index };
        black_box(kv::ENGINE.query(&NativeView(view), at, words(command, n)).expect("kv answers"));
    }
}

fn sandbox_reads(view: &Arc<dyn View>, querier: &mut Querier, command: &[&str], from: u64) {
    for n in from..from + SLICE {
        let (index, time_ms) = at(n);
        let words = words(command, n);
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let outcome = querier.query(view.clone(), Moment { index, time_ms, seed: index }, &words).expect("no fault");
        assert!(matches!(outcome, Outcome::Reply(_)), "kv answers: {outcome:?}");
    }
}

/// The host's transaction as an engine sees it without a sandbox between.
struct Native<'a>(&'a mut Transaction);

struct NativeView<'a>(&'a Arc<dyn View>);

fn pairs(records: Vec<(Bytes, Bytes)>) -> Vec<Pair> {
    records.into_iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

impl ReadTables for Native<'_> {
    fn get(&self, table: u32, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(Table::engine(1, table), key).expect("memory").map(|value| value.to_vec())
    }

    fn scan(&self, table: u32, start: &[u8], end: Option<&[u8]>, limit: u32, reverse: bool) -> Vec<Pair> {
        pairs(self.0.scan(Table::engine(1, table), start, end, limit as usize, reverse).expect("memory"))
    }
}

impl Tables for Native<'_> {
    fn put(&mut self, table: u32, key: &[u8], value: &[u8]) {
        self.0.put(Table::engine(1, table), key, Bytes::copy_from_slice(value)).expect("a short key");
    }

    fn delete(&mut self, table: u32, key: &[u8]) -> bool {
        self.0.delete(Table::engine(1, table), key).expect("memory")
    }
}

impl ReadTables for NativeView<'_> {
    fn get(&self, table: u32, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(Table::engine(1, table), key).expect("memory").map(|value| value.to_vec())
    }

    fn scan(&self, table: u32, start: &[u8], end: Option<&[u8]>, limit: u32, reverse: bool) -> Vec<Pair> {
        pairs(self.0.scan(Table::engine(1, table), start, end, limit as usize, reverse).expect("memory"))
    }
}
