//! A snapshot's frames on the receiver's disk: chunks, each a file named by the BLAKE3 hash of its bytes, and a manifest that says which of
//! them in which order are one snapshot.
//!
//! ```text
//! DIR/<hash>.chunk     a frame of records
//! DIR/<n>.part         a chunk while it is written
//! DIR/<i>-<t>.snapshot the manifest of a complete snapshot that waits to be installed: OUTBSNAP, number of chunks (4 bytes), their hashes, the
//!                      last frame
//! ```
//!
//! Chunks outlive a cut, a crash, and the snapshot that they came for: the next one asks only for what is not here. Nothing is believed for its name:
//! a chunk's bytes are hashed before it counts as being here, and all frames together when they are read for the tables, which take all
//! or nothing. So nothing here is ever synced, and a crash at any step leaves the node as it was. Tests: here.

use super::frames::{END, FRAME_BYTES_MAX, StagedFrames, unusable};
use bytes::Bytes;
use outboard_raft::Position;
use outboard_store::Records;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

/// Chunks of one snapshot: some hundred GB.
pub(super) const CHUNKS_MAX: usize = 1 << 22;
/// Chunks that nobody has asked for within this time are removed at a start.
const KEPT: Duration = Duration::from_secs(24 * 3600);
const MAGIC: &[u8; 8] = b"OUTBSNAP";
const HASH_BYTES: usize = 32;
/// The first byte of a frame of hashes.
pub(super) const LIST: u8 = 3;
/// Hashes in one of them.
pub(super) const HASHES_MAX: usize = 8_192;

/// The name of a chunk.
pub(super) type Hash = [u8; HASH_BYTES];

/// Which chunks make a snapshot.
#[derive(Clone, Eq, PartialEq, Debug, Default)]
pub(super) struct Manifest {
    pub(super) chunks: Vec<Hash>,
    /// The last frame, which holds the hash over all others.
    pub(super) end: Bytes,
}

impl Manifest {
    /// Takes the next frame of a manifest on its way. True if it was the last one.
    pub(super) fn take(&mut self, frame: Bytes) -> Result<bool, &'static str> {
        match frame.split_first() {
            Some((&END, _)) => {
                self.end = frame;
                return Ok(true);
            }
            Some((&LIST, hashes)) if hashes.len() % HASH_BYTES == 0 => {
                let hashes = hashes.chunks_exact(HASH_BYTES);
                self.chunks.extend(hashes.map(|hash| Hash::try_from(hash).expect("of that length")));
            }
            Some(_) | None => return Err("a list of chunks makes no sense"),
        }
        if self.chunks.len() > CHUNKS_MAX { Err("there are too many chunks") } else { Ok(false) }
    }

    fn encode(&self) -> Vec<u8> {
        let count = u32::try_from(self.chunks.len()).expect("a snapshot has not so many chunks");
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&count.to_le_bytes());
        self.chunks.iter().for_each(|chunk| bytes.extend_from_slice(chunk));
        bytes.extend_from_slice(&self.end);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Manifest> {
        let (count, rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
        let (chunks, end) = rest.split_at_checked((u32::from_le_bytes(*count) as usize).checked_mul(HASH_BYTES)?)?;
        let chunks = chunks.chunks_exact(HASH_BYTES).map(|hash| hash.try_into().expect("of that length")).collect();
        (end.first() == Some(&END)).then(|| Manifest { chunks, end: Bytes::copy_from_slice(end) })
    }
}

/// Where a complete snapshot's manifest lies until it is installed.
pub(crate) fn staged_path(incoming: &Path, at: Position) -> PathBuf {
    incoming.join(format!("{}-{}.snapshot", at.index, at.term))
}

/// A snapshot on its way in. One at a time: others' chunks are swept away when it begins.
pub(super) struct Arriving {
    incoming: PathBuf,
    manifest: Manifest,
    /// Chunks that are not here yet, ascending; the next one to come first.
    missing: std::vec::IntoIter<u32>,
}

