//! Who gets nothing done, and what each is told: what an attacker or a mistaken operator would try, against real nodes.
//! Each file below is a test or two, and each attempt a row in it: who, the command line, the exit code, words of the answer.
//!
//! | who | tries | where |
//! | --- | --- | --- |
//! | another cluster's client, a self-made authority's, an expired and a future certificate, a client that nobody enrolled, a node as a client | to read, to write, to change members, to make tokens | `strangers.rs` |
//! | nobody at all (no certificate), a client among the peers, an unknown protocol | to come in by each door | `strangers.rs` |
//! | each role | each kind of request that is not its own, by the command line and past it | `roles.rs` |
//! | a revoked client | to go on with the connection that it has, and to come back | `roles.rs` |
//! | who has a token that is mistyped, cut, of another version, never made, expired, revoked, used up, of another cluster, or for something else | to join | `tokens.rs` |
//! | who has a good token, and a name or an address that can't be had, or the folder of another cluster | to join | `tokens.rs` |
//! | a removed node; one that a recovery left behind | to come back, and to ask as a client | `nodes.rs` |
//! | a Redis client: off loopback, without a user, with a wrong password; a Redis user | to be served; to do what is not data | `redis_clients.rs` |
//!
//! After each row nothing has changed ([`Fort::is_untouched`]): members, tokens, clients, engines and keys are as before, and the log too (its
//! end, and the hash chain over all of it), except where the attempt is judged in the log itself.
//!
//! What only the node's own rooms can try is tested there: a wrong proof of a right token and damaged bytes in `host/net/tests/net`, every
//! role with every request in `host/node/src/permission.rs`.

mod nodes;
mod redis_clients;
mod roles;
mod strangers;
mod tokens;

use outboard_client::{Client, Context, Options};
use outboard_net::{Authority, Credentials, Principal, Validity};
use outboard_tests::{PATIENCE, Program, Ran, Running, wait_for};
use outboard_wire::access::{AccessLists, Standing};
use outboard_wire::client::EngineInfo;
use std::cell::Cell;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

/// The key that strangers are after, and what it holds.
const TREASURE: (&str, &str) = ("treasure", "untouched");

/// One attempt and its answer.
struct Row<'a> {
    /// Who tries, and what about it.
    who: &'a str,
    /// What is typed behind `outboard`.
    line: &'a [&'a str],
    /// How that ends.
    exit: i32,
    /// What the answer says, among other things.
    says: &'a [&'a str],
}

impl Row<'_> {
    #[track_caller]
    fn judge(&self, ran: Ran) -> Ran {
        let ran = ran.exits(self.exit).says(self.says.iter().copied());
        assert!(ran.stdout.is_empty(), "{} got something: {ran}", self.who);
        ran
    }
}

/// A cluster under attack, seen by its admin.
struct Fort {
    program: Program,
    folder: PathBuf,
    address: SocketAddr,
    authority: Authority,
    runtime: Runtime,
    admin: Client,
    contexts: Cell<u32>,
}

/// Everything that a cluster holds.
#[derive(Clone, Eq, PartialEq, Debug)]
struct Held {
    /// The end of the log, and the hash chain there. None where several nodes vote: the entry of a new leader comes when it comes.
    log: Option<(u64, [u8; 32])>,
    state: State,
}

