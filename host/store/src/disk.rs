//! The store on disk: one keyspace of the LSM library `fjall` for all tables, the applied index among their records.
//!
//! A commit is one batch of fjall's journal, so the writes and the applied index are found together after a crash or not at all, and
//! the journal loses only its newest batches. An install makes a second database beside the first, and switches by a rename when it
//! is complete and durable (`disk_folder.rs` says how the folder is read).
//!
//! Invariants: the newest view is replaced only after its commit; commits and installs are one at a time; the first failed write
//! halts the store, as the library's own state and the disk's are uncertain then.
//! Never: retries, syncs in `commit`. Tests: `disk_tests.rs`, `tests/store`.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use fjall::PersistMode;

use crate::{
    Batch, Store, StoreError, Table, View,
    arrival::Arrival,
    disk_folder::{self, Making},
    disk_tables::{Opened, Options, Tables},
    disk_view::DiskView,
};

/// Write buffers that are full and not yet flushed. They may wait while a compaction goes on; one more makes commits wait. The library
/// would take four, and then wait in steps of 100 ms.
const CLOSED_BUFFERS_MAX: usize = 3;

/// How long a commit that has to wait for a flush sleeps before it looks again.
const FLUSH_POLL: Duration = Duration::from_millis(1);

/// Tables in a folder.
pub struct DiskStore {
    /// What `view` hands out. Held here rather than made for each call, so that the applied index always belongs to the snapshot.
    latest: RwLock<Arc<DiskView>>,
    /// Held by the one commit or install that goes on.
    turn: Mutex<()>,
    /// The first failed write.
    halted: OnceLock<Failed>,
    /// Accounting size of what was committed since a write buffer was closed.
    buffered_bytes: AtomicU64,
    torn_bytes: u64,
    folder: PathBuf,
    options: Options,
}

impl DiskStore {
    /// Opens the tables in `folder`, or makes them when there is no such folder or it is empty. The tables stay locked until the
    /// store and all its views are dropped.
    pub fn open(folder: impl AsRef<Path>, options: Options) -> Result<DiskStore, StoreError> {
        let folder = folder.as_ref().to_owned();
        let Opened { tables, applied } = disk_folder::open(&folder, &options)?;
        let torn_bytes = tables.torn_bytes();
        Ok(DiskStore {
            latest: RwLock::new(Arc::new(DiskView::new(tables, applied))),
            turn: Mutex::new(()),
            halted: OnceLock::new(),
            buffered_bytes: AtomicU64::new(0),
            torn_bytes,
            folder,
            options,
        })
    }

