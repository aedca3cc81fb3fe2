//! The hand-over of leadership: the target catches up while new proposals are refused, then it is told to campaign at
//! once. If nothing came of it within an election timeout the leader goes on as before.

use crate::types::NodeId;

/// A hand-over under way.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) struct Transfer {
    target: NodeId,
    ticks: u32,
    sent: bool,
}

impl Transfer {
    pub(crate) fn new(target: NodeId) -> Transfer {
        Transfer { target, ticks: 0, sent: false }
    }

    pub(crate) fn target(&self) -> NodeId {
        self.target
    }

    /// True when it has taken too long.
    pub(crate) fn tick(&mut self, election_timeout_ticks: u32) -> bool {
        self.ticks += 1;
        self.ticks >= election_timeout_ticks
    }

    /// The target has everything: true if it has to be told so now.
    pub(crate) fn is_due(&mut self) -> bool {
        !std::mem::replace(&mut self.sent, true)
    }

    /// The message may have been lost; a second one in the same term does no harm.
    pub(crate) fn repeat(&mut self) {
        self.sent = false;
    }
}
