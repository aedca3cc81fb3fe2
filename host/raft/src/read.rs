//! Linearizable reads without entries: a round of heartbeats proves that this node still led when the round began
//! (thesis, section 6.4).
//!
//! Reads that arrive while a round is under way share the next one, so there are never more than two groups and the
//! load of reads does not multiply heartbeats. A follower's question stands here like a read of the leader's own. Rounds have ascending numbers that are never reused: a late answer to
//! an earlier round proves nothing about a later one.

use crate::ready::{Barrier, ReadId};
use crate::types::{Index, NodeId};

/// The reads that wait for their barrier.
#[derive(Clone, Eq, PartialEq, Hash, Debug, Default)]
pub(crate) struct Reads {
    waiting: Vec<Asker>,
    round: Option<Round>,
}

/// Who waits.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) enum Asker {
    /// A read of this node.
    Own(ReadId),
    /// A follower, on behalf of its reads.
    Peer { id: NodeId, ticket: u64 },
}

/// What a confirmed round brings.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(crate) struct Confirmed {
    pub(crate) barrier: Option<Barrier>,
    /// (follower, its ticket)
    pub(crate) answers: Vec<(NodeId, u64)>,
    pub(crate) index: Index,
}

#[derive(Clone, Eq, PartialEq, Hash, Debug)]
struct Round {
    number: u64,
    /// The commit index when the round began.
    index: Index,
    askers: Vec<Asker>,
}

/// Reads that may wait for a barrier at once.
pub const READS_WAITING_MAX: usize = 1 << 16;

impl Reads {
    /// False if too many wait already.
    pub(crate) fn add(&mut self, asker: Asker) -> bool {
        let room = self.waiting.len() < READS_WAITING_MAX;
        // A question that comes again before its round begins is still one question.
        let again = matches!(asker, Asker::Peer { .. }) && self.waiting.contains(&asker);
        if room && !again {
            self.waiting.push(asker);
        }
        room
    }

    pub(crate) fn wants_round(&self) -> bool {
        self.round.is_none() && !self.waiting.is_empty()
    }

    /// A round begins for all that wait.
    pub(crate) fn begin(&mut self, number: u64, index: Index) {
        assert!(self.wants_round(), "one round at a time");
        self.round = Some(Round { number, index, askers: std::mem::take(&mut self.waiting) });
    }

    /// A quorum confirmed all rounds up to `confirmed`.
    pub(crate) fn confirm(&mut self, confirmed: u64) -> Option<Confirmed> {
        let round = self.round.take_if(|round| round.number <= confirmed)?;
        let (mut ids, mut answers) = (Vec::new(), Vec::new());
        for asker in round.askers {
            match asker {
                Asker::Own(id) => ids.push(id),
                Asker::Peer { id, ticket } => answers.push((id, ticket)),
            }
        }
        let barrier = (!ids.is_empty()).then_some(Barrier { ids, index: round.index });
        Some(Confirmed { barrier, answers, index: round.index })
    }

    /// Leadership is over: these will get no barrier. Followers notice by themselves.
    pub(crate) fn into_lost(self) -> impl Iterator<Item = ReadId> {
        let all = self.round.into_iter().flat_map(|round| round.askers).chain(self.waiting);
        all.filter_map(|asker| match asker {
            Asker::Own(id) => Some(id),
            Asker::Peer { .. } => None,
        })
    }
}
