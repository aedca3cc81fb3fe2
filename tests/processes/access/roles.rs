//! Clients that belong to the cluster, and what their roles don't allow; and one that is revoked.

use super::{Fort, Row, TREASURE, text};
use crate::OUTBOARD;
use bytes::Bytes;
use outboard_client::{Client, ClientError, Context, Options};
use outboard_net::{ClientConnection, Refusal};
use outboard_tests::{Cluster, PATIENCE};
use outboard_wire::access::{AccessCommand, Enrolment, Enrols, MemberChange, Role, TokenSpec};
use outboard_wire::bulk::{BulkHeader, BulkReply, Certify, Holder};
use outboard_wire::client::{Answer, Consistency, Request, RequestBody, RequestId, Response};
use std::path::{Path, PathBuf};

/// Who may: R(eader), W(riter), O(perator), D(eployer); an admin always. What is typed. Words of the refusal for all others.
type Asked = (&'static str, &'static [&'static str], &'static str);

const LINES: [Asked; 28] = [
    ("RWOD", &["status"], ""),
    ("RWOD", &["engine", "list"], ""),
    ("RWOD", &["member", "list"], ""),
    ("RW", &["get", "treasure"], "run a command that reads: that takes a reader, a writer or an admin"),
    ("RW", &["get", "treasure", "--consistency", "stale"], "run a command that reads"),
    ("RW", &["scan"], "run a command that reads"),
    (
        "W",
        &["call", "--idempotent", "SET", "treasure", "stolen"],
        "run a command that writes: that takes a writer or an admin",
    ),
    ("W", &["call", "--idempotent", "NOSUCH", "treasure"], "run a command that is not known to read only"),
    ("W", &["call", "--idempotent", "FLUSHALL"], "run a command that writes"),
    ("D", &["engine", "push", "kv-basic"], "push an engine: that takes a deployer or an admin"),
    ("D", &["engine", "upgrade", "kv-basic"], "an engine: that takes a deployer or an admin"),
    ("O", &["leader", "transfer"], "hand leadership over: that takes an operator or an admin"),
    ("O", &["member", "remove", "n1"], "change the members: that takes an operator or an admin"),
    ("O", &["member", "remove", "n1", "--force"], "change the members"),
    ("O", &["member", "remove", "n1", "--dry-run"], "change the members"),
    ("O", &["member", "promote", "n1"], "change the members"),
    ("O", &["member", "demote", "n1", "--force"], "change the members"),
    ("O", &["member", "replace", "n1", "n1"], "change the members"),
    ("", &["member", "add", "n2=127.0.0.1:1", "--out", "added"], "make or revoke tokens: that takes an admin"),
    ("", &["token", "create"], "make or revoke tokens: that takes an admin"),
    ("", &["token", "create", "--client", "admin"], "make or revoke tokens"),
    ("", &["token", "create", "--dry-run"], "list tokens and clients: that takes an admin"),
    ("", &["token", "list"], "list tokens and clients: that takes an admin"),
    ("", &["token", "revoke", "t-0000000000000"], "make or revoke tokens"),
    ("", &["client", "list"], "list tokens and clients"),
    ("", &["client", "role", "reader", "admin"], "change what clients may do: that takes an admin"),
    ("", &["client", "revoke", "admin"], "change what clients may do"),
    ("", &["client", "revoke", "admin", "--dry-run"], "list tokens and clients"),
];

/// What no command line asks by itself: who may, and the request.
fn requests() -> [(&'static str, RequestBody); 13] {
    let words = |words: &[&str]| words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect::<Vec<_>>();
    let steal = || words(&["SET", TREASURE.0, "stolen"]);
    let spec = TokenSpec { id: 1, verifier: [1; 32], enrols: Enrols::Client(Role::Admin), lasts_ms: 9_000, uses: 1 };
    let address = "127.0.0.1:1".to_owned();
    let enrolment = Enrolment { token: 1, key: [1; 32], name: "eve".to_owned(), address };
    let access = RequestBody::Access;
    let remove = MemberChange::Remove { node: 1 };
    let id = Some(RequestId { session: 1, sequence: 1, settled_below: 1 });
    [
        ("W", RequestBody::Command { arguments: steal(), consistency: Consistency::Stale, id }),
        ("W", RequestBody::Transaction { commands: vec![steal()], watcher: None, id: None }),
        ("W", RequestBody::Watch { watcher: None, keys: words(&[TREASURE.0]) }),
        ("W", RequestBody::Unwatch { watcher: 1 }),
        ("RW", RequestBody::SessionOpen),
        ("RW", RequestBody::SessionClose { session: 1 }),
        ("D", RequestBody::EngineUpgrade { digest: "0123".to_owned() }),
        ("O", RequestBody::MemberChange { change: remove, forced: true, dry_run: false }),
        ("O", access(AccessCommand::MemberForget { node: 1 })),
        ("", access(AccessCommand::TokenCreate(spec))),
        ("", access(AccessCommand::ClientRole { name: "reader".to_owned(), role: Role::Admin })),
        // Not even an admin's: among nodes only.
        ("-", access(AccessCommand::Enrol(enrolment))),
        ("-", RequestBody::Control { command: Bytes::from_static(b"anything") }),
    ]
}

/// What nodes ask each other on streams of their own.
fn streams() -> [BulkHeader; 3] {
    let holder = Holder::Client { name: "admin".to_owned() };
    [
        // The key that everything stands on.
        BulkHeader::Authority,
        BulkHeader::Certify(Certify { request: vec![1, 2, 3], holder }),
        BulkHeader::Fetch { digest: outboard_wire::command::Digest([0; 32]) },
    ]
}

/// A client of each role, called by its role; its context and the letter that stands for it.
fn clients(cluster: &Cluster) -> Vec<(Role, char, PathBuf)> {
    let client = |role: Role| {
        let token = cluster.run(["token", "create", "--client", role.name()]).ok().text().to_owned();
        let path = cluster.folder().join(format!("{role}.toml"));
        let seed = cluster.address(1).to_string();
        cluster.program().run(["-c", text(&path), "join", &seed, &token, "--name", role.name()]).ok();
        let letter = role.name().to_ascii_uppercase().chars().next().expect("roles have names");
        (role, letter, path)
    };
    [Role::Reader, Role::Writer, Role::Operator, Role::Deployer].into_iter().map(client).collect()
}

#[test]
fn each_role_gets_nothing_done_but_its_own_and_a_revoked_client_nothing_at_all() {
    let cluster = Cluster::start(OUTBOARD, 1);
    let clients = clients(&cluster);
    let ca = cluster.dir(1).join("ca");
    let fort = Fort::new(cluster.program(), cluster.folder(), &ca, cluster.address(1), &cluster.client_context());
    for (role, letter, context) in &clients {
        by_the_command_line(&fort, *role, *letter, context);
        past_it(&fort, *role, *letter, context);
    }
    by_the_library(&fort, &clients[0].2);
    not_even_an_admin(&fort, &cluster);
    revoked(&fort, &cluster, &clients[1].2);
}

fn by_the_command_line(fort: &Fort, role: Role, letter: char, context: &Path) {
    let begins = format!("{role} is ");
    for (able, line, refusal) in LINES {
        if !able.contains(letter) {
            fort.refuses(context, &Row { who: role.name(), line, exit: 6, says: &["OB6003", &begins, refusal] });
        } else if able == "RWOD" || able.contains('R') {
            fort.program.run(["-c", text(context)].iter().chain(line)).ok();
        }
    }
    // `put` opens a session first, which is every reader's and stands in the log.
    if letter != 'W' {
        let row = Row { who: role.name(), line: &["put", "treasure", "stolen"], exit: 6, says: &["OB6003", &begins] };
        fort.refuses_in_the_log(context, &row);
        fort.refuses_in_the_log(context, &Row { line: &["del", "treasure"], ..row });
    }
}

fn past_it(fort: &Fort, role: Role, letter: char, context: &Path) {
    let credentials = Context::load_file(context).expect("join wrote it").credentials;
    let connection = fort.is_untouched(ClientConnection::connect(fort.address, &credentials)).expect("it is enrolled");
    for (able, body) in requests() {
        if !able.contains(letter) {
            let refused = fort.is_untouched(ask(&connection, body.clone()));
            assert!(matches!(&refused, Response::Forbidden(_)), "{role} {body:?}: {refused:?}");
        }
    }
    for header in streams() {
        let refused = fort.is_untouched(ask_by_a_stream(&connection, &header));
        assert_eq!(refused, BulkReply::Refused("only a node may do this".to_owned()), "{role} {header:?}");
    }
}

/// What a program that uses the library is told.
fn by_the_library(fort: &Fort, context: &Path) {
    let reader = Context::load_file(context).expect("join wrote it");
    let options = Options { sessions: false, ..Options::default() };
    let told = fort.is_untouched(async {
        let client = Client::connect_with(&reader, options).await.expect("it is enrolled");
        client.set(TREASURE.0, "stolen").await.expect_err("it may only read")
    });
    let ClientError::Forbidden(why) = told else { panic!("{told}") };
    assert_eq!(why, "reader is a reader and may not run a command that writes: that takes a writer or an admin");
}

fn not_even_an_admin(fort: &Fort, cluster: &Cluster) {
    let admin = cluster.client_context().credentials;
    let connection = fort.is_untouched(ClientConnection::connect(fort.address, &admin)).expect("it is the admin");
    for (_, body) in requests().into_iter().filter(|(able, _)| *able == "-") {
        let refused = fort.is_untouched(ask(&connection, body.clone()));
        assert!(matches!(&refused, Response::Forbidden(why) if why.contains("no client may")), "{body:?}: {refused:?}");
    }
    for header in streams() {
        let refused = fort.is_untouched(ask_by_a_stream(&connection, &header));
        assert_eq!(refused, BulkReply::Refused("only a node may do this".to_owned()), "{header:?}");
    }
    // The only admin can't lock everybody out.
    for line in [&["client", "revoke", "admin"][..], &["client", "role", "admin", "reader"]] {
        let row = Row { who: "the only admin", line, exit: 4, says: &["OB4005", "admin is the only admin"] };
        fort.refuses_in_the_log(cluster.context(), &row);
    }
}

fn revoked(fort: &Fort, cluster: &Cluster, context: &Path) {
    let credentials = Context::load_file(context).expect("join wrote it").credentials;
    let connection = fort.is_untouched(ClientConnection::connect(fort.address, &credentials)).expect("it may yet");
    cluster.run(["client", "revoke", "writer"]).ok();
    fort.settle();
    // The connection that stands, a new one, and a new name by the same one.
    fort.is_untouched(connection.closed());
    assert_eq!(connection.refusal(), Some(Refusal::Revoked));
    for line in [&["get", "treasure"][..], &["put", "treasure", "stolen"], &["status"], &["member", "list"]] {
        fort.refuses(context, &Row { who: "a revoked client", line, exit: 6, says: &["OB6001", "revoked"] });
    }
    // Neither its role nor its name is given out again.
    let row =
        |line| Row { who: "the admin, for a revoked client", line, exit: 4, says: &["OB4005", "writer is revoked"] };
    fort.refuses_in_the_log(cluster.context(), &row(&["client", "role", "writer", "admin"]));
    let token = cluster.run(["token", "create", "--client", "writer"]).ok().text().to_owned();
    let (seed, again) = (fort.address.to_string(), cluster.folder().join("again.toml"));
    let line = ["join", &seed, &token, "--name", "writer"];
    let says = ["OB6005", "writer was revoked, and its name is not given out again"];
    fort.refuses_in_the_log(
        &again,
        &Row { who: "a revoked client with a new token", line: &line, exit: 6, says: &says },
    );
}

async fn ask(connection: &ClientConnection, body: RequestBody) -> Response {
    let timeout_ms = PATIENCE.as_millis() as u32;
    let answer = connection.request(Request { timeout_ms, body }.encode().into()).await.expect("an answer");
    Answer::decode(&answer).expect("readable").response
}

async fn ask_by_a_stream(connection: &ClientConnection, header: &BulkHeader) -> BulkReply {
    let mut stream = connection.open_bulk(header.encode().into()).await.expect("a stream");
    stream.finish().await.expect("open");
    let reply = stream.read_frame().await.expect("an answer").expect("not empty");
    BulkReply::decode(&reply).expect("readable")
}
