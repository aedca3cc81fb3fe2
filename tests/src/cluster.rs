//! A cluster of real processes, made by `cluster init`, in a folder that goes with it.

use crate::{PATIENCE, Program, Proxy, Ran, Redis, Running, Status, free_addresses, program, wait_for};
use outboard_client::{Consistency, Context, Options};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use tempfile::TempDir;

/// Lines of a node's log that are shown when its test fails.
const LOG_LINES_SHOWN: usize = 40;

/// Nodes named n1, n2 and so on, counted from 1. They are killed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    program: Program,
    context: PathBuf,
    engine: Option<String>,
    nodes: Vec<Node>,
    /// Through which nodes and clients reach the nodes; nothing when they do so directly.
    proxy: Option<Proxy>,
    // The last field: the folder goes after the processes.
    folder: TempDir,
}

#[derive(Debug)]
struct Node {
    name: String,
    /// Where the others and clients find it.
    address: SocketAddr,
    /// Where it listens, if that is elsewhere.
    listen: Option<SocketAddr>,
    dir: PathBuf,
    log: PathBuf,
    /// Where it serves Redis clients.
    redis: Option<SocketAddr>,
    /// More arguments of its start.
    arguments: Vec<OsString>,
    process: Option<Child>,
}

impl Cluster {
    /// Makes the folders of so many nodes. None of them runs yet.
    pub fn form(program: &str, count: usize) -> Cluster {
        Cluster::form_at(program, free_addresses(count), None)
    }

    /// As [`Cluster::form`]; nodes and clients will reach the nodes through [`Cluster::proxy`].
    pub fn form_behind_a_proxy(program: &str, count: usize) -> Cluster {
        let listens = free_addresses(count);
        let proxy = Proxy::start(listens.clone());
        Cluster::form_at(program, listens, Some(proxy))
    }

    fn form_at(program: &str, listens: Vec<SocketAddr>, proxy: Option<Proxy>) -> Cluster {
        assert!(!listens.is_empty(), "there are no free ports");
        let folder = tempfile::Builder::new().prefix("outboard-test-").tempdir().expect("a temp folder");
        let program = Program::new(program, folder.path());
        let out = folder.path().join("cluster");
        let address = |n: usize| proxy.as_ref().map_or(listens[n - 1], |proxy| proxy.door(n));
        let plan: Vec<String> = (1..=listens.len()).map(|n| format!("n{n}={}", address(n))).collect();
        let out_text = out.to_str().expect("a temp folder's name is text");
        program.run(["cluster", "init", "--nodes", &plan.join(","), "--out", out_text]).ok();
        let node = |n: usize| {
            let name = format!("n{n}");
            let log = folder.path().join(format!("{name}.log"));
            let listen = proxy.is_some().then(|| listens[n - 1]);
            let (dir, address) = (out.join(&name), address(n));
            Node { dir, name, address, listen, log, redis: None, arguments: Vec::new(), process: None }
        };
        let nodes = (1..=listens.len()).map(node).collect();
        Cluster { program, context: out.join("admin.toml"), engine: None, nodes, proxy, folder }
    }

    /// Makes a cluster and starts all of its nodes; returns when one of them leads.
    pub fn start(program: &str, count: usize) -> Cluster {
        Cluster::form(program, count).started()
    }

    /// As [`Cluster::start`], with another first engine than the default one.
    pub fn start_with(program: &str, count: usize, engine: &str) -> Cluster {
        let mut cluster = Cluster::form(program, count);
        cluster.engine = Some(engine.to_owned());
        cluster.started()
    }

    /// As [`Cluster::start`]; all nodes serve Redis clients too.
    pub fn start_with_redis(program: &str, count: usize) -> Cluster {
        Cluster::form(program, count).with_redis().started()
    }

    /// All nodes will serve Redis clients too, each on a port of its own.
    pub fn with_redis(mut self) -> Cluster {
        let addresses = free_addresses(self.nodes.len());
        assert_eq!(addresses.len(), self.nodes.len(), "there are not enough free ports");
        for (node, address) in self.nodes.iter_mut().zip(addresses) {
            node.redis = Some(address);
        }
        self
    }

    /// All nodes will be started with these arguments as well.
    pub fn with_arguments<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Cluster {
        let arguments: Vec<OsString> = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        for node in &mut self.nodes {
            node.arguments.extend_from_slice(&arguments);
        }
        self
    }

