//! One simulated node: its disks, its lives, and its steps. The loop's part is [`World::think`]: take what waits, think once,
//! hand out what there is to do.

use crate::checks::{Checked, Promised, violation};
use crate::clients::Ticket;
use crate::disk::SimDisk;
use crate::engines::Engines;
use crate::faults::FaultEnd;
use crate::plan::{Fault, MILLI, Mutation, Plan, SECOND};
use crate::random::Random;
use crate::store::SimStore;
use crate::world::{Step, World};
use bytes::Bytes;
use outboard_node::stepped::{Now, Settings, SteppedNode, Waiting};
use outboard_node::{Durability, Halt, HaltKind, StartError};
use outboard_raft::{Config, NodeId, Position};
use outboard_store::{Store, View};
use outboard_wal::{Fate, MemDisk, Options};
use outboard_wire::client::Request;
use outboard_wire::command::Digest;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// Milliseconds since 1970 when a world begins.
const WALL_MS: u64 = 1_700_000_000_000;
/// The cluster's number; that of no other world matters.
const CLUSTER: u128 = 0x5eed;
/// A request that is not answered so long after its time is over was forgotten, in microseconds.
const ANSWER_LATE_US: u64 = 2 * SECOND;

/// What waits for a node's loop.
#[derive(Debug)]
pub(crate) enum Input {
    Frame { from: usize, bytes: Bytes },
    PeerUp(usize),
    PeerDown(usize),
    Request { ticket: Ticket, request: Request },
    SnapshotSent { to: NodeId, at: Position, ok: bool },
    Component { digest: Digest, came: bool },
    Stop,
}

/// What is wrong with a log that is to be found by the next start.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    /// A bit flipped; flipping it again heals.
    Bit { file: String, offset: u64, bit: u8 },
    /// A write went to the wrong place, and later ones were synced.
    Misdirected,
}

/// How far a write has come that goes to the wrong place. Until a later batch covers it, the log can't know.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Misdirecting {
    No,
    Armed,
    /// It landed.
    Landed,
}

/// A node, alive or not.
pub(crate) struct SimNode {
    pub(crate) id: NodeId,
    pub(crate) disk: SimDisk,
    pub(crate) store: Arc<SimStore>,
    /// Components on its disk.
    pub(crate) components: BTreeSet<Digest>,
    pub(crate) live: Option<SteppedNode>,
    /// Counts starts and ends.
    pub(crate) life: u64,
    pub(crate) paused_until: u64,
    pub(crate) promised: Promised,
    pub(crate) damage: Option<Damage>,
    pub(crate) misdirecting: Misdirecting,
    /// Its start refused to go on; it stays down until faults are over.
    pub(crate) refused: bool,
    /// What it had can't be had again.
    pub(crate) gone: bool,
    /// Power is lost as soon as its disk stops.
    pub(crate) doomed: bool,
    pub(crate) full: bool,
    /// Its disks take so many times as long.
    pub(crate) slow_log: u64,
    pub(crate) slow_tables: u64,
    pub(crate) wall_offset_ms: i64,
    tick_us: u64,
    /// Log and tables before the last batches, for worlds that forget those.
    past: VecDeque<(MemDisk, Arc<dyn View>)>,
    inbox: Vec<Input>,
    waiting: Vec<(Ticket, Waiting, u64)>,
    wake_planned: bool,
    log_planned: bool,
    tables_planned: bool,
    queries_planned: bool,
}

impl SimNode {
    pub(crate) fn new(number: usize, plan: &Plan, engines: &Engines) -> SimNode {
        let mut random = Random::of(plan.seed ^ number as u64, "node");
        SimNode {
            id: NodeId(number as u64 + 1),
            disk: SimDisk::new(plan.mutation),
            store: Arc::new(SimStore::new(plan.mutation.filter(|_| number == 0))),
            components: BTreeSet::from([Digest(engines.all()[plan.engine].digest().0)]),
            live: None,
            life: 0,
            paused_until: 0,
            promised: Promised::default(),
            damage: None,
            misdirecting: Misdirecting::No,
            refused: false,
            gone: false,
            doomed: false,
            full: false,
            slow_log: 1,
            slow_tables: 1,
            wall_offset_ms: random.below(2_000) as i64 - 1_000,
            tick_us: 50 * MILLI * random.between(90, 110) / 100,
            past: VecDeque::new(),
            inbox: Vec::new(),
            waiting: Vec::new(),
            wake_planned: false,
            log_planned: false,
            tables_planned: false,
            queries_planned: false,
        }
    }

    pub(crate) fn clock(&self, now_us: u64) -> Now {
        let wall_ms = (WALL_MS + now_us / 1_000).saturating_add_signed(self.wall_offset_ms);
        Now { wall_ms, mono_us: now_us }
    }

