//! The same schedules for this core and for tikv's `raft`: elections, commands, crashes, and links that are cut one by one. Both must
//! have the same leaders, the same logs and the same commits after every step.
//!
//! Time stands still in both: who campaigns is decided by the schedule, a heartbeat beats when it says so, and pre-votes are
//! granted by everyone (`node` tells why that is no loss). A refusal that only tells of a newer term is left out, because the other one
//! sends none. Membership does not change.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use outboard_raft::{
    Config, Entry, Envelope, HardState, Index, LogAnswer, Membership, Message, NodeId, Payload, Position, Raft,
    RoleKind, Start,
};
use raft::eraftpb;
use raft::storage::MemStorage;
use raft::{RawNode, Storage};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

const SCHEDULES: u64 = 300;
const STEPS: usize = 60;

/// One step of a schedule; nodes are numbered from 1.
#[derive(Copy, Clone, Debug)]
enum Step {
    Campaign(u64),
    /// Whoever leads, believed or not, takes a command.
    Propose(u8),
    /// Both ways.
    Cut(u64, u64),
    /// From the first to the second.
    CutOneWay(u64, u64),
    Mend(u64, u64),
    MendAll,
    Restart(u64),
}

/// What can be compared of a node: term, whether it leads, how much is committed, the log.
#[derive(Clone, PartialEq, Debug)]
struct Seen {
    term: u64,
    leads: bool,
    commit: u64,
    log: Vec<(u64, Vec<u8>)>,
}

/// One of the two implementations.
trait Cluster {
    fn campaign(&mut self, id: u64);
    fn propose(&mut self, command: u8);
    fn restart(&mut self, id: u64);
    /// Every leader makes itself heard.
    fn heartbeat(&mut self);
    /// Delivers whatever is on its way over links that are not cut, until nothing is; the rest is lost.
    fn settle(&mut self, cut: &BTreeSet<(u64, u64)>);
    fn seen(&self) -> Vec<Seen>;
}

struct Ours {
    nodes: Vec<OurNode>,
    network: VecDeque<Envelope>,
}

struct OurNode {
    raft: Raft,
    hard_state: HardState,
    entries: Vec<Entry>,
    applied: Index,
}

impl OurNode {
    fn start(id: u64, count: u64, hard_state: HardState, entries: Vec<Entry>, applied: Index) -> OurNode {
        const NEVER: u32 = 1 << 30;
        let mut terms: Vec<Position> = Vec::new();
        for entry in &entries {
            if terms.last().is_none_or(|run| run.term < entry.term) {
                terms.push(entry.position());
            }
        }
        let raft = Raft::new(Start {
            id: NodeId(id),
            config: Config {
                election_timeout_ticks: NEVER,
                heartbeat_ticks: 1,
                stall_ticks_max: NEVER,
                seed: id,
                ..Config::default()
            },
            hard_state,
            base: Position::ZERO,
            membership: Membership::of_voters((1..=count).map(NodeId)),
            applied,
            terms,
            last: entries.last().map_or(Position::ZERO, Entry::position),
            entries: entries.clone(),
            suspended: None,
        });
        OurNode { raft, hard_state, entries, applied }
    }
}

impl Ours {
    fn new(count: u64) -> Ours {
        let node = |id| OurNode::start(id, count, HardState::default(), Vec::new(), Index(0));
        Ours { nodes: (1..=count).map(node).collect(), network: VecDeque::new() }
    }

