//! Stories of time.

use kv::ENGINE;
use outboard_sdk::testing::{Bench, script};

#[test]
fn a_key_lives_through_its_last_millisecond() {
    script(
        &ENGINE,
        r#"
        SET k v PX 100 => OK
        .wait 100
        GET k          => "v"
        PTTL k         => (integer) 0
        .wait 1
        GET k          => (nil)
        EXISTS k       => (integer) 0
        STRLEN k       => (integer) 0
        TYPE k         => none
        TTL k          => (integer) -2
        KEYS *         => (empty array)
        SCAN 0         =>
            | 1) "0"
            | 2) (empty array)
        # Nobody has written yet: the record is still there and counted, as in Redis.
        DBSIZE         => (integer) 1
        DEL k          => (integer) 0
        DBSIZE         => (integer) 0
        "#,
    );
}

#[test]
fn a_write_that_meets_an_expired_key_begins_anew() {
    script(
        &ENGINE,
        r#"
        MSET n 7 s old c old x old g old => OK
        PEXPIRE n 10     => (integer) 1
        PEXPIRE s 10     => (integer) 1
        PEXPIRE c 10     => (integer) 1
        PEXPIRE x 10     => (integer) 1
        PEXPIRE g 10     => (integer) 1
        .wait 11
        INCR n           => (integer) 1
        TTL n            => (integer) -1
        APPEND s new     => (integer) 3
        CAS c old new    => (nil)
        SET x new XX     => (nil)
        SET x new NX GET => (nil)
        GET x            => "new"
        SET g new KEEPTTL => OK
        TTL g            => (integer) -1
        DBSIZE           => (integer) 4
        "#,
    );
}

#[test]
fn the_time_left_can_be_set_asked_and_lifted() {
    script(
        &ENGINE,
        r#"
        EXPIRE k 10           => (integer) 0
        SET k v               => OK
        TTL k                 => (integer) -1
        PERSIST k             => (integer) 0
        EXPIRE k 10           => (integer) 1
        .wait 400
        TTL k                 => (integer) 10
        PTTL k                => (integer) 9600
        .wait 200
        TTL k                 => (integer) 9
        PERSIST k             => (integer) 1
        PERSIST none          => (integer) 0
        PTTL k                => (integer) -1
        PEXPIRE k 5           => (integer) 1
        .wait 6
        GET k                 => (nil)
        SET k v               => OK
        EXPIRE k 0            => (integer) 1
        EXISTS k              => (integer) 0
        SET k v               => OK
        EXPIRE k -5           => (integer) 1
        DBSIZE                => (integer) 0
        "#,
    );
}

#[test]
fn an_end_can_be_said_and_asked_as_a_point_in_time() {
    script(
        &ENGINE,
        r#"
        EXPIRETIME k                => (integer) -2
        SET k v                     => OK
        PEXPIRETIME k               => (integer) -1
        EXPIREAT k 1700000010       => (integer) 1
        PTTL k                      => (integer) 10000
        PEXPIREAT k 1700000010500   => (integer) 1
        EXPIRETIME k                => (integer) 1700000011
        PEXPIRETIME k               => (integer) 1700000010500
        EXPIREAT k 1700000005 GT    => (integer) 0
        PEXPIREAT k 9223372036854775807 => (integer) 1
        PEXPIRETIME k               => (integer) 9223372036854775807
        EXPIRETIME k                => (integer) 9223372036854776
        EXPIREAT k 9223372036854776 => (error) ERR invalid expire time in 'expireat' command
        EXPIREAT k 1700000000       => (integer) 1
        DBSIZE                      => (integer) 0
        "#,
    );
}

#[test]
fn expire_obeys_its_conditions() {
    script(
        &ENGINE,
        r#"
        SET k v                        => OK
        EXPIRE k 10 XX                 => (integer) 0
        EXPIRE k 10 GT                 => (integer) 0
        EXPIRE k 10 LT                 => (integer) 1
        EXPIRE k 20 NX                 => (integer) 0
        EXPIRE k 20 LT                 => (integer) 0
        EXPIRE k 20 GT                 => (integer) 1
        EXPIRE k 20 GT                 => (integer) 0
        EXPIRE k 30 XX                 => (integer) 1
        TTL k                          => (integer) 30
        EXPIRE k 10 NX GT              => (error) ERR NX and XX, GT or LT options at the same time are not compatible
        EXPIRE k 10 GT LT              => (error) ERR GT and LT options at the same time are not compatible
        EXPIRE k x soon                => (error) ERR Unsupported option soon
        EXPIRE k x                     => (error) ERR value is not an integer or out of range
        EXPIRE k 9223372036854775807   => (error) ERR invalid expire time in 'expire' command
        PEXPIRE k 9223372036854775807  => (error) ERR invalid expire time in 'pexpire' command
        EXPIRE k                       => (error) ERR wrong number of arguments for 'expire' command
        TTL k                          => (integer) 30
        "#,
    );
}

#[test]
fn what_has_expired_is_swept_away_by_other_writes() {
    let mut bench = Bench::new(&ENGINE);
    for key in 0..1000 {
        bench.run(&format!("SET session/{key} v PX {}", 10 + key % 5));
    }
    bench.run("SET stays v EX 1000");
    bench.advance_ms(20);
    assert_eq!(bench.run("DBSIZE"), "(integer) 1001");
    // 256 keys at every 64th command.
    for _ in 0..4 * 64 {
        bench.run("INCR counter");
    }
    assert_eq!(bench.run("DBSIZE"), "(integer) 2");
    let lens = [0, 2, 3].map(|table| bench.tables().len(table));
    assert_eq!(lens, [2, 1, 2], "records, expiries, order");
}

#[test]
fn expiring_keys_never_pile_up() {
    let mut bench = Bench::new(&ENGINE);
    for key in 0..5000 {
        bench.run(&format!("SET session/{key} v PX 10"));
        bench.advance_ms(1);
    }
    let records = bench.tables().len(0);
    assert!(records < 100, "{records} records where eleven are live");
}
