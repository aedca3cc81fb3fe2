//! The log's files: made, filled, used again, freed.
//!
//! A segment gets its name only when its header is durable, so a file with a segment's name always has a good header. A freed
//! segment becomes a spare and the next new segment is made from it: its blocks are there and written, so no sync
//! has to change the file's metadata. Spares mean nothing to recovery, and none gets a number again that it had.

use std::collections::VecDeque;

use crate::disk::{Disk, DiskFile};
use crate::error::{Doing, WalError};
use crate::record::{BATCH_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader};

/// The smallest segment: room for a few batches. Only tests want it this small.
pub const SEGMENT_BYTES_MIN: u64 = 1 << 10;
/// The largest segment that may be asked for; offsets within one are 32 bits wide.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 30;

/// Freed segments kept to be used again; more are removed.
const SPARES_MAX: usize = 4;

const SEGMENT: &str = ".wal";
const SPARE: &str = ".spare";
const FRESH: &str = ".new";
const DAMAGED: &str = ".damaged";

/// How the log is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// Of a segment, between [`SEGMENT_BYTES_MIN`] and [`SEGMENT_BYTES_MAX`]. An entry that doesn't fit gets a larger one of its own.
    pub segment_bytes: u64,
    /// Without it nothing is ever synced: the log survives the end of the process but not of the machine. For clusters to throw away.
    pub sync: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { segment_bytes: 64 << 20, sync: true }
    }
}

/// One open segment.
pub(crate) struct Segment {
    pub(crate) id: u32,
    pub(crate) salt: u64,
    pub(crate) capacity: u32,
    /// Where the next batch goes.
    pub(crate) end: u32,
    /// Up to where everything is durable.
    pub(crate) durable: u32,
    /// Up to where the file's blocks have ever been written, be it with zeros or with what they held before.
    pub(crate) touched: u32,
    pub(crate) file: Box<dyn DiskFile>,
}

impl Segment {
    pub(crate) fn name(&self) -> String {
        segment_name(self.id)
    }

    /// For another batch's payload, when room for the closing batch is kept. Negative if not even an empty one fits.
    pub(crate) fn room(&self, unwritten_bytes: usize) -> i64 {
        let taken = i64::from(self.end) + i64::try_from(unwritten_bytes).expect("a buffer is smaller than a segment");
        i64::from(self.capacity) - taken - 2 * i64::from(BATCH_HEADER_BYTES)
    }
}

/// All segments, the last one being written, and the spares.
pub(crate) struct Segments {
    pub(crate) disk: Box<dyn Disk>,
    pub(crate) cluster: u128,
    pub(crate) options: Options,
    /// Numbered without a gap, ascending.
    pub(crate) list: VecDeque<Segment>,
    /// Names of files of exactly `segment_bytes`.
    pub(crate) spares: Vec<String>,
}

impl Segments {
    pub(crate) fn active(&mut self) -> &mut Segment {
        self.list.back_mut().expect("a log has a segment")
    }

    pub(crate) fn front(&self) -> u32 {
        self.list.front().expect("a log has a segment").id
    }

    pub(crate) fn bytes_on_disk(&self) -> u64 {
        let segments: u64 = self.list.iter().map(|segment| u64::from(segment.capacity)).sum();
        segments + self.spares.len() as u64 * self.options.segment_bytes
    }

    /// A file's name with its folder, for a person.
    pub(crate) fn shown(&self, name: &str) -> String {
        shown(self.disk.as_ref(), name)
    }

    /// Makes a segment with room for a batch with this payload, durable with its name, whose file begins with `head`
    /// behind its header. It isn't in the list yet.
    pub(crate) fn create(
        &mut self,
        id: u32,
        payload_bytes: usize,
        head: impl FnOnce(u64) -> Vec<u8>,
    ) -> Result<Segment, WalError> {
        let needed = u64::from(SEGMENT_HEADER_BYTES + 2 * BATCH_HEADER_BYTES) + payload_bytes as u64;
        let bytes = self.options.segment_bytes.max(needed);
        let capacity = u32::try_from(bytes).expect("the largest entry fits a segment");
        let header = SegmentHeader { cluster: self.cluster, segment: id, capacity };
        let mut content = header.encode().to_vec();
        content.extend(head(header.salt()));

        let (blank, file, used_before) = self.blank_file(id, bytes)?;
        let name = segment_name(id);
        file.write_at(0, &content).doing("write", &self.shown(&blank))?;
        if self.options.sync {
            file.sync().doing("sync", &self.shown(&blank))?;
        }
        self.disk.rename(&blank, &name).doing("name", &self.shown(&name))?;
        self.sync_folder()?;
        let end = u32::try_from(content.len()).expect("a segment's head is short");
        let touched = if used_before { capacity } else { end };
        Ok(Segment { id, salt: header.salt(), capacity, end, durable: end, touched, file })
    }

