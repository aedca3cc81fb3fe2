//! A leader whose disk takes nothing any more, or whose tables are behind, told with whole nodes whose threads are steps of the test.

use bytes::Bytes;
use outboard_node::Durability;
use outboard_node::stepped::{Now, Settings, SteppedNode, Waiting, record};
use outboard_raft::{Config, NodeId, RoleKind, SnapshotMeta, SnapshotRequest};
use outboard_sandbox::{Component, Limits, Sandbox};
use outboard_store::MemoryStore;
use outboard_wal::{MemDisk, Options};
use outboard_wire::access::{AccessCommand, Enrolment, Enrols, MemberChange, TokenSpec, Wish};
use outboard_wire::client::{Consistency, Request, RequestBody, RequestId, Response};
use outboard_wire::command::{Command, Stamped};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A log that is longer is cut.
const LOG_KEEP_BYTES: u64 = 8 << 10;
/// Far beyond what any of these stories needs.
const TICKS_MAX: u32 = 600;

struct World {
    nodes: Vec<SteppedNode>,
    ticks: u64,
    /// Writes its log, and never gets an answer from its disk.
    stalled: Option<usize>,
    /// Applies nothing.
    behind: Option<usize>,
    /// Nothing reaches it, and nothing comes from it.
    cut_off: Option<usize>,
    /// Snapshots are on their way for as long as this is so.
    slow: bool,
    streams: Vec<Stream>,
    /// Snapshots that have arrived.
    snapshots: usize,
    /// The full engine, and who has asked for it.
    kv: Arc<Component>,
    wanted: BTreeSet<usize>,
}

/// A snapshot on its way.
struct Stream {
    from: usize,
    request: SnapshotRequest,
    meta: SnapshotMeta,
    frames: Vec<Bytes>,
}

impl World {
    fn new() -> World {
        let sandbox = Sandbox::new(Limits::default(), None).expect("a sandbox");
        let engine = sandbox.admit(outboard_embedded::KV_BASIC).expect("an engine");
        let node = |id: u64| {
            let settings = settings(id, &sandbox, &engine);
            let opened =
                SteppedNode::open(settings, Box::new(MemDisk::new()), Arc::new(MemoryStore::new()), Now::default());
            let mut node = opened.expect("new disks");
            (1..=3).filter(|peer| *peer != id).for_each(|peer| node.on_peer_up(NodeId(peer), Now::default()));
            node
        };
        let kv = sandbox.admit(outboard_embedded::KV).expect("an engine");
        World {
            nodes: (1..=3).map(node).collect(),
            ticks: 0,
            stalled: None,
            behind: None,
            cut_off: None,
            slow: false,
            streams: Vec::new(),
            snapshots: 0,
            kv,
            wanted: BTreeSet::new(),
        }
    }

    fn now(&self) -> Now {
        Now { wall_ms: self.ticks * 50, mono_us: self.ticks * 50_000 }
    }

    /// One tick for everybody, then whatever follows from it.
    fn tick(&mut self) {
        self.ticks += 1;
        let now = self.now();
        self.nodes.iter_mut().for_each(|node| node.tick(now));
        while self.step() {}
    }

    fn step(&mut self) -> bool {
        let now = self.now();
        let mut moved = false;
        for number in 0..self.nodes.len() {
            self.flush(number);
            let node = &mut self.nodes[number];
            if self.stalled != Some(number) && node.has_log_work() {
                node.log_begin().and_then(|()| node.log_end()).expect("nothing fails");
                moved = true;
            }
            if self.behind != Some(number) && node.has_table_work() {
                node.tables_step().expect("nothing fails");
                moved = true;
            }
            if node.has_queries() {
                node.queries_step(now).expect("nothing fails");
                moved = true;
            }
            self.flush(number);
            let from = NodeId(number as u64 + 1);
            for frame in self.nodes[number].take_frames() {
                moved = true;
                let to = frame.to.0 as usize - 1;
                if self.cut_off.is_some_and(|away| away == number || away == to) {
                    continue;
                }
                let Some(to) = self.nodes.get_mut(to) else { continue };
                assert!(to.on_frame(from, &frame.bytes, now), "nodes understand each other");
            }
        }
        moved
    }

