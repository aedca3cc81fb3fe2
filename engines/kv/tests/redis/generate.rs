//! From a seed to a sequence: commands drawn from the engine's own usage, some of them spoilt.

use outboard_sdk::args::parse_i64;

use crate::sequence::{Sequence, Word};
use crate::server::DATABASES;
use crate::usage::{Item, Usage};
use crate::vocabulary::Dice;

/// Commands of one sequence: from the first to less than the second.
const LENGTH: (usize, usize) = (5, 31);
/// One in so many commands is spoilt, and one in so many is none that either side knows.
const SPOILT_EVERY: usize = 6;
const UNKNOWN_EVERY: usize = 40;
/// How many options a command is given at most: more than go together.
const OPTIONS_MAX: usize = 4;

/// Draws sequences.
pub(crate) struct Generator {
    usages: Vec<Usage>,
}

impl Generator {
    pub(crate) fn new() -> Generator {
        Generator { usages: Usage::all() }
    }

    pub(crate) fn sequence(&self, seed: u64) -> Sequence {
        let mut dice = Dice::new(seed);
        let urn = self.urn(&mut dice);
        let length = LENGTH.0 + dice.below(LENGTH.1 - LENGTH.0);
        let mut first: Vec<Vec<Word>> = (0..length).map(|_| command(&urn, &mut dice)).collect();
        let second = first.split_off(if dice.once_in(2) { dice.below(length) } else { length });
        Sequence { seed, phases: vec![first, second] }
    }

    /// Each usage as often as it shall be drawn: of all commands, or of a few, that work on each other's results.
    fn urn(&self, dice: &mut Dice) -> Vec<&Usage> {
        let few: Vec<usize> = (0..2 + dice.below(6)).map(|_| dice.below(self.usages.len())).collect();
        let all = dice.once_in(3);
        let drawn = self.usages.iter().enumerate().filter(|(at, usage)| all || usage.name == "SET" || few.contains(at));
        drawn.flat_map(|(_, usage)| std::iter::repeat_n(usage, weight(usage.name))).collect()
    }
}

fn command(urn: &[&Usage], dice: &mut Dice) -> Vec<Word> {
    if dice.once_in(UNKNOWN_EVERY) {
        return unknown(dice);
    }
    let usage = urn[dice.below(urn.len())];
    let mut words = vec![dice.in_any_case(usage.name)];
    for item in &usage.items {
        extend(&mut words, item, dice);
    }
    if dice.once_in(SPOILT_EVERY) {
        spoil(&mut words, dice);
    }
    // There other sequences are playing.
    if names_another_database(&words) { command(urn, dice) } else { words }
}

const WEIGHT_MAX: usize = 12;

/// What fills the keyspace comes often, what empties it seldom. CAS is no command of Redis.
fn weight(name: &str) -> usize {
    match name {
        "CAS" => 0,
        "FLUSHALL" | "FLUSHDB" => 1,
        "SET" => WEIGHT_MAX,
        "MSET" | "GETEX" | "EXPIRE" | "PEXPIRE" | "COPY" | "SCAN" => 6,
        _ => 4,
    }
}

fn extend(words: &mut Vec<Word>, item: &Item, dice: &mut Dice) {
    match item {
        Item::One(kind) => words.push(dice.argument(kind)),
        Item::Repeated(row) => (0..dice.below(4)).for_each(|_| extend_row(words, row, dice)),
        // Mostly one of the alternatives or none, sometimes several, in any order.
        Item::Options(rows) => {
            let times = if dice.once_in(4) { dice.below(OPTIONS_MAX + 1) } else { dice.below(2) };
            (0..times).for_each(|_| extend_row(words, &rows[dice.below(rows.len())], dice));
        }
    }
}

fn extend_row(words: &mut Vec<Word>, row: &[&str], dice: &mut Dice) {
    words.extend(row.iter().map(|kind| dice.argument(kind)).collect::<Vec<_>>());
}

/// A word too few, a word too many, words in another order, a word of another kind.
fn spoil(words: &mut Vec<Word>, dice: &mut Dice) {
    let after_name = |dice: &mut Dice, end: usize| 1 + dice.below(end.max(2) - 1);
    let stray = ["key", "value", "number", "NX", "GET", "EX", "COUNT", "KEEPTTL", "PERSIST", "ASYNC", "JUNK"];
    match dice.below(6) {
        0 if words.len() > 1 => {
            let at = after_name(dice, words.len());
            words.remove(at);
        }
        1 if words.len() > 2 => {
            let (one, other) = (after_name(dice, words.len()), after_name(dice, words.len()));
            words.swap(one, other);
        }
        2 if words.len() > 1 => {
            let (at, kind) = (after_name(dice, words.len()), dice.pick(&stray));
            words[at] = dice.argument(kind);
        }
        3 => words.truncate(1 + dice.below(words.len())),
        4 if words.len() > 1 => {
            let at = after_name(dice, words.len());
            if let Word::Bytes(bytes) = &mut words[at] {
                bytes.push(b'\0');
            }
        }
        _ => {
            let (at, kind) = (after_name(dice, words.len() + 1), dice.pick(&stray));
            words.insert(at.min(words.len()), dice.argument(kind));
        }
    }
}

fn names_another_database(words: &[Word]) -> bool {
    let is_db = |word: &Word| matches!(word, Word::Bytes(bytes) if bytes.eq_ignore_ascii_case(b"DB"));
    let names_one = |word: &Word| match word {
        Word::Bytes(bytes) => parse_i64(bytes).is_some_and(|number| (0..DATABASES as i64).contains(&number)),
        Word::UnixSeconds(_) | Word::UnixMs(_) => false,
    };
    words.windows(2).any(|pair| is_db(&pair[0]) && names_one(&pair[1]))
}

/// A name that neither side knows, with arguments to be shown and cut.
fn unknown(dice: &mut Dice) -> Vec<Word> {
    let name = match dice.below(4) {
        0 => Word::new(dice.pick(&["", "GETT", "FOO", "se\r\nt", "zero\0byte", "get ", "\u{e9}t\u{e9}"])),
        1 => Word::Bytes([b"x-", &*dice.bytes(200)].concat()),
        _ => Word::new("x-command"),
    };
    let length_max = [3, 20, 60, 200][dice.below(4)];
    std::iter::once(name)
        .chain((0..dice.below(8)).map(|_| Word::Bytes(dice.bytes(length_max))).collect::<Vec<_>>())
        .collect()
}
