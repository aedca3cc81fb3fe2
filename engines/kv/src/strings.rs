//! Commands on values.

use outboard_sdk::{Key, Many, Result, Store, Value, View, command};

use crate::keyspace::{Keyspace, live};
use crate::record::Record;

/// GET key -- the value, or nil.
#[command(read)]
pub(crate) fn get(store: &View, key: Key) -> Result<Option<Record>> {
    Ok(live(store, &key))
}

/// MGET key [key ...] -- the values in the order of the keys, nil where there is none.
#[command(read)]
pub(crate) fn mget(store: &View, keys: Many<Key>) -> Result<Vec<Option<Record>>> {
    Ok(keys.iter().map(|key| live(store, key)).collect())
}

/// MSET key value [key value ...] -- sets all, and all at once.
#[command(write)]
pub(crate) fn mset(store: &mut Store, pairs: Many<(Key, Value)>) -> Result<()> {
    let mut keyspace = Keyspace::open(store);
    for (key, value) in pairs {
        let mut slot = keyspace.find(&key);
        keyspace.write(&mut slot, &value, None)?;
    }
    Ok(())
}

/// SETNX key value -- sets if there is no value; 1 if it did, else 0.
#[command(write)]
pub(crate) fn setnx(store: &mut Store, key: Key, value: Value) -> Result<i64> {
    let mut keyspace = Keyspace::open(store);
    let mut slot = keyspace.find(&key);
    if slot.record.is_some() {
        return Ok(0);
    }
    keyspace.write(&mut slot, &value, None)?;
    Ok(1)
}

/// CAS key expected new -- sets the value if it is the expected one: 1 if it did, 0 if it is another, nil if there is none.
///
/// Redis has no such command. The time to live stays, as with APPEND.
#[command(write)]
pub(crate) fn cas(store: &mut Store, key: Key, expected: Value, new: Value) -> Result<Option<i64>> {
    let mut keyspace = Keyspace::open(store);
    let mut slot = keyspace.find(&key);
    let Some(record) = &slot.record else { return Ok(None) };
    if record.value() != &*expected {
        return Ok(Some(0));
    }
    keyspace.rewrite(&mut slot, &new)?;
    Ok(Some(1))
}

/// GETDEL key -- the value, or nil, and removes it.
#[command(write)]
pub(crate) fn getdel(store: &mut Store, key: Key) -> Result<Option<Record>> {
    let mut keyspace = Keyspace::open(store);
    let mut slot = keyspace.find(&key);
    Ok(keyspace.remove(&mut slot))
}

/// APPEND key value -- adds to the end of the value and returns its new length.
#[command(write)]
pub(crate) fn append(store: &mut Store, key: Key, value: Value) -> Result<i64> {
    let mut keyspace = Keyspace::open(store);
    let mut slot = keyspace.find(&key);
    let before = slot.record.as_ref().map_or(&b""[..], Record::value);
    let value = [before, &value].concat();
    keyspace.rewrite(&mut slot, &value)?;
    Ok(value.len() as i64)
}

/// STRLEN key -- the length of the value; 0 if there is none.
#[command(read)]
pub(crate) fn strlen(store: &View, key: Key) -> Result<i64> {
    Ok(live(store, &key).map_or(0, |record| record.value().len() as i64))
}
