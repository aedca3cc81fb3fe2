//! Clients of other protocols, and bytes of no protocol at all.

use crate::damage::damaged;
use crate::fake::{Fake, Order};
use crate::harness::{Server, array};
use outboard_redis::Options;

fn server() -> Server {
    Server::start(Fake::start(Order::AsTheyCome), Options::default())
}

fn nothing_was_asked(server: &Server) {
    let requests = server.fake.state().requests.lock().expect("no panics");
    assert!(requests.is_empty(), "{requests:?}");
}

#[test]
fn http_is_answered_and_closed_and_no_command_of_it_is_executed() {
    let server = server();
    for request in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\nSET k evil\r\n",
        "PUT /x HTTP/1.0\n\nSET k evil\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut client = server.client();
        client.send(request);
        let answer = String::from_utf8(client.rest()).expect("text");
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.contains("redis-cli"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 400").count(), 1);
    }
    nothing_was_asked(&server);
    assert_eq!(server.client().ask("GET k"), "$-1\r\n");
}

#[test]
fn words_of_http_in_any_form_end_the_connection() {
    let server = server();
    for stream in [array(&[b"POST", b"/"]), array(&[b"Host:", b"x"]), b"Host: x\r\nSET k evil\r\n".to_vec()] {
        let mut client = server.client();
        client.send([stream, b"SET k evil\r\n".to_vec()].concat());
        assert_eq!(client.rest(), b"");
    }
    nothing_was_asked(&server);
}

#[test]
fn a_tls_client_on_a_plain_port_is_closed() {
    let server = server();
    let mut client = server.client();
    client.send(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03");
    assert_eq!(client.rest(), b"");
    // The byte itself is welcome in a value.
    let mut client = server.client();
    client.send(array(&[b"SET", b"k", b"\x16\x03"]));
    assert_eq!(client.text(), "+OK\r\n");
    client.send(array(&[b"SET", b"k", &[0x16; 2 << 20]]));
    assert_eq!(client.text(), "-ERR a value is longer than 1048576 bytes\r\n");
    assert_eq!(client.ask("PING"), "+PONG\r\n");
}

#[test]
fn what_cannot_be_read_is_told_and_closed_behind_the_replies_before_it() {
    let server = server();
    for (stream, error) in [
        (&b"*1000000000\r\n"[..], "invalid multibulk length"),
        (b"*2\r\n$3\r\nGET\r\n$-5\r\n", "invalid bulk length"),
        (b"*2\r\n$3\r\nGET\r\n:5\r\n", "expected '$', got ':'"),
        (b"*2\r\n$3\r\nGET\r\n$1\r\nabc\r\n", "invalid bulk length"),
        (b"GET \"k\r\n", "unbalanced quotes in request"),
    ] {
        let mut client = server.client();
        client.send([b"SET k v\r\nPING\r\n", stream, b"SET k evil\r\n"].concat());
        assert_eq!(client.text(), "+OK\r\n");
        assert_eq!(client.text(), "+PONG\r\n");
        assert_eq!(client.text(), format!("-ERR Protocol error: {error}\r\n"));
        assert_eq!(client.rest(), b"");
    }
    assert_eq!(server.client().ask("GET k"), "$1\r\nv\r\n");
}

#[test]
fn a_client_that_is_told_off_can_read_it_while_it_still_sends() {
    let server = server();
    let mut client = server.client();
    let much = [&b"*1\r\nx\r\n"[..], &vec![b'y'; 3 << 20]].concat();
    client.try_send(&much);
    assert_eq!(client.text(), "-ERR Protocol error: expected '$', got 'x'\r\n");
}

#[test]
fn garbage_of_every_kind_leaves_the_listener_unharmed() {
    let server = server();
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..200 {
        let garbage: Vec<u8> = (0..round * 7)
            .map(|_| {
                chance ^= chance << 13;
                chance ^= chance >> 7;
                chance ^= chance << 17;
                b"*$\r\n012 \"'GETPING\0\xff"[(chance % 20) as usize % 19]
            })
            .collect();
        let mut client = server.client();
        client.try_send(&garbage);
        client.get_ref().shutdown(std::net::Shutdown::Write).unwrap_or_default();
        client.rest();
    }
    assert_eq!(server.client().ask("PING"), "+PONG\r\n");
}

#[test]
fn damage_of_every_kind_leaves_the_listener_unharmed_and_the_neighbours_served() {
    let server = server();
    let mut neighbour = server.client();
    for seed in 0..1_000 {
        let mut client = server.client();
        client.try_send(&damaged(seed));
        client.get_ref().shutdown(std::net::Shutdown::Write).unwrap_or_default();
        client.rest();
        assert_eq!(neighbour.ask("ECHO here"), "$4\r\nhere\r\n", "after seed {seed}");
    }
    // Nothing of all that is kept.
    while !neighbour.ask("INFO clients").contains("connected_clients:1\r\n") {
        std::thread::yield_now();
    }
    assert!(neighbour.ask("INFO memory").contains("used_memory_clients:"));
}
