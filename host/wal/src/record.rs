//! The bytes of the log: segment header, batch header, entry. `FORMAT.md` is the book; a change here is a change there.
//!
//! Decoding never trusts a length and never panics. Nothing here reads or writes files. Tests at the end of the file.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use outboard_raft::{Entry, HardState, Index, Membership, NodeId, Payload, Position, Term};

/// The longest command that an entry may carry. Larger ones are refused before they reach the log.
pub const ENTRY_BYTES_MAX: usize = 64 << 20;

/// The version in every segment's header.
pub(crate) const FORMAT: u32 = 1;
pub(crate) const SEGMENT_HEADER_BYTES: u32 = 64;
pub(crate) const BATCH_HEADER_BYTES: u32 = 96;
pub(crate) const ENTRY_HEADER_BYTES: usize = 25;
/// Batches begin at multiples of this, so that one can be looked for behind a damaged one.
pub(crate) const ALIGN: u32 = 8;

const MAGIC: [u8; 8] = *b"OUTBDWAL";
const KIND_NOOP: u8 = 0;
const KIND_COMMAND: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// What stands at the head of a segment, written once, durable before the file gets its name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SegmentHeader {
    pub(crate) cluster: u128,
    pub(crate) segment: u32,
    pub(crate) capacity: u32,
}

/// What is wrong with a segment's header.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum BadHeader {
    Damaged,
    Version(u32),
}

impl SegmentHeader {
    /// Begins every batch of this life of the file. A file used again has another number and so another salt; what it
    /// held in its former life is never taken for new.
    pub(crate) fn salt(&self) -> u64 {
        let folded = (self.cluster as u64) ^ ((self.cluster >> 64) as u64).rotate_left(32);
        mix(mix(folded) ^ u64::from(self.segment))
    }

    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES as usize] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.cluster.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.segment.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.capacity.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.salt().to_le_bytes());
        let crc = crc32c(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES as usize]) -> Result<SegmentHeader, BadHeader> {
        let mut unsigned = *bytes;
        unsigned[12..16].fill(0);
        if bytes[..8] != MAGIC || crc32c(&unsigned) != u32_at(bytes, 12) {
            return Err(BadHeader::Damaged);
        }
        if u32_at(bytes, 8) != FORMAT {
            return Err(BadHeader::Version(u32_at(bytes, 8)));
        }
        let mut cluster = [0; 16];
        cluster.copy_from_slice(&bytes[16..32]);
        let header = SegmentHeader {
            cluster: u128::from_le_bytes(cluster),
            segment: u32_at(bytes, 32),
            capacity: u32_at(bytes, 36),
        };
        if header.salt() == u64_at(bytes, 40) { Ok(header) } else { Err(BadHeader::Damaged) }
    }
}

/// What a batch does to the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum BatchKind {
    /// The log ends at `prev`, then the batch's entries follow.
    Append,
    /// The log is emptied and starts after `base`, as a snapshot was installed.
    Reset,
    /// The last batch of its segment: the next segment was durable before this one was written.
    Close,
}

/// A batch's header. Each carries the whole hard state and base, so the last good batch tells them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct BatchHeader {
    pub(crate) kind: BatchKind,
    /// Where this header stands in its segment.
    pub(crate) offset: u32,
    /// Up to where the segment was durable before this was written.
    pub(crate) mark: u32,
    /// How often the log was recovered before. Tells batches of a torn tail that was cut from those written after the cut.
    pub(crate) life: u64,
    pub(crate) entries: u32,
    /// Behind the header; a multiple of [`ALIGN`].
    pub(crate) payload_bytes: u32,
    pub(crate) payload_crc: u32,
    pub(crate) hard_state: HardState,
    pub(crate) base: Position,
    /// The position that the entries follow.
    pub(crate) prev: Position,
}

