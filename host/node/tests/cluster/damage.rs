//! Logs that are damaged or gone: what a node does with what is left, and how the others give it the rest.

use super::reply;
use crate::world::World;
use outboard_node::{LogCare, Plan, RecoverError, StartError};
use std::path::Path;
use std::time::Duration;

/// Writes enough for several segments of [`small`].
const WRITES: usize = 60;

/// Segments that a few writes fill, and a scrubber that is always at work.
fn small() -> LogCare {
    LogCare { segment_bytes: 4 << 10, scrub_bytes_per_second: 1 << 30, scrub_pause: Duration::from_millis(20) }
}

async fn filled(nodes: u64) -> World {
    let mut world = World::start_with_log(nodes, outboard_embedded::KV, small()).await;
    for number in 0..WRITES {
        assert_eq!(world.ask(1, &["SET", &format!("k{number}"), &"v".repeat(200)]).await, reply("+OK\r\n"));
    }
    if nodes > 1 {
        world.assert_equal_states().await;
    }
    world
}

/// Flips a bit in the middle of what is written in a segment.
fn damage(segment: &Path) {
    let mut bytes = std::fs::read(segment).expect("a segment can be read");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("it is written");
    bytes[end / 2] ^= 0x20;
    std::fs::write(segment, bytes).expect("a segment can be written");
}

/// A repaired node is worth as much as any other: with it alone the cluster goes on.
async fn counts_again(world: &mut World, repaired: u64) {
    world.until(repaired, "whole", |status| !status.suspended).await;
    world.assert_equal_states().await;
    world.until_no_damaged_files(repaired).await;
    let other = (1..=3).find(|number| *number != repaired).expect("two others");
    world.kill(other);
    // What is on its way to the one that died has no known outcome; a question can be asked again.
    assert_eq!(world.ask(repaired, &["GET", "nothing"]).await, reply("_\r\n"));
    assert_eq!(world.ask(repaired, &["SET", "after", "1"]).await, reply("+OK\r\n"));
    world.restart(other).await;
    world.assert_equal_states().await;
    // The loss is not told again.
    world.kill(repaired);
    world.restart(repaired).await;
    assert!(!world.status(repaired).await.suspended);
}

/// REGRESSIONS D2: damage before what was acknowledged is neither cut nor voted away; the node gets the entries again.
#[tokio::test]
async fn d2_a_damaged_range_comes_again_from_the_leader_and_until_then_the_node_counts_for_nothing() {
    let mut world = filled(3).await;
    (1..=3).for_each(|number| world.kill(number));
    world.lose_tables(3);
    let segments = world.segments(3);
    assert!(segments.len() >= 3);
    damage(&segments[1]);
    world.restart(3).await;
    let alone = world.status(3).await;
    assert!(alone.suspended && alone.leader.is_none() && alone.log_last == 0, "{alone:?}");
    assert!(world.keeps_damaged_files(3));
    for number in 1..=2 {
        world.restart(number).await;
    }
    counts_again(&mut world, 3).await;
}

#[tokio::test]
async fn a_damaged_range_that_the_others_have_compacted_comes_as_a_snapshot() {
    let mut world = filled(3).await;
    (1..=3).for_each(|number| world.kill(number));
    world.lose_tables(3);
    damage(&world.segments(3)[0]);
    for number in 1..=2 {
        world.compact_log(number);
        world.restart(number).await;
    }
    world.restart(3).await;
    counts_again(&mut world, 3).await;
}

#[tokio::test]
async fn damage_in_what_the_tables_hold_is_mended_without_the_others_and_nothing_is_lost() {
    let mut world = filled(3).await;
    (1..=3).for_each(|number| world.kill(number));
    for segment in world.segments(3).iter().take(3) {
        damage(segment);
    }
    world.restart(3).await;
    let alone = world.status(3).await;
    assert!(!alone.suspended && alone.applied > WRITES as u64, "{alone:?}");
    assert!(!world.keeps_damaged_files(3));
    // Its word counts at once: with one other it makes a cluster.
    world.restart(2).await;
    assert_eq!(world.ask(3, &["GET", "k7"]).await, reply(&format!("$200\r\n{}\r\n", "v".repeat(200))));
    world.restart(1).await;
    world.assert_equal_states().await;
}

/// Two of three, but one of them has no vote: nobody can be elected, however long they try, until the third one comes.
async fn counts_for_nothing_until_the_third_comes(world: &mut World, forgetful: u64) {
    world.restart(1).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(world.status(forgetful).await.suspended);
    assert_eq!((world.status(forgetful).await.leader, world.status(1).await.leader), (None, None));
    world.restart(2).await;
    counts_again(world, forgetful).await;
}

/// REGRESSIONS E20, M16: a node whose votes are forgotten has none, until a leader elected without it has given it everything.
#[tokio::test]
async fn e20_a_node_whose_log_is_gone_while_its_tables_are_not_has_no_vote_until_it_is_readmitted() {
    let mut world = filled(3).await;
    (1..=3).for_each(|number| world.kill(number));
    world.lose_log(3);
    world.restart(3).await;
    counts_for_nothing_until_the_third_comes(&mut world, 3).await;
}

