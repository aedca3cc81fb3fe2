//! Watchers: whether certain keys were written since somebody looked. A transaction may be made to depend on one.
//!
//! In the tables a watcher is one record, written once per batch that touched it, outside the hash chain as the sessions are.
//!
//! Invariants: what happens here depends on the entries alone, in their order. Who is not sure is broken: a watcher that is
//! unknown, expired, or never got its keys counts as broken. Without watched keys, a write costs one look. Tests: here and in
//! `machine/tests/transactions.rs`.

use super::{damaged, key_of, number_of, read_all};
use bytes::Bytes;
use outboard_store::{StoreError, Table, Transaction, View};
use outboard_wire::client::Response;
use outboard_wire::limits::{WATCHED_BYTES_MAX, WATCHER_AGE_MS_MAX, WATCHER_KEYS_MAX, WATCHERS_MAX};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const WATCHERS: Table = Table::control(4);
/// What a watched key counts beside its bytes: about what it takes in memory.
const KEY_OVERHEAD_BYTES: usize = 192;
const VERSION: u8 = 1;

/// All watchers.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    by_id: BTreeMap<u64, Watcher>,
    /// Who watches a key, among those that are not broken.
    by_key: BTreeMap<Bytes, BTreeSet<u64>>,
    /// The watched keys of all of them.
    bytes: usize,
    /// Changed since the last save; one that is not there any more is to be removed.
    touched: BTreeSet<u64>,
    /// No watcher was used before this time: until it is old enough there is nothing to sweep.
    oldest_ms: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Watcher {
    used_ms: u64,
    broken: bool,
    /// None any more once it is broken.
    keys: BTreeSet<Bytes>,
}

impl Watchers {
    /// Reads them back from the tables.
    pub(crate) fn load(view: &dyn View) -> Result<Watchers, StoreError> {
        let mut watchers = Watchers::default();
        for (key, value) in read_all(view, WATCHERS)? {
            let stored = match value.split_first() {
                Some((&VERSION, stored)) => postcard::from_bytes::<Watcher>(stored).ok(),
                Some(_) | None => None,
            };
            let (Some(id), Some(watcher)) = (number_of(&key), stored) else {
                return Err(damaged("list of watchers"));
            };
            for key in &watcher.keys {
                watchers.bytes += size(key);
                watchers.by_key.entry(key.clone()).or_default().insert(id);
            }
            watchers.by_id.insert(id, watcher);
        }
        watchers.find_oldest();
        Ok(watchers)
    }

    /// Into the batch that is about to be committed: what changed since the last save.
    pub(crate) fn save(&mut self, txn: &mut Transaction) -> Result<(), StoreError> {
        for id in std::mem::take(&mut self.touched) {
            match self.by_id.get(&id) {
                Some(watcher) => {
                    let bytes = postcard::to_extend(watcher, vec![VERSION]);
                    txn.put(WATCHERS, &key_of(id), bytes.expect("postcard knows all shapes of a watcher"))?;
                }
                None => drop(txn.delete(WATCHERS, &key_of(id))?),
            }
        }
        txn.keep();
        Ok(())
    }

