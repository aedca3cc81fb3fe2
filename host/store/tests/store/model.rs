//! Random histories on the store on disk, the store in memory and the model: they never differ.

use std::sync::Arc;

use bytes::Bytes;
use outboard_store::{DiskStore, MemoryStore, Store, StoreError, Table, View};
use proptest::{collection::vec, option, prelude::*};

use crate::{Map, commit, contents, expected_scan, open};

/// Few tables and few short keys, so that they meet; neighbours at both ends of a table's range.
fn table() -> impl Strategy<Value = Table> {
    prop_oneof![
        Just(Table::control(0)),
        Just(Table::control(u32::MAX)),
        Just(Table::engine(1, 0)),
        Just(Table::engine(1, 1)),
        Just(Table(u64::MAX)),
    ]
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(0u8), Just(1), Just(254), Just(255)], 0..4)
}

/// Now and then a value that fills a good part of a write buffer.
fn value() -> impl Strategy<Value = Vec<u8>> {
    (any::<u8>(), prop_oneof![8 => 0..9usize, 1 => 10_000..30_000usize]).prop_map(|(byte, length)| vec![byte; length])
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(Table, Vec<u8>, Option<Vec<u8>>)>),
    Persist,
    Reopen,
    Install(Vec<(Table, Vec<u8>, Vec<u8>)>),
    /// An install whose source fails after these records.
    InstallBroken(Vec<(Table, Vec<u8>, Vec<u8>)>),
    HoldView,
    Scan {
        table: Table,
        start: Vec<u8>,
        end: Option<Vec<u8>>,
        limit: usize,
        reverse: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let records = || vec((table(), key(), value()), 0..20);
    let scan = (table(), key(), option::of(key()), 0..6usize, any::<bool>())
        .prop_map(|(table, start, end, limit, reverse)| Step::Scan { table, start, end, limit, reverse });
    prop_oneof![
        10 => vec((table(), key(), option::weighted(0.7, value())), 0..12).prop_map(Step::Commit),
        2 => Just(Step::Persist),
        1 => Just(Step::Reopen),
        1 => records().prop_map(Step::Install),
        1 => records().prop_map(Step::InstallBroken),
        2 => Just(Step::HoldView),
        6 => scan,
    ]
}

/// The stores and the model of them, and views held since an earlier step with what they showed then.
struct World {
    folder: tempfile::TempDir,
    disk: Option<DiskStore>,
    memory: MemoryStore,
    map: Map,
    applied: u64,
    held: Vec<(Arc<dyn View>, Map, u64)>,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Some(open(&folder.path().join("tables")));
        World { folder, disk, memory: MemoryStore::new(), map: Map::new(), applied: 0, held: Vec::new() }
    }

    fn stores(&self) -> [&dyn Store; 2] {
        [self.disk.as_ref().expect("it is closed only while it is reopened"), &self.memory]
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Commit(writes) => {
                self.applied += 2;
                let borrowed: Vec<_> = writes.iter().map(|(t, key, value)| (*t, &key[..], value.as_deref())).collect();
                self.stores().into_iter().for_each(|store| commit(store, self.applied, &borrowed));
                for (table, key, value) in writes {
                    match value {
                        Some(value) => self.map.insert((table, key), value),
                        None => self.map.remove(&(table, key)),
                    };
                }
            }
            Step::Persist => {
                self.stores().into_iter().for_each(|store| {
                    assert_eq!(store.persist().expect("persists"), self.applied);
                });
            }
            Step::Reopen => {
                self.held.clear();
                self.disk = None;
                self.disk = Some(open(&self.folder.path().join("tables")));
            }
            Step::Install(records) => {
                self.applied += 3;
                self.map = records.into_iter().map(|(table, key, value)| ((table, key), value)).collect();
                for store in self.stores() {
                    store.install(self.applied, &mut incoming(&self.map)).expect("installs");
                }
            }
            Step::InstallBroken(records) => {
                let map = records.into_iter().map(|(table, key, value)| ((table, key), value)).collect();
                for store in self.stores() {
                    let broken = [Err(StoreError::Snapshot { what: "cut off".into() })];
                    let result = store.install(self.applied + 1, &mut incoming(&map).chain(broken));
                    assert!(matches!(result, Err(StoreError::Snapshot { .. })), "{result:?}");
                }
            }
            Step::HoldView => {
                let views: Vec<_> = self.stores().into_iter().map(|store| store.view()).collect();
                self.held.extend(views.into_iter().map(|view| (view, self.map.clone(), self.applied)));
            }
            Step::Scan { table, start, end, limit, reverse } => {
                let end = end.as_deref();
                let expected = expected_scan(&self.map, table, &start, end, limit, reverse);
                for view in self.stores().map(|store| store.view()) {
                    assert_eq!(view.scan(table, &start, end, limit, reverse).expect("scans"), expected);
                    let range = view.range(table, &start, end, reverse).take(limit);
                    assert_eq!(range.collect::<Result<Vec<_>, _>>().expect("ranges"), expected);
                }
            }
        }
    }

    fn check(&self) {
        for store in self.stores() {
            assert_eq!(store.applied(), self.applied);
            check_view(store.view(), &self.map, self.applied);
        }
        for (view, map, applied) in &self.held {
            check_view(view.clone(), map, *applied);
        }
    }
}

fn check_view(view: Arc<dyn View>, map: &Map, applied: u64) {
    assert_eq!(view.applied(), applied);
    assert_eq!(&contents(view.clone()), map);
    for ((table, key), value) in map {
        assert_eq!(view.get(*table, key).expect("gets").as_deref(), Some(&value[..]));
    }
    assert_eq!(view.get(Table::engine(7, 7), b"absent").expect("gets"), None);
}

fn incoming(map: &Map) -> impl Iterator<Item = Result<(Table, Bytes, Bytes), StoreError>> {
    map.iter().map(|((table, key), value)| Ok((*table, Bytes::from(key.clone()), Bytes::from(value.clone()))))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_stores_do_what_a_plain_map_does(steps in vec(step(), 1..40)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.check();
        world.step(Step::Persist);
        world.step(Step::Reopen);
        world.check();
    }
}
