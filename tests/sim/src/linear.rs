//! Is a history linearizable? The search of Wing and Gong with the memory of Lowe: take operations in an order in which each
//! could have happened between its question and its answer; remember which (set of taken operations, state) led nowhere.
//!
//! Operations whose outcome nobody knows would make the search explode: each may stand at any later place, or nowhere. They are
//! taken lazily: only in a chain right before an operation with an answer that does not fit without them. Nothing is lost by
//! that. Take any order that explains the history, a chain of unknown operations in it, and the known one behind the chain: if
//! that one fits without the chain, the chain can stand behind it as well (it either leaves the state alone or makes it forget
//! what was before), and so on until it meets one that needs it, or the end.
//!
//! Keys are independent, so each is judged alone (linearizability composes). Tests: `linear/tests.rs`, with histories that must
//! be refused among them, and a comparison with a search that knows no tricks.

use crate::history::{Kind, Operation, Seen, State};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasherDefault, DefaultHasher};

#[cfg(test)]
mod tests;

/// Steps after which a search is given up: no history of a schedule has come near.
const STEPS_MAX: u64 = 2_000_000;

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
        /// The operation that the longest attempt could not explain.
        stuck: String,
    },
    /// The search was given up.
    Undecided {
        /// The key.
        key: u64,
        /// The operation that the longest attempt could not explain.
        stuck: String,
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
        let mut search = Search::new(&operations);
        let decided = search.run();
        let stuck = search.stuck.1.map_or_else(String::new, |number| operations[number].to_string());
        match decided {
            Some(true) => {}
            Some(false) => {
                let story = operations.iter().map(|operation| operation.to_string()).collect();
                return Verdict::Not { key, story, stuck };
            }
            None => verdict = Verdict::Undecided { key, stuck },
        }
    }
    verdict
}

/// The place before the first entry of the list, and behind its last one.
const END: usize = usize::MAX;

/// A question or an answer of a known operation, in a list ordered by time. Taking an operation removes both.
struct Entry {
    at: u64,
    operation: usize,
    is_question: bool,
    before: usize,
    after: usize,
}

/// A choice in the search: this operation, behind these unknown ones.
struct Choice {
    operation: usize,
    chain: Vec<usize>,
    /// Other chains that make it fit.
    others: Vec<Vec<usize>>,
    /// The state before all of it.
    state: State,
}

struct Search<'a> {
    operations: &'a [&'a Operation],
    /// Those without an answer, in the order of the questions.
    unknown: Vec<usize>,
    entries: Vec<Entry>,
    first: usize,
    /// By operation: where its question and its answer stand in the list.
    places: Vec<(usize, usize)>,
    taken: Vec<u64>,
    state: State,
    /// Answered operations that are not taken yet.
    open: usize,
    choices: Vec<Choice>,
    /// How many operations the longest attempt has explained, and the one that it could not.
    stuck: (usize, Option<usize>),
    /// Values that something depends on, or could be compared with.
    needed: BTreeSet<i64>,
    seen: HashSet<(Vec<u64>, State), BuildHasherDefault<DefaultHasher>>,
}

