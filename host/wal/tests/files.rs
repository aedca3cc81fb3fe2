//! The log on real files.

mod support;

use std::fs;
use std::path::Path;

use outboard_raft::{HardState, Index, Term};
use outboard_wal::{FileDisk, Options, Recovered, Unrecovered, Wal, WalError};
use support::{CLUSTER, State, at, check, command};

const OPTIONS: Options = Options { segment_bytes: 64 << 10, sync: true };

fn recover(folder: &Path) -> Result<(Wal, Recovered), WalError> {
    Unrecovered::open(Box::new(FileDisk::new(folder)), CLUSTER, OPTIONS)?.recover()
}

/// Of all files in the folder.
fn bytes_in(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).expect("the folder is there");
    files.map(|file| file.expect("it can be read").metadata().expect("it is there").len()).sum()
}

/// Entries `from` to `to`, each 1000 bytes, with a sync for every ten.
fn fill(wal: &mut Wal, from: u64, to: u64) {
    let entries: Vec<_> = (from..=to).map(|index| command(index, 1, 1000)).collect();
    for entries in entries.chunks(10) {
        wal.append(Some(&HardState { term: Term(1), vote: None }), entries).expect("there is room");
        wal.sync().expect("the disk works");
    }
}

#[test]
fn what_was_written_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("deep").join("log");
    let (mut wal, recovered) = recover(&log).unwrap();
    check(&State::empty(), &recovered);
    fill(&mut wal, 1, 300);
    let state = State::of(&mut wal);
    drop(wal);
    let (mut wal, recovered) = recover(&log).unwrap();
    check(&state, &recovered);
    assert_eq!(State::of(&mut wal), state);
    assert_eq!(recovered.torn_bytes, 0);
}

#[test]
fn a_folder_in_use_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let (wal, _) = recover(folder.path()).unwrap();
    assert!(matches!(recover(folder.path()).unwrap_err(), WalError::Locked { .. }));
    drop(wal);
    recover(folder.path()).unwrap();
}

#[test]
fn a_folder_that_cannot_be_made_is_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = recover(&file.join("log")).unwrap_err();
    assert!(error.to_string().contains("file/log"), "{error}");
}

#[test]
fn segments_are_used_again_and_the_log_takes_no_more_room() {
    let folder = tempfile::tempdir().unwrap();
    let (mut wal, _) = recover(folder.path()).unwrap();
    let mut most = 0;
    for round in 0..20 {
        fill(&mut wal, round * 100 + 1, round * 100 + 100);
        wal.compact(Index(round * 100 + 95)).unwrap();
        most = most.max(wal.bytes_on_disk());
    }
    assert!(most <= 8 * OPTIONS.segment_bytes, "{most} bytes");
    assert_eq!(wal.base(), at(1995, 1));
    assert_eq!(bytes_in(folder.path()), wal.bytes_on_disk(), "the lock file is empty, everything else is counted");
    drop(wal);
    let (mut wal, recovered) = recover(folder.path()).unwrap();
    assert_eq!((recovered.base, recovered.last), (at(1995, 1), at(2000, 1)));
    assert_eq!(wal.read(Index(1996), Index(2000), 10_000).unwrap().len(), 5);
}

#[test]
fn a_snapshot_takes_the_place_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (mut wal, _) = recover(folder.path()).unwrap();
    fill(&mut wal, 1, 200);
    wal.reset(at(5000, 1)).unwrap();
    fill(&mut wal, 5001, 5010);
    drop(wal);
    let (_, recovered) = recover(folder.path()).unwrap();
    assert_eq!((recovered.base, recovered.last), (at(5000, 1), at(5010, 1)));
    assert_eq!(recovered.terms, [at(5001, 1)]);
}

#[test]
fn a_flipped_bit_in_the_middle_is_named_with_file_and_offset() {
    let folder = tempfile::tempdir().unwrap();
    let (mut wal, _) = recover(folder.path()).unwrap();
    fill(&mut wal, 1, 20);
    drop(wal);
    let file = folder.path().join("00000001.wal");
    let mut bytes = fs::read(&file).unwrap();
    bytes[5000] ^= 4;
    fs::write(&file, &bytes).unwrap();
    let error = recover(folder.path()).unwrap_err();
    assert!(
        matches!(&error, WalError::Corrupt { file, offset, .. } if file.ends_with("00000001.wal") && *offset <= 5000)
    );
    assert_eq!(fs::read(&file).unwrap(), bytes, "nothing is modified");
}

#[test]
fn a_log_may_move_to_the_thread_that_owns_it() {
    fn sendable<T: Send>() {}
    sendable::<Unrecovered>();
    sendable::<Wal>();
}
