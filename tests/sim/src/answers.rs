//! What clients make of answers: one more attempt, an entry in the history, the next question.

use crate::checks::{Checked, violation};
use crate::clients::{Attempt, PAIR, Purpose, Session, command, name};
use crate::history::{Kind, Operation, Seen};
use crate::mutation::Mutation;
use crate::plan::MILLI;
use crate::world::{Step, World};
use outboard_wire::client::{Consistency, RequestBody, Response};

impl World<'_> {
    pub(crate) fn on_answer(&mut self, purpose: Purpose, response: Response) -> Checked {
        match purpose {
            Purpose::Operation { client } => self.on_attempt_answered(client, response)?,
            Purpose::Session { client } => {
                if let Response::SessionOpened { session } = response {
                    self.clients[client].session = Some(Session { number: session, next: 1 });
                }
                self.ask_next(client, self.clients[client].session.is_none());
            }
            Purpose::Watch { client, key } => {
                if let Response::Watching { watcher } = response {
                    let node = self.node_for(client);
                    let read = command(Kind::Get.arguments(&name(key)), Consistency::Linearizable, None);
                    let request = self.request(read);
                    self.ask(node, request, Purpose::Watched { client, key, watcher });
                } else {
                    self.ask_next(client, true);
                }
            }
            Purpose::Watched { client, key, watcher } => {
                let value = if let Response::Reply(reply) = &response { Kind::Get.seen(reply) } else { None };
                let node = self.node_for(client);
                if let (Some(Seen::Value(Some(value))), true) = (value, self.heal.is_none()) {
                    let new = (self.operations.len() as i64 + 1) * 1_000;
                    self.begin_with(client, node, key, Kind::Cas(value, new), Some(watcher));
                } else {
                    let request = self.request(RequestBody::Unwatch { watcher });
                    self.ask(node, request, Purpose::Operator);
                    self.ask_next(client, false);
                }
            }
            Purpose::Probe { node, operation } => {
                self.settle_operation(operation, response, false)?;
                self.on_probe_answer(node, operation)?;
            }
            Purpose::Stale { client, key } => {
                self.check_stale(key, &response)?;
                self.ask_next(client, !matches!(response, Response::Reply(_)));
            }
            Purpose::Trap { client } => self.ask_next(client, false),
            Purpose::Stage(digest) => self.on_staged(digest, &response),
            Purpose::Upgrade { digest } => self.on_upgrade_answered(digest, &response),
            Purpose::Errand => self.on_errand_answered(response)?,
            Purpose::Operator => {
                self.figures.transfers += u64::from(matches!(response, Response::Transferred { .. }));
            }
        }
        Ok(())
    }

    fn ask_next(&mut self, client: usize, disappointed: bool) {
        if disappointed {
            self.clients[client].node = None;
        }
        let rest = self.chances.clients.scale(MILLI, self.plan.rest_us);
        self.plan_in(rest, Step::Ask { client });
    }

    /// The outcome, or one more attempt.
    fn on_attempt_answered(&mut self, client: usize, response: Response) -> Checked {
        let Some(attempt) = &mut self.clients[client].attempt else { return Ok(()) };
        let unknown = matches!(response, Response::Unknown(_));
        let undecided = unknown || response.is_safe_to_retry();
        attempt.maybe_done |= unknown;
        if undecided && attempt.left > 0 && self.heal.is_none() {
            attempt.left -= 1;
            self.figures.retries += 1;
            self.ask_next(client, true);
            return Ok(());
        }
        let Attempt { operation, maybe_done, .. } = attempt.clone();
        self.clients[client].attempt = None;
        if response == Response::SessionGone {
            self.clients[client].session = None;
        }
        self.settle_operation(operation, response, maybe_done)?;
        let settled = &self.operations[operation];
        if let Some((_, seen)) = settled.answered
            && let Some(value) = settled.kind.leaves(seen)
        {
            self.clients[client].seen.insert(settled.key, value);
        }
        self.ask_next(client, undecided);
        Ok(())
    }

    /// What the history has to hold of it.
    fn settle_operation(&mut self, number: usize, response: Response, maybe_done: bool) -> Checked {
        let at = self.moment();
        let operation = &mut self.operations[number];
        match response {
            Response::Reply(_) | Response::Replies(_) => match seen_in(operation, &response) {
                Some(seen) => operation.answered = Some((at, seen)),
                None => return violation("answers", format!("{operation} was answered {response:?}")),
            },
            // Decided, and for a numbered request alike each time.
            Response::Rejected(_) | Response::Failed(_) | Response::WatchBroken => operation.without_effect = true,
            // This attempt did nothing.
            Response::NotDone(_) | Response::Overloaded | Response::Invalid(_) | Response::SessionGone => {
                operation.without_effect = !maybe_done;
            }
            Response::Unknown(_) => {
                if self.plan.mutation == Some(Mutation::WritesInvented)
                    && let Kind::Set(_) = operation.kind
                {
                    operation.answered = Some((at, Seen::Done));
                }
            }
            // Done, but what came of it is forgotten.
            Response::Forgotten => {}
            Response::Status(_)
            | Response::NodeStatus(_)
            | Response::Engines(_)
            | Response::Upgraded(_)
            | Response::UpgradeRefused(_)
            | Response::Transferred { .. }
            | Response::Watching { .. }
            | Response::SessionOpened { .. }
            | Response::Done
            | Response::Members(_)
            | Response::Enrolled(_)
            | Response::EnrolRefused(_)
            | Response::ChangeRefused { .. }
            | Response::AccessLists(_)
            | Response::Forbidden(_)
            | Response::Certificate { .. } => {
                return violation("answers", format!("{operation} was answered {response:?}"));
            }
        }
        let operation = &self.operations[number];
        self.figures.answered += u64::from(operation.answered.is_some());
        self.figures.unknown += u64::from(operation.answered.is_none() && !operation.without_effect);
        self.figures.refused += u64::from(operation.without_effect);
        Ok(())
    }

    /// An old value is fine, one that nobody has written is not.
    fn check_stale(&mut self, key: u64, response: &Response) -> Checked {
        let Response::Reply(reply) = response else { return Ok(()) };
        let Some(Seen::Value(value)) = Kind::Get.seen(reply) else {
            return violation("answers", format!("a stale read of k{key} was answered {reply:?}"));
        };
        let Some(value) = value else { return Ok(()) };
        // A counter goes on from what was set, one or two for each question.
        let written = |operation: &Operation| {
            operation.key == key
                && match operation.kind {
                    Kind::Set(set) | Kind::Cas(_, set) => (set..set + 1_000).contains(&value),
                    Kind::Add(_) => value < 1_000,
                    Kind::Get | Kind::Del => false,
                }
        };
        if self.operations.iter().any(written) {
            return Ok(());
        }
        violation("stale reads", format!("k{key} was read as {value}, which nobody wrote"))
    }
}

/// What a reply, or the replies of a transaction, tell about an operation; nothing if they make no sense.
fn seen_in(operation: &Operation, response: &Response) -> Option<Seen> {
    match (response, operation.kind) {
        (Response::Reply(reply), kind) => kind.seen(reply),
        (Response::Replies(replies), kind) => match (&replies[..], kind) {
            ([reply], Kind::Cas(_, new)) => (Kind::Set(new).seen(reply)? == Seen::Done).then_some(Seen::Number(1)),
            ([one, two], Kind::Add(2)) => match (Kind::Add(1).seen(one)?, Kind::Add(1).seen(two)?) {
                (Seen::Number(one), Seen::Number(two)) if one + 1 == two => Some(Seen::Number(two)),
                _ => None,
            },
            // Both keys of the pair, written together, hold the same.
            ([one, two], Kind::Get | Kind::Set(_)) if operation.key == PAIR => {
                let (one, two) = (kind.seen(one)?, kind.seen(two)?);
                (one == two).then_some(one)
            }
            _ => None,
        },
        _ => None,
    }
}
