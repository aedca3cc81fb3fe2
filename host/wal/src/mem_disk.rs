//! A disk in memory that does what real disks do at the worst moment. For tests and for the simulator.
//!
//! The value is a handle: clones show the same disk, so a test keeps one while a log owns the other. A [`MemDisk::crash`]
//! takes away what was not synced (all of it, or what the caller decides, write by write), ends every handle's
//! open files and frees the lock. Until a crash, every write can be read back, as from a page cache.
//! Tests: at the end of the file.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{Disk, DiskFile};

mod state;

use state::{Content, Knobs, NameChange, State, stopped};

/// What becomes of one unsynced step in a crash. For names, `Torn` means `Lost`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It reached the disk.
    Kept,
    /// It didn't.
    Lost,
    /// Its first so many bytes did.
    Torn(usize),
}

/// A handle to a disk in memory.
#[derive(Debug, Default)]
pub struct MemDisk {
    shared: Arc<Mutex<State>>,
    /// The disk's life in which this handle locked it.
    locked: Option<u64>,
}

impl MemDisk {
    /// An empty disk.
    pub fn new() -> MemDisk {
        MemDisk::default()
    }

    /// Another disk with the same bytes, synced and unsynced, that goes its own way from here: no file open, not locked, no knob turned.
    pub fn fork(&self) -> MemDisk {
        let state = self.state().clone();
        let state = State { life: state.life + 1, locked: false, knobs: Knobs::default(), ..state };
        MemDisk { shared: Arc::new(Mutex::new(state)), locked: None }
    }

    /// The machine stops: nothing unsynced is left.
    pub fn crash(&self) {
        self.crash_with(|_, _| Fate::Lost);
    }

    /// The machine stops: what becomes of each unsynced step, the caller says, given the step's number ([`MemDisk::steps`]) and
    /// the bytes written by it (0 for a change of names). Files are visited by age, their writes in order, then names.
    pub fn crash_with(&self, mut fate: impl FnMut(u64, usize) -> Fate) {
        let mut state = self.state();
        for content in state.files.values_mut() {
            content.crash(&mut fate);
        }
        for (step, change) in std::mem::take(&mut state.unsynced_names) {
            if fate(step, 0) == Fate::Kept {
                change.apply(&mut state.durable_names);
            }
        }
        state.names = state.durable_names.clone();
        state.forget_unnamed();
        state.life += 1;
        state.locked = false;
        state.knobs = Knobs::default();
    }

    /// Flips one bit of what is on the disk, durably. False if there is no such byte.
    pub fn flip_bit(&self, file: &str, offset: u64, bit: u8) -> bool {
        let mut state = self.state();
        let Some(content) = state.content_of(file) else { return false };
        let size = content.size;
        let Some(offset) = usize::try_from(offset).ok().filter(|_| offset < size) else { return false };
        content.grow(offset + 1);
        content.bytes[offset] ^= 1 << (bit % 8);
        true
    }

    /// Takes a file away, durably, as a careless person would. False if there is none of that name.
    pub fn lose_file(&self, file: &str) -> bool {
        let mut state = self.state();
        state.durable_names.remove(file);
        state.names.remove(file).is_some()
    }

    /// Cuts a file short, durably, as a repair of a file system may. False if there is none of that name, or it is not longer.
    pub fn cut_short(&self, file: &str, size: u64) -> bool {
        let mut state = self.state();
        let Some(content) = state.content_of(file) else { return false };
        if size >= content.size {
            return false;
        }
        content.bytes.truncate(usize::try_from(size).expect("a file in memory"));
        content.size = size;
        true
    }

    /// Everything in a file, as a program sees it. Nothing if there is none of that name.
    pub fn bytes_of(&self, file: &str) -> Option<Vec<u8>> {
        self.state().content_of(file).map(|content| content.bytes.clone())
    }

    /// All files together get no larger than this; `None` for no limit.
    pub fn limit_bytes(&self, capacity_bytes: Option<u64>) {
        self.state().knobs.capacity_bytes = capacity_bytes;
    }

