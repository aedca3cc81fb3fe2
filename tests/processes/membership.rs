//! A cluster that grows and shrinks under load, by the commands that an operator types; and the certificates of those who type them.

use crate::OUTBOARD;
use outboard_client::{Client, ClientError, Context, Options};
use outboard_net::{Authority, ClusterId, Credentials, Principal, Token, Validity};
use outboard_tests::{Cluster, PATIENCE, Program, Ran, Running, free_addresses, wait_for};
use outboard_wire::access::{Enrols, Wish};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// Nodes that are started as an operator starts them, one after the other.
struct Grown {
    program: Program,
    addresses: Vec<SocketAddr>,
    // They end before the folder goes.
    nodes: Vec<Option<Running>>,
    folder: tempfile::TempDir,
}

impl Grown {
    fn new(count: usize) -> Grown {
        let folder = tempfile::tempdir().expect("a temp folder");
        let program = Program::new(OUTBOARD, folder.path());
        Grown { program, addresses: free_addresses(count), nodes: (0..count).map(|_| None).collect(), folder }
    }

    fn dir(&self, n: usize) -> PathBuf {
        self.folder.path().join(format!("n{n}"))
    }

    fn run(&self, line: &[&str]) -> Ran {
        self.program.run(line)
    }

    /// `start` on nothing founds a cluster, `join` comes into it; the same line starts a node again.
    fn launch(&mut self, n: usize, token: Option<&str>) {
        let (dir, listen) = (self.dir(n).display().to_string(), self.addresses[n - 1].to_string());
        let seed = self.addresses[0].to_string();
        let mut line = token.map_or_else(|| vec!["start"], |token| vec!["join", &seed, token]);
        line.extend(["--data-dir", &dir, "--listen", &listen]);
        self.nodes[n - 1] = Some(self.program.spawn(line));
    }

    fn until_voters(&self, count: usize) {
        wait_for(&format!("{count} voters"), || {
            let ran = self.run(&["member", "list", "-o", "json"]);
            let members = (ran.code == Some(0)).then(|| ran.document())?["members"].as_array()?.clone();
            let voters = members.iter().filter(|member| member["voter"] == true).count();
            (voters == count && members.len() == count).then_some(())
        });
    }
}

#[test]
fn one_node_grows_to_three_and_five_by_tokens_and_shrinks_to_three_under_load_and_loses_nothing() {
    let mut grown = Grown::new(5);
    grown.launch(1, None);
    wait_for("the first write", || (grown.run(&["put", "k", "v", "--timeout", "5s"]).code == Some(0)).then_some(()));
    let load = Load::start(&grown);
    let token = grown.run(&["token", "create", "--uses", "4"]).ok().text().to_owned();
    for (nodes, voters) in [(2..=3, 3), (4..=5, 5)] {
        nodes.for_each(|n| grown.launch(n, Some(&token)));
        grown.until_voters(voters);
        load.wait_for_more(100);
    }
    for leaver in ["n1", "n2"] {
        grown.run(&["member", "remove", leaver]).ok();
        load.wait_for_more(100);
    }
    grown.until_voters(3);
    // They were told, and say so.
    wait_for("the end of both", || {
        let ended = grown.nodes.iter_mut().flatten().map(|node| !node.is_running()).filter(|ended| *ended).count();
        (ended >= 2).then_some(())
    });
    let said: Vec<String> = grown.nodes.iter().flatten().map(Running::said).collect();
    assert_eq!(said.iter().filter(|said| said.contains("OB6004")).count(), 2, "{said:?}");
    let (numbers, errors) = load.finish();
    assert!(errors.is_empty(), "increments without an outcome: {errors:?}");
    let mut sorted = numbers.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), numbers.len(), "an increment was answered twice alike");
    assert_eq!(sorted.last().copied(), Some(numbers.len() as i64), "each increment is counted once");
}

