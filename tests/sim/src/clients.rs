//! Clients: each asks one thing after another, of any node, and keeps what it was told. Some number their requests within a
//! session and send them again until they are answered: then nothing may be done twice, and nothing is unknown for long.
//!
//! What is said decides what the history holds: an answer, an outcome that is not known, or no effect at all.

use crate::checks::Checked;
use crate::history::{Kind, Operation};
use crate::mutation::Mutation;
use crate::node::Input;
use crate::plan::{Fault, MILLI};
use crate::random::Random;
use crate::world::{Step, World};
use bytes::Bytes;
use outboard_wire::client::{Consistency, Request, RequestBody, RequestId, Response};
use outboard_wire::command::Digest;
use std::collections::BTreeMap;

/// A client gives up so long after the node's own time is over, in microseconds.
const PATIENCE_US: u64 = 500 * MILLI;
/// How long a node may try one request, in simulated milliseconds.
const TIMEOUT_MS: [u32; 4] = [150, 500, 1_000, 3_000];
/// A numbered request is sent no more often than this.
const ATTEMPTS_MAX: u32 = 8;
/// Two keys that are only written and read together, in one transaction each; the history knows the first.
pub(crate) const PAIR: u64 = 800;

/// Names one request.
pub(crate) type Ticket = u64;

/// One client.
pub(crate) struct Client {
    number: u64,
    /// It stays with a node until that one disappoints it.
    pub(crate) node: Option<usize>,
    /// The value that it saw last under each key.
    pub(crate) seen: BTreeMap<u64, i64>,
    pub(crate) session: Option<Session>,
    /// What it is about to have done.
    pub(crate) attempt: Option<Attempt>,
}

#[derive(Copy, Clone)]
pub(crate) struct Session {
    pub(crate) number: u64,
    pub(crate) next: u64,
}

/// An operation, sent for the first time or again.
#[derive(Clone)]
pub(crate) struct Attempt {
    pub(crate) operation: usize,
    body: RequestBody,
    pub(crate) left: u32,
    /// An earlier attempt may have done it.
    pub(crate) maybe_done: bool,
}

/// A request that has no outcome yet.
pub(crate) struct Asked {
    purpose: Purpose,
    request: Option<Request>,
}

/// Why something was asked.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    /// By a client; the number of the operation in the history.
    Operation {
        client: usize,
    },
    /// A client wants to number its requests.
    Session {
        client: usize,
    },
    /// A client watches a key, then reads it, then writes it if nobody else did.
    Watch {
        client: usize,
        key: u64,
    },
    Watched {
        client: usize,
        key: u64,
        watcher: u64,
    },
    /// A probe of the healed cluster.
    Probe {
        node: usize,
        operation: usize,
    },
    /// A read that may be old.
    Stale {
        client: usize,
        key: u64,
    },
    /// A command that is to fail.
    Trap {
        client: usize,
    },
    /// An engine is made known.
    Stage(Digest),
    /// An upgrade.
    Upgrade {
        digest: Digest,
    },
    /// The members, or one who is to be one.
    Errand,
    /// Anything else of the operator's.
    Operator,
}

impl Client {
    pub(crate) fn new(number: u64) -> Client {
        Client { number, node: None, seen: BTreeMap::new(), session: None, attempt: None }
    }

    /// The number of the next request, in a session.
    fn next_id(&mut self) -> Option<RequestId> {
        let Session { number: session, next } = self.session.as_mut()?;
        let sequence = *next;
        *next += 1;
        // It asks one thing after another: what came before is answered, or nobody waits for it any more.
        Some(RequestId { session: *session, sequence, settled_below: sequence })
    }
}

impl Operation {
    /// Whether the history has to explain it.
    pub(crate) fn counts(&self) -> bool {
        !self.without_effect && (self.answered.is_some() || self.kind.writes())
    }
}

