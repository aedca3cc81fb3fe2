//! Commands that bring a value under another key. Its time to live goes with it.

use outboard_sdk::args::parse_i64;
use outboard_sdk::{Args, Error, FromArgs, Key, Result, Shape, Store, Value, command};

use crate::keyspace::{Keyspace, Slot};

/// COPY source destination [DB database] [REPLACE] -- copies a value to another key; 1 if it did, else 0.
#[command(write)]
pub(crate) fn copy(store: &mut Store, source: Key, destination: Key, options: CopyOptions) -> Result<i64> {
    if source == destination {
        return Err(Error::constant("ERR source and destination objects are the same"));
    }
    let mut keyspace = Keyspace::open(store);
    let Some(record) = keyspace.find(&source).record else { return Ok(0) };
    let mut to = keyspace.find(&destination);
    if to.record.is_some() && !options.replace {
        return Ok(0);
    }
    keyspace.write(&mut to, record.value(), record.expires_ms())?;
    Ok(1)
}

/// RENAME key newkey -- brings the value under another key, in place of what was there.
#[command(write)]
pub(crate) fn rename(store: &mut Store, key: Key, newkey: Key) -> Result<()> {
    let mut keyspace = Keyspace::open(store);
    let (mut from, mut to) = (keyspace.find(&key), keyspace.find(&newkey));
    give_over(&mut keyspace, &mut from, &mut to)
}

/// RENAMENX key newkey -- as RENAME, but only if there is nothing under the new key; 1 if it did, else 0.
#[command(write)]
pub(crate) fn renamenx(store: &mut Store, key: Key, newkey: Key) -> Result<i64> {
    let mut keyspace = Keyspace::open(store);
    let (mut from, mut to) = (keyspace.find(&key), keyspace.find(&newkey));
    if from.record.is_some() && to.record.is_some() {
        return Ok(0);
    }
    give_over(&mut keyspace, &mut from, &mut to)?;
    Ok(1)
}

/// Onto itself, too: then the slots hold the same, and all is as before.
fn give_over(keyspace: &mut Keyspace, from: &mut Slot, to: &mut Slot) -> Result<()> {
    let Some(record) = from.record.clone() else { return Err(Error::constant("ERR no such key")) };
    if from.key() == to.key() {
        return Ok(());
    }
    keyspace.remove(from);
    keyspace.write(to, record.value(), record.expires_ms())
}

pub(crate) struct CopyOptions {
    replace: bool,
}

impl FromArgs for CopyOptions {
    const SHAPE: Shape = Shape::OPTIONS;

    fn from_args(args: &mut Args) -> Result<CopyOptions> {
        let mut replace = false;
        while let Some(word) = args.keyword() {
            match word.as_slice() {
                b"REPLACE" => replace = true,
                b"DB" => check_database(&args.option::<Value>()?)?,
                _ => return Err(Error::SYNTAX),
            }
        }
        Ok(CopyOptions { replace })
    }
}

/// There is one database, number 0.
fn check_database(number: &[u8]) -> Result<()> {
    let number = parse_i64(number).ok_or(Error::NOT_AN_INTEGER)?;
    let number = i32::try_from(number).map_err(|_| {
        Error::new(format!("ERR value is out of range, value must between {} and {}", i32::MIN, i32::MAX))
    })?;
    if number == 0 { Ok(()) } else { Err(Error::constant("ERR DB index is out of range")) }
}
