//! Stories of the commands on values and counters.

use kv::ENGINE;
use outboard_sdk::testing::{Bench, script};

#[test]
fn what_was_set_is_read() {
    script(
        &ENGINE,
        r#"
        GET k                  => (nil)
        SET k v                => OK
        get k                  => "v"
        SET k "\x00\r\n\xff"   => OK
        GET k                  => "\x00\r\n\xff"
        SET k ""               => OK
        GET k                  => ""
        SET "" empty           => OK
        GET ""                 => "empty"
        "#,
    );
}

#[test]
fn set_obeys_its_conditions() {
    script(
        &ENGINE,
        r#"
        SET k 1 XX      => (nil)
        GET k           => (nil)
        SET k 1 NX      => OK
        SET k 2 nx      => (nil)
        GET k           => "1"
        SET k 2 XX      => OK
        GET k           => "2"
        SET k 3 GET     => "2"
        SET k 4 NX GET  => "3"
        GET k           => "3"
        SET new 1 GET   => (nil)
        GET new         => "1"
        SET no 1 XX GET => (nil)
        GET no          => (nil)
        SETNX k 9       => (integer) 0
        SETNX n 9       => (integer) 1
        GET n           => "9"
        "#,
    );
}

#[test]
fn set_takes_a_lifetime_in_every_unit() {
    script(
        &ENGINE,
        r#"
        SET k v EX 10                          => OK
        PTTL k                                 => (integer) 10000
        SET k v PX 1500                        => OK
        PTTL k                                 => (integer) 1500
        TTL k                                  => (integer) 2
        SET k v EXAT 1700000020                => OK
        PTTL k                                 => (integer) 20000
        SET k v PXAT 1700000000700 GET         => "v"
        PTTL k                                 => (integer) 700
        SET k w KEEPTTL                        => OK
        PTTL k                                 => (integer) 700
        SET k w                                => OK
        PTTL k                                 => (integer) -1
        SET k w KEEPTTL                        => OK
        PTTL k                                 => (integer) -1
        SET k w PXAT 1                         => OK
        GET k                                  => (nil)
        "#,
    );
}

#[test]
fn set_refuses_words_that_contradict_each_other() {
    script(
        &ENGINE,
        r#"
        SET k v NX XX                  => (error) ERR syntax error
        SET k v EX                     => (error) ERR syntax error
        SET k v EX 10 PX 10            => (error) ERR syntax error
        SET k v EX 10 KEEPTTL          => (error) ERR syntax error
        SET k v KEEPTTL PX 10          => (error) ERR syntax error
        SET k v LATER                  => (error) ERR syntax error
        SET k v EX ten                 => (error) ERR value is not an integer or out of range
        SET k v EX ten LATER           => (error) ERR syntax error
        SET k v EX 0                   => (error) ERR invalid expire time in 'set' command
        SET k v PX -1                  => (error) ERR invalid expire time in 'set' command
        SET k v EX 9223372036854775807 => (error) ERR invalid expire time in 'set' command
        SET k v PX 9223372036854775807 => (error) ERR invalid expire time in 'set' command
        SET k v EXAT 0                 => (error) ERR invalid expire time in 'set' command
        SET k                          => (error) ERR wrong number of arguments for 'set' command
        EXISTS k                       => (integer) 0
        SET k v EX 10 EX 20 NX NX      => OK
        TTL k                          => (integer) 20
        "#,
    );
}

#[test]
fn many_are_read_and_set_at_once() {
    script(
        &ENGINE,
        r#"
        MSET a 1 b 2 a 3 => OK
        MGET a b c a     =>
            | 1) "3"
            | 2) "2"
            | 3) (nil)
            | 4) "3"
        DBSIZE           => (integer) 2
        EXPIRE a 10      => (integer) 1
        MSET a 4         => OK
        TTL a            => (integer) -1
        MSET a 1 b       => (error) ERR wrong number of arguments for 'mset' command
        MGET             => (error) ERR wrong number of arguments for 'mget' command
        "#,
    );
}

#[test]
fn values_are_appended_to_measured_and_taken() {
    script(
        &ENGINE,
        r#"
        APPEND k Ana      => (integer) 3
        APPEND k " Maria" => (integer) 9
        GET k             => "Ana Maria"
        STRLEN k          => (integer) 9
        STRLEN none       => (integer) 0
        EXPIRE k 10       => (integer) 1
        APPEND k !        => (integer) 10
        TTL k             => (integer) 10
        GETDEL k          => "Ana Maria!"
        GETDEL k          => (nil)
        EXISTS k          => (integer) 0
        "#,
    );
}

#[test]
fn cas_sets_only_what_is_as_expected() {
    script(
        &ENGINE,
        r#"
        CAS k 1 2   => (nil)
        SET k 1     => OK
        CAS k 0 2   => (integer) 0
        GET k       => "1"
        EXPIRE k 10 => (integer) 1
        CAS k 1 2   => (integer) 1
        GET k       => "2"
        TTL k       => (integer) 10
        CAS k 2     => (error) ERR wrong number of arguments for 'cas' command
        "#,
    );
}

