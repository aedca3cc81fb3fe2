//! The store on disk where its inside must be reached: an install cut short at each of its steps, a failed write.

use std::{fs, io, path::Path};

use bytes::Bytes;

use crate::{Batch, DiskStore, Options, Store, StoreError, Table, disk::InstallStep, disk_error};

const TABLE: Table = Table::engine(1, 0);

type Record = (Table, Bytes, Bytes);

/// Small enough for a test, flushed often.
fn options() -> Options {
    Options { cache_bytes: 1 << 20, write_buffer_bytes: 64 << 10, ..Options::default() }
}

fn put(store: &DiskStore, applied: u64, key: &str, value: &str) -> Result<(), StoreError> {
    let mut batch = Batch::new(applied);
    batch.put(TABLE, key.as_bytes(), value.to_owned())?;
    store.commit(batch)
}

fn records(store: &DiskStore) -> Vec<Record> {
    store.view().records().collect::<Result<_, _>>().expect("the tables can be read")
}

fn record(key: &str, value: &str) -> Record {
    (TABLE, Bytes::from(key.to_owned()), Bytes::from(value.to_owned()))
}

/// What a process killed now would leave, and the power failing just after it: files as the system sees them.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else if entry.path().extension().is_some_and(|extension| extension == "jnl") {
            // Preallocated by the library; the zeros at its end need no copy.
            let bytes = fs::read(entry.path()).expect("a file can be read");
            let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
            fs::write(target, &bytes[..end]).expect("a file can be written");
        } else {
            fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}

#[test]
fn an_install_cut_short_at_any_step_leaves_the_old_or_the_new() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tables");
    let store = DiskStore::open(&path, options()).expect("opens");
    put(&store, 1, "old", "1").expect("commits");
    put(&store, 2, "both", "1").expect("commits");
    store.persist().expect("persists");
    let old = records(&store);
    let new = vec![record("both", "2"), record("new", "2")];

    let mut steps = Vec::new();
    let mut incoming = new.clone().into_iter().map(Ok);
    store
        .install_in_steps(9, &mut incoming, &mut |step| {
            copy(&path, &folder.path().join(format!("{step:?}")));
            steps.push(step);
        })
        .expect("installs");
    assert_eq!((store.applied(), records(&store)), (9, new.clone()));

    let all = [
        InstallStep::Created,
        InstallStep::Filled,
        InstallStep::Finished,
        InstallStep::Switched,
        InstallStep::OldDropped,
    ];
    assert_eq!(steps, all);
    for step in steps {
        let expected = match step {
            InstallStep::Created | InstallStep::Filled | InstallStep::Finished => (2, old.clone()),
            InstallStep::Switched | InstallStep::OldDropped => (9, new.clone()),
        };
        let path = folder.path().join(format!("{step:?}"));
        for opening in 1..=2 {
            let store = DiskStore::open(&path, options()).expect("opens");
            assert_eq!((store.applied(), records(&store)), expected, "after {step:?}, opening {opening}");
        }
        // Leftovers are gone, and the next install is not disturbed by where they were.
        assert_eq!(fs::read_dir(&path).expect("a folder").count(), 1, "after {step:?}");
        let store = DiskStore::open(&path, options()).expect("opens");
        store.install(10, &mut [Ok(record("next", "3"))].into_iter()).expect("installs");
        drop(store);
        let store = DiskStore::open(&path, options()).expect("opens");
        assert_eq!((store.applied(), records(&store)), (10, vec![record("next", "3")]));
    }
}

#[test]
fn after_a_failed_write_the_store_is_halted_and_still_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = DiskStore::open(folder.path().join("tables"), options()).expect("opens");
    put(&store, 1, "a", "1").expect("commits");

    let error = store.halt(disk_error::sorted_io("writing the tables", io::ErrorKind::StorageFull.into()));
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    let halted = [
        put(&store, 2, "a", "2"),
        store.persist().map(drop),
        store.install(2, &mut std::iter::empty::<Result<Record, StoreError>>()),
    ];
    for result in halted {
        match result {
            Err(StoreError::Halted { cause, full }) => assert!(full && cause.contains("disk is full"), "{cause}"),
            other => panic!("not halted: {other:?}"),
        }
    }
    assert_eq!((store.applied(), records(&store)), (1, vec![record("a", "1")]));
}

#[test]
fn the_first_failure_is_the_one_that_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = DiskStore::open(folder.path().join("tables"), options()).expect("opens");
    store.halt(disk_error::sorted_io("first", io::ErrorKind::PermissionDenied.into()));
    store.halt(disk_error::sorted_io("second", io::ErrorKind::StorageFull.into()));
    match store.persist() {
        Err(StoreError::Halted { cause, full }) => assert!(!full && cause.starts_with("first"), "{cause}"),
        other => panic!("not halted: {other:?}"),
    }
}
