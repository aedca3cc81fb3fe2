//! The client against made-up nodes: retries, hints, silence.

mod made_up;

use std::time::Duration;

use made_up::{Behaviour, World};
use outboard_client::ClientError;
use outboard_wire::client::Response;

#[tokio::test]
async fn a_command_is_answered() {
    let world = World::new();
    let node = world.node(1, vec![Behaviour::Reply(":7\r\n")]).await;
    let reply = world.client(&[&node]).command(["INCR", "n"]).await.expect("an answer");
    assert_eq!(reply.as_integer(), Some(7));
}

#[tokio::test]
async fn what_was_not_done_is_asked_elsewhere() {
    let world = World::new();
    let first = world.node(1, vec![Behaviour::Respond(Response::NotDone("no leader".into()))]).await;
    let second = world.node(2, vec![Behaviour::Reply("+OK\r\n")]).await;
    let client = world.client(&[&first, &second]);
    assert!(client.command(["SET", "k", "v"]).await.expect("an answer").is_ok());
    assert_eq!((first.heard().len(), second.heard().len()), (1, 1));
}

#[tokio::test]
async fn a_write_without_a_name_that_was_sent_and_lost_is_never_sent_again() {
    let world = World::new();
    let first = world.node(1, vec![Behaviour::Hang]).await;
    let second = world.node(2, vec![Behaviour::Reply("+OK\r\n")]).await;
    let client = world.plain_client(&[&first, &second]);
    let error = client.command(["INCR", "n"]).await.expect_err("nobody knows");
    assert!(matches!(error, ClientError::Unknown(_)), "{error:?}");
    assert!(second.heard().is_empty());
    // The client itself goes on, with the other node.
    assert!(client.command(["SET", "k", "v"]).await.expect("an answer").is_ok());
}

#[tokio::test]
async fn what_may_be_done_twice_is_asked_again_after_a_loss_and_after_silence() {
    let world = World::new();
    for gone in [Behaviour::Hang, Behaviour::Silent] {
        let first = world.node(1, vec![gone]).await;
        let second = world.node(2, vec![Behaviour::Reply("$1\r\nv\r\n")]).await;
        let client = world.client(&[&first, &second]);
        let reply = client.command(["GET", "k"]).idempotent(true).await.expect("an answer");
        assert_eq!(reply.as_bytes(), Some(&b"v"[..]));
        assert_eq!(first.heard(), ["GET"]);
    }
}

#[tokio::test]
async fn a_silent_node_keeps_its_nameless_write_and_loses_the_next_question() {
    let world = World::new();
    let first = world.node(1, vec![Behaviour::Silent]).await;
    let second = world.node(2, vec![Behaviour::Reply(":1\r\n")]).await;
    let client = world.plain_client(&[&first, &second]);
    let write = client.command(["INCR", "n"]).timeout(Duration::from_secs(1)).await;
    assert!(matches!(write, Err(ClientError::Unknown(_))), "{write:?}");
    assert!(second.heard().is_empty());
    client.command(["INCR", "n"]).await.expect("an answer");
    assert_eq!((first.heard().len(), second.heard().len()), (1, 1));
}

#[tokio::test]
async fn a_hint_is_followed() {
    let world = World::new();
    let leader = world.node(2, vec![Behaviour::Reply(":2\r\n")]).await;
    let follower = world.node(1, vec![Behaviour::Hint(leader.address, ":1\r\n")]).await;
    let client = world.client(&[&follower]);
    client.command(["INCR", "n"]).await.expect("an answer");
    // The leader is connected to beside the traffic, which goes on meanwhile.
    while leader.heard().is_empty() {
        client.command(["INCR", "n"]).await.expect("an answer");
    }
    let before = follower.heard().len();
    client.command(["INCR", "n"]).await.expect("an answer");
    assert_eq!(follower.heard().len(), before);
}

#[tokio::test]
async fn many_tasks_share_one_connection() {
    let world = World::new();
    let node = world.node(1, vec![Behaviour::Reply("+OK\r\n")]).await;
    let client = world.client(&[&node]);
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..256 {
        let client = client.clone();
        calls.spawn(async move { client.command(["SET", &number.to_string(), "v"]).await.map(|reply| reply.is_ok()) });
    }
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.expect("no panic"), Ok(true));
    }
    assert_eq!(node.heard().len(), 256);
}

#[tokio::test]
async fn a_foreign_cluster_is_an_error_of_credentials_at_once() {
    let (world, other) = (World::new(), World::new());
    let node = world.node(1, vec![Behaviour::Reply("+OK\r\n")]).await;
    let error = other.client(&[&node]).command(["GET", "k"]).await.expect_err("another cluster");
    assert!(matches!(error, ClientError::Auth(_)), "{error:?}");
    assert!(node.heard().is_empty());
}

/// What one node knows of it, the others will know.
#[tokio::test]
async fn revoked_credentials_are_an_error_at_once_though_other_nodes_are_away_and_what_was_in_doubt_stays_so() {
    let world = World::new();
    let (away, _socket) = world.nobody();
    let node = world.node(1, vec![Behaviour::Reply("+OK\r\n"), Behaviour::Revoke]).await;
    let client = world.client(&[&node, &away]);
    assert!(client.command(["SET", "k", "v"]).await.expect("an answer").is_ok());
    let error = client.command(["SET", "k", "w"]).await.expect_err("cut off over it");
    assert!(matches!(&error, ClientError::Unknown(why) if why.contains("revoked")), "{error:?}");
    let error = client.command(["SET", "k", "x"]).await.expect_err("revoked");
    assert!(matches!(&error, ClientError::Auth(why) if why.contains("revoked")), "{error:?}");
    assert_eq!(node.heard(), ["SET", "SET"]);
}

#[tokio::test]
async fn one_that_revokes_itself_is_answered_by_being_cut_off_and_nobody_else_is() {
    for (whom, done) in [("test", true), ("somebody", false)] {
        let world = World::new();
        let node = world.node(1, vec![Behaviour::Revoke]).await;
        let answer = world.client(&[&node]).revoke_client(whom).await;
        assert!(
            if done { answer == Ok(()) } else { matches!(answer, Err(ClientError::Auth(_))) },
            "{whom}: {answer:?}"
        );
        assert_eq!(node.heard(), ["ACCESS"]);
    }
}

#[tokio::test]
async fn decisions_come_back_as_they_are() {
    let world = World::new();
    let decisions = vec![
        Behaviour::Respond(Response::Rejected("ERR no".into())),
        Behaviour::Respond(Response::Failed("trap".into())),
        Behaviour::Respond(Response::Invalid("too long".into())),
        Behaviour::Reply("nonsense"),
    ];
    let node = world.node(1, decisions).await;
    let client = world.client(&[&node]);
    assert_eq!(client.command(["X"]).await, Err(ClientError::Rejected("ERR no".into())));
    assert_eq!(client.command(["X"]).await, Err(ClientError::Failed("trap".into())));
    assert_eq!(client.command(["X"]).await, Err(ClientError::Invalid("too long".into())));
    assert!(matches!(client.command(["X"]).await, Err(ClientError::Protocol(_))));
}

#[tokio::test]
async fn a_question_may_be_asked_very_often_within_its_time() {
    let world = World::new();
    let mut answers = vec![Behaviour::Respond(Response::NotDone("no leader".into())); 50];
    answers.push(Behaviour::Reply("+OK\r\n"));
    let node = world.node(1, answers).await;
    assert!(world.client(&[&node]).command(["GET", "k"]).idempotent(true).await.expect("an answer").is_ok());
    assert_eq!(node.heard().len(), 51);
}
