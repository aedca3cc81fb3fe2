//! How nodes end when they are asked to.

use crate::OUTBOARD;
use outboard_tests::{Cluster, Writer, wait_for};

#[test]
fn a_leader_that_is_asked_to_stop_hands_over_and_exits_0_while_its_clients_go_on() {
    let mut cluster = Cluster::start(OUTBOARD, 3);
    let writer = Writer::start(&cluster);
    writer.wait_for_more(100);
    let leader = cluster.leader();
    let term = cluster.status().term();
    assert_eq!(cluster.terminate(leader), Some(0), "{}", cluster.log(leader));
    writer.wait_for_more(100);
    let successor = cluster.leader();
    assert_ne!(successor, leader);
    // Handed over, not fought for: nobody had to try twice.
    assert_eq!(cluster.status().term(), term + 1);
    cluster.start_node(leader);
    writer.finish();
    cluster.settled();
}

#[test]
fn a_lone_node_exits_0_at_sigterm_and_serves_what_it_had() {
    let mut cluster = Cluster::start(OUTBOARD, 1);
    cluster.run(["put", "k", "v"]).ok();
    assert_eq!(cluster.terminate(1), Some(0));
    cluster.start_all();
    assert_eq!(cluster.run(["get", "k"]).ok().text(), "v");
}

#[test]
fn leadership_moves_where_it_is_sent() {
    let cluster = Cluster::start(OUTBOARD, 3);
    cluster.settled();
    let to = if cluster.leader() == 3 { "n2" } else { "n3" };
    let moved = cluster.run(["leader", "transfer", to, "-o", "json"]).ok().document();
    assert_eq!(moved["leader"], to);
    assert_eq!(cluster.status().leader(), Some(to));
    cluster.run(["leader", "transfer", "n9"]).exits(2).says(["n9", "n1, n2, n3"]);
}

#[test]
fn a_leader_that_was_frozen_while_another_one_led_answers_no_read_from_its_past() {
    let cluster = Cluster::start(OUTBOARD, 3);
    for round in 0..2 {
        let value = format!("written while it slept {round}");
        cluster.run(["put", "k", "before"]).ok();
        let sleeper = cluster.leader();
        cluster.freeze(sleeper);
        // The first try may end as unknown: it was sent to the sleeper.
        wait_for("a write without the sleeper", || {
            (cluster.run(["put", "k", &value, "--timeout", "60s"]).code == Some(0)).then_some(())
        });
        cluster.thaw(sleeper);
        // It wakes up as a leader, for all that it knows.
        let endpoint = cluster.address(sleeper).to_string();
        assert_eq!(cluster.run(["get", "k", "--endpoint", &endpoint]).ok().text(), value);
    }
    cluster.settled();
}
