//! The log's recovery over a folder that somebody has meddled with. The bytes are a list of things done to a good log: pieces written over,
//! bits flipped, files lost or exchanged; and batches whose checksums are made to fit afterwards, so that what they say is believed.
//!
//! Recovery may refuse. If it takes the log, all of it can be read, and it takes another entry and comes back with it.

use outboard_raft::{Entry, HardState, Index, NodeId, Payload, Term};
use outboard_wal::{Disk, MemDisk, Options, Recovered, Unrecovered, Wal, WalError};
use std::sync::{Arc, LazyLock};

const CLUSTER: u128 = 7;
/// Small enough that the good log has several segments.
const OPTIONS: Options = Options { segment_bytes: 1 << 10, sync: true };
/// Things done to one log.
const DEEDS_MAX: usize = 8;
/// Nothing comes behind it. This and the next as `host/wal/FORMAT.md` has them.
const INDEX_MAX: u64 = (1 << 63) - 1;
const BATCH_HEADER_BYTES: usize = 96;

/// A log with votes, a compaction and several segments.
static GOOD: LazyLock<MemDisk> = LazyLock::new(|| {
    let disk = MemDisk::new();
    let (mut wal, _) = open(&disk).expect("an empty disk is a good one");
    for number in 1..=30 {
        let (index, term) = (Index(number), Term(1 + number / 10));
        let hard_state = HardState { term, vote: Some(NodeId(1 + number / 10)) };
        let entry = Entry { index, term, payload: Payload::Command(Arc::from(vec![number as u8; 60])) };
        wal.append(Some(&hard_state), &[entry]).expect("there is room");
        wal.sync().expect("the disk works");
    }
    wal.compact(Index(3)).expect("the disk works");
    drop(wal);
    disk
});

/// Meddles and recovers.
pub fn recover(bytes: &[u8]) -> bool {
    let disk = GOOD.fork();
    let mut rest = bytes;
    for _ in 0..DEEDS_MAX {
        let Some(deed) = Deed::take(&mut rest) else { break };
        deed.is_done_to(&disk);
    }
    let Ok((mut wal, _)) = open(&disk) else { return false };
    let read = match read_all(&mut wal) {
        Ok(read) => read,
        // An entry's own checksum is looked at when it is read.
        Err(WalError::Corrupt { .. }) => return false,
        Err(error) => panic!("a log that was taken can be read: {error}"),
    };
    let last = wal.last();
    if last.index.0 >= INDEX_MAX {
        return true;
    }
    let (next, term) = (last.index.next(), wal.hard_state().term.max(last.term));
    let more = Entry { index: next, term, payload: Payload::Noop };
    let hard_state = HardState { term, ..wal.hard_state() };
    wal.append(Some(&hard_state), std::slice::from_ref(&more)).expect("a log that was taken goes on");
    wal.sync().expect("the disk works");
    drop(wal);
    let (mut wal, _) = open(&disk).expect("what was taken once is taken again");
    let again = read_all(&mut wal).expect("what was read once is read again");
    assert_eq!(again, [read, vec![more]].concat(), "nothing was lost or came back");
    true
}

fn open(disk: &MemDisk) -> Result<(Wal, Recovered), WalError> {
    Unrecovered::open(Box::new(disk.clone()), CLUSTER, OPTIONS)?.recover()
}

fn read_all(wal: &mut Wal) -> Result<Vec<Entry>, WalError> {
    let (mut next, last) = (wal.base().index.next(), wal.last().index);
    let mut entries: Vec<Entry> = Vec::new();
    while next <= last {
        entries.extend(wal.read(next, last, 1 << 20)?);
        next = entries.last().map_or(next, |entry| entry.index.next());
    }
    Ok(entries)
}

/// One thing done to a file: what, to which file, where, and with which bytes.
struct Deed<'a> {
    kind: u8,
    file: u8,
    offset: usize,
    bytes: &'a [u8],
}

