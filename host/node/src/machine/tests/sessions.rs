//! Requests within sessions: done once, answered alike each time.

use super::*;
use outboard_wire::limits::SESSION_IDLE_MS_MAX;

impl World {
    fn session(&mut self) -> u64 {
        let opened = self.apply(Command::SessionOpen);
        let Response::SessionOpened { session } = opened else { panic!("not opened: {opened:?}") };
        session
    }

    fn chain(&self) -> [u8; 32] {
        self.machine.head().chain
    }
}

#[test]
fn a_retry_gets_the_first_reply_s_bytes_and_does_nothing() {
    let mut world = World::with_engine(outboard_embedded::KV);
    let session = world.session();
    assert_eq!(session, world.next - 1, "its number is its entry's index");
    for _ in 0..3 {
        assert_eq!(world.apply(once(session, 0, 0, &["INCR", "n"])), reply(":1\r\n"));
    }
    assert_eq!(world.apply(once(session, 1, 0, &["INCR", "n"])), reply(":2\r\n"));
    assert_eq!(world.apply(once(session, 0, 0, &["INCR", "n"])), reply(":1\r\n"), "not the newest, its own");
    assert_eq!(world.call(&["INCR", "n"]), reply(":3\r\n"));
}

#[test]
fn a_retry_in_the_same_batch_is_a_retry_too() {
    let mut world = World::with_engine(outboard_embedded::KV);
    let session = world.session();
    let mut all: Vec<_> = (0..3).map(|_| world.push(1_000, once(session, 0, 0, &["INCR", "n"]))).collect();
    world.drain();
    for answer in &mut all {
        assert_eq!(answer.try_recv(), Ok(reply(":1\r\n")));
    }
}

#[test]
fn refusals_and_failures_are_kept_as_replies_are() {
    let mut world = World::with_engine(outboard_embedded::KV);
    let session = world.session();
    assert_eq!(world.call(&["SET", "n", "word"]), reply("+OK\r\n"));
    let refused = world.apply(once(session, 0, 0, &["INCR", "n"]));
    assert!(matches!(&refused, Response::Rejected(text) if text.contains("not an integer")), "{refused:?}");
    assert_eq!(world.call(&["SET", "n", "1"]), reply("+OK\r\n"));
    assert_eq!(world.apply(once(session, 0, 0, &["INCR", "n"])), refused, "it would succeed now");
    let mut world = World::with_engine(outboard_embedded::CHAOS);
    let session = world.session();
    let failed = world.apply(once(session, 0, 0, &["TRAP", "k"]));
    assert!(matches!(failed, Response::Failed(_)));
    assert_eq!(world.apply(once(session, 0, 0, &["TRAP", "k"])), failed);
}

#[test]
fn a_retry_after_a_restart_and_over_an_upgrade_gets_the_first_reply() {
    let mut world = World::with_engine(outboard_embedded::KV_BASIC);
    let session = world.session();
    let refused = world.apply(once(session, 0, 0, &["INCR", "n"]));
    assert!(matches!(refused, Response::Rejected(_)), "kv-basic has no INCR");
    assert_eq!(world.apply(once(session, 1, 0, &["SET", "k", "old"])), reply("+OK\r\n"));
    world.reopen();
    world.upgrade(outboard_embedded::KV_BASIC, outboard_embedded::KV);
    assert_eq!(world.apply(once(session, 2, 0, &["SET", "k", "new"])), reply("+OK\r\n"));
    world.reopen();
    assert_eq!(world.apply(once(session, 0, 0, &["INCR", "n"])), refused, "as it was decided on the old engine");
    assert_eq!(world.apply(once(session, 1, 0, &["SET", "k", "old"])), reply("+OK\r\n"));
    assert_eq!(world.call(&["GETDEL", "k"]), reply("$3\r\nnew\r\n"), "the retries wrote nothing");
}

