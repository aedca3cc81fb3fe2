//! Commands as steps of a longer one: each on the tables that the steps before it left.

mod common;

use common::hand::{ANSWER, Hand};
use common::{admitted, at, reply, sandbox, transaction, words, writes};
use outboard_sandbox::{Applier, Failure, Outcome, Sandbox};

const TABLES: &str = r#"
    (import "outboard:engine/tables@0.1.0" "put" (func $put (param i32 i32 i32 i32 i32)))
    (import "outboard:engine/tables@0.1.0" "get" (func $get (param i32 i32 i32 i32)))"#;
const PUT: &str = "(call $put (i32.const 3) (i32.const 64) (i32.const 1) (i32.const 65) (i32.const 2))";
/// Counts the commands that this instance has run.
const COUNT: &str = "(global.set $runs (i32.add (global.get $runs) (i32.const 1)))";
const RUNS: &str = "(global $runs (mut i32) (i32.const 0))";

/// Looks for what [`PUT`] writes.
fn look() -> String {
    format!(
        "(call $get (i32.const 3) (i32.const 64) (i32.const 1) (i32.const {ANSWER})) (i32.load8_u (i32.const {ANSWER}))"
    )
}

/// Answers with one digit.
fn digit(value: &str) -> String {
    format!(
        "(i32.store8 (i32.const 101) (i32.add (i32.const 0x30) {value})) (i32.store8 (i32.const 100) (i32.const 0x3a))
         (i32.store16 (i32.const 102) (i32.const 0x0a0d)) (call $ok (i32.const 100) (i32.const 4))"
    )
}

fn applier(sandbox: &Sandbox, hand: Hand) -> Applier {
    let hand = Hand { imports: TABLES.into(), fields: RUNS.into(), ..hand };
    Applier::new(sandbox, admitted(sandbox, &hand.build()), 1)
}

#[test]
fn a_step_that_runs_again_on_a_fresh_instance_sees_what_the_steps_before_it_wrote() {
    let sandbox = sandbox();
    // Every second run of an instance breaks after it has written.
    let breaks = "(if (i32.eq (global.get $runs) (i32.const 2)) (then unreachable))";
    let apply = format!("{COUNT} (local.set $h {}) {PUT} {breaks} {}", look(), digit("(local.get $h)"));
    let mut applier = applier(&sandbox, Hand { apply, ..Hand::default() });
    let mut txn = transaction();
    for expected in [":0\r\n", ":1\r\n", ":1\r\n"] {
        assert_eq!(applier.apply(&mut txn, at(1), &words("DO")).unwrap(), reply(expected));
        txn.step();
    }
    txn.unite();
    assert_eq!(writes(&txn).len(), 1);
}

#[test]
fn a_read_among_the_steps_sees_their_writes_and_can_t_write() {
    let sandbox = sandbox();
    let query = format!(
        "(if (i32.gt_u (local.get 4) (i32.const 1)) (then {PUT})) (local.set $h {}) {}",
        look(),
        digit("(local.get $h)")
    );
    let mut applier =
        applier(&sandbox, Hand { apply: format!("{PUT} {}", digit("(i32.const 7)")), query, ..Hand::default() });
    let mut txn = transaction();
    assert_eq!(applier.read(&mut txn, at(1), &words("ASK")).unwrap(), reply(":0\r\n"));
    txn.step();
    assert_eq!(applier.apply(&mut txn, at(1), &words("DO")).unwrap(), reply(":7\r\n"));
    txn.step();
    assert_eq!(applier.read(&mut txn, at(1), &words("ASK")).unwrap(), reply(":1\r\n"));
    let wrote = applier.read(&mut txn, at(1), &words("ASK it")).unwrap();
    assert_eq!(wrote, Outcome::Failed(Failure::ReadOnly));
    assert!(writes(&txn).is_empty(), "its own writes are gone");
    txn.unite();
    assert_eq!(writes(&txn).len(), 1, "those of the steps before it are not");
}

#[test]
fn a_read_among_the_steps_is_ended_by_fuel_and_not_by_the_clock() {
    let sandbox = sandbox();
    let mut applier = applier(&sandbox, Hand { query: "(loop (br 0)) unreachable".into(), ..Hand::default() });
    let outcome = applier.read(&mut transaction(), at(1), &words("ASK")).unwrap();
    assert_eq!(outcome, Outcome::Failed(Failure::OutOfFuel));
}

#[test]
fn after_steps_were_discarded_a_caching_engine_gets_a_new_instance_and_another_keeps_its_own() {
    for (caches, third) in [(false, ":3\r\n"), (true, ":1\r\n")] {
        let sandbox = sandbox();
        let mut hand = Hand { apply: format!("{COUNT} {}", digit("(global.get $runs)")), ..Hand::default() };
        hand.manifest.caches = caches;
        let mut applier = applier(&sandbox, hand);
        let mut run = |n| applier.apply(&mut transaction(), at(n), &words("DO")).unwrap();
        assert_eq!((run(1), run(2)), (reply(":1\r\n"), reply(":2\r\n")));
        applier.on_discarded();
        assert_eq!(applier.apply(&mut transaction(), at(3), &words("DO")).unwrap(), reply(third));
    }
}
