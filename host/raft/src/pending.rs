//! What is on its way to the disk, and what has arrived there.
//!
//! Invariant: `durable` never names an entry that a later batch overwrites, even while the overwriting batch still
//! waits: a truncation lowers it at once and caps what the earlier batches may report (an entry can be replaced and
//! come back while its first write is under way).

use crate::ready::PersistId;
use crate::types::{HardState, Index};
use std::collections::VecDeque;

/// The batches that are not reported as persisted yet.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) struct Pending {
    next: PersistId,
    batches: VecDeque<Batch>,
    durable: Index,
    hard_state: HardState,
    /// For so many ticks the oldest batch has waited.
    waited_ticks: u32,
}

#[derive(Clone, Eq, PartialEq, Hash, Debug)]
struct Batch {
    id: PersistId,
    hard_state: Option<HardState>,
    /// Everything up to here is durable when this batch and all before it are.
    last: Index,
    done: bool,
}

impl Pending {
    pub(crate) fn new(durable: Index, hard_state: HardState) -> Pending {
        Pending { next: PersistId(1), batches: VecDeque::new(), durable, hard_state, waited_ticks: 0 }
    }

    /// The log is durable up to here.
    pub(crate) fn durable(&self) -> Index {
        self.durable
    }

    /// The hard state that a crash would leave.
    pub(crate) fn hard_state(&self) -> HardState {
        self.hard_state
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Time passes.
    pub(crate) fn tick(&mut self) {
        self.waited_ticks = if self.batches.is_empty() { 0 } else { self.waited_ticks.saturating_add(1) };
    }

    /// For so many ticks the disk has finished nothing although something waits.
    pub(crate) fn waited_ticks(&self) -> u32 {
        self.waited_ticks
    }

    pub(crate) fn forget_time(&mut self) {
        self.waited_ticks = 0;
        self.next = PersistId(1);
        for batch in &mut self.batches {
            batch.id = self.next;
            self.next = PersistId(self.next.0 + 1);
        }
    }

    /// A batch leaves for the disk; `last` is its last entry, if it has any.
    pub(crate) fn begin(&mut self, hard_state: Option<HardState>, last: Option<Index>) -> PersistId {
        let id = self.next;
        self.next = PersistId(id.0 + 1);
        self.batches.push_back(Batch { id, hard_state, last: last.unwrap_or_default(), done: false });
        id
    }

    /// A batch has arrived. It counts once all before it have.
    pub(crate) fn finish(&mut self, id: PersistId) {
        if let Some(batch) = self.batches.iter_mut().find(|batch| batch.id == id) {
            batch.done = true;
        }
        while let Some(batch) = self.batches.pop_front_if(|batch| batch.done) {
            self.waited_ticks = 0;
            self.durable = self.durable.max(batch.last);
            self.hard_state = batch.hard_state.unwrap_or(self.hard_state);
        }
    }

    /// Entries from `from` on are replaced.
    pub(crate) fn on_truncate(&mut self, from: Index) {
        let kept = from.previous();
        self.durable = self.durable.min(kept);
        for batch in &mut self.batches {
            batch.last = batch.last.min(kept);
        }
    }

    /// The log begins anew after a durable snapshot at `base`.
    pub(crate) fn reset(&mut self, base: Index) {
        self.on_truncate(Index(0));
        self.durable = base;
    }
}
