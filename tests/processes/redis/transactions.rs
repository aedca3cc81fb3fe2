//! MULTI, EXEC and WATCH, with connections to different nodes.

use crate::OUTBOARD;
use outboard_tests::{Cluster, Redis, Reply, wait_for};

fn queued() -> Reply {
    Reply::Simple("QUEUED".to_owned())
}

/// MULTI and these commands; EXEC is left to the caller.
fn queue(redis: &mut Redis, commands: &[&[&str]]) {
    assert_eq!(redis.ask(["MULTI"]), Reply::ok());
    for command in commands {
        assert_eq!(redis.ask(*command), queued(), "{command:?}");
    }
}

#[test]
fn a_transaction_shows_all_of_itself_or_nothing_whichever_node_is_asked() {
    let cluster = Cluster::start_with_redis(OUTBOARD, 3);
    for (writer, reader) in [(1, 2), (2, 3), (3, 1)] {
        let (mut one, mut two) = (cluster.redis_client(writer), cluster.redis_client(reader));
        assert_eq!(one.ask(["DEL", "x", "y"]), Reply::Integer(if writer == 1 { 0 } else { 2 }));
        queue(&mut one, &[&["SET", "x", "1"], &["INCR", "y"], &["PING"], &["GET", "x"]]);
        assert_eq!(two.ask(["EXISTS", "x", "y"]), Reply::Integer(0));
        let replies = vec![Reply::ok(), Reply::Integer(1), Reply::Simple("PONG".to_owned()), Reply::bulk("1")];
        assert_eq!(one.ask(["EXEC"]), Reply::Array(replies));
        assert_eq!(two.ask(["MGET", "x", "y"]), Reply::Array(vec![Reply::bulk("1"), Reply::bulk("1")]));
        queue(&mut one, &[&["DEL", "x"]]);
        assert_eq!(one.ask(["DISCARD"]), Reply::ok());
        assert_eq!(two.ask(["EXISTS", "x"]), Reply::Integer(1));
    }
}

#[test]
fn a_transaction_with_an_error_keeps_nothing() {
    let cluster = Cluster::start_with_redis(OUTBOARD, 3);
    for n in cluster.all() {
        let mut redis = cluster.redis_client(n);
        assert_eq!(redis.ask(["SET", "text", "no number"]), Reply::ok());
        queue(&mut redis, &[&["SET", "a", "1"], &["INCR", "text"], &["SET", "b", "1"]]);
        assert!(redis.ask(["EXEC"]).is_error_of("EXECABORT"));
        assert_eq!(redis.ask(["EXISTS", "a", "b"]), Reply::Integer(0));
        // What is wrong already while queueing, in name or number of arguments.
        for wrong in [&["NOSUCH", "x"][..], &["GET"]] {
            queue(&mut redis, &[&["SET", "a", "1"]]);
            assert!(redis.ask(wrong).is_error_of("ERR"));
            assert!(redis.ask(["EXEC"]).is_error_of("EXECABORT"));
            assert_eq!(redis.ask(["EXISTS", "a"]), Reply::Integer(0));
        }
        // The connection goes on as any other.
        queue(&mut redis, &[&["INCR", "n"]]);
        assert_eq!(redis.ask(["EXEC"]), Reply::Array(vec![Reply::Integer(n as i64)]));
    }
}

