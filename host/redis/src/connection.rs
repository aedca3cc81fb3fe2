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
//! socket. Invariant: nothing is parsed behind a command that waits, so nothing is judged too early.

use crate::backend::Ask;
use crate::commands::answer::{Desk, answer};
use crate::commands::hello::{self, Hello, Login};
use crate::commands::info::{self, Sections};
use crate::commands::own::Own;
use crate::commands::{Call, Commands};
use crate::gate::{Gate, Turn};
use crate::http;
use crate::hub::{Hub, add};
use crate::intake::{Intake, Request};
use crate::limits::{
    HALF_COMMAND_TIMEOUT, HANDSHAKE_TIMEOUT, HELD_BYTES_FAIR, LINGER, OUTPUT_BYTES_MAX, READS_PER_TURN,
    REPLY_BYTES_COPIED, STUCK_READER_TIMEOUT,
};
use crate::outbox::{Ticket, Way, Word};
use crate::output::Output;
use crate::pending::{Pending, word_bytes};
use crate::request::{ProtocolError, integer};
use crate::resp::{Protocol, Writer, is_resp2};
use crate::session::{Last, Part, Session, Watch, held_bytes};
use crate::told::Cause;
use crate::transaction::Plan;
use crate::transport::Transport;
use bytes::Bytes;
use outboard_wire::client::{Consistency, RequestBody, Response};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// The first byte of a TLS handshake, and of no command.
const TLS_HANDSHAKE: u8 = 0x16;

/// One connection.
pub(crate) struct Connection {
    facts: Facts,
    place: usize,
    pub(crate) session: Session,
    transport: Transport,
    intake: Intake,
    pub(crate) gate: Gate,
    pub(crate) pending: Pending<Expect>,
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

/// What becomes of an answer.
#[derive(Debug)]
pub(crate) enum Expect {
    /// The reply of a command.
    Value,
    /// Those of a transaction.
    Transaction(Plan),
    /// WATCH's.
    Watch,
    /// INFO's, which asked the engine for its number of keys.
    Info(Sections),
    /// AUTH's, for this user.
    Auth(Bytes),
    /// The same for HELLO.
    Hello(Hello, Bytes),
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
        let result = self.pump(hub, asks);
        self.account(hub);
        let blocked = result.is_err() || !self.output.is_empty() || self.transport.wants_write();
        if result.is_err() {
            self.stage = Stage::Over;
        }
        if blocked || self.stage != Stage::Open || self.starved && !was_starved {
            self.wake();
        }
    }

    fn tell_answers(&mut self, hub: &Rc<Hub>, asks: &mut Vec<Ask>) {
        while let Some((expect, word, after)) = self.pending.pop() {
            match (expect, word) {
                (Expect::Value, Word::Answer(Response::Reply(value))) => self.tell_value(value),
                (Expect::Value, Word::Answer(response)) => self.tell_failure(&response, hub),
                (Expect::Transaction(plan), Word::Answer(response)) => self.tell_transaction(plan, response, hub),
                (Expect::Watch, Word::Answer(response)) => self.tell_watch(&response, hub, asks),
                (Expect::Info(sections), Word::Answer(response)) => self.tell_info(&sections, &response, hub),
                (Expect::Auth(user), Word::Checked(right)) => self.tell_login(user, right, None, hub),
                (Expect::Hello(hello, user), Word::Checked(right)) => self.tell_login(user, right, Some(hello), hub),
                (Expect::Auth(_) | Expect::Hello(..), Word::Answer(_)) | (_, Word::Checked(_)) => {
                    unreachable!("a login asks for nothing else, and nothing else does")
                }
            }
            self.output.small().extend_from_slice(&after);
        }
    }

    fn tell_value(&mut self, value: Bytes) {
        if self.session.protocol == Protocol::Resp2 && !is_resp2(&value) {
            crate::resp::convert(&value, self.output.small());
        } else if value.len() >= REPLY_BYTES_COPIED {
            self.output.large(value);
        } else {
            self.output.small().extend_from_slice(&value);
        }
    }

    fn tell_failure(&mut self, response: &Response, hub: &Hub) {
        add(&hub.counters.errors, 1);
        self.tell(|writer| writer.error(failure(response, hub)));
    }

