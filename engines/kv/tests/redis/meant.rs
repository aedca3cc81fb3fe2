//! The differences that are meant and that no sequence meets, each shown on both sides. They stand in the header of
//! `engines/kv/src/lib.rs`.

use std::collections::BTreeSet;

use kv::ENGINE;

use crate::native::Native;
use crate::resp::Value;
use crate::server::{Connection, Server};

/// What Redis 7.0 can do with keys and strings and `kv` can't; all but INCRBYFLOAT are rare. (That one computes in the
/// machine's long double, so that even two builds of Redis differ.)
const MISSING: [&str; 10] =
    ["DUMP", "INCRBYFLOAT", "LCS", "MIGRATE", "MOVE", "OBJECT", "RESTORE", "RESTORE-ASKING", "SUBSTR", "SWAPDB"];

#[test]
fn the_commands_on_keys_and_strings_that_kv_lacks_are_these() {
    let Some((_server, mut redis, mut engine)) = sides() else { return };
    let mut lacking = BTreeSet::new();
    for category in ["keyspace", "string"] {
        let Value::Array(names) = redis.ask(&["COMMAND", "LIST", "FILTERBY", "ACLCAT", category]) else {
            panic!("Redis lists its commands");
        };
        for name in names {
            let Value::Bulk(name) = name else { panic!("a name is text, not {name:?}") };
            let name = String::from_utf8(name).expect("names are ASCII").to_ascii_uppercase();
            // `OBJECT|FREQ` is a part of OBJECT.
            lacking.insert(name.split('|').next().unwrap_or_default().to_owned());
        }
    }
    lacking.retain(|name| ENGINE.command(name.as_bytes()).is_none());
    assert_eq!(lacking, MISSING.map(str::to_owned).into());
    for name in MISSING {
        let unknown = error(&format!("ERR unknown command '{name}', with args beginning with: 'k' "));
        assert_eq!(engine.answer(&[name, "k"]), unknown);
    }
}

#[test]
fn cas_is_kvs_own() {
    let Some((_server, mut redis, mut engine)) = sides() else { return };
    assert_eq!(engine.answer(&["SET", "k", "old"]), ok());
    assert_eq!(engine.answer(&["CAS", "k", "old", "new"]), integer(1));
    assert_eq!(
        redis.ask(&["CAS", "k", "old", "new"]),
        error("ERR unknown command 'CAS', with args beginning with: 'k' 'old' 'new' ")
    );
}

#[test]
fn keys_are_shorter_than_64_kib() {
    let Some((_server, mut redis, mut engine)) = sides() else { return };
    for (bytes, answer) in [(65_280, ok()), (65_281, error("ERR key is too long"))] {
        let set = ["SET".to_owned(), "k".repeat(bytes), "v".to_owned()];
        assert_eq!((redis.ask(&set), engine.answer(&set)), (ok(), answer), "{bytes} bytes");
    }
}

/// The comparisons set Redis' limit to the engine's.
#[test]
fn values_are_no_longer_than_1_mib() {
    let Some((_server, mut redis, mut engine)) = sides() else { return };
    assert_eq!(redis.ask(&["CONFIG", "SET", "proto-max-bulk-len", "512mb"]), ok());
    for (offset, answer) in [
        ("1048575", integer(1 << 20)),
        ("1048576", error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")),
    ] {
        let set = ["SETRANGE", "k", offset, "v"];
        assert_eq!(engine.answer(&set), answer);
        assert!(!redis.ask(&set).is_error());
    }
}

#[test]
fn a_flush_removes_50_000_keys_at_most_and_else_none() {
    const LIMIT: usize = 50_000;
    let Some((_server, mut redis, mut engine)) = sides() else { return };
    for (keys, flush) in [(LIMIT, "FLUSHALL"), (LIMIT, "FLUSHDB"), (LIMIT + 1, "FLUSHALL"), (LIMIT + 1, "FLUSHDB")] {
        let pairs = (0..keys).flat_map(|key| [format!("key:{key}"), String::new()]);
        let fill: Vec<String> = std::iter::once("MSET".to_owned()).chain(pairs).collect();
        let (answer, left) = if keys > LIMIT {
            (error("ERR too many keys to remove with one command; remove them in pages, with SCAN and UNLINK"), keys)
        } else {
            (ok(), 0)
        };
        assert_eq!((redis.ask(&fill), engine.answer(&fill)), (ok(), ok()));
        assert_eq!((redis.ask(&[flush]), engine.answer(&[flush])), (ok(), answer), "{flush} of {keys}");
        assert_eq!((redis.ask(&["DBSIZE"]), engine.answer(&["DBSIZE"])), (integer(0), integer(left as i64)));
    }
}

#[test]
fn there_is_one_database() {
    let Some((_server, mut redis, mut engine)) = sides() else { return };
    assert_eq!((redis.ask(&["SET", "k", "v"]), engine.answer(&["SET", "k", "v"])), (ok(), ok()));
    let copy = ["COPY", "k", "l", "DB", "1"];
    assert_eq!((redis.ask(&copy), engine.answer(&copy)), (integer(1), error("ERR DB index is out of range")));
}

#[test]
fn keys_come_in_the_order_of_their_bytes() {
    let mut engine = Native::new();
    assert_eq!(engine.answer(&["MSET", "c", "", "a", "", "b", ""]), ok());
    let bulk = |text: &str| Value::Bulk(text.as_bytes().to_vec());
    assert_eq!(engine.answer(&["KEYS", "*"]), Value::Array(["a", "b", "c"].map(bulk).into()));
}

fn sides() -> Option<(Server, Connection, Native)> {
    let server = Server::start()?;
    let redis = server.connect();
    Some((server, redis, Native::new()))
}

fn ok() -> Value {
    Value::Status(b"OK".to_vec())
}

fn integer(number: i64) -> Value {
    Value::Integer(number.to_string().into_bytes())
}

fn error(text: &str) -> Value {
    Value::Error(text.as_bytes().to_vec())
}