#[test]
fn a_watched_key_that_was_written_through_another_node_undoes_the_transaction() {
    let cluster = Cluster::start_with_redis(OUTBOARD, 3);
    for (watcher, writer) in [(1, 2), (2, 3), (3, 1)] {
        let (mut one, mut two) = (cluster.redis_client(watcher), cluster.redis_client(writer));
        assert_eq!(one.ask(["SET", "k", "old"]), Reply::ok());
        assert_eq!(one.ask(["WATCH", "k", "other"]), Reply::ok());
        assert_eq!(two.ask(["SET", "k", "new"]), Reply::ok());
        queue(&mut one, &[&["SET", "k", "mine"], &["SET", "side", "effect"]]);
        assert_eq!(one.ask(["EXEC"]), Reply::Nil);
        assert_eq!(two.ask(["GET", "k"]), Reply::bulk("new"));
        assert_eq!(two.ask(["EXISTS", "side"]), Reply::Integer(0));
        // EXEC has used the watch up; the same without the other's write is done.
        assert_eq!(one.ask(["WATCH", "k"]), Reply::ok());
        assert_eq!(two.ask(["SET", "not watched", "x"]), Reply::ok());
        queue(&mut one, &[&["SET", "k", "mine"]]);
        assert_eq!(one.ask(["EXEC"]), Reply::Array(vec![Reply::ok()]));
        // UNWATCH forgets.
        assert_eq!(one.ask(["WATCH", "k"]), Reply::ok());
        assert_eq!(two.ask(["SET", "k", "theirs"]), Reply::ok());
        assert_eq!(one.ask(["UNWATCH"]), Reply::ok());
        queue(&mut one, &[&["GET", "k"]]);
        assert_eq!(one.ask(["EXEC"]), Reply::Array(vec![Reply::bulk("theirs")]));
    }
}

#[test]
fn what_is_watched_outlives_the_leader() {
    let mut cluster = Cluster::start_with_redis(OUTBOARD, 3);
    let leader = cluster.leader();
    let survivors: Vec<usize> = cluster.all().into_iter().filter(|n| *n != leader).collect();
    let (mut broken, mut whole) = (cluster.redis_client(survivors[0]), cluster.redis_client(survivors[0]));
    let mut other = cluster.redis_client(survivors[1]);
    assert_eq!(broken.ask(["WATCH", "k"]), Reply::ok());
    assert_eq!(whole.ask(["WATCH", "quiet"]), Reply::ok());
    cluster.kill(leader);
    wait_for("a write under the next leader", || (other.ask(["SET", "k", "theirs"]) == Reply::ok()).then_some(()));
    queue(&mut broken, &[&["SET", "k", "mine"]]);
    assert_eq!(broken.ask(["EXEC"]), Reply::Nil);
    queue(&mut whole, &[&["SET", "quiet", "mine"]]);
    assert_eq!(whole.ask(["EXEC"]), Reply::Array(vec![Reply::ok()]));
    assert_eq!(other.ask(["MGET", "k", "quiet"]), Reply::Array(vec![Reply::bulk("theirs"), Reply::bulk("mine")]));
}

#[test]
fn a_counter_by_watch_and_exec_through_all_nodes_at_once_misses_no_step() {
    const STEPS: i64 = 25;
    let cluster = Cluster::start_with_redis(OUTBOARD, 3);
    let workers: Vec<_> = cluster
        .all()
        .into_iter()
        .map(|n| {
            let mut redis = cluster.redis_client(n);
            std::thread::spawn(move || (0..STEPS).map(|_| step(&mut redis)).sum::<usize>())
        })
        .collect();
    let attempts: usize = workers.into_iter().map(|worker| worker.join().expect("counting doesn't panic")).sum();
    assert!(attempts >= 3 * STEPS as usize);
    let total = cluster.redis_client(1).ask(["GET", "counter"]);
    assert_eq!(total, Reply::bulk((3 * STEPS).to_string()));
}

/// One step of the counter by reading and writing it; how often it was tried.
fn step(redis: &mut Redis) -> usize {
    for attempt in 1.. {
        assert_eq!(redis.ask(["WATCH", "counter"]), Reply::ok());
        let now: i64 = match redis.ask(["GET", "counter"]) {
            Reply::Nil => 0,
            Reply::Bulk(bytes) => String::from_utf8_lossy(&bytes).parse().expect("a number"),
            reply @ (Reply::Simple(_) | Reply::Error(_) | Reply::Integer(_) | Reply::Array(_)) => {
                panic!("GET was answered with {reply:?}")
            }
        };
        queue(redis, &[&["SET", "counter", &(now + 1).to_string()]]);
        match redis.ask(["EXEC"]) {
            Reply::Array(_) => return attempt,
            Reply::Nil => {}
            reply @ (Reply::Simple(_) | Reply::Error(_) | Reply::Integer(_) | Reply::Bulk(_)) => {
                panic!("EXEC was answered with {reply:?}")
            }
        }
    }
    unreachable!("attempts don't run out")
}