/// REGRESSIONS E20, M16: nothing in its folder but its name tells that it ever took part.
#[tokio::test]
async fn e20_a_node_whose_log_and_tables_are_gone_has_no_vote_until_it_is_readmitted() {
    let mut world = filled(3).await;
    (1..=3).for_each(|number| world.kill(number));
    world.lose_tables(3);
    world.lose_log(3);
    world.restart(3).await;
    // Again, before anybody could give it anything: it does not take what it has begun meanwhile for its log.
    world.kill(3);
    world.restart(3).await;
    counts_for_nothing_until_the_third_comes(&mut world, 3).await;
}

/// A copy from before the log began knows of nothing, and is found out by the leader that has its word.
#[tokio::test]
async fn an_older_copy_of_a_nodes_folder_is_noticed_by_what_the_leader_knows_of_it_and_is_given_everything_back() {
    let mut world = filled(3).await;
    let victim = if world.leader().await == 3 { 2 } else { 3 };
    world.kill(victim);
    world.lose_tables(victim);
    world.lose_log(victim);
    let file = world.dir(victim).join("node.toml");
    let text = std::fs::read_to_string(&file).expect("readable");
    std::fs::write(&file, text.replace("begun = true\n", "")).expect("writable");
    world.restart(victim).await;
    let halt = world.until_ended(victim).await;
    assert!(halt.kind == outboard_node::HaltKind::Corruption && halt.reason.contains("older copy"), "{halt}");
    world.restart(victim).await;
    counts_again(&mut world, victim).await;
}

#[tokio::test]
async fn where_nobody_else_has_the_data_a_log_that_is_gone_or_cut_short_is_told_and_nothing_is_begun_anew() {
    let mut world = filled(1).await;
    world.kill(1);
    world.lose_tables(1);
    let last = world.segments(1).pop().expect("a segment");
    let whole = std::fs::read(&last).expect("readable");
    std::fs::write(&last, &whole[..300]).expect("writable");
    let refusal = world.try_restart(1).expect_err("it would lose acknowledged writes").to_string();
    assert!(refusal.contains("no other voter"), "{refusal}");
    world.lose_log(1);
    for _ in 0..2 {
        let refusal = world.try_restart(1).expect_err("it would lose acknowledged writes").to_string();
        assert!(refusal.contains("the log in") && refusal.contains("is gone"), "{refusal}");
    }
}

#[tokio::test]
async fn where_nobody_else_has_the_data_a_damaged_log_is_left_as_it_is_and_told() {
    let mut world = filled(1).await;
    world.kill(1);
    world.lose_tables(1);
    let segments = world.segments(1);
    damage(&segments[1]);
    let bytes =
        |world: &World| world.segments(1).iter().map(|path| std::fs::read(path).expect("readable")).collect::<Vec<_>>();
    let before = bytes(&world);
    for _ in 0..2 {
        let refusal = world.try_restart(1).expect_err("it would lose acknowledged writes");
        assert!(matches!(refusal, StartError::Corrupt(_)), "{refusal}");
        let file = segments[1].file_name().and_then(|name| name.to_str()).expect("text");
        assert!(refusal.to_string().contains(file) && refusal.to_string().contains("no other voter"), "{refusal}");
    }
    assert_eq!(bytes(&world), before);
    assert!(!world.keeps_damaged_files(1));
}

#[tokio::test]
async fn bits_lost_in_a_closed_segment_of_a_running_node_are_found_and_the_segment_is_dropped() {
    let mut world = filled(3).await;
    let victim = world.leader().await;
    let damaged = world.segments(victim).remove(0);
    damage(&damaged);
    world.until(victim, "rid of the damaged segment", |status| status.log_first > 1 && status.damage.is_none()).await;
    world.until_gone(&damaged).await;
    assert_eq!(world.ask(victim, &["SET", "after", "1"]).await, reply("+OK\r\n"));
    world.assert_equal_states().await;
    // It starts as if nothing had been.
    world.kill(victim);
    world.restart(victim).await;
    assert!(!world.status(victim).await.suspended);
    world.assert_equal_states().await;
}

#[tokio::test]
async fn of_a_lost_majority_one_survivor_serves_again_and_an_old_node_that_comes_back_changes_nothing() {
    let mut world = filled(3).await;
    (1..=3).for_each(|number| world.kill(number));
    let refused = Plan::of(&[world.dir(1).to_path_buf(), world.dir(2).to_path_buf()])
        .expect_err("two of three can elect a leader");
    assert!(matches!(refused, RecoverError::NotNeeded(_)), "{refused}");
    let plan = Plan::of(&[world.dir(1).to_path_buf()]).expect("a plan");
    assert_eq!((plan.voters, plan.gone.len(), plan.incarnation), (3, 2, 1));
    plan.apply().expect("applied");
    world.restart(1).await;
    assert_eq!(world.ask(1, &["SET", "after", "1"]).await, reply("+OK\r\n"));
    let term = world.status(1).await.term;
    world.restart(3).await;
    assert_eq!(world.ask(1, &["GET", "after"]).await, reply("$1\r\n1\r\n"));
    assert_eq!(world.status(3).await.leader, None);
    assert_eq!(world.status(1).await.term, term);
}
