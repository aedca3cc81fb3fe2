//! Is a history linearizable? The search of Wing and Gong with the memory of Lowe: take operations in an order in which each
//! could have happened between its question and its answer; remember which (set of taken operations, state) led nowhere.
//!
//! Keys are independent, so each is judged alone (linearizability composes). Tests: at the end, with histories that must be
//! refused among them.

use crate::history::{Operation, State};
use std::collections::BTreeMap;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, DefaultHasher};

/// Steps after which a search is given up: no history of a schedule has come near.
const STEPS_MAX: u64 = 20_000_000;

/// What a search has shown.
#[derive(Clone, Eq, PartialEq, Debug)]
pub enum Verdict {
    /// There is an order.
    Linearizable,
    /// There is none.
    Not {
        /// The key.
        key: u64,
        /// Its operations, in the order of the questions, for a person.
        story: Vec<String>,
    },
    /// The search was given up.
    Undecided {
        /// The key.
        key: u64,
    },
}

/// Judges a history.
pub fn check(history: &[Operation]) -> Verdict {
    let mut keys: BTreeMap<u64, Vec<&Operation>> = BTreeMap::new();
    for operation in history {
        keys.entry(operation.key).or_default().push(operation);
    }
    let mut verdict = Verdict::Linearizable;
    for (key, mut operations) in keys {
        operations.sort_by_key(|operation| operation.asked);
        match Search::new(&operations).run() {
            Some(true) => {}
            Some(false) => {
                let story = operations.iter().map(|operation| operation.to_string()).collect();
                return Verdict::Not { key, story };
            }
            None => verdict = Verdict::Undecided { key },
        }
    }
    verdict
}

/// The place before the first entry of the list, and behind its last one.
const END: usize = usize::MAX;

/// A question or an answer, in a list ordered by time. Taking an operation removes both.
struct Entry {
    operation: usize,
    is_question: bool,
    before: usize,
    after: usize,
}

struct Search<'a> {
    operations: &'a [&'a Operation],
    entries: Vec<Entry>,
    first: usize,
    /// By operation: where its question and its answer stand in the list.
    places: Vec<(usize, Option<usize>)>,
    taken: Vec<u64>,
    state: State,
    /// Answered operations that are not taken yet.
    open: usize,
    order: Vec<(usize, State)>,
    seen: HashSet<(Vec<u64>, State), BuildHasherDefault<DefaultHasher>>,
}

