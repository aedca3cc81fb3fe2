//! MULTI, EXEC and WATCH, beyond what is compared with Redis.

use crate::fake::{Fake, Order};
use crate::harness::{Server, array};
use outboard_redis::Options;
use outboard_wire::client::{RequestBody, Response};

fn server(order: Order) -> Server {
    Server::start(Fake::start(order), Options::default())
}

fn requests(server: &Server) -> Vec<RequestBody> {
    server.fake.state().requests.lock().expect("no panics").clone()
}

#[test]
fn a_transaction_is_one_request_and_its_own_commands_keep_their_places() {
    let server = server(Order::AsTheyCome);
    let mut client = server.client();
    client.send("MULTI\r\nPING\r\nSET a 1\r\nECHO x\r\nINCR a\r\nEXEC\r\nGET a\r\n");
    assert_eq!(client.text(), "+OK\r\n");
    (0..4).for_each(|_| assert_eq!(client.text(), "+QUEUED\r\n"));
    assert_eq!(client.text(), "*4\r\n+PONG\r\n+OK\r\n$1\r\nx\r\n:2\r\n");
    assert_eq!(client.text(), "$1\r\n2\r\n");
    let requests = requests(&server);
    assert_eq!(requests.len(), 2, "{requests:?}");
    let RequestBody::Transaction { commands, watcher: None, id: None } = &requests[0] else { panic!("{requests:?}") };
    assert_eq!(commands.len(), 2);
}

#[test]
fn a_refused_command_undoes_the_whole_transaction() {
    let server = server(Order::AsTheyCome);
    let mut client = server.client();
    client.ask("SET text abc");
    for (line, why) in [("INCR text", "value is not an integer or out of range"), ("TRAP", "the engine trapped")] {
        client.ask("MULTI");
        client.ask("SET a 1");
        client.ask(line);
        assert_eq!(client.ask("EXEC"), format!("-EXECABORT Transaction discarded because of: {why}\r\n"));
        assert_eq!(client.ask("GET a"), "$-1\r\n");
        assert_eq!(client.ask("EXEC"), "-ERR EXEC without MULTI\r\n");
    }
}

#[test]
fn a_transaction_whose_outcome_is_unknown_is_not_called_aborted() {
    for (response, word) in [
        (Response::Unknown("lost".into()), "-UNKNOWN "),
        (Response::NotDone("no leader".into()), "-CLUSTERDOWN "),
        (Response::Overloaded, "-TRYAGAIN "),
        (Response::Rejected("ERR no".into()), "-EXECABORT "),
        (Response::WatchBroken, "*-1\r\n"),
        // One reply for two commands.
        (Response::Replies(vec!["+OK\r\n".into()]), "-UNKNOWN "),
    ] {
        let server = server(Order::Held);
        let mut client = server.client();
        for line in ["MULTI", "SET a 1", "SET b 1"] {
            client.ask(line);
        }
        client.send("EXEC\r\n");
        server.fake.wait_for(1);
        server.fake.release(Some(response));
        let text = client.text();
        assert!(text.starts_with(word), "{text}");
    }
}

#[test]
fn a_watch_is_waited_for_and_used_up_once() {
    let server = server(Order::Shuffled(9));
    let (mut one, mut other) = (server.client(), server.client());
    one.send("WATCH k\r\nGET k\r\nMULTI\r\nSET k 1\r\nEXEC\r\nMULTI\r\nSET k 2\r\nEXEC\r\n");
    let replies: Vec<String> = (0..8).map(|_| one.text()).collect();
    assert_eq!(
        replies,
        ["+OK\r\n", "$-1\r\n", "+OK\r\n", "+QUEUED\r\n", "*1\r\n+OK\r\n", "+OK\r\n", "+QUEUED\r\n", "*1\r\n+OK\r\n"]
    );
    one.ask("WATCH k j");
    other.ask("SET j 7");
    one.ask("MULTI");
    one.ask("SET k 3");
    assert_eq!(one.ask("EXEC"), "*-1\r\n");
    assert_eq!(one.ask("GET k"), "$1\r\n2\r\n");
    one.ask("HELLO 3");
    one.ask("WATCH k");
    other.ask("SET k 7");
    one.ask("MULTI");
    one.ask("SET k 3");
    assert_eq!(one.ask("EXEC"), "_\r\n");
    let watchers: Vec<Option<u64>> = requests(&server)
        .iter()
        .filter_map(|body| if let RequestBody::Transaction { watcher, .. } = body { Some(*watcher) } else { None })
        .collect();
    assert_eq!(watchers, [Some(1), None, Some(2), Some(3)]);
}