    /// The live node of this life.
    fn of_life(&mut self, life: u64) -> Option<&mut SteppedNode> {
        if self.life == life { self.live.as_mut() } else { None }
    }

    /// A write has gone astray and nothing behind it shows that.
    pub(crate) fn is_astray(&self) -> bool {
        match self.misdirecting {
            Misdirecting::No => false,
            Misdirecting::Armed => self.disk.has_misdirected(),
            Misdirecting::Landed => true,
        }
    }

    /// Nothing is under way that must not be mixed with another fault of its disk.
    pub(crate) fn is_sound(&self) -> bool {
        self.live.is_some()
            && self.damage.is_none()
            && self.misdirecting == Misdirecting::No
            && !self.doomed
            && !self.full
            && !self.refused
            && !self.gone
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
            voters: self.nodes.iter().map(|node| node.id).collect(),
            cluster: CLUSTER,
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
        let (last, commit) = (live.raft().last(), live.raft().commit());
        self.trace.say(self.now, || format!("{} starts, log to {last}, tables at {commit}", node.id));
        self.trace.note(&[2, live.raft().term().0, last.index.0, commit.0]);
        if !tolerates_forgetting(self.plan.mutation) {
            self.checks.on_recovered(&live, &node.promised)?;
        }
        if let Some(Damage::Misdirected) = node.damage {
            // What it hit was compacted or freed.
            self.figures.damage_harmless += 1;
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
            || matches!(error, StartError::Folder { .. }) && failing
        {
            let after = self.chances.times.scale(100 * MILLI, SECOND);
            self.plan_in(after, Step::Start { node: number });
        } else {
            return violation("start", format!("{} does not start: {error}", node.id));
        }
        Ok(())
    }

    pub(crate) fn on_tick(&mut self, number: usize, life: u64) -> Checked {
        let now = self.nodes[number].clock(self.now);
        let Some(live) = self.nodes[number].of_life(life) else { return Ok(()) };
        live.tick(now);
        let after = self.nodes[number].tick_us + self.chances.times.below(2 * MILLI);
        self.plan_in(after, Step::Tick { node: number, life });
        self.think(number)
    }

    pub(crate) fn on_wake(&mut self, number: usize, life: u64) -> Checked {
        if self.nodes[number].of_life(life).is_none() {
            return Ok(());
        }
        self.nodes[number].wake_planned = false;
        self.think(number)
    }

    /// Something for the loop, which wakes up a moment later and takes what has come until then.
    pub(crate) fn give(&mut self, number: usize, input: Input) {
        if self.nodes[number].live.is_some() {
            self.nodes[number].inbox.push(input);
            self.wake(number);
        }
    }

    fn wake(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if !std::mem::replace(&mut node.wake_planned, true) {
            let life = node.life;
            let after = self.chances.times.between(3, 60);
            self.plan_in(after, Step::Wake { node: number, life });
        }
    }

    /// The loop: everything that waits, one flush, everything that is to be done.
    fn think(&mut self, number: usize) -> Checked {
        for input in std::mem::take(&mut self.nodes[number].inbox) {
            self.take_in(number, input)?;
        }
        let node = &mut self.nodes[number];
        let now = node.clock(self.now);
        let Some(live) = &mut node.live else { return Ok(()) };
        let wants = match live.flush(now) {
            Ok(wants) => wants,
            Err(halt) => return self.on_halt(number, halt),
        };
        let raft = live.raft();
        self.trace.note(&[3, self.now, number as u64, raft.term().0, raft.last().index.0, raft.commit().0]);
        self.trace.note(&[raft.applied().0, raft.leader().map_or(0, |leader| leader.0)]);
        let life = node.life;
        self.checks.on_appended(live, &wants.appended)?;
        self.checks.on_committed(live, &wants.committed)?;
        self.checks.on_thought(live, life)?;
        self.checks.on_marks(live.raft().id(), &wants.marks)?;
        if self.trace.is_telling() {
            self.tell_thought(number);
        }
        for request in wants.snapshots {
            self.send_snapshot(number, request)?;
        }
        for engine in wants.engines {
            let after = self.chances.transfers.scale(MILLI, 300 * MILLI);
            self.plan_in(after, Step::Fetch { node: number, life, digest: engine.digest });
        }
        if wants.stopped {
            return self.on_stopped(number);
        }
        self.settle(number)
    }

    fn tell_thought(&mut self, number: usize) {
        let node = &self.nodes[number];
        let Some(live) = &node.live else { return };
        let raft = live.raft();
        let (id, role, term) = (node.id, raft.role(), raft.term());
        let (last, durable, commit, applied) = (raft.last(), raft.durable(), raft.commit(), raft.applied());
        self.trace.say(self.now, || {
            format!("{id} {role} of term {term}, log {last} (durable {durable}), commit {commit}, applied {applied}")
        });
    }

    fn take_in(&mut self, number: usize, input: Input) -> Checked {
        let node = &mut self.nodes[number];
        let now = node.clock(self.now);
        let Some(live) = &mut node.live else { return Ok(()) };
        match input {
            Input::Frame { from, bytes } => {
                if !live.on_frame(NodeId(from as u64 + 1), &bytes, now) {
                    return violation("frames", format!("{} can't read a frame of n{}", node.id, from + 1));
                }
            }
            Input::PeerUp(peer) => live.on_peer_up(NodeId(peer as u64 + 1), now),
            Input::PeerDown(peer) => live.on_peer_down(NodeId(peer as u64 + 1), now),
            Input::Request { ticket, request } => {
                let late = self.now + u64::from(request.timeout_ms) * 1_000 + ANSWER_LATE_US;
                let waiting = live.on_request(request, now);
                node.waiting.push((ticket, waiting, late));
            }
            Input::SnapshotSent { to, at, ok } => live.on_snapshot_sent(to, at, ok, now),
            Input::Component { digest, came } => {
                let component = if came { self.engines.find(&digest) } else { None };
                if component.is_some() {
                    node.components.insert(digest);
                }
                live.on_component(digest, component, now);
            }
            Input::Stop => live.stop(now),
        }
        Ok(())
    }

    /// After every step of a node: what it sends leaves, its workers get their turns, who waits is answered.
    pub(crate) fn settle(&mut self, number: usize) -> Checked {
        let node = &mut self.nodes[number];
        let life = node.life;
        let Some(live) = &mut node.live else { return Ok(()) };
        let frames = live.take_frames();
        if live.has_log_work() && !std::mem::replace(&mut node.log_planned, true) {
            let after = self.chances.disk.between(3, 40);
            self.plan_in(after, Step::LogBegin { node: number, life });
        }
        let node = &mut self.nodes[number];
        let Some(live) = &mut node.live else { return Ok(()) };
        if live.has_table_work() && !std::mem::replace(&mut node.tables_planned, true) {
            let (low, high) = self.plan.tables_us;
            let after = self.chances.disk.between(low, high) * node.slow_tables;
            self.plan_in(after, Step::Tables { node: number, life });
        }
        let node = &mut self.nodes[number];
        let Some(live) = &mut node.live else { return Ok(()) };
        if live.has_queries() && !std::mem::replace(&mut node.queries_planned, true) {
            let after = self.chances.disk.between(5, 300);
            self.plan_in(after, Step::Queries { node: number, life });
        }
        self.send(number, frames)?;
        self.answer(number)
    }

    /// Whoever got an answer from this node.
    fn answer(&mut self, number: usize) -> Checked {
        let now = self.now;
        let (mut answers, mut late) = (Vec::new(), false);
        self.nodes[number].waiting.retain_mut(|(ticket, waiting, late_at)| match waiting.poll() {
            Ok(None) => {
                late |= now > *late_at;
                true
            }
            Ok(Some(response)) => {
                answers.push((*ticket, Some(response)));
                false
            }
            Err(_) => {
                answers.push((*ticket, None));
                false
            }
        });
        // Who waits for tables that are slow waits for as long as they take.
        let node = &self.nodes[number];
        let stalled = node.live.as_ref().is_some_and(|live| live.status().stalled_for.is_some());
        let busy = node.tables_planned || node.queries_planned || late && stalled;
        if late && !busy && self.nodes[number].paused_until + ANSWER_LATE_US < now {
            return violation("answers", format!("{} forgot a request", self.nodes[number].id));
        }
        for (ticket, response) in answers {
            if response.is_none() {
                return violation("answers", format!("{} threw a request away", self.nodes[number].id));
            }
            self.send_answer(ticket, response);
        }
        Ok(())
    }

    /// For worlds that go back: where log and tables were before this batch.
    fn keep_past(&mut self, number: usize) {
        let kept = match self.plan.mutation {
            Some(Mutation::VotesForgotten) => 1,
            Some(Mutation::DiskGoesBack) => 3,
            Some(_) | None => return,
        };
        let node = &mut self.nodes[number];
        node.past.push_back((node.disk.memory().fork(), node.store.view()));
        if node.past.len() > kept {
            node.past.pop_front();
        }
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

    pub(crate) fn on_log_begin(&mut self, number: usize, life: u64) -> Checked {
        self.keep_past(number);
        let Some(live) = self.nodes[number].of_life(life) else { return Ok(()) };
        let last = live.wal().last();
        let begun = live.log_begin();
        if self.plan.mutation == Some(Mutation::VotesForgotten) && live.wal().last() != last {
            // Only batches that hold nothing but a term and a vote are forgotten.
            self.nodes[number].past.clear();
        }
        self.trace.note(&[4, self.now, number as u64]);
        if let Err(halt) = begun {
            return self.on_halt(number, halt);
        }
        let (low, high) = self.plan.sync_us;
        let after = self.chances.disk.between(low, high) * self.nodes[number].slow_log;
        self.plan_in(after, Step::LogEnd { node: number, life });
        self.wake(number);
        self.settle(number)
    }

    pub(crate) fn on_log_end(&mut self, number: usize, life: u64) -> Checked {
        let node = &mut self.nodes[number];
        let Some(live) = node.of_life(life) else { return Ok(()) };
        let last_before = live.wal().last();
        if let Err(halt) = live.log_end() {
            return self.on_halt(number, halt);
        }
        self.trace.note(&[5, self.now, number as u64, last_before.index.0]);
        let (hard_state, last) = (live.wal().hard_state(), live.wal().last());
        let appended = node.promised.last != last;
        node.promised.hard_state = hard_state;
        node.promised.last = last;
        node.log_planned = false;
        self.follow_misdirection(number, appended);
        if self.plan.mutation == Some(Mutation::AckBeforeSync) {
            let (low, high) = self.plan.sync_us;
            let after = self.chances.disk.between(low, high) * 4;
            self.plan_in(after, Step::LogPromises { node: number, life });
        }
        self.wake(number);
        self.settle(number)
    }

    /// A write that went astray is damage that must be found from the moment on when a later batch was synced.
    fn follow_misdirection(&mut self, number: usize, appended: bool) {
        let node = &mut self.nodes[number];
        match node.misdirecting {
            Misdirecting::Armed if node.disk.has_misdirected() => node.misdirecting = Misdirecting::Landed,
            Misdirecting::Landed if appended => {
                node.misdirecting = Misdirecting::No;
                node.damage = Some(Damage::Misdirected);
            }
            Misdirecting::No | Misdirecting::Armed | Misdirecting::Landed => {}
        }
    }

    pub(crate) fn on_log_promises(&mut self, number: usize, life: u64) -> Checked {
        if self.nodes[number].life == life {
            self.nodes[number].disk.keep_promises();
        }
        Ok(())
    }

    pub(crate) fn on_tables(&mut self, number: usize, life: u64) -> Checked {
        let Some(live) = self.nodes[number].of_life(life) else { return Ok(()) };
        if let Err(halt) = live.tables_step() {
            return self.on_halt(number, halt);
        }
        let (at, running) = live.running();
        self.trace.note(&[6, self.now, number as u64, at.index.0]);
        self.checks.on_running(self.nodes[number].id, at, running)?;
        self.nodes[number].tables_planned = false;
        self.wake(number);
        self.settle(number)
    }

    pub(crate) fn on_queries(&mut self, number: usize, life: u64) -> Checked {
        let now = self.nodes[number].clock(self.now);
        let Some(live) = self.nodes[number].of_life(life) else { return Ok(()) };
        if let Err(halt) = live.queries_step(now) {
            return self.on_halt(number, halt);
        }
        self.trace.note(&[7, self.now, number as u64]);
        self.nodes[number].queries_planned = false;
        self.wake(number);
        self.settle(number)
    }

    pub(crate) fn on_persist(&mut self, number: usize, life: u64) -> Checked {
        let Some(live) = self.nodes[number].of_life(life) else { return Ok(()) };
        if let Err(error) = live.persist() {
            return self.on_halt(number, Halt::from(error));
        }
        self.trace.note(&[8, self.now, number as u64]);
        let after = self.plan.persist_us + self.chances.times.below(100 * MILLI);
        self.plan_in(after, Step::Persist { node: number, life });
        self.wake(number);
        self.settle(number)
    }

    /// The operator's stop is done.
    fn on_stopped(&mut self, number: usize) -> Checked {
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
    fn on_halt(&mut self, number: usize, halt: Halt) -> Checked {
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
            HaltKind::Machine => false,
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

    /// A node ends with a write that is to go astray, or has gone and can't be found: what it lost can't be told from a torn tail.
    fn forget_misdirection(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        match node.misdirecting {
            Misdirecting::No => {}
            Misdirecting::Armed if !node.disk.has_misdirected() => node.disk.forget_misdirection(),
            Misdirecting::Armed | Misdirecting::Landed => (node.gone, node.damage) = (true, Some(Damage::Misdirected)),
        }
        node.misdirecting = Misdirecting::No;
    }

    fn end_life(&mut self, number: usize) {
        self.forget_misdirection(number);
        let node = &mut self.nodes[number];
        node.live = None;
        node.life += 1;
        node.paused_until = 0;
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