    /// Watches these keys: with the named watcher, else with a new one, whose number is that of the entry. A named one that is gone
    /// or broken stays so, and is told as if all were well: the transaction that depends on it will show it.
    pub(crate) fn watch<'a>(
        &mut self,
        entry: u64,
        watcher: Option<u64>,
        keys: impl Iterator<Item = &'a [u8]>,
        time_ms: u64,
    ) -> Response {
        let id = watcher.unwrap_or(entry);
        let keys: BTreeSet<&[u8]> = keys.collect();
        if watcher.is_some() && !self.is_intact(id, time_ms) {
            return Response::Watching { watcher: id };
        }
        let before = self.by_id.get(&id);
        let keys: Vec<Bytes> = keys
            .into_iter()
            .filter(|key| before.is_none_or(|watcher| !watcher.keys.contains(*key)))
            .map(Bytes::copy_from_slice)
            .collect();
        if before.map_or(0, |watcher| watcher.keys.len()) + keys.len() > WATCHER_KEYS_MAX {
            return Response::Rejected(format!("ERR more than {WATCHER_KEYS_MAX} keys are watched"));
        }
        let bytes = keys.iter().map(size).sum::<usize>();
        if !self.has_room(usize::from(before.is_none()), bytes, time_ms) {
            return Response::Overloaded;
        }
        self.oldest_ms = if self.by_id.is_empty() { time_ms } else { self.oldest_ms.min(time_ms) };
        self.bytes += bytes;
        self.touched.insert(id);
        for key in &keys {
            self.by_key.entry(key.clone()).or_default().insert(id);
        }
        let watcher = self.by_id.entry(id).or_default();
        watcher.used_ms = time_ms;
        watcher.keys.extend(keys);
        Response::Watching { watcher: id }
    }

    /// Uses a watcher up; whether all that it watched is as it was.
    pub(crate) fn take(&mut self, id: u64, time_ms: u64) -> bool {
        let intact = self.is_intact(id, time_ms);
        self.forget(id);
        intact
    }

    /// Forgets a watcher, if it is there.
    pub(crate) fn forget(&mut self, id: u64) {
        self.break_up(id);
        if self.by_id.remove(&id).is_some() {
            self.touched.insert(id);
        }
    }

    /// True when a write can break nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.by_key.is_empty()
    }

    /// A key was written.
    pub(crate) fn on_write(&mut self, key: &[u8]) {
        if let Some(ids) = self.by_key.get(key).cloned() {
            ids.into_iter().for_each(|id| self.break_up(id));
        }
    }

    /// Nobody knows what was written.
    pub(crate) fn on_write_anywhere(&mut self) {
        while let Some((key, _)) = self.by_key.first_key_value() {
            let key = key.clone();
            self.on_write(&key);
        }
    }

    fn is_intact(&self, id: u64, time_ms: u64) -> bool {
        self.by_id.get(&id).is_some_and(|watcher| !watcher.broken && !is_over(watcher, time_ms))
    }

    /// A broken watcher needs no keys any more.
    fn break_up(&mut self, id: u64) {
        let Some(watcher) = self.by_id.get_mut(&id) else { return };
        watcher.broken = true;
        self.touched.insert(id);
        for key in std::mem::take(&mut watcher.keys) {
            self.bytes -= size(&key);
            let ids = self.by_key.get_mut(&key).expect("a watched key is known");
            ids.remove(&id);
            if ids.is_empty() {
                self.by_key.remove(&key);
            }
        }
    }

    /// Whether so many more watchers and bytes have room, if need be after those that are too old have gone.
    fn has_room(&mut self, watchers: usize, bytes: usize, time_ms: u64) -> bool {
        let fits =
            |all: &Watchers| all.by_id.len() + watchers <= WATCHERS_MAX && all.bytes + bytes <= WATCHED_BYTES_MAX;
        if !fits(self) && time_ms.saturating_sub(self.oldest_ms) > WATCHER_AGE_MS_MAX {
            let over = self.by_id.iter().filter(|(_, watcher)| is_over(watcher, time_ms)).map(|(id, _)| *id);
            for id in over.collect::<Vec<u64>>() {
                self.forget(id);
            }
            self.find_oldest();
        }
        fits(self)
    }

    fn find_oldest(&mut self) {
        self.oldest_ms = self.by_id.values().map(|watcher| watcher.used_ms).min().unwrap_or_default();
    }
}

fn is_over(watcher: &Watcher, time_ms: u64) -> bool {
    time_ms.saturating_sub(watcher.used_ms) > WATCHER_AGE_MS_MAX
}

