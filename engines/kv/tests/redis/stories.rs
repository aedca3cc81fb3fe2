//! Sequences written by hand: corners that chance seldom finds, and what was once found. Compared like the others.

use outboard_sdk::testing::words;

use crate::compare::{Comparison, Protocol};
use crate::search::report;
use crate::sequence::{Sequence, Word};
use crate::server::Server;

/// Title, and commands as `redis-cli` takes them. A word `now+10s` or `now-500ms` is a time; `...` lets what expires within
/// 30 ms expire.
const STORIES: [(&str, &str); 14] = [
    (
        "a value may fill the limit and not exceed it",
        "SETRANGE k 1048570 abcdef
         STRLEN k
         APPEND k x
         SETRANGE k 1048571 abcdef
         SETRANGE k 1048576 \"\"
         SETRANGE k 9223372036854775807 x
         SETRANGE new 1048576 x
         STRLEN k",
    ),
    (
        "places count from both ends",
        "SET k abc
         GETRANGE k 0 -1
         GETRANGE k -1 -9
         GETRANGE k -9 -8
         GETRANGE k -9 -9
         GETRANGE k 2 1
         GETRANGE k 3 9
         GETRANGE k -9223372036854775808 9223372036854775807
         GETRANGE k 9223372036854775807 -9223372036854775808
         SET k \"\"
         GETRANGE k 0 0
         GETRANGE k -1 -1",
    ),
    (
        "a gap is filled with zeros and nothing makes no gap",
        "SETRANGE k 3 \"\"
         EXISTS k
         SETRANGE k 3 x
         GET k
         SETRANGE k 1 yz
         GET k
         SETRANGE k -1 \"\"",
    ),
    (
        "the last moment of all",
        "SET k v
         PEXPIREAT k 9223372036854775807
         PEXPIRETIME k
         EXPIRETIME k
         PTTL k
         TTL k
         PEXPIREAT k 9223372036854775307
         EXPIRETIME k
         EXPIREAT k 9223372036854775
         PEXPIRETIME k
         EXPIREAT k 9223372036854776
         SET k v PXAT 9223372036854775807
         GETEX k PXAT 9223372036854775807
         PEXPIRE k 9223372036854775807
         EXPIRE k 9223372036854775",
    ),
    (
        "an expiry beyond all time is taken back as one that has passed",
        "MSET a 1 b 1 c 1 d 1
         EXPIRE a -9223372036854775
         EXPIRE b -9223372036854776
         PEXPIRE c -9223372036854775808
         PEXPIREAT d -9223372036854775808
         EXISTS a b c d",
    ),
    (
        "what has passed: SET keeps it for a moment, GETEX and EXPIREAT do not",
        "SET a 1 PXAT now-5000ms
         GET a
         SET b 1
         GETEX b EXAT now-5s
         EXISTS b
         SET c 1
         EXPIREAT c now-5s
         DBSIZE
         SET d 1 PX 10
         GETEX d PERSIST
         SET e 1 PX 10
         SET e 2 KEEPTTL
         ...
         MGET a b c d e
         TTL d
         SET e 3 KEEPTTL
         TTL e",
    ),
    (
        "the empty key fits no pattern but the star alone",
        "SET \"\" v
         KEYS *
         KEYS **
         KEYS \"\"
         KEYS ?
         SCAN 0 MATCH *
         SCAN 0 MATCH **",
    ),
    (
        "words end at a zero byte",
        r#"SET k v "NX\x00" "PX\x00and more" 100000
         SET k v "\x00NX"
         EXPIRE k 10 "GT\x00"
         EXPIRE k 10 "soon\x00er"
         COPY k l "REPLACE\x00"
         GETEX k "PERSIST\x00"
         SCAN "0\x00" "TYPE\x00" "string\x00"
         SCAN 0 COUNT "10\x00"
         FLUSHDB "ASYNC\x00""#,
    ),
    (
        "the time to live goes where the value goes",
        "SET a 1 PX 100000
         RENAME a b
         PTTL a
         PTTL b
         SET c 1
         RENAME c b
         PTTL b
         SET a 1 PX 200000
         COPY a b
         COPY a b REPLACE
         PTTL b
         RENAME a a
         PTTL a
         RENAMENX a a
         RENAMENX a new
         PTTL new
         RENAME a new
         RENAMENX a new",
    ),
    (
        "there is a database 0",
        "SET a 1
         COPY a b DB 0
         COPY a a DB 0
         COPY a b DB 0 REPLACE DB 0
         COPY a b DB
         COPY a b DB 0 0",
    ),
    (
        "a wrong word is found before a wrong number, and a wrong number before a missing key",
        "EXPIRE none ten soon
         EXPIRE none ten NX XX
         EXPIRE none ten
         SET k v EX ten NX XX
         SET k v EX ten
         GETEX none EX ten
         GETEX none EX 0
         SET k v
         GETEX k EX 0
         GETEX k EX ten
         COPY none none DB x
         COPY none none
         DECRBY none -9223372036854775808
         GETRANGE none ten 1
         SETRANGE none ten 1
         SETRANGE none -1 \"\"",
    ),
    (
        "counters at their limits",
        "SET n 9223372036854775806
         INCR n
         INCR n
         DECRBY n 9223372036854775807
         DECRBY n 9223372036854775807
         DECR n
         DECR n
         INCRBY n -1
         INCRBY n 9223372036854775807
         SET n \"1\\x00\"
         INCR n
         SET n 00
         INCR n",
    ),
    (
        "an unknown command is shown with its arguments, cut at 128 bytes",
        "x-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b
         x 1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234 a b
         x 12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678 a
         x 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40
         \"\"
         \"\" \"\" \"\"
         \"a\\r\\nb\" \"c\\r\\n\"
         \"a\\x00b\" \"c\\x00d\" e
         \"\\r\\n\"",
    ),
    (
        "a pair without its other half sets nothing",
        "MSET a 1 b
         MSETNX a 1 b
         EXISTS a
         MSET a 1 a 2
         GET a
         MSETNX c 1 c 2
         GET c
         MSETNX d 1 a 1
         EXISTS d",
    ),
];

