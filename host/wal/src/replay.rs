//! The log read from its first batch to its last, and the verdict on where it ends.
//!
//! A bad batch in the last segment is a torn tail if nothing readable says that the log was durable beyond it, and damage otherwise;
//! a bad batch in any other segment is damage. Nothing is modified here. The rules stand in `FORMAT.md`, "Recovery".
//! Tests: `tests/crash.rs`, `tests/damage.rs`, `tests/history.rs`.

use std::collections::VecDeque;

use crate::catalog::{Catalog, Location};
use crate::error::WalError;
use crate::record::{self, ALIGN, BATCH_HEADER_BYTES, BatchHeader, BatchKind, EntryHeader};
use crate::segment::{Segment, Segments, segment_name};
use crate::window::{Window, open_segment};

/// No index is higher; so far below the end of the numbers that counting on is safe.
const INDEX_MAX: u64 = u64::MAX >> 1;

/// The verdict: a log that can go on.
pub(crate) struct Judged {
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) catalog: Catalog,
    pub(crate) life: u64,
    pub(crate) torn_bytes: u64,
}

/// The log as far as it was read.
pub(crate) struct Replay<'a> {
    segments: &'a Segments,
    /// Nothing before the first batch.
    catalog: Option<Catalog>,
    life: u64,
}

/// How the reading of one segment ended.
enum End {
    Closed,
    /// At a batch that isn't there or isn't whole.
    Open,
}

impl Replay<'_> {
    /// Reads the segments of a gapless run. An error if the log can't go on.
    pub(crate) fn judge(segments: &Segments, first: u32, last: u32) -> Result<Judged, WalError> {
        let mut replay = Replay { segments, catalog: None, life: 0 };
        let mut found = VecDeque::new();
        let mut torn_bytes = 0;
        for id in first..=last {
            let mut segment = open_segment(segments, id)?;
            let end = replay.read_segment(&mut segment)?;
            match end {
                End::Closed if id < last => {}
                End::Closed => {
                    let file = segments.shown(&segment_name(id + 1));
                    return Err(WalError::corrupt(file, 0, "the segment is missing, the one before it was closed"));
                }
                End::Open => {
                    torn_bytes = replay.judge_tail(&segment, last)?;
                    found.push_back(segment);
                    break;
                }
            }
            found.push_back(segment);
        }
        let catalog = replay.catalog.expect("the first segment begins with a batch");
        if catalog.floor().index.0 > catalog.base().index.0 {
            let what = format!("the segment is missing, it held entries after {}", catalog.base());
            return Err(WalError::corrupt(segments.shown(&segment_name(first.saturating_sub(1))), 0, what));
        }
        Ok(Judged { segments: found, catalog, life: replay.life, torn_bytes })
    }

    /// Up to the closing batch or to the first one that isn't good.
    fn read_segment(&mut self, segment: &mut Segment) -> Result<End, WalError> {
        let mut window = Window::new(self.segments, segment);
        let (mut offset, mut durable) = (segment.end, segment.durable);
        let mut end = End::Open;
        while let Some((header, payload)) = window.batch(offset, self.life)? {
            let damaged = |what| WalError::corrupt(self.segments.shown(&segment.name()), u64::from(offset), what);
            self.catalog = Some(replay(self.catalog.take(), segment.id, &header, payload).map_err(damaged)?);
            self.life = header.life;
            durable = header.mark;
            offset += BATCH_HEADER_BYTES + header.payload_bytes;
            if header.kind == BatchKind::Close {
                end = End::Closed;
                break;
            }
        }
        (segment.end, segment.touched, segment.durable) = (offset, offset, durable);
        if self.catalog.is_none() {
            let file = self.segments.shown(&segment.name());
            return Err(WalError::corrupt(
                file,
                u64::from(segment.end),
                "the first segment doesn't begin with a batch",
            ));
        }
        Ok(end)
    }

    /// The segment ends without being closed: cut here, unless something behind shows that this had been durable.
    /// Answers how much is cut.
    fn judge_tail(&self, segment: &Segment, last: u32) -> Result<u64, WalError> {
        let damaged =
            |what: &str| Err(WalError::corrupt(self.segments.shown(&segment.name()), u64::from(segment.end), what));
        if segment.id + 1 < last {
            return damaged("the batch is damaged, later segments follow");
        }
        if segment.id + 1 == last {
            // Made in advance but never written: the crash came before this one was closed. Its successor has no batch then.
            let next = open_segment(self.segments, last)?;
            if look_behind(self.segments, &next, self.life)?.batches > 0 {
                return damaged("the batch is damaged, a later segment was begun");
            }
        }
        let behind = look_behind(self.segments, segment, self.life)?;
        if behind.mark > segment.end {
            return damaged("the batch is damaged, it had been durable");
        }
        Ok(u64::from(behind.end.saturating_sub(segment.end)))
    }
}

/// Looks for batch headers from the segment's end on, as the length of a damaged batch can't be believed.
pub(crate) fn look_behind(segments: &Segments, segment: &Segment, life: u64) -> Result<Behind, WalError> {
    let mut behind = Behind { batches: 0, mark: 0, end: 0 };
    let mut window = Window::new(segments, segment);
    let mut offset = segment.end;
    while let Some(found) = window.next_salt(offset)? {
        if let Some(header) = window.header(found)? {
            behind.batches += 1;
            behind.mark = behind.mark.max(header.mark);
            if header.life >= life {
                let end = found.saturating_add(BATCH_HEADER_BYTES).saturating_add(header.payload_bytes);
                behind.end = behind.end.max(end.min(segment.capacity));
            }
        } else if found == segment.end {
            behind.end = behind.end.max((found + BATCH_HEADER_BYTES).min(segment.capacity));
        }
        offset = found + ALIGN;
    }
    Ok(behind)
}

