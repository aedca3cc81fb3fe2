//! MULTI, EXEC, DISCARD, WATCH and UNWATCH on one connection.
//!
//! What is queued goes to the node as one entry of the log: all of it is done or none, and nothing of others stands in between. The
//! gateway's own commands in it are answered when the engine's replies are here, in their places. WATCH registers the keys in the
//! replicated state, so what breaks it is judged where the transaction is applied, whichever node leads by then.
//!
//! Where this differs from Redis: a command that the engine refuses undoes the whole transaction (EXECABORT); and EXEC without any command of
//! the engine asks the node for nothing, so it doesn't tell whether watched keys were written.

use super::Connection;
use super::carry::NO_ROOM;
use super::tell::{Expect, failure};
use crate::backend::Ask;
use crate::commands::Commands;
use crate::commands::answer::{Desk, answer};
use crate::commands::own::Spot;
use crate::gate::Turn;
use crate::hub::{Hub, add};
use crate::resp::Writer;
use crate::session::{Part, Queue, Watch};
use bytes::Bytes;
use outboard_wire::client::{RequestBody, Response};
use std::rc::Rc;

/// The commands of a transaction that is under way, in order.
#[derive(Debug)]
pub(super) struct Plan(Vec<Step>);

/// One of them.
#[derive(Debug)]
enum Step {
    /// The engine's next reply.
    Engine,
    /// The gateway answers.
    Own(Spot, Vec<Bytes>),
}

const SPOILT: &[u8] = b"EXECABORT Transaction discarded because of previous errors.";

impl Connection {
    pub(super) fn multi(&mut self, hub: &Hub) {
        if self.session.transaction.is_some() {
            // Not worth the transaction, as Redis sees it.
            add(&hub.counters.errors, 1);
            return self
                .answer_now(|out, protocol| Writer::new(out, protocol).error("ERR MULTI calls can not be nested"));
        }
        self.session.transaction = Some(Queue::default());
        self.answer_now(|out, protocol| Writer::new(out, protocol).ok());
    }

    /// A command between MULTI and EXEC.
    pub(super) fn queue(&mut self, part: Part, hub: &Hub) {
        let queue = self.session.transaction.as_mut().expect("only a transaction queues");
        match queue.push(part) {
            Ok(()) => self.answer_now(|out, protocol| Writer::new(out, protocol).simple("QUEUED")),
            Err(error) => self.refuse(error.to_string().as_bytes(), hub),
        }
    }

    pub(super) fn discard(&mut self, hub: &Hub, asks: &mut Vec<Ask>) {
        if self.session.transaction.take().is_none() {
            return self.refuse(b"ERR DISCARD without MULTI", hub);
        }
        self.forget_watch(hub, asks);
        self.answer_now(|out, protocol| Writer::new(out, protocol).ok());
    }

    /// EXEC itself was refused.
    pub(super) fn abort(&mut self, error: &[u8], hub: &Hub, asks: &mut Vec<Ask>) {
        if self.session.transaction.take().is_some() {
            self.forget_watch(hub, asks);
        }
        let error = error.strip_prefix(b"ERR ").unwrap_or(error);
        self.refuse(&[b"EXECABORT Transaction discarded because of: ", error].concat(), hub);
    }

    pub(super) fn exec(&mut self, commands: &Commands, hub: &Rc<Hub>, asks: &mut Vec<Ask>) {
        let Some(queue) = self.session.transaction.take() else { return self.refuse(b"ERR EXEC without MULTI", hub) };
        if queue.spoilt {
            self.forget_watch(hub, asks);
            return self.refuse(SPOILT, hub);
        }
        let (mut engine, mut steps) = (Vec::new(), Vec::with_capacity(queue.parts.len()));
        for part in queue.parts {
            steps.push(match part {
                Part::Own(own, arguments) => Step::Own(own, arguments),
                Part::Engine(arguments) => {
                    engine.push(arguments);
                    Step::Engine
                }
            });
        }
        let plan = Plan(steps);
        if self.session.watch == Watch::Broken {
            self.session.watch = Watch::None;
            return self.answer_now(|out, protocol| Writer::new(out, protocol).nil_array());
        }
        if !engine.is_empty() && hub.is_full() {
            self.forget_watch(hub, asks);
            return self.refuse(NO_ROOM, hub);
        }
        if engine.is_empty() {
            self.forget_watch(hub, asks);
            let mut reply = Vec::new();
            self.write_replies(plan, Vec::new(), commands, hub, &mut reply);
            return self.answer_now(|out, _| out.extend_from_slice(&reply));
        }
        // The node uses the watcher up, whatever comes of it.
        let watcher = match std::mem::take(&mut self.session.watch) {
            Watch::By(watcher) => Some(watcher),
            Watch::None | Watch::Broken => None,
        };
        let body = RequestBody::Transaction { commands: engine, watcher, id: None };
        self.ask(body, Expect::Transaction(plan), Turn::Write, hub, asks);
    }

