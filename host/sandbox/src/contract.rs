//! The border between host and guest: the names and types of `wit/engine.wit` in Rust's words, and the host functions that a
//! guest may import. What stands here must agree with the wit file; admission checks every component against it.
//!
//! A host function never panics on what a guest hands over. When it can't go on, it leaves the reason in [`Host::stop`] and
//! traps; the caller of the guest looks there first.

use bytes::Bytes;
use outboard_store::StoreError;
use wasmtime::component::{ComponentType, Lift, Linker, Lower, WasmList, WasmStr};
use wasmtime::{Engine, StoreContextMut};

use crate::host::{Host, Phase, Tables};
use crate::limits::{COMMAND_WRITES_BYTES_MAX, HOST_BYTES_PER_FUEL, HOST_CALL_FUEL, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::outcome::{Failure, Moment, NodeFault, Stop};

/// All interfaces of the contract start with this.
pub(crate) const PACKAGE: &str = "outboard:engine/";
pub(crate) const TYPES: &str = "outboard:engine/types@0.1.0";
pub(crate) const TABLES: &str = "outboard:engine/tables@0.1.0";
pub(crate) const LOG: &str = "outboard:engine/log@0.1.0";
pub(crate) const COMMANDS: &str = "outboard:engine/commands@0.1.0";
pub(crate) const MIGRATION: &str = "outboard:engine/migration@0.1.0";

pub(crate) type DescribeParams = ();
pub(crate) type DescribeResults = (WitManifest,);
pub(crate) type OpenParams = ();
pub(crate) type OpenResults = ();
/// The argument vector is lowered straight from the caller's slices.
pub(crate) type CommandParams<'a> = (WitMoment, &'a [&'a [u8]]);
pub(crate) type CommandResults = (Result<Vec<u8>, String>,);
pub(crate) type MigrateParams = (u32, u32, WitPair);
pub(crate) type MigrateResults = (Result<Vec<(u32, WitPair)>, String>,);

#[derive(Copy, Clone, ComponentType, Lower)]
#[component(record)]
pub(crate) struct WitMoment {
    index: u64,
    #[component(name = "time-ms")]
    time_ms: u64,
    seed: u64,
}

impl From<Moment> for WitMoment {
    fn from(Moment { index, time_ms, seed }: Moment) -> WitMoment {
        WitMoment { index, time_ms, seed }
    }
}

#[derive(Clone, Eq, PartialEq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitKeyPositions {
    pub(crate) first: u32,
    pub(crate) last: i32,
    pub(crate) step: u32,
}

#[derive(Clone, Eq, PartialEq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitCommandSpec {
    pub(crate) name: String,
    pub(crate) summary: String,
    pub(crate) writes: bool,
    #[component(name = "arguments-min")]
    pub(crate) arguments_min: u32,
    #[component(name = "arguments-max")]
    pub(crate) arguments_max: Option<u32>,
    pub(crate) keys: WitKeyPositions,
}

#[derive(Clone, Eq, PartialEq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct WitManifest {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) schema: u32,
    #[component(name = "reads-schemas")]
    pub(crate) reads_schemas: Vec<u32>,
    pub(crate) caches: bool,
    pub(crate) commands: Vec<WitCommandSpec>,
}

#[derive(Clone, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct WitPair {
    key: Vec<u8>,
    value: Vec<u8>,
}

