//! The connection's commands, reply by reply beside a real `redis-server`.

use crate::damage::damaged;
use crate::fake::{Fake, Order};
use crate::harness::{Client, Redis, Server, array};
use outboard_redis::Options;
use std::io::{Read, Write};
use std::net::Shutdown;

/// Each line is a connection: commands that are sent one after the other. Both sides must say the same to all of them.
const ALIKE: &[&str] = &[
    "PING | PING hello | ping \"a b\" | PING a b",
    "ECHO x | ECHO | ECHO a b | ECHO \"\\x00\\r\\n\"",
    "SELECT 0 | SELECT 1 | SELECT -1 | SELECT abc | SELECT 99999999999 | SELECT 99999999999999999999 | SELECT",
    "QUIT | PING",
    "QUIT now | PING",
    "MULTI | QUIT | PING",
    "TIME x | ECHO still",
    "WAIT 0 x | WAIT x 0 | WAIT 0 -1 | WAIT 0",
    "FOO | FOO a b | foo \"a\\r\\nb\" \"c\\x00d\" | \"\" | \"F\\nO\" | FOO \"\" b",
    "AUTH a | AUTH a b | AUTH default b | AUTH | AUTH a b c",
    "HELLO 4 | HELLO abc | HELLO 3 FOO | HELLO 3 AUTH a | HELLO 3 AUTH a b | HELLO 2 SETNAME | HELLO 2 SETNAME \"a b\" | HELLO 1",
    "RESET | RESET x",
    "CLIENT SETNAME x | RESET | CLIENT GETNAME",
    "CLIENT | CLIENT FOO | client foo bar | CLIENT SETNAME | CLIENT SETNAME a b | CLIENT SETNAME \"a b\" | CLIENT SETNAME \"\" | CLIENT GETNAME",
    "CLIENT SETNAME me | CLIENT GETNAME | CLIENT SETNAME \"\" | CLIENT GETNAME",
    "CLIENT ID x | CLIENT INFO x | CLIENT LIST TYPE foo | CLIENT LIST TYPE master | CLIENT LIST TYPE replica | CLIENT LIST TYPE pubsub",
    "CLIENT LIST ID x | CLIENT LIST ID 0 | CLIENT LIST ID | CLIENT LIST foo | CLIENT LIST ID 999999 | CLIENT LIST ID 999999 x",
    "CLIENT NO-EVICT on | CLIENT NO-EVICT OFF | CLIENT NO-EVICT foo | CLIENT NO-EVICT",
    "CONFIG | CONFIG FOO | CONFIG GET | CONFIG GET nosuch | CONFIG GET save | CONFIG GET SAVE nosuch | CONFIG GET databases nosuch | CONFIG GET SAV[EF] | CONFIG GET timeout",
    "CONFIG GET maxmemory-p* | CONFIG GET maxclient[a-z] | CONFIG GET max\\\\memory",
    "CONFIG SET foo bar | CONFIG SET foo | CONFIG SET foo bar x | CONFIG SET databases 1 | CONFIG SET databases 1 foo 2 | CONFIG SET",
    "CONFIG RESETSTAT | CONFIG RESETSTAT x | CONFIG REWRITE | CONFIG REWRITE x",
    "COMMAND FOO | COMMAND COUNT x | COMMAND DOCS nosuch | COMMAND INFO nosuch | COMMAND INFO nosuch client|nosuch nosuch|x",
    "COMMAND LIST x | COMMAND LIST FILTERBY foo bar | COMMAND LIST FILTERBY PATTERN | COMMAND LIST FILTERBY MODULE x",
    "COMMAND LIST FILTERBY PATTERN ech* | COMMAND LIST FILTERBY ACLCAT nosuch | COMMAND LIST FILTERBY PATTERN PIN?",
    "INFO nosuch | INFO cluster | INFO nosuch cluster",
    "EXEC | DISCARD | EXEC x | DISCARD x | MULTI x | UNWATCH x | WATCH",
    "MULTI | EXEC | MULTI | DISCARD | EXEC",
    "MULTI | MULTI | SET a 1 | EXEC | DEL a",
    "MULTI | WATCH a | SET a 1 | EXEC | DEL a",
    "MULTI | FOO | EXEC | EXEC",
    "MULTI | GET | SET a 1 | EXEC | GET a",
    "MULTI | FOO | DISCARD | EXEC",
    "MULTI | CLIENT FOO | EXEC",
    "MULTI | PING | PING a b | ECHO x | SELECT 0 | SELECT 1 | UNWATCH | CLIENT GETNAME | CLIENT SETNAME z | CLIENT GETNAME | EXEC",
    "MULTI | SET a 1 | INCR a | PING | GET a | DEL a | GET a | EXEC",
    "MULTI | EXEC x | EXEC",
    "MULTI | RESET | EXEC",
    "MULTI | CONFIG GET save | INFO nosuch | COMMAND DOCS nosuch | EXEC",
    "MULTI | get | MULTI | EXEC",
    "WATCH a | MULTI | SET a 1 | EXEC | DEL a",
    "WATCH a | SET a 1 | MULTI | SET a 2 | EXEC | GET a | DEL a",
    "WATCH a b c | UNWATCH | SET a 1 | MULTI | SET a 2 | EXEC | GET a | DEL a",
    "WATCH a | WATCH b | SET b 1 | MULTI | SET a 2 | EXEC | GET a | DEL a b",
    "WATCH a | SET a 1 | MULTI | DISCARD | MULTI | SET a 2 | EXEC | GET a | DEL a",
    "WATCH a | SET a 1 | MULTI | FOO | EXEC | MULTI | GET a | EXEC | DEL a",
    "WATCH a | SET a 1 | RESET | MULTI | GET a | EXEC | DEL a",
    "GET | GET a b | SET a | MSET | DBSIZE x",
    "DBSIZE | SET k v | GET k | STRLEN k | TYPE k | TYPE none | MGET k none | INCR k | DEL k none | GET k",
    "READONLY x | READWRITE x",
    "HOST: x | PING",
    "post x | PING",
];

