//! Writes with names, against made-up nodes: the same name with each attempt, honest endings.

mod made_up;

use std::sync::atomic::Ordering;
use std::time::Duration;

use made_up::{Behaviour, Heard, World};
use outboard_client::{ClientError, Options};
use outboard_wire::client::{RequestId, Response};

fn id(session: u64, sequence: u64, settled_below: u64) -> Option<RequestId> {
    Some(RequestId { session, sequence, settled_below })
}

fn ids(heard: Vec<Heard>) -> Vec<Option<RequestId>> {
    heard.into_iter().map(|heard| heard.id).collect()
}

#[tokio::test]
async fn the_first_write_opens_a_session_and_reads_need_none() {
    let world = World::new();
    let node = world.node(1, vec![Behaviour::Reply("_\r\n"), Behaviour::Reply(":1\r\n")]).await;
    let client = world.client(&[&node]);
    assert_eq!(client.get("k").await, Ok(None));
    assert_eq!(world.opened.load(Ordering::Relaxed), 0);
    assert_eq!((client.incr("n").await, client.incr("n").await), (Ok(1), Ok(1)));
    assert_eq!(world.opened.load(Ordering::Relaxed), 1);
    assert_eq!(ids(node.named()), [None, id(1, 0, 0), id(1, 1, 1)]);
    client.close().await;
    assert_eq!(world.closed.load(Ordering::Relaxed), 1);
    assert_eq!(client.incr("n").await, Ok(1), "a session is opened again");
    assert_eq!(world.opened.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_write_that_may_have_been_done_is_sent_again_under_the_same_name() {
    let world = World::new();
    let unknown = Behaviour::Respond(Response::Unknown("the leader changed".into()));
    for doubtful in [Behaviour::Hang, Behaviour::Silent, unknown] {
        let first = world.node(1, vec![doubtful]).await;
        let second = world.node(2, vec![Behaviour::Reply(":1\r\n")]).await;
        let client = world.client(&[&first, &second]);
        assert_eq!(client.incr("n").await, Ok(1));
        let (first, second) = (first.named(), second.named());
        assert!(
            !second.is_empty() && first.iter().chain(&second).all(|heard| heard.id == first[0].id),
            "{first:?}, {second:?}"
        );
    }
}

#[tokio::test]
async fn many_writes_at_once_have_names_of_their_own_in_one_session() {
    let world = World::new();
    let node = world.node(1, vec![Behaviour::Reply(":1\r\n")]).await;
    let client = world.client(&[&node]);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..3_000 {
        let client = client.clone();
        calls.spawn(async move { client.incr("n").await });
    }
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.expect("no panic"), Ok(1));
    }
    let mut names: Vec<(u64, u64)> =
        ids(node.named()).into_iter().map(|id| id.expect("a name")).map(|id| (id.session, id.sequence)).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 3_000);
    assert!(world.opened.load(Ordering::Relaxed) <= 3, "1,024 under way fit into one session");
    assert!(ids(node.named()).iter().flatten().all(|id| id.sequence - id.settled_below < 1_024));
}

#[tokio::test]
async fn a_session_that_is_gone_is_replaced_when_nothing_can_have_been_done() {
    let world = World::new();
    let not_done = Behaviour::Respond(Response::NotDone("no leader".into()));
    let answers = vec![not_done, Behaviour::Respond(Response::SessionGone), Behaviour::Reply(":1\r\n")];
    let node = world.node(1, answers).await;
    assert_eq!(world.client(&[&node]).incr("n").await, Ok(1));
    assert_eq!(ids(node.named()), [id(1, 0, 0), id(1, 0, 0), id(2, 0, 0)]);
}

#[tokio::test]
async fn a_session_that_is_gone_after_an_attempt_in_doubt_leaves_the_outcome_unknown() {
    let world = World::new();
    let unknown = Behaviour::Respond(Response::Unknown("the leader changed".into()));
    let node =
        world.node(1, vec![unknown, Behaviour::Respond(Response::SessionGone), Behaviour::Reply(":7\r\n")]).await;
    let client = world.client(&[&node]);
    let error = client.incr("n").await.expect_err("nobody knows");
    assert!(matches!(error, ClientError::Unknown(_)), "{error:?}");
    assert_eq!(client.incr("n").await, Ok(7), "the next one has a new session");
    assert_eq!(node.named()[2].id, id(2, 0, 0));
}

#[tokio::test]
async fn a_doubtful_write_that_no_node_answers_in_time_ends_as_unknown() {
    let world = World::new();
    let unknown = Behaviour::Respond(Response::Unknown("the leader changed".into()));
    let node = world.node(1, vec![unknown, Behaviour::Respond(Response::NotDone("no leader".into()))]).await;
    let client = world.client_with(&[&node], Options::default());
    let error = client.command(["INCR", "n"]).timeout(Duration::from_millis(500)).await.expect_err("no leader");
    assert!(matches!(error, ClientError::Unknown(_)), "not `Unavailable`, which would be safe to ask again: {error:?}");
}

#[tokio::test]
async fn a_reply_that_is_not_kept_any_more_is_no_success_and_no_failure() {
    let world = World::new();
    let node = world.node(1, vec![Behaviour::Respond(Response::Forgotten)]).await;
    let error = world.client(&[&node]).incr("n").await.expect_err("no reply");
    assert!(matches!(error, ClientError::Unknown(_)), "{error:?}");
}

#[tokio::test]
async fn a_transaction_brings_its_replies_and_says_when_its_watch_is_broken() {
    let world = World::new();
    let replies = vec![":1\r\n".into(), "$1\r\nv\r\n".into()];
    let answers = vec![Behaviour::Respond(Response::Replies(replies)), Behaviour::Respond(Response::WatchBroken)];
    let node = world.node(1, answers).await;
    let client = world.client(&[&node]);
    let both = client.transaction().command(["INCR", "n"]).command(["GET", "k"]).await.expect("replies");
    assert_eq!((both[0].as_integer(), both[1].as_bytes()), (Some(1), Some(&b"v"[..])));
    assert_eq!(client.transaction().command(["INCR", "n"]).await, Err(ClientError::WatchBroken));
    assert_eq!(ids(node.named()), [id(1, 0, 0), id(1, 1, 1)]);
}
