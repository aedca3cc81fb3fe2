//! The library's errors, sorted by the next duty and put into words for people.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    sync::Mutex,
};

use fjall::LsmError;

use crate::{StoreError, disk_folder, disk_tables};

/// What an error of the library on the database in `folder` means. The library does not say which file it was reading.
pub(crate) fn sorted(folder: &Path, doing: &'static str, error: fjall::Error) -> StoreError {
    let what = match error {
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error)) => match damage(&error) {
            Some(what) => what,
            None => return sorted_io(doing, error),
        },
        fjall::Error::Poisoned => return worker_failed(folder, doing),
        fjall::Error::Storage(error) => of_tree(&error),
        fjall::Error::JournalRecovery(error) => format!("a journal (*.jnl) can't be read: {error:?}"),
        fjall::Error::Decompress(_) => "a record can't be decompressed".into(),
        fjall::Error::InvalidTrailer => "a batch of a journal (*.jnl) has no end".into(),
        fjall::Error::InvalidTag((name, tag)) => format!("byte {tag:#04x} is no {name}"),
        fjall::Error::Unrecoverable => "a file is missing or unreadable".into(),
        error @ (fjall::Error::InvalidVersion(_) | fjall::Error::KeyspaceDeleted | fjall::Error::Locked | _) => {
            format!("the library says {error:?}")
        }
    };
    corrupt(folder, doing, &what)
}

/// What an error of the system means.
pub(crate) fn sorted_io(doing: &'static str, source: io::Error) -> StoreError {
    if is_full(&source) {
        return StoreError::Full { doing, source };
    }
    match damage(&source) {
        Some(what) => StoreError::Corrupt { what: format!("{doing}: {what}") },
        None => StoreError::Io { doing, source },
    }
}

/// Damage in the database in `folder`.
pub(crate) fn corrupt(folder: &Path, doing: &str, what: &str) -> StoreError {
    StoreError::Corrupt { what: format!("{doing} in {}: {what}", folder.display()) }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Bytes that are not there or make no sense come as errors of the system too.
fn damage(error: &io::Error) -> Option<String> {
    let kind = error.kind();
    if kind == io::ErrorKind::UnexpectedEof {
        Some("a file ends too early".into())
    } else if kind == io::ErrorKind::InvalidData {
        Some(format!("a file makes no sense: {error}"))
    } else {
        None
    }
}

fn of_tree(error: &LsmError) -> String {
    match error {
        LsmError::ChecksumMismatch { .. } => "a block's bytes don't match its checksum".into(),
        LsmError::Decompress(_) => "a block can't be decompressed".into(),
        LsmError::InvalidVersion(version) => format!("a file has the unknown format {version}"),
        LsmError::Unrecoverable => "a file is missing or unreadable".into(),
        LsmError::InvalidTag((name, tag)) => format!("byte {tag:#04x} is no {name}"),
        LsmError::InvalidTrailer => "a block has no end".into(),
        LsmError::InvalidHeader(name) => format!("the header of a {name} makes no sense"),
        LsmError::Utf8(_) => "a name is no text".into(),
        error @ (LsmError::Io(_) | _) => format!("the library says {error:?}"),
    }
}

/// A worker of the library has failed before, and the library keeps the cause to itself. The disk knows it still: what fails
/// there is tried again with as many bytes as a worker writes into one file.
fn worker_failed(folder: &Path, doing: &'static str) -> StoreError {
    match folder.parent().map_or(Ok(()), probe) {
        Ok(()) => {
            let cause =
                format!("{doing} in {}: a write behind the commits failed; the log above tells why", folder.display());
            StoreError::Halted { cause, full: false }
        }
        Err(source) => sorted_io(doing, source),
    }
}

/// Writes a file and removes it.
fn probe(folder: &Path) -> io::Result<()> {
    // Two at a time would remove each other's.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(|turn| turn.into_inner());
    let folder = folder.join(disk_folder::PROBE);
    let written = write_probe(&folder);
    // What stays behind is removed when the store is opened the next time.
    let _ = fs::remove_dir_all(&folder);
    written
}

fn write_probe(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = File::create(folder.join("probe"))?;
    let chunk = vec![1; 1 << 20];
    for _ in 0..disk_tables::FILE_BYTES >> 20 {
        file.write_all(&chunk)?;
    }
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: fjall::Error) -> StoreError {
        sorted(Path::new("tables/1"), "test", error)
    }

    #[test]
    fn errors_of_the_system_are_told_apart_by_what_is_to_be_done() {
        let sorted = |kind: io::ErrorKind| of(fjall::Error::Io(kind.into()));
        assert!(matches!(sorted(io::ErrorKind::StorageFull), StoreError::Full { .. }));
        assert!(matches!(sorted(io::ErrorKind::QuotaExceeded), StoreError::Full { .. }));
        assert!(matches!(sorted(io::ErrorKind::PermissionDenied), StoreError::Io { .. }));
        assert!(matches!(sorted(io::ErrorKind::UnexpectedEof), StoreError::Corrupt { .. }));
    }

    #[test]
    fn a_full_disk_is_told_from_the_tree_under_the_library_too() {
        let error = of(fjall::Error::Storage(LsmError::Io(io::ErrorKind::StorageFull.into())));
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
    }

    #[test]
    fn damage_names_the_folder_in_words() {
        let error = of(fjall::Error::Storage(LsmError::InvalidTag(("BlockType", 9))));
        assert_eq!(error.to_string(), "the tables are damaged: test in tables/1: byte 0x09 is no BlockType");
        let error = of(fjall::Error::Io(io::ErrorKind::UnexpectedEof.into()));
        assert_eq!(error.to_string(), "the tables are damaged: test in tables/1: a file ends too early");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_worker_that_failed_on_a_full_disk_is_told_as_such() {
        let folder = tempfile::tempdir().expect("a folder");
        let probe = folder.path().join(disk_folder::PROBE);
        fs::create_dir(&probe).expect("writable");
        // Whatever is written there finds no room.
        std::os::unix::fs::symlink("/dev/full", probe.join("probe")).expect("writable");
        let error = sorted(&folder.path().join("1"), "test", fjall::Error::Poisoned);
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
        assert!(error.to_string().contains("No space left"), "{error}");
        assert!(!probe.exists());
    }

    #[test]
    fn a_worker_that_failed_where_the_disk_is_well_leaves_the_cause_to_the_log_and_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = sorted(&folder.path().join("1"), "test", fjall::Error::Poisoned);
        assert!(matches!(error, StoreError::Halted { full: false, .. }), "{error}");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}