/// The same, and the connection asks for RESP3 first.
fn resp3(line: &str) -> bool {
    // What differs by nature: HELLO tells the number of the connection, and QUIT and RESET leave RESP3.
    !line.contains("HELLO") && !line.contains("QUIT") && !line.contains("RESET")
}

#[test]
fn connection_commands_answer_as_redis_does() {
    let Some(redis) = Redis::start() else { return };
    if !redis.is_7_0() {
        return;
    }
    // CONFIG GET tells it; by itself it is another number than Redis'.
    let options = Options { connections_max: 10_000, ..Options::default() };
    let server = Server::start(Fake::start(Order::AsTheyCome), options);
    let mut different = Vec::new();
    for line in ALIKE {
        for protocol in [2, 3] {
            if protocol == 3 && !resp3(line) {
                continue;
            }
            let (mut ours, mut theirs) = (server.client(), redis.client());
            if protocol == 3 {
                ours.ask("HELLO 3");
                theirs.ask("HELLO 3");
            }
            for command in line.split(" | ") {
                let (our, their) = (say(&mut ours, command), say(&mut theirs, command));
                if our != their {
                    different.push(format!("{command:?} of {line:?} in RESP{protocol}:\n  {our:?}\n  {their:?}"));
                }
            }
        }
    }
    assert!(different.is_empty(), "we, and Redis:\n{}", different.join("\n"));
}

/// An inline command and its reply; empty when the connection is closed.
fn say<S: Read + Write>(client: &mut Client<S>, command: &str) -> String {
    client.try_send(format!("{command}\r\n").as_bytes());
    let reply = client.try_reply();
    sorted(&String::from_utf8_lossy(&reply))
}

/// A map or set has no order; what is compared here has only short lines.
fn sorted(reply: &str) -> String {
    if !reply.starts_with("%") && !reply.starts_with("~") {
        return reply.to_owned();
    }
    let mut lines: Vec<&str> = reply.split_inclusive("\r\n").collect();
    lines.sort_unstable();
    lines.concat()
}

