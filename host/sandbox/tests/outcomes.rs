//! What comes out of a command, on a warm instance and on a fresh one.

mod common;

use std::sync::Arc;

use bytes::Bytes;
use common::hand::{ANSWER, Hand};
use common::{admitted, at, limits, reply, sandbox, transaction, words, writes};
use outboard_sandbox::{
    Applier, COMMAND_WRITES_BYTES_MAX, Failure, KEY_BYTES_MAX, Limits, NodeFault, Outcome, Sandbox, VALUE_BYTES_MAX,
};
use outboard_store::{Range, Records, StoreError, Table, Transaction, View};

const TABLES: &str = r#"
    (import "outboard:engine/tables@0.1.0" "put" (func $put (param i32 i32 i32 i32 i32)))
    (import "outboard:engine/tables@0.1.0" "get" (func $get (param i32 i32 i32 i32)))
    (import "outboard:engine/tables@0.1.0" "delete" (func $delete (param i32 i32 i32) (result i32)))
    (import "outboard:engine/tables@0.1.0" "scan" (func $scan (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;
const OK: &str = "(call $ok (i32.const 64) (i32.const 5))";
const PUT: &str = "(call $put (i32.const 3) (i32.const 64) (i32.const 1) (i32.const 65) (i32.const 2))";

fn applier(sandbox: &Sandbox, hand: &Hand) -> Applier {
    Applier::new(sandbox, admitted(sandbox, &hand.build()), 1)
}

fn with_apply(apply: &str) -> Hand {
    Hand { apply: apply.into(), imports: TABLES.into(), ..Hand::default() }
}

/// The outcome of `apply` on a fresh instance, which must have left nothing unless it is a reply.
fn outcome(apply: &str) -> Outcome {
    outcome_of(&with_apply(apply))
}

fn outcome_of(hand: &Hand) -> Outcome {
    let sandbox = sandbox();
    let mut txn = transaction();
    let outcome = applier(&sandbox, hand).apply(&mut txn, at(1), &words("DO it")).expect("no fault of the node");
    if !matches!(outcome, Outcome::Reply(_)) {
        assert!(writes(&txn).is_empty(), "a failed command left writes");
    }
    outcome
}

#[test]
fn a_reply_leaves_the_writes_of_the_command_in_the_tables_of_the_generation() {
    let sandbox = sandbox();
    let mut applier = Applier::new(&sandbox, admitted(&sandbox, &with_apply(&format!("{PUT} {OK}")).build()), 5);
    let mut txn = transaction();
    assert_eq!(applier.apply(&mut txn, at(1), &words("DO")).unwrap(), reply("+OK\r\n"));
    assert_eq!(writes(&txn), [(Table::engine(5, 3).0, b"+".to_vec(), Some(b"OK".to_vec()))]);
}

#[test]
fn the_command_and_the_moment_arrive_as_they_are() {
    // Answers with the second argument if the moment is that of index 7.
    let apply = "(if (i64.ne (local.get 0) (i64.const 7)) (then unreachable))
        (if (i64.ne (local.get 1) (i64.const 1700000000007)) (then unreachable))
        (if (i32.ne (local.get 4) (i32.const 3)) (then unreachable))
        (call $ok (i32.load offset=16 (local.get 3)) (i32.load offset=20 (local.get 3)))";
    let sandbox = sandbox();
    let mut applier = applier(&sandbox, &with_apply(apply));
    let command: [&[u8]; 3] = [b"DO", b"", b"+\xff\x00 any bytes\r\n"];
    let outcome = applier.apply(&mut transaction(), at(7), &command).unwrap();
    assert_eq!(outcome, Outcome::Reply(command[2].to_vec()));
}

#[test]
fn reads_see_the_writes_of_their_own_command_and_no_other_generation() {
    // Reads it back in table 3; the answer is the value, with a line end behind it that stands at 67.
    let apply = format!(
        "(call $put (i32.const 3) (i32.const 70) (i32.const 1) (i32.const 64) (i32.const 5))
         (call $get (i32.const 3) (i32.const 70) (i32.const 1) (i32.const {ANSWER}))
         (if (i32.ne (i32.load (i32.const {ANSWER})) (i32.const 1)) (then unreachable))
         (call $ok (i32.load offset=4 (i32.const {ANSWER})) (i32.load offset=8 (i32.const {ANSWER})))"
    );
    assert_eq!(outcome(&apply), reply("+OK\r\n"));
    let absent = format!(
        "(call $get (i32.const 3) (i32.const 70) (i32.const 1) (i32.const {ANSWER}))
         (if (i32.load8_u (i32.const {ANSWER})) (then unreachable)) {OK}"
    );
    let sandbox = sandbox();
    let mut txn = transaction();
    txn.put(Table::control(3), b"\0", Bytes::new()).unwrap();
    txn.put(Table::engine(2, 3), b"\0", Bytes::new()).unwrap();
    txn.keep();
    let mut applier = applier(&sandbox, &with_apply(&absent));
    assert_eq!(applier.apply(&mut txn, at(1), &words("DO")).unwrap(), reply("+OK\r\n"));
}

#[test]
fn a_rejection_is_given_word_for_word_and_leaves_nothing() {
    let text = "(data (i32.const 200) \"ERR no\")";
    let apply = format!("{PUT} (call $err (i32.const 200) (i32.const 6))");
    let hand = Hand { fields: text.into(), ..with_apply(&apply) };
    assert_eq!(outcome_of(&hand), Outcome::Rejected("ERR no".into()));
}

#[test]
fn every_way_to_break_is_a_failure_that_leaves_nothing() {
    let cases = [
        ("unreachable", Failure::Trapped),
        ("(drop (i32.load (i32.const -4))) (i32.const 16)", Failure::Trapped),
        ("(i32.div_u (i32.const 1) (i32.const 0))", Failure::Trapped),
        ("(call $deeper (i32.const 1))", Failure::Trapped),
        ("(loop (br 0)) unreachable", Failure::OutOfFuel),
        // Memory that is refused is an answer; what counts is what becomes of it.
        (
            "(if (i32.eq (memory.grow (i32.const 1000)) (i32.const -1)) (then unreachable)) unreachable",
            Failure::OutOfMemory,
        ),
        // An answer outside of memory, misaligned, or with an unknown tag.
        ("(i32.const 0x7fffffff)", Failure::Trapped),
        ("(i32.const 17)", Failure::Trapped),
        ("(i32.store8 (i32.const 16) (i32.const 9)) (i32.const 16)", Failure::Trapped),
        ("(call $ok (i32.const 100) (i32.const 0x7fffffff))", Failure::Trapped),
        // A reply that is none.
        ("(call $ok (i32.const 64) (i32.const 0))", Failure::MalformedReply),
        ("(call $ok (i32.const 64) (i32.const 4))", Failure::MalformedReply),
        ("(call $ok (i32.const 64) (i32.const 6))", Failure::MalformedReply),
        // A rejection that is empty, has a line end, or is no text.
        ("(call $err (i32.const 64) (i32.const 0))", Failure::MalformedReply),
        ("(call $err (i32.const 64) (i32.const 5))", Failure::MalformedReply),
        ("(i32.store8 (i32.const 300) (i32.const 0xff)) (call $err (i32.const 300) (i32.const 1))", Failure::Trapped),
        ("(call $err (i32.const 70000) (i32.const 4097))", Failure::TooLarge),
    ];
    let deeper = "(func $deeper (param i32) (result i32) (i32.add (i32.const 1) (call $deeper (i32.add (local.get 0) (i32.const 1)))))";
    for (apply, failure) in cases {
        let hand = Hand { fields: deeper.into(), ..with_apply(&format!("{PUT} {apply}")) };
        assert_eq!(outcome_of(&hand), Outcome::Failed(failure), "{apply}");
    }
}

#[test]
fn keys_values_and_transactions_over_their_limits_are_failures() {
    let memory = "(memory (export \"memory\") 100)".to_owned();
    let put = |key: usize, value: usize| {
        let apply =
            format!("(call $put (i32.const 0) (i32.const 0) (i32.const {key}) (i32.const 0) (i32.const {value})) {OK}");
        outcome_of(&Hand { memory: memory.clone(), ..with_apply(&apply) })
    };
    assert_eq!(put(KEY_BYTES_MAX, VALUE_BYTES_MAX), reply("+OK\r\n"));
    assert_eq!(put(KEY_BYTES_MAX + 1, 0), Outcome::Failed(Failure::TooLarge));
    assert_eq!(put(1, VALUE_BYTES_MAX + 1), Outcome::Failed(Failure::TooLarge));
    // Beyond what may cross the border at once.
    assert_eq!(put(1, 5 << 20), Outcome::Failed(Failure::TooLarge));
    // A value of 1 MiB under one key after another.
    let many = |count: usize| {
        let apply = format!(
            "(loop (i32.store (i32.const 128) (local.get $n))
                (call $put (i32.const 0) (i32.const 128) (i32.const 4) (i32.const 0) (i32.const {VALUE_BYTES_MAX}))
                (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {count})))) {OK}"
        );
        outcome_of(&Hand { memory: memory.clone(), ..with_apply(&apply) })
    };
    let fitting = COMMAND_WRITES_BYTES_MAX / (VALUE_BYTES_MAX + 100);
    assert_eq!(many(fitting), reply("+OK\r\n"));
    assert_eq!(many(fitting + 1), Outcome::Failed(Failure::TooLarge));
}

