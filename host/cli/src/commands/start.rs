//! `start`: a node until SIGTERM or SIGINT, then leadership is handed over and the process exits 0.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::code::Code;
use crate::commands::engine::component;
use crate::config::Config;
use crate::enrol;
use crate::failure::Failure;
use crate::global::Global;
use crate::hint::hint;
use crate::logging::LogFormat;
use crate::new_node::{self, NewNode};
use crate::node_failure::{halted, not_started};
use crate::redis::{Listener, RedisArgs};
use clap::{Args, ValueEnum};
use outboard_net::Token;
use outboard_node::formation;
use outboard_node::{Durability, Node, NodeSettings};
use tokio::signal::unix::{SignalKind, signal};

/// How often it is looked whether the node stopped by itself.
const WATCH: Duration = Duration::from_millis(100);
/// A signal so soon behind the first is the same wish twice: of a supervisor and a terminal, or of an impatient hand.
const SAME_WISH: Duration = Duration::from_secs(1);
/// A node that takes longer to stop is left as it is: its log recovers it as after a kill.
const STOP_TIMEOUT: Duration = Duration::from_secs(9);

/// Flags of `start`.
#[derive(Args, Debug)]
pub(crate) struct StartArgs {
    /// The node's folder; a new or empty one becomes a cluster of one node, or joins
    #[arg(long, env = "OUTBOARD_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The engine of a cluster that has none yet: a file, kv or kv-basic [default: kv]
    #[arg(long, env = "OUTBOARD_ENGINE", value_name = "FILE|NAME")]
    engine: Option<String>,
    /// Listen here instead of the address in the folder
    #[arg(long, env = "OUTBOARD_LISTEN", value_name = "IP:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where others reach a new node [default: where it listens]
    #[arg(long, env = "OUTBOARD_ADVERTISE", value_name = "HOST:PORT")]
    pub(crate) advertise: Option<String>,
    /// What a new node, or a client, is to be called
    #[arg(long, env = "OUTBOARD_NAME", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Where a new node joins a cluster; it never makes one of its own then
    #[arg(long, env = "OUTBOARD_JOIN", value_name = "HOST:PORT")]
    pub(crate) join: Option<String>,
    /// A file with the token to join by
    #[arg(long, env = "OUTBOARD_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// When a write is acknowledged: sync on a majority's disks, or none (may lose writes with the power) [default: sync]
    #[arg(long, env = "OUTBOARD_DURABILITY", value_enum)]
    durability: Option<DurabilityArg>,
    /// The form of log lines on stderr [default: text]
    #[arg(long, env = "OUTBOARD_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
    #[command(flatten)]
    redis: RedisArgs,
    /// A file with these settings; else ./outboard.toml, the user's config folder, /etc/outboard
    #[arg(long, env = "OUTBOARD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl StartArgs {
    /// What flags and environment leave open is taken from the file.
    pub(crate) fn resolve(self) -> Result<StartArgs, Failure> {
        let file = Config::find(self.config.as_deref())?;
        let redis = RedisArgs {
            redis: self.redis.redis.map_or_else(|| file.address("redis"), |address| Ok(Some(address)))?,
            redis_users: self.redis.redis_users.or_else(|| file.path_of("redis-users")),
            redis_cert: self.redis.redis_cert.or_else(|| file.path_of("redis-cert")),
            redis_key: self.redis.redis_key.or_else(|| file.path_of("redis-key")),
        };
        Ok(StartArgs {
            data_dir: self.data_dir.or_else(|| file.path_of("data-dir")),
            engine: self.engine.or_else(|| file.text("engine").map(str::to_owned)),
            listen: self.listen.map_or_else(|| file.address("listen"), |address| Ok(Some(address)))?,
            advertise: self.advertise.or_else(|| file.text("advertise").map(str::to_owned)),
            name: self.name.or_else(|| file.text("name").map(str::to_owned)),
            join: self.join.or_else(|| file.text("join").map(str::to_owned)),
            token_file: self.token_file.or_else(|| file.path_of("token-file")),
            durability: self.durability.map_or_else(|| file.choice("durability"), |choice| Ok(Some(choice)))?,
            log_format: self.log_format.map_or_else(|| file.choice("log-format"), |choice| Ok(Some(choice)))?,
            redis,
            config: file.path,
        })
    }

