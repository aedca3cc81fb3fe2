//! Commands on values. Those that set one are in `set.rs`.

use outboard_sdk::{Args, Error, FromArgs, Key, Many, Result, Shape, Store, Value, View, command};

use crate::keyspace::{Keyspace, live};
use crate::lifetime::{Lifetime, Unit};
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

/// MSETNX key value [key value ...] -- sets all if none of the keys is there; 1 if it did, else 0.
#[command(write)]
pub(crate) fn msetnx(store: &mut Store, pairs: Many<(Key, Value)>) -> Result<i64> {
    if pairs.iter().any(|(key, _)| live(store, key).is_some()) {
        return Ok(0);
    }
    mset(store, pairs)?;
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

/// GETEX key [EX seconds|PX ms|EXAT unix-seconds|PXAT unix-ms|PERSIST] -- the value, or nil, and sets or lifts the end of its time.
#[command(write)]
pub(crate) fn getex(store: &mut Store, key: Key, change: GetexOptions) -> Result<Option<Record>> {
    let mut keyspace = Keyspace::open(store);
    let now_ms = keyspace.now_ms();
    let mut slot = keyspace.find(&key);
    let Some(record) = slot.record.clone() else { return Ok(None) };
    match change {
        GetexOptions::Leave => {}
        GetexOptions::Persist => keyspace.write(&mut slot, record.value(), None)?,
        GetexOptions::Until(lifetime) => {
            let expires_ms = lifetime.resolve("getex", now_ms)?;
            if lifetime.is_absolute() && expires_ms <= now_ms {
                keyspace.remove(&mut slot);
            } else {
                keyspace.write(&mut slot, record.value(), Some(expires_ms))?;
            }
        }
    }
    Ok(Some(record))
}

/// What happens to the end of the value's time.
pub(crate) enum GetexOptions {
    Leave,
    Persist,
    Until(Lifetime),
}

impl FromArgs for GetexOptions {
    const SHAPE: Shape = Shape::OPTIONS;

    fn from_args(args: &mut Args) -> Result<GetexOptions> {
        let mut change = GetexOptions::Leave;
        while let Some(word) = args.keyword() {
            change = match (word.as_slice(), &change) {
                (b"PERSIST", GetexOptions::Leave | GetexOptions::Persist) => GetexOptions::Persist,
                (_, GetexOptions::Persist) | (b"PERSIST", GetexOptions::Until(_)) => return Err(Error::SYNTAX),
                (word, before) => {
                    let before = if let GetexOptions::Until(lifetime) = before { Some(lifetime) } else { None };
                    GetexOptions::Until(Lifetime::parse(Unit::named(word).ok_or(Error::SYNTAX)?, before, args)?)
                }
            };
        }
        Ok(change)
    }
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
