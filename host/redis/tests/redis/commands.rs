//! The gateway's own commands, where there is nothing to compare them with.

use crate::fake::{Fake, Order};
use crate::harness::Server;
use outboard_redis::Options;

fn server() -> Server {
    Server::start(Fake::start(Order::AsTheyCome), Options::default())
}

#[test]
fn info_has_what_tools_look_for() {
    let server = server();
    let mut client = server.client();
    client.ask("SET a 1");
    client.ask("SET b 1");
    let text = client.ask("INFO");
    for line in [
        "# Server\r\n",
        "redis_version:7.0.15\r\n",
        "redis_mode:standalone\r\n",
        "connected_clients:1\r\n",
        "loading:0\r\n",
        "role:master\r\n",
        "cluster_enabled:0\r\n",
        "db0:keys=2,expires=0,avg_ttl=0\r\n",
        "total_commands_processed:",
        "# Outboard\r\n",
        "node:n1\r\n",
        "voters:3\r\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let memory: u64 = text
        .split("used_memory:")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next())
        .expect("there")
        .parse()
        .expect("a number");
    assert!(memory > 100_000 || cfg!(not(target_os = "linux")), "{memory}");
    let keyspace = client.ask("INFO keyspace");
    assert_eq!(keyspace, "$44\r\n# Keyspace\r\ndb0:keys=2,expires=0,avg_ttl=0\r\n\r\n");
    assert!(client.ask("INFO CPU memory").contains("# Memory") && !client.ask("INFO cpu").contains("# Memory"));
}

#[test]
fn counters_count_and_can_be_set_back() {
    let server = server();
    let mut client = server.client();
    for _ in 0..10 {
        client.ask("PING");
    }
    let processed = |text: String| {
        let number = text
            .split("total_commands_processed:")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next())
            .map(str::to_owned);
        number.expect("there").parse::<u64>().expect("a number")
    };
    assert!(processed(client.ask("INFO stats")) >= 10);
    client.ask("CONFIG RESETSTAT");
    assert!(processed(client.ask("INFO stats")) < 5);
}

#[test]
fn client_list_shows_every_connection_and_client_info_its_own() {
    let server = server();
    let (mut one, mut two) = (server.client(), server.client());
    one.ask("CLIENT SETNAME one");
    two.ask("CLIENT SETNAME two");
    assert_eq!(two.ask("CLIENT SETINFO lib-name some-lib"), "+OK\r\n");
    assert_eq!(two.ask("CLIENT SETINFO LIB-VER 1.2.3"), "+OK\r\n");
    assert!(two.ask("CLIENT SETINFO lib-other x").starts_with("-ERR Unrecognized option 'lib-other'"));
    assert!(two.ask("CLIENT SETINFO lib-name \"a b\"").starts_with("-ERR lib-name cannot contain spaces"));
    assert_eq!(two.ask("CLIENT NO-TOUCH on"), "+OK\r\n");
    let list = one.ask("CLIENT LIST");
    assert_eq!(list.matches("id=").count(), 2, "{list}");
    assert!(list.contains(" name=one ") && list.contains(" name=two "), "{list}");
    assert!(list.contains("cmd=client|list ") && list.contains("cmd=client|no-touch "), "{list}");
    assert!(list.contains("lib-name=some-lib lib-ver=1.2.3\n"), "{list}");
    let id = two.ask("CLIENT ID");
    let id = id.trim_start_matches(':').trim_end();
    let mine = two.ask("CLIENT INFO");
    assert!(mine.contains(&format!("id={id} ")) && mine.contains("name=two") && !mine.contains("name=one"), "{mine}");
    let one_of = one.ask(&format!("CLIENT LIST ID {id}"));
    assert!(one_of.contains("name=two") && !one_of.contains("name=one"), "{one_of}");
    two.ask("GET k");
    assert!(one.ask("CLIENT LIST").contains("cmd=get "));
    assert!(one.ask("HELLO 3").starts_with('%') && one.ask("CLIENT LIST").starts_with("="));
    drop(two);
    while one.ask("CLIENT LIST").contains("name=two") {
        std::thread::yield_now();
    }
}

