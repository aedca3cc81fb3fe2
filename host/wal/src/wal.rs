//! The running log: one owner, one write per append, one sync per [`Wal::sync`].
//!
//! Invariants: only the last segment may hold bytes that aren't durable; the catalog's floor is the base; what the
//! catalog locates has been written. After an error the value is halted for good. Never: retries, reads a clock, spawns.
//! Tests: `tests/history.rs`, `tests/crash.rs`.

use outboard_raft::{Entry, HardState, Index, Position};

use crate::catalog::{Catalog, Location};
use crate::disk::Disk;
use crate::error::{Doing, WalError};
use crate::loss::{Loss, Note};
use crate::reader::Reader;
use crate::record::{self, BATCH_HEADER_BYTES, BatchHeader, BatchKind, ENTRY_HEADER_BYTES};
use crate::segment::Segments;

/// A batch is closed when it has reached this: recovery holds one batch in memory at a time.
const BATCH_BYTES_TARGET: usize = 1 << 20;
/// An append larger than this goes out in several writes, so that its buffer stays small.
const WRITE_BYTES_TARGET: usize = 8 << 20;
/// A buffer that one huge entry has made larger than this is given back.
const BUFFER_BYTES_KEPT: usize = 16 << 20;
/// Zeros written ahead of the log in a new segment, in the same write. The first write to a reserved block makes the next
/// sync change the file's metadata, too: with a sync per KiB that is one in four that takes half again as long. This way it is
/// one in some hundreds (`examples/sync_cost.rs` measures it). Segments that are used again don't need it.
const ZEROS_AHEAD_BYTES: u32 = 256 << 10;
/// Read at once when entries that follow each other are asked for.
const READ_BYTES: usize = 256 << 10;

/// The log of one node, open for writing. Made by [`crate::Unrecovered::recover`].
pub struct Wal {
    segments: Segments,
    catalog: Catalog,
    /// How often this log was recovered, this time included.
    life: u64,
    /// Batches encoded for the end of the active segment, not written yet. Empty between calls.
    buffer: Vec<u8>,
    halted: bool,
    /// What was last noted about data that was lost here.
    note: Option<Note>,
}

impl std::fmt::Debug for Wal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wal({}, {} to {})", self.segments.disk.path(), self.base(), self.last())
    }
}

impl Wal {
    /// Recovery's last step: the first batch of a new life, durable before anything else is written, so that whatever
    /// lies behind it belongs to an earlier life and is known by that.
    pub(crate) fn begin(segments: Segments, catalog: Catalog, life: u64, note: Option<Note>) -> Result<Wal, WalError> {
        let mut wal = Wal { segments, catalog, life, buffer: Vec::new(), halted: false, note };
        wal.put_state(BatchKind::Append)?;
        wal.try_sync()?;
        Ok(wal)
    }

    /// The hard state last appended, durable or not.
    pub fn hard_state(&self) -> HardState {
        self.catalog.hard_state
    }

    /// The last position that was compacted away; the first entry is the next one.
    pub fn base(&self) -> Position {
        self.catalog.base()
    }

    /// The last entry appended, durable or not; the base if there is none.
    pub fn last(&self) -> Position {
        self.catalog.last()
    }

    /// The term of an entry in the log or of the base; nothing outside.
    pub fn position(&self, index: Index) -> Option<Position> {
        self.catalog.position(index)
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        self.segments.disk.as_ref()
    }

    pub(crate) fn terms(&self) -> Vec<Position> {
        self.catalog.runs().to_vec()
    }

    /// How often this log was recovered, this time included: no earlier life of its owner had this number.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// What the log takes on the disk, spare segments included.
    pub fn bytes_on_disk(&self) -> u64 {
        self.segments.bytes_on_disk()
    }

    /// Writes, without making it durable: that is [`Wal::sync`]. The entries take the place of everything at or after the first of them.
    ///
    /// # Panics
    /// When a rule of the core is broken: entries with a gap, at or before the base, beyond the end, with a falling term or
    /// one above the hard state's, above [`crate::ENTRY_BYTES_MAX`]; a term that goes back, a vote changed within its term.
    pub fn append(&mut self, hard_state: Option<&HardState>, entries: &[Entry]) -> Result<(), WalError> {
        self.acting(|wal| wal.try_append(hard_state, entries))
    }