    pub(super) fn tell_transaction(&mut self, plan: Plan, response: Response, hub: &Hub) {
        match response {
            Response::Replies(replies) => {
                let mut reply = Vec::new();
                self.write_replies(plan, replies, &hub.commands(), hub, &mut reply);
                self.tell_reply(reply);
            }
            Response::WatchBroken => self.tell(|writer| writer.nil_array()),
            response @ (Response::Rejected(_) | Response::Failed(_)) => {
                add(&hub.counters.errors, 1);
                let why = failure(&response, hub);
                let why = why.strip_prefix("ERR ").unwrap_or(&why);
                self.tell(|writer| writer.error(format!("EXECABORT Transaction discarded because of: {why}")));
            }
            // Not done, or perhaps done: neither is an abort.
            response @ (Response::NotDone(_)
            | Response::Overloaded
            | Response::Unknown(_)
            | Response::Invalid(_)
            | Response::Reply(_)
            | Response::Status(_)
            | Response::NodeStatus(_)
            | Response::Engines(_)
            | Response::Upgraded(_)
            | Response::UpgradeRefused(_)
            | Response::Transferred { .. }
            | Response::Done
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
            | Response::Certificate { .. }) => self.tell_failure(&response, hub),
        }
    }

    fn write_replies(&mut self, plan: Plan, replies: Vec<Bytes>, commands: &Commands, hub: &Hub, out: &mut Vec<u8>) {
        let protocol = self.session.protocol;
        let Plan(steps) = plan;
        let asked = steps.iter().filter(|step| matches!(step, Step::Engine)).count();
        if asked != replies.len() {
            tracing::error!(asked, answered = replies.len(), "a transaction's replies don't fit its commands");
            return Writer::new(out, protocol)
                .error("UNKNOWN the transaction was done, but its replies are not those of its commands");
        }
        let mut replies = replies.into_iter();
        Writer::new(out, protocol).array(steps.len());
        for step in steps {
            match step {
                Step::Engine => Writer::new(out, protocol).value(&replies.next().expect("counted above")),
                Step::Own(own, arguments) => {
                    let mut desk = Desk { hub, commands, session: &mut self.session, facts: &self.facts };
                    answer(own, &arguments, &mut desk, out);
                }
            }
        }
    }

    pub(super) fn watch(&mut self, arguments: Vec<Bytes>, hub: &Hub, asks: &mut Vec<Ask>) {
        if self.session.transaction.is_some() {
            add(&hub.counters.errors, 1);
            let error = "ERR WATCH inside MULTI is not allowed";
            return self.answer_now(|out, protocol| Writer::new(out, protocol).error(error));
        }
        let watcher = match self.session.watch {
            Watch::By(watcher) => Some(watcher),
            Watch::None => None,
            // Nothing can mend it before EXEC.
            Watch::Broken => return self.answer_now(|out, protocol| Writer::new(out, protocol).ok()),
        };
        if hub.is_full() {
            self.forget_watch(hub, asks);
            self.session.watch = Watch::Broken;
            return self.refuse(NO_ROOM, hub);
        }
        let body = RequestBody::Watch { watcher, keys: arguments[1..].to_vec() };
        self.ask(body, Expect::Watch, Turn::Alone, hub, asks);
    }

    pub(super) fn tell_watch(&mut self, response: &Response, hub: &Hub, asks: &mut Vec<Ask>) {
        if let Response::Watching { watcher } = response {
            self.session.watch = Watch::By(*watcher);
            return self.tell(|writer| writer.ok());
        }
        // A client that doesn't look at this error must still not carry out its transaction.
        self.forget_watch(hub, asks);
        self.session.watch = Watch::Broken;
        add(&hub.counters.errors, 1);
        let error = failure(response, hub);
        self.tell(|writer| writer.error(error));
    }

    /// Nothing is watched any more.
    pub(super) fn forget_watch(&mut self, hub: &Hub, asks: &mut Vec<Ask>) {
        if let Watch::By(watcher) = std::mem::take(&mut self.session.watch) {
            hub.unwatch(watcher, asks);
        }
    }
}
