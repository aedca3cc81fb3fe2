//! A segment's bytes as recovery looks at them: its header, batches in order, and batches searched for.
//!
//! Never believes a length before its checksum, never holds more than one batch or one window. Tests: `tests/damage.rs`.

use std::io;

use crate::disk::DiskFile;
use crate::error::{Doing, WalError};
use crate::record::{
    self, ALIGN, BATCH_HEADER_BYTES, BadHeader, BatchHeader, FORMAT, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use crate::segment::{Segment, Segments, segment_name};

/// Read at once.
const WINDOW_BYTES: u32 = 4 << 20;
/// Looked through at once for batches behind a damaged one. A multiple of [`ALIGN`].
const SEARCH_BYTES: u32 = 64 << 10;

/// Opens a segment and reads its header. Its end is where its first batch begins.
pub(crate) fn open_segment(segments: &Segments, id: u32) -> Result<Segment, WalError> {
    let file_name = segments.shown(&segment_name(id));
    let file = segments.disk.open(&segment_name(id)).doing("open", &file_name)?;
    let size = file.size().doing("open", &file_name)?;
    let corrupt = |what: &str| Err(WalError::corrupt(file_name.clone(), 0, what));
    let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
    if size < bytes.len() as u64 {
        return corrupt("the file is cut short");
    }
    file.read_at(0, &mut bytes).doing("read", &file_name)?;
    let header = match SegmentHeader::decode(&bytes) {
        Ok(header) => header,
        Err(BadHeader::Damaged) => return corrupt("the segment's header is damaged"),
        Err(BadHeader::Version(found)) => return Err(WalError::Version { file: file_name, found, known: FORMAT }),
    };
    if header.cluster != segments.cluster {
        let (found, expected) = (header.cluster, segments.cluster);
        return Err(WalError::OtherCluster { file: file_name, found, expected });
    }
    if header.segment != id {
        return corrupt("the segment's header has another number than the file's name");
    }
    if u64::from(header.capacity) != size {
        return corrupt("the file's size is not the one in its header");
    }
    let end = SEGMENT_HEADER_BYTES;
    Ok(Segment { id, salt: header.salt(), capacity: header.capacity, end, durable: end, touched: end, file })
}

/// As [`open_segment`], for a segment whose header can't be believed: what it must say follows from the file's name and size. Nothing if
/// the file is gone or can't be a segment.
pub(crate) fn open_damaged(segments: &Segments, id: u32) -> Result<Option<Segment>, WalError> {
    let file_name = segments.shown(&segment_name(id));
    let file = match segments.disk.open(&segment_name(id)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.doing("open", &file_name)?,
    };
    let capacity = u32::try_from(file.size().doing("open", &file_name)?).ok();
    let end = SEGMENT_HEADER_BYTES;
    let segment = |capacity| {
        let salt = SegmentHeader { cluster: segments.cluster, segment: id, capacity }.salt();
        Segment { id, salt, capacity, end, durable: end, touched: end, file }
    };
    Ok(capacity.filter(|capacity| *capacity >= end).map(segment))
}

/// Whether the file is shorter than the segment was made: as its header says, or as segments are made here if that can't be read.
pub(crate) fn is_cut_short(segments: &Segments, segment: &Segment) -> Result<bool, WalError> {
    let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
    segment.file.read_at(0, &mut bytes).doing("read", &segments.shown(&segment.name()))?;
    let made = SegmentHeader::decode(&bytes).map_or(segments.options.segment_bytes, |header| header.capacity.into());
    Ok(u64::from(segment.capacity) < made)
}

/// A stretch of a segment, read in large pieces.
pub(crate) struct Window<'a> {
    file: &'a dyn DiskFile,
    shown: String,
    salt: u64,
    capacity: u32,
    start: u32,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(crate) fn new(segments: &Segments, segment: &'a Segment) -> Window<'a> {
        let shown = segments.shown(&segment.name());
        let (salt, capacity) = (segment.salt, segment.capacity);
        Window { file: segment.file.as_ref(), shown, salt, capacity, start: 0, bytes: Vec::new() }
    }

    /// The batch at this offset if it is whole and of no earlier life than the one before it.
    pub(crate) fn batch(&mut self, offset: u32, life: u64) -> Result<Option<(BatchHeader, &[u8])>, WalError> {
        let Some(header) = self.header(offset)?.filter(|header| header.life >= life) else { return Ok(None) };
        let payload = self.bytes(offset + BATCH_HEADER_BYTES, header.payload_bytes)?;
        let payload = payload.filter(|payload| record::crc32c(payload) == header.payload_crc);
        Ok(payload.map(|payload| (header, payload)))
    }

    pub(crate) fn header(&mut self, offset: u32) -> Result<Option<BatchHeader>, WalError> {
        let salt = self.salt;
        let bytes = self.bytes(offset, BATCH_HEADER_BYTES)?;
        let header = bytes.and_then(|bytes| BatchHeader::decode(salt, offset, bytes.try_into().ok()?));
        Ok(header.filter(|header| header.mark <= offset && header.payload_bytes.is_multiple_of(ALIGN)))
    }

    /// The next place from `offset` on where a whole batch of no earlier life stands.
    pub(crate) fn next_batch(&mut self, mut offset: u32, life: u64) -> Result<Option<u32>, WalError> {
        while let Some(found) = self.next_salt(offset)? {
            if self.batch(found, life)?.is_some() {
                return Ok(Some(found));
            }
            offset = found + ALIGN;
        }
        Ok(None)
    }

    /// The next place from `offset` on where this segment's salt stands.
    pub(crate) fn next_salt(&mut self, mut offset: u32) -> Result<Option<u32>, WalError> {
        let salt = self.salt.to_le_bytes();
        while offset < self.capacity {
            let piece = (self.capacity - offset).min(SEARCH_BYTES);
            let bytes = self.bytes(offset, piece)?.unwrap_or(&[]);
            if let Some(word) = bytes.chunks_exact(ALIGN as usize).position(|word| word == salt) {
                return Ok(Some(offset + word as u32 * ALIGN));
            }
            offset += piece;
        }
        Ok(None)
    }

    /// Nothing if the segment ends before.
    fn bytes(&mut self, offset: u32, count: u32) -> Result<Option<&[u8]>, WalError> {
        let left = self.capacity.saturating_sub(offset);
        if count > left {
            return Ok(None);
        }
        let held = offset.checked_sub(self.start).is_some_and(|at| at as usize + count as usize <= self.bytes.len());
        if !held {
            let read = left.min(count.max(WINDOW_BYTES)) as usize;
            self.bytes.resize(read, 0);
            self.start = offset;
            self.file.read_at(u64::from(offset), &mut self.bytes).doing("read", &self.shown)?;
        }
        let at = (offset - self.start) as usize;
        Ok(Some(&self.bytes[at..at + count as usize]))
    }
}
