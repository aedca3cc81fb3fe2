//! The Appends on the way to one peer: bounded in number and in bytes, freed by the peer's answers in order.
//!
//! Invariant: the byte count is the sum over the waiting messages, zero when none waits.
//! Tests: `src/tests/inflight.rs` compares with a naive list.

use crate::types::Index;
use std::collections::VecDeque;

/// The unanswered Appends of one peer.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) struct Inflight {
    messages_max: usize,
    bytes_max: usize,
    bytes: usize,
    /// (last index of the message, its bytes), ascending.
    waiting: VecDeque<(Index, usize)>,
}

impl Inflight {
    pub(crate) fn new(messages_max: usize, bytes_max: usize) -> Inflight {
        Inflight { messages_max: messages_max.max(1), bytes_max: bytes_max.max(1), bytes: 0, waiting: VecDeque::new() }
    }

    /// No more may be sent. A message may cross the byte limit, so that one larger than the limit goes too.
    pub(crate) fn is_full(&self) -> bool {
        self.waiting.len() >= self.messages_max || self.bytes >= self.bytes_max
    }

    pub(crate) fn add(&mut self, last: Index, bytes: usize) {
        assert!(!self.is_full(), "a full window takes no message");
        assert!(self.waiting.back().is_none_or(|(back, _)| *back < last), "messages on the way ascend");
        self.waiting.push_back((last, bytes));
        self.bytes += bytes;
    }

    /// The peer has everything up to `matched`.
    pub(crate) fn free_to(&mut self, matched: Index) {
        while let Some((last, bytes)) = self.waiting.front().copied()
            && last <= matched
        {
            self.waiting.pop_front();
            self.bytes -= bytes;
        }
        assert!(!self.waiting.is_empty() || self.bytes == 0, "an empty window holds no bytes");
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn messages(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}
