//! One connection: what it sends is read, judged and carried out in order, and what comes back is told in order.
//!
//! Two hands move it, never at once: its task reads and writes when the socket is ready, and the delivery brings answers. Both end in
//! [`Connection::pump`], which carries out as much as may be carried out now.
//!
//! ```text
//! Open ──QUIT, protocol error──▶ Ending ──all is told──▶ Lingering ──the client ends, or time──▶ Over
//!   └────────the client ends────────┘ └──────────────── it ended itself ────────────────────────▶
//! ```
//!
//! Reading stops while a command waits for its turn or for room, so a client that asks faster than it is answered is held back by its own
//! socket. Invariant: nothing is parsed behind a command that waits, so nothing is judged too early. Tests: `tests`, and all of
//! the crate's `tests/`.

mod carry;
mod end;
mod tell;
#[cfg(test)]
mod tests;
mod transaction;

use crate::backend::Ask;
use crate::commands::Call;
use crate::gate::{Gate, Turn};
use crate::hub::{Hub, add};
use crate::intake::Intake;
use crate::limits::{HELD_BYTES_FAIR, OUTPUT_BYTES_MAX, READS_PER_TURN};
use crate::outbox::Word;
use crate::output::Output;
use crate::pending::{Pending, word_bytes};
use crate::session::Session;
use crate::told::Cause;
use crate::transport::Transport;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tell::Expect;

/// One connection.
pub(crate) struct Connection {
    facts: Facts,
    place: usize,
    session: Session,
    transport: Transport,
    intake: Intake,
    gate: Gate,
    pending: Pending<Expect>,
    output: Output,
    /// A command that waits for its turn.
    waiting: Option<Call>,
    stage: Stage,
    /// Nothing has come yet.
    new: bool,
    /// All that came is used up, and more is wanted.
    starved: bool,
    /// An answer came, and the connection has not been looked at since.
    touched: bool,
    /// Since when the client takes nothing.
    stuck_since: Option<Instant>,
    /// The connection's task.
    task: Option<Waker>,
}

/// What there is to know of a connection from outside.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) id: u64,
    pub(crate) peer: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) opened: Instant,
    /// When something last came.
    pub(crate) active: Instant,
    /// Not used yet, in bytes.
    pub(crate) input_bytes: usize,
    /// Not taken yet, in bytes.
    pub(crate) output_bytes: usize,
    /// All that it holds, in bytes, as the hub has it.
    pub(crate) held_bytes: usize,
}

/// How far it is.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
enum Stage {
    Open,
    /// Nothing more is read; what was asked is still answered.
    Ending {
        /// The client has ended its side.
        by_client: bool,
    },
    /// All is told; what the client still sends is thrown away, so that it can read the last word.
    Lingering {
        since: Instant,
    },
    Over,
}

/// Why nothing more is carried out now.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
enum Stop {
    /// All that came is used up.
    Starved,
    /// A command waits for its turn.
    Turn,
    /// Too much is under way or not taken yet.
    Full,
    /// The connection ends.
    Ended,
}