    fn flush(&mut self, number: usize) {
        let now = self.now();
        let wants = self.nodes[number].flush(now).expect("nothing fails");
        self.wanted.extend(wants.engines.iter().map(|_| number));
        for request in wants.snapshots {
            let (meta, frames) = self.nodes[number].snapshot().expect("readable");
            self.streams.push(Stream { from: number, request, meta, frames });
        }
        if !self.slow {
            std::mem::take(&mut self.streams).into_iter().for_each(|stream| self.arrive(stream));
        }
    }

    fn arrive(&mut self, Stream { from, request, meta, frames }: Stream) {
        let (now, at, to) = (self.now(), meta.position, request.to.0 as usize - 1);
        let ok = ![Some(from), Some(to)].contains(&self.cut_off);
        if ok {
            self.nodes[to].on_snapshot(NodeId(from as u64 + 1), request.term, meta, frames, now).expect("whole");
            self.snapshots += 1;
        }
        self.nodes[from].on_snapshot_sent(request.to, at, ok, now);
    }

    /// Everybody's tables are on the disk, so that logs may be cut.
    fn persist(&mut self) {
        self.nodes.iter_mut().for_each(|node| node.persist().expect("nothing fails"));
        while self.step() {}
    }

    fn leader(&self) -> Option<usize> {
        let leads = |node: &SteppedNode| node.raft().role() == RoleKind::Leader;
        let newest = |number: &usize| self.nodes[*number].raft().term();
        (0..self.nodes.len()).filter(|number| leads(&self.nodes[*number])).max_by_key(newest)
    }

    fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut World) -> Option<T>) -> T {
        for _ in 0..TICKS_MAX {
            if let Some(found) = look(self) {
                return found;
            }
            self.tick();
        }
        panic!("never: {what}");
    }

    fn is_member(&self, number: usize, node: NodeId) -> bool {
        self.nodes[number].raft().membership().members().contains(&node)
    }

    fn ask(&mut self, number: usize, arguments: &[&'static str]) -> Waiting {
        let arguments = arguments.iter().map(|word| Bytes::from_static(word.as_bytes())).collect();
        self.request(number, RequestBody::Command { arguments, consistency: Consistency::Linearizable, id: None })
    }

    /// More than a log may hold that is to be cut.
    fn fill(&mut self, number: usize) {
        for _ in 0..200 {
            let filler = ["SET", "filler", "a value that is long enough to fill a log of some thousand bytes"];
            let written = self.ask(number, &filler);
            assert_eq!(self.answer(written), ok());
        }
    }

    fn request(&mut self, number: usize, body: RequestBody) -> Waiting {
        let now = self.now();
        self.nodes[number].on_request(Request { timeout_ms: 60_000, body }, now)
    }

    fn answer(&mut self, mut waiting: Waiting) -> Response {
        self.until("an answer", |_| waiting.poll().expect("every request is answered"))
    }
}

fn settings(id: u64, sandbox: &Sandbox, engine: &Arc<Component>) -> Settings {
    fn same(config: Config) -> Config {
        config
    }
    Settings {
        node: NodeId(id),
        voters: (1..=3).map(NodeId).collect(),
        cluster: 7,
        begun: false,
        last_loss: 0,
        seed: id,
        limits: same,
        wal: Options { segment_bytes: 4 << 10, sync: true },
        log_keep_bytes: LOG_KEEP_BYTES,
        durability: Durability::Sync,
        sandbox: sandbox.clone(),
        engine: engine.clone(),
        components: Vec::new(),
    }
}

fn ok() -> Response {
    Response::Reply(Bytes::from_static(b"+OK\r\n"))
}

/// REGRESSIONS D4: heartbeats go on, commits even too, but nobody who asked this node gets an answer. It hands over, and whoever leads then
/// answers.
#[test]
fn d4_a_leader_whose_disk_stalls_hands_leadership_over_and_the_cluster_goes_on() {
    let mut world = World::new();
    let leader = world.until("a leader", |world| world.leader());
    let before = world.ask(leader, &["SET", "k", "before"]);
    assert_eq!(world.answer(before), ok());
    let term = world.nodes[leader].raft().term();

    world.stalled = Some(leader);
    let doubtful = world.ask(leader, &["SET", "k", "during"]);
    let next = world.until("another leader", |world| world.leader().filter(|number| *number != leader));
    assert!(world.nodes[next].raft().term() > term);
    let after = world.ask(next, &["SET", "k", "after"]);
    assert_eq!(world.answer(after), ok());

    // Its disk wakes up: it is a follower like any other, and what was asked of it has its answer.
    world.stalled = None;
    assert_eq!(world.answer(doubtful), ok(), "it was committed by the others");
    let read = world.ask(leader, &["GET", "k"]);
    assert_eq!(world.answer(read), Response::Reply(Bytes::from_static(b"$5\r\nafter\r\n")));
    assert_eq!(world.leader(), Some(next));
}

