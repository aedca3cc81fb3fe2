//! The client's sessions: names for its writes, so that one that is sent again is done once.
//!
//! A session is opened by the first write that needs one, and one more only when all have as many writes unanswered as a session
//! may have. Sequences are given in order; a name is settled when its call has ended, however it ended, for nobody asks again
//! then. Never: holds a lock of the standard library across an await. Tests: below, and `tests/sessions.rs`.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::client::Inner;
use crate::error::ClientError;
use crate::verdict::Repeat;
use outboard_wire::client::{RequestBody, RequestId, Response};
use outboard_wire::limits::SESSION_OUTSTANDING_MAX;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Sessions of one client: with more writes under way than they have names for, writes wait.
const SESSIONS_MAX: usize = 8;

/// The sessions that are open.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: Mutex<Vec<Arc<Session>>>,
    /// One opens, the others wait for that.
    opening: tokio::sync::Mutex<()>,
    settled: Arc<Notify>,
}

#[derive(Debug)]
struct Session {
    number: u64,
    window: Mutex<Window>,
}

/// The names that are given.
#[derive(Debug, Default)]
struct Window {
    next: u64,
    unsettled: BTreeSet<u64>,
}

/// The name of one write for as long as its call lasts.
#[derive(Debug)]
pub(crate) struct Name {
    session: Arc<Session>,
    sequence: u64,
    settled: Arc<Notify>,
}

impl Sessions {
    /// A name in the first session that has room.
    fn name(&self) -> Option<Name> {
        self.lock().iter().find_map(|session| session.name(&self.settled))
    }

    /// The session is not known to the cluster any more.
    pub(crate) fn forget(&self, number: u64) {
        self.lock().retain(|session| session.number != number);
    }

    /// Takes all of them away.
    pub(crate) fn take(&self) -> Vec<u64> {
        std::mem::take(&mut *self.lock()).iter().map(|session| session.number).collect()
    }

    fn add(&self, number: u64) {
        self.lock().push(Arc::new(Session { number, window: Mutex::default() }));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Session>>> {
        self.open.lock().expect("nothing panics while it holds the sessions")
    }
}

impl Session {
    fn name(self: &Arc<Self>, settled: &Arc<Notify>) -> Option<Name> {
        let mut window = self.lock();
        let settled_below = window.settled_below();
        if window.next - settled_below >= SESSION_OUTSTANDING_MAX {
            return None;
        }
        let sequence = window.next;
        window.next += 1;
        window.unsettled.insert(sequence);
        Some(Name { session: self.clone(), sequence, settled: settled.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Window> {
        self.window.lock().expect("nothing panics while it holds a session's names")
    }
}

impl Window {
    fn settled_below(&self) -> u64 {
        self.unsettled.first().copied().unwrap_or(self.next)
    }
}

impl Name {
    /// As it goes out with an attempt made now.
    pub(crate) fn id(&self) -> RequestId {
        let settled_below = self.session.lock().settled_below();
        RequestId { session: self.session.number, sequence: self.sequence, settled_below }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        self.session.lock().unsettled.remove(&self.sequence);
        self.settled.notify_one();
    }
}

impl Inner {
    /// A name for one write; opens a session if need be.
    pub(crate) async fn name(self: &Arc<Self>, deadline: Instant) -> Result<Name, ClientError> {
        let sessions = &self.sessions;
        loop {
            if let Some(name) = sessions.name() {
                return Ok(name);
            }
            let late = |_| ClientError::Unavailable("no session could be opened in time".to_owned());
            let _one_at_a_time = timeout_at(deadline, sessions.opening.lock()).await.map_err(late)?;
            if let Some(name) = sessions.name() {
                return Ok(name);
            }
            if sessions.lock().len() < SESSIONS_MAX {
                sessions.add(self.open_session(deadline).await?);
            } else {
                let late = |_| ClientError::Unavailable("too many writes wait for their answers".to_owned());
                timeout_at(deadline, sessions.settled.notified()).await.map_err(late)?;
            }
        }
    }

    async fn open_session(self: &Arc<Self>, deadline: Instant) -> Result<u64, ClientError> {
        let left = deadline.saturating_duration_since(Instant::now());
        // Boxed: a call asks for a session, and asking is a call.
        let opened = Box::pin(self.ask(RequestBody::SessionOpen, Repeat::Harmless, left)).await.map_err(|error| {
            let why = format!("no session could be opened for the write, which was not sent: {error}");
            match error {
                ClientError::Unavailable(_) | ClientError::Timeout(_) => ClientError::Unavailable(why),
                other @ (ClientError::Unknown(_)
                | ClientError::Rejected(_)
                | ClientError::Failed(_)
                | ClientError::Invalid(_)
                | ClientError::Auth(_)
                | ClientError::Conflict(_)
                | ClientError::AtRisk(_)
                | ClientError::Forbidden(_)
                | ClientError::Refused(_)
                | ClientError::WatchBroken
                | ClientError::Protocol(_)) => other,
            }
        })?;
        if let Response::SessionOpened { session } = opened {
            Ok(session)
        } else {
            Err(crate::call::misplaced("a session's opening", &opened))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions() -> Sessions {
        let sessions = Sessions::default();
        sessions.add(7);
        sessions
    }

    #[test]
    fn names_are_given_in_order_and_settled_when_their_calls_end() {
        let sessions = sessions();
        let names: Vec<Name> = (0..3).map(|_| sessions.name().expect("room")).collect();
        assert_eq!(names[2].id(), RequestId { session: 7, sequence: 2, settled_below: 0 });
        let [first, second, third] = <[Name; 3]>::try_from(names).expect("three");
        drop(second);
        assert_eq!(third.id().settled_below, 0, "the first is not answered");
        drop(first);
        assert_eq!(third.id(), RequestId { session: 7, sequence: 2, settled_below: 2 });
    }

    #[test]
    fn a_session_gives_no_more_names_than_may_be_unanswered_and_the_next_one_helps_out() {
        let sessions = sessions();
        let oldest = sessions.name().expect("room");
        for _ in 1..SESSION_OUTSTANDING_MAX {
            drop(sessions.name().expect("room"));
        }
        assert!(sessions.name().is_none(), "the oldest is not settled");
        sessions.add(8);
        assert_eq!(sessions.name().expect("room").id().session, 8);
        drop(oldest);
        assert_eq!(sessions.name().expect("room").id().session, 7);
    }
}