impl Connection {
    /// A connection that was just accepted. `open` says that nobody needs to log in.
    pub(crate) fn new(
        transport: Transport,
        place: usize,
        id: u64,
        peer: SocketAddr,
        local: SocketAddr,
        open: bool,
    ) -> Connection {
        let now = Instant::now();
        let facts = Facts { id, peer, local, opened: now, active: now, input_bytes: 0, output_bytes: 0, held_bytes: 0 };
        Connection {
            facts,
            place,
            session: Session::new(open),
            transport,
            intake: Intake::default(),
            gate: Gate::new(),
            pending: Pending::new(),
            output: Output::default(),
            waiting: None,
            stage: Stage::Open,
            new: true,
            starved: true,
            touched: false,
            stuck_since: None,
            task: None,
        }
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    // ---- The task's hand.

    /// The socket may be ready. Ready when the connection is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, hub: &Rc<Hub>) -> Poll<()> {
        if !self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
        }
        let mut asks = Vec::new();
        let result = self.read(cx, hub, &mut asks);
        hub.submit(asks);
        let result = result.and_then(|()| self.write(cx, hub));
        self.account(hub);
        if result.is_err() {
            // The client is gone, or may as well be.
            self.stage = Stage::Over;
        }
        if self.stage == Stage::Over { Poll::Ready(()) } else { Poll::Pending }
    }

    fn read(&mut self, cx: &mut Context<'_>, hub: &Rc<Hub>, asks: &mut Vec<Ask>) -> io::Result<()> {
        for _ in 0..READS_PER_TURN {
            if self.stage != Stage::Open || !self.starved {
                return Ok(());
            }
            let Poll::Ready(count) = self.intake.poll_read(cx, &mut self.transport, &mut hub.scratch.borrow_mut())
            else {
                return Ok(());
            };
            match count.inspect_err(|error| self.on_read_error(error, hub))? {
                0 => {
                    self.stage = Stage::Ending { by_client: true };
                    self.intake.clear();
                }
                count => {
                    self.facts.active = Instant::now();
                    add(&hub.counters.input_bytes, count);
                    self.pump(hub, asks)?;
                }
            }
        }
        // There may be more, and nobody else will say so.
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn on_read_error(&self, error: &io::Error, hub: &Hub) {
        if error.kind() == io::ErrorKind::InvalidData {
            hub.tell(Cause::Tls, self.facts.peer, format_args!("this is no TLS client of ours: {error}"));
        }
    }

    /// Writes until all is written or the socket takes no more, then ends what is to end.
    fn write(&mut self, cx: &mut Context<'_>, hub: &Rc<Hub>) -> io::Result<()> {
        while !self.flush(hub)? {
            if self.transport.poll_write_ready(cx)?.is_pending() {
                return Ok(());
            }
        }
        match self.stage {
            Stage::Open => self.go_on(hub),
            Stage::Ending { by_client: true } if self.pending.is_empty() => {
                self.stage = Stage::Over;
                Ok(())
            }
            Stage::Ending { by_client: false } if self.pending.is_empty() => {
                if let Poll::Ready(result) = self.transport.poll_shutdown(cx) {
                    result?;
                    self.stage = Stage::Lingering { since: Instant::now() };
                    self.linger(cx, hub);
                }
                Ok(())
            }
            Stage::Lingering { .. } => {
                self.linger(cx, hub);
                Ok(())
            }
            Stage::Ending { .. } | Stage::Over => Ok(()),
        }
    }

    /// The client took what kept it from going on.
    fn go_on(&mut self, hub: &Rc<Hub>) -> io::Result<()> {
        if self.starved {
            return Ok(());
        }
        let mut asks = Vec::new();
        let result = self.pump(hub, &mut asks);
        hub.submit(asks);
        if self.starved || self.stage != Stage::Open || !self.output.is_empty() {
            self.wake();
        }
        result
    }

    /// Throws away what still comes.
    fn linger(&mut self, cx: &mut Context<'_>, hub: &Hub) {
        for _ in 0..READS_PER_TURN {
            let mut scratch = hub.scratch.borrow_mut();
            scratch.clear();
            match self.transport.poll_read(cx, &mut scratch) {
                Poll::Pending => return,
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0) | Err(_)) => {
                    self.stage = Stage::Over;
                    return;
                }
            }
        }
        cx.waker().wake_by_ref();
    }

    // ---- The delivery's hand.

    /// An answer came. True when it is the first since the connection was last looked at.
    pub(crate) fn arrive(&mut self, sequence: u64, word: Word) -> bool {
        let bytes = word_bytes(&word);
        let freed = self.pending.arrive(sequence, word);
        self.gate.finish(freed.turn, freed.argument_bytes, bytes);
        !std::mem::replace(&mut self.touched, true)
    }

    /// All answers that came together are here: they are told, and what they held back goes on.
    pub(crate) fn settle(&mut self, hub: &Rc<Hub>, asks: &mut Vec<Ask>) {
        self.touched = false;
        if self.stage == Stage::Over {
            return;
        }
        let was_starved = self.starved;
        self.tell_answers(hub, asks);
        // What is starved has nothing to carry out.
        let result = if self.starved { self.flush(hub).map(drop) } else { self.pump(hub, asks) };
        self.account(hub);
        let blocked = result.is_err() || !self.output.is_empty() || self.transport.wants_write();
        if result.is_err() {
            self.stage = Stage::Over;
        }
        if blocked || self.stage != Stage::Open || self.starved && !was_starved {
            self.wake();
        }
    }

    // ---- Both hands.

    /// Carries out what may be carried out now, and writes what the socket takes of the replies.
    fn pump(&mut self, hub: &Rc<Hub>, asks: &mut Vec<Ask>) -> io::Result<()> {
        loop {
            let stop = self.advance(hub, asks);
            self.starved = stop == Stop::Starved;
            let written = self.flush(hub)?;
            if stop != Stop::Full || !written || self.is_full() {
                return Ok(());
            }
        }
    }

    fn advance(&mut self, hub: &Rc<Hub>, asks: &mut Vec<Ask>) -> Stop {
        let commands = hub.commands();
        loop {
            if self.stage != Stage::Open {
                return Stop::Ended;
            }
            if self.is_full() {
                return Stop::Full;
            }
            // What comes behind a command that is alone may depend on it, down to how it is read.
            if !self.gate.admits(Turn::Any) {
                return Stop::Turn;
            }
            let call = match self.waiting.take() {
                Some(call) => call,
                None => match self.next_call(&commands, hub) {
                    Some(call) => call,
                    None if self.stage == Stage::Open => return Stop::Starved,
                    None => return Stop::Ended,
                },
            };
            if !self.gate.admits(self.turn(&call)) {
                self.waiting = Some(call);
                return Stop::Turn;
            }
            add(&hub.counters.commands, 1);
            self.carry_out(call, &commands, hub, asks);
        }
    }

    fn is_full(&self) -> bool {
        self.gate.is_full(self.output.bytes() + self.pending.kept_bytes())
    }

    fn wake(&self) {
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    /// Writes what the socket takes; true when that is all.
    fn flush(&mut self, hub: &Hub) -> io::Result<bool> {
        if self.output.is_empty() && !self.transport.wants_write() {
            return Ok(true);
        }
        let before = self.output.bytes();
        let whole = self.output.write_to(&mut self.transport)? && self.flush_transport()?;
        let written = before - self.output.bytes();
        add(&hub.counters.output_bytes, written);
        if whole {
            self.stuck_since = None;
        } else if written > 0 || self.stuck_since.is_none() {
            self.stuck_since = Some(Instant::now());
        }
        Ok(whole)
    }

    fn flush_transport(&mut self) -> io::Result<bool> {
        match self.transport.flush() {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Tells the hub what is held here, and gives up when that is too much.
    fn account(&mut self, hub: &Hub) {
        let buffers = self.intake.held_bytes() + self.output.held_bytes() + self.pending.kept_bytes();
        let waiting = self.waiting.as_ref().map_or(0, Call::held_bytes);
        let held = buffers + waiting + self.gate.argument_bytes() + self.session.held_bytes();
        let before = std::mem::replace(&mut self.facts.held_bytes, held);
        hub.account(before, held);
        self.facts.input_bytes = self.intake.unused().len();
        self.facts.output_bytes = self.output.bytes() + self.pending.kept_bytes();
        if self.stage == Stage::Over {
            return;
        }
        if self.facts.output_bytes > OUTPUT_BYTES_MAX {
            self.cut_off(Cause::SlowReader, "it takes too little of its replies", hub);
        } else if hub.is_full() && buffers > HELD_BYTES_FAIR && held > before {
            self.cut_off(Cause::Memory, "this node holds too much for its clients", hub);
        }
    }
}