fn size(key: &Bytes) -> usize {
    key.len() + KEY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_wire::limits::KEY_BYTES_MAX;

    const AGE: u64 = WATCHER_AGE_MS_MAX;

    fn watch(watchers: &mut Watchers, entry: u64, watcher: Option<u64>, keys: &[&str], time_ms: u64) -> Response {
        watchers.watch(entry, watcher, keys.iter().map(|key| key.as_bytes()), time_ms)
    }

    fn watching(watcher: u64) -> Response {
        Response::Watching { watcher }
    }

    #[test]
    fn a_write_breaks_those_who_watch_its_key_and_nobody_else() {
        let mut watchers = Watchers::default();
        assert_eq!(watch(&mut watchers, 5, None, &["a", "b"], 0), watching(5));
        assert_eq!(watch(&mut watchers, 6, None, &["b"], 0), watching(6));
        assert_eq!(watch(&mut watchers, 7, Some(6), &["c"], 0), watching(6));
        watchers.on_write(b"a");
        watchers.on_write(b"z");
        assert!(!watchers.take(5, 0) && watchers.take(6, 0));
        assert!(!watchers.take(6, 0), "it is used up");
        assert!(watchers.is_idle() && watchers.bytes == 0 && watchers.by_id.is_empty());
    }

    #[test]
    fn a_write_of_nobody_knows_what_breaks_all() {
        let mut watchers = Watchers::default();
        watch(&mut watchers, 1, None, &["a", "b"], 0);
        watch(&mut watchers, 2, None, &["b", "c"], 0);
        watchers.on_write_anywhere();
        assert!(watchers.is_idle() && watchers.bytes == 0);
        assert!(!watchers.take(1, 0) && !watchers.take(2, 0));
    }

    #[test]
    fn a_broken_or_unknown_or_expired_watcher_can_t_be_mended() {
        let mut watchers = Watchers::default();
        watch(&mut watchers, 1, None, &["a"], 0);
        watchers.on_write(b"a");
        assert_eq!(watch(&mut watchers, 2, Some(1), &["b"], 0), watching(1));
        assert_eq!(watch(&mut watchers, 3, Some(99), &["b"], 0), watching(99));
        watch(&mut watchers, 4, None, &["a"], 0);
        assert_eq!(watch(&mut watchers, 5, Some(4), &["b"], AGE + 1), watching(4));
        for id in [1, 99, 4] {
            assert!(!watchers.take(id, AGE + 1), "watcher {id}");
        }
    }

    #[test]
    fn extending_keeps_a_watcher_for_longer() {
        let mut watchers = Watchers::default();
        watch(&mut watchers, 1, None, &["a"], 0);
        watch(&mut watchers, 2, Some(1), &["b"], AGE);
        assert!(watchers.take(1, 2 * AGE));
    }

    #[test]
    fn keys_watchers_and_their_bytes_are_bounded_and_the_old_make_room() {
        let mut watchers = Watchers::default();
        let many: Vec<String> = (0..=WATCHER_KEYS_MAX).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let refused = watch(&mut watchers, 1, None, &many, 0);
        assert!(matches!(refused, Response::Rejected(_)), "{refused:?}");
        assert!(watchers.by_id.is_empty(), "a refused watch leaves nothing");
        let long = "k".repeat(KEY_BYTES_MAX - 8);
        let mut entry = 2;
        while watch(&mut watchers, entry, None, &[&format!("{long}{entry}")], 0) == watching(entry) {
            entry += 1;
        }
        assert!(watchers.bytes <= WATCHED_BYTES_MAX && entry > 900);
        assert_eq!(watch(&mut watchers, entry, None, &[&long], AGE), Response::Overloaded);
        assert_eq!(watch(&mut watchers, entry, None, &[&long], AGE + 1), watching(entry));
        let mut watchers = Watchers::default();
        for entry in 0..WATCHERS_MAX as u64 {
            assert_eq!(watch(&mut watchers, entry, None, &["k"], 0), watching(entry));
        }
        assert_eq!(watch(&mut watchers, u64::MAX, None, &["k"], 0), Response::Overloaded);
    }
}
