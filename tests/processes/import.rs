//! Real input: the Unicode character table, code point by code point.

use crate::OUTBOARD;
use outboard_tests::{Cluster, skip, wait_for};
use std::collections::BTreeMap;

/// From Debian's package unicode-data.
const TABLE: &str = "/usr/share/unicode/UnicodeData.txt";

#[test]
fn the_unicode_table_is_imported_although_the_leader_is_killed_in_the_middle_and_every_node_has_all_of_it() {
    let Some(table) = table() else { return skip(&format!("{TABLE} (apt-get install unicode-data)")) };
    let mut cluster = Cluster::start(OUTBOARD, 3);
    let mut import = cluster.spawn(["import", TABLE, "--separator", ";", "--pipeline", "64", "-o", "json"]);
    let middle = table.len() as u64 / 5;
    let leader = wait_for("a part of the import", || {
        let status = cluster.try_status().filter(|status| status.commit() > middle)?;
        status.leader().map(|name| name[1..].parse().expect("nodes are named n and a number"))
    });
    cluster.kill(leader);
    assert!(import.is_running(), "the leader was to be killed in the middle of the import");
    let imported = import.finish().ok().document();
    assert_eq!(imported["records"].as_u64(), Some(table.len() as u64));
    cluster.start_node(leader);
    cluster.settled();
    for n in cluster.all() {
        assert!(cluster.records_of(n) == table, "n{n} has other records than the file");
    }
}

#[test]
fn lines_that_are_no_records_are_named_and_the_others_are_imported() {
    let cluster = Cluster::start(OUTBOARD, 1);
    let ran =
        cluster.run_with_input(["import", "-", "-o", "json"], b"a\t1\nno separator\nb\t2\n").exits(1).says(["line 2"]);
    assert_eq!((ran.document()["records"].as_u64(), ran.document()["refused"].as_u64()), (Some(2), Some(1)));
    assert_eq!(cluster.run(["scan", "--values"]).ok().text().lines().count(), 2);
}

#[test]
fn json_lines_are_read_back_as_scan_prints_them() {
    let cluster = Cluster::start(OUTBOARD, 1);
    let lines =
        b"{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":{\"base64\":\"/wA=\"},\"value\":{\"utf8\":\"\\u017dlu\\u0165\"}}\n";
    cluster.run_with_input(["import", "-", "--format", "jsonl"], lines).ok();
    let records = cluster.run(["scan", "--values", "-o", "jsonl"]).ok();
    assert_eq!(records.documents().len(), 2);
    cluster.run(["del", "a"]).ok();
    cluster.run_with_input(["import", "-", "--format", "jsonl"], &records.stdout).ok();
    let mut again = cluster.run(["scan", "--values", "-o", "jsonl"]).ok().documents();
    let mut before = records.documents();
    again.sort_by_key(ToString::to_string);
    before.sort_by_key(ToString::to_string);
    assert_eq!(again, before);
}

/// The file as keys and values.
fn table() -> Option<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(TABLE).ok()?;
    let record = |line: &str| line.split_once(';').map(|(key, value)| (key.to_owned(), value.to_owned()));
    Some(text.lines().filter_map(record).collect())
}
