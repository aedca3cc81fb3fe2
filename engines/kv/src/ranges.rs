//! Commands on a part of a value.

use outboard_sdk::{Error, Key, Result, Store, Value, View, command};

use crate::keyspace::{Keyspace, check_value_length, live};
use crate::record::Record;

/// GETRANGE key start end -- the bytes from start to end, both included; negative places count from the value's end.
#[command(read)]
pub(crate) fn getrange(store: &View, key: Key, start: i64, end: i64) -> Result<Vec<u8>> {
    let Some(record) = live(store, &key) else { return Ok(Vec::new()) };
    Ok(part(record.value(), start, end).to_vec())
}

/// A place before the value is its first one, a place behind it its last one.
fn part(value: &[u8], start: i64, end: i64) -> &[u8] {
    // Redis looks at this before it moves places into the value: else "-1 -9" would be the first byte of a short one.
    if value.is_empty() || (start < 0 && end < 0 && start > end) {
        return b"";
    }
    let length = value.len() as i64;
    let place = |at: i64| if at < 0 { at.saturating_add(length).max(0) } else { at };
    let (start, end) = (place(start), place(end).min(length - 1));
    if start > end { b"" } else { &value[start as usize..=end as usize] }
}

/// SETRANGE key offset value -- writes over the value from the offset on, filling a gap with zeros; returns the new length.
#[command(write)]
pub(crate) fn setrange(store: &mut Store, key: Key, offset: i64, value: Value) -> Result<i64> {
    if offset < 0 {
        return Err(Error::constant("ERR offset is out of range"));
    }
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let mut keyspace = Keyspace::open(store);
    let mut slot = keyspace.find(&key);
    let mut bytes = slot.record.as_ref().map_or(&b""[..], Record::value).to_vec();
    if !value.is_empty() {
        let end = offset.saturating_add(value.len());
        check_value_length(end)?;
        bytes.resize(bytes.len().max(end), 0);
        bytes[offset..end].copy_from_slice(&value);
        keyspace.rewrite(&mut slot, &bytes)?;
    }
    Ok(bytes.len() as i64)
}