#[test]
fn a_reply_at_the_limit_passes_and_one_over_it_does_not() {
    let max = limits().reply_bytes_max;
    let memory = "(memory (export \"memory\") 200)".to_owned();
    let fields = format!("(data (i32.const 131072) \"${}\\0d\\0a\")", max - 12);
    let blob = |bytes: usize| {
        let end = 131_072 + bytes - 2;
        let apply = format!(
            "(i32.store16 (i32.const {end}) (i32.const 0x0a0d)) (call $ok (i32.const 131072) (i32.const {bytes}))"
        );
        outcome_of(&Hand { memory: memory.clone(), fields: fields.clone(), ..with_apply(&apply) })
    };
    assert_eq!(max - 12, 2_097_140, "the length has seven digits");
    assert!(matches!(blob(max), Outcome::Reply(reply) if reply.len() == max));
    assert_eq!(blob(max + 1), Outcome::Failed(Failure::TooLarge));
    assert_eq!(blob(5 << 20), Outcome::Failed(Failure::TooLarge));
}

#[test]
fn lookups_with_keys_that_can_not_be_find_nothing() {
    let apply = format!(
        "(call $get (i32.const 0) (i32.const 0) (i32.const 70000) (i32.const {ANSWER}))
         (if (i32.load8_u (i32.const {ANSWER})) (then unreachable))
         (if (call $delete (i32.const 0) (i32.const 0) (i32.const 70000)) (then unreachable))
         (call $scan (i32.const 0) (i32.const 0) (i32.const 70000) (i32.const 1) (i32.const 0) (i32.const 70000) (i32.const -1) (i32.const 1)
            (i32.const {ANSWER}))
         (if (i32.load offset=4 (i32.const {ANSWER})) (then unreachable)) {OK}"
    );
    assert_eq!(outcome(&apply), reply("+OK\r\n"));
}