    fn tell_info(&mut self, sections: &Sections, response: &Response, hub: &Hub) {
        // INFO is asked for most when something is wrong: then it answers without.
        let value = if let Response::Reply(value) = response { value.as_ref() } else { b"" };
        let keys = value.strip_prefix(b":").and_then(|line| integer(line.trim_ascii_end()));
        let text = info::text(sections, hub, &hub.commands(), keys.and_then(|keys| keys.try_into().ok()));
        self.tell(|writer| writer.text(&text));
    }

    fn tell_login(&mut self, user: Bytes, right: bool, hello: Option<Hello>, hub: &Hub) {
        if right {
            self.session.user = Some(String::from_utf8_lossy(&user).into_owned());
            match hello {
                None => self.tell(|writer| writer.ok()),
                Some(hello) => hello.settle(&mut self.session, self.facts.id, self.output.small()),
            }
        } else {
            add(&hub.counters.errors, 1);
            hub.tell(Cause::Login, self.facts.peer, format_args!("a wrong name or password"));
            self.tell(|writer| writer.error(hello::WRONG));
        }
    }

    /// A reply that was put together elsewhere, behind all that was told.
    pub(crate) fn tell_reply(&mut self, reply: Vec<u8>) {
        if reply.len() >= REPLY_BYTES_COPIED {
            self.output.large(reply.into());
        } else {
            self.output.small().extend_from_slice(&reply);
        }
    }

    /// What commands are answered from.
    pub(crate) fn session_and_facts(&mut self) -> (&mut Session, &Facts) {
        (&mut self.session, &self.facts)
    }

