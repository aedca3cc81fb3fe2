//! Opening folders of all kinds, and installs of all kinds.

use std::{fs, os::unix::fs::PermissionsExt};

use bytes::Bytes;
use outboard_store::{DiskStore, KEY_BYTES_MAX, MemoryStore, Store, StoreError, Table};

use crate::{commit, contents, open, small};

const TABLE: Table = Table::engine(1, 0);

#[test]
fn an_open_store_is_locked_until_its_last_view_is_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let view = store.view();
    drop(store);
    match DiskStore::open(folder.path(), small()) {
        Err(StoreError::Locked { path }) => assert!(path.starts_with(folder.path())),
        other => panic!("not locked: {:?}", other.map(drop)),
    }
    drop(view);
    open(folder.path());
}

#[test]
fn a_folder_with_other_files_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, others) in [("notes.txt", 1), ("01", 2), ("1.new.bak", 3)] {
        fs::write(folder.path().join(name), "mine").expect("writes");
        match DiskStore::open(folder.path(), small()) {
            Err(StoreError::NotAStore { .. }) => {}
            other => panic!("opened: {:?}", other.map(drop)),
        }
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), others);
    }
}

#[test]
fn a_file_in_place_of_the_folder_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tables");
    fs::write(&file, "mine").expect("writes");
    let error = DiskStore::open(&file, small()).map(drop).expect_err("it is a file");
    assert_eq!(error.to_string(), format!("{} does not hold Outboard's tables: it is a file", file.display()));
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_with_the_system_s_word() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).expect("sets");
    let writable = fs::write(folder.path().join("probe"), "").is_ok();
    if writable {
        // Whoever may do everything cannot be refused this way; a folder under a file refuses everyone.
        fs::remove_file(folder.path().join("probe")).expect("removes");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("sets");
        fs::write(folder.path().join("file"), "").expect("writes");
        let error = DiskStore::open(folder.path().join("file/tables"), small()).map(drop).expect_err("no folder");
        assert!(matches!(error, StoreError::NotAStore { .. } | StoreError::Io { .. }), "{error}");
    } else {
        let error = DiskStore::open(folder.path().join("tables"), small()).map(drop).expect_err("no permission");
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
    }
}

#[test]
fn a_store_whose_making_was_cut_short_is_made_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(folder.path().join("1.new/keyspaces")).expect("makes");
    fs::write(folder.path().join("1.new/0.jnl"), "half a jour").expect("writes");
    let store = open(folder.path());
    commit(&store, 1, &[(TABLE, b"a", Some(b"1"))]);
    assert_eq!(store.applied(), 1);
}

#[test]
fn a_commit_without_persist_is_there_after_a_clean_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    commit(&store, 7, &[(TABLE, b"a", Some(b"1"))]);
    let before = contents(store.view());
    drop(store);
    let store = open(folder.path());
    assert_eq!((store.applied(), contents(store.view())), (7, before));
}

#[test]
fn a_snapshot_that_breaks_the_rules_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let disk = open(folder.path());
    let memory = MemoryStore::new();
    let record = |table: Table, key: &[u8]| Ok((table, Bytes::copy_from_slice(key), Bytes::from_static(b"2")));
    let long = vec![1; KEY_BYTES_MAX + 1];
    for store in [&disk as &dyn Store, &memory] {
        commit(store, 5, &[(TABLE, b"old", Some(b"1"))]);
        let before = contents(store.view());
        let broken = [
            (6, vec![record(TABLE, b"b"), record(TABLE, b"a")]),
            (6, vec![record(TABLE, b"a"), record(TABLE, b"a")]),
            (6, vec![record(TABLE, b"a"), record(Table::control(0), b"b")]),
            (6, vec![record(TABLE, &long)]),
            (4, vec![record(TABLE, b"a")]),
        ];
        for (applied, records) in broken {
            let result = store.install(applied, &mut records.into_iter());
            assert!(matches!(result, Err(StoreError::Snapshot { .. })), "{result:?}");
            assert_eq!((store.applied(), contents(store.view())), (5, before.clone()));
        }
        commit(store, 6, &[(TABLE, b"new", Some(b"1"))]);
        assert_eq!(store.persist().expect("persists"), 6);
    }
    drop(disk);
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    assert_eq!(open(folder.path()).applied(), 6);
}

#[test]
fn installs_follow_one_another_and_last() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 1..=4u8 {
        let store = open(folder.path());
        assert_eq!(store.applied(), u64::from(round - 1) * 10);
        let records = (0..200u8).map(|n| Ok((TABLE, Bytes::from(vec![n]), Bytes::from(vec![round; 3_000]))));
        store.install(u64::from(round) * 10, &mut records.into_iter()).expect("installs");
        assert_eq!(store.view().get(TABLE, &[199]).expect("gets").as_deref(), Some(&[round; 3_000][..]));
        assert!(store.bytes_on_disk() > 0);
    }
    let store = open(folder.path());
    assert_eq!((store.applied(), contents(store.view()).len()), (40, 200));
}
