//! `bench`: load over QUIC as real clients make it, and how quickly it was served.
//!
//! It shares the machine with what it measures, so it runs on one thread and does little per request: values are slices of
//! bytes made once, replies are not parsed. Each connection has a session, in which puts have names and are done once.

mod keys;
mod load;
mod report;

use std::time::Duration;

use crate::commands::status;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::Output;
use crate::{session, units};
use clap::{Args, ValueEnum};
use keys::Keys;
use load::{Load, Plan};
use outboard_client::Client;
use report::{Report, Setting};

/// Flags of `bench`.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArgs {
    /// What to ask
    #[arg(value_enum)]
    operation: Operation,
    /// Clients that ask at the same time, each waiting for its answer
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    clients: u32,
    /// Connections that they share
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    connections: u32,
    /// Requests that each client has under way
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pipeline: u32,
    /// How many different keys
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    keys: u64,
    /// Which of them
    #[arg(long, value_enum, default_value_t = Distribution::Uniform)]
    distribution: Distribution,
    /// The length of values
    #[arg(long, value_name = "SIZE", default_value = "256", value_parser = parse_value_size)]
    value_size: u64,
    /// For how long [default: 10s unless --requests is given]
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    duration: Option<Duration>,
    /// How many requests in all
    #[arg(long, value_name = "N")]
    requests: Option<u64>,
    /// Requests per second, sent whether earlier ones are answered or not; late ones count from when they were due
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    rate: Option<u64>,
    /// The share of gets in `mixed`
    #[arg(long, value_name = "0..1", default_value_t = 0.9, value_parser = parse_ratio)]
    read_ratio: f64,
    /// Not counted at the beginning [default: 1s, none with --requests]
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    warmup: Option<Duration>,
    /// Send puts without names in a session: one whose answer is lost may be done twice
    #[arg(long)]
    no_session: bool,
}

/// What is asked.
#[derive(Copy, Clone, Eq, PartialEq, Debug, ValueEnum)]
pub(crate) enum Operation {
    /// SET of a key to a value
    Put,
    /// GET of a key
    Get,
    /// Both
    Mixed,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::Put => "put",
            Operation::Get => "get",
            Operation::Mixed => "mixed",
        }
    }
}

/// How keys are chosen.
#[derive(Copy, Clone, Eq, PartialEq, Debug, ValueEnum)]
pub(crate) enum Distribution {
    /// Each as likely as any other
    Uniform,
    /// Few keys often, many seldom (exponent 0.99)
    Zipf,
    /// One after the other, from the first again at the end
    Sequential,
}

impl Distribution {
    fn name(self) -> &'static str {
        match self {
            Distribution::Uniform => "uniform",
            Distribution::Zipf => "zipf",
            Distribution::Sequential => "sequential",
        }
    }
}

pub(crate) async fn run(global: &Global, args: BenchArgs, out: &mut Output) -> Result<(), Failure> {
    let context = session::context(global)?;
    let mut clients = Vec::new();
    for _ in 0..args.connections.min(args.clients) {
        clients.push(Client::connect_with(&context, session::options(global)).await?);
    }
    let status = clients[0].status().await?;
    let setting = Setting {
        nodes: status.members.len(),
        engine: status::engine(&status).map(|engine| engine.title()).unwrap_or_default(),
        durability: durability(&status),
        consistency: global.consistency,
        args: args.clone(),
    };
    let plan = Plan {
        operation: args.operation,
        workers: args.clients as usize * args.pipeline as usize,
        read_ratio: args.read_ratio,
        value_bytes: args.value_size as usize,
        duration: args.duration.or(args.requests.is_none().then_some(Duration::from_secs(10))),
        requests: args.requests,
        rate: args.rate,
        nameless: args.no_session,
        warmup: args.warmup.unwrap_or(if args.requests.is_some() { Duration::ZERO } else { Duration::from_secs(1) }),
    };
    let keys = Keys::new(args.keys, args.distribution);
    let tally = Load::new(clients.clone(), keys, plan).run(global.quiet).await;
    for client in clients {
        client.close().await;
    }
    let report = Report { setting, tally };
    if out.format().is_json() {
        out.document(&report.document())?;
    } else {
        report.text().iter().try_for_each(|line| out.line(line))?;
    }
    out.flush()?;
    report.judge()
}

/// What the nodes say; they should all say the same.
fn durability(status: &outboard_wire::status::ClusterStatus) -> String {
    let mut words: Vec<&str> = status
        .members
        .iter()
        .filter_map(|member| member.status.as_ref())
        .map(|node| node.durability.as_str())
        .collect();
    words.sort_unstable();
    words.dedup();
    words.join(" and ")
}

fn parse_ratio(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
        Ok(_) | Err(_) => Err("a number from 0 to 1".to_owned()),
    }
}

fn parse_value_size(text: &str) -> Result<u64, String> {
    let most = outboard_wire::limits::VALUE_BYTES_MAX as u64;
    let bytes = units::parse_size(text)?;
    if bytes <= most { Ok(bytes) } else { Err(format!("values have {} at most", units::size(most))) }
}