/// What the log has led to.
#[derive(Clone, Eq, PartialEq, Debug)]
struct State {
    members: Vec<(String, String, Standing)>,
    access: AccessLists,
    engines: Vec<EngineInfo>,
    keys: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Fort {
    /// `ca`: the folder of the authority, of which the tests make what an attacker might have.
    fn new(program: &Program, folder: &Path, ca: &Path, address: SocketAddr, admin: &Context) -> Fort {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let context = Context::new(vec![address.to_string()], admin.credentials.clone());
        let options = Options { timeout: PATIENCE, pinned: true, ..Options::default() };
        let admin = runtime.block_on(async { Client::new(&context, options) }).expect("a client");
        runtime.block_on(admin.set(TREASURE.0, TREASURE.1)).expect("the cluster serves its admin");
        runtime.block_on(admin.close());
        let authority = Authority::load(ca).expect("a node that signs");
        let (program, folder) = (program.clone(), folder.to_owned());
        let fort = Fort { program, folder, address, authority, runtime, admin, contexts: Cell::new(0) };
        fort.settle();
        fort
    }

    fn admin_asks<T>(&self, question: impl Future<Output = Result<T, outboard_client::ClientError>>) -> T {
        self.runtime.block_on(question).expect("the admin is answered")
    }

    fn held(&self) -> Held {
        let status = self.admin_asks(self.admin.node_status());
        let newest = status.chain.first().expect("a node that has applied something has a chain");
        assert_eq!(newest.index, status.applied, "the newest mark is at what is applied");
        let members = self.admin_asks(self.admin.members());
        let members = members.into_iter().map(|member| (member.name, member.address, member.standing));
        let members: Vec<(String, String, Standing)> = members.collect();
        let mut access = self.admin_asks(self.admin.access_lists());
        // Time passes.
        access.tokens.iter_mut().for_each(|token| token.left_ms = 0);
        let engines = self.admin_asks(self.admin.engines());
        let keys = self.admin_asks(self.admin.keys("*"));
        let value =
            |key: bytes::Bytes| (key.to_vec(), self.admin_asks(self.admin.get(&key)).unwrap_or_default().to_vec());
        let keys = keys.into_iter().map(value).collect();
        let alone = members.iter().filter(|(_, _, standing)| *standing == Standing::Voter).count() == 1;
        Held { log: alone.then_some((status.commit, newest.hash)), state: State { members, access, engines, keys } }
    }

    /// Until nothing goes on by itself any more: the node's word on its engine, a newcomer's membership.
    fn settle(&self) {
        let mut before = self.held();
        wait_for("a log that stands still", || {
            let now = self.held();
            let still = now == before;
            before = now;
            still.then_some(())
        });
    }

    /// Tries a row with a context and holds the answer and the cluster against it.
    #[track_caller]
    fn refuses(&self, context: &Path, row: &Row<'_>) -> Ran {
        let before = self.held();
        let ran = self.tries(context, row);
        assert_eq!(self.held(), before, "{} changed something: {ran}", row.who);
        ran
    }

    /// As [`Fort::refuses`], where the attempt itself stands in the log.
    #[track_caller]
    fn refuses_in_the_log(&self, context: &Path, row: &Row<'_>) -> Ran {
        let before = self.held().state;
        let ran = self.tries(context, row);
        assert_eq!(self.held().state, before, "{} changed something: {ran}", row.who);
        ran
    }

    /// As [`Fort::refuses`], all at once and each with a context of its own: for answers that take their time.
    #[track_caller]
    fn refuses_all(&self, rows: &[(PathBuf, Row<'_>)]) {
        let before = self.held();
        let start =
            |(context, row): &(PathBuf, Row<'_>)| self.program.spawn(["-c", text(context)].iter().chain(row.line));
        let running: Vec<Running> = rows.iter().map(start).collect();
        running.into_iter().zip(rows).for_each(|(running, (_, row))| drop(row.judge(running.finish())));
        assert_eq!(self.held(), before, "one of them changed something");
    }

    #[track_caller]
    fn tries(&self, context: &Path, row: &Row<'_>) -> Ran {
        row.judge(self.program.run(["-c", text(context)].iter().chain(row.line)))
    }

    /// What the authority would sign for the node of this number.
    fn node(&self, number: u64) -> Credentials {
        let uri = format!("spiffe://{}/node/{number}", self.authority.cluster());
        let (_, principal) = Principal::parse_uri(&uri).expect("it names a node");
        self.authority.issue(principal, Validity::usual()).expect("signed")
    }

    /// A context of the fort's own node, with these credentials.
    fn context(&self, credentials: Credentials) -> PathBuf {
        self.contexts.set(self.contexts.get() + 1);
        let path = self.folder.join(format!("context-{}.toml", self.contexts.get()));
        Context::new(vec![self.address.to_string()], credentials).save(&path).expect("writable");
        path
    }

    /// Runs something of this process that changes nothing, whatever it says.
    #[track_caller]
    fn is_untouched<T>(&self, by: impl Future<Output = T>) -> T {
        let before = self.held();
        let told = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, by).await }).expect("it ends");
        assert_eq!(self.held(), before);
        told
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a test's paths are text")
}
