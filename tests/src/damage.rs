//! What a disk or a crash does to the log of a node that does not run. The bytes are described in host/wal/FORMAT.md; here
//! only that a segment is zeros behind its last batch is relied upon.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Batches begin at multiples of this.
const ALIGN: u64 = 8;

/// The first segment of a node's log.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    /// Behind its last byte that is not zero.
    end: u64,
}

impl Log {
    /// Looks into the log of the node whose data folder this is.
    pub fn of(data_dir: &Path) -> Log {
        let path = data_dir.join("log").join("00000001.wal");
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let end = bytes.iter().rposition(|byte| *byte != 0).expect("a log is not empty") as u64 + 1;
        Log { path, end }
    }

    /// The name of the damaged file.
    pub fn file_name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).expect("it was named here")
    }

    /// Flips one bit right in the middle of what is written.
    pub fn flip_a_bit_in_the_middle(&self) {
        let file = OpenOptions::new().read(true).write(true).open(&self.path).expect("a log can be opened");
        let mut byte = [0];
        file.read_exact_at(&mut byte, self.end / 2).expect("the middle can be read");
        byte[0] ^= 0x10;
        file.write_all_at(&byte, self.end / 2).expect("the middle can be written");
    }

    /// Leaves behind the last batch what a batch looks like whose write a crash cut short.
    pub fn leave_a_torn_tail(&self) {
        let file = OpenOptions::new().read(true).write(true).open(&self.path).expect("a log can be opened");
        // The head of a segment's first batch, then nothing of what it announces.
        let mut head = [0; 160];
        file.read_exact_at(&mut head, 64).expect("a log has a batch");
        file.write_all_at(&head, self.end.next_multiple_of(ALIGN)).expect("the tail can be written");
    }
}
