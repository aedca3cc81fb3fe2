//! An engine replaced while it runs.

use crate::OUTBOARD;
use outboard_tests::{Cluster, Writer, wait_for};
use serde_json::json;

#[test]
fn an_upgrade_under_the_load_of_32_clients_fails_no_request_and_happens_at_one_index() {
    let cluster = Cluster::start_with(OUTBOARD, 3, "kv-basic");
    let load = ["bench", "mixed", "--clients", "32", "--read-ratio", "0.5", "--keys", "1000", "--value-size", "64"];
    let mut bench = cluster.spawn(load.into_iter().chain(["--duration", "10m", "-o", "json"]));
    let before = cluster.status().commit();
    let commit_over = |index: u64| cluster.try_status().filter(|status| status.commit() > index);
    wait_for("load", || commit_over(before + 500));
    let upgraded = cluster.run(["engine", "upgrade", "kv", "-o", "json"]).ok().document();
    assert_eq!((&upgraded["from"]["name"], &upgraded["to"]["name"]), (&json!("kv-basic"), &json!("kv")));
    assert_eq!(upgraded["state"], "equal", "{upgraded}");
    assert!(upgraded["pause_us"].is_u64(), "{upgraded}");
    let index: u64 = upgraded["index"].as_str().expect("an index").parse().expect("a number");
    wait_for("load after the switch", || commit_over(index + 500));
    assert!(bench.is_running(), "the load was to last longer than the upgrade");
    bench.interrupt();
    let measured = bench.finish().ok().document();
    assert_eq!(measured["errors"], json!({}), "{measured}");
    let status = cluster.settled();
    for node in status.nodes() {
        assert_eq!((node.engine_since(), node.engine().starts_with("kv 0.")), (index, true), "{}", node.name());
    }
    // Only the new engine has this command.
    assert_eq!(cluster.run(["call", "INCR", "visits"]).ok().text(), "1");
}

#[test]
fn after_all_nodes_were_killed_under_load_every_acknowledged_write_is_there_and_the_upgraded_engine_runs() {
    let mut cluster = Cluster::start_with(OUTBOARD, 3, "kv-basic");
    cluster.run(["engine", "upgrade", "kv"]).ok();
    let writer = Writer::start(&cluster);
    writer.wait_for_more(500);
    cluster.kill_all();
    writer.stop();
    // Each is told --engine kv-basic again: the log knows better.
    cluster.start_all();
    let promised = writer.finish();
    let status = cluster.settled();
    for node in status.nodes() {
        assert!(node.engine().starts_with("kv 0."), "{} runs {}", node.name(), node.engine());
    }
    for n in cluster.all() {
        let records = cluster.records_of(n);
        let lost: Vec<&String> = promised.keys().filter(|key| records.get(*key) != promised.get(*key)).collect();
        assert!(lost.is_empty(), "n{n} lost {} of {}: {lost:?}", lost.len(), promised.len());
    }
}

#[test]
fn an_upgrade_is_refused_with_the_reason_while_a_voter_lacks_the_engine() {
    let mut cluster = Cluster::start_with(OUTBOARD, 3, "kv-basic");
    let away = if cluster.leader() == 1 { 2 } else { 1 };
    cluster.kill(away);
    // Two nodes have it, the third has not said its word.
    cluster.run(["engine", "upgrade", "kv"]).exits(7).says([&*format!("n{away}")]);
    assert!(cluster.run(["call", "INCR", "x"]).exits(7).stderr.contains("unknown command"));
    cluster.start_node(away);
    cluster.settled();
    let upgraded = wait_for("the third node's word", || {
        let ran = cluster.run(["engine", "upgrade", "kv"]);
        (ran.code == Some(0)).then_some(ran)
    });
    assert!(upgraded.text().starts_with("kv-basic 0.1.0 -> kv 0.1.0 at index "), "{upgraded}");
    cluster.settled();
}
