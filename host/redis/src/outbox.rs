//! The way of answers from whatever thread has them to the listener's: one queue for all connections, and one wake-up for all that come
//! before the listener looks.
//!
//! Bounded by what is under way: each answer was asked for once. Never: blocks for longer than a push takes.

use outboard_wire::client::Response;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// Whose answer it is.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) struct Ticket {
    /// The connection's place among those that are served.
    pub(crate) place: usize,
    /// The connection: places are used again.
    pub(crate) connection: u64,
    /// Counts what the connection has asked.
    pub(crate) sequence: u64,
}

/// What comes back.
#[derive(Debug)]
pub(crate) enum Word {
    /// The node's.
    Answer(Response),
    /// Whether a password was right.
    Checked(bool),
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    arrived: Vec<(Ticket, Word)>,
    waker: Option<Waker>,
}

impl Outbox {
    /// Takes an answer in; wakes the listener if it is the first.
    pub(crate) fn push(&self, ticket: Ticket, word: Word) {
        let mut state = self.lock();
        state.arrived.push((ticket, word));
        // Whoever is awake takes everything, so only the first has to wake it.
        let waker = if state.arrived.len() == 1 { state.waker.take() } else { None };
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Swaps all that arrived into `words` (which is empty).
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>, words: &mut Vec<(Ticket, Word)>) -> Poll<()> {
        debug_assert!(words.is_empty(), "what was taken was delivered");
        let mut state = self.lock();
        if state.arrived.is_empty() {
            if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                state.waker = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        mem::swap(&mut state.arrived, words);
        Poll::Ready(())
    }

    /// All that arrived, without waiting.
    pub(crate) fn take(&self) -> Vec<(Ticket, Word)> {
        mem::take(&mut self.lock().arrived)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the outbox")
    }
}

/// The way back for one answer. Dropped unused, it says that the outcome is unknown: whoever waits must not wait forever.
pub(crate) struct Way {
    outbox: Arc<Outbox>,
    ticket: Ticket,
    used: bool,
}

impl Way {
    pub(crate) fn new(outbox: &Arc<Outbox>, ticket: Ticket) -> Way {
        Way { outbox: outbox.clone(), ticket, used: false }
    }

    /// As the node wants it.
    pub(crate) fn into_reply(mut self) -> Box<dyn FnOnce(Response) + Send> {
        Box::new(move |response| {
            self.used = true;
            self.outbox.push(self.ticket, Word::Answer(response));
        })
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        if !self.used {
            self.outbox.push(self.ticket, Word::Answer(Response::Unknown("the node gave no answer".into())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn ticket(sequence: u64) -> Ticket {
        Ticket { place: 0, connection: 1, sequence }
    }

    #[test]
    fn answers_that_come_together_wake_the_listener_once() {
        let (outbox, count) = (Arc::new(Outbox::default()), Arc::new(Count::default()));
        let waker = Waker::from(count.clone());
        let mut cx = Context::from_waker(&waker);
        let mut words = Vec::new();
        for round in 1..=3 {
            assert!(outbox.poll_take(&mut cx, &mut words).is_pending());
            for sequence in 0..10 {
                Way::new(&outbox, ticket(sequence)).into_reply()(Response::Done);
            }
            assert_eq!(count.0.load(Ordering::Relaxed), round);
            assert!(outbox.poll_take(&mut cx, &mut words).is_ready());
            assert_eq!(words.drain(..).map(|(ticket, _)| ticket.sequence).collect::<Vec<_>>(), Vec::from_iter(0..10));
        }
    }

    #[test]
    fn a_way_that_is_dropped_answers_unknown_and_a_used_one_answers_once() {
        let outbox = Arc::new(Outbox::default());
        drop(Way::new(&outbox, ticket(1)));
        drop(Way::new(&outbox, ticket(2)).into_reply());
        Way::new(&outbox, ticket(3)).into_reply()(Response::Overloaded);
        let words = outbox.take();
        assert_eq!(words.len(), 3);
        assert!(matches!(words[0].1, Word::Answer(Response::Unknown(_))));
        assert!(matches!(words[1].1, Word::Answer(Response::Unknown(_))));
        assert!(matches!(words[2].1, Word::Answer(Response::Overloaded)));
    }
}
