//! Three Outboard nodes, and `outboard bench` on them. (redis-benchmark is in `redis/`.)

use crate::process::{Server, free_ports, output};
use crate::{KEYS, Load, Measured, VALUE_BYTES, WARMUP};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const NODES: usize = 3;
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// The nodes and the admin's context.
pub(crate) struct Cluster {
    program: PathBuf,
    context: PathBuf,
    version: String,
    /// Where the nodes serve Redis clients; empty when they don't.
    redis_ports: Vec<u16>,
    _servers: Vec<Server>,
}

/// The workspace's program, built as it would be shipped.
pub(crate) fn build() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--package", "outboard", "--message-format", "json"]).current_dir(root);
    let messages = String::from_utf8(output(&mut command)?)?;
    let mut executables = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executables.next_back().context("cargo names the program that it built")
}

impl Cluster {
    /// Forms a cluster, starts its nodes and waits until all of them serve.
    pub(crate) fn start(program: &Path, folder: &Path) -> Result<Cluster> {
        Cluster::start_serving(program, folder, Vec::new())
    }

    /// The same, and the nodes serve Redis clients too.
    pub(crate) fn start_with_redis(program: &Path, folder: &Path) -> Result<Cluster> {
        Cluster::start_serving(program, folder, free_ports(NODES)?)
    }

    fn start_serving(program: &Path, folder: &Path, redis_ports: Vec<u16>) -> Result<Cluster> {
        let ports = free_ports(NODES)?;
        let nodes: Vec<String> = (1..).zip(&ports).map(|(n, port)| format!("n{n}=127.0.0.1:{port}")).collect();
        let mut init = Command::new(program);
        output(init.args(["cluster", "init", "--nodes", &nodes.join(","), "--out"]).arg(folder))?;
        let start = |number: usize| {
            let name = format!("n{number}");
            let mut command = Command::new(program);
            command.args(["start", "--data-dir"]).arg(folder.join(&name));
            if let Some(port) = redis_ports.get(number - 1) {
                command.args(["--redis", &format!("127.0.0.1:{port}")]);
            }
            Server::start(&mut command, &folder.join(format!("{name}.log")))
        };
        let servers = (1..=NODES).map(start).collect::<Result<Vec<Server>>>()?;
        let version = String::from_utf8(output(Command::new(program).arg("--version"))?)?;
        let version = version.trim().replace("outboard ", "");
        let context = folder.join("admin.toml");
        let cluster = Cluster { program: program.to_owned(), context, version, redis_ports, _servers: servers };
        cluster.wait_until_healthy()?;
        Ok(cluster)
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Every key has a value.
    pub(crate) fn fill(&self) -> Result<()> {
        let keys = KEYS.to_string();
        let load =
            ["bench", "put", "--distribution", "sequential", "--requests", &keys, "--keys", &keys, "--clients", "256"];
        self.document(&load).map(drop)
    }

    /// `outboard bench` with its own number of connections.
    pub(crate) fn measure(&self, load: Load, duration: Duration) -> Result<Measured> {
        let operation = if load.is_get { "get" } else { "put" };
        let (clients, keys, bytes) = (load.clients.to_string(), KEYS.to_string(), VALUE_BYTES.to_string());
        let (duration, warmup) = (format!("{}s", duration.as_secs()), format!("{}s", WARMUP.as_secs()));
        let document = self.document(&[
            "bench",
            operation,
            "--clients",
            &clients,
            "--keys",
            &keys,
            "--value-size",
            &bytes,
            "--duration",
            &duration,
            "--warmup",
            &warmup,
        ])?;
        let number = |value: &Value| value.as_f64().with_context(|| format!("a figure is missing: {document}"));
        ensure!(document["durability"] == "sync", "the nodes don't sync: {document}");
        ensure!(document["missing"] == 0, "gets found nothing: {document}");
        let errors = document["errors"].as_object().context("bench counts errors")?;
        let latency = &document["latency_us"][operation];
        Ok(Measured {
            per_second: number(&document["requests_per_second"])?,
            p50_us: number(&latency["p50"])?,
            p99_us: number(&latency["p99"])?,
            errors: errors.values().filter_map(Value::as_u64).sum(),
        })
    }

    /// Where the leader serves Redis clients.
    pub(crate) fn leaders_redis_port(&self) -> Result<u16> {
        let status = self.document(&["status"])?;
        let name = status["leader"].as_str().with_context(|| format!("nobody leads: {status}"))?;
        let number: usize =
            name.trim_start_matches('n').parse().with_context(|| format!("{name} is no node of ours"))?;
        self.redis_ports.get(number - 1).copied().context("the nodes serve no Redis clients")
    }

    /// Fast and wrong would be nothing: the states of all nodes are compared at the end.
    pub(crate) fn check(&self) -> Result<()> {
        self.wait_until_healthy()
    }

    fn wait_until_healthy(&self) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let status = self.document(&["status"]);
            let is_well = |status: &Value| status["health"] == "healthy" && status["state"]["comparison"] == "equal";
            match status {
                Ok(status) if is_well(&status) => return Ok(()),
                outcome if Instant::now() > deadline => {
                    return outcome.and_then(|status| anyhow::bail!("the cluster is not well: {status}"));
                }
                Ok(_) | Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    fn document(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = Command::new(&self.program);
        command.arg("-c").arg(&self.context).args(["-o", "json"]).args(arguments);
        Ok(serde_json::from_slice(&output(&mut command)?)?)
    }
}
