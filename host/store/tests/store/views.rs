//! A view does not move, however long it is held.

use std::sync::Arc;

use outboard_store::{MemoryStore, Store, StoreError, Table, View};

use crate::{Map, commit, contents, open};

const TABLE: Table = Table::engine(1, 0);

/// Overwrites and deletes the same keys over and over, far over the size of the write buffers.
fn churn(store: &dyn Store, rounds: u64) {
    let from = store.applied();
    for round in 1..=rounds {
        let value = vec![round as u8; 8_000];
        let writes: Vec<[u8; 1]> = (0..8).map(|n| [n]).collect();
        let writes: Vec<_> = writes
            .iter()
            .map(|key| (TABLE, &key[..], (!(u64::from(key[0]) + round).is_multiple_of(3)).then_some(&value[..])))
            .collect();
        commit(store, from + round, &writes);
    }
}

fn with_both(claim: impl Fn(&dyn Store)) {
    let folder = tempfile::tempdir().expect("a folder");
    claim(&open(&folder.path().join("tables")));
    claim(&MemoryStore::new());
}

#[test]
fn a_view_stays_while_commits_flush_and_compact_under_it() {
    with_both(|store| {
        churn(store, 3);
        let views: Vec<(Arc<dyn View>, Map)> = (0..4)
            .map(|_| {
                churn(store, 20);
                (store.view(), contents(store.view()))
            })
            .collect();
        churn(store, 100);
        for (number, (view, before)) in (1..).zip(&views) {
            assert_eq!(view.applied(), 3 + 20 * number);
            assert_eq!(&contents(view.clone()), before);
        }
    });
}

#[test]
fn a_view_and_its_iterators_stay_over_an_install_and_the_store_s_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tables");
    let store = open(&path);
    churn(&store, 50);
    let before = contents(store.view());
    let view = store.view();
    let mut records = store.view().records();
    let first = records.next().expect("a record").expect("reads");

    store.install(1_000, &mut std::iter::empty::<Result<_, StoreError>>()).expect("installs");
    assert_eq!((store.applied(), contents(store.view())), (1_000, Map::new()));
    churn(&store, 50);
    drop(store);
    assert_eq!((view.applied(), contents(view.clone())), (50, before.clone()));
    drop(view);
    let rest: Vec<_> = records.collect::<Result<_, _>>().expect("reads");
    assert_eq!(rest.len() + 1, before.len());
    assert!(first.1 < rest[0].1);

    // The replaced tables went with their last reader.
    assert_eq!(std::fs::read_dir(&path).expect("a folder").count(), 1);
    assert_eq!(open(&path).applied(), 1_050);
}

#[test]
fn readers_beside_a_writer_see_whole_commits_only() {
    with_both(|store| {
        commit(store, 1, &[(TABLE, b"left", Some(b"1")), (TABLE, b"right", Some(b"1"))]);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        let mut last = 0;
                        while last < 500 {
                            let view = store.view();
                            let [left, right] = [&b"left"[..], b"right"].map(|key| view.get(TABLE, key).expect("gets"));
                            assert_eq!(left, right);
                            let number: u64 =
                                String::from_utf8_lossy(&left.expect("it is there")).parse().expect("a number");
                            assert_eq!(number, view.applied());
                            assert!(number >= last, "views go forward");
                            last = number;
                            assert!(store.persist().expect("persists") >= number);
                        }
                    })
                })
                .collect();
            for applied in 2..=500u64 {
                let value = applied.to_string();
                commit(
                    store,
                    applied,
                    &[(TABLE, b"left", Some(value.as_bytes())), (TABLE, b"right", Some(value.as_bytes()))],
                );
            }
            for reader in readers {
                reader.join().expect("the reader saw nothing wrong");
            }
        });
    });
}

#[test]
fn what_one_store_s_records_give_another_installs() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = open(&folder.path().join("tables"));
    churn(&disk, 70);
    let memory = MemoryStore::new();
    memory.install(disk.applied(), &mut disk.view().records()).expect("installs");
    assert_eq!((memory.applied(), contents(memory.view())), (70, contents(disk.view())));

    let again = open(&folder.path().join("again"));
    again.install(memory.applied(), &mut memory.view().records()).expect("installs");
    assert_eq!(contents(again.view()), contents(disk.view()));
}

#[test]
#[should_panic(expected = "goes back")]
fn the_applied_index_never_goes_back() {
    let store = MemoryStore::new();
    commit(&store, 2, &[]);
    commit(&store, 1, &[]);
}