#[derive(Copy, Clone, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "the cases are made by lifting")]
enum WitLevel {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

/// A function of the host ends the guest with an error; the reason stands in [`Host::stop`].
type Called<T> = wasmtime::Result<T>;
type Guest<'a> = StoreContextMut<'a, Host>;

/// Everything that a component may import.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    let mut tables = linker.instance(TABLES)?;
    tables.func_wrap("get", |guest: Guest<'_>, (table, key): (u32, WasmList<u8>)| get(guest, table, &key))?;
    tables.func_wrap("put", |guest: Guest<'_>, (table, key, value): (u32, WasmList<u8>, WasmList<u8>)| {
        put(guest, table, &key, &value)
    })?;
    tables.func_wrap("delete", |guest: Guest<'_>, (table, key): (u32, WasmList<u8>)| delete(guest, table, &key))?;
    tables.func_wrap(
        "scan",
        |guest: Guest<'_>,
         (table, start, end, limit, reverse): (u32, WasmList<u8>, Option<WasmList<u8>>, u32, bool)| {
            scan(guest, table, &start, end.as_ref(), limit, reverse)
        },
    )?;
    let mut log = linker.instance(LOG)?;
    log.func_wrap("write", |guest: Guest<'_>, (level, message): (WitLevel, WasmStr)| write(guest, level, &message))?;
    Ok(linker)
}

fn get(mut guest: Guest<'_>, table: u32, key: &WasmList<u8>) -> Called<(Option<Vec<u8>>,)> {
    let table = guest.data().table(table);
    let key_bytes = key.as_le_slice(&guest);
    if key_bytes.len() > KEY_BYTES_MAX {
        return Ok((None,)); // Nothing can be there, and a store need not take such a key.
    }
    let found = match &guest.data().tables {
        Tables::Closed => return stop(guest, Failure::Trapped),
        Tables::View(view) => view.get(table, key_bytes),
        Tables::Transaction(transaction) => transaction.get(table, key_bytes),
    };
    match found {
        Ok(value) => {
            charge(&mut guest, key.len() + value.as_ref().map_or(0, Bytes::len))?;
            Ok((value.map(|value| value.to_vec()),))
        }
        Err(error) => stop(guest, fault(error)),
    }
}

fn put(mut guest: Guest<'_>, table: u32, key: &WasmList<u8>, value: &WasmList<u8>) -> Called<()> {
    if key.len() > KEY_BYTES_MAX || value.len() > VALUE_BYTES_MAX {
        return stop(guest, Failure::TooLarge);
    }
    charge(&mut guest, key.len() + value.len())?;
    let table = guest.data().table(table);
    writing(guest, |guest, transaction| {
        transaction.put(table, key.as_le_slice(guest), Bytes::copy_from_slice(value.as_le_slice(guest)))
    })
}

fn delete(mut guest: Guest<'_>, table: u32, key: &WasmList<u8>) -> Called<(bool,)> {
    charge(&mut guest, key.len())?;
    let table = guest.data().table(table);
    writing(guest, |guest, transaction| {
        let key = key.as_le_slice(guest);
        if key.len() > KEY_BYTES_MAX { Ok((false,)) } else { Ok((transaction.delete(table, key)?,)) }
    })
}

/// Lends the transaction and the guest's memory at once, if this call may write.
fn writing<T>(
    mut guest: Guest<'_>,
    write: impl FnOnce(&Guest<'_>, &mut outboard_store::Transaction) -> Result<T, StoreError>,
) -> Called<T> {
    match guest.data().phase {
        Phase::Apply => {}
        Phase::Describe | Phase::Open | Phase::Query => return stop(guest, Failure::ReadOnly),
    }
    // Taken out for the moment, because the keys and values are read from the same store's memory.
    let Tables::Transaction(mut transaction) = std::mem::take(&mut guest.data_mut().tables) else {
        panic!("an apply runs on a transaction");
    };
    let written = write(&guest, &mut transaction);
    let command_bytes = transaction.command_bytes();
    guest.data_mut().tables = Tables::Transaction(transaction);
    match written {
        Ok(_) if command_bytes > COMMAND_WRITES_BYTES_MAX => stop(guest, Failure::TooLarge),
        Ok(answer) => Ok(answer),
        Err(error) => stop(guest, fault(error)),
    }
}

fn scan(
    mut guest: Guest<'_>,
    table: u32,
    start: &WasmList<u8>,
    end: Option<&WasmList<u8>>,
    limit: u32,
    reverse: bool,
) -> Called<(Vec<WitPair>,)> {
    let table = guest.data().table(table);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (start_bytes, end_bytes) = (start.as_le_slice(&guest), end.map(|end| end.as_le_slice(&guest)));
    let found = match &guest.data().tables {
        Tables::Closed => return stop(guest, Failure::Trapped),
        Tables::View(view) => view.scan(table, start_bytes, end_bytes, limit, reverse),
        Tables::Transaction(transaction) => transaction.scan(table, start_bytes, end_bytes, limit, reverse),
    };
    match found {
        Ok(page) => {
            let bytes = page.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
            // Each record is found and copied on its own; it costs like a call.
            let calls = page.len() * usize::try_from(HOST_CALL_FUEL * HOST_BYTES_PER_FUEL).expect("a small number");
            charge(&mut guest, start.len() + bytes + calls)?;
            Ok((page.iter().map(|(key, value)| WitPair { key: key.to_vec(), value: value.to_vec() }).collect(),))
        }
        Err(error) => stop(guest, fault(error)),
    }
}

fn write(mut guest: Guest<'_>, level: WitLevel, message: &WasmStr) -> Called<()> {
    // Read in any case, so that a line that is no text ends the guest whether or not this node still takes lines.
    let Ok(text) = message.to_str(&guest) else { return stop(guest, Failure::Trapped) };
    let (line, bytes) = (cut(&text).to_owned(), text.len());
    charge(&mut guest, bytes)?;
    if !guest.data_mut().log.admits_a_line() {
        return Ok(());
    }
    let host = guest.data_mut();
    let engine = &*host.engine;
    match (host.phase, level) {
        // Out of reach there; but the last words of an engine that can't describe itself are worth keeping for its author.
        (Phase::Describe, _) => host.log.last_words = Some(line),
        (_, WitLevel::Trace) => tracing::trace!(target: "outboard::engine", engine, "{line}"),
        (_, WitLevel::Debug) => tracing::debug!(target: "outboard::engine", engine, "{line}"),
        (_, WitLevel::Info) => tracing::info!(target: "outboard::engine", engine, "{line}"),
        (_, WitLevel::Warn) => tracing::warn!(target: "outboard::engine", engine, "{line}"),
        (_, WitLevel::Error) => tracing::error!(target: "outboard::engine", engine, "{line}"),
    }
    Ok(())
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(crate::limits::LOG_LINE_BYTES_MAX)]
}

/// Takes the price of a host call out of the guest's fuel. The price depends only on the tables and the command, so it is the
/// same on every node; a guest that can't pay ends here.
fn charge(guest: &mut Guest<'_>, bytes: usize) -> Called<()> {
    let price = HOST_CALL_FUEL + u64::try_from(bytes).unwrap_or(u64::MAX) / HOST_BYTES_PER_FUEL;
    match guest.get_fuel()?.checked_sub(price) {
        Some(left) => guest.set_fuel(left),
        None => {
            guest.data_mut().stop = Some(Failure::OutOfFuel.into());
            Err(ended())
        }
    }
}

/// What an error of the tables means for the one who runs the guest. All are the node's trouble but the length of a key, which is
/// checked before; should the store be stricter, then it is so on every node.
fn fault(error: StoreError) -> Stop {
    if matches!(error, StoreError::KeyTooLong { .. }) {
        Failure::TooLarge.into()
    } else {
        NodeFault::Store(error).into()
    }
}

fn stop<T>(mut guest: Guest<'_>, reason: impl Into<Stop>) -> Called<T> {
    guest.data_mut().stop = Some(reason.into());
    Err(ended())
}

fn ended() -> wasmtime::Error {
    wasmtime::Error::msg("ended by the host")
}
