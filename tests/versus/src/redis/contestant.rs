//! Who is measured: something that speaks as Redis does, with keys in it.

use super::{CLIENTS, KEYS, Load, Measured};
use crate::outboard::Cluster;
use crate::process::{Server, free_ports, output};
use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const START_TIMEOUT: Duration = Duration::from_secs(30);
/// A server that answers nothing for so long is stuck.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Commands that are sent before their answers are read.
const FILLED_AT_ONCE: u64 = 200;

/// How one is started.
pub(super) enum Setting {
    /// redis-server that keeps nothing on disk.
    Redis,
    /// redis-server that syncs before it answers.
    RedisSynced,
    /// Three nodes of this program, under this name.
    Outboard(&'static str, PathBuf),
}

/// One that runs.
pub(super) struct Contestant {
    title: String,
    port: u16,
    runs: Runs,
}

enum Runs {
    Redis { _server: Server },
    Outboard(Cluster),
}

impl Setting {
    pub(super) fn start(self, folder: &Path) -> Result<Contestant> {
        match self {
            Setting::Redis => redis("redis-server", &["--appendonly", "no"], folder),
            Setting::RedisSynced => {
                redis("redis, fsync always", &["--appendonly", "yes", "--appendfsync", "always"], folder)
            }
            Setting::Outboard(title, program) => {
                let cluster = Cluster::start_with_redis(&program, folder)?;
                let port = cluster.leaders_redis_port()?;
                Ok(Contestant { title: title.to_owned(), port, runs: Runs::Outboard(cluster) })
            }
        }
    }
}

fn redis(title: &str, settings: &[&str], folder: &Path) -> Result<Contestant> {
    output(Command::new("redis-benchmark").arg("--version"))
        .and(output(Command::new("redis-server").arg("--version")))
        .context("redis-server or redis-benchmark is missing: apt-get install redis-server")?;
    std::fs::create_dir_all(folder)?;
    let port = free_ports(1)?[0];
    let mut command = Command::new("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--dir"]).arg(folder);
    let server = Server::start(command.args(settings), &folder.join("log"))?;
    let deadline = Instant::now() + START_TIMEOUT;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        ensure!(Instant::now() < deadline, "redis-server does not listen within {START_TIMEOUT:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Contestant { title: title.to_owned(), port, runs: Runs::Redis { _server: server } })
}

impl Contestant {
    pub(super) fn title(&self) -> String {
        self.title.clone()
    }

    /// Every key of the benchmark has a value.
    pub(super) fn fill(&self) -> Result<()> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        for first in (0..KEYS).step_by(FILLED_AT_ONCE as usize) {
            let count = FILLED_AT_ONCE.min(KEYS - first);
            // As redis-benchmark calls its keys.
            let sets = (first..first + count).map(|key| format!("SET key:{key:012} VXK\r\n"));
            stream.write_all(sets.collect::<String>().as_bytes())?;
            let (answer, mut answers) = (b"+OK\r\n", vec![0; 5 * count as usize]);
            stream.read_exact(&mut answers)?;
            ensure!(answers.chunks(5).all(|each| each == answer), "{} refuses a SET", self.title);
        }
        Ok(())
    }

    /// One run of redis-benchmark.
    pub(super) fn measure(&self, load: Load, requests: u64) -> Result<Measured> {
        let (port, clients, keys) = (self.port.to_string(), CLIENTS.to_string(), KEYS.to_string());
        let (requests, pipeline) = ((requests * load.times).to_string(), load.pipeline.to_string());
        let mut command = Command::new("redis-benchmark");
        command.args(["-p", &port, "-c", &clients, "-r", &keys, "-n", &requests, "-P", &pipeline]);
        let printed = output(command.args(["-t", load.test, "--csv"]))?;
        let printed = String::from_utf8_lossy(&printed);
        // "test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"
        let row = printed.lines().find(|line| line.to_lowercase().starts_with(&format!("\"{}", load.test)));
        let Some(row) = row else { bail!("redis-benchmark told no figure of {}: {printed}", self.title) };
        let columns: Vec<&str> = row.split("\",\"").map(|column| column.trim_matches('"')).collect();
        let number = |place: usize| -> Result<f64> {
            let column = columns.get(place).with_context(|| format!("a column is missing: {row}"))?;
            column.parse().with_context(|| format!("no number: {row}"))
        };
        Ok(Measured { per_second: number(1)?, p50_ms: number(4)?, p99_ms: number(6)? })
    }

    /// Fast and wrong would be nothing: the leader is still the one that was asked, and all nodes' states are equal.
    pub(super) fn check(&self) -> Result<()> {
        match &self.runs {
            Runs::Redis { .. } => Ok(()),
            Runs::Outboard(cluster) => {
                ensure!(cluster.leaders_redis_port()? == self.port, "{}: the leader changed meanwhile", self.title);
                cluster.check()
            }
        }
    }
}