impl Arriving {
    /// Looks which chunks are here, and removes those that are of no use for this snapshot. Fails while another one waits to be installed.
    pub(super) fn begin(incoming: &Path, manifest: Manifest) -> io::Result<Arriving> {
        let wanted: BTreeSet<&Hash> = manifest.chunks.iter().collect();
        let mut here = BTreeSet::new();
        for entry in fs::read_dir(incoming)? {
            let path = entry?.path();
            if has_ending(&path, "snapshot") {
                return Err(io::Error::other("another snapshot is being installed"));
            }
            match hash_of(&path).filter(|hash| wanted.contains(hash)) {
                Some(hash) if read_chunk(incoming, &hash).is_ok() => drop(here.insert(hash)),
                Some(_) | None => fs::remove_file(&path)?,
            }
        }
        let missing = (0..).zip(&manifest.chunks).filter(|(_, hash)| !here.contains(*hash)).map(|(number, _)| number);
        let missing: Vec<u32> = missing.collect();
        Ok(Arriving { incoming: incoming.to_owned(), manifest, missing: missing.into_iter() })
    }

    /// Which chunks are wanted: a bit for each, the lowest first.
    pub(super) fn wanted(&self) -> Vec<u8> {
        let mut bits = vec![0; self.manifest.chunks.len().div_ceil(8)];
        for number in self.missing.as_slice() {
            bits[*number as usize / 8] |= 1 << (number % 8);
        }
        bits
    }

    pub(super) fn missing(&self) -> usize {
        self.missing.len()
    }

    /// Takes the next chunk that is wanted.
    pub(super) fn take(&mut self, chunk: &[u8]) -> io::Result<()> {
        let number = self.missing.next().ok_or_else(|| io::Error::other("more chunks than wanted"))?;
        let hash = self.manifest.chunks[number as usize];
        if *blake3::hash(chunk).as_bytes() != hash {
            return Err(io::Error::other("a chunk is not what its manifest says"));
        }
        let part = beside(&self.incoming);
        fs::write(&part, chunk)?;
        fs::rename(part, chunk_path(&self.incoming, &hash))
    }

    /// Everything is here: it may be installed.
    pub(super) fn stage(self, at: Position) -> io::Result<()> {
        if self.missing.len() > 0 {
            return Err(io::Error::other("it ended early"));
        }
        let part = beside(&self.incoming);
        fs::write(&part, self.manifest.encode())?;
        fs::rename(part, staged_path(&self.incoming, at))
    }
}

/// The records of a complete snapshot. Damage ends in an error, and the tables stay as they were.
pub(super) fn read(staged: &Path) -> Records {
    let incoming = staged.parent().unwrap_or(Path::new(".")).to_owned();
    let manifest = fs::read(staged)
        .and_then(|bytes| Manifest::decode(&bytes).ok_or_else(|| io::Error::other("its manifest is damaged")));
    match manifest {
        Ok(Manifest { chunks, end }) => {
            let chunks = chunks.into_iter().map(move |hash| read_chunk(&incoming, &hash));
            StagedFrames::records(chunks.chain(std::iter::once(Ok(end))))
        }
        Err(error) => Box::new(std::iter::once(Err(unusable(error.to_string())))),
    }
}

/// It is installed: nothing of it is needed any more.
pub(super) fn remove(staged: &Path) {
    let Some(incoming) = staged.parent() else { return };
    let files = fs::read_dir(incoming).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|path| hash_of(path).is_some()).for_each(|path| fs::remove_file(path).unwrap_or_default());
    fs::remove_file(staged).unwrap_or_default();
}

/// It is not wanted: its chunks may serve the next one.
pub(super) fn dismiss(staged: &Path) {
    fs::remove_file(staged).unwrap_or_default();
}

