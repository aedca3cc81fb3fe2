//! One world: virtual time, a queue of steps ordered by time and by age, and everything that takes part.
//!
//! Invariants: a step changes nothing before its time; two steps at one time keep the order in which they were planned; a step
//! for a life of a node that is over does nothing.

use crate::checks::{BROKEN_RULE, Checked, Checks, Violation};
use crate::clients::{Client, Ticket};
use crate::engines::Engines;
use crate::faults::FaultEnd;
use crate::heal::Heal;
use crate::history::Operation;
use crate::linear;
use crate::members::Office;
use crate::network::Links;
use crate::node::SimNode;
use crate::plan::{Fault, Plan, Rate};
use crate::random::Random;
use crate::report::{Failure, Figures, Report};
use crate::trace::Trace;
use bytes::Bytes;
use outboard_raft::{NodeId, Position, SnapshotMeta, Term};
use outboard_wire::client::Response;
use outboard_wire::command::Digest;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Step {
    Tick {
        node: usize,
        life: u64,
    },
    /// The node's loop takes what waits and thinks.
    Wake {
        node: usize,
        life: u64,
    },
    LogBegin {
        node: usize,
        life: u64,
    },
    LogEnd {
        node: usize,
        life: u64,
    },
    /// A late disk keeps its promises.
    LogPromises {
        node: usize,
        life: u64,
    },
    Tables {
        node: usize,
        life: u64,
    },
    Queries {
        node: usize,
        life: u64,
    },
    Persist {
        node: usize,
        life: u64,
    },
    Start {
        node: usize,
    },
    /// A frame.
    Arrive {
        from: usize,
        to: usize,
        /// The receiver's life that the connection leads to.
        life: u64,
        bytes: Bytes,
    },
    /// A node finds out how its link to another one is.
    Look {
        node: usize,
        peer: usize,
    },
    SnapshotArrive(Box<SnapshotOnTheWay>),
    SnapshotEnd {
        node: usize,
        life: u64,
        to: NodeId,
        at: Position,
        ok: bool,
    },
    /// A component is fetched, or can't be had.
    Fetch {
        node: usize,
        life: u64,
        digest: Digest,
    },
    Ask {
        client: usize,
    },
    RequestArrive {
        ticket: Ticket,
        node: usize,
    },
    /// None: the connection broke.
    AnswerArrive {
        ticket: Ticket,
        response: Option<Box<Response>>,
    },
    GiveUp {
        ticket: Ticket,
    },
    /// An engine is made known once more.
    Stage {
        digest: Digest,
    },
    /// An upgrade to what was staged.
    Upgrade {
        digest: Digest,
    },
    /// The operator's next word about the members.
    Errand,
    Fault(Fault),
    FaultEnd(FaultEnd),
    Heal,
    /// Is the cluster healed?
    Probe,
}

/// A snapshot that a leader streams to a peer.
#[derive(Debug)]
pub(crate) struct SnapshotOnTheWay {
    pub(crate) from: usize,
    pub(crate) from_life: u64,
    pub(crate) to: usize,
    pub(crate) term: Term,
    pub(crate) meta: SnapshotMeta,
    pub(crate) frames: Vec<Bytes>,
}

struct Planned {
    at: u64,
    sequence: u64,
    step: Step,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

/// Streams of chance, one for each concern.
pub(crate) struct Chances {
    pub(crate) net: Random,
    pub(crate) disk: Random,
    pub(crate) times: Random,
    pub(crate) clients: Random,
    pub(crate) transfers: Random,
}

/// Everything that takes part.
pub(crate) struct World<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) engines: &'a Engines,
    pub(crate) now: u64,
    sequence: u64,
    queue: BinaryHeap<Reverse<Planned>>,
    pub(crate) nodes: Vec<SimNode>,
    pub(crate) links: Links,
    pub(crate) clients: Vec<Client>,
    pub(crate) tickets: BTreeMap<Ticket, crate::clients::Asked>,
    pub(crate) office: Office,
    pub(crate) operations: Vec<Operation>,
    /// Moments of the history that were given out.
    pub(crate) moments: u64,
    pub(crate) chances: Chances,
    pub(crate) fault_chances: BTreeMap<Fault, Random>,
    pub(crate) checks: Checks,
    pub(crate) trace: Trace,
    pub(crate) figures: Figures,
    /// Set when faults are over.
    pub(crate) heal: Option<Heal>,
    pub(crate) done: bool,
}

