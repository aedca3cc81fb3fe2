//! A cluster that is shaken: messages are dropped, repeated and reordered, disks and stores are slow, nodes crash and
//! lose what was not durable, now and then one loses its disk or a part of its log, links are cut, members change, also by
//! force. The harness checks at every step what must always hold;
//! at the end the shaking stops and the cluster must come to agreement.
//!
//! Seeds are fixed. `RAFT_SEEDS=5000 cargo test -p outboard-raft --test cluster simulation` walks further, `RAFT_SEED` walks one of them.

use crate::harness::{Part, World};
use outboard_raft::{Config, Index, Membership, MembershipChange, MembershipStep, NodeId, ReadId, Refusal, RoleKind};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const STEPS: u64 = 3_000;
const PARTS: [Part; 5] = [Part::Disk, Part::Report, Part::Apply, Part::Reads, Part::Install];

#[test]
fn a_fixed_membership_survives_everything() {
    shake(0, Shaking { nodes: 3, spare: 0, changes: false });
}

#[test]
fn five_nodes_survive_everything() {
    shake(1_000_000, Shaking { nodes: 5, spare: 0, changes: false });
}

#[test]
fn m18_a_changing_membership_survives_everything() {
    shake(2_000_000, Shaking { nodes: 3, spare: 3, changes: true });
}

#[test]
fn a_single_node_survives_everything() {
    shake(3_000_000, Shaking { nodes: 1, spare: 0, changes: false });
}

#[derive(Copy, Clone)]
struct Shaking {
    nodes: u64,
    /// Nodes that are no members at first.
    spare: u64,
    changes: bool,
}