impl BatchHeader {
    pub(crate) fn encode(&self, salt: u64) -> [u8; BATCH_HEADER_BYTES as usize] {
        let mut bytes = [0; BATCH_HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(&salt.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.payload_crc.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.offset.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.mark.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.payload_bytes.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.entries.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.life.to_le_bytes());
        bytes[40] = match self.kind {
            BatchKind::Append => 1,
            BatchKind::Reset => 2,
            BatchKind::Close => 3,
        };
        bytes[41] = u8::from(self.hard_state.vote.is_some());
        bytes[48..56].copy_from_slice(&self.hard_state.term.0.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.hard_state.vote.map_or(0, |vote| vote.0).to_le_bytes());
        bytes[64..72].copy_from_slice(&self.base.index.0.to_le_bytes());
        bytes[72..80].copy_from_slice(&self.base.term.0.to_le_bytes());
        bytes[80..88].copy_from_slice(&self.prev.index.0.to_le_bytes());
        bytes[88..96].copy_from_slice(&self.prev.term.0.to_le_bytes());
        // With the salt: torn right behind it, a new header would else end in the good rest of one from the file's former life.
        let crc = crc32c(&bytes);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header that was written at this offset in this life of the file, or nothing.
    pub(crate) fn decode(salt: u64, offset: u32, bytes: &[u8; BATCH_HEADER_BYTES as usize]) -> Option<BatchHeader> {
        if u64_at(bytes, 0) != salt || u32_at(bytes, 16) != offset {
            return None;
        }
        let mut unsigned = *bytes;
        unsigned[8..12].fill(0);
        if crc32c(&unsigned) != u32_at(bytes, 8) {
            return None;
        }
        let kind = match bytes[40] {
            1 => BatchKind::Append,
            2 => BatchKind::Reset,
            3 => BatchKind::Close,
            _ => return None,
        };
        let vote = (bytes[41] != 0).then(|| NodeId(u64_at(bytes, 56)));
        Some(BatchHeader {
            kind,
            offset,
            mark: u32_at(bytes, 20),
            life: u64_at(bytes, 32),
            entries: u32_at(bytes, 28),
            payload_bytes: u32_at(bytes, 24),
            payload_crc: u32_at(bytes, 12),
            hard_state: HardState { term: Term(u64_at(bytes, 48)), vote },
            base: position_at(bytes, 64),
            prev: position_at(bytes, 80),
        })
    }
}

/// What stands before an entry's payload: enough to walk over it without a look at the payload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct EntryHeader {
    crc: u32,
    kind: u8,
    pub(crate) payload_bytes: u32,
    pub(crate) position: Position,
}

impl EntryHeader {
    /// Nothing if this can't be an entry's header.
    pub(crate) fn decode(bytes: &[u8]) -> Option<EntryHeader> {
        if bytes.len() < ENTRY_HEADER_BYTES || bytes[24] > KIND_MEMBERSHIP {
            return None;
        }
        let payload_bytes = u32_at(bytes, 4);
        let header =
            EntryHeader { crc: u32_at(bytes, 0), kind: bytes[24], payload_bytes, position: position_at(bytes, 8) };
        (payload_bytes as usize <= ENTRY_BYTES_MAX).then_some(header)
    }

    /// Of header and payload together.
    pub(crate) fn entry_bytes(&self) -> usize {
        ENTRY_HEADER_BYTES + self.payload_bytes as usize
    }
}

/// How many bytes [`encode_entry`] writes.
pub(crate) fn entry_bytes(entry: &Entry) -> usize {
    let payload = match &entry.payload {
        Payload::Noop => 0,
        Payload::Command(command) => command.len(),
        Payload::Membership(membership) => {
            let sets: usize = sets(membership).iter().map(|set| 4 + 8 * set.len()).sum();
            sets + 4 + 16 * membership.joining.len()
        }
    };
    assert!(payload <= ENTRY_BYTES_MAX, "an entry above the limit must be refused before it reaches the log");
    ENTRY_HEADER_BYTES + payload
}

/// Puts an entry behind what is in the buffer.
pub(crate) fn encode_entry(buffer: &mut Vec<u8>, entry: &Entry) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; ENTRY_HEADER_BYTES]);
    let kind = match &entry.payload {
        Payload::Noop => KIND_NOOP,
        Payload::Command(command) => {
            buffer.extend_from_slice(command);
            KIND_COMMAND
        }
        Payload::Membership(membership) => {
            encode_membership(buffer, membership);
            KIND_MEMBERSHIP
        }
    };
    let bytes = &mut buffer[start..];
    let payload_bytes = u32::try_from(bytes.len() - ENTRY_HEADER_BYTES).expect("an entry is below its limit");
    bytes[4..8].copy_from_slice(&payload_bytes.to_le_bytes());
    bytes[8..16].copy_from_slice(&entry.index.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&entry.term.0.to_le_bytes());
    bytes[24] = kind;
    let crc = crc32c(&bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
}

