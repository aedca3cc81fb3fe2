//! What is left after a kill; beside it, what is left of damaged logs and of a lost majority.

#[path = "damage.rs"]
mod damage;
#[path = "recovery.rs"]
mod recovery;

use crate::OUTBOARD;
use outboard_tests::{Cluster, Log, Writer};

/// Kills, one node after the other.
const ROUNDS: usize = 6;

#[test]
fn the_leaders_death_under_load_loses_nothing_and_its_return_makes_all_equal() {
    let mut cluster = Cluster::start(OUTBOARD, 3);
    let writer = Writer::start(&cluster);
    writer.wait_for_more(200);
    let leader = cluster.leader();
    cluster.kill(leader);
    writer.wait_for_more(200);
    cluster.start_node(leader);
    writer.wait_for_more(200);
    let promised = writer.finish();
    cluster.settled();
    for n in cluster.all() {
        let records = cluster.records_of(n);
        assert!(promised.iter().all(|(key, value)| records.get(key) == Some(value)), "n{n} lost acknowledged writes");
    }
}

#[test]
fn a_torn_tail_is_cut_and_nothing_acknowledged_is_lost() {
    let mut cluster = Cluster::start(OUTBOARD, 1);
    for key in ["a", "b", "c"] {
        cluster.run(["put", key, "kept"]).ok();
    }
    cluster.kill(1);
    Log::of(cluster.dir(1)).leave_a_torn_tail();
    cluster.start_node(1);
    cluster.wait_for_log(1, "torn tail");
    for key in ["a", "b", "c"] {
        assert_eq!(cluster.run(["get", key]).ok().text(), "kept");
    }
    cluster.run(["put", "d", "goes on"]).ok();
}

#[test]
fn kills_in_turn_under_load_lose_nothing_though_no_node_gets_the_time_to_catch_up() {
    let mut cluster = Cluster::start(OUTBOARD, 3);
    let writer = Writer::start(&cluster);
    for round in 0..ROUNDS {
        writer.wait_for_more(50);
        let victim = round % 3 + 1;
        cluster.kill(victim);
        cluster.start_node(victim);
    }
    writer.wait_for_more(50);
    // And all of them, so that what is there afterwards was on disks.
    cluster.kill_all();
    writer.stop();
    cluster.start_all();
    let promised = writer.finish();
    cluster.settled();
    let first = cluster.records_of(1);
    let lost: Vec<&String> = promised.keys().filter(|key| first.get(*key) != promised.get(*key)).collect();
    assert!(lost.is_empty(), "lost {} of {}: {lost:?}", lost.len(), promised.len());
    for n in cluster.all() {
        assert!(cluster.records_of(n) == first, "n{n} has other records than n1");
    }
}
