//! A cluster of cores with disks, a network and stores, all in one place and all explicit: nothing is delivered,
//! written or forgotten unless asked for. What happens is written down as events; what must always hold is checked at
//! every step ([`checks`]).
//!
//! A node's disk keeps what was persisted; a crash loses the batches that still wait for it and everything in memory.

mod checks;
mod node;
pub mod script;

use self::checks::Checks;
use self::node::{Node, Snapshot};
use outboard_raft::{
    Config, Entry, Envelope, HardState, Index, LogAnswer, LogPurpose, Membership, NodeId, Persist, Position, Raft,
    ReadId, Ready, Refusal, RoleKind, SnapshotRequest, Term,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The whole world of a test.
pub struct World {
    pub nodes: BTreeMap<NodeId, Node>,
    /// Messages on the way, in sending order.
    pub network: VecDeque<Envelope>,
    /// Messages set aside, to come back later.
    pub shelf: VecDeque<Envelope>,
    /// Snapshots on the way.
    pub bulk: VecDeque<Bulk>,
    /// Links (from, to) that lose everything.
    pub cut: BTreeSet<(NodeId, NodeId)>,
    pub events: Vec<String>,
    checks: Checks,
    pub first: Membership,
    pub config: Config,
}

/// A snapshot on the way.
#[derive(Clone)]
pub struct Bulk {
    pub from: NodeId,
    pub to: NodeId,
    pub term: Term,
    pub snapshot: Snapshot,
}

/// What a node may be told not to do for a while.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug)]
pub enum Part {
    Disk,
    /// The core learns what its disk has done.
    Report,
    Apply,
    Reads,
    Install,
}

impl World {
    pub fn new(first: Membership, config: Config) -> World {
        let mut world = World {
            nodes: BTreeMap::new(),
            network: VecDeque::new(),
            shelf: VecDeque::new(),
            bulk: VecDeque::new(),
            cut: BTreeSet::new(),
            events: Vec::new(),
            checks: Checks::default(),
            first: first.clone(),
            config,
        };
        for id in first.members() {
            world.add_node(id);
        }
        world
    }

    /// A new node; as a member-to-be it knows the first membership only.
    pub fn add_node(&mut self, id: NodeId) {
        let config = Config { seed: self.config.seed.wrapping_mul(1000) + id.0, ..self.config };
        self.nodes.insert(id, Node::new(id, config, self.first.clone()));
    }

    pub fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("the script names a node that exists")
    }

    /// One input to a running node, and all that follows from it on that node alone.
    pub fn with<R>(&mut self, id: NodeId, input: impl FnOnce(&mut Raft) -> R) -> Option<R> {
        let result = self.node(id).raft.as_mut().map(input);
        self.settle(id);
        result
    }

    pub fn tick(&mut self, id: NodeId) {
        self.with(id, Raft::tick);
    }

    pub fn campaign(&mut self, id: NodeId) {
        self.with(id, Raft::campaign);
    }

    /// Takes everything that the node has to say until it is quiet.
    pub fn settle(&mut self, id: NodeId) {
        loop {
            self.observe(id);
            let Some(raft) = self.node(id).raft.as_mut() else { return };
            let ready = raft.ready();
            self.observe(id);
            if ready.is_empty() {
                return;
            }
            self.take(id, ready);
        }
    }

    fn take(&mut self, id: NodeId, ready: Ready) {
        let Ready { persist, send, apply, reads, barriers, barriers_lost, snapshots, install, removed, readmitted } =
            ready;
        if let Some(incarnation) = readmitted {
            self.events.push(format!("{id} is readmitted"));
            let noted = self.node(id).suspended.take();
            assert_eq!(noted.map(|suspension| suspension.incarnation), Some(incarnation), "{id} was suspended");
        }
        if let Some(at) = removed {
            self.events.push(format!("{id} is removed as of {at}"));
            self.checks.on_removed(id, at);
        }
        self.send_all(send);
        for barrier in barriers {
            let ids = words(barrier.ids.iter().map(|id| format!("r{}", id.0)));
            self.events.push(format!("{id} barrier {ids} at {}", barrier.index));
            self.checks.on_barrier(&barrier);
        }
        if !barriers_lost.is_empty() {
            let ids = words(barriers_lost.iter().map(|id| format!("r{}", id.0)));
            self.events.push(format!("{id} loses reads {ids}"));
            self.checks.on_lost(&barriers_lost);
        }
        if let Some(persist) = persist {
            self.checks.on_persist(&persist);
            self.node(id).writing.push_back(persist);
        }
        self.node(id).applying.extend(apply);
        self.node(id).reading.extend(reads);
        self.node(id).installing = install.or(self.node(id).installing.take());
        for SnapshotRequest { to, term } in snapshots {
            let snapshot = self.node(id).snapshot();
            self.events.push(format!("{id} is asked for a snapshot for {to} t{term}"));
            self.bulk.push_back(Bulk { from: id, to, term, snapshot });
        }
        self.work(id);
    }

    /// Everything that the node's workers may do now.
    pub fn work(&mut self, id: NodeId) {
        while !self.node(id).is_held(Part::Disk) && self.persist_one(id) {}
        while !self.node(id).is_held(Part::Report) && self.report_one(id) {}
        if !self.node(id).is_held(Part::Reads) {
            while self.read_one(id) {}
        }
        if !self.node(id).is_held(Part::Apply) {
            self.apply_all(id);
        }
        if !self.node(id).is_held(Part::Install) {
            self.install(id);
        }
    }

    /// The oldest waiting batch reaches the disk, its messages leave, the core is told.
    pub fn persist_one(&mut self, id: NodeId) -> bool {
        let Some(persist) = self.node(id).writing.pop_front() else { return false };
        let Persist { id: batch, hard_state, entries, then_send } = persist;
        self.node(id).disk.write(hard_state, &entries);
        if hard_state.is_some() || !entries.is_empty() {
            let state = hard_state.map_or(String::new(), |state| format!(" {}", show_hard_state(state)));
            let entries = if entries.is_empty() { String::new() } else { format!(" {}", show_entries(&entries)) };
            self.events.push(format!("{id} persists{state}{entries}"));
        }
        self.send_all(then_send);
        self.node(id).reporting.push_back(batch);
        if !self.node(id).is_held(Part::Report) {
            self.report_one(id);
        }
        true
    }

    /// The core learns of the oldest batch that reached the disk.
    pub fn report_one(&mut self, id: NodeId) -> bool {
        let Some(batch) = self.node(id).reporting.pop_front() else { return false };
        if let Some(raft) = self.node(id).raft.as_mut() {
            raft.on_persisted(batch);
        }
        self.observe(id);
        true
    }

    pub fn read_one(&mut self, id: NodeId) -> bool {
        let Some(request) = self.node(id).reading.pop_front() else { return false };
        let entries = self.node(id).disk.read(request.from, request.to, request.bytes_max);
        let purpose = match request.purpose {
            LogPurpose::Apply => "to apply".to_string(),
            LogPurpose::Peer(peer) => format!("for {peer}"),
        };
        let (from, to, found) = (request.from, request.to, show_entries(&entries));
        self.events.push(format!("{id} reads {from}..{to} {purpose}: {found}"));
        if let Some(raft) = self.node(id).raft.as_mut() {
            raft.on_log_read(LogAnswer { purpose: request.purpose, entries });
        }
        true
    }

    pub fn apply_all(&mut self, id: NodeId) {
        let entries: Vec<Entry> = self.node(id).applying.drain(..).collect();
        let Some(last) = entries.last().map(|entry| entry.index) else { return };
        self.events.push(format!("{id} applies {}", show_entries(&entries)));
        for entry in entries {
            self.checks.on_apply(id, &entry);
            self.node(id).store.apply(entry);
        }
        if let Some(raft) = self.node(id).raft.as_mut() {
            raft.on_applied(last);
        }
    }

    pub fn install(&mut self, id: NodeId) {
        let node = self.node(id);
        if !node.writing.is_empty() {
            return;
        }
        let Some(meta) = node.installing.take() else { return };
        let staged = node.staged.take().expect("only a staged snapshot is installed");
        assert_eq!(staged.meta, meta, "what is installed is what is staged");
        node.applying.clear();
        node.store.install(&staged);
        node.disk.reset(meta.position);
        self.events.push(format!("{id} installs {} {}", meta.position, meta.membership));
        if let Some(raft) = self.node(id).raft.as_mut() {
            raft.on_snapshot_installed(&meta);
        }
    }

    fn send_all(&mut self, envelopes: Vec<Envelope>) {
        for envelope in envelopes {
            self.checks.on_send(&envelope, &self.nodes[&envelope.from]);
            self.network.push_back(envelope);
        }
    }

    /// One message arrives, or is lost on a cut link or before a dead node.
    pub fn deliver(&mut self, envelope: Envelope) {
        let lost = self.cut.contains(&(envelope.from, envelope.to))
            || self.nodes.get(&envelope.to).is_none_or(|node| node.raft.is_none());
        if lost {
            self.events.push(envelope.to_string().replacen("->", "-x", 1));
            return;
        }
        self.events.push(envelope.to_string());
        self.with(envelope.to, |raft| raft.step(envelope));
    }

    /// One snapshot arrives, or is lost the same way; its sender learns which.
    pub fn deliver_bulk(&mut self, bulk: Bulk) {
        let Bulk { from, to, term, snapshot } = bulk;
        let meta = snapshot.meta.clone();
        let lost = self.cut.contains(&(from, to)) || self.nodes.get(&to).is_none_or(|node| node.raft.is_none());
        let arrow = if lost { "=x" } else { "=>" };
        self.events.push(format!("{from} {arrow} {to} t{term} Snapshot {}", meta.position));
        if !lost {
            let staged = &mut self.node(to).staged;
            if staged.is_none() {
                *staged = Some(snapshot);
            }
            self.with(to, |raft| raft.on_snapshot_received(from, term, meta.clone()));
            let node = self.node(to);
            if node.installing.is_none() {
                node.staged = None;
            }
        }
        self.with(from, |raft| raft.on_snapshot_sent(to, meta.position, !lost));
    }

    /// Delivers until nothing is on the way. A world that never comes to rest is an error of its own.
    pub fn stabilize(&mut self) {
        for _ in 0..10_000 {
            if let Some(envelope) = self.network.pop_front() {
                self.deliver(envelope);
            } else if let Some(bulk) = self.bulk.pop_front() {
                self.deliver_bulk(bulk);
            } else {
                return;
            }
        }
        panic!("the cluster does not come to rest");
    }

    pub fn propose(&mut self, id: NodeId, command: &[u8]) -> Result<Position, Refusal> {
        let raft = self.node(id).raft.as_mut().expect("a running node is asked");
        raft.propose(Arc::from(command))
    }

    pub fn read(&mut self, id: NodeId, read: ReadId) -> Result<(), Refusal> {
        self.checks.on_read(id, read);
        let result = self.node(id).raft.as_mut().expect("a running node is asked").read(read);
        if result.is_err() {
            self.checks.on_refused(read);
        }
        result
    }

    /// Like [`World::read`], wherever the node stands.
    pub fn read_here(&mut self, id: NodeId, read: ReadId) -> Result<(), Refusal> {
        self.checks.on_read(id, read);
        let result = self.node(id).raft.as_mut().expect("a running node is asked").read_here(read);
        if result.is_err() {
            self.checks.on_refused(read);
        }
        result
    }

    pub fn wipe(&mut self, id: NodeId) {
        self.node(id).wipe();
        self.checks.on_crash(id);
        self.events.push(format!("{id} loses its disk"));
    }

    pub fn damage(&mut self, id: NodeId, from: Index) {
        self.node(id).damage(from);
        self.checks.on_crash(id);
        self.events.push(format!("{id} loses its log from {from} on"));
    }

    pub fn crash(&mut self, id: NodeId) {
        self.node(id).crash();
        self.checks.on_crash(id);
        self.events.push(format!("{id} crashes"));
    }

    pub fn start(&mut self, id: NodeId, tail_max: usize) {
        self.node(id).start(tail_max);
        let node = &self.nodes[&id];
        let (state, last) = (show_hard_state(node.disk.hard_state), node.disk.last());
        self.events.push(format!("{id} starts {state} last={last} applied={}", node.store.applied()));
        self.settle(id);
    }

    pub fn check_logs_match(&self) {
        self.checks.check_logs_match(&self.nodes);
    }

    /// History that the world did not see itself.
    pub fn take_for_committed(&mut self, entries: &[Entry]) {
        self.checks.take_for_committed(entries);
    }

    pub fn open_reads(&self) -> usize {
        self.checks.open_reads()
    }

    /// Notes what changed on a node since it was last looked at.
    fn observe(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let Some(raft) = &node.raft else { return };
        let seen = (raft.term(), raft.role(), raft.leader());
        if seen != node.seen {
            let following = match (raft.role(), raft.leader()) {
                (RoleKind::Follower, Some(leader)) => format!(" of {leader}"),
                _ => String::new(),
            };
            self.events.push(format!("{id} is {}{following} t{}", raft.role(), raft.term()));
            node.seen = seen;
        }
        if raft.commit() != node.seen_commit {
            assert!(raft.commit() > node.seen_commit, "commit never goes back");
            self.events.push(format!("{id} commits {}", raft.commit()));
            node.seen_commit = raft.commit();
        }
        self.checks.on_state(id, &self.nodes);
    }
}

pub fn show_hard_state(state: HardState) -> String {
    format!("t{} vote={}", state.term, state.vote.map_or("none".to_string(), |vote| vote.to_string()))
}

pub fn show_entries(entries: &[Entry]) -> String {
    match entries {
        [] => "[]".to_string(),
        [only] => format!("[{}]", only.position()),
        [first, .., last] => format!("[{}..{}]", first.position(), last.position()),
    }
}

pub fn words(words: impl Iterator<Item = String>) -> String {
    words.collect::<Vec<_>>().join(",")
}
