//! An engine as data: its commands and how to run one. The same value serves the component (`guest.rs`) and native tests
//! (`testing.rs`); nothing here knows who keeps the tables.

use crate::args::Args;
use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::store::{Moment, ReadTables, Store, Tables, View};

/// What `engine!` makes: everything there is to know of an engine.
pub struct Engine {
    /// Small letters, digits and dashes.
    pub name: &'static str,
    /// For people.
    pub version: &'static str,
    /// The layout of the records that it writes.
    pub schema: u32,
    /// Other layouts that it takes over as they are.
    pub reads_schemas: &'static [u32],
    /// Whether it keeps anything in its own memory between commands.
    pub caches: bool,
    /// All commands.
    pub commands: &'static [Command],
    /// Fills caches when an instance starts.
    pub open: Option<Open>,
    /// Turns records of an older schema into this one's.
    pub migrate: Option<Migrate>,
}

/// Reads what the caches need.
pub type Open = fn(&View<'_>);

/// Given the older schema's number and one of its records, returns what takes its place, possibly nothing.
pub type Migrate = fn(from_schema: u32, old: Record) -> Result<Vec<Record>>;

/// A record with the table that it lies in.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Record {
    /// The table's number.
    pub table: u32,
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// One command: what `#[command]` makes of a function.
pub struct Command {
    /// In capitals.
    pub name: &'static str,
    /// One line for people: the function's doc comment.
    pub summary: &'static str,
    /// How many arguments, and which are keys.
    pub shape: Shape,
    /// The function behind it.
    pub run: Run,
    /// Lets a lookup compare one number before it compares names.
    pub code: u64,
}

/// A command either writes or reads, and is handed what it needs for that and no more.
#[derive(Copy, Clone)]
pub enum Run {
    /// Goes through the log.
    Write(fn(&mut Store<'_>, Args) -> Result<Vec<u8>>),
    /// Runs on a view.
    Read(fn(&View<'_>, Args) -> Result<Vec<u8>>),
}

/// What a function with `#[command]` leaves beside itself, for `engine!` to collect.
pub trait IsCommand {
    /// The command.
    const COMMAND: Command;
}

/// The host refuses engines with longer names or more commands.
const NAME_BYTES_MAX: usize = 64;
const COMMANDS_MAX: usize = 1024;

impl Engine {
    /// Refuses at compile time what the host would refuse at push time.
    pub const fn checked(self) -> Engine {
        assert!(is_engine_name(self.name), "an engine's name is 1 to 64 small letters, digits and dashes");
        assert!(self.commands.len() <= COMMANDS_MAX, "an engine has at most 1,024 commands");
        assert!(self.reads_schemas.is_empty() || self.schema > 0, "schemas count from 1 on");
        let mut one = 0;
        while one < self.commands.len() {
            let mut other = one + 1;
            while other < self.commands.len() {
                assert!(
                    !is_same_name(self.commands[one].name, self.commands[other].name),
                    "two commands have the same name"
                );
                other += 1;
            }
            one += 1;
        }
        self
    }

    /// Runs one command that may write. On `Err` the caller forgets what was written.
    pub fn apply(&self, tables: &mut dyn Tables, at: Moment, command: Vec<Vec<u8>>) -> Result<Vec<u8>> {
        let (found, args) = self.find(command)?;
        let mut store = Store::new(tables, at);
        match found.run {
            Run::Write(run) => run(&mut store, args),
            Run::Read(run) => run(&crate::Read::view(&store), args),
        }
    }

    /// Runs one command that reads.
    pub fn query(&self, tables: &dyn ReadTables, at: Moment, command: Vec<Vec<u8>>) -> Result<Vec<u8>> {
        let (found, args) = self.find(command)?;
        match found.run {
            Run::Read(run) => run(&View::new(tables, at), args),
            Run::Write(_) => Err(Error::new(format!("ERR '{}' writes and can't run as a query", found.name))),
        }
    }

    /// The command of that name, in capitals or not.
    pub fn command(&self, name: &[u8]) -> Option<&Command> {
        let code = name_code(name);
        self.commands.iter().find(|command| command.code == code && command.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// The command, and its arguments if their number is right.
    fn find(&self, command: Vec<Vec<u8>>) -> Result<(&Command, Args)> {
        let Some(found) = command.first().and_then(|name| self.command(name)) else {
            return Err(Error::unknown_command(&command));
        };
        let given = command.len() - 1;
        let too_many = found.shape.max.is_some_and(|max| given > max as usize);
        if given < found.shape.min as usize || too_many {
            return Err(Error::wrong_count(found.name));
        }
        let mut words = command.into_iter();
        words.next();
        Ok((found, Args::new(found.name, words)))
    }
}

impl Command {
    /// Whether it goes through the log.
    pub const fn writes(&self) -> bool {
        matches!(self.run, Run::Write(_))
    }
}

/// The first eight letters of a name, in capitals, as a number.
pub const fn name_code(name: &[u8]) -> u64 {
    let mut code = 0;
    let mut at = 0;
    while at < name.len() && at < 8 {
        code = code << 8 | name[at].to_ascii_uppercase() as u64;
        at += 1;
    }
    code
}

const fn is_engine_name(name: &str) -> bool {
    let name = name.as_bytes();
    let mut at = 0;
    while at < name.len() {
        if !matches!(name[at], b'a'..=b'z' | b'0'..=b'9' | b'-') {
            return false;
        }
        at += 1;
    }
    !name.is_empty() && name.len() <= NAME_BYTES_MAX
}

const fn is_same_name(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}
