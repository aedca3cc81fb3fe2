//! What can go wrong with a store, sorted by what its owner does next.

use std::{io, path::PathBuf};

/// Everything but [`StoreError::KeyTooLong`] and [`StoreError::Snapshot`] is this node's trouble and no command's outcome.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the folder open. Duty: stop, name the folder.
    #[error("the tables in {} are in use by another process", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds something else. Duty: stop, touch nothing.
    #[error("{} does not hold Outboard's tables: {what}", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
        /// What tells so.
        what: String,
    },
    /// The tables were written by a version whose format this one doesn't know. Duty: stop, start the other version.
    #[error("the tables have format {found}, this version knows {known}")]
    Format {
        /// What the folder says.
        found: String,
        /// What this version writes.
        known: String,
    },
    /// Bytes on the disk are not those that were written. Duty: don't serve from here; take the data from the peers.
    #[error("the tables are damaged: {what}")]
    Corrupt {
        /// Where and how.
        what: String,
    },
    /// No room on the disk; after a commit the store is halted. Duty: stop; after room is made a restart goes on from the log.
    #[error("the disk is full: {doing}: {source}")]
    Full {
        /// What was tried.
        doing: &'static str,
        /// The system's word.
        source: io::Error,
    },
    /// The disk or the folder refuses; after a write the store is halted. Duty: stop.
    #[error("{doing}: {source}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The system's word.
        source: io::Error,
    },
    /// An earlier write failed; nothing is written any more, for what the disk holds is uncertain. Duty: stop, start anew.
    #[error("the tables are halted after an earlier failure: {cause}")]
    Halted {
        /// The first failure.
        cause: String,
        /// Whether that was a full disk.
        full: bool,
    },
    /// The key cannot be stored. The same on every node, as it depends on the key alone.
    #[error("a key of {bytes} bytes is longer than {max}", max = crate::KEY_BYTES_MAX)]
    KeyTooLong {
        /// The key's length.
        bytes: usize,
    },
    /// The records handed to [`crate::Store::install`] are unusable; nothing was changed. Duty: fetch the snapshot again.
    #[error("the incoming snapshot is unusable: {what}")]
    Snapshot {
        /// Why.
        what: String,
    },
}
