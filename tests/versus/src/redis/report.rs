//! Rounds, their medians, and what is asked of them.

use super::{CLIENTS, KEYS, LOADS, Measured};
use crate::report::median;
use serde_json::{Value, json};

/// Requests in a second asked of SET and GET, on two cores where redis-server alone reaches about 75,000.
const PER_SECOND_MIN: f64 = 35_000.0;
/// SET in pipelines of 16, times SET one by one.
const PIPELINED_MIN: f64 = 5.0;
/// Their places among the contestants.
const REDIS: usize = 0;
const OUTBOARD: usize = 2;

/// All figures.
pub(super) struct Report {
    titles: Vec<String>,
    requests: u64,
    /// By load and contestant, a figure for each round.
    figures: Vec<Vec<Vec<Measured>>>,
}

impl Report {
    pub(super) fn new(titles: Vec<String>, requests: u64) -> Report {
        let figures = vec![vec![Vec::new(); titles.len()]; LOADS.len()];
        Report { titles, requests, figures }
    }

    pub(super) fn push(&mut self, load: usize, contestant: usize, measured: Measured) {
        self.figures[load][contestant].push(measured);
    }

    pub(super) fn title(&self) -> String {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        format!(
            "redis-benchmark -c {CLIENTS} -r {KEYS} -n {}, and 5 times as many with -P 16; one redis-server each, three outboard nodes \
             that sync every batch;\nthe load and all of them on one machine with {cores} cores",
            self.requests
        )
    }

    /// The newest figures of a load, in short.
    pub(super) fn last(&self, load: usize) -> String {
        let rates = self.figures[load].iter().map(|rounds| rounds.last().map_or(0.0, |measured| measured.per_second));
        let each = self.titles.iter().zip(rates).map(|(title, rate)| format!("{title} {rate:.0}/s"));
        format!("{:<9}  {}", LOADS[load].title(), each.collect::<Vec<_>>().join("   "))
    }

    pub(super) fn text(&self) -> String {
        let mut lines = vec![format!("medians{:39}p50 ms   p99 ms   outboard is", "")];
        lines.extend((0..LOADS.len()).flat_map(|load| self.lines(load)));
        for (text, value, limit) in self.claims() {
            let verdict = if value >= limit { "met" } else { "NOT met" };
            lines.push(format!("asked    {text}: {value:.2} (limit {limit}): {verdict}"));
        }
        lines.join("\n")
    }

    pub(super) fn document(&self) -> Value {
        let loads = LOADS.into_iter().enumerate().map(|(place, load)| {
            let medians = self.medians(place);
            let each = self.titles.iter().zip(&self.figures[place]).zip(&medians).map(|((title, rounds), median)| {
                let rounds = rounds.iter().map(|measured| figures(*measured)).collect::<Vec<_>>();
                json!({
                    "name": title,
                    "median": figures(*median),
                    "outboard_ratio": medians[OUTBOARD].per_second / median.per_second,
                    "rounds": rounds,
                })
            });
            json!({ "test": load.test, "pipeline": load.pipeline, "contestants": each.collect::<Vec<_>>() })
        });
        let claims = self.claims().into_iter();
        let claims = claims.map(
            |(text, value, limit)| json!({ "claim": text, "value": value, "limit": limit, "met": value >= limit }),
        );
        json!({
            "$type": "versus_redis",
            "clients": CLIENTS,
            "keys": KEYS,
            "requests": self.requests,
            "loads": loads.collect::<Vec<_>>(),
            "claims": claims.collect::<Vec<_>>(),
        })
    }

    /// The medians of a load, a line for each contestant, and how many times its figure Outboard's is.
    fn lines(&self, load: usize) -> Vec<String> {
        let measured = self.medians(load);
        let ours = measured[OUTBOARD].per_second;
        let line = |(title, measured): (&String, &Measured)| {
            let Measured { per_second, p50_ms, p99_ms } = measured;
            let is_ours = *title == self.titles[OUTBOARD];
            let ratio = if is_ours { "-".to_owned() } else { format!("{:.2}x", ours / per_second) };
            let name = LOADS[load].title();
            format!("{name:<9}  {title:<19}  {per_second:>8.0}/s  {p50_ms:>7.2}  {p99_ms:>7.2}   {ratio:>11}")
        };
        self.titles.iter().zip(&measured).map(line).collect()
    }

    fn medians(&self, load: usize) -> Vec<Measured> {
        let middle = |rounds: &Vec<Measured>| {
            let of = |pick: fn(&Measured) -> f64| median(rounds.iter().map(pick).collect());
            Measured {
                per_second: of(|each| each.per_second),
                p50_ms: of(|each| each.p50_ms),
                p99_ms: of(|each| each.p99_ms),
            }
        };
        self.figures[load].iter().map(middle).collect()
    }

    /// What is asked, how it came out, and the limit.
    fn claims(&self) -> Vec<(String, f64, f64)> {
        let place = |test: &str, pipeline: u32| {
            let found = LOADS.iter().position(|load| load.test == test && load.pipeline == pipeline);
            found.expect("it is among the loads")
        };
        let per_second = |load: usize, contestant: usize| self.medians(load)[contestant].per_second;
        let (set, get, pipelined) = (place("set", 1), place("get", 1), place("set", 16));
        let beside = |load: usize| {
            let title = LOADS[load].title();
            format!("{title} in a second, where redis-server does {:.0}", per_second(load, REDIS))
        };
        vec![
            (beside(set), per_second(set, OUTBOARD), PER_SECOND_MIN),
            (beside(get), per_second(get, OUTBOARD), PER_SECOND_MIN),
            (
                "SET -P 16, times SET".to_owned(),
                per_second(pipelined, OUTBOARD) / per_second(set, OUTBOARD),
                PIPELINED_MIN,
            ),
        ]
    }
}

fn figures(measured: Measured) -> Value {
    let Measured { per_second, p50_ms, p99_ms } = measured;
    json!({ "per_second": per_second, "p50_ms": p50_ms, "p99_ms": p99_ms })
}
