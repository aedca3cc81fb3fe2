//! Commands on keys, whatever is under them. SCAN has a file of its own, and so have those that move values about.

use outboard_sdk::{Key, Many, Random, Result, Status, Store, Value, View, command, glob};

use crate::keyspace::{Keyspace, live};
use crate::record::{COUNT, ORDER, PLACES, RECORDS, Record, place_bytes, split_order_key};

/// DEL key [key ...] -- removes keys and returns how many there were.
#[command(write)]
pub(crate) fn del(store: &mut Store, keys: Many<Key>) -> Result<i64> {
    let mut keyspace = Keyspace::open(store);
    let mut removed = 0;
    for key in keys {
        let mut slot = keyspace.find(&key);
        removed += i64::from(keyspace.remove(&mut slot).is_some());
    }
    Ok(removed)
}

/// UNLINK key [key ...] -- the same as DEL: no removal takes long here.
#[command(write)]
pub(crate) fn unlink(store: &mut Store, keys: Many<Key>) -> Result<i64> {
    del(store, keys)
}

/// EXISTS key [key ...] -- how many of the keys there are; one named twice counts twice.
#[command(read)]
pub(crate) fn exists(store: &View, keys: Many<Key>) -> Result<i64> {
    Ok(keys.iter().filter(|key| live(store, key).is_some()).count() as i64)
}

/// TOUCH key [key ...] -- the same as EXISTS: nobody is told when a key was last used.
#[command(read)]
pub(crate) fn touch(store: &View, keys: Many<Key>) -> Result<i64> {
    exists(store, keys)
}

/// TYPE key -- string, or none.
#[command(read)]
pub(crate) fn r#type(store: &View, key: Key) -> Result<Status> {
    Ok(Status(if live(store, &key).is_some() { TYPE_OF_VALUES } else { "none" }))
}

/// All values are strings.
pub(crate) const TYPE_OF_VALUES: &str = "string";

/// DBSIZE -- how many keys there are, with those that have expired but not yet been removed.
#[command(read)]
pub(crate) fn dbsize(store: &View) -> Result<u64> {
    Ok(COUNT.get(store, b"")?.unwrap_or(0))
}

/// KEYS pattern -- all keys that fit the pattern, in the order of their bytes.
#[command(read)]
pub(crate) fn keys(store: &View, pattern: Value) -> Result<Vec<Vec<u8>>> {
    let records = store.prefixed(RECORDS, glob::literal_prefix(&pattern));
    let fitting = records.filter(|(key, _)| glob::matches(&pattern, key));
    let live = fitting.filter_map(|(key, bytes)| Record::from_table(bytes).is_live(store.now_ms()).then_some(key));
    Ok(live.collect())
}

/// RANDOMKEY -- any key, or nil if there is none.
///
/// A walk in the order of the hashes begins at a place drawn by chance and takes the first live key. It is a read, so it
/// is drawn on one node only; the time is drawn with, since between two writes the seed stands still.
#[command(read)]
pub(crate) fn randomkey(store: &View) -> Result<Option<Vec<u8>>> {
    let seed = store.random().next_u64() ^ store.now_ms();
    let start = place_bytes(Random::new(seed).below(PLACES));
    let behind = store.pages(ORDER, &start, None);
    let before = store.pages(ORDER, b"", Some(&start));
    let mut keys = behind.chain(before).map(|(entry, _)| split_order_key(&entry).1.to_vec());
    Ok(keys.find(|key| live(store, key).is_some()))
}
