//! The operator: pushes engines and switches to them, hands leadership over, asks how things are. An upgrade is tried until it is done or
//! faults are over: whoever gives up after the first refusal sees few upgrades among faults. And the commands that make an engine fail,
//! which clients send.

use crate::checks::Checked;
use crate::clients::Purpose;
use crate::node::SimNode;
use crate::plan::{Fault, MILLI, SECOND};
use crate::world::{Step, World};
use outboard_node::stepped::record;
use outboard_wire::client::{Request, RequestBody, Response};
use outboard_wire::command::{Command, Digest, Stamped};

/// The operator's rest before the next attempt, at least and at most, in microseconds.
const REST_US: (u64, u64) = (200 * MILLI, 900 * MILLI);
/// A request of the operator may take so long, in milliseconds.
const TIMEOUT_MS: u32 = 2_000;

impl World<'_> {
    /// Some node gets an engine that it does not run, and makes it known.
    pub(crate) fn push_engine(&mut self) {
        let Some(node) = self.any_live(Fault::Upgrade) else { return };
        let running = self.running_on(node);
        let others: Vec<Digest> = self.engines.all().iter().map(|engine| Digest(engine.digest().0)).collect();
        let others: Vec<Digest> = others.into_iter().filter(|digest| Some(*digest) != running).collect();
        let digest = *self.fault_chance(Fault::Upgrade).pick(&others);
        self.stage(node, digest);
    }

    fn stage(&mut self, node: usize, digest: Digest) {
        let Some(component) = self.engines.find(&digest) else { return };
        let engine = record(component);
        self.nodes[node].components.insert(digest);
        if let Some(live) = &mut self.nodes[node].live {
            live.place(component);
        }
        let command = Stamped { time_ms: 0, command: Command::EngineStage(engine) }.encode().into();
        let request = Request { timeout_ms: TIMEOUT_MS, body: RequestBody::Control { command } };
        self.ask(node, request, Purpose::Stage(digest));
    }

    pub(crate) fn on_staged(&mut self, digest: Digest, response: &Response) {
        if self.heal.is_some() {
            return;
        }
        let staged = *response == Response::Done;
        let (low, high) = if staged { (20 * MILLI, 2 * SECOND) } else { REST_US };
        let after = self.fault_chance(Fault::Upgrade).scale(low, high);
        self.plan_in(after, if staged { Step::Upgrade { digest } } else { Step::Stage { digest } });
    }

    pub(crate) fn on_stage(&mut self, digest: Digest) -> Checked {
        if self.heal.is_some() {
            return Ok(());
        }
        match self.any_live(Fault::Upgrade) {
            Some(node) => self.stage(node, digest),
            None => self.on_staged(digest, &Response::Overloaded),
        }
        Ok(())
    }

    pub(crate) fn on_upgrade(&mut self, digest: Digest) -> Checked {
        if self.heal.is_some() {
            return Ok(());
        }
        match self.any_live(Fault::Upgrade) {
            Some(node) if self.running_on(node) == Some(digest) => {}
            Some(node) => {
                let body = RequestBody::EngineUpgrade { digest: digest.to_string() };
                self.ask(node, Request { timeout_ms: TIMEOUT_MS, body }, Purpose::Upgrade { digest });
            }
            None => self.on_upgrade_answered(digest, &Response::Overloaded),
        }
        Ok(())
    }

    pub(crate) fn on_upgrade_answered(&mut self, digest: Digest, response: &Response) {
        let upgraded = matches!(response, Response::Upgraded(_));
        self.figures.upgrades += u64::from(upgraded);
        if !upgraded && self.heal.is_none() {
            let (low, high) = REST_US;
            let after = self.fault_chance(Fault::Upgrade).scale(low, high);
            self.plan_in(after, Step::Upgrade { digest });
        }
    }

    /// Members come and go, and a component may go with them. Then the operator pushes it once more, when all is over.
    pub(crate) fn is_pushed_again(&self, digest: &Digest) -> bool {
        let has = |node: &SimNode| node.live.is_some() && node.components.contains(digest);
        self.plan.churns() && self.heal.is_some() && !self.nodes.iter().any(has)
    }

    fn running_on(&self, node: usize) -> Option<Digest> {
        let live = self.nodes[node].live.as_ref()?;
        live.running().1.map(|running| running.digest)
    }

    /// Some node is asked for a hand-over, or how things are.
    pub(crate) fn transfer(&mut self) {
        let Some(node) = self.any_live(Fault::Transfer) else { return };
        let nodes = self.nodes.len() as u64;
        let random = self.fault_chance(Fault::Transfer);
        let to = random.percent(70).then(|| random.between(1, nodes));
        let body = match random.below(10) {
            0 => RequestBody::Status,
            1 => RequestBody::EngineList,
            _ => RequestBody::LeaderTransfer { to },
        };
        self.ask(node, Request { timeout_ms: TIMEOUT_MS, body }, Purpose::Operator);
    }

    /// Some live node, by the chance of this fault.
    pub(crate) fn any_live(&mut self, fault: Fault) -> Option<usize> {
        let live: Vec<usize> = (0..self.nodes.len()).filter(|node| self.nodes[*node].live.is_some()).collect();
        if live.is_empty() { None } else { Some(*self.fault_chance(fault).pick(&live)) }
    }

    /// A command of the engine `chaos`; the others don't know it.
    pub(crate) fn trap(&mut self) -> Vec<String> {
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
}
