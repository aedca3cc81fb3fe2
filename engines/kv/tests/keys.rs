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
    for writing in
        ["SET", "INCR", "DECR", "INCRBY", "DECRBY", "APPEND", "GETDEL", "SETNX", "CAS", "EXPIRE", "PEXPIRE", "PERSIST"]
    {
        assert_eq!(keys(writing), (true, 1, 1, 1), "{writing}");
    }
    for reading in ["GET", "STRLEN", "TTL", "PTTL", "TYPE"] {
        assert_eq!(keys(reading), (false, 1, 1, 1), "{reading}");
    }
    assert_eq!(keys("DEL"), (true, 1, -1, 1));
    assert_eq!((keys("MSET"), keys("MGET"), keys("EXISTS")), ((true, 1, -1, 2), (false, 1, -1, 1), (false, 1, -1, 1)));
    assert_eq!((keys("KEYS"), keys("SCAN"), keys("DBSIZE")), ((false, 0, 0, 0), (false, 0, 0, 0), (false, 0, 0, 0)));
    assert_eq!(ENGINE.commands.len(), 24);
}
