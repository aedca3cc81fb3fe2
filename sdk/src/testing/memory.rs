//! Tables in memory, with the writes of the running command kept apart so that they can be forgotten.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::store::{Pair, ReadTables, Tables};

/// The host's limits (see `wit/engine.wit`), in bytes.
const KEY_BYTES_MAX: usize = (64 << 10) - 9;
const VALUE_BYTES_MAX: usize = (1 << 20) + 256;
const COMMAND_BYTES_MAX: usize = 64 << 20;
const PAGE_BYTES_MAX: usize = 4 << 20;

/// Ordered tables, and what must be put back should the command be rejected.
#[derive(Clone, Default)]
pub struct MemoryTables {
    tables: BTreeMap<u32, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// What was there before each write of the running command, oldest first.
    undo: Vec<(u32, Vec<u8>, Option<Vec<u8>>)>,
    command_bytes: usize,
}

impl MemoryTables {
    /// The command was accepted: its writes stay.
    pub fn keep(&mut self) {
        self.undo.clear();
        self.command_bytes = 0;
    }

    /// The command was rejected: as if it had never run.
    pub fn discard(&mut self) {
        while let Some((table, key, before)) = self.undo.pop() {
            let records = self.tables.entry(table).or_default();
            match before {
                Some(value) => records.insert(key, value),
                None => records.remove(&key),
            };
        }
        self.command_bytes = 0;
    }

    /// All records, ordered by table and key: two engines in the same state show the same.
    pub fn records(&self) -> impl Iterator<Item = (u32, &[u8], &[u8])> {
        self.tables
            .iter()
            .flat_map(|(table, records)| records.iter().map(|(key, value)| (*table, key.as_slice(), value.as_slice())))
    }

    /// How many records a table holds.
    pub fn len(&self, table: u32) -> usize {
        self.tables.get(&table).map_or(0, BTreeMap::len)
    }

    /// Whether there is no record at all.
    pub fn is_empty(&self) -> bool {
        self.tables.values().all(BTreeMap::is_empty)
    }

    fn count(&mut self, key: &[u8], value: &[u8]) {
        assert!(key.len() <= KEY_BYTES_MAX, "the host traps: a key of {} bytes", key.len());
        assert!(value.len() <= VALUE_BYTES_MAX, "the host traps: a value of {} bytes", value.len());
        self.command_bytes += key.len() + value.len();
        assert!(
            self.command_bytes <= COMMAND_BYTES_MAX,
            "the host traps: a command that writes {} bytes",
            self.command_bytes
        );
    }
}

impl ReadTables for MemoryTables {
    fn get(&self, table: u32, key: &[u8]) -> Option<Vec<u8>> {
        self.tables.get(&table)?.get(key).cloned()
    }

    fn scan(&self, table: u32, start: &[u8], end: Option<&[u8]>, limit: u32, reverse: bool) -> Vec<Pair> {
        let Some(records) = self.tables.get(&table) else { return Vec::new() };
        if end.is_some_and(|end| end <= start) {
            return Vec::new();
        }
        let range = records.range::<[u8], _>((Bound::Included(start), end.map_or(Bound::Unbounded, Bound::Excluded)));
        let mut walk: Box<dyn Iterator<Item = _>> = if reverse { Box::new(range.rev()) } else { Box::new(range) };
        let mut page = Vec::new();
        let mut page_bytes = 0;
        while page.len() < limit as usize && page_bytes < PAGE_BYTES_MAX {
            let Some((key, value)) = walk.next() else { break };
            page_bytes += key.len() + value.len();
            page.push((key.clone(), value.clone()));
        }
        page
    }
}

impl Tables for MemoryTables {
    fn put(&mut self, table: u32, key: &[u8], value: &[u8]) {
        self.count(key, value);
        let before = self.tables.entry(table).or_default().insert(key.to_vec(), value.to_vec());
        self.undo.push((table, key.to_vec(), before));
    }

    fn delete(&mut self, table: u32, key: &[u8]) -> bool {
        self.count(key, b"");
        let before = self.tables.get_mut(&table).and_then(|records| records.remove(key));
        let was_there = before.is_some();
        if was_there {
            self.undo.push((table, key.to_vec(), before));
        }
        was_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(tables: &MemoryTables) -> Vec<(u32, Vec<u8>, Vec<u8>)> {
        tables.records().map(|(table, key, value)| (table, key.to_vec(), value.to_vec())).collect()
    }

    #[test]
    fn a_rejected_command_leaves_the_tables_as_they_were() {
        let mut tables = MemoryTables::default();
        tables.put(0, b"a", b"1");
        tables.put(1, b"b", b"2");
        tables.keep();
        let before = all(&tables);
        tables.put(0, b"a", b"3");
        tables.put(0, b"a", b"4");
        tables.put(0, b"new", b"5");
        assert!(tables.delete(1, b"b"));
        assert!(!tables.delete(1, b"b"));
        tables.put(1, b"b", b"6");
        tables.discard();
        assert_eq!(all(&tables), before);
    }

    #[test]
    fn scans_walk_a_half_open_range_either_way() {
        let mut tables = MemoryTables::default();
        for key in ["a", "b", "c", "d"] {
            tables.put(7, key.as_bytes(), b"");
        }
        let keys = |start: &str, end: Option<&str>, limit, reverse| {
            let page = tables.scan(7, start.as_bytes(), end.map(str::as_bytes), limit, reverse);
            page.into_iter().map(|(key, _)| String::from_utf8(key).expect("text")).collect::<String>()
        };
        assert_eq!(keys("b", Some("d"), 10, false), "bc");
        assert_eq!(keys("b", None, 2, false), "bc");
        assert_eq!(keys("b", None, 2, true), "dc");
        assert_eq!(keys("c", Some("b"), 10, false), "");
        assert!(tables.scan(8, b"", None, 10, false).is_empty());
    }

    #[test]
    #[should_panic(expected = "the host traps: a key of 65528 bytes")]
    fn the_host_limits_hold_here_too() {
        MemoryTables::default().put(0, &[0; KEY_BYTES_MAX + 1], b"");
    }
}
