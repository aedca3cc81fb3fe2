//! `kv` takes over the tables of `kv-basic`, back and forth, as a live upgrade and its rollback do.

use outboard_sdk::testing::{Bench, play, script};

#[test]
fn kv_goes_on_where_kv_basic_stopped() {
    let mut bench =
        script(&kv_basic::ENGINE, "SET a 1 => OK\nSET b 2 => OK\nSET b 3 => OK\nSET c 4 => OK\nDEL c => (integer) 1");
    bench.upgrade(&kv::ENGINE);
    play(
        &mut bench,
        r#"
        GET a            => "1"
        DBSIZE           => (integer) 2
        INCR b           => (integer) 4
        SCAN 0 MATCH a   =>
            | 1) "0"
            | 2) 1) "a"
        EXPIRE a 10      => (integer) 1
        .wait 10001
        GET a            => (nil)
        DEL b            => (integer) 1
        SET new v        => OK
        "#,
    );
}

#[test]
fn kv_basic_may_come_back_and_leave_again() {
    let mut bench = script(
        &kv::ENGINE,
        "SET old 1 EX 10 => OK\nSET fresh 1 EX 10 => OK\nSET gone 1 EX 10 => OK\nSET plain 1 => OK",
    );
    bench.upgrade(&kv_basic::ENGINE);
    // It knows no expiry: what it writes stays.
    play(&mut bench, "GET old => \"1\"\nSET fresh 2 => OK\nDEL gone => (integer) 1\nSET added 1 => OK");
    bench.upgrade(&kv::ENGINE);
    play(
        &mut bench,
        "DBSIZE => (integer) 4\n.wait 10001\nGET old => (nil)\nGET fresh => \"2\"\nTTL fresh => (integer) -1",
    );
    for _ in 0..64 {
        bench.run("INCR sweeps");
    }
    play(
        &mut bench,
        r#"
        KEYS *           =>
            | 1) "added"
            | 2) "fresh"
            | 3) "plain"
            | 4) "sweeps"
        DBSIZE           => (integer) 4
        "#,
    );
    assert_eq!(bench.tables().len(2), 0, "expiries that no record confirms are thrown away");
}

#[test]
fn what_both_can_do_they_do_to_the_same_bytes() {
    let story = "SET a 1 => OK\nSET b 2 => OK\nSET a 3 => OK\nDEL b => (integer) 1\nSET c 4 => OK";
    let records =
        |bench: &Bench| bench.tables().records().map(|(t, k, v)| (t, k.to_vec(), v.to_vec())).collect::<Vec<_>>();
    assert_eq!(records(&script(&kv_basic::ENGINE, story)), records(&script(&kv::ENGINE, story)));
}
