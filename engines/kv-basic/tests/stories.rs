//! The teaching engine, played through. An engine is tested like any function: no cluster, no sandbox.

use kv_basic::ENGINE;
use outboard_sdk::testing::{Bench, script};

#[test]
fn what_was_set_is_read_until_it_is_deleted() {
    script(
        &ENGINE,
        r#"
        GET name                => (nil)
        SET name Ana            => OK
        GET name                => "Ana"
        SET name "Ana Maria"    => OK
        get name                => "Ana Maria"
        EXISTS name name nobody => (integer) 2
        DEL name nobody name    => (integer) 1
        GET name                => (nil)
        SET empty ""            => OK
        GET empty               => ""
        "#,
    );
}

#[test]
fn keys_are_found_by_pattern() {
    script(
        &ENGINE,
        r#"
        KEYS *       => (empty array)
        SET user/2 b => OK
        SET user/1 a => OK
        SET x c      => OK
        KEYS user/*  =>
            | 1) "user/1"
            | 2) "user/2"
        KEYS ?       => 1) "x"
        KEYS u[^r]*1 => 1) "user/1"
        "#,
    );
}

#[test]
fn what_does_not_fit_is_answered_in_the_words_of_redis() {
    script(
        &ENGINE,
        r#"
        SET k           => (error) ERR wrong number of arguments for 'set' command
        SET k v EX 10   => (error) ERR wrong number of arguments for 'set' command
        GET             => (error) ERR wrong number of arguments for 'get' command
        DEL             => (error) ERR wrong number of arguments for 'del' command
        INCR k          => (error) ERR unknown command 'INCR', with args beginning with: 'k'
        "#,
    );
    let mut bench = Bench::new(&ENGINE);
    let long = vec![b'k'; 65_281];
    assert_eq!(bench.call(&[&b"SET"[..], &long, b"v"]), Err("ERR key is too long".to_owned()));
    assert!(bench.call(&[&b"SET"[..], &long[1..], b"v"]).is_ok());
}

#[test]
fn the_tables_hold_what_schema_1_says() {
    let mut bench = script(&ENGINE, "SET a 1 => OK\nSET b 2 => OK\nSET a 3 => OK");
    let count = |bench: &Bench| bench.tables().records().find(|record| record.0 == 1).map(|record| record.2.to_vec());
    assert_eq!(count(&bench), Some(2u64.to_le_bytes().to_vec()));
    assert_eq!((bench.tables().len(0), bench.tables().len(3)), (2, 2));
    assert_eq!(bench.tables().records().next(), Some((0, &b"a"[..], &b"\x003"[..])));
    assert_eq!(bench.run("DEL a b"), "(integer) 2");
    assert_eq!(count(&bench), Some(0u64.to_le_bytes().to_vec()));
    assert_eq!((bench.tables().len(0), bench.tables().len(3)), (0, 0));
}