    /// Everything appended so far is durable once this returns.
    pub fn sync(&mut self) -> Result<(), WalError> {
        self.acting(Wal::try_sync)
    }

    /// Entries from `from` up to `to` (inclusive) or the end, as many as fit into `bytes_max` on disk but at least one.
    pub fn read(&mut self, from: Index, to: Index, bytes_max: usize) -> Result<Vec<Entry>, WalError> {
        self.acting(|wal| wal.try_read(from, to, bytes_max))
    }

    /// Frees the segments that hold nothing but entries at or before `upto`. The base becomes exactly `upto` if there is such a
    /// segment; if there is none, nothing happens and the base stays. Durable on return, and so is all that was appended.
    ///
    /// # Panics
    /// When `upto` is beyond the last entry.
    pub fn compact(&mut self, upto: Index) -> Result<(), WalError> {
        self.acting(|wal| wal.try_compact(upto))
    }

    /// Empties the log, which starts after `base` from now on, as a snapshot at `base` was installed. Durable on return.
    /// A crash in between leaves the log as it was or empty after `base`. The hard state stays.
    ///
    /// # Panics
    /// When `base` is before the present base.
    pub fn reset(&mut self, base: Position) -> Result<(), WalError> {
        self.acting(|wal| wal.try_reset(base))
    }

    /// The loss that is noted and not made good yet.
    pub fn loss(&self) -> Option<Loss> {
        self.note.and_then(Note::pending)
    }

    /// Writes down, durably, that data is gone that this log had promised to keep. `at` names the loss: the time of its discovery will
    /// do, and is raised above what named an earlier one. It is told by every recovery until it is settled.
    pub fn note_loss(&mut self, at: u64, remembers: Option<Position>) -> Result<Loss, WalError> {
        let incarnation = next_incarnation(self.note, at);
        let loss = Loss { incarnation, remembers };
        self.acting(|wal| wal.write_note(Note::Pending(loss)))?;
        Ok(loss)
    }

    /// The loss is made good: it is not told any more, and what was set aside of the damaged log is removed. Nothing happens if there is none.
    pub fn settle_loss(&mut self) -> Result<(), WalError> {
        let Some(loss) = self.note.and_then(Note::pending) else { return Ok(()) };
        self.acting(|wal| {
            wal.write_note(Note::Settled { incarnation: loss.incarnation })?;
            wal.segments.clear_aside()
        })
    }

    fn write_note(&mut self, note: Note) -> Result<(), WalError> {
        note.write(self.segments.disk.as_ref(), self.segments.options.sync)?;
        self.note = Some(note);
        Ok(())
    }

    /// The number of the segment that an entry lies in.
    pub fn segment_of(&self, index: Index) -> Option<u32> {
        self.catalog.location(index).map(|location| location.segment)
    }

    /// Reads a segment that is not written any more again, batch by batch. The error of a damaged one, and the last index of the entries in
    /// it and before it: what the log holds behind is not touched by it. Nothing if all is well or the segment is gone meanwhile.
    pub fn check_segment(&mut self, segment: u32) -> Result<Option<(WalError, Index)>, WalError> {
        let sealed = (self.segments.front()..self.segments.active().id).contains(&segment);
        if !sealed {
            return Ok(None);
        }
        let found = self.acting(|wal| crate::scrub::check(&wal.segments, segment))?;
        Ok(found.map(|error| (error, self.catalog.last_up_to(segment))))
    }

    /// Syncs and leaves a last mark, by which the next recovery knows that all of the log was durable: damage to the last
    /// batch is damage then, and not taken for a torn tail. For every orderly end.
    pub fn close(mut self) -> Result<(), WalError> {
        self.acting(|wal| {
            wal.try_sync()?;
            wal.put_state(BatchKind::Append)?;
            wal.try_sync()
        })
    }

    /// One door for everything that touches the disk: halted after the first error, for good.
    fn acting<T>(&mut self, act: impl FnOnce(&mut Wal) -> Result<T, WalError>) -> Result<T, WalError> {
        if self.halted {
            return Err(WalError::Halted);
        }
        // A broken rule that unwinds from here leaves it halted, too.
        self.halted = true;
        let result = act(self);
        // Nothing that is asked for is changed by reading, and what lies elsewhere in the log is as good as before.
        let unharmed = |error: &WalError| matches!(error, WalError::NotInLog { .. } | WalError::Corrupt { .. });
        self.halted = result.as_ref().is_err_and(|error| !unharmed(error));
        result
    }

