//! The engine that misbehaves on command: every outrage ends the same on a warm instance and on a fresh one, leaves nothing behind,
//! and the next command runs as if nothing had been.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{admitted, at, limits, reply, transaction, words, writes};
use outboard_sandbox::{Applier, Component, Failure, Limits, Outcome, Querier, Sandbox};
use outboard_store::{MemoryStore, Store, Transaction};

fn chaos() -> (Sandbox, Arc<Component>) {
    let limits = Limits { apply_fuel: 100_000_000, query_timeout: Duration::from_millis(100), ..limits() };
    let sandbox = Sandbox::new(limits, None).expect("a sandbox");
    let component = admitted(&sandbox, outboard_embedded::CHAOS);
    (sandbox, component)
}

/// Each way to misbehave and what is recorded of it. `key` stands for a key where the command writes first.
fn outrages() -> Vec<(&'static str, Outcome)> {
    use Failure::{MalformedReply, OutOfFuel, OutOfMemory, TooLarge, Trapped};
    vec![
        ("TRAP key", Outcome::Failed(Trapped)),
        ("SPIN key", Outcome::Failed(OutOfFuel)),
        ("RECURSE key", Outcome::Failed(Trapped)),
        ("EAT key", Outcome::Failed(OutOfMemory)),
        ("GARBAGE key text", Outcome::Failed(MalformedReply)),
        ("GARBAGE key empty", Outcome::Failed(MalformedReply)),
        ("GARBAGE key cut", Outcome::Failed(MalformedReply)),
        ("GARBAGE key two", Outcome::Failed(MalformedReply)),
        ("GARBAGE key deep", Outcome::Failed(MalformedReply)),
        ("GARBAGE key lie", Outcome::Failed(MalformedReply)),
        ("HUGE key 2100000", Outcome::Failed(TooLarge)),
        ("HUGE key 5000000", Outcome::Failed(TooLarge)),
        ("BIGKEY 65537", Outcome::Failed(TooLarge)),
        ("BIGVALUE key 1048833", Outcome::Failed(TooLarge)),
        ("WRITEMANY 100 1000000", Outcome::Failed(TooLarge)),
        ("REJECT key ERR", Outcome::Rejected("ERR".into())),
        ("LOGSPAM key 2000000000 5000", Outcome::Failed(OutOfFuel)),
    ]
}

#[test]
fn every_outrage_ends_the_same_on_a_warm_and_on_a_fresh_instance_and_leaves_nothing() {
    let (sandbox, component) = chaos();
    for (line, expected) in outrages() {
        let command = words(line);
        let mut fresh = Applier::new(&sandbox, component.clone(), 1);
        let mut warm = Applier::new(&sandbox, component.clone(), 1);
        let mut txn = transaction();
        for n in 1..4 {
            assert_eq!(warm.apply(&mut txn, at(n), &words("SET before it")).unwrap(), reply("+OK\r\n"));
            txn.keep();
        }
        let kept = txn.batch_bytes();
        for applier in [&mut fresh, &mut warm] {
            for n in 4..6 {
                assert_eq!(applier.apply(&mut txn, at(n), &command).unwrap(), expected, "{line}");
                assert!(writes(&txn).is_empty(), "{line} left writes");
            }
        }
        assert_eq!(txn.batch_bytes(), kept);
        // The same command leaves the same tables, whatever happened on these instances before.
        let mut results = Vec::new();
        for applier in [&mut fresh, &mut warm] {
            assert_eq!(applier.apply(&mut txn, at(6), &words("SET after it")).unwrap(), reply("+OK\r\n"), "{line}");
            results.push(writes(&txn));
            txn.discard();
        }
        assert!(results[0] == results[1] && !results[0].is_empty(), "{line}");
    }
}

#[test]
fn an_outrage_in_a_query_fails_and_the_next_query_runs() {
    let (sandbox, component) = chaos();
    let mut applier = Applier::new(&sandbox, component.clone(), 1);
    let mut querier = Querier::new(&sandbox, component, 1);
    let store = MemoryStore::new();
    let mut txn = Transaction::new(store.view());
    applier.apply(&mut txn, at(1), &words("SET key value")).unwrap();
    txn.keep();
    store.commit(txn.into_batch(1)).unwrap();
    let cases = [
        ("TRAPQ", Failure::Trapped),
        ("SPINQ", Failure::TimedOut),
        ("RECURSEQ", Failure::Trapped),
        ("EATQ", Failure::OutOfMemory),
        ("GARBAGEQ deep", Failure::MalformedReply),
        ("GARBAGEQ lie", Failure::MalformedReply),
        ("HUGEQ 3000000", Failure::TooLarge),
        ("WRITEQ key other", Failure::ReadOnly),
    ];
    for (line, failure) in cases {
        let outcome = querier.query(store.view(), at(1), &words(line)).unwrap();
        assert_eq!(outcome, Outcome::Failed(failure), "{line}");
        let outcome = querier.query(store.view(), at(1), &words("GET key")).unwrap();
        assert_eq!(outcome, reply("$5\r\nvalue\r\n"), "after {line}");
    }
}
