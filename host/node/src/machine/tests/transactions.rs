//! Several commands as one, and watched keys.

use super::*;
use outboard_wire::limits::{TRANSACTION_COMMANDS_MAX, WATCHER_AGE_MS_MAX};

impl World {
    pub(super) fn watch(&mut self, keys: &[&str], watcher: Option<u64>) -> u64 {
        let watched = self.apply(Command::Watch { watcher, keys: blobs(keys) });
        let Response::Watching { watcher } = watched else { panic!("not watched: {watched:?}") };
        watcher
    }

    fn exec(&mut self, lines: &str, watcher: Option<u64>) -> Response {
        self.apply(transaction(lines, watcher))
    }
}

#[test]
fn commands_of_a_transaction_see_one_another_s_writes_and_reads_are_among_them() {
    let mut world = World::with_engine(outboard_embedded::KV);
    let done = world.exec("SET a 1;INCR a;GET a;SET b x;MGET a b none", None);
    assert_eq!(done, replies(&["+OK\r\n", ":2\r\n", "$1\r\n2\r\n", "+OK\r\n", "*3\r\n$1\r\n2\r\n$1\r\nx\r\n_\r\n"]));
    assert_eq!(world.call(&["GETDEL", "a"]), reply("$1\r\n2\r\n"));
}

#[test]
fn a_refusal_in_the_middle_leaves_nothing_and_tells_which_command_it_was() {
    let mut world = World::with_engine(outboard_embedded::KV);
    assert_eq!(world.call(&["SET", "w", "word"]), reply("+OK\r\n"));
    let refused = world.exec("SET a 1;DEL w;SET w x;INCR w;SET b 1", None);
    let Response::Rejected(text) = refused else { panic!("{refused:?}") };
    assert!(text.starts_with("ERR value is not an integer") && text.contains("command 4 of the transaction"), "{text}");
    assert_eq!(world.exec("EXISTS a;EXISTS b;GET w", None), replies(&[":0\r\n", ":0\r\n", "$4\r\nword\r\n"]));
}

#[test]
fn a_trap_in_the_third_command_leaves_nothing() {
    let mut world = World::with_engine(outboard_embedded::CHAOS);
    for harm in ["TRAP k", "SPIN k", "EAT k", "RECURSE k", "HUGE k 20000000", "BIGKEY 70000", "GARBAGE k cut"] {
        let failed = world.exec(&format!("SET a 1;SET b 1;{harm};SET c 1"), None);
        assert!(matches!(&failed, Response::Failed(text) if text.contains("command 3 of")), "{harm}: {failed:?}");
    }
    assert_eq!(world.exec("GET a;GET b;GET c;GET k", None), replies(&["_\r\n"; 4]));
    assert_eq!(world.exec("SET a 1;GET a", None), replies(&["+OK\r\n", "$1\r\n1\r\n"]), "the engine lives");
}

#[test]
fn a_transaction_is_the_same_on_a_warm_instance_and_on_a_fresh_one() {
    let (mut warm, mut cold) =
        (World::with_engine(outboard_embedded::CHAOS), World::with_engine(outboard_embedded::CHAOS));
    for world in [&mut warm, &mut cold] {
        assert_eq!(world.call(&["SET", "a", "0"]), reply("+OK\r\n"));
    }
    cold.reopen();
    let lines = "SET a 1;HUGE h 3000000;WRITEMANY 1000 100;GET a;SET b 2";
    let done = warm.exec(lines, None);
    assert!(matches!(&done, Response::Replies(replies) if replies.len() == 5 && &replies[3][..] == b"$1\r\n1\r\n"));
    assert_eq!(cold.exec(lines, None), done);
    assert_eq!(warm.machine.head().chain, cold.machine.head().chain);
    assert_eq!(warm.exec("GET a;GET b", None), replies(&["$1\r\n1\r\n", "$1\r\n2\r\n"]));
}

#[test]
fn a_read_that_writes_past_its_types_ends_a_transaction() {
    let mut world = World::with_engine(outboard_embedded::CHAOS);
    let failed = world.exec("SET a 1;WRITEQ a 2", None);
    assert!(matches!(&failed, Response::Failed(text) if text.contains("may only read")), "{failed:?}");
    assert_eq!(world.exec("GET a", None), replies(&["_\r\n"]));
}

#[test]
fn what_a_transaction_writes_and_answers_together_is_bounded() {
    let mut world = World::with_engine(outboard_embedded::CHAOS);
    let many: Vec<String> = (0..70).map(|n| format!("BIGVALUE k{n} 1000000")).collect();
    let failed = world.exec(&many.join(";"), None);
    assert!(matches!(&failed, Response::Failed(text) if text.contains("over the limit")), "{failed:?}");
    assert_eq!(world.exec("GET k0", None), replies(&["_\r\n"]));
    let failed = world.exec("HUGE a 5000000;HUGE b 5000000", None);
    assert!(matches!(&failed, Response::Failed(text) if text.contains("command 2 of")), "{failed:?}");
    let too_many = vec!["GET a"; TRANSACTION_COMMANDS_MAX + 1].join(";");
    assert!(matches!(world.exec(&too_many, None), Response::Invalid(_)));
}