/// What all voters have said stands in the log, and a follower that has applied it says so to whoever pushed. The leader may be a moment
/// behind with applying: it must not judge by what it has not read yet.
#[test]
fn an_upgrade_is_not_refused_by_a_leader_that_has_not_applied_yet_what_the_voters_said() {
    let mut world = World::new();
    let leader = world.until("a leader", |world| world.leader());
    let record = record(&world.kv);
    let upgrade = RequestBody::EngineUpgrade { digest: record.digest.to_string() };
    let stage = Stamped { time_ms: 0, command: Command::EngineStage(record.clone()) }.encode().into();
    let staged = world.request(leader, RequestBody::Control { command: stage });
    assert_eq!(world.answer(staged), Response::Done);
    let early = world.request(leader, upgrade.clone());
    let early = world.answer(early);
    assert!(matches!(&early, Response::UpgradeRefused(why) if why.contains("ready")), "{early:?}");

    world.behind = Some(leader);
    let (kv, now) = (world.kv.clone(), world.now());
    assert_eq!(world.wanted.len(), 3, "each was asked to get it");
    for number in std::mem::take(&mut world.wanted) {
        world.nodes[number].on_component(record.digest, Some(&kv), now);
    }
    (0..20).for_each(|_| world.tick());
    let mut upgraded = world.request(leader, upgrade);
    world.tick();
    assert_eq!(upgraded.poll(), Ok(None), "nobody knows yet");
    world.behind = None;
    let upgraded = world.answer(upgraded);
    assert!(matches!(upgraded, Response::Upgraded(_)), "{upgraded:?}");
}

/// It came in and went before the leader's tables knew of the one or the other. (Found by the simulator, seed 127767.)
#[test]
fn a_node_that_was_removed_is_not_let_in_again_by_a_leader_whose_tables_are_behind() {
    let mut world = World::new();
    let leader = world.until("a leader", |world| world.leader());
    let enrols = Enrols::Node(Wish::Voter);
    let token = TokenSpec { id: 1, verifier: [0; 32], enrols, lasts_ms: 1_000_000, uses: 1 };
    let created = world.request(leader, RequestBody::Access(AccessCommand::TokenCreate(token)));
    assert_eq!(world.answer(created), Response::Done);
    let enrolment = Enrolment { token: 1, key: [1; 32], name: String::new(), address: "newcomer:1".into() };
    let mut enrolled = world.request(leader, RequestBody::Access(AccessCommand::Enrol(enrolment)));
    while enrolled.poll() == Ok(None) {
        assert!(world.step(), "the enrolment goes on by itself");
    }
    world.behind = Some(leader);
    let newcomer = NodeId(4);
    world.until("the newcomer", |world| world.is_member(leader, newcomer).then_some(()));
    let change = MemberChange::Remove { node: 4 };
    let removed = world.request(leader, RequestBody::MemberChange { change, forced: false, dry_run: false });
    world.until("its removal", |world| (!world.is_member(leader, newcomer)).then_some(()));
    for _ in 0..40 {
        world.tick();
        assert!(!world.is_member(leader, newcomer), "it is let in again");
    }
    world.behind = None;
    assert_eq!(world.answer(removed), Response::Done);
    (0..40).for_each(|_| world.tick());
    assert!((0..3).all(|number| !world.is_member(number, newcomer)));
}