impl<'a> Deed<'a> {
    fn take(rest: &mut &'a [u8]) -> Option<Deed<'a>> {
        let ([kind, file, low, high, length], after) = rest.split_first_chunk()?;
        let (bytes, after) = after.split_at(usize::from(*length % 64).min(after.len()));
        *rest = after;
        Some(Deed { kind: *kind, file: *file, offset: usize::from(u16::from_le_bytes([*low, *high])), bytes })
    }

    /// What can't be done is not done.
    fn is_done_to(&self, disk: &MemDisk) {
        let mut files = disk.list().unwrap_or_default();
        files.retain(|name| name != "lock");
        files.sort();
        let Some(name) = files.get(usize::from(self.file) % files.len().max(1)) else { return };
        let size = disk.bytes_of(name).map_or(0, |bytes| bytes.len());
        match self.kind % 6 {
            0 | 1 => write(disk, name, self.offset % (size + 1), self.bytes),
            2 => drop(disk.flip_bit(name, (self.offset % (size + 1)) as u64, self.kind / 8)),
            3 => drop(disk.lose_file(name)),
            4 => {
                let other = &files[self.offset % files.len()];
                disk.rename(name, other).unwrap_or_default();
            }
            _ => self.believed(disk, name),
        }
    }

    /// Writes into a batch and makes it good again.
    fn believed(&self, disk: &MemDisk, name: &str) {
        let Some(file) = disk.bytes_of(name) else { return };
        let batches = batches(&file);
        let Some(start) = batches.get(self.offset % batches.len().max(1)).copied() else { return };
        let Some((at, bytes)) = self.bytes.split_first() else { return };
        let mut batch = file[start..].to_vec();
        let at = usize::from(*at);
        let end = (at + bytes.len()).min(batch.len());
        if at >= end {
            return;
        }
        batch[at..end].copy_from_slice(&bytes[..end - at]);
        let length = u32_at(&batch, 24).min(batch.len() - BATCH_HEADER_BYTES);
        let entries_end = BATCH_HEADER_BYTES + length;
        seal_entries(&mut batch[BATCH_HEADER_BYTES..entries_end]);
        let payload = checksum(&batch[BATCH_HEADER_BYTES..entries_end]);
        batch[12..16].copy_from_slice(&payload.to_le_bytes());
        batch[8..12].fill(0);
        let header = checksum(&batch[..BATCH_HEADER_BYTES]);
        batch[8..12].copy_from_slice(&header.to_le_bytes());
        write(disk, name, start, &batch[..entries_end]);
    }
}

/// Where the batches of a segment begin.
fn batches(file: &[u8]) -> Vec<usize> {
    let (mut starts, mut at) = (Vec::new(), 64);
    while at + BATCH_HEADER_BYTES <= file.len() && file[at..at + 8] == file[40..48] {
        starts.push(at);
        at += BATCH_HEADER_BYTES + u32_at(file, at + 24).next_multiple_of(8);
    }
    starts
}

fn seal_entries(payload: &mut [u8]) {
    let mut at = 0;
    while at + 25 <= payload.len() {
        let end = at + 25 + u32_at(payload, at + 4);
        if end > payload.len() {
            return;
        }
        let sum = checksum(&payload[at + 4..end]);
        payload[at..at + 4].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    let four = bytes[at..at + 4].try_into().expect("four bytes");
    u32::from_le_bytes(four) as usize
}

/// CRC-32C, bit by bit: the log's own is not public, and a second opinion is welcome.
fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ if sum & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !sum
}

fn write(disk: &MemDisk, name: &str, offset: usize, bytes: &[u8]) {
    if let Ok(file) = disk.open(name) {
        let written = file.write_at(offset as u64, bytes);
        // Past the end there is no room.
        written.and_then(|()| file.sync()).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_the_format() {
        assert_eq!(checksum(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn an_untouched_log_is_taken_and_a_batch_that_is_sealed_again_unchanged_too() {
        assert!(recover(&[]));
        assert!(recover(&[5, 1, 0, 0, 2, 16, 64]), "its offset, 64, is written again");
        assert!(!recover(&[5, 1, 0, 0, 2, 16, 72]), "a batch that says it stands elsewhere");
    }
}
