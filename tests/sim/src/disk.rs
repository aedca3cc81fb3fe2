//! The log's disk: the log's own disk in memory, and on top of it what that one can't do: a write that lands in the wrong
//! place, and disks that lie about syncs, by which the checks are tested.

use crate::mutation::Mutation;
use outboard_wal::{Disk, DiskFile, MemDisk};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An open file that a promise may hold as well.
type SharedFile = Arc<Mutex<Box<dyn DiskFile>>>;

/// A handle to the disk of one simulated node. Clones show the same disk.
#[derive(Clone, Default)]
pub struct SimDisk {
    inner: MemDisk,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    mutation: Option<Mutation>,
    /// The next write of some length goes so many bytes before its place.
    misdirect: Option<u64>,
    misdirected: bool,
    /// Syncs that a late disk has only promised.
    promised: Vec<SharedFile>,
}

impl SimDisk {
    /// An empty disk.
    pub fn new(mutation: Option<Mutation>) -> SimDisk {
        SimDisk::over(MemDisk::new(), mutation)
    }

    /// The disk over this one.
    pub fn over(inner: MemDisk, mutation: Option<Mutation>) -> SimDisk {
        let state = State { mutation, ..State::default() };
        SimDisk { inner, state: Arc::new(Mutex::new(state)) }
    }

    /// The disk in memory under it.
    pub fn memory(&self) -> &MemDisk {
        &self.inner
    }

    /// The next write goes wrong.
    pub fn misdirect_next(&self, back_bytes: u64) {
        let mut state = self.state();
        (state.misdirect, state.misdirected) = (Some(back_bytes), false);
    }

    /// It went wrong.
    pub fn has_misdirected(&self) -> bool {
        self.state().misdirected
    }

    /// No write will go wrong that has not done so yet.
    pub fn forget_misdirection(&self) {
        self.state().misdirect = None;
    }

    /// A late disk does what it has promised.
    pub fn keep_promises(&self) {
        let promised = std::mem::take(&mut self.state().promised);
        // A file from before a crash is dead, and so is the promise.
        promised.into_iter().for_each(|file| locked(&file).sync().unwrap_or_default());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(SimFile { file: Arc::new(Mutex::new(file)), state: self.state.clone() })
    }
}

impl Disk for SimDisk {
    fn lock(&mut self) -> io::Result<()> {
        self.inner.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(self.inner.create(name, bytes)?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.file(self.inner.open(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.inner.sync_folder()
    }

    fn path(&self) -> String {
        "log".to_owned()
    }
}

/// One open file on a [`SimDisk`].
struct SimFile {
    file: SharedFile,
    state: Arc<Mutex<State>>,
}

impl SimFile {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        locked(&self.file).size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        locked(&self.file).read_at(offset, into)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let wrong = {
            let mut state = self.state();
            let wrong = state.misdirect.filter(|back| *back < offset);
            if wrong.is_some() {
                state.misdirect = None;
                state.misdirected = true;
            }
            wrong
        };
        locked(&self.file).write_at(offset - wrong.unwrap_or(0), bytes)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        match state.mutation {
            Some(Mutation::SyncsDropped) => Ok(()),
            Some(Mutation::AckBeforeSync) => {
                state.promised.push(self.file.clone());
                Ok(())
            }
            Some(_) | None => locked(&self.file).sync(),
        }
    }
}

fn locked(file: &SharedFile) -> MutexGuard<'_, Box<dyn DiskFile>> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}