    /// Writes a reply behind all that was told.
    pub(crate) fn tell(&mut self, reply: impl FnOnce(&mut Writer<'_>)) {
        let protocol = self.session.protocol;
        reply(&mut Writer::new(self.output.small(), protocol));
    }

    // ---- Carrying out.

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

    /// The next command of what came; none when it is all used up, or the connection ends over it.
    fn next_call(&mut self, commands: &Commands, hub: &Hub) -> Option<Call> {
        if std::mem::take(&mut self.new) && self.intake.unused().first() == Some(&TLS_HANDSHAKE) {
            hub.tell(Cause::Tls, self.facts.peer, format_args!("TLS on a port without it; closed"));
            self.stage = Stage::Over;
            return None;
        }
        match self.intake.next(self.session.is_logged_in()) {
            Ok(Some(Request::Command(arguments))) => Some(commands.judge(arguments)),
            Ok(Some(Request::Refused(why))) => {
                Some(Call::Rejected { error: why.to_string().into_bytes(), exec: false })
            }
            Ok(Some(Request::Http)) => {
                hub.tell(Cause::Http, self.facts.peer, format_args!("HTTP on the Redis port; closed"));
                self.answer_now(|out, _| out.extend_from_slice(http::ANSWER));
                self.end();
                None
            }
            Ok(None) => None,
            Err(error) => {
                self.on_protocol_error(error, hub);
                None
            }
        }
    }

    fn on_protocol_error(&mut self, error: ProtocolError, hub: &Hub) {
        let text = error.text();
        let shown = String::from_utf8_lossy(&text).replace(char::is_control, "?");
        hub.tell(Cause::Protocol, self.facts.peer, format_args!("protocol error, {shown}; closed"));
        add(&hub.counters.errors, 1);
        self.answer_now(|out, protocol| {
            Writer::new(out, protocol).error([b"ERR Protocol error: ", text.as_slice()].concat());
        });
        self.end();
    }

    /// Beside what a command may be carried out.
    fn turn(&self, call: &Call) -> Turn {
        let queues = self.session.transaction.is_some();
        match call {
            Call::Own { own: Own::Reset, .. } => Turn::Alone,
            Call::Own { own: Own::Exec, .. } => {
                let asks = self.session.transaction.as_ref().is_some_and(|queue| !queue.spoilt);
                if asks { Turn::Write } else { Turn::Any }
            }
            Call::Own { own: Own::Auth | Own::Hello | Own::Wait | Own::Watch, .. } if !queues => Turn::Alone,
            Call::Own { own: Own::Info, .. } | Call::Engine { writes: false, .. } if !queues => Turn::Read,
            Call::Engine { writes: true, .. } if !queues => Turn::Write,
            Call::Own { .. } | Call::Engine { .. } | Call::Rejected { .. } | Call::Unready | Call::Attack => Turn::Any,
        }
    }

    /// Carries out a command whose turn it is.
    fn carry_out(&mut self, call: Call, commands: &Commands, hub: &Rc<Hub>, asks: &mut Vec<Ask>) {
        match call {
            Call::Rejected { error, exec: false } => self.refuse(&error, hub),
            Call::Rejected { error, exec: true } => self.abort(&error, hub, asks),
            Call::Unready => self.refuse(LOADING.as_bytes(), hub),
            Call::Attack => {
                hub.tell(Cause::Http, self.facts.peer, format_args!("words of HTTP on the Redis port; closed"));
                self.end();
            }
            Call::Own { own, spec, arguments } => {
                self.session.last = Last::Own(spec);
                if !self.session.is_logged_in() && !spec.before_login() {
                    return self.refuse_before_login(own == Own::Exec, hub, asks);
                }
                self.carry_out_own(own, arguments, commands, hub, asks);
            }
            Call::Engine { place, writes, arguments } => {
                self.session.last = Last::Engine(place);
                if !self.session.is_logged_in() {
                    return self.refuse_before_login(false, hub, asks);
                }
                if self.session.transaction.is_some() {
                    return self.queue(Part::Engine(arguments), hub);
                }
                if hub.is_full() {
                    return self.refuse(NO_ROOM, hub);
                }
                let turn = if writes { Turn::Write } else { Turn::Read };
                let body = RequestBody::Command { arguments, consistency: self.consistency(), id: None };
                self.ask(body, Expect::Value, turn, hub, asks);
            }
        }
    }

    fn carry_out_own(
        &mut self,
        own: Own,
        arguments: Vec<Bytes>,
        commands: &Commands,
        hub: &Rc<Hub>,
        asks: &mut Vec<Ask>,
    ) {
        let queues = self.session.transaction.is_some();
        match own {
            Own::Quit => {
                self.answer_now(|out, protocol| Writer::new(out, protocol).ok());
                self.end();
            }
            Own::Reset => {
                self.forget_watch(hub, asks);
                self.session = Session::new(hub.options.users.is_empty());
                self.answer_now(|out, protocol| Writer::new(out, protocol).simple("RESET"));
            }
            Own::Multi => self.multi(hub),
            Own::Exec => self.exec(commands, hub, asks),
            Own::Discard => self.discard(hub, asks),
            Own::Watch => self.watch(arguments, hub, asks),
            // A login takes its time, and a transaction is one moment.
            Own::Auth | Own::Hello if queues => self.refuse(b"ERR Command not allowed inside a transaction", hub),
            own if queues => self.queue(Part::Own(own, arguments), hub),
            Own::Auth => match hello::auth(&arguments, !hub.options.users.is_empty()) {
                Ok(login) => self.log_in(login, None, hub),
                Err(error) => self.refuse(error.as_bytes(), hub),
            },
            Own::Hello => match Hello::parse(&arguments) {
                Ok((hello, Some(login))) => self.log_in(login, Some(hello), hub),
                Ok((hello, None)) => {
                    let mut reply = Vec::new();
                    hello.settle(&mut self.session, self.facts.id, &mut reply);
                    self.answer_now(|out, _| out.extend_from_slice(&reply));
                }
                Err(error) => self.refuse(&error, hub),
            },
            Own::Unwatch => {
                self.forget_watch(hub, asks);
                self.answer_now(|out, protocol| Writer::new(out, protocol).ok());
            }
            Own::Info => self.info(Sections::of(&arguments[1..]), commands, hub, asks),
            own => self.answer_own(own, &arguments, commands, hub),
        }
    }

    /// A command that is answered on the spot.
    fn answer_own(&mut self, own: Own, arguments: &[Bytes], commands: &Commands, hub: &Hub) {
        let mut reply = hub.reply.take();
        reply.clear();
        let mut desk = Desk { hub, commands, session: &mut self.session, facts: &self.facts };
        answer(own, arguments, &mut desk, &mut reply);
        self.answer_now(|out, _| out.extend_from_slice(&reply));
        // A long one would be held for good.
        if reply.capacity() <= HELD_BYTES_FAIR {
            hub.reply.replace(reply);
        }
    }

    /// How many keys there are is the engine's to say, under the name that Redis has for it.
    fn info(&mut self, sections: Sections, commands: &Commands, hub: &Rc<Hub>, asks: &mut Vec<Ask>) {
        let knows_keys = matches!(commands.judge(vec![DBSIZE]), Call::Engine { writes: false, .. });
        if sections.want_keys() && knows_keys {
            // Whoever looks at figures wants them now, not right.
            let body = RequestBody::Command { arguments: vec![DBSIZE], consistency: Consistency::Stale, id: None };
            self.ask(body, Expect::Info(sections), Turn::Read, hub, asks);
        } else {
            let text = info::text(&sections, hub, commands, None);
            self.answer_now(|out, protocol| Writer::new(out, protocol).text(&text));
        }
    }

    fn log_in(&mut self, login: Login, hello: Option<Hello>, hub: &Rc<Hub>) {
        let Login { name, password } = login;
        if hub.options.users.is_empty() {
            let right = name == crate::users::DEFAULT.as_bytes();
            return self.tell_login(name, right, hello, hub);
        }
        let (checked, password) = (name.to_vec(), password.to_vec());
        let expect = match hello {
            None => Expect::Auth(name),
            Some(hello) => Expect::Hello(hello, name),
        };
        if !hub.has_room_for_login() {
            return self.refuse(b"TRYAGAIN too many others are logging in", hub);
        }
        self.gate.start(Turn::Alone, 0);
        let sequence = self.pending.push(expect, Turn::Alone, 0);
        hub.check_password(checked, password, self.ticket(sequence));
    }

    // ---- Asking and answering, for this file and `transaction`.

    /// Asks the node.
    pub(crate) fn ask(&mut self, body: RequestBody, expect: Expect, turn: Turn, hub: &Hub, asks: &mut Vec<Ask>) {
        let bytes = body_bytes(&body);
        self.gate.start(turn, bytes);
        let sequence = self.pending.push(expect, turn, bytes);
        let reply = Way::new(&hub.outbox, self.ticket(sequence)).into_reply();
        asks.push(Ask { body, timeout_ms: hub.options.timeout_ms, reply });
    }

    fn ticket(&self, sequence: u64) -> Ticket {
        Ticket { place: self.place, connection: self.facts.id, sequence }
    }

    /// Writes a reply in its place: behind the answers that are still to come.
    pub(crate) fn answer_now(&mut self, reply: impl FnOnce(&mut Vec<u8>, Protocol)) {
        let protocol = self.session.protocol;
        if self.pending.is_empty() {
            reply(self.output.small(), protocol);
        } else {
            self.pending.after_last(|out| reply(out, protocol));
        }
    }

    /// Answers with an error; a transaction that is being prepared comes to nothing.
    pub(crate) fn refuse(&mut self, error: &[u8], hub: &Hub) {
        add(&hub.counters.errors, 1);
        self.session.spoil();
        self.answer_now(|out, protocol| Writer::new(out, protocol).error(error));
    }

    fn refuse_before_login(&mut self, exec: bool, hub: &Hub, asks: &mut Vec<Ask>) {
        if exec {
            self.abort(hello::NO_LOGIN.as_bytes(), hub, asks)
        } else {
            self.refuse(hello::NO_LOGIN.as_bytes(), hub)
        }
    }

    /// While keys are watched, a stale read could miss what happened before they were.
    fn consistency(&self) -> Consistency {
        if self.session.read_only && self.session.watch == Watch::None {
            Consistency::Stale
        } else {
            Consistency::Linearizable
        }
    }

    // ---- Ending.

    /// Nothing more is read.
    fn end(&mut self) {
        self.stage = Stage::Ending { by_client: false };
        self.intake.clear();
    }

    /// The connection's task is dropped. Returns its place.
    pub(crate) fn leave(&mut self, hub: &Hub, asks: &mut Vec<Ask>) -> usize {
        self.forget_watch(hub, asks);
        hub.account(std::mem::take(&mut self.facts.held_bytes), 0);
        self.stage = Stage::Over;
        self.place
    }

    /// Cuts off whoever doesn't go on.
    pub(crate) fn look_after(&mut self, now: Instant, hub: &Hub) {
        let over = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
        match self.stage {
            Stage::Open | Stage::Ending { .. } => {
                if self.transport.is_handshaking() && over(self.facts.opened, HANDSHAKE_TIMEOUT) {
                    self.cut_off(Cause::Tls, "its TLS handshake does not go on", hub);
                } else if self.stuck_since.is_some_and(|since| over(since, STUCK_READER_TIMEOUT)) {
                    self.cut_off(Cause::SlowReader, "it takes nothing of its replies", hub);
                } else if self.starved && self.intake.is_half() && over(self.facts.active, HALF_COMMAND_TIMEOUT) {
                    self.cut_off(Cause::Silence, "half a command, and silence", hub);
                }
            }
            Stage::Lingering { since } if over(since, LINGER) => {
                self.stage = Stage::Over;
                self.wake();
            }
            Stage::Lingering { .. } | Stage::Over => {}
        }
    }

    fn cut_off(&mut self, cause: Cause, why: &str, hub: &Hub) {
        let output_bytes = self.output.bytes();
        hub.tell(cause, self.facts.peer, format_args!("cut off: {why} ({output_bytes} bytes were not taken)"));
        add(&hub.counters.cut_off, 1);
        self.stage = Stage::Over;
        self.wake();
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
        let held = buffers + self.gate.argument_bytes() + self.session.held_bytes();
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

/// While there is no engine.
const LOADING: &str = "LOADING this node is starting, or waits for its engine";
/// While all connections together hold too much.
pub(crate) const NO_ROOM: &[u8] = b"TRYAGAIN this node holds too much for its clients already; nothing was done";
const DBSIZE: Bytes = Bytes::from_static(b"DBSIZE");

/// The error for an answer that is no reply.
pub(crate) fn failure(response: &Response, hub: &Hub) -> String {
    match response {
        Response::Rejected(text) => text.clone(),
        Response::Failed(text) | Response::Invalid(text) => format!("ERR {text}"),
        Response::NotDone(_) if hub.backend.manifest().is_none() => LOADING.to_owned(),
        Response::NotDone(text) => format!("CLUSTERDOWN {text}"),
        Response::Overloaded => "TRYAGAIN too much waits at this node already; nothing was done".to_owned(),
        Response::Unknown(text) => format!("UNKNOWN the outcome is not known, a write may have been done: {text}"),
        Response::Reply(_)
        | Response::Status(_)
        | Response::NodeStatus(_)
        | Response::Engines(_)
        | Response::Upgraded(_)
        | Response::UpgradeRefused(_)
        | Response::Transferred { .. }
        | Response::Done
        | Response::Replies(_)
        | Response::WatchBroken
        | Response::Watching { .. }
        | Response::SessionOpened { .. }
        | Response::SessionGone
        | Response::Forgotten => {
            tracing::error!("an answer to another question than was asked");
            "ERR the node gave an answer to another question".to_owned()
        }
    }
}

/// What a request holds, in bytes.
fn body_bytes(body: &RequestBody) -> usize {
    match body {
        RequestBody::Command { arguments, .. } => held_bytes(arguments),
        RequestBody::Transaction { commands, .. } => commands.iter().map(|arguments| held_bytes(arguments)).sum(),
        RequestBody::Watch { keys, .. } => held_bytes(keys),
        // Nothing of a client's.
        RequestBody::Status
        | RequestBody::NodeStatus
        | RequestBody::EngineList
        | RequestBody::EngineUpgrade { .. }
        | RequestBody::LeaderTransfer { .. }
        | RequestBody::Control { .. }
        | RequestBody::Unwatch { .. }
        | RequestBody::SessionOpen
        | RequestBody::SessionClose { .. } => 0,
    }
}
