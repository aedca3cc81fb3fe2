//! Counters: values that are whole numbers, written in digits.

use outboard_sdk::args::parse_i64;
use outboard_sdk::{Error, Key, Result, Store, command};

use crate::keyspace::Keyspace;

/// INCR key -- adds 1 to the number and returns it; no value counts as 0.
#[command(write)]
pub(crate) fn incr(store: &mut Store, key: Key) -> Result<i64> {
    add(store, &key, 1)
}

/// DECR key -- takes 1 from the number and returns it; no value counts as 0.
#[command(write)]
pub(crate) fn decr(store: &mut Store, key: Key) -> Result<i64> {
    add(store, &key, -1)
}

/// INCRBY key number -- adds to the number and returns it; no value counts as 0.
#[command(write)]
pub(crate) fn incrby(store: &mut Store, key: Key, by: i64) -> Result<i64> {
    add(store, &key, by)
}

/// DECRBY key number -- takes from the number and returns it; no value counts as 0.
#[command(write)]
pub(crate) fn decrby(store: &mut Store, key: Key, by: i64) -> Result<i64> {
    let by = by.checked_neg().ok_or(Error::constant("ERR decrement would overflow"))?;
    add(store, &key, by)
}

fn add(store: &mut Store, key: &[u8], by: i64) -> Result<i64> {
    let mut keyspace = Keyspace::open(store);
    let mut slot = keyspace.find(key);
    let number = match &slot.record {
        Some(record) => parse_i64(record.value()).ok_or(Error::NOT_AN_INTEGER)?,
        None => 0,
    };
    let sum = number.checked_add(by).ok_or(Error::OVERFLOW)?;
    keyspace.rewrite(&mut slot, sum.to_string().as_bytes())?;
    Ok(sum)
}
