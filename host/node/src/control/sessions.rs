//! Client sessions: what makes a request that is sent again be done once (Ongaro's thesis, section 6.3). A session remembers the
//! reply to each of its requests until its client says that it has it; a request that is remembered is answered from here.
//!
//! In the tables a session is one record, written once per batch that used it. Batches differ between nodes, so these writes are
//! not part of the hash chain; the outcomes that follow from them are.
//!
//! Invariants: what happens here depends on the entries alone, in their order: time is the log's, and the bounds are counted the same
//! on every node. A request is forgotten only after its client has its reply, or to keep within the bounds; then it is still known
//! that it was done. Never: published to the core (it would be cloned for it). Tests: here and in `machine/tests/sessions.rs`.

use super::{damaged, key_of, number_of, read_all};
use outboard_store::{StoreError, Table, Transaction, View};
use outboard_wire::client::Response;
use outboard_wire::command::RequestId;
use outboard_wire::limits::{
    SESSION_IDLE_MS_MAX, SESSION_OUTSTANDING_MAX, SESSION_REPLY_BYTES_MAX, SESSIONS_MAX, SESSIONS_REPLY_BYTES_MAX,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const SESSIONS: Table = Table::control(3);
/// What a kept reply counts beside its bytes: about what it takes in memory.
const REPLY_OVERHEAD_BYTES: usize = 96;
const VERSION: u8 = 1;

/// All open sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: BTreeMap<u64, Session>,
    /// The kept replies of all of them.
    bytes: usize,
    /// Changed since the last save; one that is not open any more is to be removed.
    touched: BTreeSet<u64>,
    /// No session was used before this time: until it is an hour ago there is nothing to sweep.
    oldest_ms: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Session {
    used_ms: u64,
    settled_below: u64,
    /// By sequence; none stands for a reply that had to go.
    replies: BTreeMap<u64, Option<Response>>,
    #[serde(skip)]
    bytes: usize,
}

/// What a request of a session is.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Asked {
    /// Not seen before: do it, and [`Sessions::keep`] its outcome.
    First,
    /// Seen before, or not to be done: this is the answer, nothing is to be done.
    Answered(Response),
}

impl Sessions {
    /// Reads them back from the tables.
    pub(crate) fn load(view: &dyn View) -> Result<Sessions, StoreError> {
        let mut sessions = Sessions::default();
        for (key, value) in read_all(view, SESSIONS)? {
            let stored = match value.split_first() {
                Some((&VERSION, stored)) => postcard::from_bytes::<Session>(stored).ok(),
                Some(_) | None => None,
            };
            let (Some(id), Some(mut session)) = (number_of(&key), stored) else {
                return Err(damaged("list of sessions"));
            };
            session.bytes = session.replies.values().map(size).sum();
            sessions.bytes += session.bytes;
            sessions.open.insert(id, session);
        }
        sessions.find_oldest();
        Ok(sessions)
    }

    /// Into the batch that is about to be committed: what changed since the last save.
    pub(crate) fn save(&mut self, txn: &mut Transaction) -> Result<(), StoreError> {
        for id in std::mem::take(&mut self.touched) {
            match self.open.get(&id) {
                Some(session) => {
                    let mut bytes = Vec::with_capacity(64 + session.bytes);
                    bytes.push(VERSION);
                    let bytes = postcard::to_extend(session, bytes).expect("postcard knows all shapes of a session");
                    txn.put(SESSIONS, &key_of(id), bytes)?;
                }
                None => drop(txn.delete(SESSIONS, &key_of(id))?),
            }
        }
        txn.keep();
        Ok(())
    }

    /// Opens a session with this number. Refused when there are too many, after those that are not used any more have gone.
    pub(crate) fn open(&mut self, id: u64, time_ms: u64) -> Response {
        if self.open.len() >= SESSIONS_MAX {
            self.sweep(time_ms);
        }
        if self.open.len() >= SESSIONS_MAX {
            return Response::Overloaded;
        }
        self.oldest_ms = if self.open.is_empty() { time_ms } else { self.oldest_ms.min(time_ms) };
        self.open.insert(id, Session { used_ms: time_ms, ..Session::default() });
        self.touched.insert(id);
        Response::SessionOpened { session: id }
    }

    /// Forgets a session, if it is there.
    pub(crate) fn close(&mut self, id: u64) {
        if let Some(session) = self.open.remove(&id) {
            self.bytes -= session.bytes;
            self.touched.insert(id);
        }
    }

