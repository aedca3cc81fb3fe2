//! All nodes serve alike; what they say without a leader; what is counted while a leader dies.

use crate::OUTBOARD;
use outboard_tests::{Cluster, Redis, Reply, wait_for};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// Connections that count through each surviving node.
const COUNTERS_EACH: usize = 3;

#[test]
fn any_node_takes_any_command() {
    let cluster = Cluster::start_with_redis(OUTBOARD, 3);
    let mut clients: Vec<Redis> = cluster.all().into_iter().map(|n| cluster.redis_client(n)).collect();
    let bulk = |text: &str| Reply::bulk(text);
    for (round, redis) in clients.iter_mut().enumerate() {
        let round = round as i64;
        assert_eq!(redis.ask(["PING"]), Reply::Simple("PONG".to_owned()));
        assert_eq!(redis.ask(["INCR", "counter"]), Reply::Integer(round + 1));
        assert_eq!(redis.ask(["SET", "a", "1", "EX", "1000"]), Reply::ok());
        assert_eq!(redis.ask(["SET", "a", "2", "NX"]), Reply::Nil);
        assert_eq!(redis.ask(["TTL", "a"]), Reply::Integer(1_000));
        assert_eq!(redis.ask(["APPEND", "a", "+1"]), Reply::Integer(3));
        assert_eq!(redis.ask(["MSET", "b", "2", "c", "3"]), Reply::ok());
        assert_eq!(redis.ask(["MGET", "a", "b", "none"]), Reply::Array(vec![bulk("1+1"), bulk("2"), Reply::Nil]));
        assert_eq!(redis.ask(["DBSIZE"]), Reply::Integer(4));
        assert_eq!(redis.ask(["DEL", "a", "b", "c", "none"]), Reply::Integer(3));
        assert_eq!(redis.ask(["KEYS", "*"]), Reply::Array(vec![bulk("counter")]));
        assert!(redis.ask(["NOSUCH"]).is_error_of("ERR"));
    }
}

#[test]
fn without_a_leader_commands_end_as_clusterdown_and_readonly_still_reads_what_is_here() {
    let mut cluster = Cluster::start_with_redis(OUTBOARD, 3);
    let leader = cluster.leader();
    let survivor = cluster.all().into_iter().find(|n| *n != leader).expect("there are three");
    let mut redis = cluster.redis_client(survivor);
    assert_eq!(redis.ask(["SET", "k", "before"]), Reply::ok());
    cluster.settled();
    for n in cluster.all() {
        if n != survivor {
            cluster.kill(n);
        }
    }
    // What was on its way to the leader may end as unknown; what comes later knows better.
    wait_for("an answer that there is no leader", || redis.ask(["GET", "k"]).is_error_of("CLUSTERDOWN").then_some(()));
    assert!(redis.ask(["SET", "k", "x"]).is_error_of("CLUSTERDOWN"));
    assert_eq!(redis.ask(["READONLY"]), Reply::ok());
    assert_eq!(redis.ask(["GET", "k"]), Reply::bulk("before"));
    assert!(redis.ask(["SET", "k", "x"]).is_error_of("CLUSTERDOWN"), "a write is no stale read");
    // The wish is this connection's alone.
    assert!(Redis::connect(cluster.redis(survivor)).expect("it serves").ask(["GET", "k"]).is_error_of("CLUSTERDOWN"));
    assert_eq!(redis.ask(["READWRITE"]), Reply::ok());
    assert!(redis.ask(["GET", "k"]).is_error_of("CLUSTERDOWN"));
    // What needs no node is answered.
    assert_eq!(redis.ask(["ECHO", "here"]), Reply::bulk("here"));
    cluster.start_all();
    wait_for("the cluster's return", || (redis.ask(["GET", "k"]) == Reply::bulk("before")).then_some(()));
}

#[test]
fn a_leader_killed_under_incrs_through_the_other_nodes_has_every_acknowledged_one_counted_once() {
    let mut cluster = Cluster::start_with_redis(OUTBOARD, 3);
    for n in cluster.all() {
        cluster.redis_client(n);
    }
    let leader = cluster.leader();
    let shared = Arc::new(Shared::default());
    let survivors = cluster.all().into_iter().filter(|n| *n != leader);
    let places = survivors.flat_map(|n| (0..COUNTERS_EACH).map(move |number| (n, format!("counter/{n}/{number}"))));
    let counters: Vec<(String, JoinHandle<Counted>)> = places
        .map(|(n, key)| {
            let (at, name, shared) = (cluster.redis(n), key.clone(), shared.clone());
            (key, std::thread::spawn(move || count(at, &name, &shared)))
        })
        .collect();
    let wait_for_more = |more: usize| {
        let before = shared.acknowledged.load(Ordering::Relaxed);
        wait_for("acknowledged increments", || {
            (shared.acknowledged.load(Ordering::Relaxed) >= before + more).then_some(())
        });
    };
    wait_for_more(300);
    cluster.kill(leader);
    wait_for_more(300);
    shared.is_stopped.store(true, Ordering::Relaxed);
    let counted: Vec<(String, Counted)> =
        counters.into_iter().map(|(key, thread)| (key, thread.join().expect("counting doesn't panic"))).collect();
    cluster.start_node(leader);
    cluster.settled();
    for n in cluster.all() {
        let mut redis = cluster.redis_client(n);
        for (key, counted) in &counted {
            let Reply::Bulk(total) = redis.ask(["GET", key]) else { panic!("{key} is gone") };
            let total: usize = String::from_utf8_lossy(&total).parse().expect("a counter is a number");
            let least = counted.acknowledged;
            let most = least + counted.unknown;
            assert!((least..=most).contains(&total), "{key} on n{n} is {total}, not in {least}..={most}");
        }
    }
}

#[derive(Default)]
struct Shared {
    is_stopped: AtomicBool,
    acknowledged: AtomicUsize,
}

/// What a counter was told.
struct Counted {
    acknowledged: usize,
    /// Increments that may have been done or not.
    unknown: usize,
}

/// Counts on a key of its own, without ever repeating an increment whose end is not known.
fn count(at: SocketAddr, key: &str, shared: &Shared) -> Counted {
    let mut redis = Redis::connect(at).expect("it serves");
    let mut counted = Counted { acknowledged: 0, unknown: 0 };
    let (mut last, mut unknown_since) = (0, 0);
    while !shared.is_stopped.load(Ordering::Relaxed) {
        let reply = redis.ask(["INCR", key]);
        if let Reply::Integer(value) = reply {
            let skipped = value - last - 1;
            assert!((0..=unknown_since).contains(&skipped), "{value} after {last}, with {unknown_since} unknown");
            (last, unknown_since) = (value, 0);
            counted.acknowledged += 1;
            shared.acknowledged.fetch_add(1, Ordering::Relaxed);
        } else if reply.is_error_of("UNKNOWN") {
            unknown_since += 1;
            counted.unknown += 1;
        } else {
            // Not done, in the server's own words.
            let is_not_done = reply.is_error_of("CLUSTERDOWN") || reply.is_error_of("TRYAGAIN");
            assert!(is_not_done, "INCR was answered with {reply:?}");
        }
    }
    counted
}