impl World<'_> {
    pub(crate) fn moment(&mut self) -> u64 {
        self.moments += 1;
        self.moments
    }

    /// A client asks the next thing, or the same one again.
    pub(crate) fn on_ask(&mut self, client: usize) -> Checked {
        if self.heal.is_some() {
            return Ok(());
        }
        let node = self.node_for(client);
        if self.clients[client].attempt.is_some() {
            self.send_attempt(client, node);
        } else if (self.operations.len() as u64) < self.plan.operations_max {
            self.ask_something(client, node);
        }
        Ok(())
    }

    pub(crate) fn node_for(&mut self, client: usize) -> usize {
        let random = &mut self.chances.clients;
        let node = match self.clients[client].node {
            Some(node) if !random.percent(10) => node,
            Some(_) | None => random.below(self.nodes.len() as u64) as usize,
        };
        self.clients[client].node = Some(node);
        node
    }

    fn ask_something(&mut self, client: usize, node: usize) {
        if self.plan.sessions && self.clients[client].session.is_none() {
            let request = self.request(RequestBody::SessionOpen);
            return self.ask(node, request, Purpose::Session { client });
        }
        if self.comes(Fault::Trap) {
            let words = self.trap();
            let request = self.request(command(words, Consistency::Linearizable, None));
            return self.ask(node, request, Purpose::Trap { client });
        }
        let random = &mut self.chances.clients;
        let key = random.below(self.plan.keys);
        match random.below(100) {
            0..=4 => {
                let request = self.request(command(Kind::Get.arguments(&name(key)), Consistency::Stale, None));
                self.ask(node, request, Purpose::Stale { client, key });
            }
            5..=9 => {
                let request = self.request(RequestBody::Watch { watcher: None, keys: vec![name(key).into()] });
                self.ask(node, request, Purpose::Watch { client, key });
            }
            10..=14 => self.begin(client, node, PAIR),
            _ => self.begin(client, node, key),
        }
    }

    /// Another operation of the history.
    fn begin(&mut self, client: usize, node: usize, key: u64) {
        let seen = self.clients[client].seen.get(&key).copied();
        // Far apart, so that counting from one never comes to another.
        let value = (self.operations.len() as i64 + 1) * 1_000;
        let kind = some_kind(&mut self.chances.clients, seen, value, key == PAIR);
        self.begin_with(client, node, key, kind, None);
    }

    pub(crate) fn begin_with(&mut self, client: usize, node: usize, key: u64, kind: Kind, watcher: Option<u64>) {
        let operation = self.note_operation(self.clients[client].number, key, kind, node);
        let id = if kind.writes() { self.clients[client].next_id() } else { None };
        let body = self.body(key, kind, watcher, id);
        // Only what is numbered may be sent again.
        let left = if id.is_some() { self.chances.clients.below(u64::from(ATTEMPTS_MAX)) as u32 } else { 0 };
        self.clients[client].attempt = Some(Attempt { operation, body, left, maybe_done: false });
        self.send_attempt(client, node);
    }

    fn body(&self, key: u64, kind: Kind, watcher: Option<u64>, id: Option<RequestId>) -> RequestBody {
        let arguments = |key: u64| encoded(kind.arguments(&name(key)));
        match (kind, watcher) {
            (Kind::Cas(_, new), Some(_)) => {
                let commands = vec![encoded(Kind::Set(new).arguments(&name(key)))];
                RequestBody::Transaction { commands, watcher, id }
            }
            (Kind::Add(2), _) => {
                let step = encoded(Kind::Add(1).arguments(&name(key)));
                RequestBody::Transaction { commands: vec![step.clone(), step], watcher: None, id }
            }
            _ if key == PAIR => {
                RequestBody::Transaction { commands: vec![arguments(PAIR), arguments(PAIR + 1)], watcher: None, id }
            }
            _ => {
                let broken = self.plan.mutation == Some(Mutation::StaleReads) && !kind.writes();
                // Some are carried out by the node that they reach, and must be as good.
                let consistency = match self.operations.len() % 3 {
                    _ if broken => Consistency::Stale,
                    0 => Consistency::Follower,
                    _ => Consistency::Linearizable,
                };
                RequestBody::Command { arguments: arguments(key), consistency, id }
            }
        }
    }

    fn send_attempt(&mut self, client: usize, node: usize) {
        let Some(attempt) = &self.clients[client].attempt else { return };
        let body = attempt.body.clone();
        let request = self.request(body);
        self.ask(node, request, Purpose::Operation { client });
    }

    pub(crate) fn note_operation(&mut self, client: u64, key: u64, kind: Kind, node: usize) -> usize {
        let asked = self.moment();
        let node = node as u64 + 1;
        self.operations.push(Operation { client, key, kind, asked, answered: None, node, without_effect: false });
        self.operations.len() - 1
    }

    pub(crate) fn probe(&mut self, node: usize, key: u64, kind: Kind) {
        let operation = self.note_operation(key, key, kind, node);
        let request = self.request(command(kind.arguments(&name(key)), Consistency::Linearizable, None));
        self.ask(node, request, Purpose::Probe { node, operation });
    }

    pub(crate) fn request(&mut self, body: RequestBody) -> Request {
        Request { timeout_ms: *self.chances.clients.pick(&TIMEOUT_MS), body }
    }

    /// A request sets out for a node.
    pub(crate) fn ask(&mut self, node: usize, request: Request, purpose: Purpose) {
        let ticket = self.moment();
        self.figures.requests += 1;
        let (low, high) = self.plan.latency_us;
        let way = self.chances.clients.between(low, high);
        let give_up = u64::from(request.timeout_ms) * 1_000 + PATIENCE_US;
        self.trace.note(&[13, self.now, node as u64, ticket]);
        self.trace.say(self.now, || format!("request {ticket} to n{}: {} ({purpose:?})", node + 1, told(&request)));
        self.tickets.insert(ticket, Asked { purpose, request: Some(request) });
        self.plan_in(way, Step::RequestArrive { ticket, node });
        self.plan_in(give_up, Step::GiveUp { ticket });
    }

    pub(crate) fn on_request_arrive(&mut self, ticket: Ticket, node: usize) -> Checked {
        if self.comes(Fault::Loss) {
            return Ok(());
        }
        let Some(request) = self.tickets.get_mut(&ticket).and_then(|asked| asked.request.take()) else { return Ok(()) };
        if self.nodes[node].live.is_some() {
            self.give(node, Input::Request { ticket, request });
        } else {
            // Nobody listens.
            self.send_answer(ticket, Some(Response::NotDone("no connection".into())));
        }
        Ok(())
    }

    /// An answer sets out for its client; none: the connection broke.
    pub(crate) fn send_answer(&mut self, ticket: Ticket, response: Option<Response>) {
        if self.comes(Fault::Loss) {
            return;
        }
        let (low, high) = self.plan.latency_us;
        let way = self.chances.clients.between(low, high);
        self.plan_in(way, Step::AnswerArrive { ticket, response: response.map(Box::new) });
    }

    pub(crate) fn on_answer_arrive(&mut self, ticket: Ticket, response: Option<Response>) -> Checked {
        let Some(asked) = self.tickets.remove(&ticket) else { return Ok(()) };
        self.trace.note(&[14, self.now, ticket]);
        self.trace.say(self.now, || format!("answer {ticket}: {response:?}"));
        let response = response.unwrap_or_else(|| Response::Unknown("the connection broke".into()));
        self.on_answer(asked.purpose, response)
    }

    pub(crate) fn on_give_up(&mut self, ticket: Ticket) -> Checked {
        let Some(asked) = self.tickets.remove(&ticket) else { return Ok(()) };
        self.trace.say(self.now, || format!("request {ticket} is given up"));
        self.on_answer(asked.purpose, Response::Unknown("the client has given up".into()))
    }
}

fn some_kind(random: &mut Random, seen: Option<i64>, value: i64, pair: bool) -> Kind {
    match random.below(100) {
        0..=34 => Kind::Get,
        _ if pair => Kind::Set(value),
        35..=64 => Kind::Set(value),
        65..=79 => Kind::Add(1),
        80..=84 => Kind::Add(2),
        85..=95 => Kind::Cas(seen.unwrap_or(1), value),
        _ => Kind::Del,
    }
}

pub(crate) fn command(words: Vec<String>, consistency: Consistency, id: Option<RequestId>) -> RequestBody {
    RequestBody::Command { arguments: encoded(words), consistency, id }
}

fn encoded(words: Vec<String>) -> Vec<Bytes> {
    words.into_iter().map(Bytes::from).collect()
}

pub(crate) fn name(key: u64) -> String {
    format!("k{key}")
}

fn told(request: &Request) -> String {
    if let RequestBody::Command { arguments, id, .. } = &request.body {
        let words = arguments.iter().map(|word| String::from_utf8_lossy(word).into_owned());
        let id = id.map_or_else(String::new, |id| format!(" as {} of session {}", id.sequence, id.session));
        return words.collect::<Vec<_>>().join(" ") + &id;
    }
    format!("{:?}", request.body)
}
