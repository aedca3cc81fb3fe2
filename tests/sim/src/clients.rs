//! Clients: each asks one thing after another, of any node, and keeps what it was told. And an operator, who asks for upgrades
//! and hand-overs.
//!
//! What is said decides what the history holds: an answer, an outcome that is not known, or no effect at all.

use crate::checks::{Checked, violation};
use crate::history::{Kind, Operation};
use crate::node::Input;
use crate::plan::{Fault, MILLI, Mutation, SECOND};
use crate::world::{Step, World};
use bytes::Bytes;
use outboard_node::stepped::record;
use outboard_wire::client::{Consistency, Request, RequestBody, Response};
use outboard_wire::command::{Command, Digest, Stamped};
use std::collections::BTreeMap;

/// A client gives up so long after the node's own time is over, in microseconds.
const PATIENCE_US: u64 = 500 * MILLI;
/// How long a client may try one operation, in simulated milliseconds.
const TIMEOUT_MS: [u32; 4] = [150, 500, 1_000, 3_000];

/// Names one request.
pub(crate) type Ticket = u64;

/// One client.
pub(crate) struct Client {
    pub(crate) number: u64,
    /// It stays with a node until that one disappoints it.
    node: Option<usize>,
    /// The value that it saw last under each key.
    seen: BTreeMap<u64, i64>,
}

/// A request that has no outcome yet.
pub(crate) struct Asked {
    pub(crate) purpose: Purpose,
    request: Option<Request>,
}

/// Why something was asked.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    /// By a client; the number of the operation in the history.
    Operation { client: usize, operation: usize },
    /// A probe of the healed cluster; the same.
    Probe { node: usize, operation: usize },
    /// A read that may be old.
    Stale { client: usize, key: u64 },
    /// A command that is to fail.
    Trap { client: usize },
    /// An engine is made known.
    Stage(Digest),
    /// An upgrade, tried so many times more.
    Upgrade { digest: Digest, tries: u32 },
    /// Anything else of the operator's.
    Operator,
}

impl Client {
    pub(crate) fn new(number: u64) -> Client {
        Client { number, node: None, seen: BTreeMap::new() }
    }
}

impl Operation {
    /// Whether the history has to explain it.
    pub(crate) fn counts(&self) -> bool {
        !self.without_effect && (self.answered.is_some() || self.kind.writes())
    }
}