    /// The next sync of a file fails, and what it should have made durable is never durable, although a later sync succeeds.
    pub fn fail_next_sync(&self) {
        self.state().knobs.fail_next_sync = true;
    }

    /// Reads fail from now on, or work again.
    pub fn fail_reads(&self, fail: bool) {
        self.state().knobs.fail_reads = fail;
    }

    /// The machine stops at this step ([`MemDisk::steps`]): all later ones fail and do nothing. Of a write that is this
    /// step, the first `bytes` are done. Call [`MemDisk::crash_with`] then.
    pub fn stop_at(&self, step: u64, bytes: usize) {
        self.state().knobs.stop_at = Some((step, bytes));
    }

    /// Steps that change the disk, so far: writes, syncs, changes of names.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Syncs of files, so far.
    pub fn syncs(&self) -> u64 {
        self.state().syncs
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere has left a disk that is as good as any after a crash.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, state: &State, file: u64) -> Box<dyn DiskFile> {
        Box::new(MemFile { disk: self.clone(), file, life: state.life })
    }
}

impl Clone for MemDisk {
    /// Another handle to the same disk. The lock stays with the one that took it.
    fn clone(&self) -> MemDisk {
        MemDisk { shared: self.shared.clone(), locked: None }
    }
}

impl Drop for MemDisk {
    fn drop(&mut self) {
        if let Some(life) = self.locked {
            let mut state = self.state();
            if state.life == life {
                state.locked = false;
            }
        }
    }
}

