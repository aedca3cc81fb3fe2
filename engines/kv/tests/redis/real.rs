//! Redis' side. Many sequences are played at once, each in a database of its own, so that they wait together.
//!
//! Time makes replies differ from run to run. So each phase of a sequence runs in one MULTI/EXEC, with Redis' clock asked
//! before and after: when both answers are the same millisecond, then that was the time of all commands between, and the
//! engine can be given the very same. When not (some percent of the phases, or all while the machine is busy elsewhere),
//! the sequence is played again. Nothing is ever assumed of how long anything takes.
//!
//! MULTI refuses some commands when they are queued, unknown ones and wrong counts; those errors are collected in a
//! rehearsal that is discarded.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::resp::Value;
use crate::sequence::{Command, Sequence};
use crate::server::Connection;
use crate::vocabulary::SOON_MS;

/// A sequence as it went.
pub(crate) struct Played {
    pub(crate) phases: Vec<Phase>,
}

pub(crate) struct Phase {
    /// Redis' time, all through this phase.
    pub(crate) now_ms: i64,
    /// What was asked, and what it answered.
    pub(crate) replies: Vec<(Command, Value)>,
}

/// Plays each sequence in the database of its place; none where a clock ticked meanwhile.
pub(crate) fn play(redis: &mut Connection, sequences: &[&Sequence]) -> Vec<Option<Played>> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("this machine's clock is set");
    let now_ms = i64::try_from(since.as_millis()).expect("this machine's clock is set");
    let scripts: Vec<Vec<Vec<Command>>> = sequences.iter().map(|sequence| sequence.resolve(now_ms)).collect();
    expect_ok(redis.ask(&["FLUSHALL"]));
    let refused = rehearse(redis, &scripts);

    let mut played: Vec<Option<Played>> = scripts.iter().map(|_| Some(Played { phases: Vec::new() })).collect();
    let phases = scripts.iter().map(Vec::len).max().unwrap_or(0);
    for phase in 0..phases {
        let goes_on: Vec<bool> =
            scripts.iter().map(|script| script.get(phase).is_some_and(|phase| !phase.is_empty())).collect();
        if phase > 0 && goes_on.contains(&true) {
            std::thread::sleep(Duration::from_millis(SOON_MS as u64 + 10));
        }
        for (database, script) in scripts.iter().enumerate().filter(|(database, _)| goes_on[*database]) {
            push_phase(redis, database, &script[phase], &refused[database][phase]);
        }
        redis.send();
        for (database, script) in scripts.iter().enumerate().filter(|(database, _)| goes_on[*database]) {
            let result = receive_phase(redis, &script[phase], &refused[database][phase]);
            match (&mut played[database], result) {
                (Some(played), Some(result)) => played.phases.push(result),
                (unclear, _) => *unclear = None,
            }
        }
    }
    played
}

/// For each command: the error with which it is refused before it runs, if it is.
fn rehearse(redis: &mut Connection, scripts: &[Vec<Vec<Command>>]) -> Vec<Vec<Vec<Option<Value>>>> {
    for command in scripts.iter().flatten() {
        redis.push(&["MULTI"]);
        command.iter().for_each(|command| redis.push(command));
        redis.push(&["DISCARD"]);
    }
    redis.send();
    let mut refused = |phase: &Vec<Command>| {
        expect_ok(redis.receive());
        let answers: Vec<Value> = phase.iter().map(|_| redis.receive()).collect();
        expect_ok(redis.receive());
        answers.into_iter().map(|answer| answer.is_error().then_some(answer)).collect()
    };
    scripts.iter().map(|script| script.iter().map(&mut refused).collect()).collect()
}

fn push_phase(redis: &mut Connection, database: usize, phase: &[Command], refused: &[Option<Value>]) {
    redis.push(&["SELECT", &database.to_string()]);
    redis.push(&["MULTI"]);
    push_clock(redis);
    for (command, _) in phase.iter().zip(refused).filter(|(_, refused)| refused.is_none()) {
        push_in_transaction(redis, command);
    }
    push_clock(redis);
    redis.push(&["EXEC"]);
}

/// What one sequence alone would say otherwise, or in several steps.
fn push_in_transaction(redis: &mut Connection, command: &Command) {
    let name = command[0].to_ascii_uppercase();
    match name.as_slice() {
        // The other sequences want to keep theirs.
        b"FLUSHALL" => redis.push(&[&[b"FLUSHDB".to_vec()], &command[1..]].concat()),
        b"SCAN" => {
            redis.push(&[&["EVAL", WHOLE_SCAN, "0"].map(|word| word.as_bytes().to_vec()), command.as_slice()].concat())
        }
        _ => redis.push(command),
    }
}

/// SCAN driven to its end. Within a script time stands still, as within a phase.
const WHOLE_SCAN: &str = "
    local words, found = ARGV, {}
    repeat
        local page = redis.pcall(unpack(words))
        if page.err then return page end
        words[2] = page[1]
        for _, key in ipairs(page[2]) do found[#found + 1] = key end
    until page[1] == '0'
    return found";

/// A key that expires after no time at all would be gone before it tells when; so it is given a minute.
const MINUTE_MS: i64 = 60_000;
const CLOCK_COMMANDS: usize = 3;

fn push_clock(redis: &mut Connection) {
    redis.push(&["SET", "what time is it?", "", "PX", &MINUTE_MS.to_string()]);
    redis.push(&["PEXPIRETIME", "what time is it?"]);
    redis.push(&["DEL", "what time is it?"]);
}

fn read_clock(replies: &[Value]) -> i64 {
    let Value::Integer(digits) = &replies[1] else { panic!("Redis has no clock: {:?}", replies[1]) };
    String::from_utf8_lossy(digits).parse::<i64>().expect("an integer") - MINUTE_MS
}

fn receive_phase(redis: &mut Connection, phase: &[Command], refused: &[Option<Value>]) -> Option<Phase> {
    let queued = refused.iter().filter(|refused| refused.is_none()).count() + 2 * CLOCK_COMMANDS;
    (0..2).for_each(|_| expect_ok(redis.receive()));
    for _ in 0..queued {
        let answer = redis.receive();
        assert!(answer == Value::Status(b"QUEUED".to_vec()), "what was queued once is queued again, not {answer:?}");
    }
    let Value::Array(replies) = redis.receive() else { panic!("EXEC answers with an array") };
    assert_eq!(replies.len(), queued, "EXEC answers each command");
    let (before, rest) = replies.split_at(CLOCK_COMMANDS);
    let (replies, after) = rest.split_at(rest.len() - CLOCK_COMMANDS);
    let now_ms = read_clock(before);
    if now_ms != read_clock(after) {
        return None;
    }
    let mut replies = replies.iter().cloned();
    let mut reply = |refused: &Option<Value>| refused.clone().or_else(|| replies.next()).expect("counted above");
    Some(Phase { now_ms, replies: phase.iter().cloned().zip(refused.iter().map(&mut reply)).collect() })
}

fn expect_ok(answer: Value) {
    assert!(answer == Value::Status(b"OK".to_vec()), "Redis refuses the frame of the test: {answer:?}");
}
