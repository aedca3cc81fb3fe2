//! What a command sees of the world: the tables, the stamped time, the place in the log. Nothing else exists for it.
//!
//! A [`View`] reads, a [`Store`] reads and writes; a command that is declared `read` is handed only a view, so that it can't
//! write by its type. Behind both stands whoever keeps the tables: the host (`guest.rs`), or memory in tests
//! (`testing.rs`), through the two traits at the end.

use crate::random::Random;

/// A record as a scan returns it: key and value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Where a command stands in the replicated history: the only clock and the only chance that an engine has.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
pub struct Moment {
    /// The command's place in the log; grows from command to command, with gaps.
    pub index: u64,
    /// Milliseconds since 1970, stamped by the leader; never goes back, may stand still.
    pub time_ms: u64,
    /// From the cluster, the index and the place within a transaction: the same on every node.
    pub seed: u64,
}

/// The tables as a reading command sees them: they don't move while it runs.
pub struct View<'a> {
    tables: &'a dyn ReadTables,
    moment: Moment,
}

impl<'a> View<'a> {
    /// For whoever calls an engine; a command is given its view.
    pub fn new(tables: &'a dyn ReadTables, moment: Moment) -> View<'a> {
        View { tables, moment }
    }

    /// The value under `key`.
    pub fn get(&self, table: u32, key: &[u8]) -> Option<Vec<u8>> {
        self.tables.get(table, key)
    }

    /// Up to `limit` records with `start <= key < end`, in the order of their keys; without an end, to the table's last.
    ///
    /// Fewer than `limit` come back only at the end of the range or when a page has reached 4 MiB; see [`View::pages`].
    pub fn scan(&self, table: u32, start: &[u8], end: Option<&[u8]>, limit: u32) -> Vec<Pair> {
        self.tables.scan(table, start, end, limit, false)
    }

    /// The same range walked from its end.
    pub fn scan_reverse(&self, table: u32, start: &[u8], end: Option<&[u8]>, limit: u32) -> Vec<Pair> {
        self.tables.scan(table, start, end, limit, true)
    }

    /// All records of a range, fetched page by page.
    pub fn pages<'v>(&'v self, table: u32, start: &[u8], end: Option<&[u8]>) -> Records<'v> {
        let (start, end) = (start.to_vec(), end.map(<[u8]>::to_vec));
        Records { tables: self.tables, table, start, end, page: Vec::new().into_iter(), page_records: PAGE_RECORDS_MIN }
    }

    /// All records whose key begins with `prefix`, fetched page by page.
    pub fn prefixed<'v>(&'v self, table: u32, prefix: &[u8]) -> Records<'v> {
        self.pages(table, prefix, after_prefix(prefix).as_deref())
    }

    /// The stamped time. For a read it is the leader's stamp when the read was admitted.
    pub fn now_ms(&self) -> u64 {
        self.moment.time_ms
    }

    /// Where in the log this command stands.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// Chance that is the same on every node.
    pub fn random(&self) -> Random {
        Random::new(self.moment.seed)
    }
}

/// The tables as a writing command sees them: what it wrote, it reads. All of it is kept, or, after an `Err`, nothing.
pub struct Store<'a> {
    tables: &'a mut dyn Tables,
    moment: Moment,
}

impl<'a> Store<'a> {
    /// For whoever calls an engine; a command is given its store.
    pub fn new(tables: &'a mut dyn Tables, moment: Moment) -> Store<'a> {
        Store { tables, moment }
    }

    /// The value under `key`.
    pub fn get(&self, table: u32, key: &[u8]) -> Option<Vec<u8>> {
        self.tables.get(table, key)
    }

    /// Sets `key` to `value`. A key may have 65,527 bytes, a value 1 MiB and 256 bytes, all writes of a command together
    /// 64 MiB; beyond that the command fails as a whole.
    pub fn put(&mut self, table: u32, key: &[u8], value: &[u8]) {
        self.tables.put(table, key, value);
    }

    /// Removes `key`; true when it was there.
    pub fn delete(&mut self, table: u32, key: &[u8]) -> bool {
        self.tables.delete(table, key)
    }

    /// As [`View::scan`].
    pub fn scan(&self, table: u32, start: &[u8], end: Option<&[u8]>, limit: u32) -> Vec<Pair> {
        self.tables.scan(table, start, end, limit, false)
    }

    /// The stamped time.
    pub fn now_ms(&self) -> u64 {
        self.moment.time_ms
    }

    /// Where in the log this command stands.
    pub fn moment(&self) -> Moment {
        self.moment
    }

    /// Chance that is the same on every node.
    pub fn random(&self) -> Random {
        Random::new(self.moment.seed)
    }
}

/// What can be read: lets one function serve reading and writing commands.
pub trait Read {
    /// The reading side.
    fn view(&self) -> View<'_>;
}

impl Read for View<'_> {
    fn view(&self) -> View<'_> {
        View { tables: self.tables, moment: self.moment }
    }
}