    /// Starts all nodes; returns when one of them leads.
    pub fn started(mut self) -> Cluster {
        self.start_all();
        self.leader();
        self
    }

    /// The numbers of all nodes.
    pub fn all(&self) -> Vec<usize> {
        (1..=self.nodes.len()).collect()
    }

    /// Starts every node that does not run.
    pub fn start_all(&mut self) {
        for n in self.all() {
            if self.nodes[n - 1].process.is_none() {
                self.start_node(n);
            }
        }
    }

    /// Starts a node with the cluster's engine; what it says goes to its log.
    pub fn start_node(&mut self, n: usize) {
        let mut command = self.program.command();
        command.arg("start").arg("--data-dir").arg(&self.node(n).dir);
        if let Some(engine) = &self.engine {
            command.args(["--engine", engine]);
        }
        if let Some(redis) = self.node(n).redis {
            command.arg("--redis").arg(redis.to_string());
        }
        if let Some(listen) = self.node(n).listen {
            command.arg("--listen").arg(listen.to_string());
        }
        command.args(&self.node(n).arguments);
        let log = append(&self.node(n).log);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let node = self.node_mut(n);
        assert!(node.process.is_none(), "{} runs already", node.name);
        node.process = Some(command.spawn().expect("a node can be started"));
    }

    /// What `start` says and how it ends, for a node that should not come up.
    pub fn try_start(&self, n: usize) -> Ran {
        self.try_start_with::<&str>(n, [])
    }

    /// As [`Cluster::try_start`], with these arguments as well.
    pub fn try_start_with<A: AsRef<OsStr>>(&self, n: usize, arguments: impl IntoIterator<Item = A>) -> Ran {
        let start = [OsStr::new("start"), OsStr::new("--data-dir"), self.node(n).dir.as_os_str()].map(OsStr::to_owned);
        self.program.run(start.into_iter().chain(arguments.into_iter().map(|argument| argument.as_ref().to_owned())))
    }

    /// As kill -9.
    pub fn kill(&mut self, n: usize) {
        let mut process = self.node_mut(n).process.take().expect("it runs");
        process.kill().expect("a child can be killed");
        process.wait().expect("it has ended");
    }

    /// As kill -9 of all that run, at once.
    pub fn kill_all(&mut self) {
        let mut processes: Vec<Child> = self.nodes.iter_mut().filter_map(|node| node.process.take()).collect();
        for process in &mut processes {
            process.kill().expect("a child can be killed");
        }
        for mut process in processes {
            process.wait().expect("it has ended");
        }
    }

    /// SIGTERM; the exit code.
    pub fn terminate(&mut self, n: usize) -> Option<i32> {
        program::signal(self.node(n).process.as_ref().expect("it runs"), "TERM");
        self.wait_for_end(n)
    }

    /// SIGSTOP: it stands still and doesn't know.
    pub fn freeze(&self, n: usize) {
        program::signal(self.node(n).process.as_ref().expect("it runs"), "STOP");
    }

    /// SIGCONT: it goes on.
    pub fn thaw(&self, n: usize) {
        program::signal(self.node(n).process.as_ref().expect("it runs"), "CONT");
    }

    /// Waits until a node has ended by itself; the exit code.
    pub fn wait_for_end(&mut self, n: usize) -> Option<i32> {
        let node = self.node_mut(n);
        let mut process = node.process.take().expect("it runs");
        let ended = wait_for(&format!("the end of {}", node.name), || process.try_wait().expect("it can be asked"));
        ended.code()
    }

    /// A node's process number.
    pub fn pid(&self, n: usize) -> u32 {
        self.node(n).process.as_ref().expect("it runs").id()
    }

    /// Runs a command line as the admin of this cluster.
    #[track_caller]
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ran {
        self.program.run(self.with_context(arguments))
    }

