//! One database of the library, opened: all tables in one keyspace, and the record of the applied index.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode, compaction::Leveled};

use crate::{Batch, StoreError, disk_error, disk_journal, disk_panic, disk_recent::Recent};

/// The record of format and applied index: shorter than a table's prefix, so it is no table's and comes before all of them.
const META_KEY: [u8; 1] = [0];

/// Format of the records, first byte of the value under [`META_KEY`].
const FORMAT: u8 = 1;

const KEYSPACE: &str = "tables";

const OPENING: &str = "opening the tables";

/// Threads of the library, which flush and compact. With a second one it keeps the first free for flushes, and that one turns round in
/// its queue as long as a compaction goes on: measured on a busy machine, 150 k puts per second of processor time against 200 k with
/// one thread, and reads beside a compaction half as fast. With one thread a flush waits for the compaction before it, so
/// compactions are kept short ([`FILE_BYTES`]) and closed write buffers may wait (`CLOSED_BUFFERS_MAX`): a bulk load's slowest commit took
/// 1 to 2 s instead of 0.3, a steady load below the speed of compaction does not notice.
const WORKER_THREADS: usize = 1;

/// Size of a sorted file. A compaction takes some ten of them; with the library's 64 MiB it takes seconds.
pub(crate) const FILE_BYTES: u64 = 16 << 20;

/// What a store may take.
#[derive(Clone, Debug)]
pub struct Options {
    /// Memory for blocks read from disk, in bytes.
    pub cache_bytes: u64,
    /// Size of a write buffer, in bytes as counted by [`crate::Transaction::batch_bytes`]. There is one, and up to four more that
    /// wait to be flushed; each takes about 1.5 times its size in memory.
    pub write_buffer_bytes: u64,
    /// Size on disk over which old parts of the library's journal are given up, by flushing what still needs them, in bytes. At
    /// least 64 MiB. Reopening reads the journal, so this bounds its time too.
    pub journal_bytes_max: u64,
}

impl Default for Options {
    fn default() -> Options {
        // Measured with 2 million values of 256 bytes: buffers of 8, 16 and 32 MiB load equally fast; with 32 the store takes
        // 40 MB more. 5 million values load, and are read, within 190 MB resident.
        Options { cache_bytes: 64 << 20, write_buffer_bytes: 16 << 20, journal_bytes_max: 128 << 20 }
    }
}

/// Tables that count, and the applied index found in them.
pub(crate) struct Opened {
    pub(crate) tables: Arc<Tables>,
    pub(crate) applied: u64,
}

/// An open database. Shared by the store and all views of it. Fields are dropped in this order: the files go after they are closed.
pub(crate) struct Tables {
    keyspace: Keyspace,
    database: Database,
    recent: Recent,
    torn_bytes: u64,
    files: Files,
}

impl Tables {
    /// Opens or makes the database in `folder`.
    pub(crate) fn open(folder: &Path, number: u64, options: &Options) -> Result<Tables, StoreError> {
        let (database, torn_bytes) = open_database(folder, options)?;
        let keyspace = database
            .keyspace(KEYSPACE, || keyspace_options(options))
            .map_err(|error| disk_error::sorted(folder, OPENING, error))?;
        let files = Files { number, folder: folder.to_owned(), doomed: AtomicBool::new(false) };
        Ok(Tables { keyspace, database, recent: Recent::default(), torn_bytes, files })
    }

    pub(crate) fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    pub(crate) fn recent(&self) -> &Recent {
        &self.recent
    }

    /// Bytes of a torn tail that were cut off the journal when this was opened.
    pub(crate) fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Which of the folder's databases this is.
    pub(crate) fn number(&self) -> u64 {
        self.files.number
    }

    /// The files are removed once nothing uses them any more.
    pub(crate) fn doom(&self) {
        self.files.doomed.store(true, Ordering::Relaxed);
    }

    /// Takes back [`Tables::doom`].
    pub(crate) fn spare(&self) {
        self.files.doomed.store(false, Ordering::Relaxed);
    }

    /// The applied index.
    pub(crate) fn applied(&self) -> Result<u64, StoreError> {
        match self.keyspace.get(META_KEY).map_err(|error| self.sorted(OPENING, error))? {
            Some(meta) => parse_meta(&self.files.folder, &meta),
            None => Err(disk_error::corrupt(&self.files.folder, OPENING, "the record of the applied index is missing")),
        }
    }

    /// What an error of the library on this database means.
    pub(crate) fn sorted(&self, doing: &'static str, error: fjall::Error) -> StoreError {
        disk_error::sorted(&self.files.folder, doing, error)
    }

