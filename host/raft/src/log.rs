//! The log as the core sees it: the term of every entry, the newest entries themselves, and what of it is durable.
//!
//! The entries in memory (the window) are always the log's tail; older ones are read back from disk by the owner on
//! request. Three marks run along the log: `base` (compacted up to here), `durable` (on disk), `written` (handed out
//! to be written). Base <= durable <= written <= last. Only durable entries leave the window.
//! Tests: `src/tests/log.rs` compares with a naive log.

use crate::pending::Pending;
use crate::ready::PersistId;
use crate::terms::Terms;
use crate::types::{Entry, HardState, Index, Position, Term};
use std::collections::VecDeque;

/// The log of one node.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) struct Log {
    terms: Terms,
    window: VecDeque<Entry>,
    window_bytes: usize,
    written: Index,
    pending: Pending,
}

/// How much of the window stays in memory.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) struct Room {
    /// Applied entries leave beyond this.
    pub(crate) applied_bytes_max: usize,
    /// Beyond this also those that still have to be applied.
    pub(crate) bytes_max: usize,
}

impl Log {
    /// A recovered log, durable as it is, of which `tail` is in memory.
    pub(crate) fn new(terms: Terms, tail: Vec<Entry>, hard_state: HardState) -> Log {
        let last = terms.last();
        if let Some(newest) = tail.last() {
            assert!(newest.position() == last, "the entries in memory end where the log ends");
        }
        for pair in tail.windows(2) {
            assert!(pair[1].index == pair[0].index.next(), "entries follow each other without a gap");
        }
        for entry in &tail {
            assert!(terms.at(entry.index) == Some(entry.term), "the entries in memory are those of the log");
        }
        let window_bytes = tail.iter().map(Entry::bytes).sum();
        let pending = Pending::new(last.index, hard_state);
        Log { terms, window: tail.into(), window_bytes, written: last.index, pending }
    }

    pub(crate) fn base(&self) -> Position {
        self.terms.base()
    }

    pub(crate) fn last(&self) -> Position {
        self.terms.last()
    }

    pub(crate) fn durable(&self) -> Index {
        self.pending.durable()
    }

    pub(crate) fn durable_hard_state(&self) -> HardState {
        self.pending.hard_state()
    }

    pub(crate) fn tick(&mut self) {
        self.pending.tick();
    }

    pub(crate) fn forget_time(&mut self) {
        self.pending.forget_time();
    }

    /// See [`Pending::waited_ticks`].
    pub(crate) fn persist_waited_ticks(&self) -> u32 {
        self.pending.waited_ticks()
    }

    /// Nothing is on its way to the disk, nothing waits to be.
    pub(crate) fn is_settled(&self) -> bool {
        self.pending.is_empty() && !self.has_unwritten()
    }

    /// There are entries that no batch has taken along yet.
    pub(crate) fn has_unwritten(&self) -> bool {
        self.written < self.last().index
    }

    pub(crate) fn term_at(&self, index: Index) -> Option<Term> {
        self.terms.at(index)
    }

    /// Known to hold exactly this position.
    pub(crate) fn contains(&self, position: Position) -> bool {
        self.terms.at(position.index) == Some(position.term)
    }

    /// See [`Terms::last_not_above`].
    pub(crate) fn last_not_above(&self, index: Index, term: Term) -> Option<Position> {
        self.terms.last_not_above(index, term)
    }

    /// The first entry in memory; the place after the log if there is none.
    pub(crate) fn window_first(&self) -> Index {
        self.window.front().map_or(self.last().index.next(), |entry| entry.index)
    }

    pub(crate) fn window_bytes(&self) -> usize {
        self.window_bytes
    }

    /// Entries from `from` to `to`, inclusive, up to `bytes_max` but at least one; None if the first is not in memory.
    pub(crate) fn slice(&self, from: Index, to: Index, bytes_max: usize) -> Option<Vec<Entry>> {
        assert!(from <= to && to <= self.last().index, "a slice lies within the log");
        let first = self.window_first();
        if from < first {
            return None;
        }
        let start = (from.0 - first.0) as usize;
        let end = (to.0 - first.0) as usize + 1;
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            let fits = bytes == 0 || bytes + entry.bytes() <= bytes_max;
            bytes += entry.bytes();
            fits
        };
        Some(self.window.range(start..end).take_while(fits).cloned().collect())
    }

    pub(crate) fn append(&mut self, entry: Entry) {
        self.terms.append(entry.position());
        self.window_bytes += entry.bytes();
        self.window.push_back(entry);
    }

    /// Drops everything from `from` on; the next batch overwrites it on disk.
    pub(crate) fn truncate(&mut self, from: Index) {
        self.terms.truncate(from);
        while let Some(entry) = self.window.pop_back_if(|entry| entry.index >= from) {
            self.window_bytes -= entry.bytes();
        }
        self.written = self.written.min(from.previous());
        self.pending.on_truncate(from);
        self.check();
    }

    /// Everything that still has to be written, as one batch. May be empty, then the batch only keeps its turn.
    pub(crate) fn begin_persist(&mut self, hard_state: Option<HardState>) -> (PersistId, Vec<Entry>) {
        let unwritten = (self.last().index.0 - self.written.0) as usize;
        let start = self.window.len() - unwritten;
        let entries: Vec<Entry> = self.window.range(start..).cloned().collect();
        self.written = self.last().index;
        (self.pending.begin(hard_state, entries.last().map(|entry| entry.index)), entries)
    }

    pub(crate) fn finish_persist(&mut self, id: PersistId) {
        self.pending.finish(id);
        self.check();
    }

    /// The disk no longer has what lies at or before `upto`.
    pub(crate) fn compact(&mut self, upto: Index) {
        assert!(upto <= self.durable(), "only durable entries are compacted");
        self.terms.compact(upto);
        while let Some(entry) = self.window.pop_front_if(|entry| entry.index <= upto) {
            self.window_bytes -= entry.bytes();
        }
        self.check();
    }

    /// The log begins anew after a durable snapshot.
    pub(crate) fn reset(&mut self, base: Position) {
        self.terms = Terms::new(base, &[], base);
        self.window.clear();
        self.window_bytes = 0;
        self.written = base.index;
        self.pending.reset(base.index);
        self.check();
    }

    /// Lets the oldest entries go until the window has its size.
    pub(crate) fn evict(&mut self, applied: Index, room: Room) {
        while self.window_bytes > room.applied_bytes_max
            && let Some(first) = self.window.front()
            && first.index <= self.durable()
            && (first.index <= applied || self.window_bytes > room.bytes_max)
        {
            self.window_bytes -= first.bytes();
            self.window.pop_front();
        }
    }

    fn check(&self) {
        assert!(self.base().index <= self.durable(), "the base is durable");
        assert!(self.durable() <= self.written, "only what was written is durable");
        assert!(self.written <= self.last().index, "only what is there was written");
        assert!(self.window_first() <= self.written.next(), "what is not written yet is in memory");
    }
}