    /// Everything that follows on one node alone.
    fn follow_up(&mut self, id: u64) {
        let node = &mut self.nodes[id as usize - 1];
        loop {
            let ready = node.raft.ready();
            if ready.is_empty() {
                return;
            }
            self.network.extend(ready.send);
            if let Some(batch) = ready.persist {
                node.hard_state = batch.hard_state.unwrap_or(node.hard_state);
                if let Some(first) = batch.entries.first() {
                    node.entries.truncate(first.index.0 as usize - 1);
                    node.entries.extend(batch.entries);
                }
                self.network.extend(batch.then_send);
                node.raft.on_persisted(batch.id);
            }
            if let Some(last) = ready.apply.last() {
                node.applied = last.index;
                node.raft.on_applied(last.index);
            }
            for request in ready.reads {
                let wanted = |entry: &&Entry| entry.index >= request.from && entry.index <= request.to;
                let entries = node.entries.iter().filter(wanted).cloned().collect();
                node.raft.on_log_read(LogAnswer { purpose: request.purpose, entries });
            }
        }
    }
}

impl Cluster for Ours {
    fn campaign(&mut self, id: u64) {
        let voters = self.nodes.len() as u64;
        let raft = &mut self.nodes[id as usize - 1].raft;
        raft.campaign();
        for from in (1..=voters).filter(|voter| *voter != id) {
            if raft.role() == RoleKind::PreCandidate {
                let message = Message::PreVoteReply { next_term: raft.term().next(), granted: true };
                raft.step(Envelope { from: NodeId(from), to: NodeId(id), term: raft.term(), message });
            }
        }
        self.follow_up(id);
    }

    fn propose(&mut self, command: u8) {
        for place in 0..self.nodes.len() {
            if self.nodes[place].raft.role() == RoleKind::Leader {
                self.nodes[place].raft.propose(Arc::from([command])).unwrap();
                self.follow_up(place as u64 + 1);
            }
        }
    }

    fn restart(&mut self, id: u64) {
        let count = self.nodes.len() as u64;
        let node = &mut self.nodes[id as usize - 1];
        let (hard_state, entries, applied) = (node.hard_state, node.entries.clone(), node.applied);
        *node = OurNode::start(id, count, hard_state, entries, applied);
    }

    fn heartbeat(&mut self) {
        for place in 0..self.nodes.len() {
            if self.nodes[place].raft.role() == RoleKind::Leader {
                self.nodes[place].raft.tick();
                self.follow_up(place as u64 + 1);
            }
        }
    }

    fn settle(&mut self, cut: &BTreeSet<(u64, u64)>) {
        while let Some(mut envelope) = self.network.pop_front() {
            let (from, to) = (envelope.from.0, envelope.to.0);
            let newer = envelope.term > self.nodes[to as usize - 1].raft.term();
            let refusal = matches!(envelope.message, Message::VoteReply { granted: false });
            if (refusal && newer) || only_helps(&envelope.message) {
                continue;
            }
            if let Message::Vote { transfer, .. } = &mut envelope.message {
                *transfer = true;
            }
            if !cut.contains(&(from, to)) {
                self.nodes[to as usize - 1].raft.step(envelope);
                self.follow_up(to);
            }
        }
    }

    fn seen(&self) -> Vec<Seen> {
        let bytes = |payload: &Payload| match payload {
            Payload::Command(command) => command.to_vec(),
            Payload::Noop => Vec::new(),
            Payload::Membership(_) => panic!("nobody changes the membership"),
        };
        let seen = |node: &OurNode| Seen {
            term: node.raft.term().0,
            leads: node.raft.role() == RoleKind::Leader,
            commit: node.raft.commit().0,
            log: node.entries.iter().map(|entry| (entry.term.0, bytes(&entry.payload))).collect(),
        };
        self.nodes.iter().map(seen).collect()
    }
}

fn only_helps(message: &Message) -> bool {
    matches!(message, Message::PreVote { .. } | Message::PreVoteReply { .. } | Message::StaleTerm)
}

struct Theirs {
    nodes: Vec<RawNode<MemStorage>>,
    network: VecDeque<eraftpb::Message>,
}

impl Theirs {
    fn new(count: u64) -> Theirs {
        let voters: Vec<u64> = (1..=count).collect();
        let storage = || MemStorage::new_with_conf_state((voters.clone(), Vec::new()));
        let nodes = (1..=count).map(|id| Theirs::start(id, storage(), 0)).collect();
        Theirs { nodes, network: VecDeque::new() }
    }

