//! Exactly once, through whole nodes: names, retries, transactions, leaders that die.

use super::reply;
use super::world::World;
use outboard_client::{Client, ClientError};
use outboard_wire::client::{RequestId, Response};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const KILLS: usize = 10;
/// Increments that are under way at the same time.
const TASKS: usize = 8;

/// Increments until it is told to stop.
struct Counting {
    stopped: AtomicBool,
    replies: Mutex<Vec<i64>>,
}

impl Counting {
    async fn run(self: Arc<Self>, client: Client) {
        while !self.stopped.load(Ordering::Relaxed) {
            let counted = client.incr("n").await.expect("every increment has an outcome");
            self.replies.lock().expect("no panic").push(counted);
        }
    }

    fn count(&self) -> usize {
        self.replies.lock().expect("no panic").len()
    }
}

#[tokio::test]
async fn increments_through_ten_leader_kills_are_each_counted_exactly_once() {
    let mut world = World::start(3, outboard_embedded::KV).await;
    let counting = Arc::new(Counting { stopped: AtomicBool::new(false), replies: Mutex::default() });
    let client = world.client();
    let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(counting.clone().run(client.clone()))).collect();
    for _ in 0..KILLS {
        let before = counting.count();
        while counting.count() < before + 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let leader = world.leader().await;
        world.kill(leader);
        world.restart(leader).await;
    }
    counting.stopped.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("no increment failed");
    }
    let replies = counting.replies.lock().expect("no panic").clone();
    let different: BTreeSet<i64> = replies.iter().copied().collect();
    assert_eq!(different.len(), replies.len(), "two increments got the same number");
    let total = i64::try_from(replies.len()).expect("a small number");
    assert_eq!(client.get("n").await.expect("a value").as_deref(), Some(total.to_string().as_bytes()));
    assert_eq!(different.last(), Some(&total));
    world.assert_equal_states().await;
}

#[tokio::test]
async fn a_retry_over_an_upgrade_and_at_another_node_gets_the_first_reply() {
    let mut world = World::start(3, outboard_embedded::KV_BASIC).await;
    let session = world.open_session(1).await;
    let id = |sequence| RequestId { session, sequence, settled_below: 0 };
    let refused = world.ask_once(1, id(0), &["INCR", "n"]).await;
    assert!(matches!(&refused, Response::Rejected(text) if text.contains("unknown command")), "{refused:?}");
    assert_eq!(world.ask_once(2, id(1), &["SET", "n", "1"]).await, reply("+OK\r\n"));
    let digest = world.push(2, outboard_embedded::KV).await.expect("kv is an engine");
    assert!(matches!(world.upgrade(3, &digest).await, Response::Upgraded(_)));
    assert_eq!(world.ask_once(3, id(2), &["INCR", "n"]).await, reply(":2\r\n"));
    assert_eq!(world.ask_once(2, id(0), &["INCR", "n"]).await, refused, "though kv has an INCR");
    assert_eq!(world.ask_once(3, id(1), &["SET", "n", "1"]).await, reply("+OK\r\n"));
    let leader = world.leader().await;
    world.kill(leader);
    let other = world.running()[0];
    assert_eq!(world.ask_once(other, id(2), &["INCR", "n"]).await, reply(":2\r\n"));
    assert_eq!(world.ask(other, &["GET", "n"]).await, reply("$1\r\n2\r\n"), "each was done once");
    world.restart(leader).await;
    world.assert_equal_states().await;
}

#[tokio::test]
async fn a_transaction_depends_on_what_was_watched_whichever_node_writes_it() {
    let mut world = World::start(3, outboard_embedded::KV).await;
    let client = world.client();
    client.set("stock", "1").await.expect("written");
    let watch = client.watch(["stock"]).await.expect("watched");
    assert_eq!(world.ask(2, &["SET", "other", "1"]).await, reply("+OK\r\n"));
    let sale = || client.transaction().command(["DECR", "stock"]).command(["INCR", "sold"]).command(["GET", "stock"]);
    let replies = sale().only_if(watch).await.expect("nobody has written it");
    assert_eq!((replies[0].as_integer(), replies[1].as_integer()), (Some(0), Some(1)));
    assert_eq!(replies[2].as_bytes(), Some(&b"0"[..]));
    let watch = client.watch(["stock"]).await.expect("watched");
    assert_eq!(world.ask(3, &["SET", "stock", "5"]).await, reply("+OK\r\n"));
    assert_eq!(sale().only_if(watch).await, Err(ClientError::WatchBroken));
    let wrong = client.transaction().command(["SET", "stock", "9"]).command(["INCR", "stock", "too", "many"]).await;
    assert!(matches!(&wrong, Err(ClientError::Rejected(text)) if text.contains("command 2 of")), "{wrong:?}");
    assert_eq!(client.get("stock").await.expect("a value").as_deref(), Some(&b"5"[..]));
    world.assert_equal_states().await;
}
