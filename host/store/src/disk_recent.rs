//! What was written last, by key: a read of a key that was written not long ago finds its value here, without a search through the
//! library's write buffers. A command that writes a key usually reads it first, and a key that is written is often written again; with
//! 10,000 keys of 256 bytes, searching was an eighth of all that three nodes did under a load of writes.
//!
//! Two generations of a map: writes go into the young one, and when that is full it becomes the old one, whose own entries are
//! forgotten. Each entry names the commit that made it. It is the newest write of its key, so every view of that commit or a later one
//! sees just this value, and a view of an earlier one has to ask the library.
//!
//! Invariants: no key's entry is older than its newest commit; a view never sees a commit after its own.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;

use crate::overlay::{Overlay, Write};

/// Accounting size of one generation, in bytes. In memory an entry takes about a third more.
const GENERATION_BYTES_MAX: usize = 12 << 20;

/// The newest writes, shared by the store and all views.
#[derive(Default)]
pub(crate) struct Recent {
    /// Commits so far.
    commits: AtomicU64,
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    young: HashMap<Bytes, Entry>,
    old: HashMap<Bytes, Entry>,
    young_bytes: usize,
}

struct Entry {
    commit: u64,
    write: Write,
}

impl Recent {
    /// The number of the last commit: what a view made now may see.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// Takes the writes of one commit, before any view shows it. Commits are one at a time.
    pub(crate) fn on_commit(&self, writes: &Overlay) {
        let mut generations = self.lock();
        let commit = self.commits.load(Ordering::Relaxed) + 1;
        for (encoded, write) in writes.iter() {
            generations.set(encoded, Entry { commit, write: write.clone() });
        }
        self.commits.store(commit, Ordering::Release);
    }

    /// What a view made after `commits` commits sees of a key, if its newest write is still here.
    pub(crate) fn get(&self, encoded: &[u8], commits: u64) -> Option<Write> {
        let generations = self.lock();
        let entry = generations.young.get(encoded).or_else(|| generations.old.get(encoded))?;
        (entry.commit <= commits).then(|| entry.write.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().expect("no holder of this lock panics")
    }
}

impl Generations {
    fn set(&mut self, encoded: &Bytes, entry: Entry) {
        self.young_bytes += Overlay::write_bytes(encoded, &entry.write);
        if let Some(before) = self.young.insert(encoded.clone(), entry) {
            self.young_bytes -= Overlay::write_bytes(encoded, &before.write);
        }
        if self.young_bytes > GENERATION_BYTES_MAX {
            // The emptied map keeps its room for the next generation.
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
            self.young_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(of: &[(&'static str, Option<&'static str>)]) -> Overlay {
        let mut writes = Overlay::default();
        for (key, value) in of {
            writes.set(Bytes::from_static(key.as_bytes()), value.map(|value| Bytes::from_static(value.as_bytes())));
        }
        writes
    }

    #[test]
    fn a_view_sees_the_newest_write_unless_it_is_older_than_that() {
        let recent = Recent::default();
        recent.on_commit(&writes(&[("a", Some("1")), ("b", Some("1"))]));
        let before = recent.commits();
        recent.on_commit(&writes(&[("a", None)]));

        assert_eq!(recent.get(b"a", recent.commits()), Some(None), "deleted");
        assert_eq!(recent.get(b"a", before), None, "not known here any more");
        assert_eq!(recent.get(b"b", before), Some(Some(Bytes::from_static(b"1"))));
        assert_eq!(recent.get(b"c", before), None);
    }

    #[test]
    fn what_was_not_written_for_long_is_forgotten_and_nothing_grows() {
        let recent = Recent::default();
        let value = Bytes::from(vec![7; 64 << 10]);
        for number in 0..2_000_u32 {
            let mut writes = Overlay::default();
            writes.set(Bytes::copy_from_slice(&number.to_be_bytes()), Some(value.clone()));
            recent.on_commit(&writes);
        }
        assert_eq!(recent.get(&0_u32.to_be_bytes(), recent.commits()), None);
        assert_eq!(recent.get(&1_999_u32.to_be_bytes(), recent.commits()), Some(Some(value)));
        let generations = recent.lock();
        let kept = generations.young.len() + generations.old.len();
        assert!(kept * (64 << 10) < 2 * GENERATION_BYTES_MAX + (128 << 10), "{kept} entries");
    }
}
