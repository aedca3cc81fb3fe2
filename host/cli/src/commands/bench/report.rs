//! What was measured, for people and for machines, with what it was measured on.

use super::load::Tally;
use super::{BenchArgs, Operation};
use crate::failure::Failure;
use crate::global::Reads;
use crate::units::{self, short, thousands};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::time::Duration;

const PERCENTILES: [(&str, f64); 4] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)];

/// What it was measured on.
pub(super) struct Setting {
    pub(super) nodes: usize,
    pub(super) engine: String,
    pub(super) durability: String,
    pub(super) consistency: Reads,
    pub(super) args: BenchArgs,
}

/// A finished measurement.
pub(super) struct Report {
    pub(super) setting: Setting,
    pub(super) tally: Tally,
}

impl Report {
    pub(super) fn text(&self) -> Vec<String> {
        let Setting { nodes, engine, durability, args, .. } = &self.setting;
        let rate = args.rate.map_or(String::new(), |rate| format!(", {}/s asked for", thousands(rate)));
        let mut lines = vec![
            format!(
                "{:<9} {} clients x {} under way, {} connections{rate}",
                args.operation.name(),
                args.clients,
                args.pipeline,
                args.connections.min(args.clients)
            ),
            format!(
                "{:<9} {} keys, {}, values of {}; {nodes} nodes, {engine}, durability {durability}{}",
                "",
                thousands(args.keys),
                args.distribution.name(),
                units::size(args.value_size),
                self.reads(),
            ),
            format!(
                "requests  {} in {}   {}/s   errors {}",
                thousands(self.tally.answered()),
                short(self.tally.elapsed),
                thousands(self.per_second() as u64),
                thousands(self.errors())
            ),
        ];
        for (name, histogram) in self.measured() {
            lines.push(latency_line(name, histogram));
        }
        if self.tally.missing > 0 {
            lines.push(format!("missing   {} gets found no value", thousands(self.tally.missing)));
        }
        for (kind, count) in &self.tally.errors {
            lines.push(format!("error     {kind}: {}", thousands(*count)));
        }
        lines
    }

    pub(super) fn document(&self) -> Value {
        let Setting { nodes, engine, durability, args, .. } = &self.setting;
        let latency: serde_json::Map<String, Value> = self
            .measured()
            .into_iter()
            .map(|(name, histogram)| (name.to_owned(), latency_document(histogram)))
            .collect();
        json!({
            "$type": "bench",
            "operation": args.operation.name(),
            "clients": args.clients,
            "connections": args.connections.min(args.clients),
            "sessions": !args.no_session,
            "pipeline": args.pipeline,
            "keys": args.keys,
            "distribution": args.distribution.name(),
            "value_bytes": args.value_size,
            "rate": args.rate,
            "read_ratio": (args.operation == Operation::Mixed).then_some(args.read_ratio),
            "consistency": consistency(self.setting.consistency),
            "nodes": nodes,
            "engine": engine,
            "durability": durability,
            "requests": self.tally.answered(),
            "elapsed_ms": self.tally.elapsed.as_millis() as u64,
            "requests_per_second": (self.per_second() * 10.0).round() / 10.0,
            "latency_us": latency,
            "missing": self.tally.missing,
            "errors": self.tally.errors,
            "first_error": self.tally.first_error.as_ref().map(ToString::to_string),
        })
    }

    /// A measurement in which nothing was answered is a failure.
    pub(super) fn judge(&self) -> Result<(), Failure> {
        match &self.tally.first_error {
            Some(error) if self.tally.answered() == 0 => {
                Err(Failure::from(error.clone()).during("every request failed"))
            }
            Some(error) => {
                eprintln!("{} requests failed; the first: {error}", thousands(self.errors()));
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn measured(&self) -> Vec<(&'static str, &Histogram<u64>)> {
        let both = [("put", &self.tally.puts), ("get", &self.tally.gets)];
        both.into_iter().filter(|(_, histogram)| !histogram.is_empty()).collect()
    }

    fn per_second(&self) -> f64 {
        self.tally.answered() as f64 / self.tally.elapsed.as_secs_f64().max(1e-6)
    }

    fn errors(&self) -> u64 {
        self.tally.errors.values().sum()
    }

    fn reads(&self) -> String {
        match self.setting.args.operation {
            Operation::Put => String::new(),
            Operation::Get | Operation::Mixed => format!(", {} reads", consistency(self.setting.consistency)),
        }
    }
}

fn consistency(reads: Reads) -> &'static str {
    match reads {
        Reads::Linearizable => "linearizable",
        Reads::Stale => "stale",
        Reads::Follower => "follower",
    }
}

fn latency_line(name: &str, histogram: &Histogram<u64>) -> String {
    let shown = |us: u64| short(Duration::from_micros(us));
    let mut line = format!("{name:<9}");
    for (label, percentile) in PERCENTILES {
        line.push_str(&format!(" {label} {}  ", shown(histogram.value_at_percentile(percentile))));
    }
    line.push_str(&format!(" max {}", shown(histogram.max())));
    line
}

fn latency_document(histogram: &Histogram<u64>) -> Value {
    let mut document: serde_json::Map<String, Value> = PERCENTILES
        .into_iter()
        .map(|(label, percentile)| (label.to_owned(), json!(histogram.value_at_percentile(percentile))))
        .collect();
    document.insert("max".to_owned(), json!(histogram.max()));
    document.insert("mean".to_owned(), json!((histogram.mean() * 10.0).round() / 10.0));
    document.insert("count".to_owned(), json!(histogram.len()));
    Value::Object(document)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;
    use outboard_client::ClientError;

    fn report() -> Report {
        let cli = Cli::try_parse_from(["outboard", "bench", "put", "--clients", "2", "--rate", "1000"]).expect("flags");
        let Command::Bench(args) = cli.command else { panic!("bench was asked for") };
        let mut tally = Tally::new();
        for us in 1..=1_000 {
            tally.puts.saturating_record(us);
        }
        tally.elapsed = Duration::from_millis(500);
        let (engine, durability) = ("kv 0.1.0".to_owned(), "sync".to_owned());
        Report { setting: Setting { nodes: 3, engine, durability, consistency: Reads::Linearizable, args }, tally }
    }

    #[test]
    fn the_durability_stands_beside_the_figures() {
        let text = report().text();
        assert_eq!(text[0], "put       2 clients x 1 under way, 2 connections, 1,000/s asked for");
        assert!(text[1].ends_with("3 nodes, kv 0.1.0, durability sync"), "{}", text[1]);
        assert_eq!(text[2], "requests  1,000 in 500 ms   2,000/s   errors 0");
        assert_eq!(text[3], "put       p50 0.5 ms   p90 0.9 ms   p99 1.0 ms   p99.9 1.0 ms   max 1.0 ms");
    }

    #[test]
    fn the_document_holds_the_same_figures() {
        let document = report().document();
        assert_eq!(document["requests_per_second"], 2000.0);
        assert_eq!(document["latency_us"]["put"]["p50"], 500);
        assert_eq!(document["durability"], "sync");
    }

    #[test]
    fn a_measurement_of_failures_only_fails_with_their_code() {
        let mut report = report();
        report.tally.first_error = Some(ClientError::Unavailable("no leader".into()));
        assert!(report.judge().is_ok());
        report.tally.puts.reset();
        assert_eq!(report.judge().expect_err("nothing was answered").code.exit(), 5);
    }
}
