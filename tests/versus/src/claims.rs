//! What is asked of the speed, beside what was measured.

use crate::report::Medians;

/// A demand and how it came out.
pub(crate) struct Claim {
    pub(crate) text: String,
    pub(crate) value: f64,
    pub(crate) limit: f64,
    pub(crate) is_met: bool,
}

/// Times etcd's figures.
const RATIO_MIN: f64 = 5.0;
/// Times one sync plus one round trip.
const LATENCY_MAX: f64 = 2.0;

pub(crate) fn judge(medians: &Medians) -> Vec<Claim> {
    let at_least = |text: &str, value: f64| Claim {
        text: format!("{text}, times etcd's"),
        value,
        limit: RATIO_MIN,
        is_met: value >= RATIO_MIN,
    };
    let floor_us = medians.sync_us + medians.round_trip_us;
    let latency = medians.loads[3].ours.p50_us / floor_us;
    vec![
        at_least("puts at 50 clients", medians.loads[0].ratio),
        at_least("puts at 256 clients", medians.loads[1].ratio),
        at_least("gets at 50 clients", medians.loads[2].ratio),
        Claim {
            text: "one client's put (p50), times one sync plus one round trip".to_owned(),
            value: latency,
            limit: LATENCY_MAX,
            is_met: latency <= LATENCY_MAX,
        },
    ]
}
