//! Joins that come to nothing: tokens that are damaged or let nobody in any more, and good ones in the wrong hands or with the wrong wish.

use super::{Fort, Row, text};
use crate::OUTBOARD;
use outboard_client::Context;
use outboard_net::{Authority, ClusterId, Token};
use outboard_node::enrolment::{join_client, join_node};
use outboard_node::formation::{Planned, form};
use outboard_tests::{Program, Running, free_addresses, wait_for};
use outboard_wire::access::{Enrols, Role, Wish};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Where the first node says that it is reached: not on this machine only, so that newcomers must not say that either.
const ELSEWHERE: &str = "db.example:4410";

/// A cluster of one node as an operator founds it.
struct Founded {
    program: Program,
    address: SocketAddr,
    // It ends before the folder goes.
    _node: Running,
    folder: tempfile::TempDir,
}

impl Founded {
    fn start() -> Founded {
        let folder = tempfile::tempdir().expect("a temp folder");
        let (program, address) = (Program::new(OUTBOARD, folder.path()), free_addresses(1)[0]);
        let (dir, listen) = (folder.path().join("n1"), address.to_string());
        let line = ["start", "--data-dir", text(&dir), "--listen", &listen, "--advertise", ELSEWHERE];
        let node = program.spawn(line);
        let founded = Founded { program, address, _node: node, folder };
        wait_for("the first answer", || (founded.admin(&["status", "--timeout", "5s"]).code == Some(0)).then_some(()));
        founded
    }

