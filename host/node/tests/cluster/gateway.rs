//! The way in for listeners on a node: without a wire, and as safe.

use super::world::World;
use outboard_node::{Ask, Gateway};
use outboard_wire::client::{Consistency, RequestBody, Response};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Asks all at once; the answers come in any order.
fn ask(gateway: &Gateway, commands: &[&[&str]]) -> UnboundedReceiver<Response> {
    let (answers, answered) = unbounded_channel();
    let asks = commands.iter().map(|words| {
        let arguments = words.iter().map(|word| word.as_bytes().to_vec().into()).collect();
        let body = RequestBody::Command { arguments, consistency: Consistency::Linearizable, id: None };
        let answers = answers.clone();
        Ask { body, timeout_ms: 60_000, reply: Box::new(move |response| answers.send(response).unwrap_or_default()) }
    });
    gateway.submit(asks.collect());
    answered
}

/// The numbers that so many INCRs were answered with.
async fn numbers(mut answered: UnboundedReceiver<Response>) -> Vec<i64> {
    let mut numbers = Vec::new();
    while let Some(response) = answered.recv().await {
        let Response::Reply(bytes) = &response else { panic!("no number: {response:?}") };
        let text = std::str::from_utf8(&bytes[1..bytes.len() - 2]).expect("a number");
        numbers.push(text.parse().expect("a number"));
    }
    numbers
}

#[tokio::test]
async fn what_a_node_s_own_listeners_write_is_done_once_through_the_leader_s_death() {
    let mut world = World::start(3, outboard_embedded::KV).await;
    let leader = world.leader().await;
    let follower = world.running().into_iter().find(|number| *number != leader).expect("two others");
    let gateway = world.node(follower).gateway();
    let mut all = Vec::new();
    // The first ones open the node's session; what follows has names in it.
    for _ in 0..20 {
        all.extend(numbers(ask(&gateway, &[&["INCR", "n"]])).await);
    }
    let answered = ask(&gateway, &[&["INCR", "n"][..]; 300]);
    world.kill(leader);
    all.extend(numbers(answered).await);
    assert_eq!(all.len(), 320);
    assert_eq!(all.iter().copied().collect::<BTreeSet<i64>>(), (1..=320).collect(), "each was counted once");
    world.restart(leader).await;
    world.assert_equal_states().await;
}

#[tokio::test]
async fn a_gateway_tells_of_the_engine_and_the_node_and_beyond_its_bound_that_it_is_too_much() {
    let mut world = World::start(3, outboard_embedded::KV).await;
    let leader = world.leader().await;
    let gateway = world.node(leader).gateway();
    assert_eq!(numbers(ask(&gateway, &[&["INCR", "n"]])).await, [1]);
    let manifest = gateway.manifest().expect("an engine runs");
    assert!(manifest.name == "kv" && manifest.commands.iter().any(|command| command.name == "INCR" && command.writes));
    let figures = loop {
        let figures = gateway.figures();
        if figures.role == "leader" && figures.applied > 1 {
            break figures;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!((figures.node, figures.members.len()), (leader, 3));
    assert_eq!(figures.leader.map(|hint| hint.node), Some(leader));
    assert_eq!(figures.engine.map(|engine| engine.name), Some("kv".into()));
    let mut refused = ask(&gateway, &vec![&["INCR", "n"][..]; 200_000]);
    assert_eq!(refused.recv().await, Some(Response::Overloaded));
    world.kill(leader);
    assert!(matches!(ask(&gateway, &[&["INCR", "n"]]).recv().await, Some(Response::NotDone(_))), "it has ended");
}

#[tokio::test]
async fn a_task_on_a_node_s_runtime_runs_on_its_thread_and_ends_with_it() {
    let mut world = World::start(1, outboard_embedded::KV).await;
    let (told, mut tells) = unbounded_channel();
    world.node(1).spawn(|| async move {
        told.send(std::thread::current().name().map(str::to_owned)).expect("somebody listens");
        tokio::time::sleep(Duration::from_millis(1)).await;
        told.send(None).expect("somebody listens");
        std::future::pending().await
    });
    assert_eq!(tells.recv().await, Some(Some("n1-loop".into())));
    assert_eq!(tells.recv().await, Some(None));
    world.kill(1);
    assert_eq!(tells.recv().await, None, "it was cut off");
}
