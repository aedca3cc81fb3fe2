//! Two nodes with different pasts come to the same outcomes and the same writes.

mod common;

use std::sync::Arc;

use common::{Write, admitted, at, limits, words, writes};
use outboard_sandbox::{Applier, Component, Limits, Outcome, Querier, Sandbox};
use outboard_store::{MemoryStore, Store, Transaction};

/// One node's part: its tables, its instances, and where its batches end.
struct Node {
    sandbox: Sandbox,
    component: Arc<Component>,
    store: MemoryStore,
    applier: Applier,
    querier: Querier,
    txn: Transaction,
}

impl Node {
    fn new() -> Node {
        let limits = Limits { memory_bytes_max: 8 << 20, apply_fuel: 50_000_000, ..limits() };
        let sandbox = Sandbox::new(limits, None).expect("a sandbox");
        let component = admitted(&sandbox, outboard_embedded::CHAOS);
        let (applier, querier) =
            (Applier::new(&sandbox, component.clone(), 1), Querier::new(&sandbox, component.clone(), 1));
        let store = MemoryStore::new();
        let txn = Transaction::new(store.view());
        Node { sandbox, component, store, applier, querier, txn }
    }

    /// Everything that a command leaves.
    fn apply(&mut self, index: u64, line: &str) -> (Outcome, Vec<Write>) {
        let outcome = self.applier.apply(&mut self.txn, at(index), &words(line)).expect("no fault");
        let left = writes(&self.txn);
        self.txn.keep();
        (outcome, left)
    }

    fn restart(&mut self) {
        self.applier = Applier::new(&self.sandbox, self.component.clone(), 1);
    }

    fn commit(&mut self) {
        let view = self.store.view();
        let txn = std::mem::replace(&mut self.txn, Transaction::new(view));
        self.store.commit(txn.into_batch(self.store.applied() + 1)).expect("memory takes it");
        self.txn = Transaction::new(self.store.view());
    }

    fn query(&mut self, line: &str) {
        self.querier.query(self.store.view(), at(1), &words(line)).expect("no fault");
    }
}

/// A small generator, so that a failure comes again.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn command(chance: &mut Chance) -> String {
    let (key, n) = (chance.below(20), chance.below(1_000_000));
    match chance.below(40) {
        0 => format!("TRAP {key}"),
        1 => format!("RECURSE {key}"),
        2 => format!("EAT {key}"),
        3 => format!("GARBAGE {key} two"),
        4 => format!("BIGVALUE {key} {}", n * 2),
        5 => format!("HUGE {key} {}", n * 3),
        6 => format!("REJECT {key} ERR{n}"),
        7 => format!("LOGSPAM {key} 20 10"),
        8 => format!("WRITEMANY {} 1000", n % 200),
        9 => format!("WRITEMANY {} 1000000", if n % 4 == 0 { 80 } else { n % 5 }),
        // What a warm instance leaves behind in its allocator.
        10..15 => format!("SET {key} {}", "x".repeat(usize::try_from(n / 20).expect("small"))),
        _ => format!("SET {key} {n}"),
    }
}

#[test]
fn nodes_with_different_pasts_agree_on_every_outcome_and_every_write() {
    for seed in 0..2 {
        let (mut steady, mut shaken) = (Node::new(), Node::new());
        let (mut chance, mut shakes) = (Chance(seed), Chance(seed + 1000));
        for index in 1..250 {
            let line = command(&mut chance);
            match shakes.below(12) {
                0 => shaken.restart(),
                1 => shaken.query("TRAPQ"),
                2 => shaken.query("EATQ"),
                3 | 4 => shaken.commit(),
                5 => shaken.query("GET 3"),
                _ => {}
            }
            let (steady, shaken) = (steady.apply(index, &line), shaken.apply(index, &line));
            assert!(steady == shaken, "seed {seed}, index {index}, {}", &line[..line.len().min(80)]);
        }
    }
}
