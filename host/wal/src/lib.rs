//! Outboard's log on disk: entries, hard state and the compaction's base, in preallocated segments that are used again.
//!
//! The walk: [`Unrecovered::open`] locks the folder, [`Unrecovered::recover`] reads and judges what lies there, the
//! [`Wal`] then appends, syncs, reads, compacts and resets. One owner, no threads, no clock, no retry: after the first
//! error that is not the caller's, every further call answers [`WalError::Halted`], because after a failed write or sync
//! nobody can say what the disk holds.
//!
//! What it promises: once [`Wal::sync`] has returned, a crash at any moment and in any order of the disk's writes keeps
//! what was appended before. What was appended later may be there up to some point, never with a gap. Bytes that
//! were durable and are wrong now are told apart from a torn tail ([`Unrecovered::judge`]) and nothing is modified then: what
//! becomes of a damaged log its owner decides, who knows what its tables hold ([`DamagedLog::mend`]). Segments that are written no more
//! are read again by a [`Scrubber`], beside the running log.
//!
//! The bytes have their book in `FORMAT.md`. Files, from the outside in: `wal` (the door) with `reader`, `recover` (from a
//! folder to a running log) with `replay` (the verdict) and `window` (a segment's bytes), `mend` (from a damaged log to a running
//! one) with `survey` (what can still be read) and `loss` (the note about it), `scrub`, `catalog` (what the log holds, in
//! memory), `segment` (files: made, used again, freed), `record` (the format), `disk` with its two homes `file_disk` and
//! `mem_disk`, `error`.
//! Tests: `tests/crash.rs` (every step, every byte), `tests/history.rs` (random histories against a model),
//! `tests/damage.rs` (flipped bits, lost files), `tests/mending.rs` (damaged logs that go on), `tests/files.rs` (real files).

mod catalog;
mod disk;
mod error;
mod file_disk;
mod loss;
mod mem_disk;
mod mend;
mod reader;
mod record;
mod recover;
mod replay;
mod scrub;
mod segment;
mod survey;
mod wal;
mod window;

pub use disk::{Disk, DiskFile};
pub use error::WalError;
pub use file_disk::FileDisk;
pub use loss::Loss;
pub use mem_disk::{Fate, MemDisk};
pub use mend::{DamagedLog, Tail};
pub use record::ENTRY_BYTES_MAX;
pub use recover::{Recovered, SoundLog, Unrecovered, Verdict};
pub use scrub::{Scrubber, Step, Suspect};
pub use segment::{Options, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};
pub use wal::Wal;
