//! What can go wrong with the log, sorted by what its owner has to do next.
//!
//! Everything but [`WalError::NotInLog`] ends the life of this [`crate::Wal`] value: the node stops acknowledging at once.

use std::io;

use outboard_raft::{Index, Position};

/// Why the log did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// Another process (or another `Wal` of this one) holds the folder. Nothing was touched.
    #[error("the log in {path} is in use by another process")]
    Locked {
        /// The folder.
        path: String,
    },
    /// The folder holds the log of another cluster. Nothing was touched.
    #[error("{file} belongs to cluster {found:032x}, not to {expected:032x}")]
    OtherCluster {
        /// The first file that says so.
        file: String,
        /// The cluster that the file names.
        found: u128,
        /// The cluster that this log was opened for.
        expected: u128,
    },
    /// The folder was written by a version of the format that this program doesn't know. Nothing was touched.
    #[error("{file} has log format {found}, this program knows {known}")]
    Version {
        /// The first file that says so.
        file: String,
        /// Its format number.
        found: u32,
        /// The format number of this program.
        known: u32,
    },
    /// Bytes that had been durable are damaged or gone: this node must not vote its way out of it, its peers have the data.
    #[error("the log is damaged: {file} at byte {offset}: {what}")]
    Corrupt {
        /// The damaged or missing file, with its folder.
        file: String,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// No room on the disk. The log is halted; what was synced is safe. Blocks are reserved when a segment is made, so this comes then.
    #[error("the disk is full: cannot {doing} {file}")]
    Full {
        /// What was tried, as a verb.
        doing: &'static str,
        /// The file that there is no room for.
        file: String,
    },
    /// The disk refused. The log is halted, nothing is retried: a second sync may lie about what the first one lost.
    #[error("cannot {doing} {file}: {source}")]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On which file or folder.
        file: String,
        /// The system's answer.
        source: io::Error,
    },
    /// A caller asked for an entry that was compacted away or never was there. The log goes on.
    #[error("entry {index} is not in the log, which holds those after {base} up to {last}")]
    NotInLog {
        /// The entry asked for.
        index: Index,
        /// The last position compacted away.
        base: Position,
        /// The last position held.
        last: Position,
    },
    /// An earlier call failed; see its error.
    #[error("the log is halted since an earlier error")]
    Halted,
}

impl WalError {
    pub(crate) fn corrupt(file: String, offset: u64, what: impl Into<String>) -> WalError {
        WalError::Corrupt { file, offset, what: what.into() }
    }
}

/// Turns the system's answer into ours: which file, and what was tried.
pub(crate) trait Doing<T> {
    fn doing(self, doing: &'static str, file: &str) -> Result<T, WalError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str, file: &str) -> Result<T, WalError> {
        self.map_err(|source| {
            let file = file.to_owned();
            let full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            if full { WalError::Full { doing, file } } else { WalError::Io { doing, file, source } }
        })
    }
}
