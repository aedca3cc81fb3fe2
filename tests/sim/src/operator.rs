//! The operator: pushes engines and switches to them, hands leadership over, asks how things are. And the commands that make an
//! engine fail, which clients send.

use crate::checks::Checked;
use crate::clients::Purpose;
use crate::plan::{Fault, MILLI, SECOND};
use crate::world::{Step, World};
use outboard_node::stepped::record;
use outboard_wire::client::{Request, RequestBody, Response};
use outboard_wire::command::{Command, Digest, Stamped};

/// How often an upgrade is tried.
const UPGRADE_TRIES: u32 = 4;
/// A request of the operator may take so long, in milliseconds.
const TIMEOUT_MS: u32 = 2_000;

impl World<'_> {
    /// Some node gets an engine and makes it known.
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
        let request = Request { timeout_ms: TIMEOUT_MS, body: RequestBody::Control { command } };
        self.ask(node, request, Purpose::Stage(digest));
    }

    pub(crate) fn on_staged(&mut self, digest: Digest, response: &Response) {
        if *response == Response::Done {
            let after = self.fault_chance(Fault::Upgrade).scale(20 * MILLI, 2 * SECOND);
            self.plan_in(after, Step::Upgrade { digest, tries: UPGRADE_TRIES });
        }
    }

    pub(crate) fn on_upgrade(&mut self, digest: Digest, tries: u32) -> Checked {
        if self.heal.is_none()
            && let Some(node) = self.any_live(Fault::Upgrade)
        {
            let body = RequestBody::EngineUpgrade { digest: digest.to_string() };
            let purpose = Purpose::Upgrade { digest, tries: tries - 1 };
            self.ask(node, Request { timeout_ms: TIMEOUT_MS, body }, purpose);
        }
        Ok(())
    }

    pub(crate) fn on_upgrade_answered(&mut self, digest: Digest, tries: u32, response: &Response) {
        let upgraded = matches!(response, Response::Upgraded(_));
        self.figures.upgrades += u64::from(upgraded);
        if !upgraded && tries > 0 {
            self.plan_in(700 * MILLI, Step::Upgrade { digest, tries });
        }
    }

    /// Some node is asked for a hand-over, or how things are.
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
        self.ask(node, Request { timeout_ms: TIMEOUT_MS, body }, Purpose::Operator);
    }

    /// Some live node, by the chance of this fault.
    fn any_live(&mut self, fault: Fault) -> Option<usize> {
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