#[test]
fn stories_are_answered_as_redis_answers_them() {
    compare_stories(Protocol::Resp2);
}

#[test]
fn stories_are_answered_as_redis_answers_them_in_resp3() {
    compare_stories(Protocol::Resp3);
}

fn compare_stories(protocol: Protocol) {
    let Some(server) = Server::start() else { return };
    let mut comparison = Comparison::new(server.connect(), protocol);
    for (title, story) in STORIES {
        compare(&mut comparison, title, parse(story));
    }
    compare(&mut comparison, "a scan in pages of any size brings every key", many_pages());
}

/// Each alone, so in database 0.
fn compare(comparison: &mut Comparison, title: &str, sequence: Sequence) {
    if let Some((sequence, difference)) = comparison.run(&[sequence]) {
        report(title, comparison, sequence, difference);
    }
}

fn parse(story: &str) -> Sequence {
    let lines = story.lines().map(str::trim);
    let phases = lines.collect::<Vec<_>>();
    let phases = phases.split(|line| *line == "...").map(|lines| lines.iter().map(|line| parse_line(line)).collect());
    Sequence { seed: 0, phases: phases.collect() }
}

fn parse_line(line: &str) -> Vec<Word> {
    words(line).into_iter().map(|word| parse_time(&word).unwrap_or(Word::Bytes(word))).collect()
}

fn parse_time(word: &[u8]) -> Option<Word> {
    let after = std::str::from_utf8(word).ok()?.strip_prefix("now")?;
    match after.strip_suffix("ms") {
        Some(ms) => ms.parse().ok().map(Word::UnixMs),
        None => after.strip_suffix('s')?.parse().ok().map(Word::UnixSeconds),
    }
}

fn many_pages() -> Sequence {
    let sets = (0..10).map(|tens| {
        let pairs = (0..30).flat_map(|ones| [format!("key:{tens}{ones:02}"), ones.to_string()]);
        std::iter::once("MSET".to_owned()).chain(pairs).map(Word::new).collect()
    });
    let scans =
        ["SCAN 0", "SCAN 0 COUNT 1", "SCAN 0 COUNT 7 MATCH key:*1*", "SCAN 0 COUNT 100000", "SCAN 0 MATCH nobody"];
    Sequence { seed: 0, phases: vec![sets.chain(scans.map(parse_line)).collect()] }
}
