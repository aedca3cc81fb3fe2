//! Who doesn't speak as Redis clients do gets an error or a closed connection; the node is unharmed and its memory bounded.

use crate::OUTBOARD;
use crate::redis::crowds::resident_kib;
use outboard_tests::{Cluster, Redis, Reply, command};

const VALUE_BYTES_MAX: usize = 1 << 20;
/// What a client that asks for a gigabyte and takes none of it may cost a node: 16 replies under way before the first is seen, eight
/// megabytes that wait for it, each of them once more on the way, and what the sockets take.
const NEVER_READ_KIB_MAX: u64 = 96 << 10;

#[test]
fn http_is_answered_as_http_and_no_command_in_it_is_executed() {
    let cluster = Cluster::start_with_redis(OUTBOARD, 1);
    let mut friend = cluster.redis_client(1);
    for request in [
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\nSET stolen 1\r\nFLUSHALL\r\n",
        "OPTIONS / HTTP/1.1\r\n\r\nSET stolen 1\r\n",
    ] {
        let mut browser = Redis::connect(cluster.redis(1)).expect("it listens");
        browser.send(request.as_bytes()).expect("it listens");
        let answer = String::from_utf8(browser.rest()).expect("HTTP is text");
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("Redis"), "{answer}");
    }
    // As a body that comes by itself.
    let mut browser = Redis::connect(cluster.redis(1)).expect("it listens");
    browser.send(b"Host: localhost\r\nSET stolen 1\r\n").expect("it listens");
    assert_eq!(browser.rest(), b"");
    assert_eq!(friend.ask(["EXISTS", "stolen"]), Reply::Integer(0));
    cluster.wait_for_log(1, "HTTP on the Redis port");
}

#[test]
fn a_tls_handshake_on_the_plain_port_is_closed_with_a_word_in_the_log() {
    let cluster = Cluster::start_with_redis(OUTBOARD, 1);
    let mut friend = cluster.redis_client(1);
    let mut client = Redis::connect(cluster.redis(1)).expect("it listens");
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 500]].concat();
    client.send(&hello).expect("it listens");
    assert_eq!(client.rest(), b"");
    cluster.wait_for_log(1, "TLS on a port without it");
    assert_eq!(friend.ask(["PING"]), Reply::Simple("PONG".to_owned()));
}

#[test]
fn malformed_resp_of_every_kind_is_an_error_and_the_end_of_its_connection_only() {
    let cluster = Cluster::start_with_redis(OUTBOARD, 1);
    let mut friend = cluster.redis_client(1);
    let long_line = [&vec![b'x'; 70 << 10][..], b"\r\n"].concat();
    let malformed: [&[u8]; 12] = [
        b"*1\r\n$x\r\nPING\r\n",
        b"*x\r\n",
        b"*1000000000\r\n$4\r\nPING\r\n",
        b"*99999999999999999999\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$99999999999\r\n",
        b"*1\r\n$2147483648\r\n",
        b"*1\r\n:5\r\n",
        b"*2\r\n$3\r\nGET\r\n*1\r\n",
        b"SET \"unbalanced x\r\n",
        b"SET k 'x'y\r\n",
        &long_line,
    ];
    for bytes in malformed {
        let mut stranger = Redis::connect(cluster.redis(1)).expect("it listens");
        // It may close before it has all of a long line.
        stranger.send(bytes).unwrap_or_default();
        let answer = stranger.rest();
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
        assert!(answer.starts_with(b"-ERR Protocol error: ") && answer.ends_with(b"\r\n"), "{shown:?}: {answer:?}");
    }
    // What stands before it is still answered, what stands behind it is never done.
    let mut stranger = Redis::connect(cluster.redis(1)).expect("it listens");
    let mixed = [&command(["SET", "k", "before"])[..], b"*1\r\n$x\r\n", &command(["SET", "k", "behind"])].concat();
    stranger.send(&mixed).expect("it listens");
    assert!(stranger.rest().starts_with(b"+OK\r\n-ERR Protocol error: "));
    assert_eq!(friend.ask(["GET", "k"]), Reply::bulk("before"));
    // Half a command, and the end.
    let mut stranger = Redis::connect(cluster.redis(1)).expect("it listens");
    stranger.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nha").expect("it listens");
    stranger.socket().shutdown(std::net::Shutdown::Write).expect("it is open");
    assert_eq!(stranger.rest(), b"");
    assert_eq!(friend.ask(["GET", "k"]), Reply::bulk("before"));
}