    /// The first setting among these, by flag or environment, that only a node has.
    pub(crate) fn node_only(&self) -> Option<&'static str> {
        let set = [
            (self.data_dir.is_some(), "--data-dir"),
            (self.engine.is_some(), "--engine"),
            (self.listen.is_some(), "--listen"),
            (self.advertise.is_some(), "--advertise"),
            (self.durability.is_some(), "--durability"),
            (self.redis.redis.is_some(), "--redis"),
        ];
        set.into_iter().find_map(|(is_set, flag)| is_set.then_some(flag))
    }

    /// Of a node that joins there, in this folder unless another one is given.
    pub(crate) fn joining(self, seed: String, data_dir: PathBuf) -> StartArgs {
        StartArgs { join: Some(seed), data_dir: self.data_dir.or(Some(data_dir)), ..self }
    }

    /// From the environment or a file.
    pub(crate) fn token(&self) -> Result<Option<Token>, Failure> {
        match (std::env::var("OUTBOARD_TOKEN"), &self.token_file) {
            (Ok(text), _) => enrol::token(&text).map(Some),
            (Err(_), Some(path)) => enrol::token_file(path).map(Some),
            (Err(_), None) => Ok(None),
        }
    }

    pub(crate) fn log_format(&self) -> LogFormat {
        self.log_format.unwrap_or_default()
    }
}

/// [`Durability`] on the command line.
#[derive(Copy, Clone, Eq, PartialEq, Debug, ValueEnum)]
pub(crate) enum DurabilityArg {
    /// On the disks of a majority
    Sync,
    /// In the memory of a majority
    None,
}

impl From<DurabilityArg> for Durability {
    fn from(argument: DurabilityArg) -> Durability {
        match argument {
            DurabilityArg::Sync => Durability::Sync,
            DurabilityArg::None => Durability::None,
        }
    }
}

/// The runtime of whatever waits for signals or for the cluster.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| Failure::new(Code::Other, format!("the runtime can't start: {error}")))
}

/// Runs a node; on a vacant folder it is made first.
pub(crate) fn run(args: StartArgs, token: Option<Token>, global: &Global) -> Result<(), Failure> {
    let data_dir = args.data_dir.clone().ok_or_else(|| {
        Failure::new(Code::Usage, "which folder? A new or empty one becomes a cluster of one node")
            .help("--data-dir DIR")
    })?;
    let durability = Durability::from(args.durability.unwrap_or(DurabilityArg::Sync));
    let listener = Listener::prepare(&args.redis)?;
    let engine = component::named(args.engine.as_deref().unwrap_or("kv"))?;
    let runtime = runtime()?;
    match (formation::holds_node(&data_dir), &token) {
        (true, Some(token)) => new_node::check_same_cluster(&data_dir, token)?,
        (true, None) => {}
        (false, _) => {
            let token = if token.is_none() && args.join.is_some() { args.token()? } else { token };
            let new = NewNode { dir: &data_dir, listen: args.listen, advertise: args.advertise, name: args.name };
            runtime.block_on(new.make(args.join.as_deref(), token, global.timeout))?;
        }
    }
    let settings = NodeSettings {
        data_dir,
        engine: Arc::from(engine.bytes.as_ref()),
        durability,
        listen: args.listen,
        log: Default::default(),
    };
    runtime.block_on(async {
        // Before the node starts, so that a signal during a long start is not lost.
        let mut signals = Signals::new()?;
        let node = Node::start(settings).map_err(not_started)?;
        let (version, name, cluster, address) =
            (env!("CARGO_PKG_VERSION"), node.name(), node.cluster(), node.address());
        hint!("outboard {version}  node {name} of {cluster} listens on {address}");
        if let Some(listener) = listener {
            hint!("Redis clients: {}", listener.address());
            listener.serve(&node, durability);
        }
        while !node.has_ended() {
            if tokio::time::timeout(WATCH, signals.next()).await.is_ok() {
                break;
            }
        }
        stop(node, &mut signals).await
    })
}

async fn stop(node: Node, signals: &mut Signals) -> Result<(), Failure> {
    let began = Instant::now();
    let stopping = tokio::task::spawn_blocking(move || node.stop());
    tokio::select! {
        stopped = stopping => stopped.expect("stopping a node doesn't panic").map_err(halted),
        () = tokio::time::sleep(STOP_TIMEOUT) => give_up("the node takes too long to stop"),
        () = signals.next_after(began + SAME_WISH) => give_up("stopped at once by a second signal"),
    }
}

/// Ends the process without waiting for the node's threads. Nothing acknowledged is lost.
fn give_up(why: &str) -> ! {
    eprintln!("{why}; it recovers at its next start");
    std::process::exit(Code::Other.exit().into())
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Signals, Failure> {
        let failed = |error| Failure::new(Code::Other, format!("signals can't be received: {error}"));
        Ok(Signals {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The next one that comes then or later; those before it are passed over.
    async fn next_after(&mut self, then: Instant) {
        loop {
            self.next().await;
            if Instant::now() >= then {
                return;
            }
        }
    }
}
