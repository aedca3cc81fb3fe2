//! Lines for the node's log. They are cut at 4 KiB and limited in number per command, and never part of the state.

#[cfg(target_family = "wasm")]
use crate::bindings::outboard::engine::log as host;

/// How much a line matters.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug)]
pub enum Level {
    /// For whoever debugs this engine.
    Trace,
    /// For whoever looks closely.
    Debug,
    /// For the operator.
    Info,
    /// Something is odd.
    Warn,
    /// Something is broken.
    Error,
}

/// Writes one line. In native tests it goes to stderr, where the test harness keeps it.
pub fn write(level: Level, message: &str) {
    #[cfg(target_family = "wasm")]
    {
        let level = match level {
            Level::Trace => host::Level::Trace,
            Level::Debug => host::Level::Debug,
            Level::Info => host::Level::Info,
            Level::Warn => host::Level::Warn,
            Level::Error => host::Level::Error,
        };
        host::write(level, message);
    }
    #[cfg(not(target_family = "wasm"))]
    {
        #![allow(clippy::print_stderr)]
        eprintln!("{level:?}: {message}");
    }
}

/// For the operator.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Something is odd.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Something is broken.
pub fn error(message: &str) {
    write(Level::Error, message);
}
