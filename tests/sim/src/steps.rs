//! The steps of a simulated node in one life. The loop's part is [`World::think`]: take what waits, think once, hand out what
//! there is to do. The workers' parts take simulated time.

use crate::checks::{Checked, violation};
use crate::mutation::Mutation;
use crate::node::{Damage, Input, Misdirecting};
use crate::plan::{MILLI, SECOND};
use crate::world::{Step, World};
use outboard_node::Halt;
use outboard_raft::NodeId;
use outboard_store::Store;

/// A request that is not answered so long after its time is over was forgotten, in microseconds.
const ANSWER_LATE_US: u64 = 2 * SECOND;

impl World<'_> {
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
        if self.plan.churns() {
            self.maybe_read_book(number);
        }
        if let Some(at) = wants.left {
            return self.on_left(number, at);
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
        let stalled = || node.live.as_ref().is_some_and(|live| live.status().stalled_for.is_some());
        let busy = || node.tables_planned || node.queries_planned || stalled();
        if late && !busy() && self.nodes[number].paused_until + ANSWER_LATE_US < now {
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
}
