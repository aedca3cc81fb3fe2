//! A folder of real files.
//!
//! A new file gets its blocks by `fallocate`, so that a full disk is noticed here and not in the middle of an append, and
//! so that no later sync has to write a new file size. Tests: `tests/files.rs`.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::disk::{Disk, DiskFile};

/// The file that carries the lock. It is never removed: removing it would let two processes lock two different files.
const LOCK_FILE: &str = "lock";

/// A folder on a file system.
#[derive(Debug)]
pub struct FileDisk {
    folder: PathBuf,
    lock: Option<File>,
}

impl FileDisk {
    /// The log in this folder, which is made on [`Disk::lock`] if it isn't there.
    pub fn new(folder: impl Into<PathBuf>) -> FileDisk {
        FileDisk { folder: folder.into(), lock: None }
    }
}

impl Disk for FileDisk {
    fn lock(&mut self) -> io::Result<()> {
        if !self.folder.is_dir() {
            fs::create_dir_all(&self.folder)?;
            // The log is only as durable as the way to it.
            let parent = self.folder.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        let path = self.folder.join(LOCK_FILE);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
            TryLockError::Error(error) => error,
        })?;
        self.lock = Some(file);
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            // A name that is not Unicode is none of ours.
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>> {
        let path = self.folder.join(name);
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path)?;
        if let Err(error) = reserve(&file, bytes) {
            // Leave the room that is left to others; the error that counts is the first one.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Box::new(PlainFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.folder.join(name))?;
        Ok(Box::new(PlainFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.folder.join(name))
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn path(&self) -> String {
        self.folder.display().to_string()
    }
}

/// Blocks for the whole file now. A file system that can't reserve gets zeros written, which comes to the same.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => write_zeros(file, bytes),
        other => Ok(other?),
    }
}

fn write_zeros(file: &File, bytes: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < bytes {
        let piece = zeros.len().min(usize::try_from(bytes - offset).unwrap_or(usize::MAX));
        file.write_all_at(&zeros[..piece], offset)?;
        offset += piece as u64;
    }
    Ok(())
}

struct PlainFile(File);

impl DiskFile for PlainFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(into, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn forget_cached(&self) {
        // A file system that can't is no worse off than before.
        rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::DontNeed).unwrap_or_default();
    }
}