#[test]
fn a_port_that_is_taken_founds_no_cluster_and_leaves_no_context_that_leads_to_whoever_has_it() {
    let mut grown = Grown::new(1);
    let taken = std::net::UdpSocket::bind(grown.addresses[0]).expect("nobody has it");
    grown.launch(1, None);
    let ended = grown.nodes[0].take().expect("it was started").finish();
    ended.exits(1).says(["OB1004", &grown.addresses[0].to_string()]);
    assert!(!grown.dir(1).exists() && !grown.folder.path().join("config").exists(), "something was made");
    drop(taken);
    grown.launch(1, None);
    grown.until_voters(1);
}

#[test]
#[cfg(target_os = "linux")]
fn a_token_that_was_typed_does_not_stay_in_the_list_of_processes() {
    let mut grown = Grown::new(2);
    let authority = Authority::create(ClusterId::random()).expect("an authority");
    let token = Token::generate(Enrols::Node(Wish::Voter), authority.pin()).reveal();
    // It is asked, and says nothing: the joiner waits for a while.
    let _silent = std::net::UdpSocket::bind(grown.addresses[0]).expect("nobody has it");
    grown.launch(2, Some(&token));
    let joiner = grown.nodes[1].as_ref().expect("it was started");
    wait_for("a line without the token", || {
        let line = std::fs::read(format!("/proc/{}/cmdline", joiner.pid())).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        (line.contains("join") && !line.contains(&token)).then_some(())
    });
    // It knows the token all the same.
    let ended = grown.nodes[1].take().expect("it was started").finish();
    ended.exits(5).says(["OB5001", &grown.addresses[0].to_string()]);
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The admin's context with a certificate that began and ends so many days from now.
fn context_of(ca: &Path, address: SocketAddr, path: &Path, began: u32, ends: i32) -> Credentials {
    let now = SystemTime::now();
    let until = if ends < 0 { now - DAY * ends.unsigned_abs() } else { now + DAY * ends.unsigned_abs() };
    let authority = Authority::load(ca).expect("the authority is kept there");
    let admin = Principal::Client { name: "admin".to_owned() };
    let credentials = authority.issue(admin, Validity { from: now - DAY * began, until }).expect("signed");
    Context::new(vec![address.to_string()], credentials.clone()).save(path).expect("writable");
    credentials
}

fn kept(path: &Path) -> Credentials {
    Context::load_file(path).expect("a whole context").credentials
}

#[test]
fn a_context_whose_certificate_is_due_gets_a_new_one_by_whatever_is_typed_and_is_written_back_whole() {
    let cluster = Cluster::start(OUTBOARD, 1);
    let folder = cluster.folder().join("contexts");
    let path = folder.join("mine.toml");
    for line in [&["get", "k"][..], &["put", "k", "v"], &["scan"], &["status"], &["member", "list"]] {
        let old = context_of(&cluster.dir(1).join("ca"), cluster.address(1), &path, 80, 10);
        let ran = cluster.program().run(["-c", path.to_str().expect("text")].iter().chain(line));
        assert!(matches!(ran.code, Some(0 | 3)) && !ran.stderr.contains("renewed"), "{ran}");
        let new = kept(&path);
        assert!(
            new.serial() != old.serial() && new.valid_until() > SystemTime::now() + 80 * DAY,
            "not renewed by {ran}"
        );
        assert_eq!((new.key_pem(), new.principal()), (old.key_pem(), old.principal()));
        let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "others may read the key");
        assert_eq!(std::fs::read_dir(&folder).expect("it is there").count(), 1, "something else is left");
        // With the new one all goes on as before.
        cluster.program().run(["-c", path.to_str().expect("text"), "status"]).ok();
        assert_eq!(kept(&path).serial(), new.serial());
    }
}

