//! A machine over tables in memory, fed with entries as a log would.

mod sessions;
mod transactions;

use super::engines::is_switch;
use super::*;
use crate::control::Member;
use crate::inspect::record;
use outboard_raft::{NodeId, Term};
use outboard_sandbox::{Limits, Sandbox};
use outboard_store::MemoryStore;
use outboard_wire::Blob;
use outboard_wire::command::{Digest, EngineVote, RequestId, Upgrade};
use tokio::sync::oneshot;

/// A machine over tables in memory, fed with entries as a log would.
struct World {
    machine: Machine,
    queue: VecDeque<Ordered>,
    next: u64,
    folder: tempfile::TempDir,
    store: Arc<MemoryStore>,
}

impl World {
    fn new() -> World {
        let (folder, store) = (tempfile::tempdir().expect("a folder"), Arc::new(MemoryStore::new()));
        let machine = open(&folder, store.clone());
        World { machine, queue: VecDeque::new(), next: 1, folder, store }
    }

    fn with_engine(component: &[u8]) -> World {
        let mut world = World::new();
        let engine = world.insert(component);
        assert_eq!(world.apply(Command::Genesis(engine)), Response::Done);
        world
    }

    /// Into this node's library; its record.
    fn insert(&self, component: &[u8]) -> EngineRecord {
        record(&self.machine.library.insert(component).expect("an engine"))
    }

    /// Appends without applying; the answer comes later.
    fn push(&mut self, time_ms: u64, command: Command<'_>) -> oneshot::Receiver<Response> {
        let payload = Payload::Command(Stamped { time_ms, command }.encode().into());
        let entry = Entry { index: Index(self.next), term: Term(1), payload };
        self.next += 1;
        let (reply, answer) = oneshot::channel();
        self.queue.push_back(Ordered { entry, reply: Reply::Local(reply) });
        answer
    }

    fn drain(&mut self) -> Applied {
        let mut applied = self.machine.apply(&mut self.queue, usize::MAX).expect("memory");
        for (reply, response) in std::mem::take(&mut applied.replies) {
            reply.send(response);
        }
        applied
    }

    fn apply(&mut self, command: Command<'_>) -> Response {
        self.apply_at(1_000, command)
    }

    fn apply_at(&mut self, time_ms: u64, command: Command<'_>) -> Response {
        let mut answer = self.push(time_ms, command);
        self.drain();
        answer.try_recv().expect("it was applied")
    }

    /// As a restart of the node.
    fn reopen(&mut self) {
        self.machine = open(&self.folder, self.store.clone());
    }

    /// Stages an engine, lets all vote for it, and switches to it.
    fn upgrade(&mut self, from: &[u8], to: &[u8]) {
        let (from, to) = (self.insert(from), self.insert(to));
        assert_eq!(self.apply(Command::EngineStage(to.clone())), Response::Done);
        self.vote_of_all(&to);
        let switch = self.apply(Command::Upgrade(Upgrade { from: from.digest, to: to.digest }));
        assert!(matches!(switch, Response::Upgraded(_)), "{switch:?}");
    }

    fn call(&mut self, words: &[&str]) -> Response {
        self.apply(engine_command(words))
    }

    fn vote_of_all(&mut self, engine: &EngineRecord) {
        for node in 1..=3 {
            let vote = EngineVote { node, digest: engine.digest, environment: 1, refusal: None };
            assert_eq!(self.apply(Command::EngineVote(vote)), Response::Done);
        }
    }
}

fn open(folder: &tempfile::TempDir, store: Arc<MemoryStore>) -> Machine {
    let sandbox = Sandbox::new(Limits::default(), None).expect("a sandbox");
    let library = Library::open(folder.path().join("engines"), sandbox).expect("a folder");
    let member = |node: u64| Member { name: format!("n{node}"), address: format!("h{node}:1") };
    let founders = (1..=3).map(|node| (NodeId(node), member(node))).collect();
    Machine::open(store, library, founders, 7, || 0).expect("memory")
}

fn engine_command<'a>(words: &[&'a str]) -> Command<'a> {
    Command::Engine(blobs(words))
}

fn blobs<'a>(words: &[&'a str]) -> Vec<Blob<'a>> {
    words.iter().map(|word| Blob(word.as_bytes())).collect()
}

fn once<'a>(session: u64, sequence: u64, settled_below: u64, words: &[&'a str]) -> Command<'a> {
    Command::EngineOnce { id: RequestId { session, sequence, settled_below }, arguments: blobs(words) }
}