    /// Bytes of unfinished or unordered commits that a crash left in the journal and that were cut off when the store was opened. They
    /// come again from the node's log; worth a warning. 0 where the library itself found a clean end.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    fn latest(&self) -> Arc<DiskView> {
        self.latest.read().expect("no holder of this lock panics").clone()
    }

    /// The new state, once it is complete.
    fn show(&self, tables: Arc<Tables>, applied: u64) {
        let view = Arc::new(DiskView::new(tables, applied));
        let old = std::mem::replace(&mut *self.latest.write().expect("no holder of this lock panics"), view);
        // The last view of replaced tables closes them and removes their files: not under the lock that every reader takes.
        drop(old);
    }

    fn check_halted(&self) -> Result<(), StoreError> {
        match self.halted.get() {
            Some(Failed { cause, full }) => Err(StoreError::Halted { cause: cause.clone(), full: *full }),
            None => Ok(()),
        }
    }

    /// Halts the store by the failure of a write.
    pub(crate) fn halt(&self, error: StoreError) -> StoreError {
        self.halted.get_or_init(|| {
            // A worker of the library failed before; its cause needs no second frame.
            if let StoreError::Halted { cause, full } = &error {
                return Failed { cause: cause.clone(), full: *full };
            }
            Failed { cause: error.to_string(), full: matches!(error, StoreError::Full { .. }) }
        });
        error
    }

    /// Closes a full write buffer, and waits while too many closed ones wait to be flushed. The library has both rules too, but it
    /// leaves the first to a worker that may be busy for seconds (measured: a buffer of 8 MiB grew to 500), and in the second it would
    /// wait for ever for a worker that has failed.
    fn bound_write_buffers(&self, tables: &Tables, bytes: u64) -> Result<(), fjall::Error> {
        let buffered = self.buffered_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if buffered < self.options.write_buffer_bytes {
            return Ok(());
        }
        self.buffered_bytes.store(0, Ordering::Relaxed);
        tables.keyspace().rotate_memtable()?;
        while tables.keyspace().sealed_memtable_count() > CLOSED_BUFFERS_MAX {
            // Fails when a worker has failed.
            tables.database().persist(PersistMode::Buffer)?;
            thread::sleep(FLUSH_POLL);
        }
        Ok(())
    }

    /// `install` in its steps; `after` is called when one is done, so that a test can look at the disk there.
    pub(crate) fn install_in_steps(
        &self,
        applied: u64,
        records: &mut dyn Iterator<Item = Result<(Table, Bytes, Bytes), StoreError>>,
        after: &mut dyn FnMut(InstallStep),
    ) -> Result<(), StoreError> {
        let _turn = self.turn.lock().unwrap_or_else(|turn| turn.into_inner());
        self.check_halted()?;
        let old = self.latest();
        let mut arrival = Arrival::new(old.applied(), applied)?;

        // Until the switch the old tables are untouched, so that no failure, not even a full disk, halts the store.
        let making = Making::start(&self.folder, old.tables().number() + 1, &self.options)?;
        after(InstallStep::Created);
        making.fill(&mut records.map(|record| {
            let (table, key, value) = record?;
            Ok((arrival.admit(table, &key)?, value))
        }))?;
        after(InstallStep::Filled);
        let made = making.finish(applied)?;
        after(InstallStep::Finished);

        let new = made.switch().map_err(|error| self.halt(error))?;
        after(InstallStep::Switched);
        let Opened { tables, applied } =
            disk_folder::open_number(&self.folder, new, &self.options).map_err(|error| self.halt(error))?;
        old.tables().doom();
        self.buffered_bytes.store(0, Ordering::Relaxed);
        self.show(tables, applied);
        drop(old);
        after(InstallStep::OldDropped);
        Ok(())
    }
}

impl Store for DiskStore {
    fn view(&self) -> Arc<dyn View> {
        self.latest()
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let _turn = self.turn.lock().unwrap_or_else(|turn| turn.into_inner());
        self.check_halted()?;
        let latest = self.latest();
        let (applied, bytes) = (batch.applied, batch.writes.bytes() as u64);
        assert!(applied >= latest.applied(), "the applied index goes back");

        let tables = latest.tables();
        let failed = |error| self.halt(tables.sorted("writing the tables", error));
        tables.write(batch).map_err(failed)?;
        self.show(tables.clone(), applied);
        self.bound_write_buffers(tables, bytes).map_err(failed)
    }

    fn applied(&self) -> u64 {
        self.latest().applied()
    }

    fn persist(&self) -> Result<u64, StoreError> {
        self.check_halted()?;
        // Noted before the sync: what is committed meanwhile may miss it.
        let latest = self.latest();
        match latest.tables().database().persist(PersistMode::SyncData) {
            Ok(()) => Ok(latest.applied()),
            Err(error) => Err(self.halt(latest.tables().sorted("syncing the tables", error))),
        }
    }

    fn install(
        &self,
        applied: u64,
        records: &mut dyn Iterator<Item = Result<(Table, Bytes, Bytes), StoreError>>,
    ) -> Result<(), StoreError> {
        self.install_in_steps(applied, records, &mut |_| {})
    }

    fn bytes_on_disk(&self) -> u64 {
        // The library counts what it knows of; a failure to ask the system for the journal's size is not worth an error here.
        self.latest().tables().database().disk_space().unwrap_or(0)
    }
}

/// A write that halted the store.
struct Failed {
    cause: String,
    full: bool,
}

/// What an install has done so far.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum InstallStep {
    /// There are empty tables beside the old ones.
    Created,
    /// They hold all records, but no applied index.
    Filled,
    /// They are complete, durable and closed.
    Finished,
    /// They have the name that makes them count.
    Switched,
    /// The old ones are gone.
    OldDropped,
}