    fn start(id: u64, storage: MemStorage, applied: u64) -> RawNode<MemStorage> {
        const NEVER: usize = 1 << 30;
        let config = raft::Config {
            id,
            applied,
            election_tick: NEVER,
            heartbeat_tick: 1,
            max_inflight_msgs: 64,
            ..raft::Config::default()
        };
        RawNode::new(&config, storage, &slog::Logger::root(slog::Discard, slog::o!())).unwrap()
    }

    fn follow_up(&mut self, id: u64) {
        let node = &mut self.nodes[id as usize - 1];
        while node.has_ready() {
            let mut ready = node.ready();
            self.network.extend(ready.take_messages());
            let store = node.raft.raft_log.store.clone();
            assert!(ready.snapshot().is_empty(), "nothing is compacted");
            store.wl().append(ready.entries()).unwrap();
            if let Some(hard_state) = ready.hs() {
                store.wl().set_hardstate(hard_state.clone());
            }
            self.network.extend(ready.take_persisted_messages());
            let mut light = node.advance(ready);
            if let Some(commit) = light.commit_index() {
                store.wl().mut_hard_state().set_commit(commit);
            }
            self.network.extend(light.take_messages());
            node.advance_apply();
        }
    }

    fn leads(node: &RawNode<MemStorage>) -> bool {
        node.raft.state == raft::StateRole::Leader
    }
}

impl Cluster for Theirs {
    fn campaign(&mut self, id: u64) {
        self.nodes[id as usize - 1].campaign().unwrap();
        self.follow_up(id);
    }

    fn propose(&mut self, command: u8) {
        for place in 0..self.nodes.len() {
            if Theirs::leads(&self.nodes[place]) {
                self.nodes[place].propose(Vec::new(), vec![command]).unwrap();
                self.follow_up(place as u64 + 1);
            }
        }
    }

    fn restart(&mut self, id: u64) {
        let node = &mut self.nodes[id as usize - 1];
        let store = node.raft.raft_log.store.clone();
        *node = Theirs::start(id, store, node.raft.raft_log.applied);
    }

    fn heartbeat(&mut self) {
        for place in 0..self.nodes.len() {
            if Theirs::leads(&self.nodes[place]) {
                self.nodes[place].tick();
                self.follow_up(place as u64 + 1);
            }
        }
    }

    fn settle(&mut self, cut: &BTreeSet<(u64, u64)>) {
        while let Some(message) = self.network.pop_front() {
            let (from, to) = (message.from, message.to);
            if !cut.contains(&(from, to)) {
                self.nodes[to as usize - 1].step(message).unwrap();
                self.follow_up(to);
            }
        }
    }

    fn seen(&self) -> Vec<Seen> {
        let log = |node: &RawNode<MemStorage>| {
            let store = &node.raft.raft_log.store;
            let (first, last) = (store.first_index().unwrap(), store.last_index().unwrap());
            assert_eq!(first, 1, "nothing is compacted");
            if last < first {
                return Vec::new();
            }
            let entries = store.entries(first, last + 1, None, raft::GetEntriesContext::empty(false)).unwrap();
            entries.into_iter().map(|entry| (entry.term, entry.data.to_vec())).collect()
        };
        let seen = |node: &RawNode<MemStorage>| Seen {
            term: node.raft.term,
            leads: Theirs::leads(node),
            commit: node.raft.raft_log.committed,
            log: log(node),
        };
        self.nodes.iter().map(seen).collect()
    }
}

