//! Measures the store on disk: `cargo run --release -p outboard-store --example store_load -- [RECORDS] [FOLDER]`.
//!
//! Loads RECORDS (1,000,000) values of 256 bytes under scattered keys, a transaction of 64 commands to a commit, with a `persist`
//! every 100,000 records; reads a sample back; opens the folder again. The folder (a fresh one in the system's temp folder) stays.
#![allow(clippy::print_stdout, reason = "an example is a small program")]

use std::{
    error::Error,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use outboard_store::{DiskStore, Options, Store, Table, Transaction, View};

const TABLE: Table = Table::engine(1, 0);
const VALUE_BYTES: usize = 256;
const BATCH_RECORDS: u64 = 64;
const PERSIST_RECORDS: u64 = 100_000;
const SAMPLE_RECORDS: u64 = 200_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let records = arguments.next().map_or(Ok(1_000_000), |records| records.parse())?;
    let folder = arguments.next().map_or_else(
        || std::env::temp_dir().join(format!("outboard-store-load-{}", std::process::id())),
        PathBuf::from,
    );
    println!("folder {}", folder.display());

    let store = DiskStore::open(&folder, Options::default())?;
    load(&store, records)?;
    sample("gets", &*store.view(), records)?;
    scan(&*store.view())?;
    println!("disk {} MB, {}", store.bytes_on_disk() / 1_000_000, resident());
    reopen(store, &folder, records)
}

fn load(store: &DiskStore, records: u64) -> Result<(), Box<dyn Error>> {
    let (start, cpu_start, from) = (Instant::now(), cpu(), store.applied());
    let (mut slowest_commit, mut persisting, mut slowest_persist) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut value = vec![0u8; VALUE_BYTES];
    let mut n = 0;
    while n < records {
        let commit_start = Instant::now();
        let mut transaction = Transaction::new(store.view());
        for _ in 0..BATCH_RECORDS.min(records - n) {
            fill(&mut value, n);
            transaction.put(TABLE, &key(n), value.clone())?;
            transaction.keep();
            n += 1;
        }
        store.commit(transaction.into_batch(from + n))?;
        slowest_commit = slowest_commit.max(commit_start.elapsed());
        if n % PERSIST_RECORDS < BATCH_RECORDS {
            let persist_start = Instant::now();
            store.persist()?;
            persisting += persist_start.elapsed();
            slowest_persist = slowest_persist.max(persist_start.elapsed());
        }
        if n % (PERSIST_RECORDS * 5) < BATCH_RECORDS {
            println!("  {n} records, {:.0} puts/s, {}", rate(n, start.elapsed()), resident());
        }
    }
    println!(
        "puts {:.0}/s ({:.0}/s of CPU, all threads), slowest commit {slowest_commit:.1?}, persisting {persisting:.1?}, slowest {slowest_persist:.1?}",
        rate(records, start.elapsed()),
        rate(records, cpu() - cpu_start),
    );
    Ok(())
}

fn sample(what: &str, view: &dyn View, records: u64) -> Result<(), Box<dyn Error>> {
    let (start, cpu_start) = (Instant::now(), cpu());
    let mut expected = vec![0u8; VALUE_BYTES];
    for n in 0..SAMPLE_RECORDS {
        let n = scatter(n) % records;
        fill(&mut expected, n);
        let found = view.get(TABLE, &key(n))?;
        assert_eq!(found.as_deref(), Some(&expected[..]), "a value was lost");
    }
    println!(
        "{what} {:.0}/s ({:.0}/s of CPU, all threads)",
        rate(SAMPLE_RECORDS, start.elapsed()),
        rate(SAMPLE_RECORDS, cpu() - cpu_start)
    );
    let start = Instant::now();
    for n in 0..SAMPLE_RECORDS {
        assert_eq!(view.get(TABLE, &key(records + n))?, None, "a value came from nowhere");
    }
    println!("{what} of absent keys {:.0}/s", rate(SAMPLE_RECORDS, start.elapsed()));
    Ok(())
}

fn scan(view: &dyn View) -> Result<(), Box<dyn Error>> {
    let (start, mut count, mut from) = (Instant::now(), 0, Vec::new());
    while count < SAMPLE_RECORDS as usize * 5 {
        let page = view.scan(TABLE, &from, None, 1_000, false)?;
        let Some((last, _)) = page.last() else { break };
        from = [last, &[0][..]].concat();
        count += page.len();
    }
    println!("scanned {:.0} records/s", rate(count as u64, start.elapsed()));
    Ok(())
}

fn reopen(store: DiskStore, folder: &Path, records: u64) -> Result<(), Box<dyn Error>> {
    let applied = store.persist()?;
    let start = Instant::now();
    drop(store);
    println!("closed in {:.1?}", start.elapsed());
    let start = Instant::now();
    let store = DiskStore::open(folder, Options::default())?;
    println!("reopened in {:.1?}", start.elapsed());
    assert_eq!(store.applied(), applied, "what was persisted is there");
    sample("gets after reopening", &*store.view(), records)?;
    println!("{}", resident());
    Ok(())
}

/// Keys in an order that has nothing to do with their bytes.
fn key(n: u64) -> [u8; 20] {
    let mut key = *b"user/00000000\0\0\0\0\0\0\0";
    key[5..13].copy_from_slice(&scatter(n).to_be_bytes());
    key
}

/// Values that no compression makes much of.
fn fill(value: &mut [u8], n: u64) {
    for (position, chunk) in value.chunks_exact_mut(8).enumerate() {
        chunk.copy_from_slice(&scatter(n ^ (position as u64) << 40).to_le_bytes());
    }
}

/// A mixing of the bits of `n` that loses nothing.
fn scatter(n: u64) -> u64 {
    let n = (n ^ n >> 31).wrapping_mul(0x7fb5_d329_728e_a185);
    let n = (n ^ n >> 27).wrapping_mul(0x81da_def4_bc2d_d44d);
    n ^ n >> 33
}

fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// Processor time of this process so far, where the system tells it.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.split_whitespace().skip(13).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>();
    Duration::from_millis(ticks * 10)
}

/// Resident memory, where the system tells it.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?").trim().to_owned();
    format!("resident {} (anonymous {}, peak {})", field("VmRSS:"), field("RssAnon:"), field("VmHWM:"))
}
