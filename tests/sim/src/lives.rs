//! How a simulated node's lives begin and end: starts that recover and starts that refuse, stops, halts, kills and losses of power.

use crate::checks::{Checked, violation};
use crate::disk::SimDisk;
use crate::faults::FaultEnd;
use crate::mutation::Mutation;
use crate::node::{Damage, Input, Misdirecting};
use crate::plan::{Fault, MILLI, SECOND};
use crate::world::{Step, World};
use outboard_node::stepped::{Settings, SteppedNode};
use outboard_node::{Durability, Halt, HaltKind, StartError};
use outboard_raft::{Config, NodeId};
use outboard_wal::{Fate, Options};
use outboard_wire::command::Digest;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The cluster's number; that of no other world matters.
const CLUSTER: u128 = 0x5eed;

impl World<'_> {
    /// A start, the first or after an end.
    pub(crate) fn on_start(&mut self, number: usize) -> Checked {
        let node = &mut self.nodes[number];
        if node.live.is_some() || node.refused || node.gone {
            return Ok(());
        }
        node.life += 1;
        if self.comes(Fault::EnginesLost) {
            self.lose_engines(number);
        }
        self.maybe_doom_start(number);
        let settings = self.settings(number);
        let node = &mut self.nodes[number];
        let now = node.clock(self.now);
        node.components.insert(Digest(settings.engine.digest().0));
        let opened = SteppedNode::open(settings, Box::new(node.disk.clone()), node.store.clone(), now);
        self.trace.note(&[1, self.now, number as u64, u64::from(opened.is_ok())]);
        match opened {
            Ok(live) => self.on_started(number, live),
            Err(error) => self.on_start_refused(number, error),
        }
    }

    /// Those that so many others have that one of them will be there.
    fn lose_engines(&mut self, number: usize) {
        self.trace.say(self.now, || format!("n{} has lost its engines", number + 1));
        let others = self.nodes.iter().enumerate().filter(|(other, node)| *other != number && !node.gone);
        let held: Vec<BTreeSet<Digest>> = others.map(|(_, node)| node.components.clone()).collect();
        let may_be_gone = (self.nodes.len() - 1) / 2;
        let is_rare = |digest: &Digest| held.iter().filter(|held| held.contains(digest)).count() <= may_be_gone;
        self.nodes[number].components.retain(is_rare);
    }

    /// Power may be lost while a node recovers.
    fn maybe_doom_start(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if self.heal.is_some() || self.plan.rate(Fault::PowerLossInStep).is_none() || node.damage.is_some() || node.full
        {
            return;
        }
        let random = self.fault_chances.get_mut(&Fault::PowerLossInStep).expect("every fault has a stream");
        if random.percent(20) {
            let disk = node.disk.memory();
            disk.stop_at(disk.steps() + random.below(10), random.below(200) as usize);
            node.doomed = true;
            self.figures.count(Fault::PowerLossInStep);
            let life = node.life;
            self.plan_in(SECOND, Step::FaultEnd(FaultEnd::Doom { node: number, life }));
        }
    }

    fn settings(&self, number: usize) -> Settings {
        let node = &self.nodes[number];
        let components = node.components.iter().filter_map(|digest| self.engines.find(digest)).cloned();
        Settings {
            node: node.id,
            voters: (1..=self.plan.nodes).map(NodeId).collect(),
            cluster: CLUSTER,
            begun: node.begun,
            last_loss: node.last_loss,
            seed: self.plan.seed.wrapping_mul(0x9e37_79b9).wrapping_add(node.life << 8 | node.id.0),
            limits: if self.plan.narrow { narrow } else { |config| config },
            wal: Options { segment_bytes: self.plan.segment_bytes, sync: true },
            log_keep_bytes: self.plan.log_keep_bytes,
            durability: Durability::Sync,
            sandbox: self.engines.sandbox.clone(),
            engine: self.engines.all()[self.plan.engine].clone(),
            components: components.collect(),
        }
    }

    fn on_started(&mut self, number: usize, live: SteppedNode) -> Checked {
        let node = &mut self.nodes[number];
        node.begun = true;
        node.last_loss = node.last_loss.max(live.wal().loss().map_or(0, |loss| loss.incarnation));
        let (last, commit) = (live.raft().last(), live.raft().commit());
        self.trace.say(self.now, || format!("{} starts, log to {last}, tables at {commit}", node.id));
        self.trace.note(&[2, live.raft().term().0, last.index.0, commit.0]);
        // A node that lost data says so, and the checks are to find it if its word counts nevertheless.
        node.lost = live.raft().is_suspended();
        if !tolerates_forgetting(self.plan.mutation) && !node.lost {
            self.checks.on_recovered(&live, &node.promised)?;
        }
        if let Some(Damage::Misdirected) = node.damage {
            // What it hit was compacted or freed.
            self.figures.damage_harmless += 1;
            node.damage = None;
        }
        if let Some(Damage::Bit { file, .. }) = &node.damage
            && node.disk.memory().bytes_of(file).is_none()
        {
            // The damaged log was given up.
            self.figures.damage_reported += 1;
            node.damage = None;
        }
        node.promised.hard_state = live.wal().hard_state();
        node.promised.last = live.wal().last();
        node.live = Some(live);
        let (life, tick_us) = (node.life, node.tick_us);
        let phase = self.chances.times.below(tick_us);
        self.plan_in(phase, Step::Tick { node: number, life });
        let persist = self.chances.times.between(self.plan.persist_us / 2, self.plan.persist_us);
        self.plan_in(persist, Step::Persist { node: number, life });
        self.look_around(number, 500 * MILLI);
        self.settle(number)
    }

    fn on_start_refused(&mut self, number: usize, error: StartError) -> Checked {
        let node = &mut self.nodes[number];
        self.trace.say(self.now, || format!("{} does not start: {error}", node.id));
        let failing = self.plan.rate(Fault::FailedSync).is_some();
        if matches!(error, StartError::Corrupt(_)) && node.damage.is_some() {
            self.figures.damage_reported += 1;
            node.refused = true;
            node.gone = matches!(node.damage, Some(Damage::Misdirected));
            if self.heal.is_some() {
                self.repair(number);
                self.plan_in(100 * MILLI, Step::Start { node: number });
            }
        } else if node.doomed {
            self.lose_power(number, 50 * MILLI);
        } else if matches!(error, StartError::Full(_)) && node.full
            || matches!(error, StartError::Folder { .. }) && (failing || self.plan.rate(Fault::FailedPersist).is_some())
        {
            let after = self.chances.times.scale(100 * MILLI, SECOND);
            self.plan_in(after, Step::Start { node: number });
        } else {
            return violation("start", format!("{} does not start: {error}", node.id));
        }
        Ok(())
    }

    /// The operator's stop is done.
    pub(crate) fn on_stopped(&mut self, number: usize) -> Checked {
        self.settle(number)?;
        self.forget_misdirection(number);
        let node = &mut self.nodes[number];
        let Some(live) = node.live.take() else { return Ok(()) };
        let closed = live.close();
        self.trace.say(self.now, || format!("{} has stopped", node.id));
        if closed.is_err() && node.doomed {
            self.lose_power(number, 50 * MILLI);
            return Ok(());
        }
        self.end_life(number);
        let after = self.chances.times.scale(10 * MILLI, 3 * SECOND);
        self.plan_in(after, Step::Start { node: number });
        Ok(())
    }

    /// The node can't go on: was there a reason?
    pub(crate) fn on_halt(&mut self, number: usize, halt: Halt) -> Checked {
        let node = &mut self.nodes[number];
        self.trace.say(self.now, || format!("{} halts: {}", node.id, halt.reason));
        self.trace.note(&[9, self.now, number as u64]);
        if node.doomed {
            self.lose_power(number, 50 * MILLI);
            return Ok(());
        }
        let explained = match halt.kind {
            HaltKind::Full => node.full,
            HaltKind::Disk => {
                [Fault::FailedSync, Fault::FailedPersist].iter().any(|fault| self.plan.rate(*fault).is_some())
            }
            HaltKind::Corruption => node.damage.is_some() || node.misdirecting == Misdirecting::Landed,
            HaltKind::Machine | HaltKind::Removed => false,
        };
        if !explained {
            return violation("halts", format!("{} halts without a reason: {}", node.id, halt.reason));
        }
        self.end_life(number);
        let after = self.chances.times.scale(10 * MILLI, 3 * SECOND);
        self.plan_in(after, Step::Start { node: number });
        Ok(())
    }

    /// The process ends; its disks keep what was written.
    pub(crate) fn kill(&mut self, number: usize, back_after_us: u64) {
        self.trace.say(self.now, || format!("n{} is killed", number + 1));
        self.end_life(number);
        self.plan_in(back_after_us, Step::Start { node: number });
    }

    /// Power is lost: of what was not synced, chance decides.
    pub(crate) fn lose_power(&mut self, number: usize, back_after_us: u64) {
        self.trace.say(self.now, || format!("n{} loses power", number + 1));
        self.end_life(number);
        let random = &mut self.chances.disk;
        let mood = random.below(4);
        let node = &mut self.nodes[number];
        node.disk.memory().crash_with(|_, bytes| match (mood, random.below(3)) {
            (0, _) | (1 | 2, 0) => Fate::Lost,
            (1, 1) => Fate::Torn(random.below(bytes as u64 + 1) as usize),
            (1 | 2, _) | (3.., _) => Fate::Kept,
        });
        node.store = Arc::new(node.store.after_power_loss(random));
        self.go_back(number);
        let node = &mut self.nodes[number];
        node.doomed = false;
        if node.full {
            // The crash forgot it.
            node.disk.memory().limit_bytes(Some(0));
        }
        self.plan_in(back_after_us, Step::Start { node: number });
    }

    /// A broken rule for the checks to find.
    fn go_back(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if let Some((log, tables)) = node.past.drain(..).next() {
            node.disk = SimDisk::over(log, self.plan.mutation);
            if self.plan.mutation == Some(Mutation::DiskGoesBack) {
                node.store = Arc::new(node.store.gone_back_to(&tables));
            }
        }
    }

    /// A node ends with a write that is to go astray, or has gone and can't be found: what it lost can't be told from a torn tail.
    pub(crate) fn forget_misdirection(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        match node.misdirecting {
            Misdirecting::No => {}
            Misdirecting::Armed if !node.disk.has_misdirected() => node.disk.forget_misdirection(),
            Misdirecting::Armed | Misdirecting::Landed => (node.gone, node.damage) = (true, Some(Damage::Misdirected)),
        }
        node.misdirecting = Misdirecting::No;
    }

    pub(crate) fn end_life(&mut self, number: usize) {
        self.forget_misdirection(number);
        let node = &mut self.nodes[number];
        node.live = None;
        node.life += 1;
        node.paused_until = 0;
        node.turned_away_by.clear();
        (node.wake_planned, node.log_planned, node.tables_planned, node.queries_planned) = (false, false, false, false);
        let inbox = std::mem::take(&mut node.inbox);
        let waiting = std::mem::take(&mut node.waiting);
        let asked = inbox.into_iter().filter_map(|input| match input {
            Input::Request { ticket, .. } => Some(ticket),
            Input::Frame { .. }
            | Input::PeerUp(_)
            | Input::PeerDown(_)
            | Input::SnapshotSent { .. }
            | Input::Component { .. }
            | Input::Stop => None,
        });
        for ticket in asked.chain(waiting.into_iter().map(|(ticket, ..)| ticket)) {
            self.send_answer(ticket, None);
        }
        for peer in 0..self.nodes.len() {
            self.links.cut(number, peer);
        }
        self.look_around(number, 3 * SECOND);
    }
}

/// In a world that loses what was promised, the other checks are to find it.
fn tolerates_forgetting(mutation: Option<Mutation>) -> bool {
    match mutation {
        Some(Mutation::SyncsDropped | Mutation::AckBeforeSync | Mutation::DiskGoesBack | Mutation::VotesForgotten) => {
            true
        }
        Some(
            Mutation::TablesForgotten
            | Mutation::StaleReads
            | Mutation::EntriesAltered
            | Mutation::WritesInvented
            | Mutation::TableWritesLost,
        )
        | None => false,
    }
}

/// Windows so small that they are always full.
fn narrow(config: Config) -> Config {
    Config {
        append_bytes_max: 400,
        inflight_messages_max: 3,
        inflight_bytes_max: 1_000,
        uncommitted_bytes_max: 4_000,
        cache_bytes_max: 1_500,
        apply_bytes_max: 600,
        ..config
    }
}