/// What it proposed in vain stood at higher places of the log than anything that is there now.
#[test]
fn a_leader_that_lost_what_it_proposed_in_an_earlier_term_lets_newcomers_in_all_the_same() {
    let token =
        |id| TokenSpec { id, verifier: [0; 32], enrols: Enrols::Node(Wish::Voter), lasts_ms: 1_000_000, uses: 1 };
    let create = |id| RequestBody::Access(AccessCommand::TokenCreate(token(id)));
    let mut world = World::new();
    let first = world.until("a leader", |world| world.leader());
    let created = world.request(first, create(1));
    assert_eq!(world.answer(created), Response::Done);
    world.cut_off = Some(first);
    let lost: Vec<Waiting> = (2..60).map(|id| world.request(first, create(id))).collect();
    let second = world.until("another leader", |world| world.leader().filter(|number| *number != first));
    world.cut_off = None;
    (0..20).for_each(|_| world.tick());
    assert_eq!(world.leader(), Some(second));

    world.behind = Some(second);
    let enrolment = Enrolment { token: 1, key: [1; 32], name: String::new(), address: "newcomer:1".into() };
    let enrolled = world.request(second, RequestBody::Access(AccessCommand::Enrol(enrolment)));
    (0..5).for_each(|_| world.tick());
    assert!(!world.is_member(second, NodeId(4)), "its leader does not know of it yet");
    let to = Some(first as u64 + 1);
    let moved = world.request(second, RequestBody::LeaderTransfer { to });
    world.until("the first leader again", |world| (world.leader() == Some(first)).then_some(()));
    world.until("the newcomer", |world| world.is_member(first, NodeId(4)).then_some(()));
    drop((lost, enrolled, moved));
}

/// They were committed, so they are done; who waits here has to be told something. (Found by the simulator, seed 315991.)
#[test]
fn writes_that_wait_for_slow_tables_are_answered_when_a_snapshot_overtakes_them() {
    let mut world = World::new();
    let first = world.until("a leader", |world| world.leader());
    let opened = world.request(first, RequestBody::SessionOpen);
    let Response::SessionOpened { session } = world.answer(opened) else { panic!("no session") };

    world.behind = Some(first);
    let mut plain = world.ask(first, &["SET", "k", "plain"]);
    let arguments = ["SET", "k", "named"].map(|word| Bytes::from_static(word.as_bytes())).to_vec();
    let id = Some(RequestId { session, sequence: 0, settled_below: 0 });
    let consistency = Consistency::Linearizable;
    let mut named = world.request(first, RequestBody::Command { arguments, consistency, id });
    (0..5).for_each(|_| world.tick());
    assert!(world.nodes[first].raft().commit() > world.nodes[first].running().0.index, "committed, not applied");
    world.cut_off = Some(first);
    let second = world.until("another leader", |world| world.leader().filter(|number| *number != first));
    world.fill(second);
    world.persist();
    world.cut_off = None;
    world.until("a snapshot", |world| (world.snapshots > 0).then_some(()));
    assert_eq!((plain.poll(), named.poll()), (Ok(None), Ok(None)), "nobody knows yet");
    world.behind = None;
    assert_eq!(world.answer(named), ok(), "its session knows it");
    let plain = world.answer(plain);
    assert!(matches!(&plain, Response::Unknown(why) if why.contains("a snapshot")), "{plain:?}");
    let read = world.ask(first, &["GET", "k"]);
    assert_eq!(world.answer(read), Response::Reply(Bytes::from_static(b"$5\r\nnamed\r\n")));
}

/// The log that its receiver needs next is kept while a snapshot is on its way, however long that takes.
#[test]
fn n5_a_follower_needs_no_second_snapshot_because_of_the_time_that_the_first_one_takes() {
    let mut world = World::new();
    let leader = world.until("a leader", |world| world.leader());
    let away = (0..3).find(|number| *number != leader).expect("there are three");
    world.cut_off = Some(away);
    world.fill(leader);
    world.persist();
    world.slow = true;
    world.cut_off = None;
    world.until("a snapshot on its way", |world| (!world.streams.is_empty()).then_some(()));
    world.fill(leader);
    world.persist();
    world.slow = false;
    let last = world.nodes[leader].raft().last().index;
    world.until("the follower's agreement", |world| (world.nodes[away].raft().commit() >= last).then_some(()));
    assert_eq!(world.snapshots, 1);

    // It has arrived: what was kept for it goes.
    let base = world.nodes[leader].raft().base();
    world.persist();
    assert!(world.nodes[leader].raft().base().index > base.index);
}

/// They are committed, and everybody else has cut its log behind them.
#[test]
fn n11_a_node_whose_tables_are_behind_keeps_the_log_that_they_need() {
    let mut world = World::new();
    let leader = world.until("a leader", |world| world.leader());
    let behind = (0..3).find(|number| *number != leader).expect("there are three");
    world.fill(leader);
    world.behind = Some(behind);
    world.fill(leader);
    world.persist();
    let base = |world: &World, number: usize| world.nodes[number].raft().base().index;
    let applied = world.nodes[behind].raft().applied();
    assert!(base(&world, leader) > applied, "the others go on without it");
    assert!(base(&world, behind) <= applied);
    world.behind = None;
    let last = world.nodes[leader].raft().last().index;
    world.until("its tables", |world| (world.nodes[behind].raft().applied() >= last).then_some(()));
    assert_eq!(world.snapshots, 0, "it has all that it needs");
}

