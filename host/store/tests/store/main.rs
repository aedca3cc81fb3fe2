//! The store's claims, from outside. Most are held against a model: a plain map and an applied index.

mod damage;
mod disk;
mod model;
mod transaction;
mod views;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use bytes::Bytes;
use outboard_store::{Batch, DiskStore, Options, Store, Table, View};

/// All records, ordered as a store orders them.
type Map = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// A value under a key, or the deletion of a key.
type Write<'a> = (Table, &'a [u8], Option<&'a [u8]>);

/// Small tables in memory and on disk: write buffers are closed and flushed within a test.
fn small() -> Options {
    Options { cache_bytes: 1 << 20, write_buffer_bytes: 64 << 10, ..Options::default() }
}

fn open(path: &Path) -> DiskStore {
    DiskStore::open(path, small()).expect("opens")
}

fn commit(store: &dyn Store, applied: u64, writes: &[Write<'_>]) {
    let mut batch = Batch::new(applied);
    for (table, key, value) in writes {
        match value {
            Some(value) => batch.put(*table, key, value.to_vec()).expect("a short key"),
            None => batch.delete(*table, key).expect("a short key"),
        }
    }
    store.commit(batch).expect("commits");
}

/// Everything in a view.
fn contents(view: Arc<dyn View>) -> Map {
    view.records()
        .map(|record| {
            let (table, key, value) = record.expect("the tables can be read");
            ((table, key.to_vec()), value.to_vec())
        })
        .collect()
}

/// What a scan without a page's limit returns.
fn expected_scan(
    map: &Map,
    table: Table,
    start: &[u8],
    end: Option<&[u8]>,
    limit: usize,
    reverse: bool,
) -> Vec<(Bytes, Bytes)> {
    let inside =
        |(of, key): &(Table, Vec<u8>)| *of == table && &key[..] >= start && end.is_none_or(|end| &key[..] < end);
    let mut found: Vec<_> = map
        .iter()
        .filter(|(key, _)| inside(key))
        .map(|((_, key), value)| (Bytes::from(key.clone()), Bytes::from(value.clone())))
        .collect();
    if reverse {
        found.reverse();
    }
    found.truncate(limit);
    found
}