/// Counts the commands that this instance has run.
const COUNT: &str = "(global.set $runs (i32.add (global.get $runs) (i32.const 1)))";
const RUNS: &str = "(global $runs (mut i32) (i32.const 0))";

#[test]
fn what_a_command_leaves_in_a_warm_instance_can_not_fail_the_next_one() {
    let breaks = [
        "unreachable",
        "(loop (br 0))",
        "(drop (memory.grow (i32.const 70000)))",
        "(drop (memory.grow (i32.const 1000)))",
        "(call $put (i32.const 0) (i32.const 0) (i32.const 70000) (i32.const 0) (i32.const 0))",
        "(return (call $ok (i32.const 64) (i32.const 3)))",
    ];
    for broken in breaks {
        let apply = format!("{COUNT} {PUT} (if (i32.eq (global.get $runs) (i32.const 2)) (then {broken})) {OK}");
        let sandbox = sandbox();
        let mut applier = applier(&sandbox, &Hand { fields: RUNS.into(), ..with_apply(&apply) });
        let mut txn = transaction();
        for n in 1..6 {
            assert_eq!(applier.apply(&mut txn, at(n), &words("DO")).unwrap(), reply("+OK\r\n"), "{broken} {n}");
            assert_eq!(writes(&txn).len(), 1);
            txn.keep();
        }
    }
}