/// What lies behind the end of what is good.
pub(crate) struct Behind {
    /// Headers whose checksum is right.
    pub(crate) batches: usize,
    /// The highest of their marks.
    pub(crate) mark: u32,
    /// Where the last of them ends that isn't left from an earlier life.
    end: u32,
}

/// One batch's effect. An error says why a batch with right checksums makes no sense where it stands.
pub(crate) fn replay(
    catalog: Option<Catalog>,
    segment: u32,
    header: &BatchHeader,
    payload: &[u8],
) -> Result<Catalog, String> {
    let known = catalog.is_some();
    let mut catalog = catalog.unwrap_or_else(|| Catalog::starting_after(header.prev, header.base, header.hard_state));
    if header.prev.index.0.max(header.base.index.0) > INDEX_MAX {
        return Err("no log is that long".to_owned());
    }
    let sane = header.hard_state.term.0 >= catalog.hard_state.term.0
        && header.base.index.0 >= catalog.base().index.0
        && header.prev.index.0 <= catalog.last().index.0.max(header.base.index.0)
        && header.prev.index.0 >= header.base.index.0;
    if known && !sane {
        return Err("the batch takes the log back".to_owned());
    }
    catalog.hard_state = header.hard_state;
    match header.kind {
        BatchKind::Reset => catalog.reset(header.base),
        BatchKind::Append | BatchKind::Close => follow(&mut catalog, header)?,
    }
    let mut at = 0;
    for _ in 0..header.entries {
        let entry = EntryHeader::decode(payload.get(at..).unwrap_or(&[])).ok_or("an entry's header makes no sense")?;
        let last = catalog.last();
        let follows = entry.position.index.0 == last.index.0 + 1
            && (last.term.0..=header.hard_state.term.0).contains(&entry.position.term.0);
        if !follows {
            return Err(format!("entry {} doesn't follow {last}", entry.position));
        }
        // A segment is never larger than 32 bits, and neither is an offset in it.
        let offset = header.offset + BATCH_HEADER_BYTES + at as u32;
        catalog.append(entry.position, Location { segment, offset });
        at += entry.entry_bytes();
    }
    let whole = record::padded(at) == payload.len();
    if whole { Ok(catalog) } else { Err("the batch is longer than its entries".to_owned()) }
}

/// The log ends at the batch's `prev` and starts at its base.
fn follow(catalog: &mut Catalog, header: &BatchHeader) -> Result<(), String> {
    let (prev, base) = (header.prev, header.base);
    if prev.index.0 < catalog.floor().index.0 {
        // It overwrites entries whose segments are gone; they must have been compacted, which the last batch tells.
        *catalog = Catalog::starting_after(prev, catalog.base(), catalog.hard_state);
    }
    if catalog.position(prev.index) != Some(prev) {
        return Err(format!("the batch follows {prev}, which is not in the log"));
    }
    catalog.truncate(prev.index);
    if base.index.0 >= catalog.floor().index.0 && catalog.position(base.index) != Some(base) {
        return Err(format!("the base {base} is not in the log"));
    }
    catalog.compact(base);
    Ok(())
}

#[cfg(test)]
mod tests {
    use outboard_raft::{Entry, HardState, Index, NodeId, Payload, Position, Term};
    use proptest::prelude::*;

    use super::*;

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![6 => 0..6u64, 1 => u64::MAX - 3..=u64::MAX]
    }

    fn position() -> impl Strategy<Value = Position> {
        (number(), number()).prop_map(|(index, term)| Position { index: Index(index), term: Term(term) })
    }

    fn batch() -> impl Strategy<Value = (BatchHeader, Vec<u8>)> {
        let kind = prop_oneof![4 => Just(BatchKind::Append), 1 => Just(BatchKind::Reset), 1 => Just(BatchKind::Close)];
        let entries = prop::collection::vec(position(), 0..3);
        let parts = (kind, entries, 0..3u32, position(), position(), number(), 0..3usize);
        parts.prop_map(|(kind, entries, more, base, prev, term, cut)| {
            let mut payload = Vec::new();
            for Position { index, term } in &entries {
                let payload_of = Payload::Command([1, 2, 3].as_slice().into());
                record::encode_entry(&mut payload, &Entry { index: *index, term: *term, payload: payload_of });
            }
            payload.truncate(payload.len() - cut.min(payload.len()));
            payload.resize(record::padded(payload.len()), 0);
            let hard_state = HardState { term: Term(term), vote: Some(NodeId(1)) };
            let entries = entries.len() as u32 + more / 2;
            let (offset, payload_bytes) = (64, payload.len() as u32);
            let header = BatchHeader {
                kind,
                offset,
                mark: 0,
                life: 1,
                entries,
                payload_bytes,
                payload_crc: 0,
                hard_state,
                base,
                prev,
            };
            (header, payload)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn batches_with_right_checksums_and_any_content_are_followed_or_refused(
            batches in prop::collection::vec(batch(), 1..8),
        ) {
            let mut catalog = None;
            for (header, payload) in &batches {
                match replay(catalog.take(), 1, header, payload) {
                    Ok(next) => catalog = Some(next),
                    Err(_) => break,
                }
            }
            if let Some(catalog) = catalog {
                prop_assert!(catalog.base().index.0 <= catalog.last().index.0);
            }
        }
    }
}
