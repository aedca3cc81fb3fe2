//! What a connection has told about itself and agreed on: version, name, login, and the transaction that it prepares.

use crate::commands::own::{Own, Spec};
use crate::limits::{TRANSACTION_BYTES_MAX, TRANSACTION_COMMANDS_MAX};
use crate::resp::Protocol;
use bytes::{Bytes, BytesMut};

/// The state of one connection, as commands see it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) protocol: Protocol,
    /// By CLIENT SETNAME; empty without.
    pub(crate) name: String,
    pub(crate) library_name: String,
    pub(crate) library_version: String,
    /// Who is logged in; none before that.
    pub(crate) user: Option<String>,
    /// Reads may be stale.
    pub(crate) read_only: bool,
    pub(crate) transaction: Option<Queue>,
    pub(crate) watch: Watch,
    pub(crate) last: Last,
}

/// Keys that are watched.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
pub(crate) enum Watch {
    #[default]
    None,
    /// By this watcher.
    By(u64),
    /// A WATCH failed: what was to be watched may have changed, so EXEC must do nothing.
    Broken,
}

/// The last command, for CLIENT LIST.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) enum Last {
    #[default]
    None,
    Own(&'static Spec),
    Engine(usize),
}

/// The commands since MULTI.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) parts: Vec<Part>,
    /// Something was refused while queueing: EXEC does nothing.
    pub(crate) spoilt: bool,
    /// With what it costs to keep them.
    bytes: usize,
}

/// One of them.
#[derive(Debug)]
pub(crate) enum Part {
    Own(Own, Vec<Bytes>),
    Engine(Vec<Bytes>),
}

/// Why a command can't be queued.
#[derive(Copy, Clone, Eq, PartialEq, Debug, thiserror::Error)]
pub(crate) enum QueueError {
    #[error("ERR a transaction has at most {TRANSACTION_COMMANDS_MAX} commands")]
    Commands,
    #[error("ERR a transaction is longer than {TRANSACTION_BYTES_MAX} bytes")]
    Bytes,
}

impl Session {
    /// As a new connection begins; with no users everybody is logged in.
    pub(crate) fn new(open: bool) -> Session {
        Session {
            protocol: Protocol::Resp2,
            name: String::new(),
            library_name: String::new(),
            library_version: String::new(),
            user: open.then(|| crate::users::DEFAULT.to_owned()),
            read_only: false,
            transaction: None,
            watch: Watch::None,
            last: Last::None,
        }
    }

    pub(crate) fn is_logged_in(&self) -> bool {
        self.user.is_some()
    }

    /// A command was refused: a transaction that is being prepared comes to nothing.
    pub(crate) fn spoil(&mut self) {
        if let Some(queue) = &mut self.transaction {
            *queue = Queue { spoilt: true, ..Queue::default() };
        }
    }

    /// What the present transaction holds, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.transaction.as_ref().map_or(0, |queue| queue.bytes)
    }
}

impl Queue {
    /// Adds a command.
    pub(crate) fn push(&mut self, part: Part) -> Result<(), QueueError> {
        if self.spoilt {
            return Ok(());
        }
        let (Part::Own(_, arguments) | Part::Engine(arguments)) = &part;
        let bytes = held_bytes(arguments);
        if self.parts.len() >= TRANSACTION_COMMANDS_MAX {
            return Err(QueueError::Commands);
        }
        if self.bytes + bytes > TRANSACTION_BYTES_MAX {
            return Err(QueueError::Bytes);
        }
        self.bytes += bytes;
        self.parts.push(match part {
            Part::Own(own, arguments) => Part::Own(own, detached(&arguments)),
            Part::Engine(arguments) => Part::Engine(detached(&arguments)),
        });
        Ok(())
    }
}

/// What arguments hold with what it costs to keep them: many empty ones are not free.
pub(crate) fn held_bytes(arguments: &[Bytes]) -> usize {
    arguments.iter().map(Bytes::len).sum::<usize>() + size_of_val(arguments)
}

/// Copies of their own: what is queued may stay for long, and must not keep the buffer alive that it came in.
fn detached(arguments: &[Bytes]) -> Vec<Bytes> {
    let mut all = BytesMut::with_capacity(arguments.iter().map(Bytes::len).sum());
    arguments.iter().for_each(|argument| all.extend_from_slice(argument));
    let mut all = all.freeze();
    arguments.iter().map(|argument| all.split_to(argument.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::words;

    #[test]
    fn a_transaction_is_bounded_and_its_bytes_are_its_own() {
        let mut queue = Queue::default();
        let large = Bytes::from(vec![b'x'; 1 << 20]);
        queue.push(Part::Engine(vec![large.slice(..3), large.slice(5..5), large.slice(7..8)])).expect("there is room");
        let Part::Engine(arguments) = &queue.parts[0] else { panic!("an engine's command") };
        assert_eq!(arguments, &["xxx", "", "x"]);
        assert!(large.is_unique(), "nothing keeps the large buffer");
        for _ in 1..TRANSACTION_COMMANDS_MAX {
            queue.push(Part::Engine(words("get k"))).expect("there is room");
        }
        assert_eq!(queue.push(Part::Engine(words("get k"))), Err(QueueError::Commands));
        let mut queue = Queue::default();
        for _ in 1..TRANSACTION_BYTES_MAX / large.len() {
            queue.push(Part::Engine(vec![large.clone()])).expect("there is room");
        }
        assert_eq!(queue.push(Part::Engine(vec![large])), Err(QueueError::Bytes));
        assert_eq!(
            queue.push(Part::Engine(vec![Bytes::new(); 1 << 16])),
            Err(QueueError::Bytes),
            "empty ones cost too"
        );
    }

    #[test]
    fn a_spoilt_transaction_keeps_nothing() {
        let mut session = Session::new(true);
        session.transaction = Some(Queue::default());
        session.transaction.as_mut().expect("just set").push(Part::Engine(words("get k"))).expect("there is room");
        session.spoil();
        let queue = session.transaction.as_mut().expect("still there");
        queue.push(Part::Engine(words("get k"))).expect("taken and forgotten");
        assert!(queue.spoilt && queue.parts.is_empty());
    }
}