    /// Whether a request is to be done. Its session is used by that.
    pub(crate) fn on_request(&mut self, id: RequestId, time_ms: u64) -> Asked {
        let RequestId { session, sequence, settled_below } = id;
        if self.open.get(&session).is_some_and(|found| is_over(found, time_ms)) {
            self.close(session);
        }
        let Some(found) = self.open.get_mut(&session) else { return Asked::Answered(Response::SessionGone) };
        self.touched.insert(session);
        found.used_ms = time_ms;
        if settled_below > found.settled_below {
            self.bytes -= found.settle(settled_below);
        }
        if sequence < found.settled_below {
            return Asked::Answered(Response::Forgotten);
        }
        match found.replies.get(&sequence) {
            Some(Some(response)) => Asked::Answered(response.clone()),
            Some(None) => Asked::Answered(Response::Forgotten),
            None if sequence - found.settled_below >= SESSION_OUTSTANDING_MAX => {
                let text = format!("more than {SESSION_OUTSTANDING_MAX} requests of the session are unanswered");
                Asked::Answered(Response::Invalid(text))
            }
            // Even a reply that is forgotten at once has to be remembered as done.
            None if self.bytes - found.forgettable() + REPLY_OVERHEAD_BYTES > SESSIONS_REPLY_BYTES_MAX => {
                Asked::Answered(Response::Overloaded)
            }
            None => Asked::First,
        }
    }

    /// The kept reply of a request that is known to be done. The session is not used by that.
    pub(crate) fn recall(&self, id: RequestId) -> Option<Response> {
        self.open.get(&id.session)?.replies.get(&id.sequence).cloned()?
    }

    /// The outcome of a request that [`Sessions::on_request`] said to do.
    pub(crate) fn keep(&mut self, id: RequestId, response: &Response) {
        let session = self.open.get_mut(&id.session).expect("it was there when the request was looked at");
        let kept = Some(response.clone());
        let added = size(&kept);
        session.bytes += added;
        self.bytes += added;
        let before = session.replies.insert(id.sequence, kept);
        assert!(before.is_none(), "a request is done once");
        // The oldest go first; the new one too, if it alone is too much.
        let replies = session.replies.values_mut();
        for reply in replies.filter(|reply| reply.is_some()) {
            if session.bytes <= SESSION_REPLY_BYTES_MAX && self.bytes <= SESSIONS_REPLY_BYTES_MAX {
                break;
            }
            let freed = size(reply) - REPLY_OVERHEAD_BYTES;
            *reply = None;
            session.bytes -= freed;
            self.bytes -= freed;
        }
    }

    /// Lets go those that are not used any more.
    fn sweep(&mut self, time_ms: u64) {
        if time_ms.saturating_sub(self.oldest_ms) <= SESSION_IDLE_MS_MAX {
            return;
        }
        let over = self.open.iter().filter(|(_, session)| is_over(session, time_ms)).map(|(id, _)| *id);
        for id in over.collect::<Vec<u64>>() {
            self.close(id);
        }
        self.find_oldest();
    }

    fn find_oldest(&mut self) {
        self.oldest_ms = self.open.values().map(|session| session.used_ms).min().unwrap_or_default();
    }
}

impl Session {
    /// The client has all replies below; returns the bytes that they took.
    fn settle(&mut self, below: u64) -> usize {
        self.settled_below = below;
        let before = self.bytes;
        while let Some(first) = self.replies.first_entry()
            && *first.key() < below
        {
            self.bytes -= size(&first.remove());
        }
        before - self.bytes
    }

    /// What forgetting all replies would free.
    fn forgettable(&self) -> usize {
        self.bytes - self.replies.len() * REPLY_OVERHEAD_BYTES
    }
}

fn is_over(session: &Session, time_ms: u64) -> bool {
    time_ms.saturating_sub(session.used_ms) > SESSION_IDLE_MS_MAX
}

