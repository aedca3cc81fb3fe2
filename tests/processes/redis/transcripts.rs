//! What the README of raft-kv shows, typed unchanged; and what raft-kv itself got wrong.

use crate::OUTBOARD;
use outboard_tests::{Cluster, Demo, Redis, RedisTools, Reply, wait_for};
use std::net::SocketAddr;

/// Over 600 KB, where raft-kv stopped answering, and with every byte there is.
fn large_value() -> Vec<u8> {
    (0..700_000u32).map(|place| (place.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// What redis-cli prints at a terminal for these lines.
fn typed(tools: &RedisTools, at: SocketAddr, lines: &str) -> String {
    tools.cli_with_input(at, ["--no-raw"], lines.as_bytes()).ok().text().to_owned()
}

#[test]
fn the_transcripts_of_raft_kv_run_unchanged_on_a_cluster_whose_second_node_is_killed_in_between() {
    let Some(tools) = RedisTools::find() else { return };
    let mut cluster = Cluster::start_with_redis(OUTBOARD, 3);
    cluster.redis_client(1);
    assert_eq!(typed(&tools, cluster.redis(1), "set mykey myvalue\nget mykey\n"), "OK\n\"myvalue\"");
    cluster.kill(2);
    // It may have led.
    cluster.leader();
    assert_eq!(typed(&tools, cluster.redis(1), "set mykey new-value\n"), "OK");
    cluster.start_node(2);
    cluster.redis_client(2);
    assert_eq!(typed(&tools, cluster.redis(2), "KEYS *\nget mykey\n"), "1) \"mykey\"\n\"new-value\"");
}

#[test]
fn the_transcripts_of_raft_kv_run_unchanged_on_the_demos_ports() {
    let Some(tools) = RedisTools::find() else { return };
    let mut demo = Demo::start(OUTBOARD);
    assert_eq!(typed(&tools, demo.redis(1), "set mykey myvalue\nget mykey\n"), "OK\n\"myvalue\"");
    demo.step(":kill n2", "n2 stopped");
    assert_eq!(typed(&tools, demo.redis(1), "set mykey new-value\n"), "OK");
    demo.step(":start n2", "n2 started");
    assert_eq!(typed(&tools, demo.redis(2), "KEYS *\nget mykey\n"), "1) \"mykey\"\n\"new-value\"");
    let ran = tools.benchmark(demo.redis(1), ["-t", "set,get", "-n", "5000"]).ok();
    for heading in ["====== SET ======", "====== GET ======"] {
        assert!(ran.text().contains(heading), "{ran}");
    }
    assert!(ran.text().contains("5000 requests completed") && !ran.to_string().contains("rror"), "{ran}");
    demo.finish().ok();
}

#[test]
fn values_over_600_kb_and_with_nul_bytes_come_back_whole() {
    let Some(tools) = RedisTools::find() else { return };
    let cluster = Cluster::start_with_redis(OUTBOARD, 3);
    for n in cluster.all() {
        cluster.redis_client(n);
    }
    let value = large_value();
    assert!(value.contains(&0) && value.len() > 600_000);
    assert_eq!(tools.cli_with_input(cluster.redis(1), ["-x", "set", "large"], &value).ok().text(), "OK");
    for n in cluster.all() {
        let printed = tools.cli(cluster.redis(n), ["get", "large"]).ok().stdout;
        // redis-cli ends a reply with a line's end of its own.
        assert!(printed.strip_suffix(b"\n") == Some(&value), "n{n} printed {} bytes", printed.len());
        assert_eq!(tools.cli(cluster.redis(n), ["strlen", "large"]).ok().text(), "700000");
    }
}

#[test]
fn a_del_is_answered_after_its_commit_and_never_without_a_majority() {
    let mut cluster = Cluster::start_with_redis(OUTBOARD, 3);
    let leader = cluster.leader();
    let mut redis = cluster.redis_client(leader);
    for key in ["kept", "gone"] {
        assert_eq!(redis.ask(["SET", key, "v"]), Reply::ok());
    }
    assert_eq!(redis.ask(["DEL", "gone"]), Reply::Integer(1));
    let others: Vec<usize> = cluster.all().into_iter().filter(|n| *n != leader).collect();
    for n in &others {
        cluster.freeze(*n);
    }
    // It still believes that it leads.
    let refused = redis.ask(["DEL", "kept"]);
    assert!(refused.is_error_of("CLUSTERDOWN") || refused.is_error_of("UNKNOWN"), "{refused:?}");
    for n in others {
        cluster.thaw(n);
    }
    cluster.settled();
    cluster.kill_all();
    cluster.start_all();
    for n in cluster.all() {
        let mut redis = cluster.redis_client(n);
        assert_eq!(redis.ask(["EXISTS", "gone"]), Reply::Integer(0), "n{n} has what was deleted");
        let kept = redis.ask(["EXISTS", "kept"]);
        // Not done stays not done.
        let is_right = if refused.is_error_of("CLUSTERDOWN") { kept == Reply::Integer(1) } else { !kept.is_error() };
        assert!(is_right, "n{n} answered {kept:?} after {refused:?}");
    }
}

#[test]
fn what_was_acknowledged_is_there_after_kill_9_of_all_nodes() {
    let mut cluster = Cluster::start_with_redis(OUTBOARD, 3);
    let mut redis = cluster.redis_client(1);
    for number in 0..200 {
        assert_eq!(redis.ask(["SET", &format!("k{number}"), &format!("v{number}")]), Reply::ok());
    }
    cluster.kill_all();
    cluster.start_all();
    for n in cluster.all() {
        let mut redis = cluster.redis_client(n);
        for number in 0..200 {
            assert_eq!(redis.ask(["GET", &format!("k{number}")]), Reply::bulk(format!("v{number}")), "n{n}");
        }
    }
}

#[test]
fn a_read_through_any_node_shows_the_write_that_was_just_acknowledged_by_another() {
    let cluster = Cluster::start_with_redis(OUTBOARD, 3);
    let mut clients: Vec<Redis> = cluster.all().into_iter().map(|n| cluster.redis_client(n)).collect();
    for round in 0..60 {
        let (writer, reader) = (round % 3, (round / 3 + round + 1) % 3);
        let value = format!("round {round}");
        assert_eq!(clients[writer].ask(["SET", "k", &value]), Reply::ok());
        assert_eq!(
            clients[reader].ask(["GET", "k"]),
            Reply::bulk(&value),
            "n{} read after n{}",
            reader + 1,
            writer + 1
        );
    }
    // And nobody is served a past that a paused leader remembers.
    let sleeper = cluster.leader();
    cluster.freeze(sleeper);
    let awake = sleeper % 3;
    wait_for("a write without the sleeper", || {
        let reply = clients[awake].ask(["SET", "k", "written while it slept"]);
        (reply == Reply::ok()).then_some(())
    });
    cluster.thaw(sleeper);
    let read = wait_for("the sleeper's answer", || {
        Some(clients[sleeper - 1].ask(["GET", "k"])).filter(|reply| !reply.is_error())
    });
    assert_eq!(read, Reply::bulk("written while it slept"));
}
