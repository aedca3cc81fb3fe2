//! Commands that read: on views, with a time limit.

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::hand::{ANSWER, Hand};
use common::{admitted, at, limits, reply, sandbox, words};
use outboard_sandbox::{Failure, Limits, Outcome, Querier, Sandbox};
use outboard_store::{MemoryStore, Store, Table, Transaction, View};

const TABLES: &str = r#"
    (import "outboard:engine/tables@0.1.0" "put" (func $put (param i32 i32 i32 i32 i32)))
    (import "outboard:engine/tables@0.1.0" "get" (func $get (param i32 i32 i32 i32)))
    (import "outboard:engine/tables@0.1.0" "delete" (func $delete (param i32 i32 i32) (result i32)))"#;
const OK: &str = "(call $ok (i32.const 64) (i32.const 5))";
/// Answers with the number in `$seen`.
const SEEN: &str = "(i32.store8 (i32.const 100) (i32.const 0x3a)) (i32.store8 (i32.const 101) (i32.add (i32.const 0x30) (global.get $seen)))
    (i32.store16 (i32.const 102) (i32.const 0x0a0d)) (call $ok (i32.const 100) (i32.const 4))";
/// Looks a key up and keeps whether it was there.
const LOOK: &str = "(call $get (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 16)) (global.set $seen (i32.load8_u (i32.const 16)))";

fn querier(sandbox: &Sandbox, hand: &Hand) -> Querier {
    Querier::new(sandbox, admitted(sandbox, &hand.build()), 1)
}

fn with_query(query: &str) -> Hand {
    assert_eq!(ANSWER, 16);
    let fields = "(global $seen (mut i32) (i32.const 0))".into();
    Hand { query: query.into(), imports: TABLES.into(), fields, ..Hand::default() }
}

/// Tables with nothing, and with the key that [`LOOK`] looks for.
fn views() -> (Arc<dyn View>, Arc<dyn View>) {
    let store = MemoryStore::new();
    let before = store.view();
    let mut txn = Transaction::new(before.clone());
    txn.put(Table::engine(1, 0), b"+", Bytes::new()).expect("a short key");
    txn.keep();
    store.commit(txn.into_batch(1)).expect("memory takes it");
    (before, store.view())
}

#[test]
fn a_query_sees_the_view_that_it_is_given() {
    let sandbox = sandbox();
    let mut querier = querier(&sandbox, &with_query(&format!("{LOOK} {SEEN}")));
    let (before, after) = views();
    for _ in 0..2 {
        assert_eq!(querier.query(before.clone(), at(1), &words("ASK")).unwrap(), reply(":0\r\n"));
        assert_eq!(querier.query(after.clone(), at(2), &words("ASK")).unwrap(), reply(":1\r\n"));
    }
}

#[test]
fn an_endless_query_ends_by_the_clock_and_the_next_one_runs() {
    let sandbox = Sandbox::new(Limits { query_timeout: Duration::from_millis(30), ..limits() }, None).unwrap();
    // Spins when it has an argument.
    let spin = format!("(if (i32.gt_u (local.get 4) (i32.const 1)) (then (loop (br 0)))) {OK}");
    let mut querier = querier(&sandbox, &with_query(&spin));
    let view = views().0;
    for _ in 0..2 {
        let outcome = querier.query(view.clone(), at(1), &words("ASK forever")).unwrap();
        assert_eq!(outcome, Outcome::Failed(Failure::TimedOut));
        assert_eq!(querier.query(view.clone(), at(1), &words("ASK")).unwrap(), reply("+OK\r\n"));
    }
}

#[test]
fn a_query_may_use_more_fuel_than_a_command() {
    let sandbox = Sandbox::new(Limits { apply_fuel: 1_000_000, ..limits() }, None).unwrap();
    let loops = format!(
        "(loop (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 2000000)))) {OK}"
    );
    let mut hand = with_query(&loops);
    hand.apply = loops;
    assert_eq!(querier(&sandbox, &hand).query(views().0, at(1), &words("ASK")).unwrap(), reply("+OK\r\n"));
    let mut applier = outboard_sandbox::Applier::new(&sandbox, admitted(&sandbox, &hand.build()), 1);
    let outcome = applier.apply(&mut Transaction::new(views().0), at(1), &words("DO")).unwrap();
    assert_eq!(outcome, Outcome::Failed(Failure::OutOfFuel));
}

#[test]
fn a_query_that_writes_fails() {
    for write in [
        "(call $put (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 64) (i32.const 1))",
        "(drop (call $delete (i32.const 0) (i32.const 64) (i32.const 1)))",
    ] {
        let sandbox = sandbox();
        let mut querier = querier(&sandbox, &with_query(&format!("{write} {OK}")));
        let (_, after) = views();
        let outcome = querier.query(after.clone(), at(1), &words("ASK")).unwrap();
        assert_eq!(outcome, Outcome::Failed(Failure::ReadOnly));
        assert!(after.get(Table::engine(1, 0), b"+").unwrap().is_some());
    }
}

#[test]
fn a_query_that_breaks_fails_and_the_next_one_runs() {
    let sandbox = sandbox();
    let mut querier =
        querier(&sandbox, &with_query(&format!("(if (i32.gt_u (local.get 4) (i32.const 1)) (then unreachable)) {OK}")));
    for _ in 0..3 {
        let outcome = querier.query(views().0, at(1), &words("ASK badly")).unwrap();
        assert_eq!(outcome, Outcome::Failed(Failure::Trapped));
        assert_eq!(querier.query(views().0, at(1), &words("ASK")).unwrap(), reply("+OK\r\n"));
    }
}

#[test]
fn a_query_that_only_breaks_on_a_used_instance_runs_on_a_fresh_one() {
    let sandbox = sandbox();
    let once = format!("(if (global.get $seen) (then unreachable)) (global.set $seen (i32.const 1)) {OK}");
    let mut querier = querier(&sandbox, &with_query(&once));
    for _ in 0..3 {
        assert_eq!(querier.query(views().0, at(1), &words("ASK")).unwrap(), reply("+OK\r\n"));
    }
}

#[test]
fn a_cache_that_was_filled_from_one_view_is_never_shown_on_another() {
    let sandbox = sandbox();
    let mut hand = Hand { open: LOOK.into(), ..with_query(SEEN) };
    hand.manifest.caches = true;
    let mut querier = querier(&sandbox, &hand);
    let (before, after) = views();
    for _ in 0..2 {
        assert_eq!(querier.query(before.clone(), at(1), &words("ASK")).unwrap(), reply(":0\r\n"));
        assert_eq!(querier.query(after.clone(), at(2), &words("ASK")).unwrap(), reply(":1\r\n"));
    }
}