/// The entry in exactly these bytes, or what is wrong with them.
pub(crate) fn decode_entry(bytes: &[u8]) -> Result<Entry, &'static str> {
    let header = EntryHeader::decode(bytes).ok_or("no entry")?;
    if bytes.len() != header.entry_bytes() || crc32c(&bytes[4..]) != header.crc {
        return Err("an entry's checksum is wrong");
    }
    let payload = &bytes[ENTRY_HEADER_BYTES..];
    let payload = match header.kind {
        KIND_NOOP if payload.is_empty() => Payload::Noop,
        KIND_COMMAND => Payload::Command(Arc::from(payload)),
        KIND_MEMBERSHIP => Payload::Membership(decode_membership(payload).ok_or("a membership makes no sense")?),
        _ => return Err("an entry's kind makes no sense"),
    };
    Ok(Entry { index: header.position.index, term: header.position.term, payload })
}

fn encode_membership(buffer: &mut Vec<u8>, membership: &Membership) {
    for set in sets(membership) {
        let count = u32::try_from(set.len()).expect("a membership fits an entry");
        buffer.extend_from_slice(&count.to_le_bytes());
        for node in set {
            buffer.extend_from_slice(&node.0.to_le_bytes());
        }
    }
    let count = u32::try_from(membership.joining.len()).expect("a membership fits an entry");
    buffer.extend_from_slice(&count.to_le_bytes());
    for (node, replaced) in &membership.joining {
        buffer.extend_from_slice(&node.0.to_le_bytes());
        buffer.extend_from_slice(&replaced.unwrap_or(*node).0.to_le_bytes());
    }
}

fn decode_membership(mut bytes: &[u8]) -> Option<Membership> {
    let mut next_set = || -> Option<BTreeSet<NodeId>> {
        let (count, rest) = bytes.split_at_checked(4)?;
        let (ids, rest) = rest.split_at_checked((u32_at(count, 0) as usize).checked_mul(8)?)?;
        bytes = rest;
        Some(ids.chunks_exact(8).map(|id| NodeId(u64_at(id, 0))).collect())
    };
    let [voters, outgoing, learners, learners_next] = [next_set()?, next_set()?, next_set()?, next_set()?];
    let (count, pairs) = bytes.split_at_checked(4)?;
    if pairs.len() != (u32_at(count, 0) as usize).checked_mul(16)? {
        return None;
    }
    let pair = |pair: &[u8]| {
        let (node, replaced) = (NodeId(u64_at(pair, 0)), NodeId(u64_at(pair, 8)));
        (node, (replaced != node).then_some(replaced))
    };
    let joining = pairs.chunks_exact(16).map(pair).collect();
    Some(Membership { voters, outgoing, learners, learners_next, joining })
}

/// In the order in which they are written.
fn sets(membership: &Membership) -> [&BTreeSet<NodeId>; 4] {
    [&membership.voters, &membership.outgoing, &membership.learners, &membership.learners_next]
}

/// CRC-32C (Castagnoli), as in iSCSI.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The next multiple of [`ALIGN`].
pub(crate) fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN as usize)
}

/// Spreads every bit of the input over the output (the finalizer of SplitMix64).
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn position_at(bytes: &[u8], at: usize) -> Position {
    Position { index: Index(u64_at(bytes, at)), term: Term(u64_at(bytes, at + 8)) }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at..at + 4))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at..at + 8))
}