#[test]
fn a_transaction_s_retry_is_answered_with_the_first_replies() {
    let mut world = World::with_engine(outboard_embedded::KV);
    let Response::SessionOpened { session } = world.apply(Command::SessionOpen) else { panic!("no session") };
    let id = RequestId { session, sequence: 0, settled_below: 0 };
    let watcher = world.watch(&["n"], None);
    let commands = || vec![blobs(&["INCR", "n"]), blobs(&["INCR", "n"])];
    for _ in 0..2 {
        let again = Command::Transaction { commands: commands(), watcher: Some(watcher), id: Some(id) };
        assert_eq!(world.apply(again), replies(&[":1\r\n", ":2\r\n"]), "though its watcher is used up");
        world.reopen();
    }
    let id = RequestId { sequence: 1, ..id };
    for _ in 0..2 {
        let broken = Command::Transaction { commands: commands(), watcher: Some(watcher), id: Some(id) };
        assert_eq!(world.apply(broken), Response::WatchBroken);
    }
    assert_eq!(world.call(&["INCR", "n"]), reply(":3\r\n"));
}

#[test]
fn a_watched_key_that_is_written_stops_the_transaction_and_any_other_does_not() {
    let mut world = World::with_engine(outboard_embedded::KV);
    for (write, stops) in [
        ("SET a 1", true),
        ("SET z 1", false),
        ("MSET z 1 a 2", true),
        ("MSET z a y a", false),
        ("DEL none", false),
        ("DEL none a", true),
        ("SETNX z 1", false),
        ("EXPIRE b 100", true),
        ("APPEND b x", true),
    ] {
        world.call(&["SET", "b", "1"]);
        let watcher = world.watch(&["a", "b"], None);
        world.call(&write.split(' ').collect::<Vec<_>>());
        let done = world.exec("GET none", Some(watcher));
        assert_eq!(done == Response::WatchBroken, stops, "{write}: {done:?}");
    }
}

#[test]
fn a_write_of_which_no_keys_are_known_stops_every_transaction() {
    let mut world = World::with_engine(outboard_embedded::CHAOS);
    let watcher = world.watch(&["a"], None);
    let other = world.watch(&["b"], None);
    assert_eq!(world.call(&["WRITEMANY", "1", "1"]), reply(":1\r\n"));
    assert_eq!(world.exec("GET a", Some(watcher)), Response::WatchBroken);
    assert_eq!(world.exec("GET a", Some(other)), Response::WatchBroken);
}

#[test]
fn a_transaction_s_writes_count_for_other_watchers_when_it_succeeds_and_only_then() {
    let mut world = World::with_engine(outboard_embedded::KV);
    let (mine, other) = (world.watch(&["a"], None), world.watch(&["a"], None));
    assert!(matches!(world.exec("SET a x;INCR a", None), Response::Rejected(_)));
    assert_eq!(world.exec("SET a 1", Some(mine)), replies(&["+OK\r\n"]));
    assert_eq!(world.exec("SET a 2", Some(other)), Response::WatchBroken);
    assert_eq!(world.exec("GET a", Some(mine)), Response::WatchBroken, "used up");
}

#[test]
fn a_watcher_survives_a_restart_and_an_upgrade_and_ends_by_time_or_by_word() {
    let mut world = World::with_engine(outboard_embedded::KV_BASIC);
    let (intact, broken) = (world.watch(&["a"], None), world.watch(&["b"], None));
    assert_eq!(world.watch(&["c"], Some(intact)), intact);
    world.reopen();
    assert_eq!(world.call(&["SET", "b", "1"]), reply("+OK\r\n"));
    world.upgrade(outboard_embedded::KV_BASIC, outboard_embedded::KV);
    world.reopen();
    assert_eq!(world.exec("SET a 1", Some(broken)), Response::WatchBroken);
    assert_eq!(world.exec("SET a 1", Some(intact)), replies(&["+OK\r\n"]));
    let (left, late) = (world.watch(&["a"], None), world.watch(&["a"], None));
    assert_eq!(world.apply(Command::Unwatch { watcher: left }), Response::Done);
    assert_eq!(world.exec("GET a", Some(left)), Response::WatchBroken);
    let time_ms = 1_000 + WATCHER_AGE_MS_MAX + 1;
    assert_eq!(world.apply_at(time_ms, transaction("GET a", Some(late))), Response::WatchBroken);
}

#[test]
fn machines_that_cut_their_batches_differently_agree_on_transactions_and_watchers() {
    let (mut one, mut other) = (World::with_engine(outboard_embedded::KV), World::with_engine(outboard_embedded::KV));
    for round in 0..30 {
        let watcher = one.next;
        let (key, value) = (format!("k{}", round % 3), round.to_string());
        let exec = format!("SET {key} {value};INCR {key};INCR total");
        let steps = |world: &mut World| {
            world.push(1_000, Command::Watch { watcher: None, keys: vec![Blob(key.as_bytes())] });
            if round % 2 == 0 {
                world.push(1_000, engine_command(&["APPEND", "k1", "1"]));
            }
            world.push(1_000, transaction(&exec, Some(watcher)));
        };
        steps(&mut one);
        steps(&mut other);
        one.drain();
        if round % 7 == 0 {
            one.reopen();
        }
    }
    other.drain();
    assert_eq!(one.call(&["GETDEL", "total"]), other.call(&["GETDEL", "total"]));
    assert_eq!(one.machine.head().chain, other.machine.head().chain);
}