/// A small generator: the same schedules in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// `one_way`: the other half of the cuts is in one direction only.
fn schedule(seed: u64, one_way: bool) -> (u64, Vec<Step>) {
    let mut chance = Chance(seed);
    chance.below(2);
    let count = 3 + 2 * chance.below(2);
    let step = |chance: &mut Chance, number: usize| {
        let (one, other) = (1 + chance.below(count), 1 + chance.below(count));
        match chance.below(20) {
            0..=3 => Step::Campaign(one),
            4..=10 => Step::Propose(number as u8),
            11..=12 if one_way => Step::CutOneWay(one, other),
            11..=14 => Step::Cut(one, other),
            15..=16 => Step::Mend(one, other),
            17 => Step::MendAll,
            18.. => Step::Restart(one),
        }
    };
    (count, (0..STEPS).map(|number| step(&mut chance, number)).collect())
}

/// The state after every step; three heartbeats let what was lost be noticed.
fn play(cluster: &mut dyn Cluster, steps: &[Step]) -> Vec<Vec<Seen>> {
    let mut cut = BTreeSet::new();
    let mut story = Vec::new();
    for step in steps {
        match *step {
            Step::Campaign(id) => {
                let leads = cluster.seen()[id as usize - 1].leads;
                if !leads {
                    cluster.campaign(id);
                }
            }
            Step::Propose(command) => cluster.propose(command),
            Step::Cut(one, other) => cut.extend([(one, other), (other, one)]),
            Step::CutOneWay(one, other) => drop(cut.insert((one, other))),
            Step::Mend(one, other) => cut.retain(|link| *link != (one, other) && *link != (other, one)),
            Step::MendAll => cut.clear(),
            Step::Restart(id) => cluster.restart(id),
        }
        cluster.settle(&cut);
        for _ in 0..4 {
            cluster.heartbeat();
            cluster.settle(&cut);
        }
        story.push(cluster.seen());
    }
    story
}

/// What must be equal when answers may be lost and questions not: who can't answer learns the newest commit by different messages.
fn without_followers_commits(seen: &[Seen]) -> Vec<Seen> {
    let commit = |seen: &Seen| if seen.leads { seen.commit } else { 0 };
    seen.iter().map(|seen| Seen { commit: commit(seen), ..seen.clone() }).collect()
}

#[test]
fn random_schedules_have_the_same_leaders_logs_and_commits_in_both_implementations() {
    let (mut elections, mut committed, mut overwritten) = (0, 0, 0);
    for seed in 0..SCHEDULES {
        let (count, steps) = schedule(seed, false);
        let (ours, theirs) = (play(&mut Ours::new(count), &steps), play(&mut Theirs::new(count), &steps));
        for (number, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            assert_eq!(ours, theirs, "seed {seed}, after step {number} of {:?}", &steps[..=number]);
        }
        let last = &ours[STEPS - 1];
        elections += last.iter().flat_map(|seen| seen.log.iter().map(|(term, _)| *term)).collect::<BTreeSet<_>>().len();
        committed += last.iter().map(|seen| seen.commit).max().unwrap_or(0);
        let shrinks = |pair: &[Vec<Seen>]| {
            let kept = |(before, after): (&Seen, &Seen)| after.log.starts_with(&before.log);
            !pair[0].iter().zip(&pair[1]).all(kept)
        };
        overwritten += ours.windows(2).filter(|pair| shrinks(pair)).count();
    }
    // As many as make the comparison worth something.
    let busy = elections > 1_000 && committed > 3_000 && overwritten > 50;
    assert!(busy, "{elections} terms in logs, {committed} entries committed, {overwritten} times a tail overwritten");
}

#[test]
fn links_that_work_one_way_part_nobody_s_log_and_no_leader_s_commits() {
    for seed in 0..SCHEDULES {
        let (count, steps) = schedule(seed, true);
        let (ours, theirs) = (play(&mut Ours::new(count), &steps), play(&mut Theirs::new(count), &steps));
        for (number, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            let (ours, theirs) = (without_followers_commits(ours), without_followers_commits(theirs));
            assert_eq!(ours, theirs, "seed {seed}, after step {number} of {:?}", &steps[..=number]);
        }
    }
}
