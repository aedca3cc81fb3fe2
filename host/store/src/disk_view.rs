//! A view of the store on disk: a snapshot of the library, the database that it looks into, and the applied index that belongs to it.

use std::sync::Arc;

use bytes::Bytes;
use fjall::{Guard, Readable, Snapshot};

use crate::{
    Range, Records, StoreError, Table, View,
    disk_tables::Tables,
    key::{self, Span},
    page,
};

/// Holds the tables open: when an install has replaced them, their files stay until the last view of them goes.
pub(crate) struct DiskView {
    snapshot: Snapshot,
    /// Commits before this view was made.
    commits: u64,
    applied: u64,
    tables: Arc<Tables>,
}

impl DiskView {
    /// The tables as they are now, which must be those after the commit of the entry `applied`.
    pub(crate) fn new(tables: Arc<Tables>, applied: u64) -> DiskView {
        DiskView { snapshot: tables.database().snapshot(), commits: tables.recent().commits(), applied, tables }
    }

    pub(crate) fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    fn walk(&self, span: &Span) -> fjall::Iter {
        self.snapshot.range::<&[u8], _>(self.tables.keyspace(), span.bounds())
    }

    fn record(&self, found: Guard) -> Result<(Table, Bytes, Bytes), StoreError> {
        let (encoded, value) = found.into_inner().map_err(|error| self.read_failed(error))?;
        let (table, key) = key::decode(&Bytes::from(encoded))
            .ok_or_else(|| StoreError::Corrupt { what: "a record's key is shorter than a table".into() })?;
        Ok((table, key, Bytes::from(value)))
    }

    fn pair(&self, found: Guard) -> Result<(Bytes, Bytes), StoreError> {
        self.record(found).map(|(_, key, value)| (key, value))
    }

    fn read_failed(&self, error: fjall::Error) -> StoreError {
        self.tables.sorted("reading the tables", error)
    }
}

impl View for DiskView {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if key::check(key).is_err() {
            // It cannot be there, and the library panics on it.
            return Ok(None);
        }
        key::with_encoded(table, key, |encoded| {
            if let Some(recent) = self.tables.recent().get(encoded, self.commits) {
                return Ok(recent);
            }
            let value = self.snapshot.get(self.tables.keyspace(), encoded);
            Ok(value.map_err(|error| self.read_failed(error))?.map(Bytes::from))
        })
    }

    fn scan(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        match Span::of(table, start, end) {
            Some(span) if reverse => page::fill(limit, self.walk(&span).rev().map(|found| self.pair(found))),
            Some(span) => page::fill(limit, self.walk(&span).map(|found| self.pair(found))),
            None => Ok(Vec::new()),
        }
    }

    fn applied(&self) -> u64 {
        self.applied
    }

    fn range(self: Arc<Self>, table: Table, start: &[u8], end: Option<&[u8]>, reverse: bool) -> Range {
        match Span::of(table, start, end) {
            Some(span) if reverse => {
                Box::new(Holding { walk: self.walk(&span).rev(), view: self, told: DiskView::pair })
            }
            Some(span) => Box::new(Holding { walk: self.walk(&span), view: self, told: DiskView::pair }),
            None => Box::new(std::iter::empty()),
        }
    }

    fn records(self: Arc<Self>) -> Records {
        Box::new(Holding { walk: self.walk(&Span::all()), view: self, told: DiskView::record })
    }
}

/// An iterator of the library, and the view that keeps the files under it. Fields are dropped in this order.
struct Holding<I, T> {
    walk: I,
    view: Arc<DiskView>,
    /// What is handed out of a record.
    told: fn(&DiskView, Guard) -> T,
}

impl<I: Iterator<Item = Guard>, T> Iterator for Holding<I, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.walk.next().map(|found| (self.told)(&self.view, found))
    }
}