#[test]
fn a_command_that_needs_more_than_half_of_its_fuel_ends_the_same_warm_and_fresh() {
    let spin = |share: u64| {
        // Seven instructions a round.
        let rounds = limits().apply_fuel / 7 * share / 100;
        format!(
            "(loop (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {rounds})))) {OK}"
        )
    };
    for (share, expected) in
        [(40, reply("+OK\r\n")), (70, reply("+OK\r\n")), (120, Outcome::Failed(Failure::OutOfFuel))]
    {
        let sandbox = sandbox();
        let mut applier = applier(&sandbox, &with_apply(&spin(share)));
        for n in 1..4 {
            assert_eq!(applier.apply(&mut transaction(), at(n), &words("DO")).unwrap(), expected, "{share} {n}");
        }
    }
}

#[test]
fn fuel_pays_for_what_the_host_does_too() {
    // A value of 1 MiB read over and over: few instructions, many bytes.
    let apply = format!(
        "(call $put (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 0) (i32.const {VALUE_BYTES_MAX}))
         (loop (call $get (i32.const 0) (i32.const 64) (i32.const 1) (i32.const {ANSWER}))
            (global.set $next (i32.const 1100000))
            (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000)))) {OK}"
    );
    let memory = "(memory (export \"memory\") 100)".to_owned();
    assert_eq!(outcome_of(&Hand { memory, ..with_apply(&apply) }), Outcome::Failed(Failure::OutOfFuel));
}

#[test]
fn a_caching_engine_gets_a_new_instance_after_a_rejection_and_another_keeps_its_own() {
    // Rejects its second run; answers with the number of runs of this instance.
    let apply = format!(
        "{COUNT} (if (i32.eq (global.get $runs) (i32.const 2)) (then (return (call $err (i32.const 65) (i32.const 2)))))
         (i32.store8 (i32.const 100) (i32.const 0x3a))
         (i32.store8 (i32.const 101) (i32.add (i32.const 0x30) (global.get $runs)))
         (i32.store16 (i32.const 102) (i32.const 0x0a0d)) (call $ok (i32.const 100) (i32.const 4))"
    );
    for (caches, third) in [(false, ":3\r\n"), (true, ":1\r\n")] {
        let sandbox = sandbox();
        let mut hand = Hand { fields: RUNS.into(), ..with_apply(&apply) };
        hand.manifest.caches = caches;
        let mut applier = applier(&sandbox, &hand);
        let mut run = |n| applier.apply(&mut transaction(), at(n), &words("DO")).unwrap();
        assert_eq!((run(1), run(2), run(3)), (reply(":1\r\n"), Outcome::Rejected("OK".into()), reply(third)));
    }
}

#[test]
fn an_engine_that_can_not_open_fails_every_command_and_writes_nothing_there() {
    for open in ["unreachable", "(loop (br 0))", PUT, "(drop (call $delete (i32.const 0) (i32.const 0) (i32.const 1)))"]
    {
        let sandbox = Sandbox::new(Limits { open_fuel: 1_000_000, ..limits() }, None).unwrap();
        let mut applier = applier(&sandbox, &Hand { open: open.into(), ..with_apply(&format!("{PUT} {OK}")) });
        let mut txn = transaction();
        for n in 1..4 {
            let outcome = applier.apply(&mut txn, at(n), &words("DO")).unwrap();
            assert_eq!(outcome, Outcome::Failed(Failure::Open), "{open}");
            assert!(writes(&txn).is_empty());
        }
    }
}