impl<'a> Search<'a> {
    fn new(operations: &'a [&'a Operation]) -> Search<'a> {
        let mut moments: Vec<(u64, usize, bool)> = Vec::new();
        let mut unknown = Vec::new();
        for (number, operation) in operations.iter().enumerate() {
            match operation.answered {
                Some((at, _)) => {
                    assert!(at > operation.asked, "answers come after questions");
                    moments.push((operation.asked, number, true));
                    moments.push((at, number, false));
                }
                None => unknown.push(number),
            }
        }
        moments.sort();
        let mut places = vec![(END, END); operations.len()];
        let mut entries = Vec::with_capacity(moments.len());
        for (place, (at, operation, is_question)) in moments.iter().copied().enumerate() {
            let (question, answer) = &mut places[operation];
            *(if is_question { question } else { answer }) = place;
            let before = place.checked_sub(1).unwrap_or(END);
            let after = if place + 1 < moments.len() { place + 1 } else { END };
            entries.push(Entry { at, operation, is_question, before, after });
        }
        Search {
            operations,
            first: if entries.is_empty() { END } else { 0 },
            open: entries.len() / 2,
            entries,
            unknown,
            places,
            taken: vec![0; operations.len().div_ceil(64)],
            state: None,
            choices: Vec::new(),
            stuck: (0, None),
            needed: operations.iter().flat_map(|operation| needed_by(operation)).collect(),
            seen: HashSet::default(),
        }
    }

    /// Whether there is an order; nothing if the search was given up.
    fn run(&mut self) -> Option<bool> {
        let mut at = self.first;
        for _ in 0..STEPS_MAX {
            if self.open == 0 {
                return Some(true);
            }
            let entry = &self.entries[at];
            if entry.is_question {
                let (operation, after) = (entry.operation, entry.after);
                let chains = self.chains_before(operation, at);
                at = if self.try_take(operation, chains) { self.first } else { after };
            } else {
                // This one had to be taken before its answer: go back to the latest choice.
                if self.choices.len() >= self.stuck.0 {
                    self.stuck = (self.choices.len(), Some(entry.operation));
                }
                let Some(Choice { operation, chain, others, state }) = self.choices.pop() else { return Some(false) };
                self.put_back(operation, &chain, state);
                let after = self.entries[self.places[operation].0].after;
                at = if self.try_take(operation, others) { self.first } else { after };
            }
        }
        None
    }

    /// Takes an operation as the next one, behind the first of these chains that was not tried before.
    fn try_take(&mut self, operation: usize, mut chains: Vec<Vec<usize>>) -> bool {
        while let Some(chain) = chains.pop() {
            let before = self.state;
            let steps = chain.iter().chain([&operation]);
            let after = steps.clone().fold(before, |state, number| self.operations[*number].kind.apply(state).0);
            steps.for_each(|number| self.taken[number / 64] |= 1 << (number % 64));
            if self.seen.insert((self.taken.clone(), after)) {
                self.choices.push(Choice { operation, chain, others: chains, state: before });
                self.state = after;
                let (question, answer) = self.places[operation];
                self.unlink(question);
                self.unlink(answer);
                self.open -= 1;
                return true;
            }
            self.untake(operation, &chain);
        }
        false
    }

    fn put_back(&mut self, operation: usize, chain: &[usize], state: State) {
        self.untake(operation, chain);
        self.state = state;
        let (question, answer) = self.places[operation];
        self.relink(answer);
        self.relink(question);
        self.open += 1;
    }

    fn untake(&mut self, operation: usize, chain: &[usize]) {
        chain.iter().chain([&operation]).for_each(|number| self.taken[number / 64] &= !(1 << (number % 64)));
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

    /// The chains of unknown operations that make this one fit now: the empty one alone if it fits as it is.
    fn chains_before(&self, number: usize, question: usize) -> Vec<Vec<usize>> {
        let operation = self.operations[number];
        let (_, seen) = operation.answered.expect("only known operations are in the list");
        if operation.kind.apply(self.state).1 == seen {
            return vec![Vec::new()];
        }
        let free = self.free_before_an_answer(question);
        let mut chains = Vec::new();
        match (operation.kind, seen) {
            (Kind::Get, Seen::Value(value)) => self.lead_to(value, &free, &mut Vec::new(), &mut chains),
            (Kind::Add(steps), Seen::Number(next)) => {
                self.lead_to(Some(next - steps), &free, &mut Vec::new(), &mut chains);
                if next == steps {
                    self.lead_to(None, &free, &mut Vec::new(), &mut chains);
                }
            }
            (Kind::Cas(expected, _), Seen::Number(1)) => {
                self.lead_to(Some(expected), &free, &mut Vec::new(), &mut chains);
            }
            (Kind::Cas(..), Seen::Nothing) | (Kind::Del, Seen::Number(0)) => {
                self.lead_to(None, &free, &mut Vec::new(), &mut chains);
            }
            // Any other value would do: one step is enough, or two where the first only leads to the value that it must not be.
            (Kind::Cas(..), _) | (Kind::Del, _) => {
                let fits = |state: State| operation.kind.apply(state).1 == seen;
                let mut spare = None;
                for one in &self.unlike(&free, None) {
                    if self.is_spare(*one) {
                        spare = Some(*one);
                        continue;
                    }
                    let state = self.operations[*one].kind.apply(self.state).0;
                    if fits(state) {
                        chains.push(vec![*one]);
                        continue;
                    }
                    let others = self.unlike(&free, Some(*one)).into_iter();
                    let fitting = others.filter(|other| fits(self.operations[*other].kind.apply(state).0));
                    chains.extend(fitting.map(|other| vec![*one, other]));
                }
                // Of those that nothing depends on, one is as good as another, and better than all others.
                chains.extend(spare.map(|one| vec![one]));
            }
            (Kind::Get | Kind::Add(_) | Kind::Set(_), _) => {}
        }
        chains
    }

    /// An operation that sets a value which nothing ever depends on, not even after it was counted on.
    fn is_spare(&self, number: usize) -> bool {
        let Kind::Set(value) = self.operations[number].kind else { return false };
        let counted = value.saturating_add(2 * self.operations.len() as i64);
        self.needed.range(value..=counted).next().is_none()
    }

    /// One of each kind among these: a deletion is as good as any other one, and so is a counting step.
    fn unlike(&self, free: &[usize], without: Option<usize>) -> Vec<usize> {
        let mut seen = Vec::new();
        let is_new = |number: &usize| {
            let kind = self.operations[*number].kind;
            let new = Some(*number) != without && !seen.contains(&kind);
            seen.extend(new.then_some(kind));
            new
        };
        free.iter().copied().filter(is_new).collect()
    }

    /// Unknown operations that were asked before the first answer that has to wait for what is taken now.
    fn free_before_an_answer(&self, question: usize) -> Vec<usize> {
        let mut place = question;
        while self.entries[place].is_question {
            place = self.entries[place].after;
        }
        let limit = self.entries[place].at;
        let asked_before = self.unknown.iter().take_while(|number| self.operations[**number].asked < limit);
        asked_before.copied().filter(|number| self.taken[number / 64] & (1 << (number % 64)) == 0).collect()
    }

    /// All shortest ways to make the key hold `wanted`, told from the last step; `behind` are the steps that come after.
    fn lead_to(&self, wanted: State, free: &[usize], behind: &mut Vec<usize>, chains: &mut Vec<Vec<usize>>) {
        if self.state == wanted {
            return chains.push(behind.iter().rev().copied().collect());
        }
        // Of operations that are alike one is as good as another.
        let mut seen: Vec<Kind> = Vec::new();
        for number in free.iter().copied() {
            if behind.contains(&number) {
                continue;
            }
            let kind = self.operations[number].kind;
            let befores: &[State] = match (kind, wanted) {
                (Kind::Set(value), Some(wanted)) if value == wanted => &[self.state],
                (Kind::Del, None) if !seen.contains(&kind) => &[self.state],
                (Kind::Cas(expected, new), Some(wanted)) if new == wanted => &[Some(expected)],
                (Kind::Add(steps), Some(wanted)) if !seen.contains(&kind) && wanted == steps => &[None, Some(0)],
                (Kind::Add(steps), Some(wanted)) if !seen.contains(&kind) => &[Some(wanted - steps)],
                (Kind::Get | Kind::Set(_) | Kind::Del | Kind::Cas(..) | Kind::Add(_), _) => &[],
            };
            seen.push(kind);
            behind.push(number);
            for before in befores {
                self.lead_to(*before, free, behind, chains);
            }
            behind.pop();
        }
    }
}

/// The values that an operation has met, or was to compare with.
fn needed_by(operation: &Operation) -> Option<i64> {
    match (operation.kind, operation.answered.map(|(_, seen)| seen)) {
        (Kind::Cas(expected, _), _) => Some(expected),
        (Kind::Get, Some(Seen::Value(value))) => value,
        (Kind::Add(steps), Some(Seen::Number(next))) => Some(next - steps),
        (Kind::Get | Kind::Set(_) | Kind::Add(_) | Kind::Del, _) => None,
    }
}
