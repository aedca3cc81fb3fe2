//! The term of every entry after the log's base, kept as runs: a term change costs one position, an entry nothing.
//!
//! Invariants: indexes and terms of the runs ascend strictly; an entry before the first run has the base's term.

use crate::types::{Index, Position, Term};
use std::collections::VecDeque;

/// The terms of a log from its base to its last entry.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) struct Terms {
    base: Position,
    last: Position,
    /// The first position of every term after the base.
    runs: VecDeque<Position>,
}

impl Terms {
    pub(crate) fn new(base: Position, firsts: &[Position], last: Position) -> Terms {
        assert!(last.index >= base.index && last.term >= base.term, "a log ends at or after its base");
        let mut runs: VecDeque<Position> = VecDeque::new();
        for first in firsts {
            let before = runs.back().copied().unwrap_or(base);
            assert!(first.index > before.index && first.index <= last.index, "runs of terms ascend within the log");
            assert!(first.term >= before.term, "terms ascend along the log");
            // The base's own term may go on behind it: that is no new run.
            if first.term > before.term {
                runs.push_back(*first);
            }
        }
        assert!(runs.back().copied().unwrap_or(base).term == last.term, "the last entry is of the last run");
        Terms { base, last, runs }
    }

    pub(crate) fn base(&self) -> Position {
        self.base
    }

    pub(crate) fn last(&self) -> Position {
        self.last
    }

    /// The term at `index`, known from the base to the last entry.
    pub(crate) fn at(&self, index: Index) -> Option<Term> {
        if index < self.base.index || index > self.last.index {
            return None;
        }
        let run = self.runs.partition_point(|first| first.index <= index);
        Some(if run == 0 { self.base.term } else { self.runs[run - 1].term })
    }

    /// The last position at or before `index` whose term is not above `term`: the highest place where a log that has
    /// `term` at `index` could agree with this one.
    pub(crate) fn last_not_above(&self, index: Index, term: Term) -> Option<Position> {
        let mut index = index.min(self.last.index);
        if index < self.base.index {
            return None;
        }
        for first in self.runs.iter().rev() {
            if first.index > index {
                continue;
            }
            if first.term <= term {
                return Some(Position { index, term: first.term });
            }
            index = first.index.previous();
        }
        (self.base.term <= term).then_some(Position { index, term: self.base.term })
    }

    pub(crate) fn append(&mut self, position: Position) {
        assert!(position.index == self.last.index.next(), "entries follow each other without a gap");
        assert!(position.term >= self.last.term, "terms ascend along the log");
        if position.term > self.last.term {
            self.runs.push_back(position);
        }
        self.last = position;
    }

    /// Drops everything from `from` on.
    pub(crate) fn truncate(&mut self, from: Index) {
        assert!(from > self.base.index, "nothing before the base is truncated");
        assert!(from <= self.last.index, "only what is there is truncated");
        let index = from.previous();
        self.last = Position { index, term: self.at(index).expect("the log reaches back to its base") };
        while self.runs.back().is_some_and(|first| first.index >= from) {
            self.runs.pop_back();
        }
    }

    /// Drops everything up to `upto`, which becomes the base.
    pub(crate) fn compact(&mut self, upto: Index) {
        assert!(upto >= self.base.index, "the base does not go back");
        self.base = Position { index: upto, term: self.at(upto).expect("only what is there is compacted") };
        while self.runs.front().is_some_and(|first| first.index <= upto) {
            self.runs.pop_front();
        }
    }
}
