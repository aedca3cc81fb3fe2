//! A snapshot as frames: runs of records cut out of a view, and the check that all of them came through.
//!
//! A frame is [`RECORDS`] and a run of records: table (8 bytes), length of the key (4), length of the value (4), all little-endian,
//! key, value. The last frame is [`END`], the number of records (8 bytes) and the BLAKE3 hash over all frames before it.
//!
//! Where a frame ends depends on what is in it, not on how much came before: two snapshots that differ in a few records have nearly all frames in
//! common. Tests: in `chunks.rs`.

use bytes::{Buf, Bytes};
use outboard_store::{Records, StoreError, Table};
use std::io;

/// A frame is not closed before it has come to so many bytes ...
const FRAME_BYTES_MIN: usize = 64 << 10;
/// ... and is closed when it has come to so many.
const FRAME_BYTES: usize = 512 << 10;
/// In between one record in so many closes it, by the hash of its key.
const CLOSING_ONE_IN: u32 = 256;
/// A frame is never longer: one record more than a full frame.
pub(crate) const FRAME_BYTES_MAX: usize = FRAME_BYTES + (2 << 20);
/// The first byte of a frame of records.
pub(super) const RECORDS: u8 = 1;
/// The first byte of the last frame.
pub(super) const END: u8 = 2;

/// From the tables into frames. Ends early, without the last frame, when nobody takes them any more.
pub(crate) fn read_out(records: Records, mut take: impl FnMut(Bytes) -> bool) -> Result<(), StoreError> {
    let (mut hasher, mut count) = (blake3::Hasher::new(), 0u64);
    let mut frame = new_frame();
    for record in records {
        let (table, key, value) = record?;
        frame.extend_from_slice(&table.0.to_le_bytes());
        frame.extend_from_slice(&u32::try_from(key.len()).expect("keys are short").to_le_bytes());
        frame.extend_from_slice(&u32::try_from(value.len()).expect("values are short").to_le_bytes());
        frame.extend_from_slice(&key);
        frame.extend_from_slice(&value);
        count += 1;
        if frame.len() >= FRAME_BYTES || frame.len() >= FRAME_BYTES_MIN && closes(&key) {
            hasher.update(&frame);
            let full = std::mem::replace(&mut frame, new_frame());
            if !take(full.into()) {
                return Ok(());
            }
        }
    }
    if frame.len() > 1 {
        hasher.update(&frame);
        take(frame.into());
    }
    let mut end = vec![END];
    end.extend_from_slice(&count.to_le_bytes());
    end.extend_from_slice(hasher.finalize().as_bytes());
    take(end.into());
    Ok(())
}

fn new_frame() -> Vec<u8> {
    let mut frame = Vec::with_capacity(FRAME_BYTES_MIN * 2);
    frame.push(RECORDS);
    frame
}

fn closes(key: &[u8]) -> bool {
    let hash = blake3::hash(key);
    let chance = u32::from_le_bytes(hash.as_bytes()[..4].try_into().expect("a hash is longer"));
    chance.is_multiple_of(CLOSING_ONE_IN)
}

pub(super) fn unusable(what: impl Into<String>) -> StoreError {
    StoreError::Snapshot { what: what.into() }
}

/// Whether these frames are one whole snapshot; the error says why not.
pub(crate) fn check(frames: &[Bytes]) -> Result<(), String> {
    let mut check = Check::default();
    frames.iter().try_for_each(|frame| check.on_frame(frame))?;
    check.end()
}

/// Counts and hashes frames, and compares with the last one.
#[derive(Default)]
pub(super) struct Check {
    hasher: blake3::Hasher,
    count: u64,
    ended: bool,
}

impl Check {
    fn on_frame(&mut self, frame: &Bytes) -> Result<(), String> {
        if self.ended {
            return Err("frames follow the last one".into());
        }
        if frame.len() > FRAME_BYTES_MAX {
            return Err("a frame is too long".into());
        }
        match frame.first() {
            Some(&RECORDS) => self.on_records(frame),
            Some(&END) => self.on_end(&frame[1..]),
            Some(_) | None => Err("a frame is of no known kind".into()),
        }
    }

    fn on_records(&mut self, frame: &Bytes) -> Result<(), String> {
        self.hasher.update(frame);
        let mut rest = frame.slice(1..);
        while !rest.is_empty() {
            take_record(&mut rest)?;
            self.count += 1;
        }
        Ok(())
    }

    fn on_end(&mut self, mut rest: &[u8]) -> Result<(), String> {
        let count = rest.try_get_u64_le().map_err(|_| "the last frame is cut short")?;
        self.ended = count == self.count && rest == self.hasher.finalize().as_bytes();
        if self.ended { Ok(()) } else { Err("the hash or the number of its records is wrong".into()) }
    }

    fn end(&self) -> Result<(), String> {
        if self.ended { Ok(()) } else { Err("it ended early".into()) }
    }
}

fn take_record(frame: &mut Bytes) -> Result<(Table, Bytes, Bytes), String> {
    const SHORT: &str = "a record is cut short";
    let table = Table(frame.try_get_u64_le().map_err(|_| SHORT)?);
    let key = frame.try_get_u32_le().map_err(|_| SHORT)? as usize;
    let value = frame.try_get_u32_le().map_err(|_| SHORT)? as usize;
    if frame.len() < key.saturating_add(value) {
        return Err(SHORT.into());
    }
    Ok((table, frame.split_to(key), frame.split_to(value)))
}

/// A staged snapshot, read back.
pub(super) struct StagedFrames<F> {
    frames: F,
    frame: Bytes,
    check: Check,
}

impl<F: Iterator<Item = io::Result<Bytes>>> Iterator for StagedFrames<F> {
    type Item = Result<(Table, Bytes, Bytes), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.frame.is_empty() {
            if self.check.ended {
                return None;
            }
            let frame = match self.frames.next() {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Some(Err(unusable(error.to_string()))),
                None => return Some(Err(unusable("it ended early"))),
            };
            if let Err(what) = self.check.on_frame(&frame) {
                return Some(Err(unusable(what)));
            }
            if !self.check.ended {
                self.frame = frame.slice(1..);
            }
        }
        Some(take_record(&mut self.frame).map_err(unusable))
    }
}

impl<F: Iterator<Item = io::Result<Bytes>> + Send + 'static> StagedFrames<F> {
    /// Checked as they are read: damage ends in an error.
    pub(super) fn records(frames: F) -> Records {
        Box::new(StagedFrames { frames, frame: Bytes::new(), check: Check::default() })
    }
}
