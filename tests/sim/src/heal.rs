//! The end: faults stop, and within a bound of simulated time every node must take a write and a read, and all must agree.

use crate::checks::{Checked, violation};
use crate::history::Kind;
use crate::node::Damage;
use crate::plan::{MILLI, SECOND};
use crate::world::{Step, World};

/// The bound, in microseconds: some elections, a connection that nobody knows to be dead, a snapshot that failed.
const HEAL_MAX_US: u64 = 20 * SECOND;
/// How often it is looked whether all agree.
const LOOK_EVERY_US: u64 = 200 * MILLI;

/// How far the cluster is.
pub(crate) struct Heal {
    /// When faults stopped.
    since_us: u64,
    /// By node: a write, then a read.
    written: Vec<bool>,
    read: Vec<bool>,
    /// A question is on its way.
    asking: Vec<bool>,
}

impl World<'_> {
    /// Faults are over.
    pub(crate) fn on_heal(&mut self) -> Checked {
        let count = self.nodes.len();
        self.trace.say(self.now, || "faults are over".into());
        let none = || vec![false; count];
        self.heal = Some(Heal { since_us: self.now, written: none(), read: none(), asking: none() });
        self.links.unblock_all();
        for number in 0..count {
            let node = &mut self.nodes[number];
            (node.slow_log, node.slow_tables) = (1, 1);
            self.make_room(number);
            if self.nodes[number].doomed && self.nodes[number].live.is_some() {
                // A disk that is to stop later does so now: no fault outlives the others.
                self.lose_power(number, 50 * MILLI);
            }
            self.repair(number);
            self.look_around(number, SECOND);
            let after = self.chances.times.scale(MILLI, 500 * MILLI);
            self.plan_in(after, Step::Start { node: number });
        }
        self.plan_in(SECOND, Step::Probe);
        Ok(())
    }

    /// A flipped bit flips back; what is on the disk must not have been touched since it was reported.
    pub(crate) fn repair(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if !node.refused {
            return;
        }
        if let Some(Damage::Bit { file, offset, bit }) = &node.damage {
            node.disk.memory().flip_bit(file, *offset, *bit);
            node.damage = None;
            node.refused = false;
        }
    }

    /// Asks the nodes that have not served yet; done when all have, and all agree.
    pub(crate) fn on_probe(&mut self) -> Checked {
        let Some(heal) = &self.heal else { return Ok(()) };
        let since = heal.since_us;
        let (membership, nodes) = (self.checks.membership().members(), &self.nodes);
        let is_member = |node: &usize| !nodes[*node].gone && membership.contains(&nodes[*node].id);
        let members: Vec<usize> = (0..nodes.len()).filter(is_member).collect();
        if members.iter().all(|node| heal.read[*node]) && self.agree(&members)? {
            self.figures.on_healed(self.now - since);
            self.compare_logs(&members)?;
            self.done = true;
            return Ok(());
        }
        if self.now - since > HEAL_MAX_US {
            return violation("healing", self.why_not_healed(&members));
        }
        for node in members {
            let heal = self.heal.as_ref().expect("just looked at");
            if heal.asking[node] || heal.read[node] {
                continue;
            }
            let key = 900 + node as u64;
            let kind = if heal.written[node] { Kind::Get } else { Kind::Set(node as i64 + 1) };
            self.set_asking(node, true);
            self.probe(node, key, kind);
        }
        self.plan_in(LOOK_EVERY_US, Step::Probe);
        Ok(())
    }

    fn set_asking(&mut self, node: usize, asking: bool) {
        if let Some(heal) = &mut self.heal {
            heal.asking[node] = asking;
        }
    }

    pub(crate) fn on_probe_answer(&mut self, node: usize, operation: usize) -> Checked {
        self.set_asking(node, false);
        let operation = &self.operations[operation];
        if let Some(heal) = &mut self.heal
            && operation.answered.is_some()
        {
            match operation.kind {
                Kind::Get => heal.read[node] = true,
                Kind::Set(_) | Kind::Add(_) | Kind::Cas(..) | Kind::Del => heal.written[node] = true,
            }
        }
        Ok(())
    }

    /// All stand at the same place, in the same state, and none has seen a difference.
    fn agree(&mut self, members: &[usize]) -> Result<bool, crate::checks::Violation> {
        let mut places = Vec::new();
        for number in members {
            let node = &self.nodes[*number];
            let Some(live) = &node.live else { return Ok(false) };
            let status = live.status();
            if let Some(diverged) = status.diverged {
                return violation("hash chains", format!("{} has seen a difference: {diverged:?}", node.id));
            }
            places.push((live.running(), live.raft().last(), status.chain.first().copied()));
        }
        let first = &places[0];
        let behind = first.0.0.index < self.checks.last_committed();
        Ok(!behind && places.iter().all(|place| place == first))
    }

    /// What lies in the logs is what was given to them.
    fn compare_logs(&mut self, members: &[usize]) -> Checked {
        for number in members {
            let node = &mut self.nodes[*number];
            let Some(live) = &mut node.live else { continue };
            match live.log_entries() {
                Ok(entries) => self.checks.on_read_back(node.id, &entries)?,
                Err(halt) if node.damage.is_none() && !node.is_astray() => {
                    return violation("logs", format!("{}: {halt}", node.id));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn why_not_healed(&self, members: &[usize]) -> String {
        let mut why = format!("not within {} s, members {}:", HEAL_MAX_US / SECOND, self.checks.membership());
        let heal = self.heal.as_ref().expect("faults are over");
        for number in members {
            let node = &self.nodes[*number];
            let state = match &node.live {
                None => "is down".to_owned(),
                Some(live) => {
                    let (raft, at) = (live.raft(), live.running().0);
                    format!(
                        "is {} of term {} under {:?}, log {}, commit {}, tables at {at}, wrote {}, read {}",
                        raft.role(),
                        raft.term(),
                        raft.leader(),
                        raft.last(),
                        raft.commit(),
                        heal.written[*number],
                        heal.read[*number]
                    )
                }
            };
            why += &format!(" {} {state};", node.id);
        }
        why
    }
}
