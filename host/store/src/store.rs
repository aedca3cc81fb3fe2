//! What a store and a view of it can do, whatever they are made of.

use std::sync::Arc;

use bytes::Bytes;

use crate::{Batch, StoreError, Table};

/// Records of one table, in order.
pub type Range = Box<dyn Iterator<Item = Result<(Bytes, Bytes), StoreError>> + Send>;

/// Records of all tables, in order.
pub type Records = Box<dyn Iterator<Item = Result<(Table, Bytes, Bytes), StoreError>> + Send>;

/// All tables as they were after one commit; later commits and installs don't show. Making one and cloning its `Arc` cost next to
/// nothing; a view that is held keeps what was overwritten since from being freed, on the disk for [`crate::DiskStore`], so hold it
/// as long as needed and no longer. Keys and values are handed out without a copy and may keep the block around them in memory:
/// copy what is to be kept for long.
pub trait View: Send + Sync {
    /// The value under `key`, or none.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Records with start <= key < end in the order of their keys, from the end of the range when `reverse`. At most `limit`, and no
    /// more than a page ([`crate::SCAN_PAGE_BYTES_MAX`]), but at least one where there is one and `limit` is not 0.
    fn scan(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError>;

    /// The index of the last entry whose writes are in this view; 0 before the first.
    fn applied(&self) -> u64;

    /// The records of a scan one by one, all of them, holding only a few at a time.
    fn range(self: Arc<Self>, table: Table, start: &[u8], end: Option<&[u8]>, reverse: bool) -> Range;

    /// All records of all tables one by one, as [`Store::install`] takes them, holding only a few at a time.
    fn records(self: Arc<Self>) -> Records;
}

/// All tables of a node. There is one writer: commits and installs from several threads wait for each other, and their order is
/// the callers' concern. Views may be made and `persist` called beside them.
pub trait Store: Send + Sync {
    /// The tables after the last commit.
    fn view(&self) -> Arc<dyn View>;

    /// Takes the writes and the applied index together or not at all. Not durable yet. Panics when the index goes back.
    fn commit(&self, batch: Batch) -> Result<(), StoreError>;

    /// The applied index of the last commit, which need not be durable.
    fn applied(&self) -> u64;

    /// Makes durable what was committed before this call and returns its applied index: the log may be compacted up to there.
    fn persist(&self) -> Result<u64, StoreError>;

    /// Replaces everything by `records`, which come in the order of (table, key) without a repetition, and sets the applied index,
    /// which must not be smaller than that of the last commit. Durable on return; a crash leaves the old or the new. An error of
    /// `records` itself, or [`StoreError::Snapshot`] for records that break these rules, leaves the old.
    fn install(
        &self,
        applied: u64,
        records: &mut dyn Iterator<Item = Result<(Table, Bytes, Bytes), StoreError>>,
    ) -> Result<(), StoreError>;

    /// Bytes that the store takes on the disk; 0 for one in memory.
    fn bytes_on_disk(&self) -> u64;
}
