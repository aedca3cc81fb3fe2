//! A transaction shows its own writes over the batch's over the view's, whichever layer holds what.

use outboard_store::{
    KEY_BYTES_MAX, MemoryStore, SCAN_PAGE_BYTES_MAX, SCAN_RECORD_BYTES, Store, StoreError, Table, Transaction,
};
use proptest::{collection::vec, option, prelude::*};

use crate::{Map, commit, contents, expected_scan, open};

const TABLE: Table = Table::engine(1, 1);
const NEIGHBOUR: Table = Table::engine(1, 2);

fn key() -> impl Strategy<Value = Vec<u8>> {
    vec(0..4u8, 0..3)
}

type Writes = Vec<(Table, Vec<u8>, Option<Vec<u8>>)>;

fn writes() -> impl Strategy<Value = Writes> {
    vec(
        (prop_oneof![4 => Just(TABLE), 1 => Just(NEIGHBOUR)], key(), option::weighted(0.6, vec(any::<u8>(), 0..3))),
        0..12,
    )
}

fn write(transaction: &mut Transaction, map: &mut Map, writes: &Writes) {
    for (table, key, value) in writes {
        match value {
            Some(value) => {
                transaction.put(*table, key, value.clone()).expect("a short key");
                map.insert((*table, key.clone()), value.clone());
            }
            None => {
                let found = map.remove(&(*table, key.clone())).is_some();
                assert_eq!(transaction.delete(*table, key).expect("deletes"), found);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reads_see_the_command_over_its_steps_over_the_batch_over_the_view(
        stored in writes(),
        kept in vec(writes(), 0..3),
        discarded in writes(),
        steps in vec(writes(), 0..3),
        command in writes(),
        (start, end, limit) in (key(), option::of(key()), 0..8usize),
    ) {
        let store = MemoryStore::new();
        let mut map = Map::new();
        let mut base = Transaction::new(store.view());
        write(&mut base, &mut map, &stored);
        base.keep();
        store.commit(base.into_batch(1)).expect("commits");

        let mut transaction = Transaction::new(store.view());
        for command in &kept {
            write(&mut transaction, &mut map, command);
            transaction.keep();
        }
        write(&mut transaction, &mut map.clone(), &discarded);
        transaction.discard();
        let before_command = map.clone();
        for step in &steps {
            write(&mut transaction, &mut map, step);
            transaction.step();
            write(&mut transaction, &mut map.clone(), &discarded);
            transaction.discard();
        }
        write(&mut transaction, &mut map, &command);

        for reverse in [false, true] {
            for limit in [limit, usize::MAX] {
                let found = transaction.scan(TABLE, &start, end.as_deref(), limit, reverse).expect("scans");
                prop_assert_eq!(found, expected_scan(&map, TABLE, &start, end.as_deref(), limit, reverse));
            }
        }
        let written = kept.iter().chain(&steps).flatten();
        for (table, key, _) in stored.iter().chain(written).chain(&discarded).chain(&command) {
            let found = transaction.get(*table, key).expect("gets").map(|value| value.to_vec());
            prop_assert_eq!(found.as_ref(), map.get(&(*table, key.clone())));
        }

        transaction.unite();
        let mut after = before_command.clone();
        let mut last = None;
        for (table, key, value) in transaction.command_writes() {
            prop_assert!(last < Some((table, key.to_vec())), "writes are in order, one for each key");
            last = Some((table, key.to_vec()));
            match value {
                Some(value) => after.insert((table, key.to_vec()), value.to_vec()),
                None => after.remove(&(table, key.to_vec())),
            };
        }
        prop_assert_eq!(&after, &map, "the command's writes are all that it changed");

        transaction.keep();
        store.commit(transaction.into_batch(2)).expect("commits");
        prop_assert_eq!(contents(store.view()), map);
    }

    #[test]
    fn a_command_s_writes_do_not_depend_on_how_batches_are_cut(earlier in vec(writes(), 1..4), command in writes()) {
        let run = |commit_each: bool| {
            let store = MemoryStore::new();
            let mut map = Map::new();
            let mut transaction = Transaction::new(store.view());
            for (applied, writes) in (1..).zip(&earlier) {
                write(&mut transaction, &mut map, writes);
                transaction.keep();
                if commit_each {
                    store.commit(transaction.into_batch(applied)).expect("commits");
                    transaction = Transaction::new(store.view());
                }
            }
            write(&mut transaction, &mut map, &command);
            let own = |(table, key, value): (Table, &[u8], Option<&[u8]>)| (table, key.to_vec(), value.map(<[u8]>::to_vec));
            (transaction.command_bytes(), transaction.command_writes().map(own).collect::<Vec<_>>())
        };
        prop_assert_eq!(run(true), run(false));
    }
}

#[test]
fn deleting_what_is_not_there_is_no_write() {
    let mut transaction = Transaction::new(MemoryStore::new().view());
    assert!(!transaction.delete(TABLE, b"absent").expect("deletes"));
    assert_eq!((transaction.command_bytes(), transaction.command_writes().count()), (0, 0));
}

#[test]
fn sizes_follow_keeping_and_discarding() {
    let mut transaction = Transaction::new(MemoryStore::new().view());
    transaction.put(TABLE, b"a", vec![0; 100]).expect("a short key");
    let bytes = transaction.command_bytes();
    assert!(bytes > 100);
    transaction.discard();
    assert_eq!((transaction.command_bytes(), transaction.batch_bytes()), (0, 0));
    transaction.put(TABLE, b"a", vec![0; 100]).expect("a short key");
    transaction.keep();
    assert_eq!((transaction.command_bytes(), transaction.batch_bytes()), (0, bytes));
}

#[test]
fn united_steps_are_kept_or_discarded_as_one() {
    let mut transaction = Transaction::new(MemoryStore::new().view());
    for round in [b"1", b"2"] {
        transaction.put(TABLE, b"a", &round[..]).expect("a short key");
        transaction.step();
        transaction.put(TABLE, b"b", &round[..]).expect("a short key");
        assert!(transaction.steps_bytes() > 0 && transaction.command_writes().count() == 1);
        transaction.unite();
        assert_eq!((transaction.steps_bytes(), transaction.command_writes().count()), (0, 2));
        match round {
            b"1" => transaction.discard(),
            _ => transaction.keep(),
        }
    }
    assert_eq!(transaction.into_batch(1).writes().map(|(_, key, _)| key.to_vec()).collect::<Vec<_>>(), [b"a", b"b"]);
}

#[test]
#[should_panic(expected = "steps are united before they are kept")]
fn steps_that_are_not_united_can_t_be_kept() {
    let mut transaction = Transaction::new(MemoryStore::new().view());
    transaction.put(TABLE, b"a", &b"1"[..]).expect("a short key");
    transaction.step();
    transaction.keep();
}

#[test]
fn a_page_is_cut_at_the_same_record_whichever_layer_holds_it() {
    let value = vec![7; SCAN_PAGE_BYTES_MAX / 8 - SCAN_RECORD_BYTES];
    let page_of = |stored: std::ops::Range<u8>, batch: std::ops::Range<u8>, command: std::ops::Range<u8>| {
        let store = MemoryStore::new();
        for n in stored {
            commit(&store, 1, &[(TABLE, &[n], Some(&value))]);
        }
        let mut transaction = Transaction::new(store.view());
        for n in batch {
            transaction.put(TABLE, &[n], value.clone()).expect("a short key");
            transaction.keep();
        }
        for n in command {
            transaction.put(TABLE, &[n], value.clone()).expect("a short key");
        }
        let page = transaction.scan(TABLE, b"", None, usize::MAX, false).expect("scans");
        assert_eq!(store.view().get(TABLE, &[99]).expect("gets"), None);
        page.len()
    };
    let layers = [page_of(0..20, 0..0, 0..0), page_of(0..7, 7..14, 14..20), page_of(0..0, 0..0, 0..20)];
    assert_eq!(layers, [7, 7, 7]);
}

#[test]
fn the_longest_key_is_stored_and_a_longer_one_is_refused_by_both_stores() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = open(&folder.path().join("tables"));
    let memory = MemoryStore::new();
    for store in [&disk as &dyn Store, &memory] {
        let mut transaction = Transaction::new(store.view());
        let refused = transaction.put(TABLE, &vec![1; KEY_BYTES_MAX + 1], "v");
        assert!(matches!(refused, Err(StoreError::KeyTooLong { bytes }) if bytes == KEY_BYTES_MAX + 1), "{refused:?}");
        transaction.put(TABLE, &vec![1; KEY_BYTES_MAX], "v").expect("a key that fits");
        // What cannot be there is not found.
        assert!(!transaction.delete(TABLE, &vec![1; KEY_BYTES_MAX + 1]).expect("deletes"));
        transaction.keep();
        store.commit(transaction.into_batch(1)).expect("commits");
        let found = store.view().get(TABLE, &vec![1; KEY_BYTES_MAX]).expect("gets");
        assert_eq!(found.as_deref(), Some(&b"v"[..]));
        assert_eq!(store.view().get(TABLE, &vec![1; KEY_BYTES_MAX + 1]).expect("gets"), None);
        let long = vec![1; KEY_BYTES_MAX * 2];
        assert_eq!(store.view().scan(TABLE, &long, None, 9, true).expect("scans"), vec![]);
        assert_eq!(store.view().scan(TABLE, b"", Some(&long), 9, true).expect("scans").len(), 1);
    }
}

#[test]
#[should_panic(expected = "kept or discarded")]
fn a_batch_is_not_made_while_a_command_s_writes_are_undecided() {
    let mut transaction = Transaction::new(MemoryStore::new().view());
    transaction.put(TABLE, b"a", "1").expect("a short key");
    transaction.into_batch(1);
}
