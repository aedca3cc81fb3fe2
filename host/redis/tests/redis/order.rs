//! Replies in the order of their commands, and a connection that sees its own commands in order.

use crate::fake::{Fake, Order};
use crate::harness::{Server, array};
use bytes::Bytes;
use outboard_redis::Options;
use outboard_wire::client::{Consistency, RequestBody, Response};
use std::collections::BTreeMap;

fn server(order: Order) -> Server {
    Server::start(Fake::start(order), Options::default())
}

#[test]
fn replies_keep_the_order_of_their_commands_whoever_answers_first() {
    let server = server(Order::Shuffled(7));
    let mut client = server.client();
    let mut stream = Vec::new();
    for n in 0..300 {
        let (key, value) = (format!("key{n}"), format!("value{n}"));
        stream.extend(array(&[b"SET", key.as_bytes(), value.as_bytes()]));
        stream.extend(array(&[b"ECHO", value.as_bytes()]));
    }
    for n in 0..300 {
        stream.extend(array(&[b"GET", format!("key{n}").as_bytes()]));
        stream.extend(b"PING\r\n");
    }
    client.send(&stream);
    for n in 0..300 {
        let value = format!("value{n}");
        assert_eq!(client.text(), "+OK\r\n");
        assert_eq!(client.text(), format!("${}\r\n{value}\r\n", value.len()));
    }
    for n in 0..300 {
        let value = format!("value{n}");
        assert_eq!(client.text(), format!("${}\r\n{value}\r\n", value.len()));
        assert_eq!(client.text(), "+PONG\r\n");
    }
}

#[test]
fn a_connection_sees_its_own_commands_in_order_whatever_the_node_does_first() {
    for seed in 1..6 {
        let server = server(Order::Shuffled(seed));
        let mut clients: Vec<_> = (0..4).map(|_| server.client()).collect();
        let mut chance = seed;
        // What each connection must see: its keys are its own.
        let mut expected: Vec<Vec<String>> = Vec::new();
        for (number, client) in clients.iter_mut().enumerate() {
            let (mut map, mut replies, mut stream) = (BTreeMap::new(), Vec::new(), String::new());
            for n in 0..200 {
                chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let key = format!("{number}:{}", (chance >> 33) % 3);
                match (chance >> 40) % 5 {
                    0 | 1 => {
                        stream += &format!("SET {key} {n}\r\n");
                        map.insert(key, n);
                        replies.push("+OK\r\n".to_owned());
                    }
                    2 => {
                        stream += &format!("DEL {key}\r\n");
                        replies.push(format!(":{}\r\n", usize::from(map.remove(&key).is_some())));
                    }
                    _ => {
                        stream += &format!("GET {key}\r\n");
                        replies.push(match map.get(&key) {
                            Some(n) => format!("${}\r\n{n}\r\n", n.to_string().len()),
                            None => "$-1\r\n".to_owned(),
                        });
                    }
                }
            }
            client.send(stream);
            expected.push(replies);
        }
        for (client, expected) in clients.iter_mut().zip(expected) {
            for reply in expected {
                assert_eq!(client.text(), reply, "seed {seed}");
            }
        }
    }
}

#[test]
fn runs_of_one_kind_are_under_way_together_and_the_other_kind_waits() {
    let server = server(Order::Held);
    let mut client = server.client();
    client.send("SET a 1\r\nSET b 2\r\nINCR c\r\nGET a\r\nGET b\r\nSET a 3\r\n");
    for (count, kind) in [(3, "the writes"), (2, "the reads behind them"), (1, "the write behind those")] {
        server.fake.wait_for(count);
        let waiting = server.fake.state().held.load(std::sync::atomic::Ordering::SeqCst);
        assert_eq!(waiting, count, "{kind}");
        server.fake.release(None);
    }
    let replies: Vec<String> = (0..6).map(|_| client.text()).collect();
    assert_eq!(replies, ["+OK\r\n", "+OK\r\n", ":1\r\n", "$1\r\n1\r\n", "$1\r\n2\r\n", "+OK\r\n"]);
}

#[test]
fn what_is_read_at_once_is_handed_over_at_once() {
    let server = server(Order::AsTheyCome);
    let mut client = server.client();
    client.send("SET a 1\r\n".repeat(100));
    (0..100).for_each(|_| assert_eq!(client.text(), "+OK\r\n"));
    let batches = server.fake.state().batches.lock().expect("no panics").clone();
    assert!(batches.len() < 20, "{batches:?}");
}

#[test]
fn reads_are_linearizable_unless_the_client_wished_otherwise() {
    let server = server(Order::AsTheyCome);
    let mut client = server.client();
    for line in [
        "GET a",
        "READONLY",
        "GET a",
        "SET a 1",
        "WATCH a",
        "GET a",
        "UNWATCH",
        "GET a",
        "READWRITE",
        "GET a",
        "READONLY",
        "RESET",
        "GET a",
    ] {
        client.ask(line);
    }
    let requests = server.fake.state().requests.lock().expect("no panics").clone();
    let of_reads = requests.iter().filter_map(|body| match body {
        RequestBody::Command { arguments, consistency, .. } if arguments[0] == "GET" => Some(*consistency),
        _ => None,
    });
    use Consistency::{Linearizable, Stale};
    // While keys are watched, a stale read could be older than the watch.
    assert_eq!(Vec::from_iter(of_reads), [Linearizable, Stale, Linearizable, Stale, Linearizable, Linearizable]);
}