/// A follower answers a read by itself, but not before its tables have come as far as the leader's word.
#[test]
fn r9_a_read_on_a_follower_waits_for_its_tables() {
    let mut world = World::new();
    let leader = world.until("a leader", |world| world.leader());
    let behind = (0..3).find(|number| *number != leader).expect("there are three");
    let before = world.ask(leader, &["SET", "k", "before"]);
    assert_eq!(world.answer(before), ok());
    (0..5).for_each(|_| world.tick());
    world.behind = Some(behind);
    let after = world.ask(leader, &["SET", "k", "after"]);
    assert_eq!(world.answer(after), ok());
    let arguments = ["GET", "k"].map(|word| Bytes::from_static(word.as_bytes())).to_vec();
    let consistency = Consistency::Follower;
    let mut read = world.request(behind, RequestBody::Command { arguments, consistency, id: None });
    (0..20).for_each(|_| world.tick());
    assert_eq!(read.poll(), Ok(None), "it would be a stale one");
    world.behind = None;
    assert_eq!(world.answer(read), Response::Reply(Bytes::from_static(b"$5\r\nafter\r\n")));
}

/// It was installed, and its node ended before it said so; a connection that is there again says that much. (Found by the simulator, seed
/// 702411.)
#[test]
fn a_peer_that_comes_back_is_asked_at_once_how_far_its_snapshot_has_brought_it() {
    let mut world = World::new();
    let leader = world.until("a leader", |world| world.leader());
    let away = (leader + 1) % 3;
    world.cut_off = Some(away);
    world.fill(leader);
    world.persist();
    world.slow = true;
    world.cut_off = None;
    world.until("a snapshot on its way", |world| (!world.streams.is_empty()).then_some(()));
    let stream = world.streams.pop().expect("it is on its way");
    let at = stream.meta.position;
    world.arrive(stream);
    world.cut_off = Some(away);
    (0..3).for_each(|_| world.tick());
    assert_eq!(world.nodes[away].raft().last(), at, "it is installed");
    world.cut_off = None;
    let written = world.ask(leader, &["SET", "k", "v"]);
    assert_eq!(world.answer(written), ok());
    let now = world.now();
    world.nodes[leader].on_peer_up(NodeId(away as u64 + 1), now);
    for _ in 0..20 {
        world.tick();
    }
    assert_eq!(world.nodes[away].raft().last(), world.nodes[leader].raft().last());
}

/// A leader takes only a higher number for another loss. (Found by the simulator, seed 759742.)
#[test]
fn a_loss_is_named_above_the_one_before_it_even_if_the_clock_went_back_and_the_note_is_gone() {
    let sandbox = Sandbox::new(Limits::default(), None).expect("a sandbox");
    let engine = sandbox.admit(outboard_embedded::KV_BASIC).expect("an engine");
    for (last_loss, wall_ms, named) in [(0, 1_000, 1_000), (5_000, 1_000, 5_001), (5_000, 9_000, 9_000)] {
        let settings = Settings { begun: true, last_loss, ..settings(1, &sandbox, &engine) };
        let now = Now { wall_ms, mono_us: 0 };
        let opened = SteppedNode::open(settings, Box::new(MemDisk::new()), Arc::new(MemoryStore::new()), now);
        let node = opened.expect("its log is missing, and there are others");
        assert_eq!(node.wal().loss().map(|loss| loss.incarnation), Some(named));
        assert!(node.raft().is_suspended());
    }
}

/// A stall is longer than what any disk does now and then.
#[test]
fn a_leader_whose_disk_is_merely_slow_keeps_its_office() {
    let mut world = World::new();
    let leader = world.until("a leader", |world| world.leader());
    world.stalled = Some(leader);
    let slow = world.ask(leader, &["SET", "k", "v"]);
    for _ in 0..Config::default().stall_ticks_max / 2 {
        world.tick();
    }
    world.stalled = None;
    assert_eq!(world.answer(slow), ok());
    assert_eq!(world.leader(), Some(leader));
}
