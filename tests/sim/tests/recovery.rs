//! A crash between two steps of a start, and disks that don't fit together: one node alone, step by step.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use outboard_node::stepped::{Now, Settings, SteppedNode};
use outboard_node::{Durability, StartError};
use outboard_raft::NodeId;
use outboard_sim::engines::Engines;
use outboard_sim::store::SimStore;
use outboard_store::{Store, View};
use outboard_wal::{Fate, MemDisk, Options};
use outboard_wire::client::{Consistency, Request, RequestBody, Response};
use std::sync::{Arc, LazyLock};

static ENGINES: LazyLock<Engines> = LazyLock::new(|| Engines::compile().expect("the engines are sound"));

/// The only voter of its cluster, and its clock.
struct Alone {
    node: SteppedNode,
    now: Now,
}

impl Alone {
    fn open(log: &MemDisk, store: &Arc<SimStore>) -> Result<Alone, StartError> {
        let settings = Settings {
            node: NodeId(1),
            voters: vec![NodeId(1)],
            cluster: 7,
            begun: false,
            last_loss: 0,
            seed: 1,
            limits: |config| config,
            wal: Options { segment_bytes: 4096, sync: true },
            log_keep_bytes: 1 << 20,
            durability: Durability::Sync,
            sandbox: ENGINES.sandbox.clone(),
            engine: ENGINES.kv.clone(),
            components: Vec::new(),
        };
        let now = Now { wall_ms: 1_700_000_000_000, mono_us: 0 };
        let node = SteppedNode::open(settings, Box::new(log.clone()), store.clone(), now)?;
        Ok(Alone { node, now })
    }

    /// Time passes, and everything is done that there is to do.
    fn ask(&mut self, words: &[&str]) -> Response {
        loop {
            let arguments = words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
            let body = RequestBody::Command { arguments, consistency: Consistency::Linearizable, id: None };
            let mut waiting = self.node.on_request(Request { timeout_ms: 100, body }, self.now);
            loop {
                self.step();
                match waiting.poll().expect("it answers") {
                    Some(Response::NotDone(_)) => break,
                    Some(response) => return response,
                    None => {}
                }
            }
        }
    }

    fn step(&mut self) {
        (self.now.wall_ms, self.now.mono_us) = (self.now.wall_ms + 50, self.now.mono_us + 50_000);
        self.node.tick(self.now);
        for _ in 0..3 {
            self.node.flush(self.now).unwrap();
            self.node.log_begin().unwrap();
            self.node.log_end().unwrap();
            while self.node.has_table_work() {
                self.node.tables_step().unwrap();
            }
            self.node.queries_step(self.now).unwrap();
        }
    }
}

/// What an earlier life left: a log and tables of then, and of later.
struct Past {
    log_then: MemDisk,
    tables_then: Arc<dyn View>,
    log_later: MemDisk,
    tables_later: Arc<dyn View>,
}

fn past() -> Past {
    let (log, store) = (MemDisk::new(), Arc::new(SimStore::new(None)));
    let mut alone = Alone::open(&log, &store).unwrap();
    alone.ask(&["SET", "early", "1"]);
    let (log_then, tables_then) = (log.fork(), store.view());
    (0..20).for_each(|_| drop(alone.ask(&["INCR", "late"])));
    Past { log_then, tables_then, log_later: log.fork(), tables_later: store.view() }
}

fn tables(view: &Arc<dyn View>) -> Arc<SimStore> {
    Arc::new(SimStore::new(None).gone_back_to(view))
}

/// Everything is there that the tables of later hold, and the log goes on behind it.
fn goes_on(log: &MemDisk, store: &Arc<SimStore>) {
    for _ in 0..2 {
        let mut alone = Alone::open(log, store).unwrap();
        assert_eq!(alone.ask(&["GET", "early"]), Response::Reply("$1\r\n1\r\n".into()));
        assert_eq!(alone.ask(&["GET", "late"]), Response::Reply("$2\r\n20\r\n".into()));
        let Response::Reply(_) = alone.ask(&["SET", "new", "x"]) else { panic!("a write is taken") };
    }
}

#[test]
fn n13_a_crash_at_any_step_between_installed_tables_and_the_log_s_new_beginning_leaves_a_node_that_goes_on() {
    let past = past();
    let steps_of_a_start = {
        let (log, store) = (past.log_then.fork(), tables(&past.tables_later));
        let before = log.steps();
        drop(Alone::open(&log, &store).unwrap());
        goes_on(&log, &store);
        log.steps() - before
    };
    let mut stopped = 0;
    for step in 0..steps_of_a_start {
        for bytes in [0, 40] {
            for fate in [Fate::Lost, Fate::Torn(1), Fate::Kept] {
                let (log, store) = (past.log_then.fork(), tables(&past.tables_later));
                log.stop_at(log.steps() + step, bytes);
                stopped += usize::from(Alone::open(&log, &store).is_err());
                log.crash_with(|_, _| fate);
                goes_on(&log, &store);
            }
        }
    }
    assert!(stopped > 6, "a start has steps at which it can be stopped: {stopped}");
}

#[test]
fn n4_a_log_that_begins_behind_the_tables_is_refused_and_left_as_it_is() {
    let past = past();
    let log = past.log_then.fork();
    drop(Alone::open(&log, &tables(&past.tables_later)).unwrap());
    let refused = Alone::open(&log.fork(), &tables(&past.tables_then)).map(|_| ()).unwrap_err();
    assert!(matches!(refused, StartError::Corrupt(_)), "{refused}");
    assert!(refused.to_string().contains("older than the log"), "{refused}");
    goes_on(&log, &tables(&past.tables_later));
}

#[test]
fn tables_that_are_behind_a_whole_log_take_the_rest_from_it() {
    let past = past();
    goes_on(&past.log_later, &tables(&past.tables_then));
}