    /// Writes a batch, not durably.
    pub(crate) fn write(&self, batch: Batch) -> Result<(), fjall::Error> {
        self.recent.on_commit(&batch.writes);
        let mut whole = OwnedWriteBatch::with_capacity(self.database.clone(), batch.len() + 1);
        whole.insert(&self.keyspace, META_KEY, meta(batch.applied));
        for (encoded, write) in batch.writes.into_writes() {
            match write {
                Some(value) => whole.insert(&self.keyspace, encoded, value),
                None => whole.remove(&self.keyspace, encoded),
            }
        }
        whole.commit()
    }

    /// Writes the applied index; it and all before it are durable on return.
    pub(crate) fn write_applied(&self, applied: u64) -> Result<(), fjall::Error> {
        self.write(Batch::new(applied))?;
        self.database.persist(PersistMode::SyncAll)
    }
}

/// The folder of a database, removed with the last user if it was replaced.
struct Files {
    number: u64,
    folder: PathBuf,
    doomed: AtomicBool,
}

impl Drop for Files {
    fn drop(&mut self) {
        if *self.doomed.get_mut() {
            // What stays behind is removed when the store is opened the next time.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Opens the library on a folder, if need be after cutting a torn tail off its journal.
fn open_database(folder: &Path, options: &Options) -> Result<(Database, u64), StoreError> {
    match try_open_database(folder, options) {
        Ok(database) => Ok((database, 0)),
        Err(damage @ StoreError::Corrupt { .. }) => {
            let failed = |error| disk_error::sorted_io("mending the journal of the tables", error);
            match disk_journal::cut_torn_tail(folder).map_err(failed)? {
                0 => Err(damage),
                torn_bytes => Ok((try_open_database(folder, options)?, torn_bytes)),
            }
        }
        Err(error) => Err(error),
    }
}

/// The library panics on some damage; the bytes come from outside, so that is an error here.
fn try_open_database(folder: &Path, options: &Options) -> Result<Database, StoreError> {
    let builder = Database::builder(folder)
        .cache_size(options.cache_bytes)
        .max_journaling_size(options.journal_bytes_max)
        .worker_threads(WORKER_THREADS)
        .manual_journal_persist(true);
    match disk_panic::caught(|| builder.open()) {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(fjall::Error::Locked)) => Err(StoreError::Locked { path: folder.into() }),
        Ok(Err(fjall::Error::InvalidVersion(found))) => {
            let found = found.map_or("unknown to the library".into(), |found| format!("{found:?} of the library"));
            Err(StoreError::Format { found, known: "V3 of the library".into() })
        }
        Ok(Err(error)) => Err(disk_error::sorted(folder, OPENING, error)),
        Err(said) => Err(disk_error::corrupt(folder, OPENING, &format!("the library gave up ({said})"))),
    }
}

/// A keyspace as the library makes it by default: blocks of 4 KiB, Bloom filters on all levels (absent keys are asked for, by SET NX),
/// LZ4 from the third level down, values beside their keys. Measured with random values of 256 bytes: no compression, blocks of 8 KiB
/// or a hash index in blocks change neither puts nor gets by more than the noise of 10 %, and LZ4 saves room with real data. The
/// library writes down how a keyspace was made and keeps to it.
fn keyspace_options(options: &Options) -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(options.write_buffer_bytes)
        .compaction_strategy(Arc::new(Leveled::default().with_table_target_size(FILE_BYTES)))
}

fn meta(applied: u64) -> [u8; 9] {
    let mut value = [FORMAT; 9];
    value[1..].copy_from_slice(&applied.to_le_bytes());
    value
}

fn parse_meta(folder: &Path, value: &[u8]) -> Result<u64, StoreError> {
    let damaged = |what: &str| disk_error::corrupt(folder, OPENING, what);
    match value.split_first() {
        Some((&FORMAT, applied)) => match applied.try_into() {
            Ok(applied) => Ok(u64::from_le_bytes(applied)),
            Err(_) => Err(damaged(&format!("the applied index has {} bytes", applied.len()))),
        },
        Some((found, _)) => Err(StoreError::Format { found: found.to_string(), known: FORMAT.to_string() }),
        None => Err(damaged("the record of the applied index is empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_applied_index_comes_back_and_other_bytes_are_told_apart() {
        let parse_meta = |value: &[u8]| super::parse_meta(Path::new("tables/1"), value);
        assert_eq!(parse_meta(&meta(0x0102_0304)).expect("parses"), 0x0102_0304);
        assert!(matches!(parse_meta(&[FORMAT + 1, 0]), Err(StoreError::Format { .. })));
        assert!(matches!(parse_meta(&[FORMAT, 0]), Err(StoreError::Corrupt { .. })));
        assert!(matches!(parse_meta(&[]), Err(StoreError::Corrupt { .. })));
    }
}