#[test]
fn a_value_over_the_limit_is_refused_and_the_connection_goes_on() {
    let cluster = Cluster::start_with_redis(OUTBOARD, 1);
    let mut redis = cluster.redis_client(1);
    let mut value = vec![b'x'; VALUE_BYTES_MAX];
    assert_eq!(redis.ask([&b"SET"[..], b"k", &value]), Reply::ok());
    value.push(b'x');
    let refused = redis.ask([&b"SET"[..], b"k2", &value]);
    assert!(matches!(&refused, Reply::Error(text) if text.contains("1048576")), "{refused:?}");
    // Not by way of another command either.
    assert!(redis.ask(["APPEND", "k", "x"]).is_error());
    let many = redis.ask(std::iter::once("DEL".to_owned()).chain((0..100_000).map(|number| number.to_string())));
    assert!(many.is_error_of("ERR"), "{many:?}");
    assert_eq!(redis.ask(["EXISTS", "k", "k2"]), Reply::Integer(1));
    assert_eq!(redis.ask(["STRLEN", "k"]), Reply::Integer(VALUE_BYTES_MAX as i64));
}

#[test]
fn a_client_that_asks_for_a_gigabyte_and_reads_none_of_it_costs_little_and_delays_nobody() {
    let cluster = Cluster::start_with_redis(OUTBOARD, 1);
    let mut friend = cluster.redis_client(1);
    let value = vec![b'x'; VALUE_BYTES_MAX];
    assert_eq!(friend.ask([&b"SET"[..], b"large", &value]), Reply::ok());
    assert_eq!(friend.ask(["GET", "large"]), Reply::bulk(&value));
    let before = resident_kib(cluster.pid(1));
    let mut stuck = Redis::connect(cluster.redis(1)).expect("it listens");
    stuck.send(&command(["GET", "large"]).repeat(1_000)).expect("what asks is small");
    for number in 0..200 {
        assert_eq!(friend.ask(["INCR", "n"]), Reply::Integer(number + 1));
    }
    let grown = resident_kib(cluster.pid(1)).saturating_sub(before);
    assert!(grown < NEVER_READ_KIB_MAX, "the node grew by {grown} KiB");
    // It was not forgotten: once it reads, all is there.
    for _ in 0..1_000 {
        assert!(stuck.reply().expect("a reply") == Reply::bulk(&value));
    }
}

#[test]
#[ignore = "waits for a minute: cargo test -p outboard --test processes -- --ignored reads_for_a_minute"]
fn a_client_that_takes_nothing_of_its_replies_reads_for_a_minute_is_cut_off_with_a_line_in_the_log() {
    let cluster = Cluster::start_with_redis(OUTBOARD, 1);
    let mut friend = cluster.redis_client(1);
    assert_eq!(friend.ask([&b"SET"[..], b"large", &vec![b'x'; VALUE_BYTES_MAX]]), Reply::ok());
    let mut stuck = Redis::connect(cluster.redis(1)).expect("it listens");
    stuck.send(&command(["GET", "large"]).repeat(100)).expect("what asks is small");
    let mut half = Redis::connect(cluster.redis(1)).expect("it listens");
    half.send(b"*2\r\n$3\r\nGET\r\n$5\r\nla").expect("it listens");
    cluster.wait_for_log(1, "cut off: it takes nothing of its replies");
    cluster.wait_for_log(1, "cut off: half a command, and silence");
    assert_eq!(half.rest(), b"");
    assert_eq!(friend.ask(["PING"]), Reply::Simple("PONG".to_owned()));
}
