//! What is on a disk in memory: what programs see, and what of it a crash may take.
//!
//! Each unsynced write remembers what it wrote over, so a sync forgets and a crash goes back. Tests: with [`super::MemDisk`].

use std::collections::BTreeMap;
use std::io;

use super::Fate;

#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// By name, as a program sees them.
    pub(super) names: BTreeMap<String, u64>,
    /// By name, as they are after a crash that loses all unsynced changes.
    pub(super) durable_names: BTreeMap<String, u64>,
    pub(super) unsynced_names: Vec<(u64, NameChange)>,
    pub(super) files: BTreeMap<u64, Content>,
    pub(super) next_file: u64,
    /// Counts crashes: files opened before one are dead after it.
    pub(super) life: u64,
    pub(super) locked: bool,
    pub(super) knobs: Knobs,
    pub(super) steps: u64,
    pub(super) syncs: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Knobs {
    pub(super) capacity_bytes: Option<u64>,
    pub(super) fail_next_sync: bool,
    pub(super) fail_reads: bool,
    /// The step, counted from the disk's beginning, at which the machine stops, and how much of that write is done.
    pub(super) stop_at: Option<(u64, usize)>,
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Set(String, u64),
    Remove(String),
    Rename(String, String, u64),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) size: u64,
    /// The step that set the size, as long as that isn't durable.
    pub(super) unsynced_size: Option<u64>,
    /// Up to the last byte ever written; zeros behind.
    pub(super) bytes: Vec<u8>,
    pub(super) unsynced: Vec<Write>,
    /// Offsets and former bytes of what a failed sync lost: readable until the crash.
    pub(super) lost: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) step: u64,
    pub(super) offset: usize,
    pub(super) before: Vec<u8>,
    pub(super) after: Vec<u8>,
}

impl State {
    /// One more step, if the machine still runs.
    pub(super) fn step(&mut self) -> io::Result<()> {
        let step = self.steps;
        self.steps += 1;
        match self.knobs.stop_at {
            Some((stop, _)) if step >= stop => Err(stopped()),
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push((self.steps - 1, change));
    }

    pub(super) fn content_of(&mut self, name: &str) -> Option<&mut Content> {
        let file = self.names.get(name)?;
        self.files.get_mut(file)
    }

    /// Files without a name are gone once they can't come back. Open ones too: the log doesn't use them any more.
    pub(super) fn forget_unnamed(&mut self) {
        let (names, durable) = (&self.names, &self.durable_names);
        self.files.retain(|file, _| names.values().chain(durable.values()).any(|named| named == file));
    }
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            NameChange::Set(name, file) => drop(names.insert(name.clone(), *file)),
            NameChange::Remove(name) => drop(names.remove(name)),
            NameChange::Rename(from, to, file) => {
                // In a crash that lost an earlier change the old name may mean another file.
                if names.get(from) == Some(file) {
                    names.remove(from);
                }
                names.insert(to.clone(), *file);
            }
        }
    }
}

impl Content {
    pub(super) fn grow(&mut self, bytes: usize) {
        if self.bytes.len() < bytes {
            self.bytes.resize(bytes, 0);
        }
    }

    pub(super) fn write(&mut self, step: u64, offset: usize, bytes: &[u8]) {
        self.grow(offset + bytes.len());
        let place = &mut self.bytes[offset..offset + bytes.len()];
        self.unsynced.push(Write { step, offset, before: place.to_vec(), after: bytes.to_vec() });
        place.copy_from_slice(bytes);
    }

    /// What was written is on the disk, also where an earlier failed sync had lost something.
    pub(super) fn sync(&mut self) {
        for write in std::mem::take(&mut self.unsynced) {
            for (offset, before) in &mut self.lost {
                let from = write.offset.max(*offset);
                let to = (write.offset + write.after.len()).min(*offset + before.len());
                if from < to {
                    let after = &write.after[from - write.offset..to - write.offset];
                    before[from - *offset..to - *offset].copy_from_slice(after);
                }
            }
        }
        self.unsynced_size = None;
    }

    /// As after a real failed sync: the pages count as clean, nobody will write them again.
    pub(super) fn fail_sync(&mut self) {
        let lost = std::mem::take(&mut self.unsynced).into_iter().map(|write| (write.offset, write.before));
        self.lost.extend(lost);
    }

    pub(super) fn crash(&mut self, fate: &mut impl FnMut(u64, usize) -> Fate) {
        for write in self.unsynced.iter().rev() {
            self.bytes[write.offset..write.offset + write.before.len()].copy_from_slice(&write.before);
        }
        for (offset, before) in std::mem::take(&mut self.lost).into_iter().rev() {
            self.bytes[offset..offset + before.len()].copy_from_slice(&before);
        }
        for write in std::mem::take(&mut self.unsynced) {
            let kept = match fate(write.step, write.after.len()) {
                Fate::Kept => write.after.len(),
                Fate::Lost => 0,
                Fate::Torn(bytes) => bytes.min(write.after.len()),
            };
            self.bytes[write.offset..write.offset + kept].copy_from_slice(&write.after[..kept]);
        }
        if let Some(step) = self.unsynced_size.take()
            && fate(step, 0) != Fate::Kept
        {
            self.size = 0;
            self.bytes.clear();
        }
    }
}

pub(super) fn stopped() -> io::Error {
    io::Error::other("the machine has stopped")
}
