//! What goes wrong every now and then, and how it ends. What comes with a chance for each frame is in `network`.
//!
//! Damage of what was durable is bounded to a minority of the voters (`members`): nothing can be promised beyond that.

use crate::checks::Checked;
use crate::disk::SimDisk;
use crate::node::{Damage, Input, Misdirecting, SimNode};
use crate::plan::{Fault, MILLI, Rate, SECOND};
use crate::store::SimStore;
use crate::world::{Step, World};
use std::sync::Arc;

/// How a fault ends.
#[derive(Clone, Debug)]
pub(crate) enum FaultEnd {
    /// Frames pass again.
    Unblock { ways: Vec<(usize, usize)>, breaks: bool },
    /// There is room again.
    Room(usize),
    /// The log's disk is as fast as before.
    FastLog(usize),
    /// The tables' disk is as fast as before.
    FastTables(usize),
    /// Power is lost although the disk was never stopped.
    Doom { node: usize, life: u64 },
}

impl World<'_> {
    pub(crate) fn on_fault(&mut self, fault: Fault) -> Checked {
        if self.heal.is_some() {
            return Ok(());
        }
        if let Some(Rate::EveryUs(mean)) = self.plan.rate(fault) {
            self.plan_fault(fault, mean);
        }
        self.trace.note(&[15, self.now, fault as u64]);
        if self.inject(fault)? {
            self.figures.count(fault);
        }
        Ok(())
    }

    /// True if it took place.
    fn inject(&mut self, fault: Fault) -> Result<bool, crate::checks::Violation> {
        let nodes = self.nodes.len();
        let some = self.fault_chance(fault).below(nodes as u64) as usize;
        match fault {
            Fault::Partition => return Ok(self.partition()),
            Fault::PartialPartition => return Ok(self.partial_partition()),
            Fault::OneWay => return Ok(self.one_way(some)),
            Fault::LinkFlap => return Ok(self.link_flap(some)),
            Fault::Kill => {
                let back = self.fault_chance(fault).scale(5 * MILLI, 4 * SECOND);
                let may = self.may_end(some);
                if may {
                    self.kill(some, back);
                }
                return Ok(may);
            }
            Fault::PowerLoss => {
                let back = self.fault_chance(fault).scale(20 * MILLI, 4 * SECOND);
                let may = self.may_end(some);
                if may {
                    self.lose_power(some, back);
                }
                return Ok(may);
            }
            Fault::PowerLossInStep => return Ok(self.power_loss_in_step(some)),
            Fault::Blackout => return Ok(self.blackout()),
            Fault::Stop => {
                let may = self.may_end(some);
                if may {
                    self.trace.say(self.now, || format!("n{} is asked to stop", some + 1));
                    self.give(some, Input::Stop);
                }
                return Ok(may);
            }
            Fault::Pause => {
                let lasts = self.fault_chance(fault).scale(50 * MILLI, 5 * SECOND);
                let may = self.nodes[some].live.is_some();
                if may {
                    self.trace.say(self.now, || format!("n{} stands still for {lasts} us", some + 1));
                    let until = self.now + lasts;
                    self.nodes[some].paused_until = self.nodes[some].paused_until.max(until);
                }
                return Ok(may);
            }
            Fault::Misdirection => return Ok(self.misdirect(some)),
            Fault::BitFlip => return Ok(self.flip_bit(some)),
            Fault::DiskFull => return Ok(self.fill_disk(some)),
            Fault::SlowDisk => {
                let random = self.fault_chance(fault);
                let (factor, lasts) = (random.scale(5, 100), random.scale(100 * MILLI, 6 * SECOND));
                self.trace.say(self.now, || format!("n{}'s log takes {factor} times as long", some + 1));
                self.nodes[some].slow_log = factor;
                self.plan_in(lasts, Step::FaultEnd(FaultEnd::FastLog(some)));
            }
            Fault::SlowTables => {
                let random = self.fault_chance(fault);
                let (factor, lasts) = (random.scale(5, 100), random.scale(100 * MILLI, 6 * SECOND));
                self.nodes[some].slow_tables = factor;
                self.plan_in(lasts, Step::FaultEnd(FaultEnd::FastTables(some)));
            }
            Fault::FailedSync => {
                let may = self.nodes[some].is_sound();
                if may {
                    self.trace.say(self.now, || format!("n{}'s next sync will fail", some + 1));
                    self.nodes[some].disk.memory().fail_next_sync();
                }
                return Ok(may);
            }
            Fault::FailedPersist => {
                let may = self.may_end(some);
                if may {
                    self.trace.say(self.now, || format!("n{}'s tables will not be made durable", some + 1));
                    self.nodes[some].store.fail_next_persist();
                }
                return Ok(may);
            }
            Fault::ClockJump => {
                let random = self.fault_chance(fault);
                let by = random.scale(1, 3_600_000) as i64;
                let by = if random.percent(50) { by } else { -by };
                self.trace.say(self.now, || format!("n{}'s clock jumps by {by} ms", some + 1));
                self.nodes[some].wall_offset_ms += by;
            }
            Fault::Membership => return Ok(self.begin_errand()),
            Fault::Wipe => return Ok(self.wipe(some)),
            Fault::Emptied => return self.empty(some),
            Fault::Upgrade => self.push_engine(),
            Fault::Transfer => self.transfer(),
            Fault::Loss
            | Fault::Duplication
            | Fault::Reordering
            | Fault::Delay
            | Fault::EnginesLost
            | Fault::Trap
            | Fault::SnapshotCut => {
                unreachable!("these come by chance")
            }
        }
        Ok(true)
    }

    /// A process may end here: it lives, and no write is astray that nobody could find.
    fn may_end(&self, node: usize) -> bool {
        let node = &self.nodes[node];
        node.live.is_some() && !node.is_astray()
    }

    fn partition(&mut self) -> bool {
        let count = self.nodes.len();
        if count == 1 {
            return false;
        }
        let random = self.fault_chance(Fault::Partition);
        let (halves, lasts) = (random.between(1, (1 << count) - 2), random.scale(100 * MILLI, 8 * SECOND));
        let apart = |one: usize, other: usize| (halves >> one & 1) != (halves >> other & 1);
        let pairs = pairs(count).filter(|(one, other)| apart(*one, *other)).collect();
        self.trace.say(self.now, || format!("the cluster falls apart: {halves:b} for {lasts} us"));
        self.block(pairs, lasts, true);
        true
    }

    fn partial_partition(&mut self) -> bool {
        let count = self.nodes.len();
        let random = self.fault_chance(Fault::PartialPartition);
        let lasts = random.scale(100 * MILLI, 8 * SECOND);
        let share = *random.pick(&[20, 40, 60]);
        let cut: Vec<(usize, usize)> =
            pairs(count).filter(|(one, other)| one < other && random.percent(share)).collect();
        if cut.is_empty() {
            return false;
        }
        self.trace.say(self.now, || format!("no way between {cut:?} for {lasts} us"));
        let both = cut.iter().flat_map(|(one, other)| [(*one, *other), (*other, *one)]).collect();
        self.block(both, lasts, true);
        true
    }

    fn one_way(&mut self, node: usize) -> bool {
        let count = self.nodes.len();
        let random = self.fault_chance(Fault::OneWay);
        let (lasts, out, all) = (random.scale(100 * MILLI, 6 * SECOND), random.percent(50), random.percent(50));
        // A connection may stand for long while frames get lost one way, or break soon.
        let stands = random.percent(50);
        let peers: Vec<usize> = (0..count).filter(|peer| *peer != node && (all || random.percent(40))).collect();
        if peers.is_empty() {
            return false;
        }
        self.trace.say(self.now, || {
            format!("n{} {} {peers:?} for {lasts} us", node + 1, if out { "isn't heard by" } else { "doesn't hear" })
        });
        let ways = peers.iter().map(|peer| if out { (node, *peer) } else { (*peer, node) }).collect();
        self.block(ways, lasts, !stands);
        true
    }

    fn block(&mut self, ways: Vec<(usize, usize)>, lasts: u64, breaks: bool) {
        for (from, to) in &ways {
            self.links.block(*from, *to, breaks);
            self.look_later(*from, *to, 4 * SECOND);
        }
        self.plan_in(lasts, Step::FaultEnd(FaultEnd::Unblock { ways, breaks }));
    }

    fn link_flap(&mut self, node: usize) -> bool {
        let count = self.nodes.len() as u64;
        let peer = self.fault_chance(Fault::LinkFlap).below(count) as usize;
        if peer == node || !self.links.is_up(node, peer) {
            return false;
        }
        self.links.cut(node, peer);
        self.give(node, Input::PeerDown(peer));
        self.look_later(node, peer, 500 * MILLI);
        true
    }

    /// The disk stops at one of its next steps, and power is lost then.
    fn power_loss_in_step(&mut self, number: usize) -> bool {
        let random = self.fault_chance(Fault::PowerLossInStep);
        let (steps, bytes) = (random.below(8), random.below(300) as usize);
        let node = &mut self.nodes[number];
        if !node.is_sound() {
            return false;
        }
        let disk = node.disk.memory();
        disk.stop_at(disk.steps() + steps, bytes);
        node.doomed = true;
        let life = node.life;
        self.trace.say(self.now, || format!("n{} will lose power at a step of its disk", number + 1));
        self.plan_in(SECOND, Step::FaultEnd(FaultEnd::Doom { node: number, life }));
        true
    }

    fn blackout(&mut self) -> bool {
        if self.nodes.iter().any(SimNode::is_astray) {
            return false;
        }
        for node in 0..self.nodes.len() {
            let back = self.fault_chance(Fault::Blackout).scale(10 * MILLI, 3 * SECOND);
            if self.nodes[node].live.is_some() {
                self.lose_power(node, back);
            }
        }
        true
    }

    fn misdirect(&mut self, number: usize) -> bool {
        let back = self.fault_chance(Fault::Misdirection).between(1, 40) * 8 + 128;
        if !self.may_damage() || !self.nodes[number].is_sound() || self.plan.rate(Fault::FailedSync).is_some() {
            return false;
        }
        self.trace.say(self.now, || format!("a write of n{} will land {back} bytes before its place", number + 1));
        let node = &mut self.nodes[number];
        node.disk.misdirect_next(back);
        node.misdirecting = Misdirecting::Armed;
        true
    }

    /// In a closed segment: a flip in the newest batches can't be told from a write that was torn.
    fn flip_bit(&mut self, number: usize) -> bool {
        let node = &self.nodes[number];
        if !self.may_damage() || node.damage.is_some() || node.misdirecting != Misdirecting::No || node.doomed {
            return false;
        }
        let disk = node.disk.memory();
        let mut files = outboard_wal::Disk::list(disk).unwrap_or_default();
        files.retain(|file| file.ends_with(".wal"));
        files.sort();
        // Damage of the log's very last batch can't be told from a torn tail, and the last file may be one that was only made in advance.
        files.truncate(files.len().saturating_sub(2));
        if files.is_empty() {
            return false;
        }
        let random = self.fault_chances.get_mut(&Fault::BitFlip).expect("every fault has a stream");
        let file = random.pick(&files).clone();
        let bytes = disk.bytes_of(&file).map_or(0, |bytes| bytes.len() as u64);
        let (offset, bit) = (random.below(bytes.max(1)), random.below(8) as u8);
        if !disk.flip_bit(&file, offset, bit) {
            return false;
        }
        self.trace.say(self.now, || format!("bit {bit} of byte {offset} in {file} of n{} flips", number + 1));
        self.nodes[number].damage = Some(Damage::Bit { file, offset, bit });
        true
    }

    /// As a careless operator does it: the folder stays, and what the node is called.
    fn empty(&mut self, number: usize) -> Result<bool, crate::checks::Violation> {
        let back = self.fault_chance(Fault::Emptied).scale(20 * MILLI, 4 * SECOND);
        // Who has founded a cluster alone and lost everything knows of nobody else, and rightly does not start.
        let alone = self.plan.nodes == 1 && number == 0;
        if alone || !self.nodes[number].is_sound() || !self.may_damage() {
            return Ok(false);
        }
        self.settle(number)?;
        self.trace.say(self.now, || format!("n{} has lost log and tables", number + 1));
        self.end_life(number);
        let (plan, node) = (self.plan, &mut self.nodes[number]);
        node.disk = SimDisk::new(plan.mutation);
        node.store = Arc::new(SimStore::new(plan.mutation.filter(|_| number == 0)));
        node.past.clear();
        node.lost = true;
        self.plan_in(back, Step::Start { node: number });
        Ok(true)
    }

    fn fill_disk(&mut self, number: usize) -> bool {
        let lasts = self.fault_chance(Fault::DiskFull).scale(200 * MILLI, 5 * SECOND);
        let node = &mut self.nodes[number];
        if !node.is_sound() {
            return false;
        }
        node.disk.memory().limit_bytes(Some(0));
        node.full = true;
        self.trace.say(self.now, || format!("n{}'s disk is full", number + 1));
        self.plan_in(lasts, Step::FaultEnd(FaultEnd::Room(number)));
        true
    }

    pub(crate) fn on_fault_end(&mut self, end: FaultEnd) -> Checked {
        if self.heal.is_some() {
            return Ok(());
        }
        match end {
            FaultEnd::Unblock { ways, breaks } => {
                for (from, to) in ways {
                    self.links.unblock(from, to, breaks);
                    self.look_later(from, to, SECOND);
                }
            }
            FaultEnd::Room(number) => self.make_room(number),
            FaultEnd::FastLog(number) => self.nodes[number].slow_log = 1,
            FaultEnd::FastTables(number) => self.nodes[number].slow_tables = 1,
            FaultEnd::Doom { node, life } => {
                if self.nodes[node].life == life && self.nodes[node].doomed {
                    self.lose_power(node, 50 * MILLI);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn make_room(&mut self, number: usize) {
        self.nodes[number].disk.memory().limit_bytes(None);
        self.nodes[number].full = false;
    }
}

/// All ways from a node to another one.
fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count).flat_map(move |one| (0..count).filter(move |other| *other != one).map(move |other| (one, other)))
}
