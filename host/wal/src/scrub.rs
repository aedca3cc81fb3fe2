//! Reading again what is written no more: segments that are closed lie untouched until they are freed, and a disk that loses bits there
//! says so to nobody.
//!
//! A [`Scrubber`] reads beside the running log, a piece at a time, as fast as its owner lets it. It knows no more than the files' names, so what
//! it finds is a suspicion (the file may have been freed and used again meanwhile), which the log itself confirms: [`crate::Wal::check_segment`].
//! Never: writes, holds a lock. Tests: `tests/scrubbing.rs`.

use std::collections::{BTreeSet, VecDeque};

use crate::disk::Disk;
use crate::error::{Doing, WalError};
use crate::record::{BATCH_HEADER_BYTES, BatchKind, SEGMENT_HEADER_BYTES};
use crate::segment::{FileKind, Options, Segment, Segments, file_kind, segment_name};
use crate::window::{Window, open_segment};

/// Reads the closed segments of a log, one round after the other.
pub struct Scrubber {
    /// Of which only the disk is used.
    segments: Segments,
    at: Option<Place>,
    /// The segment that this round began with last.
    done: Option<u32>,
}

/// Within a segment.
struct Place {
    segment: Segment,
    life: u64,
}

/// A segment in which something is not as it was written, or which was freed while it was read.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Suspect {
    /// Its number.
    pub segment: u32,
}

/// What one step has shown.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// So many bytes are as they were written.
    Read(u64),
    /// To be confirmed; the next step goes on behind that segment.
    Suspect(Suspect),
    /// All closed segments were read; the next step begins anew.
    Round,
}

/// Looked through at once.
const STEP_BYTES: u32 = 4 << 20;

impl Scrubber {
    /// Of the log in this folder, which need not be locked by the disk's handle.
    pub fn new(disk: Box<dyn Disk>, cluster: u128) -> Scrubber {
        let (options, list, spares) = (Options::default(), VecDeque::new(), Vec::new());
        Scrubber { segments: Segments { disk, cluster, options, list, spares }, at: None, done: None }
    }

    /// Reads on, up to 4 MiB or one batch. An error means that the disk can't be read.
    pub fn step(&mut self) -> Result<Step, WalError> {
        let Some(Place { mut segment, life }) = self.at.take() else { return self.next_segment() };
        let id = segment.id;
        let walked = match walk(&self.segments, &mut segment, life) {
            // It may have been freed and removed.
            Err(WalError::Io { .. }) if !self.closed()?.contains(&id) => return Ok(Step::Read(0)),
            other => other?,
        };
        match walked {
            Walked::On { bytes, life } => {
                self.at = Some(Place { segment, life });
                Ok(Step::Read(bytes))
            }
            Walked::Closed { bytes } => Ok(Step::Read(bytes)),
            Walked::Broken => Ok(Step::Suspect(Suspect { segment: id })),
        }
    }

    fn next_segment(&mut self) -> Result<Step, WalError> {
        let next = self.closed()?.into_iter().find(|id| self.done.is_none_or(|done| *id > done));
        let Some(id) = next else {
            self.done = None;
            return Ok(Step::Round);
        };
        self.done = Some(id);
        match open_segment(&self.segments, id) {
            Ok(segment) => {
                segment.file.forget_cached();
                self.at = Some(Place { segment, life: 0 });
                Ok(Step::Read(u64::from(SEGMENT_HEADER_BYTES)))
            }
            Err(WalError::Corrupt { .. }) => Ok(Step::Suspect(Suspect { segment: id })),
            // It was freed between two looks.
            Err(WalError::Io { .. }) if !self.closed()?.contains(&id) => Ok(Step::Read(0)),
            Err(error) => Err(error),
        }
    }

    /// All segments but the last.
    fn closed(&self) -> Result<BTreeSet<u32>, WalError> {
        let disk = self.segments.disk.as_ref();
        let names = disk.list().doing("list", &disk.path())?;
        let id = |name: &String| match file_kind(name) {
            FileKind::Segment(id) => Some(id),
            FileKind::Spare | FileKind::Fresh | FileKind::Damaged | FileKind::Other => None,
        };
        let mut ids: BTreeSet<u32> = names.iter().filter_map(id).collect();
        ids.pop_last();
        Ok(ids)
    }
}

/// How far a closed segment is as it was written.
enum Walked {
    /// There is more of it.
    On {
        bytes: u64,
        life: u64,
    },
    Closed {
        bytes: u64,
    },
    /// At the segment's end.
    Broken,
}

/// Goes on at the segment's end, which moves along.
fn walk(segments: &Segments, segment: &mut Segment, mut life: u64) -> Result<Walked, WalError> {
    let from = segment.end;
    let mut end = from;
    let mut window = Window::new(segments, segment);
    let walked = loop {
        let Some((header, _)) = window.batch(end, life)? else { break Walked::Broken };
        life = header.life;
        end += BATCH_HEADER_BYTES + header.payload_bytes;
        let bytes = u64::from(end - from);
        if header.kind == BatchKind::Close {
            break Walked::Closed { bytes };
        }
        if end - from >= STEP_BYTES {
            break Walked::On { bytes, life };
        }
    };
    segment.end = end;
    Ok(walked)
}

/// All of a closed segment; the error says what is wrong with it.
pub(crate) fn check(segments: &Segments, id: u32) -> Result<Option<WalError>, WalError> {
    let mut segment = match open_segment(segments, id) {
        Err(error @ WalError::Corrupt { .. }) => return Ok(Some(error)),
        other => other?,
    };
    segment.file.forget_cached();
    let mut life = 0;
    loop {
        match walk(segments, &mut segment, life)? {
            Walked::On { life: newest, .. } => life = newest,
            Walked::Closed { .. } => return Ok(None),
            Walked::Broken => {
                let file = segments.shown(&segment_name(id));
                return Ok(Some(WalError::corrupt(file, u64::from(segment.end), "the batch is damaged")));
            }
        }
    }
}
