//! The library's errors, sorted by the next duty.

use std::io;

use crate::StoreError;

/// What an error of the library means.
pub(crate) fn sorted(doing: &'static str, error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => sorted_io(doing, error),
        fjall::Error::Poisoned => StoreError::Halted { cause: format!("{doing}: the library could not write") },
        fjall::Error::Storage(error) => corrupt(doing, &error),
        fjall::Error::JournalRecovery(error) => corrupt(doing, &error),
        error @ (fjall::Error::InvalidVersion(_)
        | fjall::Error::Decompress(_)
        | fjall::Error::InvalidTrailer
        | fjall::Error::InvalidTag(_)
        | fjall::Error::KeyspaceDeleted
        | fjall::Error::Locked
        | fjall::Error::Unrecoverable
        | _) => corrupt(doing, &error),
    }
}

/// What an error of the system means.
pub(crate) fn sorted_io(doing: &'static str, source: io::Error) -> StoreError {
    let kind = source.kind();
    if matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        StoreError::Full { doing, source }
    } else if matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) {
        corrupt(doing, &source)
    } else {
        StoreError::Io { doing, source }
    }
}

fn corrupt(doing: &'static str, error: &dyn std::fmt::Debug) -> StoreError {
    StoreError::Corrupt { what: format!("{doing}: {error:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_are_told_apart_by_what_is_to_be_done() {
        let sorted = |kind: io::ErrorKind| sorted("test", fjall::Error::Io(kind.into()));
        assert!(matches!(sorted(io::ErrorKind::StorageFull), StoreError::Full { .. }));
        assert!(matches!(sorted(io::ErrorKind::QuotaExceeded), StoreError::Full { .. }));
        assert!(matches!(sorted(io::ErrorKind::PermissionDenied), StoreError::Io { .. }));
        assert!(matches!(sorted(io::ErrorKind::UnexpectedEof), StoreError::Corrupt { .. }));
    }

    #[test]
    fn a_full_disk_is_told_from_the_tree_under_the_library_too() {
        let error = fjall::Error::Storage(fjall::LsmError::Io(io::ErrorKind::StorageFull.into()));
        assert!(matches!(sorted("test", error), StoreError::Full { .. }));
        let error = fjall::Error::Storage(fjall::LsmError::Unrecoverable);
        assert!(matches!(sorted("test", error), StoreError::Corrupt { .. }));
    }
}
