//! The session in which this node passes on the writes of its own listeners. Their protocols know no names for requests; with a name
//! of this node's, a write survives the loss of the leader that it was passed on to, and is done once.
//!
//! It is opened by the first such write; what is passed on before it is open, or beyond its bound, goes without a name.

use super::Now;
use crate::reply::Held;
use outboard_raft::NodeId;
use outboard_wire::client::RequestId;
use outboard_wire::limits::SESSION_OUTSTANDING_MAX;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// How long the leader may take to open the session, in milliseconds; then it is asked again.
pub(super) const OPEN_TIMEOUT_MS: u32 = 2_000;

/// The node's own session.
#[derive(Default)]
pub(super) struct OwnSession {
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    Closed,
    Opening {
        leader: NodeId,
        ticket: u64,
        asked_us: u64,
    },
    Open {
        session: u64,
        next: u64,
        held: Arc<Mutex<BTreeSet<u64>>>,
    },
}

/// Whether the session was opened.
pub(super) enum Opened {
    Yes(u64),
    No,
}

impl OwnSession {
    pub(super) fn wants_to_open(&self, now: Now) -> bool {
        match &self.state {
            State::Closed => true,
            State::Opening { asked_us, .. } => now.mono_us - asked_us >= u64::from(OPEN_TIMEOUT_MS) * 1_000,
            State::Open { .. } => false,
        }
    }

    pub(super) fn on_opening(&mut self, leader: NodeId, ticket: u64, now: Now) {
        self.state = State::Opening { leader, ticket, asked_us: now.mono_us };
    }

    pub(super) fn is_opening(&self, ticket: u64) -> bool {
        matches!(self.state, State::Opening { ticket: opening, .. } if opening == ticket)
    }

    pub(super) fn on_opened(&mut self, opened: Opened) {
        self.state = match opened {
            Opened::Yes(session) => State::Open { session, next: 0, held: Arc::default() },
            Opened::No => State::Closed,
        };
    }

    /// Who leads now: another one does not answer what its predecessor was asked.
    pub(super) fn on_leader(&mut self, now: Option<NodeId>) {
        if matches!(self.state, State::Opening { leader, .. } if Some(leader) != now) {
            self.state = State::Closed;
        }
    }

    /// A session has expired; perhaps it is this one.
    pub(super) fn on_gone(&mut self, gone: u64) {
        if matches!(self.state, State::Open { session, .. } if session == gone) {
            self.state = State::Closed;
        }
    }

    /// A name for one more request, if the session is open and has room.
    pub(super) fn name(&mut self) -> Option<(RequestId, Held)> {
        let State::Open { session, next, held } = &mut self.state else { return None };
        let mut sequences = held.lock().unwrap_or_else(PoisonError::into_inner);
        let settled_below = sequences.first().copied().unwrap_or(*next);
        if *next - settled_below >= SESSION_OUTSTANDING_MAX {
            return None;
        }
        let sequence = *next;
        *next += 1;
        sequences.insert(sequence);
        drop(sequences);
        let held = Held::new(sequence, held.clone());
        Some((RequestId { session: *session, sequence, settled_below }, held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> OwnSession {
        let mut own = OwnSession::default();
        own.on_opening(NodeId(1), 4, Now::default());
        assert!(own.is_opening(4) && own.name().is_none());
        own.on_opened(Opened::Yes(9));
        own
    }

    #[test]
    fn a_request_is_settled_when_its_reply_is_used_or_dropped() {
        let mut own = open();
        let (first, held) = own.name().expect("room");
        let (second, other) = own.name().expect("room");
        assert_eq!(first, RequestId { session: 9, sequence: 0, settled_below: 0 });
        assert_eq!(second, RequestId { session: 9, sequence: 1, settled_below: 0 });
        drop(other);
        assert_eq!(own.name().expect("room").0.settled_below, 0);
        drop(held);
        assert_eq!(own.name().expect("room").0, RequestId { session: 9, sequence: 3, settled_below: 3 });
    }

    #[test]
    fn beyond_its_bound_it_gives_no_names() {
        let mut own = open();
        let held: Vec<Held> = (0..SESSION_OUTSTANDING_MAX).map(|_| own.name().expect("room").1).collect();
        assert!(own.name().is_none());
        drop(held);
        assert!(own.name().is_some());
    }

    #[test]
    fn it_is_asked_for_again_when_the_answer_is_late_or_the_leader_changes_or_it_is_gone() {
        let mut own = OwnSession::default();
        assert!(own.wants_to_open(Now::default()));
        own.on_opening(NodeId(1), 1, Now::default());
        own.on_leader(Some(NodeId(1)));
        assert!(!own.wants_to_open(Now::default()));
        own.on_leader(Some(NodeId(2)));
        assert!(own.wants_to_open(Now::default()));
        own.on_opening(NodeId(2), 2, Now::default());
        let later = Now { mono_us: u64::from(OPEN_TIMEOUT_MS) * 1_000, ..Now::default() };
        assert!(!own.wants_to_open(Now::default()) && own.wants_to_open(later));
        own.on_opened(Opened::Yes(9));
        assert!(!own.wants_to_open(later));
        own.on_gone(8);
        assert!(!own.wants_to_open(later));
        own.on_gone(9);
        assert!(own.wants_to_open(later));
    }
}