#[test]
fn numbers_of_connections_are_not_used_again() {
    let server = server();
    let ids: Vec<String> = (0..5).map(|_| server.client().ask("CLIENT ID")).collect();
    let mut sorted = ids.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), 5, "{ids:?}");
}

#[test]
fn time_and_wait_tell_the_truth() {
    let server = server();
    let mut client = server.client();
    let time = client.ask("TIME");
    let seconds: u64 = time.split("\r\n").nth(2).expect("a bulk string").parse().expect("a number");
    assert!(seconds > 1_700_000_000, "{time}");
    // Of three nodes two have every acknowledged write: one beside the one that Redis would count from.
    assert_eq!(client.ask("WAIT 2 100"), ":1\r\n");
    assert_eq!(client.ask("READONLY"), "+OK\r\n");
    assert_eq!(client.ask("READWRITE"), "+OK\r\n");
}

#[test]
fn wait_comes_behind_the_writes_before_it() {
    let server = Server::start(Fake::start(Order::Held), Options::default());
    let mut client = server.client();
    client.send("SET a 1\r\nWAIT 1 0\r\n");
    server.fake.wait_for(1);
    server.fake.release(None);
    assert_eq!((client.text(), client.text()), ("+OK\r\n".into(), ":1\r\n".into()));
}

#[test]
fn config_get_tells_what_holds_here() {
    let server = server();
    let mut client = server.client();
    assert_eq!(client.ask("CONFIG GET appendonly"), "*2\r\n$10\r\nappendonly\r\n$3\r\nyes\r\n");
    assert_eq!(client.ask("CONFIG GET save"), "*2\r\n$4\r\nsave\r\n$0\r\n\r\n");
    let port = server.address.port().to_string();
    assert_eq!(client.ask("CONFIG GET port"), format!("*2\r\n$4\r\nport\r\n${}\r\n{port}\r\n", port.len()));
    assert!(client.ask("CONFIG GET *").starts_with("*30\r\n"));
    client.ask("HELLO 3");
    assert_eq!(client.ask("CONFIG GET save"), "%1\r\n$4\r\nsave\r\n$0\r\n\r\n");
}

#[test]
fn commands_of_the_engine_are_documented_from_its_manifest() {
    let server = server();
    let mut client = server.client();
    let docs = client.ask("COMMAND DOCS SET");
    for word in [
        "set",
        "as in Redis.",
        "0.0.1",
        "fake",
        "key",
        "value",
        "oneof",
        "NX",
        "pure-token",
        "seconds",
        "optional",
        "EX",
    ] {
        assert!(docs.contains(&format!("{word}\r\n")), "{word} in {docs}");
    }
    let count: usize = client.ask("COMMAND COUNT").trim_start_matches(':').trim_end().parse().expect("a number");
    assert!(client.ask("COMMAND LIST").starts_with(&format!("*{count}\r\n")));
    assert!(client.ask("COMMAND").starts_with(&format!("*{count}\r\n")));
    assert!(client.ask("COMMAND INFO").starts_with(&format!("*{count}\r\n")));
    assert!(client.ask("COMMAND DOCS").starts_with(&format!("*{}\r\n", 2 * count)));
    let info = client.ask("COMMAND INFO mset client|setname");
    assert!(info.starts_with("*2\r\n*10\r\n$4\r\nmset\r\n:-3\r\n*1\r\n+write\r\n:1\r\n:-1\r\n:2\r\n"), "{info}");
    assert!(info.contains("$14\r\nclient|setname\r\n:3\r\n"), "{info}");
    assert_eq!(
        client.ask("COMMAND LIST FILTERBY ACLCAT write"),
        "*6\r\n$3\r\nset\r\n$4\r\nmset\r\n$3\r\ndel\r\n$4\r\nincr\r\n$4\r\ntrap\r\n$3\r\nodd\r\n"
    );
    // The engine claims PING too; the gateway's stands.
    assert_eq!(client.ask("COMMAND LIST FILTERBY PATTERN ping"), "*1\r\n$4\r\nping\r\n");
    assert_eq!(client.ask("PING"), "+PONG\r\n");
    assert_eq!(server.fake.state().requests.lock().expect("no panics").len(), 0);
    for container in ["CLIENT", "CONFIG", "COMMAND"] {
        assert!(client.ask(&format!("{container} HELP")).contains("+HELP\r\n"));
    }
}
