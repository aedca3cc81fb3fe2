//! Carrying out what a connection asks: its turn, who answers, and what the node is asked.

use super::tell::Expect;
use super::{Connection, Stage};
use crate::backend::Ask;
use crate::commands::answer::{Desk, answer};
use crate::commands::hello::{self, Hello, Login};
use crate::commands::info::{self, Sections};
use crate::commands::own::{Flow, Own, Spot};
use crate::commands::{Call, Commands};
use crate::gate::Turn;
use crate::http;
use crate::hub::{Hub, add};
use crate::intake::Request;
use crate::limits::HELD_BYTES_FAIR;
use crate::outbox::{Ticket, Way};
use crate::request::ProtocolError;
use crate::resp::{Protocol, Writer};
use crate::session::{Last, Part, Session, Watch, held_bytes};
use crate::told::Cause;
use bytes::Bytes;
use outboard_wire::client::{Consistency, RequestBody};
use std::rc::Rc;

/// The first byte of a TLS handshake, and of no command.
const TLS_HANDSHAKE: u8 = 0x16;
/// While there is no engine.
pub(super) const LOADING: &str = "LOADING this node is starting, or waits for its engine";
/// While all connections together hold too much.
pub(super) const NO_ROOM: &[u8] = b"TRYAGAIN this node holds too much for its clients already; nothing was done";
/// INFO waits so long for the number of keys, in milliseconds, then it does without.
const KEYS_TIMEOUT_MS: u32 = 500;
/// What Redis calls the command that counts the keys.
const DBSIZE: Bytes = Bytes::from_static(b"DBSIZE");

impl Connection {
    /// The next command of what came; none when it is all used up, or the connection ends over it.
    pub(super) fn next_call(&mut self, commands: &Commands, hub: &Hub) -> Option<Call> {
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
    pub(super) fn turn(&self, call: &Call) -> Turn {
        let queues = self.session.transaction.is_some();
        match call {
            Call::Own { own: Own::Flow(Flow::Reset), .. } => Turn::Alone,
            Call::Own { own: Own::Flow(Flow::Exec), .. } => {
                let asks = self.session.transaction.as_ref().is_some_and(|queue| !queue.spoilt);
                if asks { Turn::Write } else { Turn::Any }
            }
            Call::Own { own: Own::Flow(Flow::Auth | Flow::Hello | Flow::Watch) | Own::Spot(Spot::Wait), .. }
                if !queues =>
            {
                Turn::Alone
            }
            Call::Own { own: Own::Spot(Spot::Info), .. } | Call::Engine { writes: false, .. } if !queues => Turn::Read,
            Call::Engine { writes: true, .. } if !queues => Turn::Write,
            Call::Own { .. } | Call::Engine { .. } | Call::Rejected { .. } | Call::Unready | Call::Attack => Turn::Any,
        }
    }

    /// Carries out a command whose turn it is.
    pub(super) fn carry_out(&mut self, call: Call, commands: &Commands, hub: &Rc<Hub>, asks: &mut Vec<Ask>) {
        match call {
            Call::Rejected { error, exec: false } => self.refuse(&error, hub),
            Call::Rejected { error, exec: true } => self.abort(&error, hub, asks),
            Call::Unready if !self.session.is_logged_in() => self.refuse_before_login(false, hub, asks),
            Call::Unready => self.refuse(LOADING.as_bytes(), hub),
            Call::Attack => {
                hub.tell(Cause::Http, self.facts.peer, format_args!("words of HTTP on the Redis port; closed"));
                self.end();
            }
            Call::Own { own, spec, arguments } => {
                self.session.last = Last::Own(spec);
                if !self.session.is_logged_in() && !spec.before_login() {
                    return self.refuse_before_login(own == Own::Flow(Flow::Exec), hub, asks);
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
            // A login takes its time, and a transaction is one moment.
            Own::Flow(Flow::Auth | Flow::Hello) if queues => {
                self.refuse(b"ERR Command not allowed inside a transaction", hub);
            }
            Own::Flow(flow) => self.carry_out_flow(flow, arguments, commands, hub, asks),
            Own::Spot(spot) if queues => self.queue(Part::Own(spot, arguments), hub),
            Own::Spot(Spot::Info) => self.info(Sections::of(&arguments[1..]), commands, hub, asks),
            Own::Spot(Spot::Unwatch) => {
                self.forget_watch(hub, asks);
                self.answer_now(|out, protocol| Writer::new(out, protocol).ok());
            }
            Own::Spot(spot) => self.answer_spot(spot, &arguments, commands, hub),
        }
    }

    fn carry_out_flow(
        &mut self,
        flow: Flow,
        arguments: Vec<Bytes>,
        commands: &Commands,
        hub: &Rc<Hub>,
        asks: &mut Vec<Ask>,
    ) {
        match flow {
            Flow::Auth => match hello::auth(&arguments, !hub.options.users.is_empty()) {
                Ok(login) => self.log_in(login, None, hub),
                Err(error) => self.refuse(error.as_bytes(), hub),
            },
            Flow::Hello => self.hello(&arguments, hub),
            Flow::Multi => self.multi(hub),
            Flow::Exec => self.exec(commands, hub, asks),
            Flow::Discard => self.discard(hub, asks),
            Flow::Watch => self.watch(arguments, hub, asks),
            Flow::Reset => {
                self.forget_watch(hub, asks);
                self.session = Session::new(hub.options.users.is_empty());
                self.answer_now(|out, protocol| Writer::new(out, protocol).simple("RESET"));
            }
            Flow::Quit => {
                self.answer_now(|out, protocol| Writer::new(out, protocol).ok());
                self.end();
            }
        }
    }

    fn hello(&mut self, arguments: &[Bytes], hub: &Rc<Hub>) {
        match Hello::parse(arguments) {
            Ok((hello, Some(login))) => self.log_in(login, Some(hello), hub),
            Ok((hello, None)) => {
                let mut reply = Vec::new();
                hello.settle(&mut self.session, self.facts.id, &mut reply);
                self.answer_now(|out, _| out.extend_from_slice(&reply));
            }
            Err(error) => self.refuse(&error, hub),
        }
    }

    /// A command that is answered on the spot.
    fn answer_spot(&mut self, spot: Spot, arguments: &[Bytes], commands: &Commands, hub: &Hub) {
        let mut reply = hub.reply.take();
        reply.clear();
        let mut desk = Desk { hub, commands, session: &mut self.session, facts: &self.facts };
        answer(spot, arguments, &mut desk, &mut reply);
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
            let ask = asks.last_mut().expect("just asked");
            ask.timeout_ms = ask.timeout_ms.min(KEYS_TIMEOUT_MS);
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

    /// Asks the node.
    pub(super) fn ask(&mut self, body: RequestBody, expect: Expect, turn: Turn, hub: &Hub, asks: &mut Vec<Ask>) {
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
    pub(super) fn answer_now(&mut self, reply: impl FnOnce(&mut Vec<u8>, Protocol)) {
        let protocol = self.session.protocol;
        if self.pending.is_empty() {
            reply(self.output.small(), protocol);
        } else {
            self.pending.after_last(|out| reply(out, protocol));
        }
    }

    /// Answers with an error; a transaction that is being prepared comes to nothing.
    pub(super) fn refuse(&mut self, error: &[u8], hub: &Hub) {
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
        | RequestBody::SessionClose { .. }
        | RequestBody::MemberList
        | RequestBody::MemberChange { .. }
        | RequestBody::Access(_)
        | RequestBody::AccessLists
        | RequestBody::Renew { .. } => 0,
    }
}
