//! Goes through the seeds; what differs is played again, made as short as it gets, and reported.

use std::ops::Range;

use kv::ENGINE;

use crate::compare::{Comparison, Difference, Protocol, Seen};
use crate::generate::Generator;
use crate::sequence::Sequence;
use crate::server::{DATABASES, Server, say};
use crate::tolerated::TOLERATED;

/// What is compared when nobody says which seeds.
const SEEDS: Range<u64> = 0..6000;

/// Half of the seeds for each protocol.
pub(crate) fn compare_seeds(protocol: Protocol) {
    let Some(server) = Server::start() else { return };
    let chosen = std::env::var("KV_SEEDS").ok().map(|text| parse_range(&text));
    let parity = u64::from(protocol == Protocol::Resp3);
    let seeds: Vec<u64> = chosen.clone().unwrap_or(SEEDS).filter(|seed| seed % 2 == parity).collect();
    let generator = Generator::new();
    let mut comparison = Comparison::new(server.connect(), protocol);
    for seeds in seeds.chunks(DATABASES) {
        let sequences: Vec<Sequence> = seeds.iter().map(|seed| generator.sequence(*seed)).collect();
        if let Some((sequence, difference)) = comparison.run(&sequences) {
            let seed = sequence.seed;
            report(&format!("seed {seed}"), &mut comparison, sequence, difference);
        }
    }
    if chosen.is_none() {
        assert_all_was_reached(&comparison.seen);
    }
}

fn parse_range(text: &str) -> Range<u64> {
    let ends = text.split_once("..").and_then(|(start, end)| Some(start.parse().ok()?..end.parse().ok()?));
    ends.unwrap_or_else(|| panic!("KV_SEEDS is a range such as 0..100000, not {text:?}"))
}

/// Panics with what differs, in as few commands as show it.
///
/// What does not come again is said and not believed: a machine that stops for a moment between two of Redis' looks at its
/// clock can make a reply that no sequence explains.
pub(crate) fn report(title: &str, comparison: &mut Comparison, mut sequence: Sequence, mut difference: Difference) {
    const TRIES: u32 = 3;
    if !(0..TRIES).any(|_| comparison.run(std::slice::from_ref(&sequence)).is_some()) {
        return say(&format!("{title} differed once and not again: {difference}\n{}", sequence.show()));
    }
    loop {
        let differing = sequence.shorter().find_map(|shorter| comparison.run(&[shorter]));
        let Some(shorter) = differing else { break };
        (sequence, difference) = shorter;
    }
    panic!("{title}, as short as it gets:\n{}{difference}", sequence.show());
}

/// A comparison of nothing would be equal, too.
fn assert_all_was_reached(seen: &Seen) {
    // Redis has no CAS.
    for command in ENGINE.commands.iter().filter(|command| command.name != "CAS") {
        let (answers, errors) = seen.answers.get(command.name).copied().unwrap_or_default();
        assert!(answers > 0 && errors > 0, "{}: {answers} answers and {errors} errors compared", command.name);
    }
    let texts = [
        "ERR DB index is out of range",
        "ERR GT and LT options at the same time are not compatible",
        "ERR NX and XX, GT or LT options at the same time are not compatible",
        "ERR Unsupported option ",
        "ERR decrement would overflow",
        "ERR increment or decrement would overflow",
        "ERR invalid cursor",
        "ERR invalid expire time in 'expire' command",
        "ERR invalid expire time in 'getex' command",
        "ERR invalid expire time in 'psetex' command",
        "ERR invalid expire time in 'set' command",
        "ERR no such key",
        "ERR offset is out of range",
        "ERR source and destination objects are the same",
        "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        "ERR syntax error",
        "ERR unknown command '",
        "ERR value is not an integer or out of range",
        "ERR value is out of range, value must between -2147483648 and 2147483647",
        "ERR wrong number of arguments for 'get' command",
        "ERR wrong number of arguments for 'mset' command",
    ];
    for text in texts {
        assert!(seen.errors.keys().any(|seen| seen.starts_with(text)), "no sequence met {text:?}");
    }
    for tolerance in TOLERATED.iter().filter(|tolerance| tolerance.surely_met) {
        assert!(seen.tolerated.contains_key(tolerance.name), "nothing needs to be tolerated: {}", tolerance.name);
    }
}
