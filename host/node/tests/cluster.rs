//! Whole nodes in this process, over real QUIC and real disks: what a cluster promises, told as stories.

#![allow(clippy::wildcard_enum_match_arm, reason = "a test names what it wants; all else is a failure")]

#[path = "cluster/damage.rs"]
mod damage;
#[path = "cluster/enrolment.rs"]
mod enrolment;
#[path = "cluster/gateway.rs"]
mod gateway;
#[path = "cluster/sessions.rs"]
mod sessions;
mod world;

use outboard_wire::client::Response;
use std::time::Duration;
use world::{PATIENCE, World};

#[tokio::test]
async fn a_write_on_any_node_is_read_on_every_other() {
    let mut world = World::start(3, outboard_embedded::KV).await;
    for (number, key) in [(1, "a"), (2, "b"), (3, "c")] {
        assert_eq!(world.ask(number, &["SET", key, "1"]).await, reply("+OK\r\n"));
    }
    for number in 1..=3 {
        for key in ["a", "b", "c"] {
            assert_eq!(world.ask(number, &["GET", key]).await, reply("$1\r\n1\r\n"));
        }
    }
    world.assert_equal_states().await;
}

#[tokio::test]
async fn a_follower_reads_what_was_acknowledged_before_and_nothing_without_the_leaders_word() {
    let mut world = World::start(3, outboard_embedded::KV).await;
    world.ask(1, &["SET", "n", "0"]).await;
    let leader = world.leader().await;
    let followers: Vec<u64> = (1..=3).filter(|number| *number != leader).collect();
    for number in 1..=50 {
        assert_eq!(world.ask(leader, &["INCR", "n"]).await, reply(&format!(":{number}\r\n")));
        for follower in [followers[0], followers[1], leader] {
            let (text, length) = (number.to_string(), number.to_string().len());
            assert_eq!(
                world.ask_follower(follower, &["GET", "n"], PATIENCE).await,
                reply(&format!("${length}\r\n{text}\r\n"))
            );
        }
    }
    // A write that is asked so is a write.
    assert_eq!(world.ask_follower(followers[0], &["INCR", "n"], PATIENCE).await, reply(":51\r\n"));
    world.kill(leader);
    world.kill(followers[1]);
    let alone = world.ask_follower(followers[0], &["GET", "n"], Duration::from_secs(1)).await;
    assert!(matches!(alone, Response::NotDone(_)), "{alone:?}");
    assert_eq!(world.ask_stale(followers[0], &["GET", "n"]).await, reply("$2\r\n51\r\n"));
    world.restart(leader).await;
    assert_eq!(world.ask(followers[0], &["INCR", "n"]).await, reply(":52\r\n"));
    assert_eq!(world.ask_follower(leader, &["GET", "n"], PATIENCE).await, reply("$2\r\n52\r\n"));
}

#[tokio::test]
async fn what_was_acknowledged_survives_the_leaders_death_and_its_return() {
    let mut world = World::start(3, outboard_embedded::KV).await;
    assert_eq!(world.ask(1, &["SET", "k", "before"]).await, reply("+OK\r\n"));
    let leader = world.leader().await;
    world.kill(leader);
    let other = world.running()[0];
    assert_eq!(world.ask(other, &["GET", "k"]).await, reply("$6\r\nbefore\r\n"));
    assert_eq!(world.ask(other, &["SET", "k", "after"]).await, reply("+OK\r\n"));
    world.restart(leader).await;
    assert_eq!(world.ask(leader, &["GET", "k"]).await, reply("$5\r\nafter\r\n"));
    world.assert_equal_states().await;
}

#[tokio::test]
async fn all_nodes_killed_at_once_come_back_with_everything() {
    let mut world = World::start(3, outboard_embedded::KV).await;
    for number in 0..100 {
        assert_eq!(world.ask(1, &["SET", &format!("k{number}"), "v"]).await, reply("+OK\r\n"));
    }
    for number in 1..=3 {
        world.kill(number);
    }
    for number in 1..=3 {
        world.restart(number).await;
    }
    assert_eq!(world.ask(2, &["DBSIZE"]).await, reply(":100\r\n"));
    world.assert_equal_states().await;
}

#[tokio::test]
async fn an_engine_is_replaced_while_it_runs_and_stays_replaced() {
    let mut world = World::start(3, outboard_embedded::KV_BASIC).await;
    assert_eq!(world.ask(1, &["SET", "n", "41"]).await, reply("+OK\r\n"));
    assert!(matches!(world.ask(1, &["INCR", "n"]).await, Response::Rejected(text) if text.contains("unknown command")));
    let digest = world.push(2, outboard_embedded::KV).await.expect("kv is an engine");
    let upgraded = world.upgrade(3, &digest).await;
    let Response::Upgraded(upgraded) = upgraded else { panic!("refused: {upgraded:?}") };
    assert_eq!((&*upgraded.from.name, &*upgraded.to.name), ("kv-basic", "kv"));
    assert_eq!(world.ask(1, &["INCR", "n"]).await, reply(":42\r\n"));
    for number in 1..=3 {
        world.kill(number);
    }
    // Whatever --engine says: the log knows which engine runs.
    for number in 1..=3 {
        world.restart(number).await;
    }
    assert_eq!(world.ask(3, &["INCR", "n"]).await, reply(":43\r\n"));
    world.assert_equal_states().await;
}

