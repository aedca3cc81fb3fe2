//! What the log holds, in memory: hard state, base, the run of every term, and where each entry lies.
//!
//! Recovery and the running log change it by the same four steps (append, truncate, compact, reset), so they can't
//! disagree. Eight bytes an entry; payloads stay on disk. A truncated entry is forgotten at once, so an overwritten one can't
//! be served. Never: reads or writes files. Tests: `tests/history.rs`.

use std::collections::VecDeque;

use outboard_raft::{HardState, Index, Position, Term};

/// Before the first entry.
pub(crate) const START: Position = Position { index: Index(0), term: Term(0) };

/// Where an entry begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Location {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) hard_state: HardState,
    base: Position,
    /// Directly before the first entry that has a location. Always `base` in a running log; while segments are read
    /// it may be beyond it, as the segments that held the compacted entries are gone and the batch that says so is to come.
    floor: Position,
    locations: VecDeque<Location>,
    /// The first entry of each term's run after `floor`, ascending.
    runs: Vec<Position>,
}

impl Catalog {
    /// A log that is empty after `floor`.
    pub(crate) fn starting_after(floor: Position, base: Position, hard_state: HardState) -> Catalog {
        Catalog { hard_state, base, floor, locations: VecDeque::new(), runs: Vec::new() }
    }

    pub(crate) fn base(&self) -> Position {
        self.base
    }

    pub(crate) fn floor(&self) -> Position {
        self.floor
    }

    pub(crate) fn runs(&self) -> &[Position] {
        &self.runs
    }

    pub(crate) fn last(&self) -> Position {
        match self.runs.last() {
            None => self.floor,
            Some(run) => Position { index: Index(self.floor.index.0 + self.locations.len() as u64), term: run.term },
        }
    }

    /// Of an entry, or of the floor; nothing outside.
    pub(crate) fn position(&self, index: Index) -> Option<Position> {
        if index == self.floor.index {
            return Some(self.floor);
        }
        if index.0 < self.floor.index.0 || index.0 > self.last().index.0 {
            return None;
        }
        let run = self.runs.partition_point(|run| run.index.0 <= index.0) - 1;
        Some(Position { index, term: self.runs[run].term })
    }

    pub(crate) fn location(&self, index: Index) -> Option<Location> {
        let at = index.0.checked_sub(self.floor.index.0 + 1)?;
        self.locations.get(usize::try_from(at).ok()?).copied()
    }

    /// The last index whose entry lies in this segment or an earlier one; the floor if there is none.
    pub(crate) fn last_up_to(&self, segment: u32) -> Index {
        let held = self.locations.partition_point(|location| location.segment <= segment);
        Index(self.floor.index.0 + held as u64)
    }

    /// The entry after the last one.
    pub(crate) fn append(&mut self, position: Position, location: Location) {
        let last = self.last();
        assert!(position.index.0 == last.index.0 + 1, "entries follow each other without a gap");
        assert!(position.term.0 >= last.term.0, "terms never fall along the log");
        if self.runs.last().is_none_or(|run| run.term != position.term) {
            self.runs.push(position);
        }
        self.locations.push_back(location);
    }

    /// The log ends at this index from now on.
    pub(crate) fn truncate(&mut self, last: Index) {
        assert!(last.0 >= self.floor.index.0, "the log is never truncated below its first entry");
        self.locations.truncate(usize::try_from(last.0 - self.floor.index.0).unwrap_or(usize::MAX));
        self.runs.truncate(self.runs.partition_point(|run| run.index.0 <= last.0));
    }

    /// The log starts after `base` from now on; `base` is in the log or, while reading, before what is known of it.
    pub(crate) fn compact(&mut self, base: Position) {
        assert!(base.index.0 >= self.base.index.0, "the base never goes back");
        self.base = base;
        if base.index.0 <= self.floor.index.0 {
            return;
        }
        assert!(self.position(base.index) == Some(base), "the base is a position of the log");
        let gone =
            usize::try_from(base.index.0 - self.floor.index.0).expect("an entry in memory has an index in memory");
        self.locations.drain(..gone);
        self.floor = base;
        let ended = self.runs.partition_point(|run| run.index.0 <= base.index.0);
        match ended.checked_sub(1) {
            // The run goes on behind the base.
            Some(run)
                if self.runs.get(ended).map_or(!self.locations.is_empty(), |next| next.index.0 > base.index.0 + 1) =>
            {
                self.runs[run].index = Index(base.index.0 + 1);
                self.runs.drain(..run);
            }
            _ => drop(self.runs.drain(..ended)),
        }
    }

    /// Empty, starting after `base`.
    pub(crate) fn reset(&mut self, base: Position) {
        *self = Catalog::starting_after(base, base, self.hard_state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u64, term: u64) -> Position {
        Position { index: Index(index), term: Term(term) }
    }

    /// Entries 1 to 6 with the terms 1 1 2 2 2 4.
    fn six() -> Catalog {
        let mut catalog = Catalog::starting_after(START, START, HardState { term: Term(4), vote: None });
        for (index, term) in [(1, 1), (2, 1), (3, 2), (4, 2), (5, 2), (6, 4)] {
            catalog.append(at(index, term), Location { segment: 1, offset: index as u32 });
        }
        catalog
    }

    #[test]
    fn every_position_is_known_by_its_term() {
        let catalog = six();
        let terms: Vec<_> = (0..=7).map(|index| catalog.position(Index(index)).map(|at| at.term.0)).collect();
        assert_eq!(terms, [Some(0), Some(1), Some(1), Some(2), Some(2), Some(2), Some(4), None]);
    }

    #[test]
    fn compaction_keeps_the_run_that_goes_on() {
        for (base, runs) in [
            (at(1, 1), vec![at(2, 1), at(3, 2), at(6, 4)]),
            (at(2, 1), vec![at(3, 2), at(6, 4)]),
            (at(4, 2), vec![at(5, 2), at(6, 4)]),
            (at(5, 2), vec![at(6, 4)]),
            (at(6, 4), vec![]),
        ] {
            let mut catalog = six();
            catalog.compact(base);
            assert_eq!(catalog.runs(), runs);
            assert_eq!(catalog.last(), at(6, 4));
            assert_eq!(catalog.location(base.index), None);
            let next = Index(base.index.0 + 1);
            assert_eq!(catalog.location(next).map(|found| found.offset), (next.0 <= 6).then_some(next.0 as u32));
        }
    }

    #[test]
    fn a_truncated_entry_is_not_there_any_more() {
        let mut catalog = six();
        catalog.truncate(Index(3));
        assert_eq!(catalog.last(), at(3, 2));
        assert_eq!(catalog.location(Index(4)), None);
        catalog.append(at(4, 5), Location { segment: 2, offset: 8 });
        assert_eq!(catalog.location(Index(4)), Some(Location { segment: 2, offset: 8 }));
        assert_eq!(catalog.runs(), [at(1, 1), at(3, 2), at(4, 5)]);
    }
}