/// Runs a plan to its end, or to the first rule that does not hold.
pub fn run(plan: &Plan, engines: &Engines, telling: bool) -> Report {
    let mut world = World::new(plan, engines, telling);
    let ended = catch_unwind(AssertUnwindSafe(|| world.run()));
    let violation = match ended {
        Ok(Ok(())) => None,
        Ok(Err(violation)) => Some(violation),
        Err(panic) => {
            let what = panic.downcast_ref::<String>().cloned();
            let what = what.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(Violation { check: BROKEN_RULE, what: what.unwrap_or_else(|| "a panic".into()) })
        }
    };
    let World { now, trace, mut figures, checks, .. } = world;
    figures.terms = checks.terms() as u64;
    figures.schedules = 1;
    figures.traces = trace.hash();
    figures.simulated_us = now;
    Report {
        trace_hash: trace.hash(),
        failure: violation.map(|violation| Failure { violation, at_us: now }),
        figures,
        lines: trace.into_lines(),
    }
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, engines: &'a Engines, telling: bool) -> World<'a> {
        let of = |label| Random::of(plan.seed, label);
        let nodes = (0..plan.nodes as usize).map(|number| SimNode::new(number, plan, engines)).collect();
        let fault_chances = Fault::ALL.into_iter().map(|fault| (fault, of(fault.name()))).collect();
        World {
            plan,
            engines,
            now: 0,
            sequence: 0,
            queue: BinaryHeap::new(),
            nodes,
            links: Links::new(plan.nodes_max() as usize),
            clients: (0..plan.clients).map(Client::new).collect(),
            tickets: BTreeMap::new(),
            office: Office::default(),
            operations: Vec::new(),
            moments: 0,
            chances: Chances {
                net: of("net"),
                disk: of("disk"),
                times: of("times"),
                clients: of("clients"),
                transfers: of("transfers"),
            },
            fault_chances,
            checks: Checks::of_founders((1..=plan.nodes).map(NodeId)),
            trace: Trace::new(telling),
            figures: Figures::default(),
            heal: None,
            done: false,
        }
    }

    fn run(&mut self) -> Checked {
        for node in 0..self.nodes.len() {
            let after = self.chances.times.below(50_000);
            self.plan_in(after, Step::Start { node });
        }
        for client in 0..self.clients.len() {
            let after = self.chances.clients.below(2_000_000);
            self.plan_in(after, Step::Ask { client });
        }
        for (fault, rate) in &self.plan.rates {
            if let Rate::EveryUs(mean) = rate {
                self.plan_fault(*fault, *mean);
            }
        }
        self.plan_in(self.plan.faults_us, Step::Heal);
        while !self.done {
            let Some(Reverse(planned)) = self.queue.pop() else { break };
            self.now = planned.at;
            self.figures.steps += 1;
            self.step(planned.step)?;
        }
        self.judge_history()
    }

    /// What follows an occurrence of a fault is drawn from its own stream.
    pub(crate) fn plan_fault(&mut self, fault: Fault, mean_us: u64) {
        let after = self.fault_chance(fault).between(mean_us / 2, mean_us + mean_us / 2);
        self.plan_in(after, Step::Fault(fault));
    }

    pub(crate) fn fault_chance(&mut self, fault: Fault) -> &mut Random {
        self.fault_chances.get_mut(&fault).expect("every fault has a stream")
    }

    pub(crate) fn plan_in(&mut self, after_us: u64, step: Step) {
        self.plan_at(self.now + after_us, step);
    }

    pub(crate) fn plan_at(&mut self, at: u64, step: Step) {
        self.sequence += 1;
        self.queue.push(Reverse(Planned { at, sequence: self.sequence, step }));
    }

    fn step(&mut self, step: Step) -> Checked {
        let Some(step) = self.unless_paused(step) else { return Ok(()) };
        match step {
            Step::Tick { node, life } => self.on_tick(node, life),
            Step::Wake { node, life } => self.on_wake(node, life),
            Step::LogBegin { node, life } => self.on_log_begin(node, life),
            Step::LogEnd { node, life } => self.on_log_end(node, life),
            Step::LogPromises { node, life } => self.on_log_promises(node, life),
            Step::Tables { node, life } => self.on_tables(node, life),
            Step::Queries { node, life } => self.on_queries(node, life),
            Step::Persist { node, life } => self.on_persist(node, life),
            Step::Start { node } => self.on_start(node),
            Step::Arrive { from, to, life, bytes } => self.on_arrive(from, to, life, bytes),
            Step::Look { node, peer } => self.on_look(node, peer),
            Step::SnapshotArrive(snapshot) => self.on_snapshot_arrive(*snapshot),
            Step::SnapshotEnd { node, life, to, at, ok } => self.on_snapshot_end(node, life, to, at, ok),
            Step::Fetch { node, life, digest } => self.on_fetch(node, life, digest),
            Step::Ask { client } => self.on_ask(client),
            Step::RequestArrive { ticket, node } => self.on_request_arrive(ticket, node),
            Step::AnswerArrive { ticket, response } => {
                self.on_answer_arrive(ticket, response.map(|response| *response))
            }
            Step::GiveUp { ticket } => self.on_give_up(ticket),
            Step::Stage { digest } => self.on_stage(digest),
            Step::Upgrade { digest } => self.on_upgrade(digest),
            Step::Errand => self.on_errand(),
            Step::Fault(fault) => self.on_fault(fault),
            Step::FaultEnd(end) => self.on_fault_end(end),
            Step::Heal => self.on_heal(),
            Step::Probe => self.on_probe(),
        }
    }

    /// Steps of a process that stands still wait for its end, in their order.
    fn unless_paused(&mut self, step: Step) -> Option<Step> {
        let node = match &step {
            Step::Tick { node, .. }
            | Step::Wake { node, .. }
            | Step::LogBegin { node, .. }
            | Step::LogEnd { node, .. }
            | Step::LogPromises { node, .. }
            | Step::Tables { node, .. }
            | Step::Queries { node, .. }
            | Step::Persist { node, .. }
            | Step::Look { node, .. }
            | Step::SnapshotEnd { node, .. }
            | Step::Fetch { node, .. }
            | Step::Arrive { to: node, .. }
            | Step::RequestArrive { node, .. } => *node,
            Step::SnapshotArrive(snapshot) => snapshot.to,
            Step::Start { .. }
            | Step::Ask { .. }
            | Step::AnswerArrive { .. }
            | Step::GiveUp { .. }
            | Step::Stage { .. }
            | Step::Upgrade { .. }
            | Step::Errand
            | Step::Fault(_)
            | Step::FaultEnd(_)
            | Step::Heal
            | Step::Probe => return Some(step),
        };
        let until = self.nodes[node].paused_until;
        if until <= self.now {
            return Some(step);
        }
        self.plan_at(until, step);
        None
    }

    fn judge_history(&mut self) -> Checked {
        let history: Vec<Operation> = self.operations.iter().filter(|operation| operation.counts()).cloned().collect();
        match linear::check(&history) {
            linear::Verdict::Linearizable => Ok(()),
            linear::Verdict::Undecided { key, stuck } => {
                self.figures.undecided += 1;
                self.trace.say(self.now, || format!("the history of k{key} is too hard to judge beyond {stuck}"));
                Ok(())
            }
            linear::Verdict::Not { key, story, stuck } => {
                for line in &story {
                    self.trace.say(self.now, || format!("history {line}"));
                }
                crate::checks::violation(
                    "linearizability",
                    format!("no order explains what was seen of k{key} up to {stuck}"),
                )
            }
        }
    }
}