impl Read for Store<'_> {
    fn view(&self) -> View<'_> {
        View { tables: &*self.tables, moment: self.moment }
    }
}

/// The records of a range, one after the other; holds one page of them. Made by [`View::pages`].
pub struct Records<'a> {
    tables: &'a dyn ReadTables,
    table: u32,
    start: Vec<u8>,
    end: Option<Vec<u8>>,
    page: std::vec::IntoIter<Pair>,
    /// How many the next page may hold; 0 after the last one.
    page_records: u32,
}

/// Pages grow from the first to the second: who wants ten records doesn't fetch hundreds, who wants all makes few calls.
const PAGE_RECORDS_MIN: u32 = 16;
const PAGE_RECORDS_MAX: u32 = 256;

impl Iterator for Records<'_> {
    type Item = Pair;

    fn next(&mut self) -> Option<Pair> {
        if self.page.len() == 0 && self.page_records > 0 {
            self.fetch();
        }
        self.page.next()
    }
}

impl Records<'_> {
    fn fetch(&mut self) {
        let page = self.tables.scan(self.table, &self.start, self.end.as_deref(), self.page_records, false);
        self.page_records = (2 * self.page_records).min(PAGE_RECORDS_MAX);
        match page.last() {
            None => self.page_records = 0,
            Some((last, _)) => {
                // The smallest key after `last`.
                self.start.clone_from(last);
                self.start.push(0);
            }
        }
        self.page = page.into_iter();
    }
}

/// The smallest key that is greater than every key with this prefix; none where there is no such key.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}

/// Whoever keeps tables that can be read.
pub trait ReadTables {
    /// The value under `key`.
    fn get(&self, table: u32, key: &[u8]) -> Option<Vec<u8>>;
    /// Records with `start <= key < end` in order, at most `limit`, at least one where there is one; `reverse` walks from the end.
    fn scan(&self, table: u32, start: &[u8], end: Option<&[u8]>, limit: u32, reverse: bool) -> Vec<Pair>;
}

/// Whoever keeps tables that can be written.
pub trait Tables: ReadTables {
    /// Sets `key` to `value`.
    fn put(&mut self, table: u32, key: &[u8], value: &[u8]);
    /// Removes `key`; true when it was there.
    fn delete(&mut self, table: u32, key: &[u8]) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::MemoryTables;

    fn collect(records: Records<'_>) -> Vec<Vec<u8>> {
        records.map(|(key, _)| key).collect()
    }

    #[test]
    fn pages_bring_every_record_of_the_range_once_and_in_order() {
        let mut tables = MemoryTables::default();
        let keys: Vec<Vec<u8>> = (0..1000u32).map(|number| number.to_be_bytes().to_vec()).collect();
        for key in &keys {
            tables.put(0, key, b"");
        }
        let view = View::new(&tables, Moment::default());
        assert_eq!(collect(view.pages(0, b"", None)), keys);
        assert_eq!(collect(view.pages(0, &keys[3], Some(&keys[17]))), keys[3..17]);
        assert_eq!(collect(view.pages(0, &keys[17], Some(&keys[3]))), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_prefix_ends_before_the_first_key_without_it() {
        assert_eq!(after_prefix(b"a"), Some(b"b".to_vec()));
        assert_eq!(after_prefix(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(after_prefix(b"\xff"), None);
        assert_eq!(after_prefix(b""), None);
        let mut tables = MemoryTables::default();
        for key in [&b"a"[..], b"a\xff", b"a\xff\xff", b"b", b"\xff", b"\xff\x01"] {
            tables.put(0, key, b"");
        }
        let view = View::new(&tables, Moment::default());
        assert_eq!(collect(view.prefixed(0, b"a\xff")), [b"a\xff".to_vec(), b"a\xff\xff".to_vec()]);
        assert_eq!(collect(view.prefixed(0, b"\xff")), [b"\xff".to_vec(), b"\xff\x01".to_vec()]);
        assert_eq!(collect(view.prefixed(0, b"")).len(), 6);
    }
}