    fn try_append(&mut self, hard_state: Option<&HardState>, entries: &[Entry]) -> Result<(), WalError> {
        if let Some(next) = hard_state {
            let now = self.catalog.hard_state;
            assert!(next.term.0 >= now.term.0, "the term never goes back");
            let kept = next.term != now.term || now.vote.is_none() || next.vote == now.vote;
            assert!(kept, "a vote is never changed within its term");
            self.catalog.hard_state = *next;
        }
        match entries.first() {
            None if hard_state.is_some() => self.put_state(BatchKind::Append),
            None => Ok(()),
            Some(first) => {
                assert!(
                    first.index.0 > self.base().index.0,
                    "what was compacted is committed and is never overwritten"
                );
                assert!(first.index.0 <= self.last().index.0 + 1, "entries follow the log without a gap");
                self.catalog.truncate(Index(first.index.0 - 1));
                self.put_entries(entries)?;
                self.flush()
            }
        }
    }

    /// As many batches as it takes, into as many segments as it takes.
    fn put_entries(&mut self, mut entries: &[Entry]) -> Result<(), WalError> {
        while let Some(first) = entries.first() {
            let count = self.fitting(entries);
            if count == 0 {
                self.roll(record::padded(record::entry_bytes(first)))?;
                continue;
            }
            let (batch, rest) = entries.split_at(count);
            self.encode(BatchKind::Append, batch);
            if self.buffer.len() >= WRITE_BYTES_TARGET {
                self.flush()?;
            }
            entries = rest;
        }
        Ok(())
    }

    /// How many of the entries make the next batch in the active segment; none if not even one fits there.
    fn fitting(&mut self, entries: &[Entry]) -> usize {
        let unwritten = self.buffer.len();
        let room = self.segments.active().room(unwritten);
        let mut bytes = 0;
        for (count, entry) in entries.iter().enumerate() {
            bytes += record::entry_bytes(entry);
            if record::padded(bytes) as i64 > room || (count > 0 && bytes > BATCH_BYTES_TARGET) {
                return count;
            }
        }
        entries.len()
    }

    /// A batch without entries: it says the hard state and the base.
    fn put_state(&mut self, kind: BatchKind) -> Result<(), WalError> {
        if self.segments.active().room(self.buffer.len()) < 0 {
            self.roll(0)?;
        }
        self.encode(kind, &[]);
        self.flush()
    }

    /// Puts one batch into the buffer and its entries into the catalog.
    fn encode(&mut self, kind: BatchKind, entries: &[Entry]) {
        let prev = self.catalog.last();
        let start = self.buffer.len();
        let active = self.segments.active();
        let offset = active.end + u32::try_from(start).expect("the buffer fits the segment");
        let (segment, salt, mark) = (active.id, active.salt, active.durable);
        self.buffer.resize(start + BATCH_HEADER_BYTES as usize, 0);
        for entry in entries {
            let position = entry.position();
            assert!(
                position.term.0 <= self.catalog.hard_state.term.0,
                "an entry's term is made durable no later than the entry"
            );
            let at = u32::try_from(self.buffer.len() - start).expect("a batch fits its segment");
            self.catalog.append(position, Location { segment, offset: offset + at });
            record::encode_entry(&mut self.buffer, entry);
        }
        self.buffer.resize(start + record::padded(self.buffer.len() - start), 0);
        let (head, payload) = self.buffer[start..].split_at_mut(BATCH_HEADER_BYTES as usize);
        let header = BatchHeader {
            kind,
            offset,
            mark,
            life: self.life,
            entries: u32::try_from(entries.len()).expect("a batch fits its segment"),
            payload_bytes: u32::try_from(payload.len()).expect("a batch fits its segment"),
            payload_crc: record::crc32c(payload),
            hard_state: self.catalog.hard_state,
            base: self.catalog.base(),
            prev,
        };
        head.copy_from_slice(&header.encode(salt));
    }