/// At a start: nothing waits to be installed, and what came of a transfer that was cut is kept for a while.
pub(crate) fn tidy(incoming: &Path) -> io::Result<()> {
    fs::create_dir_all(incoming)?;
    for entry in fs::read_dir(incoming)? {
        let entry = entry?;
        let age = |modified| SystemTime::now().duration_since(modified).unwrap_or_default();
        let fresh = entry.metadata().and_then(|data| data.modified()).is_ok_and(|modified| age(modified) < KEPT);
        if hash_of(&entry.path()).is_none() || !fresh {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn read_chunk(incoming: &Path, hash: &Hash) -> io::Result<Bytes> {
    let path = chunk_path(incoming, hash);
    if fs::metadata(&path)?.len() > FRAME_BYTES_MAX as u64 {
        return Err(io::Error::other("a chunk is too long"));
    }
    let bytes = fs::read(path)?;
    if blake3::hash(&bytes).as_bytes() != hash {
        return Err(io::Error::other("a chunk is damaged"));
    }
    Ok(bytes.into())
}

fn chunk_path(incoming: &Path, hash: &Hash) -> PathBuf {
    incoming.join(format!("{}.chunk", blake3::Hash::from_bytes(*hash).to_hex()))
}

fn hash_of(path: &Path) -> Option<Hash> {
    let name = path.file_stem().filter(|_| has_ending(path, "chunk"))?.to_str()?;
    blake3::Hash::from_hex(name).ok().map(|hash| *hash.as_bytes())
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found == ending)
}

/// A name that nothing else uses.
fn beside(incoming: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    incoming.join(format!("{}.part", NEXT.fetch_add(1, Ordering::Relaxed)))
}

#[cfg(test)]
mod tests {
    use super::super::frames::read_out;
    use super::*;
    use outboard_store::{Batch, MemoryStore, Store, Table};

    fn store(changed: u32) -> MemoryStore {
        let store = MemoryStore::new();
        let mut batch = Batch::new(7);
        for number in 0u32..20_000 {
            let fill = u8::from(number == changed) + 7;
            batch.put(Table::engine(1, number % 3), &number.to_be_bytes(), vec![fill; 200]).expect("short keys");
        }
        store.commit(batch).expect("memory");
        store
    }

    /// What a sender would send.
    fn outgoing(store: &MemoryStore) -> (Manifest, Vec<Bytes>) {
        let mut frames = Vec::new();
        let take = |frame: Bytes| {
            frames.push(frame);
            true
        };
        read_out(store.view().records(), take).expect("memory");
        let end = frames.pop().expect("the last frame");
        (Manifest { chunks: frames.iter().map(|frame| *blake3::hash(frame).as_bytes()).collect(), end }, frames)
    }

    const AT: Position = Position { index: outboard_raft::Index(7), term: outboard_raft::Term(1) };

    fn send(arriving: &mut Arriving, frames: &[Bytes], at_most: usize) -> usize {
        let wanted = arriving.wanted();
        let is_wanted = |number: usize| wanted[number / 8] & 1 << (number % 8) != 0;
        let sent = frames.iter().enumerate().filter(|(number, _)| is_wanted(*number)).take(at_most);
        sent.map(|(_, frame)| arriving.take(frame).expect("as the manifest says")).count()
    }

    fn all(store: &MemoryStore) -> Vec<(Table, Bytes, Bytes)> {
        store.view().records().map(|record| record.expect("memory")).collect()
    }

    #[test]
    fn a_transfer_that_is_cut_again_and_again_goes_on_where_it_was_and_arrives_as_it_was_sent() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = store(0);
        let (manifest, frames) = outgoing(&source);
        assert!(frames.len() > 12, "{} chunks", frames.len());
        let mut sent = 0;
        loop {
            // Each cut is a crash of the process as well.
            tidy(folder.path()).expect("writable");
            let mut arriving = Arriving::begin(folder.path(), manifest.clone()).expect("nothing waits");
            assert_eq!(arriving.missing(), frames.len() - sent, "what is here is not asked for again");
            sent += send(&mut arriving, &frames, 5);
            if arriving.missing() > 0 {
                assert!(arriving.stage(AT).is_err(), "half a snapshot is none");
                continue;
            }
            arriving.stage(AT).expect("staged");
            break;
        }
        let staged = staged_path(folder.path(), AT);
        assert!(Arriving::begin(folder.path(), manifest).is_err(), "one at a time");
        let other = MemoryStore::new();
        other.install(7, &mut read(&staged)).expect("installed");
        assert!(all(&other) == all(&source));
        remove(&staged);
        assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 0);
    }

    #[test]
    fn a_newer_snapshot_asks_only_for_what_has_changed_and_the_rest_of_the_older_one_is_swept_away() {
        let folder = tempfile::tempdir().expect("a folder");
        let (older, frames) = outgoing(&store(0));
        let mut arriving = Arriving::begin(folder.path(), older).expect("nothing waits");
        send(&mut arriving, &frames, usize::MAX);
        let newer_store = store(9_999);
        let (newer, frames) = outgoing(&newer_store);
        let mut arriving = Arriving::begin(folder.path(), newer).expect("nothing waits");
        assert!((1..=2).contains(&arriving.missing()), "{} of {} chunks", arriving.missing(), frames.len());
        send(&mut arriving, &frames, usize::MAX);
        arriving.stage(AT).expect("staged");
        let other = MemoryStore::new();
        other.install(7, &mut read(&staged_path(folder.path(), AT))).expect("installed");
        assert!(all(&other) == all(&newer_store));
        assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), frames.len() + 1);
    }

    #[test]
    fn a_chunk_that_is_damaged_on_the_disk_is_asked_for_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let (manifest, frames) = outgoing(&store(0));
        let mut arriving = Arriving::begin(folder.path(), manifest.clone()).expect("nothing waits");
        send(&mut arriving, &frames, usize::MAX);
        let damage = |number: usize, to: &dyn Fn(Vec<u8>) -> Vec<u8>| {
            let path = chunk_path(folder.path(), &manifest.chunks[number]);
            fs::write(&path, to(fs::read(&path).expect("it is there"))).expect("writable");
        };
        damage(0, &|_| Vec::new());
        damage(3, &|mut bytes| {
            bytes[100] ^= 1;
            bytes
        });
        let mut arriving = Arriving::begin(folder.path(), manifest.clone()).expect("nothing waits");
        assert_eq!((arriving.missing(), arriving.wanted()[0]), (2, 0b1001));
        assert!(arriving.take(&frames[1]).is_err(), "another chunk than the next one");
        // Damaged between staging and installing: the tables stay as they were, and the next transfer repairs it.
        let mut arriving = Arriving::begin(folder.path(), manifest.clone()).expect("nothing waits");
        send(&mut arriving, &frames, usize::MAX);
        arriving.stage(AT).expect("staged");
        damage(2, &|mut bytes| {
            bytes[200] ^= 1;
            bytes
        });
        let (staged, other) = (staged_path(folder.path(), AT), MemoryStore::new());
        assert!(other.install(7, &mut read(&staged)).is_err());
        assert_eq!(other.applied(), 0);
        dismiss(&staged);
        assert_eq!(Arriving::begin(folder.path(), manifest).expect("nothing waits").missing(), 1);
    }

    #[test]
    fn a_manifest_with_any_byte_changed_or_cut_installs_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let (manifest, frames) = outgoing(&store(0));
        let mut arriving = Arriving::begin(folder.path(), manifest).expect("nothing waits");
        send(&mut arriving, &frames, usize::MAX);
        arriving.stage(AT).expect("staged");
        let staged = staged_path(folder.path(), AT);
        let bytes = fs::read(&staged).expect("it is there");
        let places = [0, 8, 9, 11, 12, 40, bytes.len() - 1];
        let flipped = places.map(|at| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            bytes
        });
        let cuts = [0, 7, 12, 50, bytes.len() - 1].map(|at| bytes[..at].to_vec());
        for damaged in flipped.into_iter().chain(cuts) {
            fs::write(&staged, damaged).expect("writable");
            assert!(MemoryStore::new().install(7, &mut read(&staged)).is_err());
        }
    }
}