impl Disk for MemDisk {
    fn lock(&mut self) -> io::Result<()> {
        let mut state = self.state();
        if state.locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.locked = true;
        let life = state.life;
        drop(state);
        self.locked = Some(life);
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        let used: u64 = state.names.values().filter_map(|file| state.files.get(file)).map(|content| content.size).sum();
        if state.knobs.capacity_bytes.is_some_and(|capacity| used + bytes > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.step()?;
        let file = state.next_file;
        state.next_file += 1;
        let unsynced_size = Some(state.steps - 1);
        state.files.insert(file, Content { size: bytes, unsynced_size, ..Content::default() });
        state.change(NameChange::Set(name.to_owned(), file));
        Ok(self.handle(&state, file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state();
        let file = state.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(&state, file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let file = state.names.get(from).copied().ok_or(io::ErrorKind::NotFound)?;
        state.change(NameChange::Rename(from.to_owned(), to.to_owned(), file));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        state.change(NameChange::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        state.unsynced_names.clear();
        state.durable_names = state.names.clone();
        state.forget_unnamed();
        Ok(())
    }

    fn path(&self) -> String {
        "memory".to_owned()
    }
}

/// One open file on a [`MemDisk`].
struct MemFile {
    disk: MemDisk,
    file: u64,
    /// The disk's life in which it was opened.
    life: u64,
}

impl MemFile {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        if state.life == self.life { act(&mut state) } else { Err(stopped()) }
    }

    fn content<'a>(&self, state: &'a mut State) -> io::Result<&'a mut Content> {
        state.files.get_mut(&self.file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl DiskFile for MemFile {
    fn size(&self) -> io::Result<u64> {
        self.with(|state| Ok(self.content(state)?.size))
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.with(|state| {
            if state.knobs.fail_reads {
                return Err(io::Error::other("the disk can't read"));
            }
            let content = self.content(state)?;
            if offset + into.len() as u64 > content.size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.bytes.len());
            let held = (content.bytes.len() - start).min(into.len());
            into[..held].copy_from_slice(&content.bytes[start..start + held]);
            into[held..].fill(0);
            Ok(())
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.with(|state| {
            let step = state.steps;
            let stop = state.knobs.stop_at;
            let going_on = state.step();
            let torn = stop.filter(|(at, _)| *at == step).map(|(_, bytes)| bytes);
            let done = if going_on.is_ok() { bytes.len() } else { torn.unwrap_or(0).min(bytes.len()) };
            let content = self.content(state)?;
            if offset + bytes.len() as u64 > content.size {
                return Err(io::Error::other("the log never writes beyond a file's size"));
            }
            if done > 0 {
                content.write(step, usize::try_from(offset).map_err(io::Error::other)?, &bytes[..done]);
            }
            going_on
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|state| {
            state.step()?;
            state.syncs += 1;
            let failing = std::mem::take(&mut state.knobs.fail_next_sync);
            let content = self.content(state)?;
            if failing {
                content.fail_sync();
                return Err(io::Error::other("the sync failed"));
            }
            content.sync();
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk_with_synced_file() -> (MemDisk, Box<dyn DiskFile>) {
        let disk = MemDisk::new();
        let file = disk.create("a", 100).unwrap();
        file.sync().unwrap();
        disk.sync_folder().unwrap();
        (disk, file)
    }

    #[test]
    fn a_crash_takes_what_was_not_synced_and_tears_what_it_is_told_to() {
        let (disk, file) = disk_with_synced_file();
        file.write_at(0, b"kept").unwrap();
        file.sync().unwrap();
        file.write_at(2, b"torn").unwrap();
        file.write_at(10, b"lost").unwrap();
        let mut fates = [Fate::Torn(3), Fate::Lost].into_iter();
        disk.crash_with(|_, _| fates.next().unwrap());
        assert_eq!(&disk.bytes_of("a").unwrap()[..6], b"ketor\0");
        assert!(disk.bytes_of("a").unwrap()[6..].iter().all(|byte| *byte == 0));
        assert!(file.write_at(0, b"x").is_err(), "a file opened before a crash is dead after it");
    }

    #[test]
    fn names_are_durable_only_with_the_folder() {
        let (disk, _) = disk_with_synced_file();
        disk.rename("a", "b").unwrap();
        disk.create("c", 10).unwrap();
        disk.crash();
        assert_eq!(disk.list().unwrap(), ["a"]);
        disk.rename("a", "b").unwrap();
        disk.sync_folder().unwrap();
        disk.crash();
        assert_eq!(disk.list().unwrap(), ["b"]);
    }

    #[test]
    fn what_a_failed_sync_lost_stays_lost_although_the_next_sync_succeeds() {
        let (disk, file) = disk_with_synced_file();
        file.write_at(0, b"gone").unwrap();
        disk.fail_next_sync();
        assert!(file.sync().is_err());
        file.sync().unwrap();
        disk.crash_with(|_, _| Fate::Kept);
        assert_eq!(disk.bytes_of("a").unwrap(), [0; 4]);
    }

    #[test]
    fn what_a_failed_sync_lost_is_there_again_once_it_was_written_again_and_synced() {
        let (disk, file) = disk_with_synced_file();
        file.write_at(0, b"gone").unwrap();
        disk.fail_next_sync();
        assert!(file.sync().is_err());
        file.write_at(2, b"new").unwrap();
        file.sync().unwrap();
        file.write_at(4, b"x").unwrap();
        disk.crash_with(|_, _| Fate::Kept);
        assert_eq!(&disk.bytes_of("a").unwrap()[..5], b"\0\0nex");
    }

    #[test]
    fn the_machine_stops_in_the_middle_of_a_write() {
        let (disk, file) = disk_with_synced_file();
        disk.stop_at(disk.steps(), 2);
        assert!(file.write_at(0, b"abcd").is_err());
        assert!(file.sync().is_err());
        disk.crash_with(|_, _| Fate::Kept);
        assert_eq!(disk.bytes_of("a").unwrap(), b"ab");
    }

    #[test]
    fn a_lock_goes_with_its_handle_and_with_a_crash() {
        let disk = MemDisk::new();
        let mut first = disk.clone();
        first.lock().unwrap();
        assert_eq!(disk.clone().lock().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        disk.crash();
        let mut second = disk.clone();
        second.lock().unwrap();
        drop(first);
        assert!(disk.clone().lock().is_err(), "a handle from before the crash doesn't free the new lock");
        drop(second);
        disk.clone().lock().unwrap();
    }
}
