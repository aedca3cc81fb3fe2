//! A damaged log that is to go on: what can still be told of it, and the new log that takes its place.
//!
//! The owner knows its tables. Entries that the tables hold durably need no log; if all the others can be read, nothing is lost. Else the node
//! has lost what it promised: the note says so before anything is given up, and the damaged files are kept until the loss is made good.
//!
//! The new log is one segment with a number two above the last one, durable with its first batch before it gets its name, so a crash leaves
//! the damaged log or the new one. Tests: `tests/mending.rs`.

use std::collections::{BTreeSet, VecDeque};

use outboard_raft::{HardState, Index, Position};

use crate::catalog::Catalog;
use crate::error::WalError;
use crate::loss::{Loss, Note};
use crate::reader::Reader;
use crate::record::{self, BatchHeader, BatchKind, ENTRY_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use crate::recover::{Recovered, remove};
use crate::segment::Segments;
use crate::survey::{Stretch, Survey};
use crate::wal::{Wal, next_incarnation};

/// Lives that may have left nothing readable.
const LIVES_SKIPPED: u64 = 256;
/// Entries that are taken over at once, in bytes.
const TAKEN_BYTES: usize = 4 << 20;
/// Read ahead of an entry that is taken over.
const READ_BYTES: usize = 256 << 10;

/// The end of a damaged log, readable without a gap.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Tail {
    /// The position before its first entry.
    pub after: Position,
    /// Where the log ends.
    pub last: Position,
    /// As last appended.
    pub hard_state: HardState,
}

/// A log with damage in what had been durable. Dropping it leaves it as it is.
pub struct DamagedLog {
    segments: Segments,
    run: (u32, u32),
    ids: BTreeSet<u32>,
    strays: Vec<String>,
    note: Option<Note>,
    error: WalError,
    survey: Survey,
}

impl DamagedLog {
    pub(crate) fn survey(
        segments: Segments,
        run: (u32, u32),
        ids: BTreeSet<u32>,
        strays: Vec<String>,
        note: Option<Note>,
        error: WalError,
    ) -> Result<DamagedLog, WalError> {
        let survey = Survey::of(&segments, run.0, run.1)?;
        Ok(DamagedLog { segments, run, ids, strays, note, error, survey })
    }

    /// File, offset, and what is wrong there.
    pub fn error(&self) -> &WalError {
        &self.error
    }

    /// For an owner that does not go on with it.
    pub fn into_error(self) -> WalError {
        self.error
    }

    /// The last position that could be read before the damage.
    pub fn before(&self) -> Option<Position> {
        self.survey.before
    }

    /// The log's end, if it is known for certain.
    pub fn tail(&self) -> Option<Tail> {
        self.survey.believed_tail().map(|Stretch { catalog, .. }| Tail {
            after: catalog.floor(),
            last: catalog.last(),
            hard_state: catalog.hard_state,
        })
    }

    /// The newest hard state that could be read. Newer ones may be gone where [`DamagedLog::tail`] knows nothing.
    pub fn hard_state(&self) -> HardState {
        self.survey.hard_state
    }

    /// An earlier loss that is not made good yet.
    pub fn loss(&self) -> Option<Loss> {
        self.note.and_then(Note::pending)
    }

    /// Puts a new log in its place: it starts after `base`, which the tables hold durably, and takes over the entries behind it if they can
    /// be read. With `lost`, data that was promised is gone (or was before): the loss is noted, named by `at` as in [`Wal::note_loss`], with
    /// what is still known of where the log ended. Durable on return; a crash leaves the damaged log or the new one, and in the latter
    /// case the loss noted.
    pub fn mend(
        self,
        base: Position,
        hard_state: HardState,
        at: u64,
        lost: bool,
        remembers: Option<Position>,
    ) -> Result<(Wal, Recovered), WalError> {
        let DamagedLog { mut segments, run, ids, strays, note, error: _, survey } = self;
        let sync = segments.options.sync;
        let loss = Loss { incarnation: next_incarnation(note, at), remembers };
        let mut note = Note::Pending(loss);
        remove(&segments, &strays)?;
        note.write(segments.disk.as_ref(), sync)?;

        let life = (survey.life + LIVES_SKIPPED).max(if lost { loss.life_min() } else { 0 });
        let id = run.1.checked_add(2).expect("segments are never so many");
        let first = segments.create(id, 0, |salt| first_batch(base, hard_state, life).encode(salt).to_vec())?;
        for id in ids {
            segments.set_aside(id)?;
        }
        segments.sync_folder()?;
        segments.list = VecDeque::from([first]);
        let catalog = Catalog::starting_after(base, base, hard_state);
        let mut wal = Wal::begin(segments, catalog, life + 1, Some(note))?;
        if let Some(tail) = survey.into_tail().filter(|tail| tail.catalog.position(base.index) == Some(base)) {
            take_over(&mut wal, &tail, base.index)?;
        }
        if !lost {
            wal.settle_loss()?;
            note = Note::Settled { incarnation: loss.incarnation };
        }
        let recovered =
            Recovered { hard_state, base, terms: wal.terms(), last: wal.last(), torn_bytes: 0, loss: note.pending() };
        Ok((wal, recovered))
    }
}

fn first_batch(base: Position, hard_state: HardState, life: u64) -> BatchHeader {
    BatchHeader {
        kind: BatchKind::Reset,
        offset: SEGMENT_HEADER_BYTES,
        mark: SEGMENT_HEADER_BYTES,
        life,
        entries: 0,
        payload_bytes: 0,
        payload_crc: record::crc32c(&[]),
        hard_state,
        base,
        prev: base,
    }
}

/// The files are set aside under other names; they stay open.
fn take_over(wal: &mut Wal, tail: &Stretch, after: Index) -> Result<(), WalError> {
    let (mut next, last) = (after.next(), tail.catalog.last().index);
    while next <= last {
        let mut entries = Vec::new();
        let mut reader = Reader::new(&tail.segments, wal.disk());
        let mut bytes = 0;
        while next <= last && bytes < TAKEN_BYTES {
            let position = tail.catalog.position(next).expect("a stretch has no gap");
            let location = tail.catalog.location(next).expect("a stretch has no gap");
            let (entry, length) = reader.entry(location, position, READ_BYTES.max(ENTRY_HEADER_BYTES))?;
            entries.push(entry);
            bytes += length;
            next = next.next();
        }
        wal.append(None, &entries)?;
    }
    wal.sync()
}
