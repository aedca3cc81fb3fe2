//! What can still be read of a damaged log: batch by batch, going on behind each break, in search of a stretch that reaches the log's end
//! without one. With such a tail it is known what the log had promised: the hard state, and where it ended.
//!
//! A stretch is believed only if something shows that it is not what a cut left behind: it begins a segment, it goes on in another one, or
//! a mark in it says that its beginning was durable. (A cut is never below a mark.) Nothing is modified here. The rules stand in `FORMAT.md`,
//! "Mending". Tests: `tests/mending.rs`.

use std::collections::VecDeque;

use outboard_raft::{HardState, Position};

use crate::catalog::Catalog;
use crate::error::WalError;
use crate::record::{ALIGN, BATCH_HEADER_BYTES, BatchHeader, BatchKind, SEGMENT_HEADER_BYTES};
use crate::replay::{look_behind, replay};
use crate::segment::{Segment, Segments};
use crate::window::{Window, is_cut_short, open_damaged};

/// Everything that could be read.
#[derive(Default)]
pub(crate) struct Survey {
    /// The last position before the first break.
    pub(crate) before: Option<Position>,
    /// The stretch that reaches the log's end.
    pub(crate) tail: Option<Stretch>,
    /// The newest hard state that was read anywhere.
    pub(crate) hard_state: HardState,
    /// The highest life that was read anywhere.
    pub(crate) life: u64,
}

/// Batches that follow each other.
pub(crate) struct Stretch {
    pub(crate) catalog: Catalog,
    /// Those that it lies in, ascending without a gap.
    pub(crate) segments: VecDeque<Segment>,
    /// Segment and offset of its first batch.
    from: (u32, u32),
    believed: bool,
    /// Its last batch closes its segment.
    closed: bool,
}

impl Survey {
    /// Looks through the segments of a gapless run.
    pub(crate) fn of(segments: &Segments, first: u32, last: u32) -> Result<Survey, WalError> {
        let mut survey = Survey::default();
        let mut broken = false;
        for id in first..=last {
            // Made in advance and never begun: the one before it is the last.
            let unbegun = id == last && id > first && !is_begun(segments, id)?;
            if unbegun {
                return Ok(survey);
            }
            broken |= survey.read_segment(segments, id, broken)?;
        }
        if survey.tail.as_ref().is_some_and(|tail| tail.closed) {
            // The successor is missing.
            survey.tail = None;
        }
        Ok(survey)
    }

    /// True if a break was met.
    fn read_segment(&mut self, segments: &Segments, id: u32, broken: bool) -> Result<bool, WalError> {
        let mut breaks = Breaks { before: if broken { None } else { Some(&mut self.before) }, met: false };
        if self.tail.as_ref().is_some_and(|tail| !tail.closed) {
            breaks.meet(&mut self.tail);
        }
        let Some(mut segment) = open_damaged(segments, id)? else {
            breaks.meet(&mut self.tail);
            return Ok(true);
        };
        let mut window = Window::new(segments, &segment);
        let mut offset = SEGMENT_HEADER_BYTES;
        loop {
            let Some((header, payload)) = window.batch(offset, self.life)? else {
                match window.next_batch(offset + ALIGN, self.life)? {
                    Some(next) => {
                        breaks.meet(&mut self.tail);
                        offset = next;
                        continue;
                    }
                    None => break,
                }
            };
            self.life = header.life;
            if header.hard_state.term >= self.hard_state.term {
                self.hard_state = header.hard_state;
            }
            if !follow(&mut self.tail, id, &header, payload) {
                breaks.meet(&mut self.tail);
                follow(&mut self.tail, id, &header, payload);
            }
            offset += BATCH_HEADER_BYTES + header.payload_bytes;
            if header.kind == BatchKind::Close {
                break;
            }
        }
        (segment.end, segment.touched) = (offset, offset);
        let closed = self.tail.as_ref().is_some_and(|tail| tail.closed);
        // Whatever stood where the file ends now may have been more of the log.
        if !closed
            && (look_behind(segments, &segment, self.life)?.mark > segment.end || is_cut_short(segments, &segment)?)
        {
            breaks.meet(&mut self.tail);
        }
        let met = breaks.met;
        if let Some(tail) = &mut self.tail {
            tail.segments.push_back(segment);
        }
        Ok(met)
    }

    /// The stretch that tells the log's end.
    pub(crate) fn into_tail(self) -> Option<Stretch> {
        self.tail.filter(|tail| tail.believed)
    }

    /// See [`Survey::into_tail`].
    pub(crate) fn believed_tail(&self) -> Option<&Stretch> {
        self.tail.as_ref().filter(|tail| tail.believed)
    }
}

/// Where the reading breaks off.
struct Breaks<'a> {
    /// Still to be filled.
    before: Option<&'a mut Option<Position>>,
    met: bool,
}

impl Breaks<'_> {
    fn meet(&mut self, tail: &mut Option<Stretch>) {
        self.met = true;
        let ended = tail.take();
        if let Some(before) = self.before.take() {
            *before = ended.map(|stretch| stretch.catalog.last());
        }
    }
}

fn is_begun(segments: &Segments, id: u32) -> Result<bool, WalError> {
    let Some(segment) = open_damaged(segments, id)? else { return Ok(true) };
    Ok(look_behind(segments, &segment, 0)?.batches > 0 || is_cut_short(segments, &segment)?)
}

/// The batch goes on with the stretch, or begins one. False if it makes no sense there; the stretch is gone then.
fn follow(tail: &mut Option<Stretch>, segment: u32, header: &BatchHeader, payload: &[u8]) -> bool {
    let before = tail.take();
    let (catalog, segments, from, believed) = match before {
        Some(Stretch { catalog, segments, from, believed, closed: _ }) => (Some(catalog), segments, from, believed),
        None => (None, VecDeque::new(), (segment, header.offset), false),
    };
    let Ok(catalog) = replay(catalog, segment, header, payload) else { return false };
    let (begun_in, at) = from;
    let shown = at == SEGMENT_HEADER_BYTES || segment > begun_in || header.mark > at;
    let closed = header.kind == BatchKind::Close;
    *tail = Some(Stretch { catalog, segments, from, believed: believed || shown, closed });
    true
}
