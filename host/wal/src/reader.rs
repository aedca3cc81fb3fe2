//! Entries by their place on disk, each checked by its own checksum. Never: looks at batches, knows the catalog.
//! Tests: `tests/damage.rs`.

use std::collections::VecDeque;

use outboard_raft::{Entry, Position};

use crate::catalog::Location;
use crate::disk::Disk;
use crate::error::{Doing, WalError};
use crate::record::{self, ENTRY_HEADER_BYTES, EntryHeader};
use crate::segment::{Segment, segment_of, shown};

/// Reads a stretch at a time; entries that follow each other on disk come from one read.
pub(crate) struct Reader<'a> {
    segments: &'a VecDeque<Segment>,
    disk: &'a dyn Disk,
    bytes: Vec<u8>,
    /// Where `bytes` lie.
    at: Location,
}

impl<'a> Reader<'a> {
    /// The segments are numbered without a gap; the disk names them in errors.
    pub(crate) fn new(segments: &'a VecDeque<Segment>, disk: &'a dyn Disk) -> Reader<'a> {
        Reader { segments, disk, bytes: Vec::new(), at: Location { segment: 0, offset: 0 } }
    }

    /// The entry and its size on disk. It must be the one at this position; `ahead` bytes are read if it isn't at hand.
    pub(crate) fn entry(
        &mut self,
        location: Location,
        position: Position,
        ahead: usize,
    ) -> Result<(Entry, usize), WalError> {
        let segment = segment_of(self.segments, location.segment);
        let damaged =
            |what: &str| WalError::corrupt(shown(self.disk, &segment.name()), u64::from(location.offset), what);
        if self.held(location, ENTRY_HEADER_BYTES).is_none() {
            self.fill(segment, location, ahead)?;
        }
        let header = self.held(location, ENTRY_HEADER_BYTES).and_then(EntryHeader::decode);
        let header = header.filter(|header| header.position == position).ok_or_else(|| damaged("the entry is gone"))?;
        let bytes = header.entry_bytes();
        if self.held(location, bytes).is_none() {
            self.fill(segment, location, bytes)?;
        }
        let held = self.held(location, bytes).ok_or_else(|| damaged("the entry's length is wrong"))?;
        Ok((record::decode_entry(held).map_err(damaged)?, bytes))
    }

    fn held(&self, location: Location, bytes: usize) -> Option<&[u8]> {
        if location.segment != self.at.segment {
            return None;
        }
        let start = location.offset.checked_sub(self.at.offset)? as usize;
        self.bytes.get(start..start + bytes)
    }

    fn fill(&mut self, segment: &Segment, location: Location, bytes: usize) -> Result<(), WalError> {
        let left = segment.end.saturating_sub(location.offset) as usize;
        self.bytes.resize(bytes.min(left), 0);
        self.at = location;
        let result = segment.file.read_at(u64::from(location.offset), &mut self.bytes);
        result.doing("read", &shown(self.disk, &segment.name()))
    }
}