/// Commands that stand apart by semicolons.
fn transaction<'a>(lines: &'a str, watcher: Option<u64>) -> Command<'a> {
    let words = |line: &'a str| blobs(&line.split_whitespace().collect::<Vec<_>>());
    Command::Transaction { commands: lines.split(';').map(words).collect(), watcher, id: None }
}

fn replies(all: &[&'static str]) -> Response {
    Response::Replies(all.iter().map(|text| (*text).into()).collect())
}

fn reply(text: &'static str) -> Response {
    Response::Reply(text.into())
}

#[test]
fn two_machines_that_apply_the_same_log_in_different_batches_have_the_same_chain() {
    let (mut one, mut other) = (World::with_engine(outboard_embedded::KV), World::with_engine(outboard_embedded::KV));
    for round in 0..50 {
        let key = format!("k{}", round % 7);
        let words = ["APPEND", &key, "x"];
        other.push(1_000, engine_command(&words));
        assert_eq!(one.call(&words), Response::Reply(format!(":{}\r\n", round / 7 + 1).into()));
    }
    other.drain();
    assert_eq!(one.machine.head().chain, other.machine.head().chain);
    assert_eq!(one.machine.head().position, other.machine.head().position);
    one.call(&["SET", "k", "1"]);
    other.call(&["SET", "k", "2"]);
    assert_ne!(one.machine.head().chain, other.machine.head().chain, "different writes part the chains");
}

#[test]
fn a_machine_that_is_opened_again_goes_on_where_it_was() {
    let mut world = World::with_engine(outboard_embedded::KV);
    assert_eq!(world.call(&["SET", "k", "v"]), reply("+OK\r\n"));
    let before = world.machine.head().clone();
    world.reopen();
    assert_eq!((world.machine.head().chain, world.machine.head().position), (before.chain, before.position));
    assert_eq!(world.call(&["GETDEL", "k"]), reply("$1\r\nv\r\n"));
}

#[test]
fn entries_before_a_switch_run_on_the_old_engine_and_those_after_it_on_the_new_one() {
    let mut world = World::with_engine(outboard_embedded::KV_BASIC);
    let (from, to) = (world.insert(outboard_embedded::KV_BASIC), world.insert(outboard_embedded::KV));
    assert_eq!(world.apply(Command::EngineStage(to.clone())), Response::Done);
    world.vote_of_all(&to);
    let mut before = world.push(1_000, engine_command(&["INCR", "n"]));
    let mut switch = world.push(1_000, Command::Upgrade(Upgrade { from: from.digest, to: to.digest }));
    let mut after = world.push(1_000, engine_command(&["INCR", "n"]));
    world.drain();
    assert!(matches!(before.try_recv(), Ok(Response::Rejected(_))), "kv-basic has no INCR");
    assert!(matches!(switch.try_recv(), Ok(Response::Upgraded(_))));
    assert_eq!(after.try_recv(), Ok(reply(":1\r\n")));
}

#[test]
fn an_upgrade_that_is_not_valid_at_its_place_is_a_no_op_with_its_reason() {
    let mut world = World::with_engine(outboard_embedded::KV_BASIC);
    let (from, to) = (world.insert(outboard_embedded::KV_BASIC), world.insert(outboard_embedded::KV));
    assert_eq!(world.apply(Command::EngineStage(to.clone())), Response::Done);
    let refused = world.apply(Command::Upgrade(Upgrade { from: from.digest, to: to.digest }));
    assert!(matches!(refused, Response::UpgradeRefused(reason) if reason.contains("n1 does not have it ready")));
    assert_eq!(world.machine.head().active.as_ref().map(|active| active.engine.digest), Some(from.digest));
}

#[test]
fn a_missing_component_stalls_and_nothing_is_skipped() {
    let mut world = World::with_engine(outboard_embedded::KV_BASIC);
    let elsewhere = World::new();
    let (from, to) = (world.insert(outboard_embedded::KV_BASIC), elsewhere.insert(outboard_embedded::KV));
    assert_eq!(world.apply(Command::EngineStage(to.clone())), Response::Done);
    world.vote_of_all(&to);
    let mut before = world.push(1_000, engine_command(&["SET", "k", "v"]));
    let mut switch = world.push(1_000, Command::Upgrade(Upgrade { from: from.digest, to: to.digest }));
    let mut after = world.push(1_000, engine_command(&["APPEND", "k", "w"]));
    let stalled = world.drain();
    assert_eq!(stalled.stalled_for.map(|engine| engine.digest), Some(to.digest));
    assert_eq!(before.try_recv(), Ok(reply("+OK\r\n")), "what came before is applied");
    assert!(switch.try_recv().is_err() && after.try_recv().is_err(), "the rest waits");
    world.insert(outboard_embedded::KV);
    assert!(world.drain().stalled_for.is_none());
    assert!(matches!(switch.try_recv(), Ok(Response::Upgraded(_))));
    assert_eq!(after.try_recv(), Ok(reply(":2\r\n")));
}

#[test]
fn a_machine_that_is_opened_without_its_engines_component_says_so_and_goes_on_when_it_comes() {
    let mut world = World::with_engine(outboard_embedded::KV);
    assert_eq!(world.call(&["SET", "k", "v"]), reply("+OK\r\n"));
    std::fs::remove_dir_all(world.folder.path().join("engines")).expect("it was there");
    world.reopen();
    assert!(world.machine.missing().is_some() && world.machine.publish().component.is_none());
    assert!(world.machine.resume().is_none(), "nothing has come");
    world.insert(outboard_embedded::KV);
    let resumed = world.machine.resume().expect("it has come");
    assert!(resumed.control.is_some() && world.machine.publish().component.is_some());
    assert!(world.machine.resume().is_none(), "told once");
}

#[test]
fn time_never_goes_back_whatever_a_leader_stamps() {
    let mut world = World::with_engine(outboard_embedded::KV);
    let mut set = world.push(5_000, engine_command(&["SET", "k", "v", "PX", "100"]));
    let mut later = world.push(10, engine_command(&["SETNX", "k", "w"]));
    world.drain();
    assert_eq!(set.try_recv(), Ok(reply("+OK\r\n")));
    assert_eq!(later.try_recv(), Ok(reply(":0\r\n")), "the clock of the second leader is behind");
    assert_eq!(world.machine.head().time_ms, 5_000);
}

#[test]
fn an_entry_that_nobody_can_read_is_an_outcome_and_no_panic() {
    let mut world = World::with_engine(outboard_embedded::KV);
    let entry = Entry { index: Index(world.next), term: Term(1), payload: Payload::Command(vec![9, 9, 9].into()) };
    world.next += 1;
    world.queue.push_back(Ordered { entry, reply: Reply::Nobody });
    world.drain();
    assert_eq!(world.call(&["SET", "k", "v"]), reply("+OK\r\n"));
}

#[test]
fn only_switches_are_decoded_ahead() {
    let payload = |time_ms, command| Stamped { time_ms, command }.encode();
    for time_ms in [0, 127, 128, 1 << 41] {
        assert!(!is_switch(&payload(time_ms, engine_command(&["SET", "k", "v"]))));
        let upgrade = Upgrade { from: Digest([1; 32]), to: Digest([2; 32]) };
        assert!(is_switch(&payload(time_ms, Command::Upgrade(upgrade))));
        for other in [once(1, 0, 0, &["SET"]), transaction("SET k v", None), Command::SessionOpen] {
            assert!(!is_switch(&payload(time_ms, other)));
        }
    }
}

/// Found by the simulator, seed 10327.
#[test]
fn a_switch_waits_for_its_component_even_where_that_of_the_running_engine_has_come_only_now() {
    let mut world = World::with_engine(outboard_embedded::KV);
    let (kv, chaos) = (world.insert(outboard_embedded::KV), world.insert(outboard_embedded::CHAOS));
    assert_eq!(world.apply(Command::EngineStage(chaos.clone())), Response::Done);
    world.vote_of_all(&chaos);
    // As after a snapshot: the tables are here, the components are not.
    world.folder = tempfile::tempdir().expect("a folder");
    world.reopen();
    world.insert(outboard_embedded::KV);
    world.push(1_000, engine_command(&["SET", "a", "1"]));
    let mut switched = world.push(1_000, Command::Upgrade(Upgrade { from: kv.digest, to: chaos.digest }));
    let applied = world.drain();
    assert_eq!(applied.stalled_for, Some(chaos));
    assert!(applied.control.is_some(), "that the running engine is here is told");
    assert!(switched.try_recv().is_err(), "it waits");
    world.insert(outboard_embedded::CHAOS);
    assert_eq!(world.drain().stalled_for, None);
    assert!(matches!(switched.try_recv(), Ok(Response::Upgraded(_))));
}