#[test]
fn streams_of_bytes_are_read_as_redis_reads_them() {
    let Some(redis) = Redis::start() else { return };
    if !redis.is_7_0() {
        return;
    }
    let server = Server::start(Fake::start(Order::AsTheyCome), Options::default());
    let long = "1".repeat(70_000);
    let streams: Vec<Vec<u8>> = [
        "*1\r\n+PING\r\n",
        "*1\r\nx\r\n",
        "*abc\r\n",
        "*-1\r\n*1\r\n$4\r\nPING\r\n",
        "*0\r\nPING\r\n",
        "*1\r\n$-1\r\n",
        "*1\r\n$abc\r\n",
        "*2147483648\r\n",
        "*1\r\n$536870913\r\n",
        "\"abc\r\n",
        "'abc\r\n",
        "\"abc\"d\r\n",
        "\r\n\r\nPING\r\n",
        "  \r\nPING\r\n",
        "PING\n",
        "ECHO \"\\x41\\n\\q\"\r\n",
        "ECHO 'a\\'b\\n'\r\n",
        "ECHO a\"b\"\r\n",
        "ECHO a\tb\r\n",
        "ECHO \"\"\r\n",
        "*01\r\n$4\r\nPING\r\n",
        "*+1\r\n$4\r\nPING\r\n",
        "*1\r\n$04\r\nPING\r\n",
        "*\r\n",
        "*1\r\n$0\r\n\r\n",
        "*2\r\n$0\r\n\r\n$1\r\na\r\n",
        "$4\r\nPING\r\n",
        "PING\rx\r\n",
        "*1\r\n$ 4\r\nPING\r\n",
        "*1\r\n\r\n",
        "*2\r\n$3\r\nF\nO\r\n$4\r\n\r\na\n\r\n",
        "*1\r\n$3\r\nF\0O\r\n",
    ]
    .iter()
    .map(|stream| stream.as_bytes().to_vec())
    .chain([
        format!("*1{long}").into_bytes(),
        format!("*1\r\n${long}").into_bytes(),
        long.clone().into_bytes(),
        b"*1\r\n\xff\r\n".to_vec(),
        b"FOO \xff\xfe\r\n".to_vec(),
        format!("FOO {} {} c\r\n", "a".repeat(100), "b".repeat(100)).into_bytes(),
        format!("FOO {} b c\r\n", "a".repeat(124)).into_bytes(),
        format!("FOO {} b c\r\n", "a".repeat(125)).into_bytes(),
        format!("FOO {} bcdef c\r\n", "a".repeat(122)).into_bytes(),
        format!("{} b\r\n", "F".repeat(200)).into_bytes(),
        array(&[&[b'F'; 300], b"x"]),
    ])
    .collect();
    for stream in streams {
        // PING marks the end for streams that don't end the connection.
        let all = |client: &mut Client<_>| {
            client.try_send(&stream);
            // A line that never ends is judged by its length.
            if stream.len() < 1 << 16 {
                client.try_send(b"\r\nECHO end-of-this\r\n");
            }
            let mut replies = Vec::new();
            loop {
                let reply = client.try_reply();
                if reply.is_empty() || reply.ends_with(b"end-of-this\r\n") {
                    return (replies, reply.is_empty());
                }
                replies.push(reply.escape_ascii().to_string());
            }
        };
        let ours = all(&mut server.client().boxed());
        let theirs = all(&mut redis.client().boxed());
        assert_eq!(ours, theirs, "{}", stream[..stream.len().min(60)].escape_ascii());
    }
}

#[test]
fn hello_answers_as_redis_does_but_for_the_number_of_the_connection() {
    let Some(redis) = Redis::start() else { return };
    if !redis.is_7_0() {
        return;
    }
    let server = Server::start(Fake::start(Order::AsTheyCome), Options::default());
    let masked = |reply: String| {
        let (before, after) = reply.split_once("$2\r\nid\r\n:").unwrap_or_else(|| panic!("{reply}"));
        format!("{before}{}", after.split_once("\r\n").expect("a line").1)
    };
    let (mut ours, mut theirs) = (server.client(), redis.client());
    for command in ["HELLO", "HELLO 3", "HELLO", "HELLO 2", "HELLO 3 AUTH default x SETNAME me", "HELLO"] {
        // Servers of 7.0 differ in their last number.
        let their = masked(theirs.ask(command));
        let version =
            their.split("version\r\n$6\r\n").nth(1).map(|rest| rest[..6].to_owned()).expect("a version of six letters");
        assert_eq!(masked(ours.ask(command)), their.replace(&version, "7.0.15"), "{command}");
    }
    assert_eq!(ours.ask("CLIENT GETNAME"), "$2\r\nme\r\n");
}

#[test]
fn shapes_of_command_are_those_of_redis() {
    let Some(redis) = Redis::start() else { return };
    if !redis.is_7_0() {
        return;
    }
    let server = Server::start(Fake::start(Order::AsTheyCome), Options::default());
    for protocol in ["HELLO 2", "HELLO 3"] {
        let (mut ours, mut theirs) = (server.client(), redis.client());
        ours.ask(protocol);
        theirs.ask(protocol);
        for command in ["COMMAND INFO get", "COMMAND INFO get nosuch", "COMMAND INFO mset", "COMMAND INFO dbsize"] {
            assert_eq!(shape(&ours.ask(command)), shape(&theirs.ask(command)), "{command} after {protocol}");
        }
        // The keys of a map come in Redis' order, those that we don't have left out.
        let keys = ["summary", "since", "group", "arguments", "name", "type", "key_spec_index"];
        let order = |reply: &str| {
            let words = reply.split("\r\n").filter(|word| keys.contains(word)).map(str::to_owned);
            words.collect::<Vec<_>>()
        };
        assert_eq!(order(&ours.ask("COMMAND DOCS get")), order(&theirs.ask("COMMAND DOCS get")));
    }
}

