//! The engine that misbehaves on command: for tests of everything that stands around an engine.
//!
//! Its ordinary commands, SET and GET, keep the tables of schema 1 as `kv` does, so that a test can look whether the state
//! is sane after each outrage, and can upgrade from and to the other engines. A command whose name ends in Q does its
//! harm as a read. Nothing here belongs into a real engine; much of it is what a careless one does by accident.

mod harm;

use outboard_sdk::{Error, Key, Result, Store, Table, Value, View, command, log, stable_hash};

use harm::RawReply;

outboard_sdk::engine! {
    name: "chaos",
    version: "0.1.0",
    schema: 1,
    commands: [
        set, get,
        trap, trapq, spin, spinq, recurse, recurseq, eat, eatq,
        garbage, garbageq, huge, hugeq,
        bigkey, bigvalue, writemany, writeq,
        reject, rejectq, logspam, logspamq, drift, driftq,
    ],
}

/// The layout of schema 1; `kv-basic` explains it.
const RECORDS: u32 = 0;
const COUNT: Table<u64> = Table::new(1);
const ORDER: u32 = 3;
const PLAIN: u8 = 0;

/// SET key value -- stores the value, as an engine should.
#[command(write)]
fn set(store: &mut Store, key: Key, value: Value) -> Result<()> {
    put(store, &key, &value)
}

/// GET key -- the value, or nil, as an engine should.
#[command(read)]
fn get(store: &View, key: Key) -> Result<Option<Vec<u8>>> {
    let value_of = |record: Vec<u8>| record[if record[0] == PLAIN { 1 } else { 9 }..].to_vec();
    Ok(store.get(RECORDS, &key).map(value_of))
}

/// TRAP key -- writes, then panics.
#[command(write)]
fn trap(store: &mut Store, key: Key) -> Result<()> {
    put(store, &key, b"written before a trap")?;
    harm::trap()
}

/// TRAPQ -- panics.
#[command(read)]
fn trapq(_store: &View) -> Result<()> {
    harm::trap()
}

/// SPIN key -- writes, then never ends.
#[command(write)]
fn spin(store: &mut Store, key: Key) -> Result<()> {
    put(store, &key, b"written before a spin")?;
    harm::spin()
}

/// SPINQ -- never ends.
#[command(read)]
fn spinq(_store: &View) -> Result<()> {
    harm::spin()
}

/// RECURSE key -- writes, then calls itself until something gives way.
#[command(write)]
fn recurse(store: &mut Store, key: Key) -> Result<i64> {
    put(store, &key, b"written before a recursion")?;
    Ok(harm::recurse(1) as i64)
}

/// RECURSEQ -- calls itself until something gives way.
#[command(read)]
fn recurseq(_store: &View) -> Result<i64> {
    Ok(harm::recurse(1) as i64)
}

/// EAT key -- writes, then takes memory until there is none.
#[command(write)]
fn eat(store: &mut Store, key: Key) -> Result<i64> {
    put(store, &key, b"written before a meal")?;
    Ok(harm::eat())
}

/// EATQ -- takes memory until there is none.
#[command(read)]
fn eatq(_store: &View) -> Result<i64> {
    Ok(harm::eat())
}

/// GARBAGE key kind -- writes, then replies with what is no RESP3 value. Kinds: text, empty, cut, two, deep, lie.
#[command(write)]
fn garbage(store: &mut Store, key: Key, kind: &str) -> Result<RawReply> {
    put(store, &key, b"written before garbage")?;
    harm::garbage(kind)
}

/// GARBAGEQ kind -- replies with what is no RESP3 value. Kinds as in GARBAGE.
#[command(read)]
fn garbageq(_store: &View, kind: &str) -> Result<RawReply> {
    harm::garbage(kind)
}

/// HUGE key bytes -- writes, then replies with a byte string of that length.
#[command(write)]
fn huge(store: &mut Store, key: Key, bytes: u32) -> Result<Vec<u8>> {
    put(store, &key, b"written before a huge reply")?;
    Ok(vec![b'x'; bytes as usize])
}

/// HUGEQ bytes -- replies with a byte string of that length.
#[command(read)]
fn hugeq(_store: &View, bytes: u32) -> Result<Vec<u8>> {
    Ok(vec![b'x'; bytes as usize])
}

/// BIGKEY bytes -- puts a key of that length into a table of its own.
#[command(write)]
fn bigkey(store: &mut Store, bytes: u32) -> Result<()> {
    store.put(harm::TABLE, &vec![b'k'; bytes as usize], b"");
    Ok(())
}

/// BIGVALUE key bytes -- puts a value of that length.
#[command(write)]
fn bigvalue(store: &mut Store, key: Key, bytes: u32) -> Result<()> {
    put(store, &key, &vec![b'v'; bytes as usize])
}

/// WRITEMANY records bytes -- puts so many records with values of that length into a table of its own.
#[command(write)]
fn writemany(store: &mut Store, records: u32, bytes: u32) -> Result<i64> {
    let value = vec![b'm'; bytes as usize];
    for record in 0..records {
        store.put(harm::TABLE, &record.to_be_bytes(), &value);
    }
    Ok(i64::from(records))
}

/// WRITEQ key value -- a read that writes all the same, past the SDK and its types.
#[command(read)]
fn writeq(_store: &View, key: Key, value: Value) -> Result<()> {
    harm::write_past_the_types(RECORDS, &key, &value);
    Ok(())
}

/// REJECT key text -- writes, then is rejected with this text.
#[command(write)]
fn reject(store: &mut Store, key: Key, text: String) -> Result<()> {
    put(store, &key, b"written before a rejection")?;
    Err(Error::new(text))
}

/// REJECTQ text -- is rejected with this text.
#[command(read)]
fn rejectq(_store: &View, text: String) -> Result<()> {
    Err(Error::new(text))
}

/// LOGSPAM key lines bytes -- writes, and floods the log with so many lines of that length.
#[command(write)]
fn logspam(store: &mut Store, key: Key, lines: u32, bytes: u32) -> Result<()> {
    put(store, &key, b"written before a flood")?;
    harm::flood(lines, bytes);
    Ok(())
}

/// LOGSPAMQ lines bytes -- floods the log with so many lines of that length.
#[command(read)]
fn logspamq(_store: &View, lines: u32, bytes: u32) -> Result<()> {
    harm::flood(lines, bytes);
    Ok(())
}

/// DRIFT key -- writes how often this instance was asked to: the mistake that makes nodes differ, once one of them starts anew.
#[command(write)]
fn drift(store: &mut Store, key: Key) -> Result<u64> {
    let asked = harm::asked_so_often();
    put(store, &key, asked.to_string().as_bytes())?;
    Ok(asked)
}

/// DRIFTQ -- returns how often this instance was asked to.
#[command(read)]
fn driftq(_store: &View) -> Result<u64> {
    Ok(harm::asked_so_often())
}

fn put(store: &mut Store, key: &[u8], value: &[u8]) -> Result<()> {
    if store.get(RECORDS, key).is_none() {
        let count = COUNT.get(store, b"")?.unwrap_or(0);
        COUNT.put(store, b"", &(count + 1));
        let place = (stable_hash(key) >> 11).to_be_bytes();
        store.put(ORDER, &[&place[1..], key].concat(), b"");
    }
    store.put(RECORDS, key, &[&[PLAIN], value].concat());
    log::write(log::Level::Trace, "chaos wrote a record");
    Ok(())
}
