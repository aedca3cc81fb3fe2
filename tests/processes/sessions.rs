//! Exactly once, and honest endings: what retries may and may not do when nodes die under them.

use crate::OUTBOARD;
use outboard_tests::{Cluster, Counter, wait_for};
use std::collections::BTreeSet;

const KILLS: usize = 10;

#[test]
fn increments_through_ten_kills_of_the_leader_are_each_counted_exactly_once() {
    let mut cluster = Cluster::start(OUTBOARD, 3);
    let counter = Counter::start(&cluster, "counted");
    for _ in 0..KILLS {
        counter.wait_for_more(100);
        let leader = cluster.leader();
        cluster.kill(leader);
        counter.wait_for_more(100);
        cluster.start_node(leader);
    }
    let counted = counter.finish();
    assert_eq!(counted.errors, [], "every increment has an outcome");
    let different: BTreeSet<i64> = counted.numbers.iter().copied().collect();
    assert_eq!(different.len(), counted.numbers.len(), "two increments got the same number");
    let total = counted.numbers.len().to_string();
    assert_eq!(cluster.run(["get", "counted"]).ok().text(), total, "each was counted, and none twice");
    cluster.settled();
}

#[test]
fn a_write_that_nobody_answers_is_perhaps_done_and_exits_9_and_one_that_was_never_sent_exits_5() {
    let cluster = Cluster::start(OUTBOARD, 3);
    let mut shell = cluster.spawn(["shell", "--timeout", "3s"]);
    shell.type_line("incr n");
    wait_for("the first increment", || shell.printed().contains("\n1").then_some(()));
    for n in cluster.all() {
        cluster.freeze(n);
    }
    shell.type_line("incr n");
    shell.finish().exits(9).says(["OB9001", "perhaps done"]);
    cluster.run(["call", "--timeout", "1s", "INCR", "n"]).exits(5);
    for n in cluster.all() {
        cluster.thaw(n);
    }
    let value: i64 = cluster.run(["get", "--timeout", "60s", "n"]).ok().text().parse().expect("a number");
    assert!((1..=2).contains(&value), "counted at most once more: {value}");
    cluster.settled();
}

#[test]
fn a_retry_over_an_upgrade_is_answered_as_the_first_attempt_was() {
    let mut cluster = Cluster::start_with(OUTBOARD, 3, "kv-basic");
    let counter = Counter::start(&cluster, "n");
    // kv-basic has no INCR: each is refused, before and never after the switch.
    cluster.run(["engine", "upgrade", "kv"]).ok();
    counter.wait_for_more(200);
    let leader = cluster.leader();
    cluster.kill(leader);
    counter.wait_for_more(200);
    cluster.start_node(leader);
    let counted = counter.finish();
    let refused = |error: &&outboard_client::ClientError| error.to_string().contains("unknown command");
    assert_eq!(counted.errors.iter().filter(|error| !refused(error)).count(), 0, "{:?}", counted.errors.last());
    assert_eq!(cluster.run(["get", "n"]).ok().text(), counted.numbers.len().to_string());
    cluster.settled();
}
