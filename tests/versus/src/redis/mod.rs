//! Three Outboard nodes beside Debian's redis-server, and beside an earlier Outboard if one is named: `redis-benchmark` on each of
//! them in turn, round by round, so that a machine that changes its pace changes it for all.
//!
//! The loads are those of redis-benchmark, with keys spread over 100,000. Each Outboard node syncs every batch, and its leader is asked;
//! redis-server runs alone, once with nothing on disk, as Debian's does between two snapshots, and once with `appendfsync always`.
//! While one is measured the others idle.

mod contestant;
mod report;

use crate::outboard;
use anyhow::{Context, Result, bail};
use contestant::{Contestant, Setting};
use report::Report;
use std::path::PathBuf;

/// Keys that are written and read; all are there before gets are measured.
const KEYS: u64 = 100_000;
const CLIENTS: u32 = 50;

/// What redis-benchmark is asked for.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
struct Load {
    /// As it calls its tests.
    test: &'static str,
    pipeline: u32,
    /// Times the requests that were asked for, so that a figure takes about as long as the others.
    times: u64,
}

/// The measurements of a round.
const LOADS: [Load; 6] = [
    Load { test: "set", pipeline: 1, times: 1 },
    Load { test: "get", pipeline: 1, times: 1 },
    Load { test: "set", pipeline: 16, times: 5 },
    Load { test: "get", pipeline: 16, times: 5 },
    Load { test: "incr", pipeline: 1, times: 1 },
    Load { test: "mset", pipeline: 1, times: 1 },
];

impl Load {
    fn title(self) -> String {
        let Load { test, pipeline, .. } = self;
        let name = test.to_uppercase();
        if pipeline == 1 { name } else { format!("{name} -P {pipeline}") }
    }
}

/// What a load got.
#[derive(Copy, Clone, Debug)]
struct Measured {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// Measures all, and prints it.
pub(crate) fn compare(words: impl Iterator<Item = String>) -> Result<()> {
    let arguments = Arguments::parse(words)?;
    let program = arguments.outboard.clone().map_or_else(outboard::build, Ok)?;
    let folder = crate::folder()?;
    let mut settings = vec![Setting::Redis, Setting::RedisSynced, Setting::Outboard("outboard", program)];
    settings.extend(arguments.against.clone().map(|earlier| Setting::Outboard("earlier", earlier)));
    let start = |(place, setting): (usize, Setting)| setting.start(&folder.path().join(place.to_string()));
    let contestants: Vec<Contestant> = settings.into_iter().enumerate().map(start).collect::<Result<_>>()?;
    let mut report = Report::new(contestants.iter().map(Contestant::title).collect(), arguments.requests);
    eprintln!("{}", report.title());
    for contestant in &contestants {
        contestant.fill()?;
    }
    for number in 1..=arguments.rounds {
        for (place, load) in LOADS.into_iter().enumerate() {
            // Nobody is always the first.
            let mut turn: Vec<usize> = (0..contestants.len()).collect();
            turn.rotate_left(number as usize % contestants.len());
            for index in turn {
                report.push(place, index, contestants[index].measure(load, arguments.requests)?);
            }
            eprintln!("round {number}  {}", report.last(place));
        }
    }
    for contestant in &contestants {
        contestant.check()?;
    }
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
    requests: u64,
    rounds: u32,
    outboard: Option<PathBuf>,
    /// An earlier Outboard.
    against: Option<PathBuf>,
    json: bool,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments> {
        let mut arguments = Arguments { requests: 100_000, rounds: 3, outboard: None, against: None, json: false };
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--requests" => arguments.requests = value()?.parse()?,
                "--rounds" => arguments.rounds = value()?.parse()?,
                "--outboard" => arguments.outboard = Some(value()?.into()),
                "--against" => arguments.against = Some(value()?.into()),
                "--json" => arguments.json = true,
                _ => {
                    bail!("{word}? redis [--requests 100000] [--rounds 3] [--outboard PATH] [--against PATH] [--json]")
                }
            }
        }
        if arguments.requests == 0 || arguments.rounds == 0 {
            bail!("nothing is measured with a zero");
        }
        Ok(arguments)
    }
}
