//! The store in memory, for tests, the simulator and throw-away clusters: a persistent map, so that a view is a clone in O(1).
//!
//! Never durable: `persist` says yes to all that was committed. Tests: `tests/store/model.rs`, the same as for the store on disk.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use imbl::OrdMap;

use crate::{
    Batch, Range, Records, Store, StoreError, Table, View,
    arrival::Arrival,
    key::{self, Span},
    page,
};

/// How many records an iterator over a view takes at once.
const CHUNK_RECORDS: usize = 128;

/// Tables that end with the process.
#[derive(Default)]
pub struct MemoryStore {
    latest: Mutex<Arc<MemoryView>>,
}

impl MemoryStore {
    /// Empty tables, applied index 0.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    fn latest(&self) -> MutexGuard<'_, Arc<MemoryView>> {
        self.latest.lock().expect("no holder of this lock panics while it changes the view")
    }
}

impl Store for MemoryStore {
    fn view(&self) -> Arc<dyn View> {
        self.latest().clone()
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        assert!(batch.applied >= self.applied(), "the applied index goes back");
        let mut latest = self.latest();
        let mut map = latest.map.clone();
        for (encoded, write) in batch.writes.into_writes() {
            match write {
                Some(value) => map.insert(encoded, value),
                None => map.remove(&encoded),
            };
        }
        *latest = Arc::new(MemoryView { map, applied: batch.applied });
        Ok(())
    }

    fn applied(&self) -> u64 {
        self.latest().applied
    }

    fn persist(&self) -> Result<u64, StoreError> {
        Ok(self.applied())
    }

    fn install(
        &self,
        applied: u64,
        records: &mut dyn Iterator<Item = Result<(Table, Bytes, Bytes), StoreError>>,
    ) -> Result<(), StoreError> {
        let mut arrival = Arrival::new(self.applied(), applied)?;
        let mut map = OrdMap::new();
        for record in records {
            let (table, key, value) = record?;
            map.insert(arrival.admit(table, &key)?, value);
        }
        *self.latest() = Arc::new(MemoryView { map, applied });
        Ok(())
    }

    fn bytes_on_disk(&self) -> u64 {
        0
    }
}

/// The map after one commit.
#[derive(Default)]
struct MemoryView {
    map: OrdMap<Bytes, Bytes>,
    applied: u64,
}

impl View for MemoryView {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(key::with_encoded(table, key, |encoded| self.map.get(encoded).cloned()))
    }

    fn scan(
        &self,
        table: Table,
        start: &[u8],
        end: Option<&[u8]>,
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        let Some(span) = Span::of(table, start, end) else { return Ok(Vec::new()) };
        let range = self.map.range::<_, [u8]>(span.bounds());
        let record = |(encoded, value): (&Bytes, &Bytes)| Ok((encoded.slice(key::PREFIX_BYTES..), value.clone()));
        if reverse { page::fill(limit, range.rev().map(record)) } else { page::fill(limit, range.map(record)) }
    }

    fn applied(&self) -> u64 {
        self.applied
    }

    fn range(self: Arc<Self>, table: Table, start: &[u8], end: Option<&[u8]>, reverse: bool) -> Range {
        let walk = Walk { view: self, left: Span::of(table, start, end), reverse, chunk: VecDeque::new() };
        Box::new(walk.map(|(encoded, value)| Ok((encoded.slice(key::PREFIX_BYTES..), value))))
    }

    fn records(self: Arc<Self>) -> Records {
        let walk = Walk { view: self, left: Some(Span::all()), reverse: false, chunk: VecDeque::new() };
        Box::new(walk.map(|(encoded, value)| {
            let (table, key) = key::decode(&encoded).expect("the map holds encoded keys");
            Ok((table, key, value))
        }))
    }
}

/// Walks a span of a view that it owns, a chunk at a time: the map's own iterators borrow it.
struct Walk {
    view: Arc<MemoryView>,
    left: Option<Span>,
    reverse: bool,
    chunk: VecDeque<(Bytes, Bytes)>,
}

impl Walk {
    fn refill(&mut self) {
        let Some(span) = self.left.take() else { return };
        let range = self.view.map.range::<_, [u8]>(span.bounds());
        let owned = |(key, value): (&Bytes, &Bytes)| (key.clone(), value.clone());
        if self.reverse {
            self.chunk.extend(range.rev().take(CHUNK_RECORDS).map(owned));
        } else {
            self.chunk.extend(range.take(CHUNK_RECORDS).map(owned));
        }
        if self.chunk.len() == CHUNK_RECORDS {
            let (last, _) = self.chunk.back().expect("a full chunk has a last record");
            self.left = Some(if self.reverse { span.before(last) } else { span.after(last) });
        }
    }
}

impl Iterator for Walk {
    type Item = (Bytes, Bytes);

    fn next(&mut self) -> Option<(Bytes, Bytes)> {
        if self.chunk.is_empty() {
            self.refill();
        }
        self.chunk.pop_front()
    }
}