    /// As the admin, whose context leads elsewhere.
    fn admin(&self, line: &[&str]) -> outboard_tests::Ran {
        let endpoint = self.address.to_string();
        self.program.run(["--endpoint", &endpoint].iter().chain(line))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn fort(&self) -> Fort {
        let admin = Context::load_file(&self.path("n1/admin.toml")).expect("the first start wrote it");
        Fort::new(&self.program, self.folder.path(), &self.path("n1/ca"), self.address, &admin)
    }

    /// A token made by command.
    fn token(&self, line: &[&str]) -> String {
        self.admin(&[&["token", "create"], line].concat()).ok().text().to_owned()
    }
}

#[test]
fn a_token_lets_in_whom_it_is_for_as_long_as_it_says_and_nobody_else() {
    let founded = Founded::start();
    let good = founded.token(&["--expires", "2d", "--uses", "9"]);
    let used_up = founded.token(&["--learner"]);
    enrol_in_vain_only_once(&founded, &used_up);
    let used_up_client = founded.token(&["--client", "reader"]);
    let seed = founded.address.to_string();
    founded.program.run(["-c", text(&founded.path("ana.toml")), "join", &seed, &used_up_client, "--name", "ana"]).ok();
    let expired = founded.token(&["--expires", "1ms"]);
    let revoked = founded.token(&[]);
    let id = Token::parse(&revoked).expect("a token").id().to_string();
    founded.admin(&["token", "revoke", &id]).ok();
    let client = founded.token(&["--client", "admin"]);
    let fort = founded.fort();
    damaged_tokens(&fort, &good);
    tokens_that_let_nobody_in(&fort, &good, &[&expired, &revoked, &used_up, &used_up_client]);
    names_and_addresses(&fort, &good, &client);
    tokens_for_something_else(&fort, &good, &client);
    folders_of_others(&founded, &fort, &good);
}

/// A learner comes in that never runs.
fn enrol_in_vain_only_once(founded: &Founded, token: &str) {
    let (token, dir) = (Token::parse(token).expect("a token"), founded.path("learner"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let joined = runtime.block_on(join_node(founded.address, &token, &dir, "", "db.example:4411"));
    joined.expect("the token is good");
    wait_for("a learner", || {
        let listed = founded.admin(&["member", "list"]).ok();
        listed.text().lines().any(|line| line.starts_with("n2 ") && line.contains(" learner ")).then_some(())
    });
}

/// Without a question to anybody.
fn damaged_tokens(fort: &Fort, good: &str) {
    let last = if good.ends_with('0') { "1" } else { "0" };
    let tokens = [
        ("one character is another", format!("{}{last}", &good[..good.len() - 1]), "this token is damaged"),
        ("two characters are swapped", swapped(good), "this token is damaged"),
        ("it is cut", good[..50].to_owned(), "50 of 77 characters"),
        ("it is twice there", format!("{good}{good}"), "'o' (character 78)"),
        ("it has a letter that looks like another", format!("{}u", &good[..good.len() - 1]), "(character 77)"),
        ("it is of a later version", good.replacen("obt1", "obt2", 1), "of version"),
        ("it is something else", "correct-horse".to_owned(), "this is not a token"),
        ("it is nothing", String::new(), "this is not a token"),
    ];
    for (what, token, says) in tokens {
        let line = join(fort, &token, "damaged", &[]);
        refuses(fort, &format!("who has a token and {what}"), &line, 2, &["OB2008", says, "outboard token create"]);
    }
    // The secret is not repeated.
    let ran = fort.program.run(join(fort, &good[..50], "damaged", &[]));
    assert!(!ran.stderr.contains(&good[20..50]), "{ran}");
    assert!(!fort.folder.join("damaged").exists(), "nothing was begun");
}

fn swapped(good: &str) -> String {
    let mut letters: Vec<char> = good.chars().collect();
    let at = (10..70).find(|at| letters[*at] != letters[at + 1]).expect("a token has different characters");
    letters.swap(at, at + 1);
    letters.into_iter().collect()
}

fn tokens_that_let_nobody_in(fort: &Fort, good: &str, [expired, revoked, used_up, used_up_client]: &[&str; 4]) {
    let elsewhere = Authority::create(ClusterId::random()).expect("an authority");
    let never_made = Token::generate(Enrols::Node(Wish::Voter), fort.authority.pin()).reveal();
    let never_made_client = Enrols::Client(Role::Admin);
    let never_made_client = Token::generate(never_made_client, fort.authority.pin()).reveal();
    let of_another_cluster = Token::generate(Enrols::Node(Wish::Voter), elsewhere.pin()).reveal();
    let make_another = "outboard token create";
    let node = ["--advertise", "db.example:4412"];
    let lines = [
        ("who guesses a token", "guesses", &*never_made, ["OB6005", "doesn't know this token", make_another]),
        ("who has a revoked token", "revoked", revoked, ["OB6005", "doesn't know this token", make_another]),
        ("the second node with a token for one", "second", used_up, ["OB6005", "used up", make_another]),
        (
            "who has another cluster's token",
            "elsewhere",
            &*of_another_cluster,
            ["OB6005", "not of the cluster", "the address"],
        ),
        ("who guesses a client's token", "", &*never_made_client, ["OB6005", "doesn't know this token", make_another]),
        ("the second client with a token for one", "", used_up_client, ["OB6005", "used up", make_another]),
    ];
    let typed = lines.map(|(_, dir, token, _)| join(fort, token, dir, if dir.is_empty() { &[] } else { &node }));
    // Where nobody is, nobody says so.
    let (nobody, dir) = (free_addresses(1)[0].to_string(), fort.folder.join("nobody"));
    let alone = ["join", &nobody, good, "--data-dir", text(&dir)];
    let says = ["OB5001", "no answer from", "UDP", "run the same line again"];
    let typed: Vec<Vec<&str>> = typed.iter().map(|line| words(line)).collect();
    let rows = lines.iter().zip(&typed).map(|((who, _, _, says), line)| Row { who, line, exit: 6, says });
    let rows = rows.chain([Row { who: "who asks where nobody is", line: &alone, exit: 5, says: &says }]);
    let context = |number: usize| fort.folder.join(format!("new-{number}.toml"));
    let rows: Vec<(PathBuf, Row<'_>)> = rows.enumerate().map(|(number, row)| (context(number), row)).collect();
    fort.refuses_all(&rows);
    assert!(rows.iter().all(|(context, _)| !context.exists()), "a client came in");
    // Whether its time is over is judged where its entry stands in the log.
    let line = join(fort, expired, "nobody", &node);
    let row = Row {
        who: "who has an expired token",
        line: &words(&line),
        exit: 6,
        says: &["OB6005", "has expired", make_another],
    };
    fort.refuses_in_the_log(&fort.folder.join("new.toml"), &row);
}

/// Good tokens; they are not used up by any of these.
fn names_and_addresses(fort: &Fort, good: &str, client: &str) {
    let taken = ["--advertise", "db.example:4412", "--name", "n1"];
    let no_name = ["--advertise", "db.example:4412", "--name", "N_1"];
    let same_address = ["--advertise", ELSEWHERE];
    for (who, token, more, says) in [
        ("who wants another node's name", good, &taken[..], ["another node is called n1", "--name NAME"]),
        ("who wants a name that is none", good, &no_name, ["is not a name", "--name NAME"]),
        (
            "who claims another node's address",
            good,
            &same_address,
            ["n1 has the address db.example:4410 already", "outboard member list"],
        ),
        ("who wants the admin's name", client, &["--name", "admin"], ["admin is taken", "--name NAME"]),
    ] {
        let dir = if token == good { "nobody" } else { "" };
        let line = join(fort, token, dir, more);
        let row = Row { who, line: &words(&line), exit: 6, says: &["OB6005", says[0], says[1]] };
        fort.refuses_in_the_log(&fort.folder.join("new.toml"), &row);
    }
    let line = join(fort, good, "nobody", &[]);
    let says = ["OB6005", "only this machine itself reaches", "--advertise HOST:PORT"];
    refuses(fort, "who is reached by nobody else", &line, 6, &says);
    let line = join(fort, client, "", &["--name", "a b"]);
    refuses(fort, "a client with a name that is none", &line, 6, &["OB6005", "a name has 1 to 64", "--name NAME"]);
}

fn tokens_for_something_else(fort: &Fort, node: &str, client: &str) {
    let line = join(fort, client, "nobody", &[]);
    refuses(
        fort,
        "a node with a client's token",
        &line,
        2,
        &["OB2001", "for a client (admin)", "--data-dir", "outboard token create"],
    );
    // Past the command line.
    let (node, client) = (Token::parse(node).expect("a token"), Token::parse(client).expect("a token"));
    let (at, dir) = (fort.address, fort.folder.join("nobody"));
    let refused = fort.is_untouched(join_node(at, &client, &dir, "", "db.example:4412")).expect_err("a client's token");
    assert!(refused.to_string().contains("for a client (admin), and a node wants"), "{refused}");
    let refused = fort.is_untouched(join_client(at, &node, &dir, "eve")).expect_err("a node's token");
    assert!(refused.to_string().contains("for a voter, and a client wants"), "{refused}");
    let line = ["start", "--join", &at.to_string(), "--data-dir", text(&dir)].map(str::to_owned);
    refuses(fort, "who has no token", &line, 2, &["OB2001", "there is no token", "OUTBOARD_TOKEN_FILE"]);
}

fn folders_of_others(founded: &Founded, fort: &Fort, good: &str) {
    let planned = Planned { name: "n1".to_owned(), address: "127.0.0.1:1".to_owned() };
    let other = form(&founded.path("other"), &[planned]).expect("a folder can be made");
    let line = join(fort, good, "other/n1", &[]);
    refuses(fort, "a node of another cluster", &line, 6, &["OB6005", "is a node of c-", "already", "--data-dir"]);
    std::fs::create_dir(founded.path("photos")).expect("writable");
    std::fs::write(founded.path("photos/oslo.jpg"), "").expect("writable");
    let line = join(fort, good, "photos", &[]);
    refuses(fort, "who names a folder with something in it", &line, 1, &["OB1008", "photos", "new or empty folder"]);
    // A client keeps the context of another cluster.
    let context = founded.path("other.toml");
    Context::new(vec!["127.0.0.1:1".to_owned()], other.admin).save(&context).expect("writable");
    let kept = std::fs::read(&context).expect("readable");
    let client = founded.token(&["--client", "reader"]);
    let (seed, who) = (fort.address.to_string(), "a client of another cluster");
    let row =
        Row { who, line: &["join", &seed, &client], exit: 4, says: &["OB4003", "is of another cluster", "-c NAME"] };
    fort.refuses(&context, &row);
    assert_eq!(std::fs::read(&context).expect("readable"), kept);
}

/// The line that a node types; a client's if there is no folder.
fn join(fort: &Fort, token: &str, dir: &str, more: &[&str]) -> Vec<String> {
    let seed = fort.address.to_string();
    let dir = (!dir.is_empty()).then(|| fort.folder.join(dir));
    let place = dir.as_deref().map_or(vec![], |dir| vec!["--data-dir", text(dir), "--listen", "127.0.0.1:0"]);
    ["join", &seed, token].into_iter().chain(place).chain(more.iter().copied()).map(str::to_owned).collect()
}

fn words(line: &[String]) -> Vec<&str> {
    line.iter().map(String::as_str).collect()
}

#[track_caller]
fn refuses(fort: &Fort, who: &str, line: &[String], exit: i32, says: &[&str]) {
    // A context that is not there: a client that comes in would make it.
    let context = fort.folder.join("new.toml");
    fort.refuses(&context, &Row { who, line: &words(line), exit, says });
    assert!(!Path::exists(&context), "{who} came in");
}