#[test]
fn a_watch_that_failed_keeps_exec_from_doing_anything() {
    let server = server(Order::Held);
    let mut client = server.client();
    client.send("WATCH k\r\n");
    server.fake.wait_for(1);
    server.fake.release(Some(Response::NotDone("no leader".into())));
    assert_eq!(client.text(), "-CLUSTERDOWN no leader\r\n");
    assert_eq!(client.ask("WATCH j"), "+OK\r\n");
    client.ask("MULTI");
    client.ask("SET k 1");
    assert_eq!(client.ask("EXEC"), "*-1\r\n");
    assert_eq!(requests(&server).len(), 1, "nothing but the WATCH was asked");
    // The next one is a new beginning.
    client.ask("MULTI");
    client.ask("SET k 1");
    client.send("EXEC\r\n");
    server.fake.wait_for(1);
    server.fake.release(None);
    assert_eq!(client.text(), "*1\r\n+OK\r\n");
}

#[test]
fn what_is_watched_is_given_up_when_it_is_not_needed_any_more() {
    for ending in
        ["UNWATCH", "RESET", "QUIT", "MULTI | DISCARD", "MULTI | FOO | EXEC", "MULTI | EXEC", "MULTI | EXEC x", ""]
    {
        let server = server(Order::AsTheyCome);
        let mut client = server.client();
        client.ask("WATCH k");
        ending.split(" | ").filter(|line| !line.is_empty()).for_each(|line| drop(client.ask(line)));
        drop(client);
        while !requests(&server).contains(&RequestBody::Unwatch { watcher: 1 }) {
            std::thread::yield_now();
        }
        assert_eq!(requests(&server).len(), 2, "{ending}");
    }
}

#[test]
fn a_watch_whose_client_left_before_its_answer_is_given_up_too() {
    for reset in [false, true] {
        let server = server(Order::Held);
        let mut client = server.client();
        client.send("WATCH k\r\n");
        server.fake.wait_for(1);
        if reset {
            client.reset();
        } else {
            drop(client);
        }
        server.fake.release(None);
        while !requests(&server).contains(&RequestBody::Unwatch { watcher: 1 }) {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_transaction_is_bounded() {
    let server = server(Order::AsTheyCome);
    let mut client = server.client();
    client.ask("MULTI");
    let value = vec![b'x'; 1 << 20];
    let mut refused = None;
    for n in 0..10 {
        client.send(array(&[b"SET", b"k", &value]));
        let text = client.text();
        if text != "+QUEUED\r\n" {
            refused = Some((n, text));
            break;
        }
    }
    assert_eq!(refused, Some((7, "-ERR a transaction is longer than 8388608 bytes\r\n".to_owned())));
    assert_eq!(client.ask("EXEC"), "-EXECABORT Transaction discarded because of previous errors.\r\n");
    client.ask("MULTI");
    client.send("GET k\r\n".repeat(1_025));
    (0..1_024).for_each(|_| assert_eq!(client.text(), "+QUEUED\r\n"));
    assert_eq!(client.text(), "-ERR a transaction has at most 1024 commands\r\n");
    assert!(client.ask("EXEC").starts_with("-EXECABORT "));
}

#[test]
fn logins_do_not_stand_in_transactions() {
    let server = server(Order::AsTheyCome);
    let mut client = server.client();
    for line in ["AUTH default x", "HELLO 3"] {
        client.ask("MULTI");
        assert_eq!(client.ask(line), "-ERR Command not allowed inside a transaction\r\n");
        assert!(client.ask("EXEC").starts_with("-EXECABORT "));
    }
}