fn shake(first_seed: u64, shaking: Shaking) {
    let only: Option<u64> = std::env::var("RAFT_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = std::env::var("RAFT_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(30);
    for seed in (first_seed..first_seed + seeds).filter(|seed| only.is_none_or(|only| only == *seed)) {
        let mut simulation = Simulation::new(seed, shaking);
        let result = catch_unwind(AssertUnwindSafe(|| simulation.run()));
        if let Err(broken) = result {
            let events = &simulation.world.events;
            println!("{}\nseed {seed}", events[events.len().saturating_sub(400)..].join("\n"));
            resume_unwind(broken);
        }
    }
}

struct Simulation {
    world: World,
    random: Random,
    shaking: Shaking,
    /// One in so many disturbances happens.
    calm: usize,
    next_read: u64,
    commands: u64,
}

impl Simulation {
    fn new(seed: u64, shaking: Shaking) -> Simulation {
        let mut random = Random(seed);
        // Small limits, so that every one of them is met.
        let config = Config {
            election_timeout_ticks: 6,
            heartbeat_ticks: 1 + random.below(3) as u32,
            append_bytes_max: 1 + random.below(400),
            inflight_messages_max: 1 + random.below(6),
            inflight_bytes_max: 1 + random.below(1000) + 1,
            uncommitted_bytes_max: 200 + random.below(2000),
            cache_bytes_max: random.below(1000) + 1,
            apply_bytes_max: 1 + random.below(600),
            stall_ticks_max: 7 + random.below(20) as u32,
            seed,
        };
        let members = (1..=shaking.nodes).map(NodeId);
        let mut world = World::new(Membership::of_voters(members), config);
        for id in 1..=shaking.spare {
            world.add_node(NodeId(shaking.nodes + id));
        }
        for node in world.nodes.values_mut() {
            node.held.extend(PARTS);
        }
        let calm = 1 + random.below(8);
        Simulation { world, random, shaking, calm, next_read: 0, commands: 0 }
    }

    fn run(&mut self) {
        for step in 0..STEPS {
            self.step();
            if step % 50 == 0 {
                self.world.check_logs_match();
            }
        }
        self.calm_down();
    }

    fn step(&mut self) {
        let id = self.any_node();
        match self.random.below(100) {
            0..45 => self.deliver(),
            45..53 => self.world.tick(id),
            53..75 => self.work(id),
            75..83 => self.propose(),
            83..87 => self.read(),
            87..90 => self.deliver_bulk(),
            90..93 => self.compact(id),
            93..96 => self.start(id),
            96..98 => self.change_members(),
            _ if self.random.one_in(self.calm) => self.disturb(id),
            _ => {}
        }
    }

    fn disturb(&mut self, id: NodeId) {
        match self.random.below(10) {
            0 => self.crash(id),
            1 => self.cut(id),
            2 | 3 => self.world.cut.clear(),
            4 => self.transfer(),
            5 => self.world.campaign(id),
            6 => {
                let peer = self.any_node();
                self.world.with(id, |raft| raft.on_unreachable(peer));
            }
            7 => self.lose_data(id),
            _ => (0..15).for_each(|_| self.world.tick(id)),
        }
    }

    /// One disk at a time: the next one only when the last one is made good.
    fn lose_data(&mut self, id: NodeId) {
        if !self.can_lose_a_disk() {
            return;
        }
        let node = self.world.node(id);
        let unapplied = node.disk.entries.iter().filter(|entry| entry.index.0 > node.store.durable as u64);
        let unapplied: Vec<Index> = unapplied.map(|entry| entry.index).collect();
        if self.random.one_in(2) {
            self.world.wipe(id);
        } else if !unapplied.is_empty() {
            let from = unapplied[self.random.below(unapplied.len())];
            self.world.damage(id, from);
        }
    }

    /// A quorum is left without any one voter, whatever membership comes to be in force.
    fn can_lose_a_disk(&self) -> bool {
        let nodes = || self.world.nodes.values();
        if nodes().any(|node| node.suspended.is_some()) {
            return false;
        }
        if !self.shaking.changes {
            return self.shaking.nodes >= 3;
        }
        let memberships: Option<Vec<_>> = nodes().map(|node| Some(node.raft.as_ref()?.membership())).collect();
        let Some(memberships) = memberships else { return false };
        let large = |ids: &BTreeSet<NodeId>| ids.len() >= 3;
        memberships.iter().all(|membership| {
            *membership == memberships[0]
                && large(&membership.voters)
                && (!membership.is_joint() || large(&membership.outgoing))
        })
    }

    fn deliver(&mut self) {
        for _ in 0..1 + self.random.below(8) {
            let length = self.world.network.len();
            if length == 0 {
                return;
            }
            // Mostly in order, sometimes not.
            let place = if self.random.one_in(4) { self.random.below(length) } else { 0 };
            let envelope = self.world.network.remove(place).expect("the place is within");
            if self.random.one_in(12) {
                self.world.network.push_back(envelope.clone());
            }
            if !self.random.one_in(12) {
                self.world.deliver(envelope);
            }
        }
        // What is on the way is bounded, like everywhere.
        self.world.network.truncate(500);
    }

    fn deliver_bulk(&mut self) {
        let Some(bulk) = self.world.bulk.pop_front() else { return };
        if self.random.one_in(3) {
            let position = bulk.snapshot.meta.position;
            self.world.with(bulk.from, |raft| raft.on_snapshot_sent(bulk.to, position, false));
        } else if self.random.one_in(4) {
            // A stream that goes on while the world changes.
            self.world.bulk.push_back(bulk);
        } else {
            self.world.deliver_bulk(bulk);
        }
    }

    fn work(&mut self, id: NodeId) {
        for _ in 0..1 + self.random.below(4) {
            match PARTS[self.random.below(PARTS.len())] {
                Part::Disk => drop(self.world.persist_one(id)),
                Part::Report => drop(self.world.report_one(id)),
                Part::Reads => drop(self.world.read_one(id)),
                Part::Apply => self.world.apply_all(id),
                Part::Install => self.world.install(id),
            }
            self.world.settle(id);
        }
        if self.random.one_in(4) {
            let store = &mut self.world.node(id).store;
            store.durable = store.entries.len();
        }
    }

    fn propose(&mut self) {
        let Some(leader) = self.any_leader() else { return };
        for _ in 0..1 + self.random.below(5) {
            self.commands += 1;
            let mut command = self.commands.to_le_bytes().to_vec();
            command.resize(8 + self.random.below(200), 0);
            // A refusal is an answer too.
            let _ = self.world.propose(leader, &command);
        }
        self.world.settle(leader);
    }

    fn read(&mut self) {
        let leader = self.any_leader();
        let here = self.any_node();
        for _ in 0..1 + self.random.below(3) {
            self.next_read += 1;
            if let Some(leader) = leader {
                let _ = self.world.read(leader, ReadId(self.next_read));
            }
            self.next_read += 1;
            if self.world.nodes[&here].raft.is_some() {
                let _ = self.world.read_here(here, ReadId(self.next_read));
            }
        }
        if let Some(leader) = leader {
            self.world.settle(leader);
        }
        self.world.settle(here);
    }

    fn compact(&mut self, id: NodeId) {
        let node = self.world.node(id);
        let upto = Index(node.store.durable.min(node.store.entries.len()) as u64);
        if let Some(raft) = &mut node.raft
            && node.installing.is_none()
            && upto > raft.base().index
            && upto <= raft.applied()
        {
            raft.compact(upto);
            node.disk.compact(upto);
        }
    }

    fn crash(&mut self, id: NodeId) {
        if self.world.node(id).raft.is_some() {
            self.world.crash(id);
        }
    }

    fn start(&mut self, id: NodeId) {
        if self.world.node(id).raft.is_none() {
            let tail_max = if self.shaking.changes { usize::MAX } else { self.random.below(10) };
            self.world.node(id).held.extend(PARTS);
            self.world.start(id, tail_max);
        }
    }

    fn cut(&mut self, id: NodeId) {
        let other = self.any_node();
        self.world.cut.insert((id, other));
        if self.random.one_in(2) {
            self.world.cut.insert((other, id));
        }
    }

    fn transfer(&mut self) {
        let Some(leader) = self.any_leader() else { return };
        let to = if self.random.one_in(2) { Some(self.any_node()) } else { None };
        let _ = self.world.with(leader, |raft| raft.transfer(to));
    }

    fn change_members(&mut self) {
        let Some(leader) = self.any_leader() else { return };
        // A change that counts on a voter whose loss nobody knows of yet would leave no quorum.
        if !self.shaking.changes || !self.knows_all_losses(leader) {
            return;
        }
        let steps = (0..1 + self.random.below(3)).map(|_| {
            let (id, other) = (self.any_node(), self.any_node());
            match self.random.below(7) {
                0 => MembershipStep::AddLearner(id),
                1 => MembershipStep::Demote(id),
                2 => MembershipStep::Remove(id),
                3 => MembershipStep::Promote(id),
                4 => MembershipStep::Replace { old: other, new: id },
                _ => MembershipStep::AddVoter(id),
            }
        });
        let change = MembershipChange { steps: steps.collect() };
        // By force only if everyone comes back with what it has.
        let forced = self.random.one_in(4) && self.world.nodes.values().all(|node| node.suspended.is_none());
        let result = self.world.with(leader, |raft| {
            let position = if forced { raft.force_membership(change) } else { raft.propose_membership(change) }?;
            Ok::<_, Refusal>(format!("{leader} changes at {position} to {}", raft.membership()))
        });
        self.world.events.extend(result.and_then(Result::ok));
    }

    fn knows_all_losses(&self, leader: NodeId) -> bool {
        let known = self.world.nodes[&leader].raft.as_ref().map_or(Vec::new(), |raft| raft.progress());
        let knows = |id| known.iter().any(|peer| peer.id == id && peer.suspended);
        self.world.nodes.values().all(|node| node.suspended.is_none() || knows(node.id))
    }

    /// Everything works again: the members agree on everything, and a new write comes through.
    fn calm_down(&mut self) {
        self.world.cut.clear();
        for id in self.world.nodes.keys().copied().collect::<Vec<_>>() {
            self.start(id);
            self.world.node(id).held.clear();
            self.world.work(id);
            self.world.settle(id);
        }
        let mut proposed = false;
        for _ in 0..2_000 {
            for id in self.world.nodes.keys().copied().collect::<Vec<_>>() {
                self.world.tick(id);
                self.world.work(id);
            }
            self.world.stabilize();
            if let Some(leader) = self.newest_leader() {
                // A read may wait at a leader that has yet to notice that it is none any more.
                if proposed && self.agrees_with(leader) && self.world.open_reads() == 0 {
                    return;
                }
                proposed |= self.world.propose(leader, b"the last").is_ok();
                self.world.settle(leader);
            }
        }
        panic!("the cluster did not come to agreement, or left {} reads unanswered", self.world.open_reads());
    }

    fn agrees_with(&mut self, leader: NodeId) -> bool {
        let raft = self.world.nodes[&leader].raft.as_ref().expect("everyone runs");
        let (members, last, left) = (raft.membership().members(), raft.last(), raft.uncommitted_bytes());
        let fulfilled = raft.membership().joining.is_empty() && !raft.membership().is_joint();
        let quiet = left == 0 && fulfilled && raft.progress().iter().all(|peer| peer.inflight_bytes == 0);
        let all = members.iter().all(|id| {
            let node = &self.world.nodes[id];
            let raft = node.raft.as_ref().expect("everyone runs");
            let whole = !raft.is_suspended() && node.suspended.is_none();
            whole && raft.last() == last && raft.commit() == last.index && node.store.applied() == last.index
        });
        quiet && all
    }

    fn any_node(&mut self) -> NodeId {
        NodeId(1 + self.random.below(self.world.nodes.len()) as u64)
    }

    /// Also one that doesn't know yet that it is none any more.
    fn any_leader(&mut self) -> Option<NodeId> {
        let leads = |id: &NodeId| {
            let raft = self.world.nodes[id].raft.as_ref();
            raft.is_some_and(|raft| raft.role() == RoleKind::Leader)
        };
        let leaders: Vec<NodeId> = self.world.nodes.keys().copied().filter(leads).collect();
        (!leaders.is_empty()).then(|| leaders[self.random.below(leaders.len())])
    }

    fn newest_leader(&self) -> Option<NodeId> {
        let leaders = self.world.nodes.values().filter_map(|node| node.raft.as_ref());
        let leaders = leaders.filter(|raft| raft.role() == RoleKind::Leader);
        leaders.max_by_key(|raft| raft.term()).map(|raft| raft.id())
    }
}

/// Chance from a seed (splitmix64, public domain).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}
