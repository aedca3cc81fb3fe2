//! A cluster that grows and shrinks under load, by the commands that an operator types.

use crate::OUTBOARD;
use outboard_client::{Client, ClientError, Context, Options};
use outboard_tests::{PATIENCE, Program, Ran, Running, free_addresses, wait_for};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

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
