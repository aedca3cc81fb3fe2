//! The way of committed entries to the store: handed out once, in order, and only so many at a time.
//!
//! Handed out is what is committed *and* durable here: the store never gets ahead of the log that it would have to
//! continue from after a crash. Invariants: applied <= handed <= commit; each entry is handed out exactly once.

use crate::log::Log;
use crate::ready::{LogAnswer, LogPurpose, LogRequest};
use crate::types::{Entry, Index};
use std::collections::VecDeque;

/// Entries handed out and not applied yet take at most so many times the bytes of one ready.
const OUTSTANDING_READIES_MAX: usize = 4;

/// What was handed out to be applied.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) struct Applying {
    applied: Index,
    handed: Index,
    /// (last index, bytes) of every group that is not wholly applied.
    outstanding: VecDeque<(Index, usize)>,
    outstanding_bytes: usize,
    /// Read back from disk, next to be handed out.
    fetched: Vec<Entry>,
    bytes_max: usize,
}

/// What `Applying::next` found.
pub(crate) enum Next {
    /// Nothing to hand out now.
    Nothing,
    /// To be applied.
    Entries(Vec<Entry>),
    /// They are no longer in memory.
    Read(LogRequest),
}

impl Applying {
    pub(crate) fn new(applied: Index, bytes_max: usize) -> Applying {
        Applying {
            applied,
            handed: applied,
            outstanding: VecDeque::new(),
            outstanding_bytes: 0,
            fetched: Vec::new(),
            bytes_max,
        }
    }

    pub(crate) fn applied(&self) -> Index {
        self.applied
    }

    /// The next group of the log up to `limit`.
    pub(crate) fn next(&mut self, log: &Log, limit: Index) -> Next {
        let from = self.handed.next();
        if from > limit || self.outstanding_bytes >= self.bytes_max * OUTSTANDING_READIES_MAX {
            return Next::Nothing;
        }
        if !self.fetched.is_empty() {
            let entries = std::mem::take(&mut self.fetched);
            return Next::Entries(self.hand_out(entries));
        }
        match log.slice(from, limit, self.bytes_max) {
            Some(entries) => Next::Entries(self.hand_out(entries)),
            None => {
                let to = limit.min(log.window_first().previous());
                Next::Read(LogRequest { purpose: LogPurpose::Apply, from, to, bytes_max: self.bytes_max })
            }
        }
    }

    fn hand_out(&mut self, entries: Vec<Entry>) -> Vec<Entry> {
        let (first, last) =
            (entries.first().expect("a group has entries"), entries.last().expect("a group has entries"));
        assert!(first.index == self.handed.next(), "every entry is handed out exactly once, in order");
        let bytes = entries.iter().map(Entry::bytes).sum();
        self.handed = last.index;
        self.outstanding.push_back((last.index, bytes));
        self.outstanding_bytes += bytes;
        entries
    }

    /// The entries that were asked for; taken if they are still the next ones of this log.
    pub(crate) fn on_read(&mut self, log: &Log, limit: Index, answer: LogAnswer) {
        let mut expected = self.handed.next();
        for entry in &answer.entries {
            if entry.index != expected || entry.index > limit || !log.contains(entry.position()) {
                return;
            }
            expected = expected.next();
        }
        self.fetched = answer.entries;
    }

    pub(crate) fn on_applied(&mut self, index: Index) {
        assert!(index <= self.handed, "only what was handed out is applied");
        self.applied = self.applied.max(index);
        while let Some((_, bytes)) = self.outstanding.pop_front_if(|(last, _)| *last <= index) {
            self.outstanding_bytes -= bytes;
        }
    }

    /// The store was replaced by a snapshot.
    pub(crate) fn reset(&mut self, applied: Index) {
        *self = Applying::new(applied, self.bytes_max);
    }
}