#[test]
fn each_ending_of_a_command_has_its_error() {
    for (response, error) in [
        (Response::Rejected("WRONGTYPE a\r\nb".into()), "-WRONGTYPE a  b\r\n"),
        (Response::Failed("the engine trapped".into()), "-ERR the engine trapped\r\n"),
        (Response::Invalid("what".into()), "-ERR what\r\n"),
        (Response::NotDone("no leader".into()), "-CLUSTERDOWN no leader\r\n"),
        (Response::Overloaded, "-TRYAGAIN "),
        (Response::Unknown("lost".into()), "-UNKNOWN "),
        (Response::Done, "-ERR "),
    ] {
        let server = server(Order::Held);
        let mut client = server.client();
        client.send("SET k v\r\nPING\r\n");
        server.fake.wait_for(1);
        server.fake.release(Some(response));
        let text = client.text();
        assert!(text.starts_with(error) && text.ends_with("\r\n"), "{text}");
        assert_eq!(client.text(), "+PONG\r\n");
    }
}

#[test]
fn without_an_engine_data_commands_are_told_to_wait_and_the_others_work() {
    let server = server(Order::AsTheyCome);
    let mut client = server.client();
    server.fake.set_engine(false);
    assert!(client.ask("GET k").starts_with("-LOADING "));
    assert!(client.ask("NOSUCH k").starts_with("-LOADING "));
    assert_eq!(client.ask("PING"), "+PONG\r\n");
    assert!(client.ask("INFO persistence").contains("loading:1\r\n"));
    server.fake.set_engine(true);
    assert_eq!(client.ask("GET k"), "$-1\r\n");
    assert!(client.ask("INFO persistence").contains("loading:0\r\n"));
}

#[test]
fn replies_of_an_engine_come_in_the_version_that_was_asked_for() {
    let server = server(Order::AsTheyCome);
    let mut client = server.client();
    assert_eq!(client.ask("MEDLEY"), "*2\r\n:1\r\n*3\r\n$3\r\n1.5\r\n$-1\r\n$30\r\n123456789012345678901234567890\r\n");
    client.ask("HELLO 3");
    assert_eq!(client.ask("MEDLEY"), "%1\r\n#t\r\n~3\r\n,1.5\r\n_\r\n(123456789012345678901234567890\r\n");
    assert_eq!(client.ask("GET none"), "_\r\n");
    client.ask("RESET");
    assert_eq!(client.ask("GET none"), "$-1\r\n");
}

#[test]
fn a_change_of_version_takes_effect_behind_the_commands_before_it() {
    let server = server(Order::Held);
    let mut client = server.client();
    client.send("GET a\r\nHELLO 3\r\nGET a\r\n");
    server.fake.wait_for(1);
    server.fake.release(None);
    assert_eq!(client.text(), "$-1\r\n");
    assert!(client.text().starts_with("%7\r\n"));
    server.fake.wait_for(1);
    server.fake.release(None);
    assert_eq!(client.text(), "_\r\n");
}

#[test]
fn a_client_that_has_said_all_is_still_answered() {
    let server = server(Order::Shuffled(3));
    let mut client = server.client();
    client.send("SET a 1\r\n".repeat(50) + "GET a\r\nhalf a comm");
    client.get_ref().shutdown(std::net::Shutdown::Write).expect("open");
    (0..50).for_each(|_| assert_eq!(client.text(), "+OK\r\n"));
    assert_eq!(client.text(), "$1\r\n1\r\n");
    assert_eq!(client.rest(), b"");
}

#[test]
fn answers_that_come_with_the_end_are_still_written() {
    let mut server = server(Order::Held);
    let mut client = server.client();
    client.send("SET a 1\r\n");
    server.fake.wait_for(1);
    server.fake.release(None);
    server.stop();
    assert_eq!(client.rest(), b"+OK\r\n");
}

#[test]
fn answers_to_connections_that_are_gone_reach_nobody_else() {
    let server = server(Order::Held);
    for _ in 0..3 {
        let mut gone = server.client();
        gone.send("SET a 1\r\nSET b 1\r\n");
        server.fake.wait_for(2);
        gone.reset();
    }
    server.fake.wait_for(6);
    let mut client = server.client();
    while !client.ask("INFO clients").contains("connected_clients:1\r\n") {
        std::thread::yield_now();
    }
    client.send("INCR n\r\n");
    server.fake.wait_for(7);
    server.fake.release(None);
    assert_eq!(client.text(), ":1\r\n");
    assert_eq!(client.ask("PING"), "+PONG\r\n");
}

#[test]
fn large_values_go_through_in_both_directions_and_hold_any_bytes() {
    let server = server(Order::AsTheyCome);
    let mut client = server.client();
    let value: Bytes = (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for length in [0, 1, 511, 4_096, 16_383, 16_384, 65_535, 65_536, 100_000, 700_000, 1 << 20] {
        let value = &value[..length];
        client.send([array(&[b"SET", b"k\0\r\n", value]), array(&[b"GET", b"k\0\r\n"]), b"PING\r\n".to_vec()].concat());
        assert_eq!(client.text(), "+OK\r\n");
        assert!(client.reply() == [format!("${length}\r\n").as_bytes(), value, b"\r\n"].concat(), "{length}");
        assert_eq!(client.text(), "+PONG\r\n");
    }
}
