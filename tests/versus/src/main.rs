//! Outboard beside others: the same load on the same machine in one run, turn by turn.
//!
//! ```text
//! apt-get install etcd-server protobuf-compiler        (the second one builds etcd's client)
//! cargo run --release --manifest-path tests/versus/Cargo.toml -- \
//!     [--seconds 10] [--rounds 3] [--outboard PATH] [--etcd-connections 16] [--json]
//!
//! apt-get install redis-server                         (brings redis-benchmark)
//! cargo run --release --manifest-path tests/versus/Cargo.toml -- redis \
//!     [--requests 100000] [--rounds 3] [--outboard PATH] [--against PATH] [--json]
//! ```
//!
//! The second one is told in `redis/`; what follows is the first one, beside etcd.
//!
//! Three processes each, on the loopback, with data folders on the disk of this build. etcd runs with its defaults, without
//! TLS; Outboard with its own, so with mutual TLS. Both sync to disk before a write is acknowledged, and both gets are
//! linearizable. Both loads come from one thread: `outboard bench`, and here for etcd the same with tasks on a
//! current-thread runtime. Both talk to their leaders. While one is measured the other one idles.
//!
//! It measures and prints; whether the figures are good enough is for the reader, who is told what was asked for.

mod claims;
mod etcd;
mod floor;
mod outboard;
mod process;
mod redis;
mod report;

use anyhow::{Context, Result, bail};
use report::{Report, Round};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// As in the issue.
const VALUE_BYTES: usize = 256;
/// Small enough that all of them are there before gets are measured.
const KEYS: u64 = 10_000;
/// Not counted at the beginning of each measurement.
const WARMUP: Duration = Duration::from_secs(1);

/// What is asked of both.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
struct Load {
    is_get: bool,
    clients: usize,
}

/// The measurements of a round. The last one is for its latency.
const LOADS: [Load; 4] = [
    Load { is_get: false, clients: 50 },
    Load { is_get: false, clients: 256 },
    Load { is_get: true, clients: 50 },
    Load { is_get: false, clients: 1 },
];

/// What a load got.
#[derive(Copy, Clone, Debug)]
struct Measured {
    per_second: f64,
    p50_us: f64,
    p99_us: f64,
    errors: u64,
}

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1).peekable();
    if words.next_if_eq("redis").is_some() {
        return redis::compare(words);
    }
    let arguments = Arguments::parse(words)?;
    let program = match &arguments.outboard {
        Some(path) => path.clone(),
        None => outboard::build()?,
    };
    let folder = folder()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(compare(&arguments, &program, folder.path()))
}

/// On the disk of this build: a temp folder may be in memory, where a sync costs nothing.
fn folder() -> Result<tempfile::TempDir> {
    let exe = std::env::current_exe()?;
    let disk = exe.parent().context("a program lies in a folder")?;
    Ok(tempfile::Builder::new().prefix("versus-").tempdir_in(disk)?)
}

async fn compare(arguments: &Arguments, program: &Path, folder: &Path) -> Result<()> {
    let duration = Duration::from_secs(arguments.seconds);
    let etcd = etcd::Cluster::start(&folder.join("etcd"), arguments.connections).await?;
    let outboard = outboard::Cluster::start(program, &folder.join("outboard"))?;
    let mut report = Report::new(etcd.version(), outboard.version(), arguments.seconds);
    eprintln!("{}", report.title());
    etcd.fill().await?;
    outboard.fill()?;
    for number in 1..=arguments.rounds {
        let mut round = Round::new(floor::sync_us(folder)?, floor::round_trip_us()?);
        for load in LOADS {
            let theirs = etcd.measure(load, duration).await?;
            let ours = outboard.measure(load, duration)?;
            eprintln!("{}", report::line(&format!("round {number}"), load, theirs, ours));
            round.push(theirs, ours);
        }
        eprintln!("round {number}  {}", round.floor());
        report.push(round);
    }
    outboard.check()?;
    if arguments.json {
        println!("{:#}", report.document());
    } else {
        println!("{}", report.text());
    }
    Ok(())
}

/// What stands on the command line.
#[derive(Debug)]
struct Arguments {
    seconds: u64,
    rounds: u32,
    outboard: Option<PathBuf>,
    /// Of etcd's client; `outboard bench` has a number of its own.
    connections: usize,
    json: bool,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments> {
        let mut arguments = Arguments { seconds: 10, rounds: 3, outboard: None, connections: 16, json: false };
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--seconds" => arguments.seconds = value()?.parse()?,
                "--rounds" => arguments.rounds = value()?.parse()?,
                "--outboard" => arguments.outboard = Some(value()?.into()),
                "--etcd-connections" => arguments.connections = value()?.parse()?,
                "--json" => arguments.json = true,
                _ => bail!("{word}? [--seconds 10] [--rounds 3] [--outboard PATH] [--etcd-connections 16] [--json]"),
            }
        }
        if arguments.seconds == 0 || arguments.rounds == 0 || arguments.connections == 0 {
            bail!("nothing is measured with a zero");
        }
        Ok(arguments)
    }
}
