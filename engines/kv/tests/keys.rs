//! Stories of the commands on keys.

use std::collections::BTreeMap;

use kv::ENGINE;
use outboard_sdk::testing::{Bench, script};

#[test]
fn keys_are_counted_found_and_removed() {
    script(
        &ENGINE,
        r#"
        DBSIZE             => (integer) 0
        MSET a 1 b 2       => OK
        DBSIZE             => (integer) 2
        EXISTS a b c a     => (integer) 3
        TYPE a             => string
        TYPE c             => none
        DEL a c a          => (integer) 1
        DBSIZE             => (integer) 1
        SET b 3            => OK
        DBSIZE             => (integer) 1
        DBSIZE now         => (error) ERR wrong number of arguments for 'dbsize' command
        "#,
    );
}

#[test]
fn keys_fit_patterns() {
    script(
        &ENGINE,
        r#"
        MSET user/1 a user/2 b userx c x/1 d => OK
        KEYS user/*  =>
            | 1) "user/1"
            | 2) "user/2"
        KEYS *1      =>
            | 1) "user/1"
            | 2) "x/1"
        KEYS user[^/] => 1) "userx"
        KEYS nobody* => (empty array)
        KEYS         => (error) ERR wrong number of arguments for 'keys' command
        "#,
    );
}

/// Walks to the end; the keys and how often each came, and how many pages it took.
fn walk(bench: &mut Bench, options: &str, mut between: impl FnMut(&mut Bench, u32)) -> (BTreeMap<String, u32>, u32) {
    let (mut seen, mut cursor, mut pages) = (BTreeMap::new(), "0".to_owned(), 0);
    loop {
        let page = bench.run(&format!("SCAN {cursor} {options}"));
        pages += 1;
        let mut quoted = page.split('"').skip(1).step_by(2);
        cursor = quoted.next().expect("a page begins with its cursor").to_owned();
        for key in quoted {
            *seen.entry(key.to_owned()).or_default() += 1;
        }
        if cursor == "0" {
            return (seen, pages);
        }
        assert!(cursor.parse::<u64>().is_ok_and(|cursor| cursor < 1 << 53), "{cursor} is too long for some clients");
        between(bench, pages);
    }
}

#[test]
fn a_scan_brings_every_key_once_in_pages() {
    let mut bench = Bench::new(&ENGINE);
    for key in 0..500 {
        bench.run(&format!("SET user/{key:03} v"));
    }
    for (options, pages_expected) in [("", 50), ("COUNT 1", 500), ("COUNT 100", 5), ("COUNT 1000", 1)] {
        let (seen, pages) = walk(&mut bench, options, |_, _| ());
        assert_eq!(seen.len(), 500, "{options}");
        assert!(seen.values().all(|times| *times == 1), "{options}");
        assert_eq!(pages, pages_expected, "{options}");
    }
}

#[test]
fn a_scan_misses_nothing_while_other_keys_come_and_go() {
    let mut bench = Bench::new(&ENGINE);
    for key in 0..300 {
        bench.run(&format!("SET stays/{key} v"));
        bench.run(&format!("SET goes/{key} v"));
    }
    let (seen, _) = walk(&mut bench, "COUNT 7 MATCH stays/*", |bench, page| {
        bench.run(&format!("DEL goes/{page} goes/{}", 300 - page));
        bench.run(&format!("SET comes/{page} v"));
    });
    assert_eq!(seen.len(), 300);
    assert!(seen.iter().all(|(key, times)| key.starts_with("stays/") && *times == 1));
}

#[test]
fn a_scan_takes_redis_options_and_refuses_others() {
    script(
        &ENGINE,
        r#"
        SCAN 0               =>
            | 1) "0"
            | 2) (empty array)
        SET k v              => OK
        SCAN 0 TYPE STRING MATCH ? COUNT 5 =>
            | 1) "0"
            | 2) 1) "k"
        SCAN 0 TYPE hash     =>
            | 1) "0"
            | 2) (empty array)
        SCAN 18446744073709551615 =>
            | 1) "0"
            | 2) (empty array)
        SCAN 0 COUNT 0       => (error) ERR syntax error
        SCAN 0 COUNT x       => (error) ERR value is not an integer or out of range
        SCAN 0 COUNT         => (error) ERR syntax error
        SCAN 0 LIMIT 5       => (error) ERR syntax error
        SCAN zero            => (error) ERR invalid cursor
        SCAN 18446744073709551616 => (error) ERR invalid cursor
        "#,
    );
}

#[test]
fn the_manifest_names_every_command_with_its_keys() {
    let keys = |name: &str| {
        let command = ENGINE.command(name.as_bytes()).unwrap_or_else(|| panic!("{name} is missing"));
        assert!(command.summary.starts_with(name) && command.summary.contains(" -- "), "{}", command.summary);
        (command.writes(), command.shape.keys.first, command.shape.keys.last, command.shape.keys.step)
    };
    for writing in ENGINE.commands.iter().filter(|command| command.writes()).map(|command| command.name) {
        let positions = match writing {
            // They touch keys that their arguments don't name.
            "FLUSHALL" | "FLUSHDB" => (true, 0, 0, 0),
            "COPY" | "RENAME" | "RENAMENX" => (true, 1, 2, 1),
            "DEL" | "UNLINK" => (true, 1, -1, 1),
            "MSET" | "MSETNX" => (true, 1, -1, 2),
            _ => (true, 1, 1, 1),
        };
        assert_eq!(keys(writing), positions, "{writing}");
    }
    for reading in ENGINE.commands.iter().filter(|command| !command.writes()).map(|command| command.name) {
        let positions = match reading {
            "DBSIZE" | "KEYS" | "RANDOMKEY" | "SCAN" => (false, 0, 0, 0),
            "EXISTS" | "MGET" | "TOUCH" => (false, 1, -1, 1),
            _ => (false, 1, 1, 1),
        };
        assert_eq!(keys(reading), positions, "{reading}");
    }
    let writing = ENGINE.commands.iter().filter(|command| command.writes()).count();
    assert_eq!((writing, ENGINE.commands.len() - writing), (28, 15));
}

#[test]
fn values_move_to_other_keys_with_their_time() {
    script(
        &ENGINE,
        r#"
        RENAME a b          => (error) ERR no such key
        RENAMENX a b        => (error) ERR no such key
        SET a 1 PX 1500     => OK
        SET b 2             => OK
        RENAMENX a b        => (integer) 0
        RENAME a b          => OK
        MGET a b            =>
            | 1) (nil)
            | 2) "1"
        PTTL b              => (integer) 1500
        RENAME b b          => OK
        RENAMENX b b        => (integer) 0
        COPY b a            => (integer) 1
        PTTL a              => (integer) 1500
        COPY b a            => (integer) 0
        SET b 3             => OK
        COPY b a REPLACE    => (integer) 1
        GET a               => "3"
        TTL a               => (integer) -1
        COPY none a REPLACE => (integer) 0
        COPY a a            => (error) ERR source and destination objects are the same
        COPY a c DB 0       => (integer) 1
        COPY a c DB 1       => (error) ERR DB index is out of range
        COPY a c DB 1x      => (error) ERR value is not an integer or out of range
        COPY a c DB         => (error) ERR syntax error
        DBSIZE              => (integer) 3
        RENAMENX c d        => (integer) 1
        UNLINK a b c d      => (integer) 3
        # What has expired is not there to be moved.
        SET a 1 PX 10       => OK
        SET b 2             => OK
        .wait 11
        RENAME a b          => (error) ERR no such key
        COPY b a            => (integer) 1
        TTL a               => (integer) -1
        TOUCH a b c a       => (integer) 3
        "#,
    );
}

#[test]
fn any_live_key_is_drawn_and_no_other() {
    let mut bench = Bench::new(&ENGINE);
    assert_eq!(bench.run("RANDOMKEY"), "(nil)");
    let mut drawn = BTreeMap::new();
    bench.run("MSET a 1 b 1 c 1 d 1");
    bench.run("SET over 1 PX 1");
    for _ in 0..200 {
        // Between two reads only time passes: the seed stands still.
        bench.advance_ms(2);
        *drawn.entry(bench.run("RANDOMKEY")).or_insert(0) += 1;
    }
    assert_eq!(drawn.into_keys().collect::<Vec<_>>(), [r#""a""#, r#""b""#, r#""c""#, r#""d""#]);
    bench.run("DEL a b c d");
    assert_eq!(bench.run("RANDOMKEY"), "(nil)");
}

#[test]
fn a_flush_leaves_nothing_in_any_table() {
    for flush in ["FLUSHALL", "FLUSHDB ASYNC", "flushall sync"] {
        let mut bench = Bench::new(&ENGINE);
        for key in 0..100 {
            bench.run(&format!("SET plain/{key} v"));
            bench.run(&format!("SET session/{key} v PX {}", 1 + key));
        }
        bench.advance_ms(50);
        assert_eq!(bench.run(flush), "OK");
        assert_eq!(bench.run("DBSIZE"), "(integer) 0");
        assert_eq!([0, 1, 2, 3].map(|table| bench.tables().len(table)), [0, 1, 0, 0], "only the count is left");
        assert_eq!(bench.run("SET k v"), "OK");
        assert_eq!(bench.run("DBSIZE"), "(integer) 1");
    }
    script(&ENGINE, "FLUSHALL now => (error) ERR syntax error\nFLUSHDB ASYNC SYNC => (error) ERR syntax error");
}

#[test]
fn a_flush_that_is_too_much_for_one_command_removes_nothing() {
    let refused =
        Err("ERR too many keys to remove with one command; remove them in pages, with SCAN and UNLINK".to_owned());
    // Few keys that are long, as well as many.
    let mut bench = Bench::new(&ENGINE);
    for key in 0..130 {
        let key = format!("{key:064000}");
        assert!(bench.call(&["SET", &key, "v"]).is_ok());
    }
    assert_eq!(bench.run("FLUSHALL"), "OK");
    for key in 0..135 {
        let key = format!("{key:064000}");
        assert!(bench.call(&["SET", &key, "v"]).is_ok());
    }
    assert_eq!(bench.call(&["FLUSHALL"]), refused);
    assert_eq!(bench.run("DBSIZE"), "(integer) 135");
}