    /// A spare or a new file: its name, and whether it was used before.
    fn blank_file(&mut self, id: u32, bytes: u64) -> Result<(String, Box<dyn DiskFile>, bool), WalError> {
        // Where numbers begin anew, or go back, a spare that had this one would bring its batches of then along, with the right salt.
        let fits = |spare: &String| number_of_spare(spare).is_some_and(|number| number < id);
        if bytes == self.options.segment_bytes
            && let Some(place) = self.spares.iter().rposition(fits)
        {
            let spare = self.spares.remove(place);
            let file = self.disk.open(&spare).doing("open", &self.shown(&spare))?;
            return Ok((spare, file, true));
        }
        let fresh = format!("{id:08x}{FRESH}");
        let file = self.disk.create(&fresh, bytes).doing("create", &self.shown(&fresh))?;
        Ok((fresh, file, false))
    }

    /// Segments below this number are needed no more. The caller has made durable what says so.
    pub(crate) fn free_before(&mut self, id: u32) -> Result<(), WalError> {
        assert!(self.list.back().is_some_and(|active| id <= active.id), "the active segment is never freed");
        while self.list.front().is_some_and(|segment| segment.id < id) {
            let segment = self.list.pop_front().expect("just looked at");
            self.free_file(segment.id, u64::from(segment.capacity))?;
        }
        // Before any spare is written again: else a crash could bring it back under its old name with its new bytes.
        self.sync_folder()
    }

    /// Makes a segment's file a spare, or removes it. Needs a [`Segments::sync_folder`] before a spare may be used.
    pub(crate) fn free_file(&mut self, id: u32, bytes: u64) -> Result<(), WalError> {
        let (name, spare) = (segment_name(id), spare_name(id));
        if bytes == self.options.segment_bytes && self.spares.len() < SPARES_MAX {
            self.disk.rename(&name, &spare).doing("free", &self.shown(&name))?;
            // One of this number, that was made and never begun, may be among them already: now it is this file.
            if !self.spares.contains(&spare) {
                self.spares.push(spare);
            }
            return Ok(());
        }
        self.disk.remove(&name).doing("remove", &self.shown(&name))
    }

    /// Keeps a segment of a damaged log as evidence: what is in it may be the only copy until the loss is made good.
    pub(crate) fn set_aside(&self, id: u32) -> Result<(), WalError> {
        let name = segment_name(id);
        self.disk.rename(&name, &format!("{id:08x}{DAMAGED}")).doing("set aside", &self.shown(&name))
    }

    /// Removes what was set aside.
    pub(crate) fn clear_aside(&self) -> Result<(), WalError> {
        for name in self.disk.list().doing("list", &self.disk.path())? {
            if file_kind(&name) == FileKind::Damaged {
                self.disk.remove(&name).doing("remove", &self.shown(&name))?;
            }
        }
        self.sync_folder()
    }

    pub(crate) fn sync_folder(&self) -> Result<(), WalError> {
        if !self.options.sync {
            return Ok(());
        }
        self.disk.sync_folder().doing("sync", &self.disk.path())
    }
}

/// The segment of this number; they are numbered without a gap.
pub(crate) fn segment_of(list: &VecDeque<Segment>, id: u32) -> &Segment {
    let front = list.front().expect("a log has a segment").id;
    let segment = &list[(id - front) as usize];
    assert!(segment.id == id, "segments are numbered without a gap");
    segment
}

pub(crate) fn shown(disk: &dyn Disk, name: &str) -> String {
    format!("{}/{name}", disk.path())
}

pub(crate) fn segment_name(id: u32) -> String {
    format!("{id:08x}{SEGMENT}")
}

fn spare_name(id: u32) -> String {
    format!("{id:08x}{SPARE}")
}

/// The number of the segment that it was.
fn number_of_spare(name: &str) -> Option<u32> {
    u32::from_str_radix(name.strip_suffix(SPARE)?, 16).ok()
}

/// What a file's name says that it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FileKind {
    Segment(u32),
    Spare,
    /// A segment of a damaged log that was given up.
    Damaged,
    /// A new file that never became a segment.
    Fresh,
    /// None of ours.
    Other,
}

pub(crate) fn file_kind(name: &str) -> FileKind {
    if name.ends_with(SPARE) {
        return FileKind::Spare;
    }
    if name.ends_with(FRESH) {
        return FileKind::Fresh;
    }
    if name.ends_with(DAMAGED) {
        return FileKind::Damaged;
    }
    let id = name.strip_suffix(SEGMENT).and_then(|id| u32::from_str_radix(id, 16).ok());
    id.filter(|id| segment_name(*id) == name).map_or(FileKind::Other, FileKind::Segment)
}