fn size(kept: &Option<Response>) -> usize {
    let bytes = match kept {
        None => 0,
        Some(Response::Reply(bytes)) => bytes.len(),
        Some(Response::Replies(replies)) => replies.iter().map(|reply| reply.len() + REPLY_OVERHEAD_BYTES).sum(),
        Some(Response::Rejected(text) | Response::Failed(text) | Response::Invalid(text)) => text.len(),
        Some(
            Response::NotDone(_)
            | Response::Overloaded
            | Response::Unknown(_)
            | Response::Status(_)
            | Response::NodeStatus(_)
            | Response::Engines(_)
            | Response::Upgraded(_)
            | Response::UpgradeRefused(_)
            | Response::Transferred { .. }
            | Response::Done
            | Response::WatchBroken
            | Response::Watching { .. }
            | Response::SessionOpened { .. }
            | Response::SessionGone
            | Response::Forgotten
            | Response::Members(_)
            | Response::Enrolled(_)
            | Response::EnrolRefused(_)
            | Response::ChangeRefused { .. }
            | Response::AccessLists(_)
            | Response::Forbidden(_)
            | Response::Certificate { .. },
        ) => 0,
    };
    bytes + REPLY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = SESSION_IDLE_MS_MAX;

    fn id(session: u64, sequence: u64, settled_below: u64) -> RequestId {
        RequestId { session, sequence, settled_below }
    }

    fn reply(bytes: usize) -> Response {
        Response::Reply(vec![b'x'; bytes].into())
    }

    fn opened(ids: std::ops::Range<u64>, time_ms: u64) -> Sessions {
        let mut sessions = Sessions::default();
        for id in ids {
            assert_eq!(sessions.open(id, time_ms), Response::SessionOpened { session: id });
        }
        sessions
    }

    fn done(sessions: &mut Sessions, id: RequestId, response: &Response) {
        assert_eq!(sessions.on_request(id, 0), Asked::First);
        sessions.keep(id, response);
    }

    fn answered(response: Response) -> Asked {
        Asked::Answered(response)
    }

    #[test]
    fn a_request_is_first_once_and_answered_alike_until_it_is_settled() {
        let mut sessions = opened(7..8, 0);
        // They may overtake one another.
        done(&mut sessions, id(7, 5, 0), &reply(5));
        done(&mut sessions, id(7, 3, 0), &reply(3));
        assert_eq!(sessions.on_request(id(7, 5, 3), 0), answered(reply(5)));
        assert_eq!(sessions.on_request(id(7, 3, 3), 0), answered(reply(3)));
        assert_eq!(sessions.on_request(id(7, 4, 4), 0), Asked::First);
        assert_eq!(sessions.on_request(id(7, 3, 3), 0), answered(Response::Forgotten), "a late copy");
        assert_eq!(sessions.on_request(id(8, 1, 0), 0), answered(Response::SessionGone));
    }

    #[test]
    fn a_session_that_is_not_used_for_an_hour_of_the_log_s_time_is_gone() {
        let mut sessions = opened(1..3, 0);
        assert_eq!(sessions.on_request(id(1, 0, 0), HOUR), Asked::First);
        sessions.keep(id(1, 0, 0), &reply(1));
        assert_eq!(sessions.on_request(id(1, 0, 0), 2 * HOUR), answered(reply(1)), "used an hour ago");
        assert_eq!(sessions.on_request(id(2, 0, 0), 2 * HOUR), answered(Response::SessionGone));
        assert_eq!(sessions.on_request(id(1, 0, 0), 3 * HOUR + 1), answered(Response::SessionGone));
        assert_eq!((sessions.open.len(), sessions.bytes), (0, 0));
    }

    #[test]
    fn when_there_are_too_many_the_unused_go_and_else_one_more_is_refused() {
        let most = SESSIONS_MAX as u64;
        let mut sessions = opened(0..most, 0);
        assert_eq!(sessions.open(most, HOUR), Response::Overloaded);
        assert_eq!(sessions.on_request(id(5, 0, 0), HOUR), Asked::First);
        assert_eq!(sessions.open(most, HOUR + 1), Response::SessionOpened { session: most });
        assert_eq!(sessions.open.keys().copied().collect::<Vec<_>>(), [5, most]);
    }

    #[test]
    fn a_session_s_replies_are_bounded_and_the_oldest_are_forgotten_first() {
        let mut sessions = opened(1..2, 0);
        let half = SESSION_REPLY_BYTES_MAX / 2;
        for sequence in 0..3 {
            done(&mut sessions, id(1, sequence, 0), &reply(half - 200));
        }
        assert_eq!(sessions.on_request(id(1, 0, 0), 0), answered(Response::Forgotten), "done, and not done again");
        assert_eq!(sessions.on_request(id(1, 1, 0), 0), answered(reply(half - 200)));
        done(&mut sessions, id(1, 3, 0), &reply(3 * half));
        assert_eq!(sessions.on_request(id(1, 3, 0), 0), answered(Response::Forgotten), "too long to be kept at all");
        assert!(sessions.bytes <= SESSION_REPLY_BYTES_MAX);
        assert_eq!(sessions.on_request(id(1, 4, 4), 0), Asked::First);
        assert_eq!(sessions.bytes, 0, "settled");
    }

    #[test]
    fn all_sessions_replies_together_are_bounded() {
        let mut sessions = opened(1..100, 0);
        for session in 1..100 {
            done(&mut sessions, id(session, 0, 0), &reply(SESSION_REPLY_BYTES_MAX - 200));
            assert!(sessions.bytes <= SESSIONS_REPLY_BYTES_MAX);
        }
        assert_ne!(sessions.on_request(id(1, 0, 0), 0), answered(Response::Forgotten), "who came first keeps its own");
        assert_eq!(sessions.on_request(id(99, 0, 0), 0), answered(Response::Forgotten));
    }

    #[test]
    fn a_session_with_too_many_unanswered_requests_is_told_so() {
        let mut sessions = opened(1..2, 0);
        let asked = sessions.on_request(id(1, SESSION_OUTSTANDING_MAX, 0), 0);
        assert!(matches!(asked, Asked::Answered(Response::Invalid(_))), "{asked:?}");
        assert_eq!(sessions.on_request(id(1, SESSION_OUTSTANDING_MAX, 1), 0), Asked::First);
    }
}
