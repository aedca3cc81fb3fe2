//! What a crash may leave, and what a bad disk may make of it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use outboard_store::{DiskStore, Store, StoreError, Table};

use crate::{Map, commit, contents, open, small};

const TABLE: Table = Table::engine(1, 0);
const COMMITS: u64 = 12;

/// Three records a commit, of different sizes.
fn write_commit(store: &dyn Store, applied: u64) {
    let value = vec![applied as u8; 20 * applied as usize];
    let keys = [b"same".to_vec(), format!("a{applied:02}").into_bytes(), format!("z{applied:02}").into_bytes()];
    let writes: Vec<_> = keys.iter().map(|key| (TABLE, &key[..], Some(&value[..]))).collect();
    commit(store, applied, &writes);
}

fn expected(applied: u64) -> Map {
    let mut map = Map::new();
    for n in 1..=applied {
        let value = vec![n as u8; 20 * n as usize];
        for key in [b"same".to_vec(), format!("a{n:02}").into_bytes(), format!("z{n:02}").into_bytes()] {
            map.insert((TABLE, key), value.clone());
        }
    }
    map
}

fn journal(path: &Path) -> PathBuf {
    path.join("1/0.jnl")
}

/// The bytes of a journal, without the room that the library keeps at its end.
fn journal_bytes(path: &Path) -> Vec<u8> {
    let mut bytes = fs::read(journal(path)).expect("reads");
    let end = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(end);
    bytes
}

#[test]
fn a_journal_that_lost_its_tail_gives_an_earlier_commit_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    (1..=COMMITS).for_each(|applied| write_commit(&store, applied));
    store.persist().expect("persists");
    drop(store);
    let whole = journal_bytes(folder.path());

    let mut seen = Vec::new();
    for cut in (60..=whole.len()).step_by(197).chain([whole.len()]) {
        // Cut off, or left as the zeros that were there before.
        for zeros in [0, 5_000] {
            let mut bytes = whole[..cut].to_vec();
            bytes.resize(cut + zeros, 0);
            fs::write(journal(folder.path()), bytes).expect("writes");
            match DiskStore::open(folder.path(), small()) {
                Ok(store) => {
                    assert_eq!(contents(store.view()), expected(store.applied()), "cut at {cut}");
                    seen.push(store.applied());
                }
                // Before the first record of the applied index.
                Err(error) => {
                    assert!(cut < 200 && matches!(error, StoreError::Corrupt { .. }), "cut at {cut}: {error}")
                }
            }
        }
    }
    assert!(seen.is_sorted());
    assert_eq!((seen.first(), seen.last()), (Some(&0), Some(&COMMITS)));
}

#[test]
fn a_hole_in_a_journal_gives_the_commits_before_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    (1..=COMMITS).for_each(|applied| write_commit(&store, applied));
    drop(store);
    let whole = journal_bytes(folder.path());

    let (mut seen, mut torn) = (Vec::new(), 0);
    for hole in (300..whole.len() - 40).step_by(211) {
        let mut bytes = whole.clone();
        bytes[hole..hole + 40].fill(0);
        bytes.resize(whole.len() + 10_000, 0);
        fs::write(journal(folder.path()), bytes).expect("writes");
        let store = open(folder.path());
        assert_eq!(contents(store.view()), expected(store.applied()), "hole at {hole}");
        seen.push(store.applied());
        torn = torn.max(store.torn_bytes());
        // What comes after the cut is found again.
        write_commit(&store, store.applied() + 1);
        let applied = store.persist().expect("persists");
        drop(store);
        let store = open(folder.path());
        assert_eq!((store.applied(), store.torn_bytes()), (applied, 0));
        assert_eq!(contents(store.view()), expected(applied), "after a hole at {hole}");
    }
    assert!(seen.is_sorted());
    assert!(seen.first() < Some(&3) && seen.last() == Some(&(COMMITS - 1)), "{seen:?}");
    assert!(torn > 0, "some holes are those that the library cannot take");
}

#[test]
fn a_flipped_bit_gives_an_error_or_an_earlier_commit_and_never_a_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tables");
    let store = open(&path);
    (1..=COMMITS).for_each(|applied| write_commit(&store, applied));
    drop(store);
    // Records in files, not only in the journal.
    let store = open(&path);
    store.install(COMMITS, &mut store.view().records()).expect("installs");
    commit(&store, COMMITS + 1, &[(TABLE, b"in the journal", Some(b"1"))]);
    let latest = contents(store.view());
    drop(store);

    let mut files = Vec::new();
    list(&path, &mut files);
    let (mut refused, mut served) = (0, 0);
    for file in files {
        let good = fs::read(&file).expect("reads");
        let end = good.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        for position in (0..end).step_by(1.max(end / 12)) {
            let mut bad = good[..end].to_vec();
            bad[position] ^= 0x10;
            fs::write(&file, bad).expect("writes");
            let opened = DiskStore::open(&path, small());
            let read = opened.and_then(|store| store.view().records().collect::<Result<Vec<_>, _>>());
            match read {
                Err(StoreError::Locked { .. } | StoreError::KeyTooLong { .. } | StoreError::Halted { .. }) => {
                    panic!("{}: not what a flipped bit is", file.display())
                }
                Err(error) => {
                    refused += 1;
                    let text = error.to_string();
                    let is_damage = matches!(error, StoreError::Corrupt { .. });
                    let names_place = text.contains(path.to_str().expect("text"));
                    assert!(!is_damage || names_place && !text.contains(" { "), "{}: {text}", file.display());
                }
                Ok(records) => {
                    served += 1;
                    for (table, key, value) in records {
                        assert_eq!(latest.get(&(table, key.to_vec())).map(Vec::as_slice), Some(&value[..]));
                    }
                }
            }
            fs::write(&file, &good).expect("writes");
        }
    }
    assert!(refused > 0 && served > 0, "{refused} refused, {served} served");
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            list(&path, files);
        } else if path.file_name().is_some_and(|name| name != "lock") {
            files.push(path);
        }
    }
    files.sort();
}