#[test]
fn sessions_and_watchers_come_with_a_snapshot() {
    let mut world = World::with_engine(outboard_embedded::KV);
    let session = world.session();
    assert_eq!(world.apply(once(session, 0, 0, &["INCR", "n"])), reply(":1\r\n"));
    let watcher = world.watch(&["n"], None);
    let broken = world.watch(&["m"], None);
    assert_eq!(world.call(&["SET", "m", "1"]), reply("+OK\r\n"));
    let (meta, view) = (world.machine.head().snapshot_meta(), world.store.view());
    let mut other = World::new();
    other.insert(outboard_embedded::KV);
    other.machine.install(&meta, view.records()).expect("memory");
    other.next = world.next;
    for world in [&mut world, &mut other] {
        assert_eq!(world.apply(once(session, 0, 0, &["INCR", "n"])), reply(":1\r\n"));
        assert_eq!(world.apply(transaction("GET n", Some(watcher))), replies(&["$1\r\n1\r\n"]));
        assert_eq!(world.apply(transaction("GET n", Some(broken))), Response::WatchBroken);
    }
    assert_eq!(world.chain(), other.chain());
}

#[test]
fn a_session_expires_by_the_log_s_time_and_says_so() {
    let mut world = World::with_engine(outboard_embedded::KV);
    let session = world.session();
    let late = 1_000 + SESSION_IDLE_MS_MAX;
    assert_eq!(world.apply_at(late, once(session, 0, 0, &["INCR", "n"])), reply(":1\r\n"));
    world.reopen();
    assert_eq!(world.apply_at(late + SESSION_IDLE_MS_MAX, once(session, 0, 0, &["INCR", "n"])), reply(":1\r\n"));
    let gone = world.apply_at(late + 2 * SESSION_IDLE_MS_MAX + 1, once(session, 1, 0, &["INCR", "n"]));
    assert_eq!(gone, Response::SessionGone);
    assert_eq!(world.call(&["INCR", "n"]), reply(":2\r\n"), "what its session is gone for was not done");
}

#[test]
fn what_is_settled_or_closed_is_forgotten() {
    let mut world = World::with_engine(outboard_embedded::KV);
    let session = world.session();
    assert_eq!(world.apply(once(session, 0, 0, &["INCR", "n"])), reply(":1\r\n"));
    assert_eq!(world.apply(once(session, 1, 1, &["INCR", "n"])), reply(":2\r\n"));
    assert_eq!(world.apply(once(session, 0, 0, &["INCR", "n"])), Response::Forgotten);
    assert_eq!(world.apply(Command::SessionClose { session }), Response::Done);
    assert_eq!(world.apply(once(session, 1, 1, &["INCR", "n"])), Response::SessionGone);
    assert_eq!(world.apply(Command::SessionClose { session }), Response::Done, "closing twice is closing");
    world.reopen();
    assert_eq!(world.apply(once(session, 1, 1, &["INCR", "n"])), Response::SessionGone);
}

#[test]
fn machines_that_cut_their_batches_differently_or_restart_have_the_same_chain() {
    let (mut one, mut other) = (World::with_engine(outboard_embedded::KV), World::with_engine(outboard_embedded::KV));
    let (session, _) = (one.session(), other.session());
    for round in 0..60 {
        // Each request comes twice, some much later.
        let sequence = (round * 7) % 20;
        let words = ["APPEND", "k", "x"];
        one.apply(once(session, sequence, 0, &words));
        other.push(1_000, once(session, sequence, 0, &words));
        if round % 13 == 0 {
            one.reopen();
        }
    }
    other.drain();
    assert_eq!(one.call(&["STRLEN", "k"]), reply(":20\r\n"));
    assert_eq!(other.call(&["STRLEN", "k"]), reply(":20\r\n"));
    assert_eq!(one.chain(), other.chain());
}

#[test]
fn a_session_is_written_once_for_a_batch() {
    let mut world = World::with_engine(outboard_embedded::KV);
    let session = world.session();
    let bytes = |world: &World| {
        let records = world.store.view().records();
        let control = records.map(|record| record.expect("memory")).filter(|(table, _, _)| table.generation() == 0);
        control.map(|(table, _, value)| (table.number(), value.len())).collect::<Vec<_>>()
    };
    for sequence in 0..100 {
        world.push(1_000, once(session, sequence, sequence, &["INCR", "n"]));
    }
    world.drain();
    let tables: Vec<u32> = bytes(&world).iter().map(|(table, _)| *table).collect();
    assert_eq!(tables, [0, 1, 3], "the head, the engine, one session");
    assert!(bytes(&world)[2].1 < 64, "one reply is kept: the others are settled");
}
