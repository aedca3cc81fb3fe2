//! The simulator's command line: one seed, a range of seeds, or as many as fit into some minutes.
#![allow(clippy::print_stdout, reason = "it is a program")]

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use outboard_sim::campaign::Campaign;
use outboard_sim::engines::Engines;
use outboard_sim::mutation::Mutation;
use outboard_sim::plan::{Fault, MILLI, Plan};
use outboard_sim::report::Report;
use outboard_sim::{shrink, world};
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

/// A third of a world's time is memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whole clusters in one thread, from one seed.
#[derive(Parser)]
#[command(name = "outboard-sim")]
struct Arguments {
    /// Run this seed, twice, and tell the end of its story if it fails.
    #[arg(long)]
    seed: Option<u64>,
    /// Run these seeds: FIRST..END.
    #[arg(long)]
    seeds: Option<String>,
    /// Run for so many minutes, from --seeds or from a seed that the clock gives.
    #[arg(long)]
    minutes: Option<f64>,
    /// Leave these faults out, with commas between them.
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
    /// Faults end after so many simulated milliseconds.
    #[arg(long)]
    faults_ms: Option<u64>,
    /// Clients ask no more than so many things.
    #[arg(long)]
    operations: Option<u64>,
    /// Break a rule on purpose.
    #[arg(long)]
    mutation: Option<String>,
    /// Break every rule in turn and tell which check finds it, and in which seed.
    #[arg(long)]
    mutations: bool,
    /// Look for the smallest plan that fails in the same way.
    #[arg(long)]
    shrink: bool,
    /// Tell the story of --seed even if it does not fail.
    #[arg(long)]
    tell: bool,
    /// Lines of the story that are printed, from its end.
    #[arg(long, default_value_t = 120)]
    lines: usize,
    /// Worlds at a time; else one for each core.
    #[arg(long)]
    threads: Option<usize>,
    /// End after so many failures.
    #[arg(long, default_value_t = 1)]
    failures: usize,
}

fn main() -> Result<ExitCode> {
    // A broken rule is caught and reported with its seed; the message alone would only disturb.
    std::panic::set_hook(Box::new(|_| {}));
    let arguments = Arguments::parse();
    let engines = Engines::compile()?;
    if arguments.mutations {
        return Ok(table_of_mutations(&engines));
    }
    match arguments.seed {
        Some(seed) => one(&arguments, &engines, seed),
        None => many(&arguments, &engines),
    }
}

impl Arguments {
    fn plan(&self, seed: u64) -> Result<Plan> {
        let named = |name: &String| Fault::named(name).with_context(|| format!("there is no fault {name}"));
        let without: BTreeSet<Fault> = self.without.iter().map(named).collect::<Result<_>>()?;
        let mut plan = Plan::of(seed).without(&without);
        plan.faults_us = self.faults_ms.map_or(plan.faults_us, |ms| ms * MILLI);
        plan.operations_max = self.operations.unwrap_or(u64::MAX);
        if let Some(name) = &self.mutation {
            let mutation = Mutation::ALL.into_iter().find(|mutation| mutation.name() == name);
            plan.mutation = Some(mutation.with_context(|| format!("there is no mutation {name}"))?);
        }
        Ok(plan)
    }
}

/// One seed, twice: the second run must be the first one again, and tells its story.
fn one(arguments: &Arguments, engines: &Engines, seed: u64) -> Result<ExitCode> {
    let plan = arguments.plan(seed)?;
    let report = world::run(&plan, engines, false);
    let again = world::run(&plan, engines, true);
    ensure!(report.trace_hash == again.trace_hash, "two runs of seed {seed} differ: the simulator is broken");
    println!("{plan:?}");
    println!("{}", again.figures);
    println!("trace {:016x}", again.trace_hash);
    if again.failure.is_none() {
        if arguments.tell {
            print_end(&again, arguments.lines);
        }
        println!("everything held");
        return Ok(ExitCode::SUCCESS);
    }
    tell(&plan, &again, arguments.lines);
    if arguments.shrink {
        let (plan, _) = shrink::shrink(&plan, engines);
        println!("\nshrunk:");
        tell(&plan, &world::run(&plan, engines, true), arguments.lines);
    }
    Ok(ExitCode::FAILURE)
}

fn print_end(report: &Report, lines: usize) {
    let unprinted = report.lines.len().saturating_sub(lines);
    report.lines[unprinted..].iter().for_each(|line| println!("{line}"));
}

fn tell(plan: &Plan, report: &Report, lines: usize) {
    let Some(failure) = &report.failure else { return };
    print_end(report, lines);
    let seconds = failure.at_us as f64 / 1e6;
    println!("FAILED after {seconds:.6} simulated seconds: {}: {}", failure.violation.check, failure.violation.what);
    println!("again: {}", plan.line());
}

fn many(arguments: &Arguments, engines: &Engines) -> Result<ExitCode> {
    let limit = arguments.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    let seeds = match (&arguments.seeds, limit) {
        (Some(range), _) => parse_range(range)?,
        (None, Some(_)) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
            let first = u64::try_from(now.as_micros())? << 8;
            first..u64::MAX
        }
        (None, None) => bail!("say --seed N, --seeds FIRST..END or --minutes M"),
    };
    arguments.plan(seeds.start)?;
    let threads = arguments.threads.or_else(|| std::thread::available_parallelism().ok().map(usize::from)).unwrap_or(1);
    let campaign = Campaign { seeds, limit, threads, failures_max: arguments.failures };
    let plan = |seed| arguments.plan(seed).expect("looked at before");
    let outcome = campaign.run(engines, plan, |figures| {
        println!("… {} schedules, {:.1} simulated hours", figures.schedules, figures.simulated_us as f64 / 3.6e9);
    });
    for (plan, failure) in &outcome.failures {
        println!("\nseed {} FAILED: {}: {}", plan.seed, failure.violation.check, failure.violation.what);
        println!("again: {}", plan.line());
    }
    if let Some((plan, _)) = outcome.failures.first() {
        let (plan, _) = shrink::shrink(plan, engines);
        println!("\nthe first one, shrunk:");
        tell(&plan, &world::run(&plan, engines, true), arguments.lines);
    }
    let seconds = outcome.took.as_secs_f64();
    let rate = outcome.figures.schedules as f64 / seconds;
    println!("\n{}\n{seconds:.1} s of real time, {rate:.1} schedules/s on {threads} threads", outcome.figures);
    Ok(if outcome.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// So many seeds are enough for every rule.
const MUTATION_SEEDS: u64 = 150;

fn table_of_mutations(engines: &Engines) -> ExitCode {
    let mut all_found = true;
    for mutation in Mutation::ALL {
        let campaign = Campaign { seeds: 0..MUTATION_SEEDS, limit: None, threads: 1, failures_max: 1 };
        let outcome = campaign.run(engines, |seed| Plan { mutation: Some(mutation), ..Plan::of(seed) }, |_| {});
        match outcome.failures.first() {
            Some((plan, failure)) => {
                println!("{:18} {:24} seed {}", mutation.name(), failure.violation.check, plan.seed);
            }
            None => {
                println!("{:18} NOTHING NOTICED", mutation.name());
                all_found = false;
            }
        }
    }
    if all_found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse_range(text: &str) -> Result<std::ops::Range<u64>> {
    let (first, end) = text.split_once("..").context("a range is written FIRST..END")?;
    let (first, end) = (first.parse()?, end.parse()?);
    ensure!(first < end, "the range {text} is empty");
    Ok(first..end)
}