#[test]
fn where_the_authority_is_kept_offline_nobody_joins_and_certificates_are_renewed_by_hand() {
    let mut grown = Grown::new(2);
    let (out, listen) = (grown.folder.path().join("c"), grown.addresses[0]);
    let (node, text) = (format!("n1={listen}"), |path: &Path| path.to_str().expect("text").to_owned());
    let (ca, path, dir) = (text(&out.join("ca")), out.join("admin.toml"), text(&out.join("n1")));
    let admin = text(&path);
    grown.run(&["cluster", "init", "--offline-ca", "--nodes", &node, "--out", &text(&out)]).ok();
    grown.nodes[0] = Some(grown.program.spawn(["start", "--data-dir", &dir]));
    let as_admin = |line: &[&str]| grown.run(&[&["-c", &admin][..], line].concat());
    wait_for("the first write", || (as_admin(&["put", "k", "v", "--timeout", "5s"]).code == Some(0)).then_some(()));
    let members = as_admin(&["member", "list"]).ok().stdout;
    // A token is a promise that nobody here can keep; it is said before anybody is let in.
    let token = as_admin(&["token", "create"]).ok().text().to_owned();
    let (seed, joiner, there) = (listen.to_string(), text(&grown.dir(2)), grown.addresses[1].to_string());
    let line = ["join", &seed, &token, "--data-dir", &joiner, "--listen", &there, "--timeout", "1s"];
    grown.run(&line).exits(5).says(["OB5001", "holds the authority's key"]);
    assert_eq!(as_admin(&["member", "list"]).ok().stdout, members);
    // A context that is due says so and does its work.
    let due = context_of(Path::new(&ca), listen, &path, 80, 10);
    let told =
        as_admin(&["get", "k"]).ok().says(["holds for 9d and can't be renewed yet", "holds the authority's key"]);
    assert_eq!((told.text(), kept(&path).serial()), ("v", due.serial()));
    assert!(!as_admin(&["get", "k", "--quiet"]).ok().stderr.contains("renewed"));
    // One whose time is over is nobody's any more, until it is renewed by hand.
    context_of(Path::new(&ca), listen, &path, 90, -1);
    as_admin(&["get", "k"]).exits(6).says(["OB6001", "expired"]);
    grown
        .run(&["explain", "OB6001"])
        .ok()
        .text()
        .contains("outboard cluster renew")
        .then_some(())
        .expect("the way out");
    assert_eq!(
        grown.run(&["cluster", "renew", &admin, "--ca", &ca]).ok().text(),
        "client admin has a certificate for 89d"
    );
    assert_eq!(as_admin(&["get", "k"]).ok().text(), "v");
    grown.run(&["cluster", "renew", &dir, "--ca", &ca]).ok().says(["at its next start"]);
}

/// The numbers that increments got, and those without one.
type Told = Arc<Mutex<(Vec<i64>, Vec<ClientError>)>>;

/// Increments that must each be counted once.
struct Load {
    stop: Arc<AtomicBool>,
    told: Told,
    thread: std::thread::JoinHandle<()>,
}

impl Load {
    fn start(grown: &Grown) -> Load {
        let admin = Context::load_file(&grown.dir(1).join("admin.toml")).expect("the first start wrote it");
        let endpoints = grown.addresses.iter().map(SocketAddr::to_string).collect();
        let context = Context::new(endpoints, admin.credentials);
        let (stop, told) = (Arc::new(AtomicBool::new(false)), Told::default());
        let (stopped, seen) = (stop.clone(), told.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let options = Options { timeout: PATIENCE, ..Options::default() };
                let client = Client::new(&context, options).expect("a client");
                while !stopped.load(Ordering::Relaxed) {
                    let answer = client.incr("count").await;
                    let mut told = seen.lock().expect("nothing panics with it");
                    match answer {
                        Ok(number) => told.0.push(number),
                        Err(error) => told.1.push(error),
                    }
                }
            });
        });
        Load { stop, told, thread }
    }

    fn count(&self) -> usize {
        self.told.lock().expect("nothing panics with it").0.len()
    }

    fn wait_for_more(&self, more: usize) {
        let before = self.count();
        wait_for("increments", || (self.count() >= before + more).then_some(()));
    }

    fn finish(self) -> (Vec<i64>, Vec<ClientError>) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("counting doesn't panic");
        std::mem::take(&mut self.told.lock().expect("nothing panics with it"))
    }
}
