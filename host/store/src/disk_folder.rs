//! The folder of a [`crate::DiskStore`]: databases under numbers. FORMAT.md is its book.
//!
//! A database is made as `N.new` and gets its number by a rename when it is complete and durable; from then on it counts, and the
//! highest number is the store. Whatever else is there when the folder is opened is left over from a crash and is removed.
//!
//! Why not two keyspaces of one database, with a pointer: after a restart the library numbers its changes from those it finds in the
//! data, forgetting the numbers that its own directory of keyspaces used. A keyspace that was made after another one was dropped could
//! so be taken for the dropped one at the next start, and be deleted (`disk_tests.rs` found it).

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    StoreError,
    disk_error::sorted_io,
    disk_tables::{Opened, Options, Tables},
};

/// Ends the name of a database in the making.
const UNFINISHED: &str = ".new";

/// Where it is tried whether the disk takes a file. Named like a database that is never finished, so that what a crash leaves of it goes
/// the same way.
pub(crate) const PROBE: &str = "0.new";

/// Opens the folder, after making it when it holds nothing.
pub(crate) fn open(folder: &Path, options: &Options) -> Result<Opened, StoreError> {
    let found = Found::in_folder(folder)?;
    let number = match found.numbers.iter().max() {
        Some(number) => *number,
        None => {
            let making = Making::start(folder, 1, options)?;
            making.finish(0)?.switch()?
        }
    };
    let opened = open_number(folder, number, options)?;
    // Only now that the lock is held: the rest might be another process's install.
    found.remove_all_but(folder, number)?;
    Ok(opened)
}

/// Opens a database that counts.
pub(crate) fn open_number(folder: &Path, number: u64, options: &Options) -> Result<Opened, StoreError> {
    let tables = Tables::open(&folder.join(number.to_string()), number, options)?;
    let applied = tables.applied()?;
    Ok(Opened { tables: Arc::new(tables), applied })
}

/// A database in the making, open. Dropped before it is finished, it is removed.
pub(crate) struct Making {
    tables: Tables,
    unfinished: PathBuf,
    folder: PathBuf,
}

impl Making {
    /// An empty database that will have this number.
    pub(crate) fn start(folder: &Path, number: u64, options: &Options) -> Result<Making, StoreError> {
        let unfinished = folder.join(format!("{number}{UNFINISHED}"));
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(making_failed(error)),
            Ok(()) | Err(_) => {}
        }
        fs::create_dir_all(&unfinished).map_err(making_failed)?;
        let tables = Tables::open(&unfinished, number, options)?;
        tables.doom();
        Ok(Making { tables, unfinished, folder: folder.to_owned() })
    }

    /// Writes records in the order of their encoded keys, past the journal and the write buffers.
    pub(crate) fn fill(
        &self,
        records: &mut dyn Iterator<Item = Result<(Bytes, Bytes), StoreError>>,
    ) -> Result<(), StoreError> {
        let failed = |error| self.tables.sorted("writing a snapshot", error);
        let mut ingestion = self.tables.keyspace().start_ingestion().map_err(failed)?;
        for record in records {
            let (encoded, value) = record?;
            ingestion.write(encoded, value).map_err(failed)?;
        }
        ingestion.finish().map_err(failed)
    }

    /// Completes the database, makes it durable and closes it.
    pub(crate) fn finish(self, applied: u64) -> Result<Made, StoreError> {
        self.tables.write_applied(applied).map_err(|error| self.tables.sorted("finishing the tables", error))?;
        let number = self.tables.number();
        self.tables.spare();
        Ok(Made { number, unfinished: self.unfinished, folder: self.folder })
    }
}

/// A complete database that does not count yet.
pub(crate) struct Made {
    number: u64,
    unfinished: PathBuf,
    folder: PathBuf,
}

impl Made {
    /// Makes it count, durably; returns its number.
    pub(crate) fn switch(self) -> Result<u64, StoreError> {
        fs::rename(&self.unfinished, self.folder.join(self.number.to_string())).map_err(making_failed)?;
        sync(&self.folder)?;
        if self.number == 1 {
            // The folder itself may be new.
            sync(self.folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
        }
        Ok(self.number)
    }
}

/// What a folder holds.
#[derive(Default)]
struct Found {
    numbers: Vec<u64>,
    unfinished: Vec<PathBuf>,
}

impl Found {
    fn in_folder(folder: &Path) -> Result<Found, StoreError> {
        let failed = |error| sorted_io("reading the folder of the tables", error);
        let not_a_store = |what| StoreError::NotAStore { path: folder.into(), what };
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::default()),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(not_a_store("it is a file".into()));
            }
            Err(error) => return Err(failed(error)),
        };
        let mut found = Found::default();
        for entry in entries {
            let name = entry.map_err(failed)?.file_name();
            let known = name.to_str().and_then(|name| match name.strip_suffix(UNFINISHED) {
                Some(number) => parse_number(number).map(|_| found.unfinished.push(folder.join(name))),
                None => parse_number(name).map(|number| found.numbers.push(number)),
            });
            known.ok_or_else(|| not_a_store(format!("it holds {name:?}")))?;
        }
        Ok(found)
    }

    fn remove_all_but(self, folder: &Path, kept: u64) -> Result<(), StoreError> {
        let replaced = self.numbers.into_iter().filter(|number| *number != kept);
        let replaced = replaced.map(|number| folder.join(number.to_string()));
        for leftover in replaced.chain(self.unfinished) {
            match fs::remove_dir_all(leftover) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(sorted_io("removing left-over tables", error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }
}

/// A number as this file writes it, nothing else that reads as one.
fn parse_number(name: &str) -> Option<u64> {
    name.parse().ok().filter(|number: &u64| number.to_string() == name)
}

fn sync(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(making_failed)
}

fn making_failed(error: io::Error) -> StoreError {
    sorted_io("making the folder of the tables", error)
}
