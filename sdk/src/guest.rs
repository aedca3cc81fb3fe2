//! The border on the guest's side: the host's calls become calls of an [`Engine`], the host's tables become [`Tables`].
//!
//! One call, few allocations: the command's byte strings are moved, never copied, and the reply is written once.

use std::panic::PanicHookInfo;

use crate::bindings::exports::outboard::engine::{commands, migration};
use crate::bindings::outboard::engine::{log, tables, types};
use crate::engine::{Command, Engine, Record};
use crate::store::{Moment, Pair, ReadTables, Tables, View};

/// What `engine!` implements for the component that it exports.
pub trait Exported {
    /// The engine.
    const ENGINE: &'static Engine;
}

/// The tables behind the import. Free of state, so it costs nothing to make one.
struct HostTables;

impl ReadTables for HostTables {
    fn get(&self, table: u32, key: &[u8]) -> Option<Vec<u8>> {
        tables::get(table, key)
    }

    fn scan(&self, table: u32, start: &[u8], end: Option<&[u8]>, limit: u32, reverse: bool) -> Vec<Pair> {
        let page = tables::scan(table, start, end, limit, reverse);
        page.into_iter().map(|pair| (pair.key, pair.value)).collect()
    }
}

impl Tables for HostTables {
    fn put(&mut self, table: u32, key: &[u8], value: &[u8]) {
        tables::put(table, key, value);
    }

    fn delete(&mut self, table: u32, key: &[u8]) -> bool {
        tables::delete(table, key)
    }
}

impl<T: Exported> commands::Guest for T {
    fn describe() -> types::Manifest {
        manifest(T::ENGINE)
    }

    fn open() {
        // Every instance passes here before its first command.
        std::panic::set_hook(Box::new(report_panic));
        if let Some(open) = T::ENGINE.open {
            open(&View::new(&HostTables, Moment::default()));
        }
    }

    fn apply(at: types::Moment, command: Vec<Vec<u8>>) -> Result<Vec<u8>, String> {
        T::ENGINE.apply(&mut HostTables, moment(at), command).map_err(crate::Error::into_text)
    }

    fn query(at: types::Moment, command: Vec<Vec<u8>>) -> Result<Vec<u8>, String> {
        T::ENGINE.query(&HostTables, moment(at), command).map_err(crate::Error::into_text)
    }
}

impl<T: Exported> migration::Guest for T {
    fn migrate(from_schema: u32, table: u32, old: types::Pair) -> Result<Vec<(u32, types::Pair)>, String> {
        let Some(migrate) = T::ENGINE.migrate else {
            return Err(format!("{} does not migrate", T::ENGINE.name));
        };
        let old = Record { table, key: old.key, value: old.value };
        let new = migrate(from_schema, old).map_err(crate::Error::into_text)?;
        Ok(new.into_iter().map(|record| (record.table, types::Pair { key: record.key, value: record.value })).collect())
    }
}

/// After this the panic becomes a trap, and the host discards the command.
fn report_panic(panic: &PanicHookInfo<'_>) {
    log::write(log::Level::Error, &panic.to_string());
}

fn moment(at: types::Moment) -> Moment {
    Moment { index: at.index, time_ms: at.time_ms, seed: at.seed }
}

fn manifest(engine: &Engine) -> types::Manifest {
    types::Manifest {
        name: engine.name.to_owned(),
        version: engine.version.to_owned(),
        schema: engine.schema,
        reads_schemas: engine.reads_schemas.to_vec(),
        caches: engine.caches,
        commands: engine.commands.iter().map(command_spec).collect(),
    }
}

fn command_spec(command: &Command) -> types::CommandSpec {
    let keys = command.shape.keys;
    types::CommandSpec {
        name: command.name.to_owned(),
        summary: command.summary.to_owned(),
        writes: command.writes(),
        arguments_min: command.shape.min,
        arguments_max: command.shape.max,
        keys: types::KeyPositions { first: keys.first, last: keys.last, step: keys.step },
    }
}
