//! What one append of 1 KiB with its sync costs, by how the file's blocks came to be, and through the log itself; then how fast
//! many entries are written and recovered.
//!
//! `cargo run --release -p outboard-wal --example sync_cost [FOLDER] [ROUNDS]`; the folder should lie on the disk in question.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use outboard_raft::{Entry, HardState, Index, Payload, Term};
use outboard_wal::{Disk, FileDisk, Options, Unrecovered};

const RECORD_BYTES: usize = 1 << 10;
const FILE_BYTES: u64 = 64 << 20;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("sync_cost-{}", std::process::id()));
    let rounds = arguments.next().map_or(Ok(2000), |rounds| rounds.parse())?;
    println!("{rounds} times 1 KiB and a sync; microseconds: median, 90 %, 99 %, most");
    files(&folder.join("files"), rounds)?;
    log(&folder.join("log"), rounds)?;
    bulk(&folder.join("bulk"))?;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// The same file filled in different ways.
fn files(folder: &Path, rounds: u64) -> Outcome {
    let mut disk = FileDisk::new(folder);
    disk.lock()?;
    let record = [7; RECORD_BYTES];
    let zeros = vec![0; 1 << 20];

    let grown = std::fs::File::create(folder.join("grown"))?;
    measure("growing file", rounds, |round| {
        use std::os::unix::fs::FileExt;
        grown.write_all_at(&record, round * RECORD_BYTES as u64)?;
        Ok(grown.sync_data()?)
    })?;

    let reserved = disk.create("reserved", FILE_BYTES)?;
    reserved.sync()?;
    measure("fallocate", rounds, |round| {
        reserved.write_at(round * RECORD_BYTES as u64, &record)?;
        Ok(reserved.sync()?)
    })?;

    let filled = disk.create("filled", FILE_BYTES)?;
    let began = Instant::now();
    for offset in (0..FILE_BYTES).step_by(zeros.len()) {
        filled.write_at(offset, &zeros)?;
    }
    filled.sync()?;
    println!("{:<28}{:>9} once, for 64 MiB of zeros", "", began.elapsed().as_micros());
    measure("fallocate, zeros at once", rounds, |round| {
        filled.write_at(round * RECORD_BYTES as u64, &record)?;
        Ok(filled.sync()?)
    })?;

    for ahead in [256 << 10, 1 << 20] {
        let file = disk.create("ahead", FILE_BYTES)?;
        file.sync()?;
        measure(&format!("fallocate, {} KiB zeros ahead", ahead >> 10), rounds, |round| {
            let offset = round * RECORD_BYTES as u64;
            if offset.is_multiple_of(ahead as u64) {
                file.write_at(offset, &zeros[..ahead])?;
            }
            file.write_at(offset, &record)?;
            Ok(file.sync()?)
        })?;
    }
    Ok(())
}

/// The log, with segments made new and with segments used again.
fn log(folder: &Path, rounds: u64) -> Outcome {
    let options = Options { segment_bytes: 8 << 20, ..Options::default() };
    let (mut wal, _) = Unrecovered::open(Box::new(FileDisk::new(folder)), 1, options)?.recover()?;
    let command: Arc<[u8]> = Arc::from(&[7; RECORD_BYTES][..]);
    wal.append(Some(&HardState { term: Term(1), vote: None }), &[])?;
    let mut last = 0;
    for name in ["log, 8 MiB segments", "log, segments used again"] {
        measure(name, rounds, |_| {
            last += 1;
            wal.append(
                None,
                &[Entry { index: Index(last), term: Term(1), payload: Payload::Command(command.clone()) }],
            )?;
            Ok(wal.sync()?)
        })?;
        wal.compact(Index(last))?;
    }
    Ok(())
}

/// Two million entries of 256 bytes, 64 to an append and 16 appends to a sync; then a recovery with the pages in memory.
fn bulk(folder: &Path) -> Outcome {
    let open = || Unrecovered::open(Box::new(FileDisk::new(folder)), 1, Options::default());
    let (mut wal, _) = open()?.recover()?;
    let command: Arc<[u8]> = Arc::from(&[7; 256][..]);
    wal.append(Some(&HardState { term: Term(1), vote: None }), &[])?;
    let began = Instant::now();
    let mut writing = std::time::Duration::ZERO;
    for append in 0..2_000_000u64 / 64 {
        let entry =
            |at| Entry { index: Index(append * 64 + at), term: Term(1), payload: Payload::Command(command.clone()) };
        let entries: Vec<_> = (1..=64).map(entry).collect();
        let wrote = Instant::now();
        wal.append(None, &entries)?;
        writing += wrote.elapsed();
        if append % 16 == 15 {
            wal.sync()?;
        }
    }
    wal.sync()?;
    let bytes = wal.bytes_on_disk();
    println!("2 million entries, {} MiB: {:?}, of which {writing:?} in append", bytes >> 20, began.elapsed());
    drop(wal);
    let began = Instant::now();
    let (mut wal, recovered) = open()?.recover()?;
    println!("recovered up to {}: {:?}", recovered.last, began.elapsed());
    let began = Instant::now();
    let mut next = 1;
    while next <= recovered.last.index.0 {
        next += wal.read(Index(next), recovered.last.index, 1 << 20)?.len() as u64;
    }
    println!("read all: {:?}", began.elapsed());
    Ok(())
}

fn measure(name: &str, rounds: u64, mut act: impl FnMut(u64) -> Outcome) -> Outcome {
    let mut taken = Vec::new();
    for round in 0..rounds {
        let began = Instant::now();
        act(round)?;
        taken.push(began.elapsed().as_micros());
    }
    taken.sort_unstable();
    let part = |share: usize| taken[(taken.len() * share / 1000).min(taken.len() - 1)];
    println!("{name:<28}{:>9}{:>9}{:>9}{:>9}", part(500), part(900), part(990), part(1000));
    Ok(())
}