#[test]
fn open_reads_the_tables_at_the_index_of_the_first_command() {
    // Keeps the tag of a lookup; the reply is a number.
    let open = format!(
        "(call $get (i32.const 0) (i32.const 64) (i32.const 1) (i32.const {ANSWER})) (global.set $runs (i32.load8_u (i32.const {ANSWER})))"
    );
    let apply = "(i32.store8 (i32.const 100) (i32.const 0x3a)) (i32.store8 (i32.const 101) (i32.add (i32.const 0x30) (global.get $runs)))
         (i32.store16 (i32.const 102) (i32.const 0x0a0d)) (call $ok (i32.const 100) (i32.const 4))";
    let sandbox = sandbox();
    let mut applier = applier(&sandbox, &Hand { open, fields: RUNS.into(), ..with_apply(apply) });
    let mut txn = transaction();
    txn.put(Table::engine(1, 0), b"+", Bytes::new()).unwrap();
    txn.keep();
    assert_eq!(applier.apply(&mut txn, at(1), &words("DO")).unwrap(), reply(":1\r\n"));
}

#[test]
fn texts_of_failures_never_change() {
    let all = [
        (Failure::Trapped, "ENGINE trapped"),
        (Failure::OutOfFuel, "ENGINE ran out of fuel"),
        (Failure::OutOfMemory, "ENGINE ran out of memory"),
        (Failure::TooLarge, "ENGINE wrote a key, a value, a transaction or a reply over the limit"),
        (Failure::MalformedReply, "ENGINE gave a malformed reply"),
        (Failure::ReadOnly, "ENGINE tried to write where it may only read"),
        (Failure::Open, "ENGINE could not open"),
        (Failure::TimedOut, "ENGINE took too long to answer"),
    ];
    for (failure, text) in all {
        assert_eq!(failure.to_string(), text);
    }
}

/// Tables on a disk that fails.
struct Failing;

impl View for Failing {
    fn get(&self, _: Table, _: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Err(StoreError::Corrupt { what: "a test".into() })
    }
    fn scan(&self, _: Table, _: &[u8], _: Option<&[u8]>, _: usize, _: bool) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        Err(StoreError::Corrupt { what: "a test".into() })
    }
    fn applied(&self) -> u64 {
        0
    }
    fn range(self: Arc<Self>, _: Table, _: &[u8], _: Option<&[u8]>, _: bool) -> Range {
        Box::new(std::iter::empty())
    }
    fn records(self: Arc<Self>) -> Records {
        Box::new(std::iter::empty())
    }
}

#[test]
fn a_failing_disk_is_the_node_s_fault_and_never_an_outcome() {
    let calls = [
        format!("(call $get (i32.const 0) (i32.const 64) (i32.const 1) (i32.const {ANSWER}))"),
        "(drop (call $delete (i32.const 0) (i32.const 64) (i32.const 1)))".into(),
        format!(
            "(call $scan (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const {ANSWER}))"
        ),
    ];
    for call in calls {
        let sandbox = sandbox();
        // Also when the failure comes on a warm instance.
        let apply = format!("{COUNT} {PUT} (if (i32.gt_u (local.get 4) (i32.const 1)) (then {call})) {OK}");
        let mut applier = applier(&sandbox, &Hand { fields: RUNS.into(), ..with_apply(&apply) });
        let mut txn = Transaction::new(Arc::new(Failing));
        for _ in 0..2 {
            let fault = applier.apply(&mut txn, at(1), &words("DO it")).expect_err("the disk fails");
            assert!(matches!(fault, NodeFault::Store(_)), "{fault}");
            assert!(writes(&txn).is_empty(), "{call}");
            assert_eq!(applier.apply(&mut txn, at(1), &words("DO")).unwrap(), reply("+OK\r\n"));
            txn.keep();
        }
    }
}