fn array<const N: usize>(bytes: &[u8], range: Range<usize>) -> [u8; N] {
    bytes[range].try_into().expect("the range has the array's length")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(payload: Payload) -> Entry {
        Entry { index: Index(7), term: Term(3), payload }
    }

    fn nodes(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn entries() -> Vec<Entry> {
        let membership = Membership {
            voters: nodes(&[1, 2, 3]),
            outgoing: nodes(&[1]),
            learners: nodes(&[5, 6]),
            learners_next: nodes(&[9]),
            joining: [(NodeId(5), None), (NodeId(6), Some(NodeId(2)))].into(),
        };
        vec![
            entry(Payload::Noop),
            entry(Payload::Command(Arc::from(&b""[..]))),
            entry(Payload::Command(Arc::from(&b"SET a 1"[..]))),
            entry(Payload::Membership(membership)),
        ]
    }

    #[test]
    fn the_checksum_is_castagnoli() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn an_entry_reads_back_and_no_flipped_bit_passes() {
        for entry in entries() {
            let mut bytes = Vec::new();
            encode_entry(&mut bytes, &entry);
            assert_eq!(bytes.len(), entry_bytes(&entry));
            assert_eq!(decode_entry(&bytes), Ok(entry));
            for bit in 0..bytes.len() * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(decode_entry(&bytes).is_err(), "bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn a_truncated_entry_is_an_error() {
        for entry in entries() {
            let mut bytes = Vec::new();
            encode_entry(&mut bytes, &entry);
            for end in 0..bytes.len() {
                assert!(decode_entry(&bytes[..end]).is_err());
            }
        }
    }

    #[test]
    fn a_membership_with_a_lying_count_is_refused() {
        for count in [1u32, 2, u32::MAX] {
            let mut bytes = vec![0; 16];
            bytes[..4].copy_from_slice(&count.to_le_bytes());
            assert_eq!(decode_membership(&bytes), None);
        }
    }

    #[test]
    fn a_batch_header_reads_back_only_at_its_own_place_in_its_own_life_of_the_file() {
        let header = BatchHeader {
            kind: BatchKind::Append,
            offset: 64,
            mark: 64,
            life: 2,
            entries: 1,
            payload_bytes: 32,
            payload_crc: 5,
            hard_state: HardState { term: Term(4), vote: Some(NodeId(0)) },
            base: Position { index: Index(1), term: Term(1) },
            prev: Position { index: Index(6), term: Term(3) },
        };
        let mut bytes = header.encode(11);
        assert_eq!(BatchHeader::decode(11, 64, &bytes), Some(header));
        assert_eq!(BatchHeader::decode(12, 64, &bytes), None);
        assert_eq!(BatchHeader::decode(11, 72, &bytes), None);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(BatchHeader::decode(11, 64, &bytes), None, "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_header_torn_right_behind_its_salt_is_none_although_an_old_header_follows() {
        let header = BatchHeader {
            kind: BatchKind::Append,
            offset: 64,
            mark: 64,
            life: 1,
            entries: 0,
            payload_bytes: 0,
            payload_crc: 0,
            hard_state: HardState { term: Term(1), vote: None },
            base: Position { index: Index(0), term: Term(0) },
            prev: Position { index: Index(0), term: Term(0) },
        };
        let mut bytes = header.encode(11);
        bytes[..8].copy_from_slice(&12u64.to_le_bytes());
        assert_eq!(BatchHeader::decode(12, 64, &bytes), None);
    }

    #[test]
    fn a_segment_header_reads_back_and_a_file_used_again_has_another_salt() {
        let header = SegmentHeader { cluster: 3 << 64 | 5, segment: 9, capacity: 4096 };
        let mut bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(header.clone()));
        assert_ne!(header.salt(), SegmentHeader { segment: 10, ..header.clone() }.salt());
        assert_ne!(header.salt(), SegmentHeader { cluster: 5 << 64 | 3, ..header }.salt());
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bytes), Err(BadHeader::Damaged), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        let mut bytes = SegmentHeader { cluster: 1, segment: 1, capacity: 4096 }.encode();
        bytes[8] = 2;
        bytes[12..16].fill(0);
        let crc = crc32c(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(BadHeader::Version(2)));
    }
}