impl World<'_> {
    fn moment(&mut self) -> u64 {
        self.moments += 1;
        self.moments
    }

    /// A client asks the next thing.
    pub(crate) fn on_ask(&mut self, client: usize) -> Checked {
        if self.heal.is_some() || self.operations.len() as u64 >= self.plan.operations_max {
            return Ok(());
        }
        let node = self.node_for(client);
        if self.comes(Fault::Trap) {
            let command = self.trap();
            let request = self.command(command, Consistency::Linearizable);
            self.ask(node, request, Purpose::Trap { client });
            return Ok(());
        }
        let random = &mut self.chances.clients;
        let key = random.below(self.plan.keys);
        if random.percent(5) {
            let request = self.command(Kind::Get.arguments(&name(key)), Consistency::Stale);
            self.ask(node, request, Purpose::Stale { client, key });
            return Ok(());
        }
        let kind = self.kind_for(client, key);
        let operation = self.note_operation(self.clients[client].number, key, kind, node);
        self.ask_operation(node, key, kind, Purpose::Operation { client, operation });
        Ok(())
    }

    fn node_for(&mut self, client: usize) -> usize {
        let random = &mut self.chances.clients;
        let node = match self.clients[client].node {
            Some(node) if !random.percent(10) => node,
            Some(_) | None => random.below(self.plan.nodes) as usize,
        };
        self.clients[client].node = Some(node);
        node
    }

    fn kind_for(&mut self, client: usize, key: u64) -> Kind {
        let number = self.operations.len() as i64;
        let random = &mut self.chances.clients;
        // Far apart, so that counting from one never comes to another.
        let value = (number + 1) * 1_000;
        match random.below(100) {
            0..=34 => Kind::Get,
            35..=64 => Kind::Set(value),
            65..=84 => Kind::Incr,
            85..=95 => Kind::Cas(self.clients[client].seen.get(&key).copied().unwrap_or(1), value),
            _ => Kind::Del,
        }
    }

    pub(crate) fn note_operation(&mut self, client: u64, key: u64, kind: Kind, node: usize) -> usize {
        let asked = self.moment();
        let node = node as u64 + 1;
        self.operations.push(Operation { client, key, kind, asked, answered: None, node, without_effect: false });
        self.operations.len() - 1
    }

    pub(crate) fn ask_operation(&mut self, node: usize, key: u64, kind: Kind, purpose: Purpose) {
        let broken = self.plan.mutation == Some(Mutation::StaleReads) && !kind.writes();
        let consistency = if broken { Consistency::Stale } else { Consistency::Linearizable };
        let request = self.command(kind.arguments(&name(key)), consistency);
        self.ask(node, request, purpose);
    }

    fn command(&mut self, words: Vec<String>, consistency: Consistency) -> Request {
        let arguments = words.into_iter().map(Bytes::from).collect();
        let timeout_ms = *self.chances.clients.pick(&TIMEOUT_MS);
        Request { timeout_ms, body: RequestBody::Command { arguments, consistency } }
    }

    /// A command of the engine `chaos`; the others don't know it.
    fn trap(&mut self) -> Vec<String> {
        const COMMANDS: [&[&str]; 12] = [
            &["TRAP", "chaos"],
            &["TRAPQ"],
            &["SPIN", "chaos"],
            &["RECURSE", "chaos"],
            &["RECURSEQ"],
            &["EAT", "chaos"],
            &["GARBAGE", "chaos", "cut"],
            &["GARBAGE", "chaos", "lie"],
            &["BIGKEY", "70000"],
            &["REJECT", "chaos", "ERR no"],
            &["WRITEMANY", "20", "100"],
            &["LOGSPAM", "chaos", "3", "10"],
        ];
        let words = self.fault_chance(Fault::Trap).pick(&COMMANDS);
        words.iter().map(|word| (*word).to_owned()).collect()
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
        self.settle_request(asked, response.unwrap_or_else(|| Response::Unknown("the connection broke".into())))
    }

    pub(crate) fn on_give_up(&mut self, ticket: Ticket) -> Checked {
        let Some(asked) = self.tickets.remove(&ticket) else { return Ok(()) };
        self.trace.say(self.now, || format!("request {ticket} is given up"));
        self.settle_request(asked, Response::Unknown("the client has given up".into()))
    }

    fn settle_request(&mut self, asked: Asked, response: Response) -> Checked {
        let disappointed = !matches!(response, Response::Reply(_) | Response::Rejected(_) | Response::Failed(_));
        match asked.purpose {
            Purpose::Operation { client, operation } => {
                self.settle_operation(operation, response)?;
                if let (Some((_, seen)), client) = (self.operations[operation].answered, &mut self.clients[client])
                    && let Some(value) = self.operations[operation].kind.leaves(seen)
                {
                    client.seen.insert(self.operations[operation].key, value);
                }
                self.ask_next(client, disappointed);
            }
            Purpose::Probe { node, operation } => {
                self.settle_operation(operation, response)?;
                self.on_probe_answer(node, operation)?;
            }
            Purpose::Stale { client, key } => {
                self.settle_stale(key, response)?;
                self.ask_next(client, disappointed);
            }
            Purpose::Trap { client } => self.ask_next(client, false),
            Purpose::Stage(digest) => {
                if response == Response::Done {
                    let after = self.fault_chance(Fault::Upgrade).scale(20 * MILLI, 2 * SECOND);
                    self.plan_in(after, Step::Upgrade { digest, tries: 3 });
                }
            }
            Purpose::Upgrade { digest, tries } => {
                let upgraded = matches!(response, Response::Upgraded(_));
                self.figures.upgrades += u64::from(upgraded);
                if !upgraded && tries > 0 {
                    self.plan_in(700 * MILLI, Step::Upgrade { digest, tries: tries - 1 });
                }
            }
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

    /// What the history has to hold of it.
    fn settle_operation(&mut self, number: usize, response: Response) -> Checked {
        let at = self.moment();
        let operation = &mut self.operations[number];
        match response {
            Response::Reply(reply) => match operation.kind.seen(&reply) {
                Some(seen) => operation.answered = Some((at, seen)),
                None => return violation("answers", format!("{operation} was answered {reply:?}")),
            },
            Response::Rejected(_)
            | Response::Failed(_)
            | Response::NotDone(_)
            | Response::Overloaded
            | Response::Invalid(_) => operation.without_effect = true,
            Response::Unknown(_) => {
                if self.plan.mutation == Some(Mutation::WritesInvented)
                    && let Kind::Set(_) = operation.kind
                {
                    operation.answered = Some((at, crate::history::Seen::Done));
                }
            }
            Response::Status(_)
            | Response::NodeStatus(_)
            | Response::Engines(_)
            | Response::Upgraded(_)
            | Response::UpgradeRefused(_)
            | Response::Transferred { .. }
            | Response::Done => return violation("answers", format!("{operation} was answered {response:?}")),
        }
        let operation = &self.operations[number];
        self.figures.answered += u64::from(operation.answered.is_some());
        self.figures.unknown += u64::from(operation.answered.is_none() && !operation.without_effect);
        self.figures.refused += u64::from(operation.without_effect);
        Ok(())
    }

    /// An old value is fine, one that nobody has written is not.
    fn settle_stale(&mut self, key: u64, response: Response) -> Checked {
        let Response::Reply(reply) = response else { return Ok(()) };
        let Some(crate::history::Seen::Value(value)) = Kind::Get.seen(&reply) else {
            return violation("answers", format!("a stale read of k{key} was answered {reply:?}"));
        };
        let Some(value) = value else { return Ok(()) };
        // A counter goes on from what was set, one for each question.
        let written = |operation: &Operation| {
            operation.key == key
                && match operation.kind {
                    Kind::Set(set) | Kind::Cas(_, set) => (set..set + 1_000).contains(&value),
                    Kind::Incr => value < 1_000,
                    Kind::Get | Kind::Del => false,
                }
        };
        if self.operations.iter().any(written) {
            return Ok(());
        }
        violation("stale reads", format!("k{key} was read as {value}, which nobody wrote"))
    }

    /// The operator pushes an engine to some node.
    pub(crate) fn push_engine(&mut self) {
        let Some(node) = self.any_live(Fault::Upgrade) else { return };
        let engines = self.engines;
        let component = *self.fault_chance(Fault::Upgrade).pick(&engines.all());
        let engine = record(component);
        self.nodes[node].components.insert(engine.digest);
        if let Some(live) = &mut self.nodes[node].live {
            live.place(component);
        }
        let digest = engine.digest;
        let command = Stamped { time_ms: 0, command: Command::EngineStage(engine) }.encode().into();
        let request = Request { timeout_ms: 2_000, body: RequestBody::Control { command } };
        self.ask(node, request, Purpose::Stage(digest));
    }

    pub(crate) fn on_upgrade(&mut self, digest: Digest, tries: u32) -> Checked {
        if self.heal.is_none()
            && let Some(node) = self.any_live(Fault::Upgrade)
        {
            let request =
                Request { timeout_ms: 2_000, body: RequestBody::EngineUpgrade { digest: digest.to_string() } };
            self.ask(node, request, Purpose::Upgrade { digest, tries });
        }
        Ok(())
    }

    /// The operator asks some node for a hand-over, or how things are.
    pub(crate) fn transfer(&mut self) {
        let Some(node) = self.any_live(Fault::Transfer) else { return };
        let nodes = self.plan.nodes;
        let random = self.fault_chance(Fault::Transfer);
        let to = random.percent(70).then(|| random.between(1, nodes));
        let body = match random.below(10) {
            0 => RequestBody::Status,
            1 => RequestBody::EngineList,
            _ => RequestBody::LeaderTransfer { to },
        };
        self.ask(node, Request { timeout_ms: 2_000, body }, Purpose::Operator);
    }

    /// Some live node, by the chance of this fault.
    pub(crate) fn any_live(&mut self, fault: Fault) -> Option<usize> {
        let live: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].live.is_some()).collect();
        if live.is_empty() { None } else { Some(*self.fault_chance(fault).pick(&live)) }
    }
}

fn name(key: u64) -> String {
    format!("k{key}")
}

fn told(request: &Request) -> String {
    match &request.body {
        RequestBody::Command { arguments, .. } => {
            let words = arguments.iter().map(|word| String::from_utf8_lossy(word).into_owned());
            words.collect::<Vec<_>>().join(" ")
        }
        RequestBody::Status
        | RequestBody::NodeStatus
        | RequestBody::EngineList
        | RequestBody::EngineUpgrade { .. }
        | RequestBody::LeaderTransfer { .. }
        | RequestBody::Control { .. } => format!("{:?}", request.body),
    }
}
