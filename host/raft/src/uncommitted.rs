//! The leader's measure of what it accepted and could not commit yet.
//!
//! Counted by entry, for the leader's own term only, so that the measure comes back to zero exactly when all is
//! committed, whatever was in the log before and whatever was let in without being asked.

use crate::types::Index;
use std::collections::VecDeque;

/// The bytes of a leader's own uncommitted entries.
#[derive(Clone, Eq, PartialEq, Hash, Debug, Default)]
pub(crate) struct Uncommitted {
    bytes: usize,
    entries: VecDeque<(Index, usize)>,
}

impl Uncommitted {
    /// One entry always has room, so that the limit can't shut out a large one for ever.
    pub(crate) fn has_room(&self, bytes: usize, bytes_max: usize) -> bool {
        self.bytes == 0 || self.bytes.saturating_add(bytes) <= bytes_max
    }

    pub(crate) fn add(&mut self, index: Index, bytes: usize) {
        self.entries.push_back((index, bytes));
        self.bytes += bytes;
    }

    pub(crate) fn on_commit(&mut self, commit: Index) {
        while let Some((_, bytes)) = self.entries.pop_front_if(|(index, _)| *index <= commit) {
            self.bytes -= bytes;
        }
        assert!(!self.entries.is_empty() || self.bytes == 0, "all is committed, nothing is counted");
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}