/// Kinds and counts of a reply, without the words; flags and categories differ in number.
fn shape(reply: &str) -> Vec<char> {
    reply.split("\r\n").filter_map(|line| line.chars().next()).filter(|kind| matches!(kind, '*' | '%' | ':')).collect()
}

/// The gateway's own commands that redis-server 7.0 has too.
const OWN: &str = "AUTH|CLIENT|CLIENT GETNAME|CLIENT HELP|CLIENT ID|CLIENT INFO|CLIENT LIST|CLIENT NO-EVICT|CLIENT SETNAME|\
    COMMAND|COMMAND COUNT|COMMAND DOCS|COMMAND HELP|COMMAND INFO|COMMAND LIST|CONFIG|CONFIG GET|CONFIG HELP|CONFIG RESETSTAT|\
    CONFIG REWRITE|CONFIG SET|DISCARD|ECHO|EXEC|HELLO|INFO|MULTI|PING|QUIT|READONLY|READWRITE|RESET|SELECT|TIME|UNWATCH|WAIT|\
    WATCH|NOSUCH|CLIENT NOSUCH|COMMAND NOSUCH|CONFIG NOSUCH";

#[test]
fn every_own_command_takes_as_many_arguments_as_in_redis_and_refuses_others_in_its_words() {
    let Some(redis) = Redis::start() else { return };
    if !redis.is_7_0() {
        return;
    }
    let server = Server::start(Fake::start(Order::AsTheyCome), Options::default());
    let is_refusal = |reply: &str| reply.starts_with("-ERR wrong number") || reply.starts_with("-ERR unknown");
    let (mut refused, mut different) = (0, Vec::new());
    for name in OWN.split('|') {
        for count in 0..6 {
            let command = [name, &" x".repeat(count)].concat();
            let (ours, theirs) = (say(&mut server.client(), &command), say(&mut redis.client(), &command));
            refused += usize::from(is_refusal(&theirs));
            if ours != theirs && (is_refusal(&ours) || is_refusal(&theirs)) {
                different.push(format!("{command:?}:\n  {ours:?}\n  {theirs:?}"));
            }
        }
    }
    assert!(different.is_empty(), "we, and Redis:\n{}", different.join("\n"));
    assert!(refused > 100, "only {refused} were refused");
}

#[test]
fn damaged_streams_are_read_as_redis_reads_them_or_more_strictly() {
    const SEEDS: u64 = 1_500;
    let Some(redis) = Redis::start() else { return };
    if !redis.is_7_0() {
        return;
    }
    let (mut same, mut refused, mut answered) = (0, 0, 0);
    for seed in 0..SEEDS {
        let stream = damaged(seed);
        // Redis takes a NUL for the end of what it was sent, and waits for the end of the line.
        if stream.contains(&0) {
            continue;
        }
        // What one took and the other refused must not show later.
        let server = Server::start(Fake::start(Order::AsTheyCome), Options::default());
        let (mut ours, mut theirs) = (server.client(), redis.client());
        theirs.ask("FLUSHALL");
        ours.try_send(&stream);
        ours.get_ref().shutdown(Shutdown::Write).unwrap_or_default();
        theirs.try_send(&stream);
        theirs.get_ref().shutdown(Shutdown::Write).unwrap_or_default();
        let (ours, theirs) = (ours.rest(), theirs.rest());
        let of = |reply: &[u8]| reply.escape_ascii().to_string();
        let (ours, theirs) = (of(&ours), of(&theirs));
        // Redis does not look at the bytes where a line or a value must end.
        let is_stricter =
            ours.rsplit_once("-ERR Protocol error: invalid").is_some_and(|(before, _)| theirs.starts_with(before));
        assert!(ours == theirs || is_stricter, "to seed {seed}: {}\n{ours}\n{theirs}", stream.escape_ascii());
        same += u64::from(ours == theirs);
        refused += u64::from(ours.contains("Protocol error"));
        answered += u64::from(ours.ends_with("$3\\r\\nend\\r\\n"));
    }
    assert!(same > SEEDS / 2, "only {same} alike");
    assert!(refused > SEEDS / 2 && answered > SEEDS / 10, "{refused} refused, {answered} read to the end");
}
