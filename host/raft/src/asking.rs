//! The reads of a node that does not lead: one question to the leader for all that wait, at most one on the way.
//!
//! The leader answers after a round of heartbeats that began after the question came, so whatever was committed anywhere
//! when these reads were asked for is behind the index in its answer. A question that gets no answer is repeated as it is;
//! after an election timeout, or when the leader changes, its reads are lost aloud.
//! Tickets are never used twice, not even by a later life of this node: an answer fits only the reads that it was asked for.

use crate::message::Message;
use crate::read::READS_WAITING_MAX;
use crate::ready::{Barrier, ReadId};
use crate::shared::Shared;
use crate::types::{Index, NodeId};

/// The reads that wait here for the leader's word.
#[derive(Clone, Eq, PartialEq, Hash, Debug, Default)]
pub(crate) struct Asking {
    waiting: Vec<ReadId>,
    question: Option<Question>,
}

#[derive(Clone, Eq, PartialEq, Hash, Debug)]
struct Question {
    ticket: u64,
    ids: Vec<ReadId>,
    ticks: u32,
}

impl Asking {
    /// False if too many wait already.
    pub(crate) fn add(&mut self, id: ReadId) -> bool {
        let room = self.waiting.len() < READS_WAITING_MAX;
        if room {
            self.waiting.push(id);
        }
        room
    }

    pub(crate) fn flush(&mut self, shared: &mut Shared, leader: NodeId) {
        if self.question.is_none() && !self.waiting.is_empty() {
            let ticket = shared.ticket();
            self.question = Some(Question { ticket, ids: std::mem::take(&mut self.waiting), ticks: 0 });
            shared.send(leader, Message::ReadIndex { ticket });
        }
    }

    pub(crate) fn tick(&mut self, shared: &mut Shared, leader: Option<NodeId>) {
        let Some(question) = &mut self.question else { return };
        question.ticks += 1;
        if question.ticks >= shared.config.election_timeout_ticks {
            shared.out.barriers_lost.append(&mut question.ids);
            self.question = None;
        } else if question.ticks.is_multiple_of(shared.config.heartbeat_ticks)
            && let Some(leader) = leader
        {
            shared.send(leader, Message::ReadIndex { ticket: question.ticket });
        }
    }

    pub(crate) fn on_answer(&mut self, ticket: u64, index: Index) -> Option<Barrier> {
        let question = self.question.take_if(|question| question.ticket == ticket)?;
        Some(Barrier { ids: question.ids, index })
    }

    /// The leader is another one, or none: these will get no barrier.
    pub(crate) fn into_lost(self) -> impl Iterator<Item = ReadId> {
        self.question.into_iter().flat_map(|question| question.ids).chain(self.waiting)
    }
}
