//! An engine on the bench: run natively, against tables in memory, with a clock that the test moves.
//!
//! ```
//! # use outboard_sdk::{Key, Value, Result, Store, View, command};
//! # outboard_sdk::engine! { name: "box", version: "0.1.0", schema: 1, commands: [set, get] }
//! # /// SET key value -- stores.
//! # #[command(write)]
//! # fn set(store: &mut Store, key: Key, value: Value) -> Result<()> { store.put(0, &key, &value); Ok(()) }
//! # /// GET key -- reads.
//! # #[command(read)]
//! # fn get(store: &View, key: Key) -> Result<Option<Vec<u8>>> { Ok(store.get(0, &key)) }
//! # fn main() {
//! use outboard_sdk::testing::{Bench, script};
//!
//! let mut bench = Bench::new(&ENGINE);
//! assert_eq!(bench.call(&["SET", "name", "Ana Maria"]), Ok(b"+OK\r\n".to_vec()));
//! bench.advance_ms(500);
//! assert_eq!(bench.run("GET name"), r#""Ana Maria""#);
//!
//! // The same as a story: commands, and after the arrow what they answer.
//! script(&ENGINE, r#"
//!     SET name "Ana Maria" => OK
//!     GET name             => "Ana Maria"
//!     GET nobody           => (nil)
//!     GET                  => (error) ERR wrong number of arguments for 'get' command
//! "#);
//! # }
//! ```
//!
//! The tables keep the host's limits by panicking where the host would trap.

mod memory;
mod notation;

pub use memory::MemoryTables;
pub use notation::{show, words};

use crate::engine::Engine;
use crate::random::Random;
use crate::store::Moment;

/// One engine, its tables, and the moment.
pub struct Bench {
    engine: &'static Engine,
    tables: MemoryTables,
    moment: Moment,
}

/// Where a bench's clock starts: a round number that is neither zero nor near any limit.
const START_MS: u64 = 1_700_000_000_000;

impl Bench {
    /// An engine over empty tables.
    pub fn new(engine: &'static Engine) -> Bench {
        let moment = Moment { index: 0, time_ms: START_MS, seed: 0 };
        Bench { engine, tables: MemoryTables::default(), moment }
    }

    /// Runs one command and returns its reply in RESP3 notation, or the error's text. What a rejected command wrote is
    /// forgotten. Only a command that writes moves the log's index.
    pub fn call(&mut self, command: &[impl AsRef<[u8]>]) -> Result<Vec<u8>, String> {
        self.call_owned(command.iter().map(|word| word.as_ref().to_vec()).collect())
    }

    /// As [`Bench::call`], without a copy of the words: for measuring.
    pub fn call_owned(&mut self, command: Vec<Vec<u8>>) -> Result<Vec<u8>, String> {
        let known = command.first().and_then(|name| self.engine.command(name));
        if !known.is_some_and(|command| command.writes()) {
            let result = self.engine.query(&self.tables, self.moment, command);
            return result.map_err(crate::Error::into_text);
        }
        self.moment.index += 1;
        self.moment.seed = Random::new(self.moment.index).next_u64();
        let result = self.engine.apply(&mut self.tables, self.moment, command);
        match &result {
            Ok(_) => self.tables.keep(),
            Err(_) => self.tables.discard(),
        }
        result.map_err(crate::Error::into_text)
    }

    /// Runs one line, its words split as `redis-cli` splits them, and shows the reply as `redis-cli` shows it.
    pub fn run(&mut self, line: &str) -> String {
        match self.call(&words(line)) {
            Ok(reply) => show(&reply),
            Err(text) => format!("(error) {text}"),
        }
    }

    /// Lets stamped time pass.
    pub fn advance_ms(&mut self, by: u64) {
        self.moment.time_ms += by;
    }

    /// The stamped time.
    pub fn now_ms(&self) -> u64 {
        self.moment.time_ms
    }

    /// Another engine takes over the tables, as in a live upgrade.
    pub fn upgrade(&mut self, engine: &'static Engine) {
        let reads = engine.schema == self.engine.schema || engine.reads_schemas.contains(&self.engine.schema);
        assert!(reads, "{} does not read schema {}", engine.name, self.engine.schema);
        self.engine = engine;
    }

    /// The tables, to look into.
    pub fn tables(&self) -> &MemoryTables {
        &self.tables
    }
}

/// Plays a story: each line a command, `=>` and the reply as [`Bench::run`] shows it. A reply of several lines follows
/// on lines of its own, each behind `|`. `# …` is a remark, `.wait 500` lets so many milliseconds pass.
///
/// Panics at the first line that goes otherwise. Returns the bench for further looks.
pub fn script(engine: &'static Engine, story: &str) -> Bench {
    let mut bench = Bench::new(engine);
    play(&mut bench, story);
    bench
}

/// As [`script`], on a bench that has a past.
pub fn play(bench: &mut Bench, story: &str) {
    let mut lines = story.lines().enumerate().map(|(at, line)| (at + 1, line.trim())).peekable();
    while let Some((at, line)) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(time) = line.strip_prefix(".wait ") {
            bench.advance_ms(time.trim().parse().expect("a number of milliseconds"));
            continue;
        }
        let (command, reply) = line.split_once("=>").unwrap_or_else(|| panic!("line {at} has no =>: {line}"));
        let mut expected = reply.trim().to_owned();
        while let Some((_, more)) = lines.next_if(|(_, line)| line.starts_with('|')) {
            expected.push_str(if expected.is_empty() { "" } else { "\n" });
            expected.push_str(more[1..].trim());
        }
        let answered = bench.run(command.trim());
        let answered = answered.lines().map(str::trim).collect::<Vec<_>>().join("\n");
        assert!(answered == expected, "line {at}: {}\n  expected {expected}\n  answered {answered}", command.trim());
    }
}
