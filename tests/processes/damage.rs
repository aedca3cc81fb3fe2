//! Damaged logs: what a user sees of them, with other nodes that have the data and without.

use crate::OUTBOARD;
use outboard_tests::{Cluster, Log};

fn filled(count: usize) -> Cluster {
    let cluster = Cluster::start(OUTBOARD, count);
    for number in 0..20 {
        cluster.run(["put", &format!("k{number}"), "kept"]).ok();
    }
    cluster.settled();
    cluster
}

#[test]
fn a_node_with_a_flipped_bit_in_its_log_and_no_tables_gets_everything_from_the_others_and_says_so() {
    let mut cluster = filled(3);
    let victim = 3;
    cluster.kill(victim);
    let log = Log::of(cluster.dir(victim));
    log.flip_a_bit_in_the_middle();
    std::fs::remove_dir_all(cluster.dir(victim).join("tables")).expect("it was there");
    cluster.start_node(victim);
    cluster.wait_for_log(victim, "the log is damaged");
    cluster.wait_for_log(victim, "this node counts for nothing");
    cluster.wait_for_log(victim, "all that was lost here is here again");
    assert!(cluster.log(victim).contains(log.file_name()));
    cluster.settled();
    assert_eq!(cluster.records_of(victim).len(), 20);
    cluster.run(["status"]).ok();
    // It is a full voter again: with one other it makes a cluster.
    cluster.kill(1);
    cluster.run(["put", "after", "kept", "--timeout", "60s"]).ok();
}

#[test]
fn a_flipped_bit_in_what_the_tables_hold_costs_nothing_but_a_line_in_the_log() {
    let mut cluster = filled(1);
    cluster.kill(1);
    Log::of(cluster.dir(1)).flip_a_bit_in_the_middle();
    cluster.start_node(1);
    cluster.wait_for_log(1, "the damaged log is mended");
    assert_eq!(cluster.run(["get", "k7"]).ok().text(), "kept");
    cluster.run(["put", "after", "kept"]).ok();
}

#[test]
fn a_flipped_bit_in_what_nobody_else_has_is_told_with_file_and_offset_and_nothing_is_touched() {
    let mut cluster = filled(1);
    cluster.kill(1);
    std::fs::remove_dir_all(cluster.dir(1).join("tables")).expect("it was there");
    let log = Log::of(cluster.dir(1));
    log.flip_a_bit_in_the_middle();
    let refusal = cluster.try_start(1).exits(8).says(["OB8001", log.file_name(), "no other voter"]);
    let named =
        refusal.stderr.split(|letter: char| !letter.is_ascii_digit()).filter_map(|word| word.parse::<u64>().ok());
    assert!(named.max().is_some_and(|offset| offset >= 64), "no offset in: {refusal}");
    // A second start says the same: nothing was cut or repaired.
    cluster.try_start(1).exits(8);
}
