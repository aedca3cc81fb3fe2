//! The note that data was lost here: kept in the log's folder from before the damaged log is given up until the node has again
//! all that it may have promised, and beyond, so that no two losses get the same number.
//!
//! Never half there: written beside, synced, renamed. Its bytes stand in `FORMAT.md`. Tests: here and `tests/mending.rs`.

use outboard_raft::{Index, Position, Term};

use crate::disk::Disk;
use crate::error::{Doing, WalError};
use crate::record;
use crate::segment::shown;

/// The note's name in the log's folder.
const NAME: &str = "loss";
/// On its way; recovery removes what has this ending.
const FRESH: &str = "loss.new";
const MAGIC: [u8; 8] = *b"OUTBLOSS";
const BYTES: usize = 64;
const PENDING: u8 = 1;
const SETTLED: u8 = 2;

/// Data that had been durable is gone, and the node has not got it back yet.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Loss {
    /// Names this loss; above those of all earlier ones.
    pub incarnation: u64,
    /// Where the log ended, if that and the hard state are known for certain.
    pub remembers: Option<Position>,
}

/// What the note says.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Note {
    /// The loss is not made good.
    Pending(Loss),
    /// The last one was made good.
    Settled { incarnation: u64 },
}

impl Loss {
    /// Where nothing is remembered, not even the count of lives may be right, and names that were made from a life must not be made again: such
    /// a log goes on in a life of a range that no counting reaches, by the time of the discovery.
    pub(crate) fn life_min(self) -> u64 {
        if self.remembers.is_some() { 0 } else { 1 << 23 | (self.incarnation >> 6) & 0x3f_ffff }
    }
}

impl Note {
    pub(crate) fn pending(self) -> Option<Loss> {
        match self {
            Note::Pending(loss) => Some(loss),
            Note::Settled { .. } => None,
        }
    }

    pub(crate) fn incarnation(self) -> u64 {
        match self {
            Note::Pending(Loss { incarnation, .. }) | Note::Settled { incarnation } => incarnation,
        }
    }

    /// Nothing if nothing was ever lost. A note that can't be read is a loss of which nothing is known.
    pub(crate) fn read(disk: &dyn Disk) -> Result<Option<Note>, WalError> {
        let name = shown(disk, NAME);
        if !disk.list().doing("list", &disk.path())?.iter().any(|name| name == NAME) {
            return Ok(None);
        }
        let file = disk.open(NAME).doing("open", &name)?;
        let mut bytes = [0; BYTES];
        if file.size().doing("open", &name)? == BYTES as u64 {
            file.read_at(0, &mut bytes).doing("read", &name)?;
        }
        let unreadable = Note::Pending(Loss { incarnation: 0, remembers: None });
        Ok(Some(Note::decode(&bytes).unwrap_or(unreadable)))
    }

    /// Durable on return, if `sync`.
    pub(crate) fn write(self, disk: &dyn Disk, sync: bool) -> Result<(), WalError> {
        let fresh = shown(disk, FRESH);
        let file = disk.create(FRESH, BYTES as u64).doing("create", &fresh)?;
        file.write_at(0, &self.encode()).doing("write", &fresh)?;
        if sync {
            file.sync().doing("sync", &fresh)?;
        }
        disk.rename(FRESH, NAME).doing("name", &shown(disk, NAME))?;
        if sync { disk.sync_folder().doing("sync", &disk.path()) } else { Ok(()) }
    }

    fn encode(self) -> [u8; BYTES] {
        let (state, Loss { incarnation, remembers }) = match self {
            Note::Pending(loss) => (PENDING, loss),
            Note::Settled { incarnation } => (SETTLED, Loss { incarnation, remembers: None }),
        };
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[12] = state;
        bytes[13] = u8::from(remembers.is_some());
        bytes[16..24].copy_from_slice(&incarnation.to_le_bytes());
        let Position { index, term } = remembers.unwrap_or_default();
        bytes[24..32].copy_from_slice(&index.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&term.0.to_le_bytes());
        let crc = record::crc32c(&bytes);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; BYTES]) -> Option<Note> {
        let mut unsigned = *bytes;
        unsigned[8..12].fill(0);
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        if bytes[..8] != MAGIC || record::crc32c(&unsigned).to_le_bytes() != bytes[8..12] {
            return None;
        }
        let incarnation = number(16);
        let remembers = (bytes[13] == 1).then(|| Position { index: Index(number(24)), term: Term(number(32)) });
        match bytes[12] {
            PENDING => Some(Note::Pending(Loss { incarnation, remembers })),
            SETTLED => Some(Note::Settled { incarnation }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem_disk::MemDisk;

    #[test]
    fn a_note_is_read_as_it_was_written_and_a_damaged_one_is_a_loss_of_which_nothing_is_known() {
        let disk = MemDisk::new();
        assert_eq!(Note::read(&disk).expect("readable"), None);
        let remembers = Some(Position { index: Index(7), term: Term(3) });
        for note in [
            Note::Pending(Loss { incarnation: 5, remembers }),
            Note::Pending(Loss { incarnation: 6, remembers: None }),
            Note::Settled { incarnation: 6 },
        ] {
            note.write(&disk, true).expect("written");
            disk.crash();
            assert_eq!(Note::read(&disk).expect("readable"), Some(note));
            for bit in 0..8 * BYTES as u64 {
                let damaged = disk.fork();
                assert!(damaged.flip_bit(NAME, bit / 8, (bit % 8) as u8));
                let nothing = Loss { incarnation: 0, remembers: None };
                assert_eq!(Note::read(&damaged).expect("readable"), Some(Note::Pending(nothing)), "bit {bit}");
            }
        }
    }
}
