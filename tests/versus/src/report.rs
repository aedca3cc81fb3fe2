//! Rounds, their medians, and both for people and for machines.

use crate::claims::{Claim, judge};
use crate::{KEYS, LOADS, Load, Measured, VALUE_BYTES};
use serde_json::{Value, json};

/// All rounds.
pub(crate) struct Report {
    etcd: String,
    outboard: String,
    seconds: u64,
    rounds: Vec<Round>,
}

/// One turn of all loads; etcd first, then Outboard.
pub(crate) struct Round {
    sync_us: f64,
    round_trip_us: f64,
    pairs: Vec<(Measured, Measured)>,
}

/// The middle of the rounds.
pub(crate) struct Medians {
    pub(crate) sync_us: f64,
    pub(crate) round_trip_us: f64,
    /// In the order of the loads.
    pub(crate) loads: Vec<Pair>,
}

/// One load's medians.
pub(crate) struct Pair {
    pub(crate) theirs: Measured,
    pub(crate) ours: Measured,
    /// Ours by theirs.
    pub(crate) ratio: f64,
}

impl Round {
    pub(crate) fn new(sync_us: f64, round_trip_us: f64) -> Round {
        Round { sync_us, round_trip_us, pairs: Vec::new() }
    }

    pub(crate) fn push(&mut self, theirs: Measured, ours: Measured) {
        self.pairs.push((theirs, ours));
    }

    pub(crate) fn floor(&self) -> String {
        floor(self.sync_us, self.round_trip_us)
    }
}

impl Report {
    pub(crate) fn new(etcd: &str, outboard: &str, seconds: u64) -> Report {
        Report { etcd: etcd.to_owned(), outboard: outboard.to_owned(), seconds, rounds: Vec::new() }
    }

    pub(crate) fn push(&mut self, round: Round) {
        self.rounds.push(round);
    }

    pub(crate) fn title(&self) -> String {
        let Report { etcd, outboard, seconds, .. } = self;
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        format!(
            "etcd {etcd} (defaults, no TLS) and outboard {outboard} (defaults, mutual TLS): 3 processes each on the loopback of\n\
             one machine with {cores} cores, values of {VALUE_BYTES} bytes, {KEYS} keys, synced before acknowledged, {seconds} s \
             for each figure"
        )
    }

    pub(crate) fn text(&self) -> String {
        let medians = self.medians();
        let mut lines = Vec::new();
        for (load, pair) in LOADS.into_iter().zip(&medians.loads) {
            lines.push(line("median ", load, pair.theirs, pair.ours));
        }
        lines.push(format!("median   {}", floor(medians.sync_us, medians.round_trip_us)));
        for Claim { text, value, limit, is_met } in judge(&medians) {
            let verdict = if is_met { "met" } else { "NOT met" };
            lines.push(format!("asked    {text}: {value:.2} (limit {limit}): {verdict}"));
        }
        lines.join("\n")
    }

    pub(crate) fn document(&self) -> Value {
        let medians = self.medians();
        let loads = LOADS.into_iter().zip(&medians.loads).enumerate().map(|(place, (load, pair))| {
            let rounds = self.rounds.iter().map(|round| {
                let (theirs, ours) = round.pairs[place];
                json!({ "etcd": figures(theirs), "outboard": figures(ours), "ratio": ours.per_second / theirs.per_second })
            });
            json!({
                "operation": if load.is_get { "get" } else { "put" },
                "clients": load.clients,
                "rounds": rounds.collect::<Vec<_>>(),
                "median": { "etcd": figures(pair.theirs), "outboard": figures(pair.ours), "ratio": pair.ratio },
            })
        });
        let claims = judge(&medians).into_iter().map(
            |claim| json!({ "claim": claim.text, "value": claim.value, "limit": claim.limit, "met": claim.is_met }),
        );
        json!({
            "$type": "versus",
            "etcd": self.etcd,
            "outboard": self.outboard,
            "seconds": self.seconds,
            "value_bytes": VALUE_BYTES,
            "keys": KEYS,
            "loads": loads.collect::<Vec<_>>(),
            "sync_us": medians.sync_us,
            "round_trip_us": medians.round_trip_us,
            "claims": claims.collect::<Vec<_>>(),
        })
    }

    fn medians(&self) -> Medians {
        let pair = |place: usize| {
            let of = |pick: &dyn Fn(&(Measured, Measured)) -> f64| {
                median(self.rounds.iter().map(|round| pick(&round.pairs[place])).collect())
            };
            let errors = |pick: &dyn Fn(&(Measured, Measured)) -> u64| {
                self.rounds.iter().map(|round| pick(&round.pairs[place])).sum::<u64>()
            };
            let theirs = Measured {
                per_second: of(&|pair| pair.0.per_second),
                p50_us: of(&|pair| pair.0.p50_us),
                p99_us: of(&|pair| pair.0.p99_us),
                errors: errors(&|pair| pair.0.errors),
            };
            let ours = Measured {
                per_second: of(&|pair| pair.1.per_second),
                p50_us: of(&|pair| pair.1.p50_us),
                p99_us: of(&|pair| pair.1.p99_us),
                errors: errors(&|pair| pair.1.errors),
            };
            Pair { theirs, ours, ratio: ours.per_second / theirs.per_second }
        };
        Medians {
            sync_us: median(self.rounds.iter().map(|round| round.sync_us).collect()),
            round_trip_us: median(self.rounds.iter().map(|round| round.round_trip_us).collect()),
            loads: (0..LOADS.len()).map(pair).collect(),
        }
    }
}

/// One load of both on one line.
pub(crate) fn line(label: &str, load: Load, theirs: Measured, ours: Measured) -> String {
    let verb = if load.is_get { "get" } else { "put" };
    let side = |name: &str, measured: Measured| {
        let errors = if measured.errors == 0 { String::new() } else { format!(" ERRORS {}", measured.errors) };
        let Measured { per_second, p50_us, p99_us, .. } = measured;
        format!("{name} {per_second:>8.0}/s p50 {p50_us:>6.0} µs p99 {p99_us:>6.0} µs{errors}")
    };
    let ratio = ours.per_second / theirs.per_second;
    let (theirs, ours) = (side("etcd", theirs), side("outboard", ours));
    format!("{label}  {verb} {:>3} clients   {theirs}   {ours}   {ratio:.2}x", load.clients)
}

fn floor(sync_us: f64, round_trip_us: f64) -> String {
    format!("fdatasync of 1 KiB {sync_us:.0} µs, loopback round trip {round_trip_us:.0} µs")
}

fn figures(measured: Measured) -> Value {
    let Measured { per_second, p50_us, p99_us, errors } = measured;
    json!({ "per_second": per_second, "p50_us": p50_us, "p99_us": p99_us, "errors": errors })
}

/// The middle one, or between the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}
