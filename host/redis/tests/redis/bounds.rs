//! What a client can make grow, and where it ends.

use crate::fake::{Fake, Order};
use crate::harness::{Server, array};
use outboard_redis::Options;
use outboard_redis::limits::{OUTPUT_BYTES_PAUSE, PIPELINE_BYTES_MAX, PIPELINE_MAX};
use outboard_wire::client::Response;
use std::io::Write;
use std::sync::atomic::Ordering::SeqCst;

#[test]
fn a_client_that_asks_faster_than_it_is_answered_is_held_back() {
    let server = Server::start(Fake::start(Order::Held), Options::default());
    let mut client = server.client();
    let mut writer = client.get_ref().try_clone().expect("a socket");
    let commands = 3_000;
    let asking = std::thread::spawn(move || writer.write_all("INCR n\r\n".repeat(commands).as_bytes()));
    let reading = std::thread::spawn(move || (1..=commands).all(|n| client.text() == format!(":{n}\r\n")));
    while !reading.is_finished() {
        server.fake.release(None);
        std::thread::yield_now();
    }
    asking.join().expect("no panic").expect("all is taken");
    assert!(reading.join().expect("no panic"), "all in order");
    let most = server.fake.state().waiting_most.load(SeqCst);
    assert!((2..=PIPELINE_MAX).contains(&most), "{most} at once");
}

#[test]
fn large_commands_are_held_back_by_their_bytes() {
    let server = Server::start(Fake::start(Order::Held), Options::default());
    let client = server.client();
    let mut writer = client.get_ref().try_clone().expect("a socket");
    let command = array(&[b"SET", b"k", &vec![b'x'; 1 << 20]]);
    let asking = std::thread::spawn(move || (0..60).for_each(|_| writer.write_all(&command).unwrap_or_default()));
    server.fake.wait_for(PIPELINE_BYTES_MAX / (1 << 20));
    // Whatever else is sent now is not read.
    std::thread::sleep(std::time::Duration::from_millis(100));
    let waiting = server.fake.state().held.load(SeqCst);
    assert!(waiting <= PIPELINE_BYTES_MAX / (1 << 20) + 1, "{waiting} MiB at once");
    client.get_ref().shutdown(std::net::Shutdown::Both).expect("open");
    asking.join().expect("no panic");
}

#[test]
fn a_client_that_does_not_read_makes_the_node_read_no_more_for_it() {
    let server = Server::start(Fake::start(Order::AsTheyCome), Options::default());
    let mut client = server.client();
    client.send(array(&[b"SET", b"k", &vec![b'x'; 1 << 20]]));
    assert_eq!(client.text(), "+OK\r\n");
    client.ask("GET k");
    let gets = 2_000;
    client.send("GET k\r\n".repeat(gets));
    let mut other = server.client();
    let (mut before, mut quiet) = (0, 0);
    while quiet < 10 {
        std::thread::sleep(std::time::Duration::from_millis(20));
        let held = held_for_the_slow(&other.ask("CLIENT LIST"));
        assert!(held <= 2 * OUTPUT_BYTES_PAUSE, "{held} bytes are held for a client that does not read");
        quiet = if held == before { quiet + 1 } else { 0 };
        before = held;
    }
    assert!(server.fake.state().requests.lock().expect("no panics").len() < 100);
    assert_eq!(other.ask("PING"), "+PONG\r\n");
    // When it reads, it gets all.
    for _ in 0..gets {
        assert_eq!(client.reply().len(), (1 << 20) + 12);
    }
}

/// The most that is not taken of one connection, by CLIENT LIST.
fn held_for_the_slow(list: &str) -> usize {
    let numbers = list
        .split(" omem=")
        .skip(1)
        .map(|rest| rest.split(' ').next().expect("a number").parse::<usize>().expect("a number"));
    numbers.max().expect("connections")
}

#[test]
fn replies_beyond_the_bound_cut_the_connection_off() {
    let server = Server::start(Fake::start(Order::Held), Options::default());
    let mut client = server.client();
    // Writes: of reads so many start only when replies were seen.
    client.send("SET k v\r\n".repeat(100));
    server.fake.wait_for(100);
    // One buffer, a hundred times.
    let value = [&b"$4194304\r\n"[..], &vec![b'x'; 4 << 20], b"\r\n"].concat();
    server.fake.release(Some(Response::Reply(value.into())));
    let mut other = server.client();
    while !other.ask("INFO stats").contains("cut_off_connections:1\r\n") {
        std::thread::yield_now();
    }
    assert!(client.rest().len() < 100 * (4 << 20));
}

