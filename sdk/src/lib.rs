//! The guest SDK: write a storage engine for Outboard as typed functions, test it natively, build it as a component.
//!
//! An engine is commands over tables that the host keeps. Each command runs in its own transaction, on every node the
//! same; an `Err` leaves nothing behind. This is a whole engine:
//!
//! ```
//! use outboard_sdk::{Key, Result, Store, Table, View, command};
//!
//! outboard_sdk::engine! { name: "visits", version: "0.1.0", schema: 1, commands: [visit, visits] }
//!
//! const TOTALS: Table<i64> = Table::new(0);
//!
//! /// VISIT page -- counts a visit and returns the new total.
//! #[command(write)]
//! fn visit(store: &mut Store, page: Key) -> Result<i64> {
//!     let total = TOTALS.get(store, &page)?.unwrap_or(0) + 1;
//!     TOTALS.put(store, &page, &total);
//!     Ok(total)
//! }
//!
//! /// VISITS page -- the total so far, or nil.
//! #[command(read)]
//! fn visits(store: &View, page: Key) -> Result<Option<i64>> {
//!     TOTALS.get(store, &page)
//! }
//! # fn main() {
//! // In a test it runs natively, against tables in memory:
//! let mut bench = outboard_sdk::testing::Bench::new(&ENGINE);
//! assert_eq!(bench.run("VISITS index.html"), "(nil)");
//! assert_eq!(bench.run("VISIT index.html"), "(integer) 1");
//! assert_eq!(bench.run("VISIT"), "(error) ERR wrong number of arguments for 'visit' command");
//! # }
//! ```
//!
//! Its crate needs `[lib] crate-type = ["cdylib", "rlib"]` and this crate as its dependency.
//!
//! - Parameters: [`args`]. Replies: [`reply`]. Time, chance and tables: [`Store`] and [`View`]. Tests: [`testing`].
//! - A read can't write, by its types:
//!
//! ```compile_fail
//! # use outboard_sdk::{Key, Result, View, command};
//! /// VISITS page -- reads, or so it says.
//! #[command(read)]
//! fn visits(store: &View, page: Key) -> Result<()> {
//!     store.put(0, &page, b"1");
//!     Ok(())
//! }
//! ```
//!
//! # Same on every node
//!
//! What a command does must depend on nothing but its arguments, the tables and the moment. The sandbox has no clock and no
//! randomness to offer; one trap is left: std's `HashMap` seeds itself by an address and walks in an order that differs
//! from node to node. Use [`Map`] and [`Set`]. An engine that keeps anything in its own memory between commands says
//! `caches: true`, fills it in `open`, and must answer as if it had just started.

// The generated bindings pass pointers over the border: the one place with unsafe code, and none of it is written by hand.
#[allow(unsafe_code, missing_docs, unreachable_pub, clippy::all)]
#[doc(hidden)]
pub mod bindings;

pub mod args;
#[doc(hidden)]
pub mod engine;
pub mod error;
pub mod glob;
#[doc(hidden)]
pub mod guest;
mod hash;
pub mod log;
// An allocator can't be written without unsafe code; what it is worth stands in its header.
#[cfg(any(target_family = "wasm", test))]
#[allow(unsafe_code)]
mod memory;
pub mod random;
pub mod reply;
mod shape;
pub mod store;
pub mod table;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use args::{Args, FromArgs, Key, Many, Value};
pub use engine::{Command, Engine, IsCommand, Record, Run};
pub use error::{Error, Result};
pub use hash::stable_hash;
pub use random::Random;
pub use reply::{Reply, Status};
pub use shape::{KeyPositions, Shape};
pub use store::{Moment, Pair, Read, ReadTables, Store, Tables, View};
pub use table::{Packed, Table};

/// Makes a function a command: `#[command(write)]` or `#[command(read)]`, optionally with another name than the function's
/// (`#[command(read, name = "TYPE")]`). The first paragraph of its doc comment is the help that users read.
pub use outboard_sdk_macros::command;

/// Makes the crate an engine. `name`, `version`, `schema` and `commands` are needed; `reads_schemas: [1]` names older layouts
/// that it takes over as they are, `migrate: function` turns records of an older layout into its own, `caches: true` and
/// `open: function` belong to engines that keep something in their own memory. It leaves a static `ENGINE` for tests.
pub use outboard_sdk_macros::engine;

/// A map that walks in the order of its keys, hence the same on every node.
pub type Map<K, V> = std::collections::BTreeMap<K, V>;

/// A set that walks in its order, hence the same on every node.
pub type Set<T> = std::collections::BTreeSet<T>;
