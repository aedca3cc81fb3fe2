//! A view of the store on disk: a snapshot of the library, the database that it looks into, and the applied index that belongs to it.

use std::sync::Arc;

use bytes::Bytes;
use fjall::{Guard, Readable, Snapshot};

use crate::{
    Range, Records, StoreError, Table, View, disk_error,
    disk_tables::Tables,
    key::{self, Span},
    page,
};

/// Holds the tables open: when an install has replaced them, their files stay until the last view of them goes.
pub(crate) struct DiskView {
    snapshot: Snapshot,
    applied: u64,
    tables: Arc<Tables>,
}

impl DiskView {
    /// The tables as they are now, which must be those after the commit of the entry `applied`.
    pub(crate) fn new(tables: Arc<Tables>, applied: u64) -> DiskView {
        DiskView { snapshot: tables.database().snapshot(), applied, tables }
    }

    pub(crate) fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    fn walk(&self, span: &Span) -> fjall::Iter {
        self.snapshot.range::<&[u8], _>(self.tables.keyspace(), span.bounds())
    }
}

impl View for DiskView {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if key::check(key).is_err() {
            // It cannot be there, and the library panics on it.
            return Ok(None);
        }
        let value = key::with_encoded(table, key, |encoded| self.snapshot.get(self.tables.keyspace(), encoded));
        Ok(value.map_err(read_failed)?.map(Bytes::from))
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
            Some(span) if reverse => page::fill(limit, self.walk(&span).rev().map(pair)),
            Some(span) => page::fill(limit, self.walk(&span).map(pair)),
            None => Ok(Vec::new()),
        }
    }

    fn applied(&self) -> u64 {
        self.applied
    }

    fn range(self: Arc<Self>, table: Table, start: &[u8], end: Option<&[u8]>, reverse: bool) -> Range {
        match Span::of(table, start, end) {
            Some(span) if reverse => Box::new(Holding { walk: self.walk(&span).rev(), _view: self }.map(pair)),
            Some(span) => Box::new(Holding { walk: self.walk(&span), _view: self }.map(pair)),
            None => Box::new(std::iter::empty()),
        }
    }

    fn records(self: Arc<Self>) -> Records {
        Box::new(Holding { walk: self.walk(&Span::all()), _view: self }.map(record))
    }
}

/// An iterator of the library, and the view that keeps the files under it.
struct Holding<I> {
    walk: I,
    _view: Arc<DiskView>,
}

impl<I: Iterator> Iterator for Holding<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        self.walk.next()
    }
}

fn record(found: Guard) -> Result<(Table, Bytes, Bytes), StoreError> {
    let (encoded, value) = found.into_inner().map_err(read_failed)?;
    let (table, key) = key::decode(&Bytes::from(encoded))
        .ok_or_else(|| StoreError::Corrupt { what: "a record's key is shorter than a table".into() })?;
    Ok((table, key, Bytes::from(value)))
}

fn pair(found: Guard) -> Result<(Bytes, Bytes), StoreError> {
    record(found).map(|(_, key, value)| (key, value))
}

fn read_failed(error: fjall::Error) -> StoreError {
    disk_error::sorted("reading the tables", error)
}
