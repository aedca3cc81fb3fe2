//! One sequence on both sides, reply by reply.

use std::collections::BTreeMap;
use std::fmt;

use crate::native::Native;
use crate::real::{self, Played};
use crate::resp::Value;
use crate::sequence::{Command, Sequence};
use crate::server::{Connection, DATABASES};
use crate::tolerated::{self, Scene};

/// What a comparison brought.
pub(crate) enum Verdict {
    /// All replies are equal, but for differences that are tolerated by name.
    Equal,
    /// The first reply that differs.
    Differs(Difference),
    /// Time passed where it must not: nothing is known.
    Unclear,
}

pub(crate) struct Difference {
    command: String,
    redis: Value,
    engine: Value,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  redis  answers {:?}\n  engine answers {:?}", self.command, self.redis, self.engine)
    }
}

/// Which form the client asked Redis for. The engine's replies are RESP3 and are turned into RESP2 by a gateway.
#[derive(Copy, Clone, Eq, PartialEq)]
pub(crate) enum Protocol {
    Resp2,
    Resp3,
}

/// What was met on the way: proof that the sequences reach what they shall reach.
#[derive(Default)]
pub(crate) struct Seen {
    /// For each command of the engine: answers that are no errors, and errors.
    pub(crate) answers: BTreeMap<String, (u64, u64)>,
    /// Error texts, with how often.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Tolerated differences by name.
    pub(crate) tolerated: BTreeMap<&'static str, u64>,
}

/// Busy as the machine may be, a few microseconds come through sooner or later.
const TRIES: u32 = 1000;

pub(crate) struct Comparison {
    redis: Connection,
    protocol: Protocol,
    pub(crate) seen: Seen,
}

impl Comparison {
    pub(crate) fn new(mut redis: Connection, protocol: Protocol) -> Comparison {
        if protocol == Protocol::Resp3 {
            assert!(!redis.ask(&["HELLO", "3"]).is_error(), "Redis 6 and later speak RESP3");
        }
        Comparison { redis, protocol, seen: Seen::default() }
    }

    /// Compares any number of sequences; the first that differs, with the difference.
    pub(crate) fn run(&mut self, sequences: &[Sequence]) -> Option<(Sequence, Difference)> {
        let mut waiting: Vec<&Sequence> = sequences.iter().collect();
        for _ in 0..TRIES {
            let now = &waiting[..waiting.len().min(DATABASES)];
            let mut unclear = Vec::new();
            for (sequence, played) in now.iter().zip(real::play(&mut self.redis, now)) {
                match played.map_or(Verdict::Unclear, |played| self.judge(&played)) {
                    Verdict::Equal => {}
                    Verdict::Unclear => unclear.push(*sequence),
                    Verdict::Differs(difference) => return Some(((*sequence).clone(), difference)),
                }
            }
            waiting = [&unclear, &waiting[now.len()..]].concat();
            if waiting.is_empty() {
                return None;
            }
        }
        panic!("never played within one millisecond:\n{}", waiting[0].show());
    }

    fn judge(&mut self, played: &Played) -> Verdict {
        let mut engine = Native::new();
        let mut met = Vec::new();
        let mut some_ran_out = false;
        for phase in &played.phases {
            engine.set_clock(phase.now_ms);
            for (command, redis) in &phase.replies {
                let is_scan = is(command, "SCAN");
                let answer = if is_scan { engine.answer_whole_scan(command) } else { engine.answer(command) };
                // Redis takes its time for expiries a little before our first look at its clock.
                if engine.has_ends_between(phase.now_ms - CLOCK_SLACK_MS, phase.now_ms) {
                    return Verdict::Unclear;
                }
                some_ran_out |= engine.over() > 0;
                let redis = each_once(command, sorted(command, redis.clone()));
                let answer = sorted(command, self.translated(answer));
                if redis != answer {
                    let scene =
                        Scene { command, redis: &redis, engine: &answer, live: engine.live_keys(), some_ran_out };
                    match tolerated::name(&scene) {
                        Some(name) => met.push(name),
                        None => return Verdict::Differs(Difference { command: show(command), redis, engine: answer }),
                    }
                }
            }
        }
        self.note(played, met);
        Verdict::Equal
    }

    fn translated(&self, answer: Value) -> Value {
        match self.protocol {
            Protocol::Resp2 => answer.into_resp2(),
            Protocol::Resp3 => answer,
        }
    }

    fn note(&mut self, played: &Played, tolerated: Vec<&'static str>) {
        for (command, reply) in played.phases.iter().flat_map(|phase| &phase.replies) {
            if let Some(known) = kv::ENGINE.command(&command[0]) {
                let (answers, errors) = self.seen.answers.entry(known.name.to_owned()).or_default();
                *if reply.is_error() { errors } else { answers } += 1;
            }
            if let Value::Error(text) = reply {
                *self.seen.errors.entry(String::from_utf8_lossy(text).into_owned()).or_default() += 1;
            }
        }
        tolerated.into_iter().for_each(|name| *self.seen.tolerated.entry(name).or_default() += 1);
    }
}

/// A client may get stopped between the start of EXEC and the first look at the clock, but hardly for longer than that. If it
/// is, a difference shows that is gone when the sequence is played again.
const CLOCK_SLACK_MS: i64 = 5;

/// Replies without an order are put into one.
fn sorted(command: &Command, mut reply: Value) -> Value {
    if let Value::Array(keys) = &mut reply
        && (is(command, "KEYS") || is(command, "SCAN"))
    {
        keys.sort();
    }
    reply
}

/// SCAN of Redis may bring a key more than once; the engine's promises not to.
fn each_once(command: &Command, mut reply: Value) -> Value {
    if let Value::Array(keys) = &mut reply
        && is(command, "SCAN")
    {
        keys.dedup();
    }
    reply
}

fn is(command: &Command, name: &str) -> bool {
    command[0].eq_ignore_ascii_case(name.as_bytes())
}

pub(crate) fn show(command: &Command) -> String {
    command.iter().map(|word| format!("\"{}\"", word.escape_ascii())).collect::<Vec<_>>().join(" ")
}