#[test]
fn when_all_hold_too_much_new_commands_are_refused_and_who_grows_is_cut_off() {
    let held_bytes_max = 4 << 20;
    let server = Server::start(Fake::start(Order::Held), Options { held_bytes_max, ..Options::default() });
    let (large, small) = (vec![b'x'; 1 << 20], vec![b'x'; 10 << 10]);
    let (mut first, mut second, mut third) = (server.client(), server.client(), server.client());
    first.send(array(&[b"SET", b"k", &large]).repeat(3));
    server.fake.wait_for(3);
    // What is held is counted after each turn, which may read a quarter of a megabyte: twice as many as fit.
    second.send(array(&[b"SET", b"k", &small]).repeat(200));
    let held = |text: String| {
        let number =
            text.split("used_memory_clients:").nth(1).and_then(|rest| rest.split("\r\n").next()).map(str::to_owned);
        number.expect("there").parse::<usize>().expect("a number")
    };
    while held(third.ask("INFO memory")) < held_bytes_max {
        std::thread::yield_now();
    }
    assert!(third.ask("GET k").starts_with("-TRYAGAIN "));
    assert!(third.ask("WATCH k").starts_with("-TRYAGAIN "));
    assert_eq!(third.ask("PING"), "+PONG\r\n", "what asks for nothing goes on");
    // Half a command that grows.
    third.try_send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048576\r\n");
    third.try_send(&large[..1 << 19]);
    assert_eq!(third.rest(), b"");
    server.fake.release(None);
    (0..3).for_each(|_| assert_eq!(first.text(), "+OK\r\n"));
    let answers: Vec<String> = (0..200).map(|_| second.text()).collect();
    assert!(answers[..90].iter().all(|answer| answer == "+OK\r\n"), "{answers:?}");
    assert!(answers[199].starts_with("-TRYAGAIN "), "{answers:?}");
    second.send("SET k v\r\n");
    server.fake.wait_for(1);
    server.fake.release(None);
    assert_eq!(second.text(), "+OK\r\n");
}

#[test]
fn connections_beyond_the_bound_are_told_so_and_room_is_used_again() {
    let server = Server::start(Fake::start(Order::AsTheyCome), Options { connections_max: 2, ..Options::default() });
    let (mut one, mut two) = (server.client(), server.client());
    assert_eq!((one.ask("PING"), two.ask("PING")), ("+PONG\r\n".into(), "+PONG\r\n".into()));
    let mut three = server.client();
    assert_eq!(three.rest(), b"-ERR max number of clients reached\r\n");
    drop(two);
    while one.ask("INFO clients").contains("connected_clients:2") {
        std::thread::yield_now();
    }
    assert_eq!(server.client().ask("PING"), "+PONG\r\n");
    assert!(one.ask("INFO stats").contains("rejected_connections:1\r\n"));
}

#[test]
fn a_thousand_connections_are_served_at_once() {
    let server = Server::start(Fake::start(Order::AsTheyCome), Options::default());
    let mut clients: Vec<_> = (0..400).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send("INCR n\r\n");
    }
    let mut numbers: Vec<String> = clients.iter_mut().map(|client| client.text()).collect();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 400);
    assert!(clients[0].ask("INFO clients").contains("connected_clients:400\r\n"));
}

#[test]
fn values_and_commands_over_the_limit_are_refused_and_the_connection_goes_on() {
    let server = Server::start(Fake::start(Order::AsTheyCome), Options::default());
    let mut client = server.client();
    let value = vec![b'x'; 1 << 20];
    client.send(array(&[b"SET", b"k", &[&value[..], b"x"].concat()]));
    assert_eq!(client.text(), "-ERR a value is longer than 1048576 bytes\r\n");
    client.send(array(&[&[&b"MSET"[..], b"k"], &vec![&value[..]; 9][..]].concat()));
    assert_eq!(client.text(), "-ERR a command is longer than 8388608 bytes\r\n");
    client.send(array(&vec![&b"DEL"[..]; 65_537]));
    assert_eq!(client.text(), "-ERR a command has at most 65536 arguments\r\n");
    // In a transaction that is an error like any other.
    client.ask("MULTI");
    client.send(array(&[b"SET", b"k", &[&value[..], b"x"].concat()]));
    assert!(client.text().starts_with("-ERR a value"));
    assert!(client.ask("EXEC").starts_with("-EXECABORT "));
    assert_eq!(client.ask("PING"), "+PONG\r\n");
    assert!(server.fake.state().requests.lock().expect("no panics").is_empty());
}