#[test]
fn counters_count_within_64_bits() {
    script(
        &ENGINE,
        r#"
        INCR n                        => (integer) 1
        INCRBY n 41                   => (integer) 42
        DECR n                        => (integer) 41
        DECRBY n 50                   => (integer) -9
        GET n                         => "-9"
        EXPIRE n 10                   => (integer) 1
        INCR n                        => (integer) -8
        TTL n                         => (integer) 10
        SET n 9223372036854775807     => OK
        INCR n                        => (error) ERR increment or decrement would overflow
        GET n                         => "9223372036854775807"
        SET n -9223372036854775808    => OK
        DECR n                        => (error) ERR increment or decrement would overflow
        DECRBY n -9223372036854775808 => (error) ERR decrement would overflow
        INCRBY n x                    => (error) ERR value is not an integer or out of range
        SET n 01                      => OK
        INCR n                        => (error) ERR value is not an integer or out of range
        SET n ""                      => OK
        INCR n                        => (error) ERR value is not an integer or out of range
        "#,
    );
}

#[test]
fn a_value_may_fill_the_limit_and_not_exceed_it() {
    const LIMIT: usize = 1 << 20;
    let mut bench = Bench::new(&ENGINE);
    let value = vec![b'v'; LIMIT];
    let too_long = Err("ERR string exceeds maximum allowed size (proto-max-bulk-len)".to_owned());
    assert!(bench.call(&[&b"SET"[..], b"k", &value]).is_ok());
    assert_eq!(bench.run("EXPIRE k 10"), "(integer) 1");
    assert_eq!(bench.run("STRLEN k"), format!("(integer) {LIMIT}"));
    assert_eq!(bench.call(&["APPEND", "k", "x"]), too_long);
    assert_eq!(bench.call(&[&b"SET"[..], b"new", &vec![b'v'; LIMIT + 1]]), too_long);
    assert_eq!(bench.run("DBSIZE"), "(integer) 1");

    let key = vec![b'k'; (64 << 10) - 256];
    assert!(bench.call(&[&b"SET"[..], &key, b"v", b"EX", b"10"]).is_ok());
    let longer = vec![b'k'; (64 << 10) - 255];
    assert_eq!(bench.call(&[&b"SET"[..], &longer, b"v"]), Err("ERR key is too long".to_owned()));
    assert_eq!(bench.call(&[&b"GET"[..], &longer]), Ok(b"_\r\n".to_vec()));
}

#[test]
fn older_words_for_set_do_parts_of_it() {
    script(
        &ENGINE,
        r#"
        SETEX k 10 v      => OK
        TTL k             => (integer) 10
        PSETEX k 1500 w   => OK
        PTTL k            => (integer) 1500
        GETSET k x        => "w"
        TTL k             => (integer) -1
        GETSET new 1      => (nil)
        GET new           => "1"
        SETEX k 0 v       => (error) ERR invalid expire time in 'setex' command
        PSETEX k ten v    => (error) ERR value is not an integer or out of range
        GET k             => "x"
        MSETNX a 1 b 2    => (integer) 1
        MSETNX c 3 a 4    => (integer) 0
        MGET a b c        =>
            | 1) "1"
            | 2) "2"
            | 3) (nil)
        "#,
    );
}

#[test]
fn getex_reads_and_moves_the_end() {
    script(
        &ENGINE,
        r#"
        GETEX k EX 10              => (nil)
        SET k v                    => OK
        GETEX k                    => "v"
        TTL k                      => (integer) -1
        GETEX k PX 1500            => "v"
        PTTL k                     => (integer) 1500
        GETEX k                    => "v"
        PTTL k                     => (integer) 1500
        GETEX k PERSIST            => "v"
        PTTL k                     => (integer) -1
        GETEX k EX 10 PERSIST      => (error) ERR syntax error
        GETEX k PERSIST EX 10      => (error) ERR syntax error
        GETEX k EX 10 PX 10        => (error) ERR syntax error
        GETEX k EX 0               => (error) ERR invalid expire time in 'getex' command
        GETEX k EXAT 1700000020    => "v"
        PEXPIRETIME k              => (integer) 1700000020000
        # What has passed already removes the key at once.
        GETEX k PXAT 1700000000000 => "v"
        DBSIZE                     => (integer) 0
        "#,
    );
}

#[test]
fn parts_of_a_value_are_read_and_written() {
    script(
        &ENGINE,
        r#"
        SET k "Hello World"       => OK
        GETRANGE k 0 4            => "Hello"
        GETRANGE k -5 -1          => "World"
        GETRANGE k -1 -5          => ""
        GETRANGE none 0 -1        => ""
        EXPIRE k 10               => (integer) 1
        SETRANGE k 6 Redis        => (integer) 11
        GET k                     => "Hello Redis"
        TTL k                     => (integer) 10
        SETRANGE new 2 x          => (integer) 3
        GET new                   => "\x00\x00x"
        SETRANGE none 0 ""        => (integer) 0
        EXISTS none               => (integer) 0
        SETRANGE k -1 x           => (error) ERR offset is out of range
        SETRANGE k 1048576 x      => (error) ERR string exceeds maximum allowed size (proto-max-bulk-len)
        SETRANGE k 9223372036854775807 x => (error) ERR string exceeds maximum allowed size (proto-max-bulk-len)
        "#,
    );
}
