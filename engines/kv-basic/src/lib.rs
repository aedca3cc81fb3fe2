//! The smallest useful engine: five commands of Redis in under a hundred lines. Read it from top to bottom to learn how
//! an engine is written; `kv` beside it is the same idea grown up, and can take over these tables in a running cluster.

// `Store` writes and reads, `View` only reads; the other types say what an argument or a reply is.
use outboard_sdk::{Key, Many, Result, Store, Table, Value, View, command, glob, stable_hash};

// This one line makes the crate an engine. The schema is the number of the layout below: engines with the same number can
// replace each other without touching a record. Each command is a function of this file.
outboard_sdk::engine! { name: "kv-basic", version: "0.1.0", schema: 1, commands: [set, get, del, exists, keys] }

// The layout, schema 1. A table is an ordered map of bytes that the node keeps, known by a number.
/// Key -> one byte that says what follows, then the value. (`kv` knows more such bytes, for keys that expire.)
const RECORDS: u32 = 0;
/// Under the empty key: how many records there are, so that `kv` can tell without counting.
const COUNT: Table<u64> = Table::new(1);
/// Seven bytes of hash and the key, without a value: the order in which `kv` lets clients walk through all keys.
const ORDER: u32 = 3;
/// What follows is the value and nothing else.
const PLAIN: u8 = 0;
/// Eight bytes of time come before the value. Only `kv` writes this; we meet it when an upgrade was rolled back.
const EXPIRING: u8 = 1;
/// The node takes keys of 64 KiB, of which stores and `ORDER` need a few bytes for themselves.
const KEY_BYTES_MAX: usize = (64 << 10) - 256;

/// SET key value -- stores the value under the key.
// The line above is the help that users see. `write` sends the command through the log: every node runs it, at the same
// place in the same order. The parameters are the command's arguments: a client that sends too few or too many of them
// is told so before this function is called. `()` as the result is the reply OK.
#[command(write)]
fn set(store: &mut Store, key: Key, value: Value) -> Result<()> {
    // An `Err` is the client's reply, in Redis' form. Whatever was written before it is forgotten.
    if key.len() > KEY_BYTES_MAX {
        return Err("ERR key is too long".into());
    }
    if store.get(RECORDS, &key).is_none() {
        let count = COUNT.get(store, b"")?.unwrap_or(0);
        COUNT.put(store, b"", &(count + 1));
        store.put(ORDER, &order_key(&key), b"");
    }
    let mut record = vec![PLAIN];
    record.extend_from_slice(&value);
    store.put(RECORDS, &key, &record);
    Ok(())
}

/// GET key -- the value under the key, or nil.
// `read` does not go through the log. The types keep it honest: a `View` has no `put`.
#[command(read)]
fn get(store: &View, key: Key) -> Result<Option<Vec<u8>>> {
    Ok(store.get(RECORDS, &key).map(|record| value_of(&record).to_vec()))
}

/// DEL key [key ...] -- removes keys and returns how many there were.
// `Many` takes one or more arguments, up to the last. An `i64` is an integer reply.
#[command(write)]
fn del(store: &mut Store, keys: Many<Key>) -> Result<i64> {
    let mut removed = 0;
    for key in keys {
        if store.delete(RECORDS, &key) {
            store.delete(ORDER, &order_key(&key));
            removed += 1;
        }
    }
    // All of this is one transaction: nobody ever sees a record gone and the count unchanged.
    let count = COUNT.get(store, b"")?.unwrap_or(0);
    COUNT.put(store, b"", &(count - removed));
    Ok(removed as i64)
}

/// EXISTS key [key ...] -- how many of these keys there are.
#[command(read)]
fn exists(store: &View, keys: Many<Key>) -> Result<i64> {
    Ok(keys.iter().filter(|key| store.get(RECORDS, key).is_some()).count() as i64)
}

/// KEYS pattern -- all keys that fit the pattern: * any bytes, ? one byte, [a-z] one of a set.
// The pattern is bytes but no `Key`: the node treats keys with special care. A `Vec` is an array reply.
#[command(read)]
fn keys(store: &View, pattern: Value) -> Result<Vec<Vec<u8>>> {
    let records = store.prefixed(RECORDS, glob::literal_prefix(&pattern));
    Ok(records.map(|(key, _)| key).filter(|key| glob::matches(&pattern, key)).collect())
}

fn value_of(record: &[u8]) -> &[u8] {
    if record[0] == EXPIRING { &record[9..] } else { &record[1..] }
}

fn order_key(key: &[u8]) -> Vec<u8> {
    // 53 bits: as a number they fit every client, even one that keeps numbers as floats.
    let hash = (stable_hash(key) >> 11).to_be_bytes();
    [&hash[1..], key].concat()
}