    /// Writes the buffer to the end of the active segment.
    fn flush(&mut self) -> Result<(), WalError> {
        let written = u32::try_from(self.buffer.len()).expect("the buffer fits the segment");
        let active = self.segments.active();
        assert!(written <= active.capacity - active.end, "a write never leaves its segment");
        let end = active.end + written;
        if end > active.touched {
            active.touched = end.saturating_add(ZEROS_AHEAD_BYTES).min(active.capacity);
            self.buffer.resize((active.touched - active.end) as usize, 0);
        }
        let (name, result) = (active.name(), active.file.write_at(u64::from(active.end), &self.buffer));
        active.end = end;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        result.doing("write", &self.segments.shown(&name))
    }

    fn try_sync(&mut self) -> Result<(), WalError> {
        assert!(self.buffer.is_empty(), "every call writes what it encodes");
        let sync = self.segments.options.sync;
        let active = self.segments.active();
        if !sync || active.durable == active.end {
            return Ok(());
        }
        let (name, result) = (active.name(), active.file.sync());
        result.doing("sync", &self.segments.shown(&name))?;
        let active = self.segments.active();
        active.durable = active.end;
        Ok(())
    }

    /// Goes on in a new segment with room for this payload. The new segment is durable before the old one is
    /// closed, and the old one is durable with its closing batch before the new one gets a batch. So a segment whose
    /// successor has a batch is whole, and a closed segment without a successor has lost it.
    fn roll(&mut self, payload_bytes: usize) -> Result<(), WalError> {
        let id = self.segments.active().id.checked_add(1).expect("segments are never so many");
        let next = self.segments.create(id, payload_bytes, |_| Vec::new())?;
        self.encode(BatchKind::Close, &[]);
        self.flush()?;
        self.try_sync()?;
        self.segments.list.push_back(next);
        Ok(())
    }

    fn try_compact(&mut self, upto: Index) -> Result<(), WalError> {
        assert!(upto.0 <= self.last().index.0, "only what is in the log is compacted");
        let active = self.segments.active().id;
        let needed = self.catalog.location(Index(upto.0 + 1)).map_or(active, |location| location.segment);
        if upto.0 < self.base().index.0 || needed == self.segments.front() {
            return Ok(());
        }
        let base = self.catalog.position(upto).expect("between base and last every position is known");
        self.catalog.compact(base);
        self.put_state(BatchKind::Append)?;
        self.try_sync()?;
        self.segments.free_before(needed)
    }

    fn try_reset(&mut self, base: Position) -> Result<(), WalError> {
        assert!(base.index.0 >= self.base().index.0, "a snapshot never takes the log back");
        // With room made first: the closing batch of the old segment still speaks of the old log.
        if self.segments.active().room(0) < 0 {
            self.roll(0)?;
        }
        self.catalog.reset(base);
        self.put_state(BatchKind::Reset)?;
        self.try_sync()?;
        let active = self.segments.active().id;
        self.segments.free_before(active)
    }

    fn try_read(&mut self, from: Index, to: Index, bytes_max: usize) -> Result<Vec<Entry>, WalError> {
        let (base, last) = (self.base(), self.last());
        if from.0 <= base.index.0 || from.0 > last.index.0 || to.0 < from.0 {
            return Err(WalError::NotInLog { index: from, base, last });
        }
        let mut reader = Reader::new(&self.segments.list, self.segments.disk.as_ref());
        let mut entries = Vec::new();
        let mut left = bytes_max;
        for index in from.0..=to.0.min(last.index.0) {
            let position = self.catalog.position(Index(index)).expect("between base and last every position is known");
            let location =
                self.catalog.location(Index(index)).expect("between base and last every entry has its place");
            let (entry, bytes) = reader.entry(location, position, left.clamp(ENTRY_HEADER_BYTES, READ_BYTES))?;
            if bytes > left && !entries.is_empty() {
                break;
            }
            left = left.saturating_sub(bytes);
            entries.push(entry);
        }
        Ok(entries)
    }
}

/// Above that of every earlier loss.
pub(crate) fn next_incarnation(note: Option<Note>, at: u64) -> u64 {
    at.max(note.map_or(1, |note| note.incarnation().saturating_add(1)))
}
