//! What the log asks of a disk: one flat folder of fixed-size files. Two homes: [`crate::FileDisk`] and [`crate::MemDisk`].
//!
//! The contract that recovery is built on, and that the in-memory disk attacks as far as it goes: a write is durable only
//! after its file's `sync`, before that any part of it may be there after a crash; a name made, changed or removed
//! is durable only after `sync_folder`, before that each single change may or may not be there. A failed call may have
//! done any part of its work.

use std::io;

/// A folder of log files. Answers [`io::ErrorKind::StorageFull`] when there is no room.
pub trait Disk: Send {
    /// Takes the folder for this value alone, making it if need be; [`io::ErrorKind::WouldBlock`] if someone else has it.
    /// Freed when the value is dropped or its process ends.
    fn lock(&mut self) -> io::Result<()>;

    /// The names of all files, in any order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file of exactly `bytes` zeros with their room on the disk reserved. One of that name is replaced.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file that is there.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name. Files already open stay open.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all names durable.
    fn sync_folder(&self) -> io::Result<()>;

    /// Where this folder is, for a person who reads an error.
    fn path(&self) -> String;
}

/// One open file.
pub trait DiskFile: Send {
    /// Its size in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Fills the whole of `into` from `offset`; an error if the file ends before.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes the whole of `bytes` at `offset`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes everything written so far durable, with what is needed to read it back.
    fn sync(&self) -> io::Result<()>;

    /// What is read next should come from the disk itself. A wish, for those who look for bytes that the disk has lost.
    fn forget_cached(&self) {}
}
