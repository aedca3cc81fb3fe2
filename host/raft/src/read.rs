//! Linearizable reads without entries: a round of heartbeats proves that this node still led when the round began
//! (thesis, section 6.4).
//!
//! Reads that arrive while a round is under way share the next one, so there are never more than two groups and the
//! load of reads does not multiply heartbeats. Rounds have ascending numbers that are never reused: a late answer to
//! an earlier round proves nothing about a later one.

use crate::ready::{Barrier, ReadId};
use crate::types::Index;

/// The reads that wait for their barrier.
#[derive(Clone, Eq, PartialEq, Hash, Debug, Default)]
pub(crate) struct Reads {
    waiting: Vec<ReadId>,
    round: Option<Round>,
}

#[derive(Clone, Eq, PartialEq, Hash, Debug)]
struct Round {
    number: u64,
    /// The commit index when the round began.
    index: Index,
    ids: Vec<ReadId>,
}

/// Reads that may wait for a barrier at once.
pub const READS_WAITING_MAX: usize = 1 << 16;

impl Reads {
    /// False if too many wait already.
    pub(crate) fn add(&mut self, id: ReadId) -> bool {
        let room = self.waiting.len() < READS_WAITING_MAX;
        if room {
            self.waiting.push(id);
        }
        room
    }

    pub(crate) fn wants_round(&self) -> bool {
        self.round.is_none() && !self.waiting.is_empty()
    }

    /// A round begins for all that wait.
    pub(crate) fn begin(&mut self, number: u64, index: Index) {
        assert!(self.wants_round(), "one round at a time");
        self.round = Some(Round { number, index, ids: std::mem::take(&mut self.waiting) });
    }

    /// A quorum confirmed all rounds up to `confirmed`.
    pub(crate) fn confirm(&mut self, confirmed: u64) -> Option<Barrier> {
        let round = self.round.take_if(|round| round.number <= confirmed)?;
        Some(Barrier { ids: round.ids, index: round.index })
    }

    /// Leadership is over: these will get no barrier.
    pub(crate) fn into_lost(self) -> impl Iterator<Item = ReadId> {
        self.round.into_iter().flat_map(|round| round.ids).chain(self.waiting)
    }
}