impl<'a> Search<'a> {
    fn new(operations: &'a [&'a Operation]) -> Search<'a> {
        let mut moments: Vec<(u64, usize, bool)> = Vec::new();
        for (number, operation) in operations.iter().enumerate() {
            moments.push((operation.asked, number, true));
            if let Some((at, _)) = operation.answered {
                assert!(at > operation.asked, "answers come after questions");
                moments.push((at, number, false));
            }
        }
        moments.sort();
        let mut places = vec![(END, None); operations.len()];
        let mut entries = Vec::with_capacity(moments.len());
        for (place, (_, operation, is_question)) in moments.iter().copied().enumerate() {
            if is_question {
                places[operation].0 = place;
            } else {
                places[operation].1 = Some(place);
            }
            let before = place.checked_sub(1).unwrap_or(END);
            let after = if place + 1 < moments.len() { place + 1 } else { END };
            entries.push(Entry { operation, is_question, before, after });
        }
        Search {
            operations,
            first: if entries.is_empty() { END } else { 0 },
            entries,
            open: places.iter().filter(|(_, answer)| answer.is_some()).count(),
            places,
            taken: vec![0; operations.len().div_ceil(64)],
            state: None,
            order: Vec::new(),
            seen: HashSet::default(),
        }
    }

    /// Whether there is an order; nothing if the search was given up.
    fn run(mut self) -> Option<bool> {
        let mut at = self.first;
        for _ in 0..STEPS_MAX {
            if self.open == 0 {
                return Some(true);
            }
            let entry = &self.entries[at];
            if entry.is_question {
                let (operation, after) = (entry.operation, entry.after);
                at = if self.try_take(operation) { self.first } else { after };
            } else {
                // This one had to be taken before its answer: go back to the latest choice.
                let Some((operation, state)) = self.order.pop() else { return Some(false) };
                self.put_back(operation, state);
                at = self.entries[self.places[operation].0].after;
            }
        }
        None
    }

    /// Takes an operation as the next one, if its answer fits and this was not tried before.
    fn try_take(&mut self, number: usize) -> bool {
        let operation = self.operations[number];
        let (state, seen) = operation.kind.apply(self.state);
        if operation.answered.is_some_and(|(_, answer)| answer != seen) {
            return false;
        }
        self.taken[number / 64] |= 1 << (number % 64);
        if !self.seen.insert((self.taken.clone(), state)) {
            self.taken[number / 64] &= !(1 << (number % 64));
            return false;
        }
        self.order.push((number, self.state));
        self.state = state;
        let (question, answer) = self.places[number];
        self.unlink(question);
        if let Some(answer) = answer {
            self.unlink(answer);
            self.open -= 1;
        }
        true
    }

    fn put_back(&mut self, number: usize, state: State) {
        self.taken[number / 64] &= !(1 << (number % 64));
        self.state = state;
        let (question, answer) = self.places[number];
        if let Some(answer) = answer {
            self.relink(answer);
            self.open += 1;
        }
        self.relink(question);
    }

    fn unlink(&mut self, place: usize) {
        let Entry { before, after, .. } = self.entries[place];
        match before {
            END => self.first = after,
            _ => self.entries[before].after = after,
        }
        if after != END {
            self.entries[after].before = before;
        }
    }

    /// In the reverse order of the unlinking, so that the neighbours are the former ones.
    fn relink(&mut self, place: usize) {
        let Entry { before, after, .. } = self.entries[place];
        match before {
            END => self.first = place,
            _ => self.entries[before].after = place,
        }
        if after != END {
            self.entries[after].before = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Kind, Seen};
    use crate::random::Random;

    fn operation(client: u64, asked: u64, answered: u64, kind: Kind, seen: Seen) -> Operation {
        Operation { client, key: 1, kind, asked, answered: Some((answered, seen)), node: 1, without_effect: false }
    }

    fn unknown(client: u64, asked: u64, kind: Kind) -> Operation {
        Operation { client, key: 1, kind, asked, answered: None, node: 1, without_effect: false }
    }

    fn set(client: u64, asked: u64, answered: u64, value: i64) -> Operation {
        operation(client, asked, answered, Kind::Set(value), Seen::Done)
    }

    fn get(client: u64, asked: u64, answered: u64, value: State) -> Operation {
        operation(client, asked, answered, Kind::Get, Seen::Value(value))
    }

    fn is_linearizable(history: &[Operation]) -> bool {
        match check(history) {
            Verdict::Linearizable => true,
            Verdict::Not { .. } => false,
            Verdict::Undecided { .. } => panic!("so short a history is decided"),
        }
    }

    #[test]
    fn one_after_another_is_judged_by_the_order() {
        assert!(is_linearizable(&[set(1, 1, 2, 7), get(1, 3, 4, Some(7))]));
        assert!(!is_linearizable(&[set(1, 1, 2, 7), get(1, 3, 4, None)]), "an acknowledged write is lost");
        assert!(!is_linearizable(&[set(1, 1, 2, 7), set(1, 3, 4, 8), get(2, 5, 6, Some(7))]), "a stale read");
        assert!(!is_linearizable(&[get(1, 1, 2, Some(7)), set(1, 3, 4, 7)]), "a read from the future");
        assert!(!is_linearizable(&[get(1, 1, 2, Some(9))]), "a value that nobody wrote");
    }

    #[test]
    fn what_overlaps_may_be_ordered_either_way_but_only_one_way() {
        let writes = [set(1, 1, 10, 1), set(2, 2, 9, 2)];
        let with = |reads: &[Operation]| [&writes[..], reads].concat();
        assert!(is_linearizable(&with(&[get(3, 11, 12, Some(1))])));
        assert!(is_linearizable(&with(&[get(3, 11, 12, Some(2))])));
        assert!(!is_linearizable(&with(&[get(3, 11, 12, Some(1)), get(4, 13, 14, Some(2))])));
        assert!(!is_linearizable(&with(&[get(3, 3, 4, Some(1)), get(3, 5, 6, Some(2)), get(3, 7, 8, Some(1))])));
        assert!(is_linearizable(&with(&[get(3, 3, 4, None), get(3, 5, 6, Some(2)), get(3, 7, 8, Some(1))])));
    }

    #[test]
    fn an_unknown_outcome_may_come_late_or_never_but_not_before_it_was_asked_for_and_not_twice() {
        assert!(is_linearizable(&[unknown(1, 1, Kind::Set(7)), get(2, 2, 3, None)]));
        assert!(is_linearizable(&[unknown(1, 1, Kind::Set(7)), get(2, 2, 3, None), get(2, 9, 10, Some(7))]));
        assert!(!is_linearizable(&[get(2, 1, 2, Some(7)), unknown(1, 3, Kind::Set(7))]));
        let twice = [
            unknown(1, 1, Kind::Set(7)),
            get(2, 2, 3, Some(7)),
            set(2, 4, 5, 8),
            get(2, 6, 7, Some(8)),
            get(2, 8, 9, Some(7)),
        ];
        assert!(!is_linearizable(&twice));
    }

    #[test]
    fn counters_count_each_acknowledged_step_once() {
        let incr = |client, asked, answered, n| operation(client, asked, answered, Kind::Incr, Seen::Number(n));
        assert!(is_linearizable(&[incr(1, 1, 4, 2), incr(2, 2, 3, 1), get(1, 5, 6, Some(2))]));
        assert!(!is_linearizable(&[incr(1, 1, 4, 1), incr(2, 2, 3, 1)]), "a lost update");
        assert!(!is_linearizable(&[incr(1, 1, 2, 1), get(1, 3, 4, Some(2))]), "applied twice");
        assert!(is_linearizable(&[incr(1, 1, 2, 1), unknown(2, 2, Kind::Incr), get(1, 3, 4, Some(2))]));
        assert!(!is_linearizable(&[incr(1, 1, 2, 1), unknown(2, 2, Kind::Incr), get(1, 3, 4, Some(3))]));
    }

    #[test]
    fn a_comparison_tells_what_it_met() {
        let cas = |asked, expected, new, seen| operation(3, asked, asked + 1, Kind::Cas(expected, new), seen);
        let del = |asked, n| operation(3, asked, asked + 1, Kind::Del, Seen::Number(n));
        let base = set(1, 1, 2, 7);
        let then = |more: &[Operation]| is_linearizable(&[&[base.clone()][..], more].concat());
        assert!(then(&[cas(3, 7, 8, Seen::Number(1)), get(1, 5, 6, Some(8))]));
        assert!(!then(&[cas(3, 7, 8, Seen::Number(0))]), "it would have met what it expected");
        assert!(!then(&[cas(3, 9, 8, Seen::Number(1))]));
        assert!(!then(&[cas(3, 7, 8, Seen::Number(1)), cas(5, 7, 9, Seen::Number(1))]), "two winners");
        assert!(then(&[del(3, 1), cas(5, 7, 8, Seen::Nothing), get(1, 7, 8, None)]));
        assert!(!then(&[del(3, 0)]));
    }

    #[test]
    fn keys_are_judged_apart() {
        let mut other = get(2, 3, 4, None);
        other.key = 2;
        assert!(is_linearizable(&[set(1, 1, 2, 7), other]));
    }

    /// Histories that a correct register gave, with overlaps; then with one answer falsified.
    #[test]
    fn what_a_real_register_gave_is_accepted_and_a_value_out_of_nowhere_is_not() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let mut history = Vec::new();
            let (mut state, mut free) = (None, [0u64; 5]);
            for step in 1..=150u64 {
                let at = step * 1_000;
                let client = (0..).map(|_| random.below(5) as usize).find(|client| free[*client] < at);
                let client = client.expect("of five clients no more than three are busy");
                let kind = match random.below(4) {
                    0 => Kind::Set(step as i64 * 1_000),
                    1 => Kind::Incr,
                    2 => Kind::Cas(state.unwrap_or(0), step as i64 * 1_000),
                    _ => Kind::Get,
                };
                let (next, seen) = kind.apply(state);
                state = next;
                // The effect is at `at`; question and answer lie around it, apart from the client's other ones.
                let asked = at - random.below((at - free[client]).min(4_000));
                let answered = at + 1 + random.below(3_000);
                free[client] = answered;
                if kind.writes() && random.percent(10) {
                    history.push(Operation {
                        client: 90,
                        key: 1,
                        kind,
                        asked,
                        answered: None,
                        node: 1,
                        without_effect: false,
                    });
                } else {
                    let answered = Some((answered, seen));
                    history.push(Operation {
                        client: client as u64,
                        key: 1,
                        kind,
                        asked,
                        answered,
                        node: 1,
                        without_effect: false,
                    });
                }
            }
            // Moments have to be unique.
            for (number, operation) in history.iter_mut().enumerate() {
                operation.asked = operation.asked * 1_000 + number as u64;
                operation.answered = operation.answered.map(|(at, seen)| (at * 1_000 + 500 + number as u64, seen));
            }
            assert!(is_linearizable(&history), "seed {seed}");
            let reads = history.iter_mut().rev().find(|operation| operation.kind == Kind::Get);
            reads.expect("there are reads").answered.as_mut().expect("reads are answered").1 = Seen::Value(Some(-5));
            assert!(!is_linearizable(&history), "seed {seed}");
        }
    }
}