#[tokio::test]
async fn an_upgrade_is_refused_until_every_voter_has_the_engine_and_a_late_node_fetches_it() {
    let mut world = World::start(3, outboard_embedded::KV_BASIC).await;
    assert_eq!(world.ask(1, &["SET", "k", "v"]).await, reply("+OK\r\n"));
    let absent = (1..=3).find(|number| Some(*number) != Some(1)).expect("one of three");
    world.kill(absent);
    let digest = world.push_to_some(1, outboard_embedded::KV).await;
    let refused = world.upgrade(1, &digest).await;
    assert!(
        matches!(&refused, Response::UpgradeRefused(reason) if reason.contains("does not have it ready")),
        "{refused:?}"
    );
    world.restart(absent).await;
    let upgraded = world.upgrade_when_ready(1, &digest).await;
    assert!(matches!(upgraded, Response::Upgraded(_)), "{upgraded:?}");
    assert_eq!(world.ask(absent, &["APPEND", "k", "w"]).await, reply(":2\r\n"));
    world.assert_equal_states().await;
}

#[tokio::test]
async fn a_node_that_lacks_the_running_engine_fetches_it_and_goes_on() {
    let mut world = World::start(3, outboard_embedded::KV).await;
    assert_eq!(world.ask(1, &["SET", "k", "v"]).await, reply("+OK\r\n"));
    world.kill(3);
    world.forget_engines(3);
    // It is started with another engine, and so has nothing that could run the log's.
    world.restart_with(3, outboard_embedded::KV_BASIC).await;
    assert_eq!(world.ask_stale(3, &["STRLEN", "k"]).await, reply(":1\r\n"));
    world.assert_equal_states().await;
}

#[tokio::test]
async fn a_follower_behind_the_compacted_log_gets_a_snapshot() {
    let mut world = World::start(3, outboard_embedded::KV).await;
    assert_eq!(world.ask(1, &["SET", "k", "v"]).await, reply("+OK\r\n"));
    let leader = world.leader().await;
    let behind = (1..=3).find(|number| *number != leader).expect("two others");
    // Whoever loses its disk must not have been needed for a majority.
    world.assert_equal_states().await;
    world.kill(behind);
    world.lose_data(behind);
    for number in (1..=3).filter(|number| *number != behind) {
        // A restart after a forced compaction: the others' logs begin behind their tables.
        world.kill(number);
        world.compact_log(number);
    }
    for number in 1..=3 {
        world.restart(number).await;
    }
    assert_eq!(world.ask_stale(behind, &["GET", "k"]).await, reply("$1\r\nv\r\n"));
    world.assert_equal_states().await;
}

#[tokio::test]
async fn limits_are_checked_before_the_log_and_say_what_they_are() {
    let mut world = World::start(1, outboard_embedded::KV).await;
    let (key, value) = ("k".repeat(65_537), "v".repeat((1 << 20) + 1));
    // The engine runs, and the node's word on it is in the log: nothing else comes by itself.
    assert_eq!(world.ask(1, &["GET", "k"]).await, reply("_\r\n"));
    world.until_engines_are_ready(1).await;
    let before = world.status(1).await.log_last;
    for (arguments, word) in [
        (vec!["SET", &key, "v"], "a key is longer"),
        (vec!["SET", "k", &value], "a value is longer"),
        (vec!["NOSUCH", "x"], "unknown command"),
        (vec!["SET", "k"], "wrong number of arguments"),
    ] {
        let response = world.ask(1, &arguments).await;
        assert!(matches!(&response, Response::Rejected(text) if text.contains(word)), "{response:?}");
    }
    assert_eq!(world.status(1).await.log_last, before, "nothing of it reached the log");
}

#[tokio::test]
async fn no_mode_of_a_broken_engine_parts_the_nodes_or_stops_them() {
    let mut world = World::start(3, outboard_embedded::CHAOS).await;
    assert_eq!(world.ask(1, &["SET", "k", "v"]).await, reply("+OK\r\n"));
    for mode in ["TRAP", "SPIN", "RECURSE", "EAT", "GARBAGE", "HUGE", "BIGVALUE", "REJECT"] {
        let response = world.ask(2, &[mode]).await;
        assert!(matches!(response, Response::Failed(_) | Response::Rejected(_)), "{mode}: {response:?}");
        assert_eq!(world.ask(3, &["GET", "k"]).await, reply("$1\r\nv\r\n"), "after {mode}");
    }
    world.assert_equal_states().await;
}

#[tokio::test]
async fn leadership_moves_when_asked_and_a_node_that_stops_hands_it_over() {
    let mut world = World::start(3, outboard_embedded::KV).await;
    let leader = world.leader().await;
    let next = (1..=3).find(|number| *number != leader).expect("two others");
    assert!(matches!(world.transfer(leader, next).await, Response::Transferred { to, .. } if to == next));
    assert_eq!(world.leader().await, next);
    assert_eq!(world.ask(leader, &["SET", "k", "v"]).await, reply("+OK\r\n"));
    world.stop(next);
    assert_eq!(world.ask(leader, &["GET", "k"]).await, reply("$1\r\nv\r\n"));
}

fn reply(text: &str) -> Response {
    Response::Reply(text.to_owned().into())
}
