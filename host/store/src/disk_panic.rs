//! Panics of the library on damaged files, made errors without a word on stderr.

use std::{
    any::Any,
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

thread_local! {
    /// Whether this thread's panics are caught and told as errors.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`; a panic in it becomes what it said. The process's hook is wrapped once, by one that is silent only for a thread that
/// is in here: what other threads say is not touched. Who sets another hook later gets the noise back, nothing worse.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let former = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CATCHING.get() {
                former(info);
            }
        }));
    });
    CATCHING.set(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(false);
    done.map_err(|payload| said(&*payload))
}

/// The first line of a panic's message; more is for who debugs the library.
fn said(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
    text.and_then(|text| text.lines().next()).unwrap_or("without a word").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_first_line_and_the_next_one_is_heard_again() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught(|| panic!("first {}\nsecond", 1)), Err::<(), _>("first 1".to_owned()));
        assert!(!CATCHING.get());
    }
}
