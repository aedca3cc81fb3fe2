//! Hints on stderr: what was done beside the data, and what to type next. `--quiet` silences them.

use std::sync::atomic::{AtomicBool, Ordering};

static QUIET: AtomicBool = AtomicBool::new(false);

/// Once, when the command line is known.
pub(crate) fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// As `eprintln!`, unless the user wants to hear of errors only.
macro_rules! hint {
    ($($text:tt)*) => {
        if !crate::hint::is_quiet() {
            eprintln!($($text)*)
        }
    };
}
pub(crate) use hint;