    /// As [`Cluster::run`], with this on stdin.
    pub fn run_with_input<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>, input: &[u8]) -> Ran {
        self.program.run_with_input(self.with_context(arguments), input)
    }

    /// Starts a command line as the admin of this cluster.
    pub fn spawn<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Running {
        self.program.spawn(self.with_context(arguments))
    }

    fn with_context<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Vec<OsString> {
        let context = [OsStr::new("-c"), self.context.as_os_str()].map(OsStr::to_owned);
        context.into_iter().chain(arguments.into_iter().map(|argument| argument.as_ref().to_owned())).collect()
    }

    /// What one node has, key by key, read from its own tables.
    pub fn records_of(&self, n: usize) -> BTreeMap<String, String> {
        let address = self.address(n).to_string();
        let scan = ["--endpoint", &address, "--consistency", "stale", "--timeout", "60s", "scan", "--values"];
        let ran = self.run(scan).ok();
        let record = |line: &str| line.split_once('\t').map(|(key, value)| (key.to_owned(), value.to_owned()));
        ran.text().lines().map(|line| record(line).expect("scan prints key, tab and value")).collect()
    }

    /// What the cluster says of itself, when it says anything.
    pub fn try_status(&self) -> Option<Status> {
        let ran = self.run(["status", "-o", "json", "--timeout", "5s"]);
        // 10: not healthy, which is an answer too.
        matches!(ran.code, Some(0 | 10)).then(|| Status(ran.document()))
    }

    /// What the cluster says of itself.
    pub fn status(&self) -> Status {
        wait_for("an answer to status", || self.try_status())
    }

    /// Waits for a leader; its number.
    pub fn leader(&self) -> usize {
        wait_for("a leader", || self.try_leader())
    }

    /// The leader's number, if one is known.
    pub fn try_leader(&self) -> Option<usize> {
        let status = self.try_status()?;
        let leader = status.leader()?;
        self.all().into_iter().find(|n| self.node(*n).name == leader)
    }

    /// The network between the nodes.
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("the cluster was formed behind a proxy")
    }

    /// Waits until all nodes are there, have applied everything, and `status` says that their states are equal.
    pub fn settled(&self) -> Status {
        wait_for("all nodes with equal states", || {
            let status = self.try_status()?;
            assert_ne!(status.comparison(), "differs", "the nodes differ: {}", status.0);
            status.is_settled().then_some(status)
        })
    }

    /// How a patient client behaves.
    pub fn client_options(&self) -> Options {
        Options { timeout: PATIENCE, consistency: Consistency::Linearizable, pinned: false, sessions: true }
    }

    /// What the admin has to show.
    pub fn client_context(&self) -> Context {
        Context::load_file(&self.context).expect("cluster init wrote it")
    }

    /// The admin's context.
    pub fn context(&self) -> &Path {
        &self.context
    }

    /// Where a node listens.
    pub fn address(&self, n: usize) -> SocketAddr {
        self.node(n).address
    }

    /// Where a node serves Redis clients.
    pub fn redis(&self, n: usize) -> SocketAddr {
        self.node(n).redis.expect("the cluster was started with Redis listeners")
    }

    /// A connection of a Redis client to a node, once that node serves one.
    pub fn redis_client(&self, n: usize) -> Redis {
        let mut redis = wait_for("the Redis listener", || Redis::connect(self.redis(n)).ok());
        wait_for("a node that has its engine and a leader", || (!redis.ask(["GET", ""]).is_error()).then_some(()));
        redis
    }

    /// A node's data folder.
    pub fn dir(&self, n: usize) -> &Path {
        &self.node(n).dir
    }

    /// A node's data folder is elsewhere from now on.
    pub fn move_dir(&mut self, n: usize, to: &Path) {
        copy_folder(&self.node(n).dir, to);
        self.node_mut(n).dir = to.to_owned();
    }

    /// Everything that a node said so far.
    pub fn log(&self, n: usize) -> String {
        std::fs::read_to_string(&self.node(n).log).unwrap_or_default()
    }

    /// Waits until a node says this.
    pub fn wait_for_log(&self, n: usize, words: &str) {
        wait_for(&format!("n{n} to say {words:?}"), || self.log(n).contains(words).then_some(()));
    }

    /// A folder for a test's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program under test.
    pub fn program(&self) -> &Program {
        &self.program
    }

    fn node(&self, n: usize) -> &Node {
        &self.nodes[n - 1]
    }

    fn node_mut(&mut self, n: usize) -> &mut Node {
        &mut self.nodes[n - 1]
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut process) = node.process.take() {
                // It may have ended already.
                process.kill().unwrap_or_default();
                process.wait().map(drop).unwrap_or_default();
            }
        }
        if std::thread::panicking() {
            for n in self.all() {
                let log = self.log(n);
                let lines: Vec<&str> = log.lines().collect();
                let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
                eprintln!("--- the log of n{n} ends so:\n{}", shown.join("\n"));
            }
        }
    }
}

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).expect("a log file can be written")
}

/// Copies a folder of plain files and folders, with their modes.
fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("the folder is there") {
        let entry = entry.expect("the folder can be read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}
