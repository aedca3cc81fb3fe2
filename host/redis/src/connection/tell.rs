//! Telling a connection what came back, in the order of its commands.

use super::Connection;
use super::carry::LOADING;
use super::transaction::Plan;
use crate::backend::Ask;
use crate::commands::hello::{self, Hello};
use crate::commands::info::{self, Sections};
use crate::hub::{Hub, add};
use crate::limits::REPLY_BYTES_COPIED;
use crate::outbox::Word;
use crate::request::integer;
use crate::resp::{Protocol, Writer, convert, is_resp2};
use crate::told::Cause;
use bytes::Bytes;
use outboard_wire::client::Response;
use std::rc::Rc;

/// What becomes of an answer.
#[derive(Debug)]
pub(super) enum Expect {
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

impl Connection {
    pub(super) fn tell_answers(&mut self, hub: &Rc<Hub>, asks: &mut Vec<Ask>) {
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
            convert(&value, self.output.small());
        } else if value.len() >= REPLY_BYTES_COPIED {
            self.output.large(value);
        } else {
            self.output.small().extend_from_slice(&value);
        }
    }

    pub(super) fn tell_failure(&mut self, response: &Response, hub: &Hub) {
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

    pub(super) fn tell_login(&mut self, user: Bytes, right: bool, hello: Option<Hello>, hub: &Hub) {
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
    pub(super) fn tell_reply(&mut self, reply: Vec<u8>) {
        if reply.len() >= REPLY_BYTES_COPIED {
            self.output.large(reply.into());
        } else {
            self.output.small().extend_from_slice(&reply);
        }
    }

    /// Writes a reply behind all that was told.
    pub(super) fn tell(&mut self, reply: impl FnOnce(&mut Writer<'_>)) {
        let protocol = self.session.protocol;
        reply(&mut Writer::new(self.output.small(), protocol));
    }
}

/// The error for an answer that is no reply.
pub(super) fn failure(response: &Response, hub: &Hub) -> String {
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
        | Response::Forgotten
        | Response::Members(_)
        | Response::Enrolled(_)
        | Response::EnrolRefused(_)
        | Response::ChangeRefused { .. }
        | Response::AccessLists(_)
        | Response::Forbidden(_)
        | Response::Certificate { .. } => {
            tracing::error!("an answer to another question than was asked");
            "ERR the node gave an answer to another question".to_owned()
        }
    }
}
