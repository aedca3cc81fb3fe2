//! Snapshots on their way: a view of the tables, streamed in frames of records, staged in a file, handed to the tables whole.
//!
//! A frame is [`RECORDS`] and a run of records: table (8 bytes), length of the key (4), length of the value (4), all
//! little-endian, key, value. The last frame is [`END`], the number of records (8 bytes) and the BLAKE3 hash over all frames
//! before it. The staged file holds the same frames, each behind its length (4 bytes).
//!
//! Invariants: the tables take a snapshot only after its last frame was checked, on arrival and again when read back; applying
//! goes on while one is sent. A later issue makes them resumable, in content-addressed chunks.

use super::{Desk, answer, blocking};
use crate::core::Event;
use bytes::{Buf, Bytes};
use outboard_net::{BulkStream, NetError};
use outboard_raft::{NodeId, Position, SnapshotMeta, SnapshotRequest, Term};
use outboard_store::{Records, StoreError, Table};
use outboard_wire::bulk::{BulkHeader, BulkReply};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;

/// A frame is closed when it has come to so many bytes.
const FRAME_BYTES: usize = 256 << 10;
/// Frames that wait between the disk and the network.
const FRAMES_WAITING: usize = 8;
/// A frame is never longer: one record more than a full frame.
const FRAME_BYTES_MAX: usize = FRAME_BYTES + (2 << 20);
/// The first byte of a frame of records.
const RECORDS: u8 = 1;
/// The first byte of the last frame.
const END: u8 = 2;

/// Streams the tables as they are now to a peer, and tells the core how it ended.
pub(crate) async fn send(desk: Desk, request: SnapshotRequest) {
    let published = desk.slot.get();
    let meta = published.head.snapshot_meta();
    let (to, at) = (request.to, meta.position);
    tracing::info!(%to, %at, "sending a snapshot");
    let sent = stream_out(&desk, request, &meta, published.view.records()).await;
    if let Err(reason) = &sent {
        tracing::warn!(%to, %at, reason, "a snapshot did not arrive");
    }
    desk.words.event(Event::SnapshotSent { to, at, ok: sent.is_ok() });
}

async fn stream_out(
    desk: &Desk,
    request: SnapshotRequest,
    meta: &SnapshotMeta,
    records: Records,
) -> Result<(), String> {
    let told = |error: NetError| error.to_string();
    let header = BulkHeader::Snapshot { term: request.term.0, meta: meta.into() };
    let mut stream = desk.net.open_bulk(request.to, header.encode().into()).await.map_err(told)?;
    let (frames, mut waiting) = mpsc::channel(FRAMES_WAITING);
    let reading = tokio::task::spawn_blocking(move || read_out(records, |frame| frames.blocking_send(frame).is_ok()));
    while let Some(frame) = waiting.recv().await {
        stream.write_frame(frame).await.map_err(told)?;
    }
    reading.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    stream.finish().await.map_err(told)?;
    let frame = stream.read_frame().await.map_err(told)?.ok_or("the peer said nothing")?;
    match BulkReply::decode(&frame).map_err(|error| error.to_string())? {
        BulkReply::Done => Ok(()),
        BulkReply::Refused(reason) => Err(reason),
        BulkReply::Component { .. }
        | BulkReply::Pushed(_)
        | BulkReply::Forbidden(_)
        | BulkReply::Certified { .. }
        | BulkReply::Authority { .. } => Err("an answer to something else".into()),
    }
}

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
        if frame.len() >= FRAME_BYTES {
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
    let mut frame = Vec::with_capacity(FRAME_BYTES + (FRAME_BYTES >> 2));
    frame.push(RECORDS);
    frame
}

/// A leader sends a snapshot: stage it, check it, and ask the core whether it is wanted.
pub(super) async fn on_snapshot(
    desk: &Desk,
    stream: &mut BulkStream,
    from: NodeId,
    term: u64,
    meta: SnapshotMeta,
) -> Result<(), NetError> {
    let path = staged_path(&desk.incoming, meta.position);
    let beside = beside(&desk.incoming);
    let staged = match stage(stream, beside.clone()).await? {
        Ok(()) => std::fs::rename(&beside, &path).map_err(|error| error.to_string()),
        Err(reason) => Err(reason),
    };
    match staged {
        Ok(()) => {
            desk.words.event(Event::SnapshotStaged { from, term: Term(term), meta });
            answer(stream, BulkReply::Done).await
        }
        Err(reason) => {
            std::fs::remove_file(&beside).unwrap_or_default();
            tracing::warn!(%from, reason, "a snapshot could not be staged");
            answer(stream, BulkReply::Refused(reason)).await
        }
    }
}

async fn stage(stream: &mut BulkStream, path: PathBuf) -> Result<Result<(), String>, NetError> {
    let (frames, waiting) = mpsc::channel(FRAMES_WAITING);
    let writing = tokio::task::spawn_blocking(move || write_staged(&path, waiting));
    while let Some(frame) = stream.read_frame().await? {
        if frames.send(frame).await.is_err() {
            break;
        }
    }
    drop(frames);
    Ok(match writing.await {
        Ok(written) => written.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    })
}

fn write_staged(path: &Path, mut frames: mpsc::Receiver<Bytes>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    let mut check = Check::default();
    while let Some(frame) = frames.blocking_recv() {
        check.on_frame(&frame).map_err(io::Error::other)?;
        file.write_all(&u32::try_from(frame.len()).map_err(io::Error::other)?.to_le_bytes())?;
        file.write_all(&frame)?;
    }
    check.end().map_err(io::Error::other)?;
    file.into_inner().map_err(|error| error.into_error())?.sync_all()
}

/// Where a complete snapshot lies until it is installed.
pub(crate) fn staged_path(incoming: &Path, at: Position) -> PathBuf {
    incoming.join(format!("{}-{}.snapshot", at.index, at.term))
}

/// A name that no other transfer uses.
fn beside(incoming: &Path) -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    incoming.join(format!("{}.part", NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// A complete snapshot, waiting to be installed.
pub(crate) enum Staged {
    /// On this node's disk.
    File(PathBuf),
    /// In memory, as the simulator has it.
    Frames(Vec<Bytes>),
}

impl Staged {
    /// Its records. Damage ends in an error, and the tables stay as they were.
    pub(crate) fn records(&self) -> Records {
        match self {
            Staged::File(path) => read_staged(path),
            Staged::Frames(frames) => {
                let frames = frames.clone().into_iter().map(Ok);
                Box::new(StagedFrames { frames, frame: Bytes::new(), check: Check::default() })
            }
        }
    }

    /// It is installed, or not wanted any more.
    pub(crate) fn remove(self) {
        if let Staged::File(path) = self {
            std::fs::remove_file(path).unwrap_or_default();
        }
    }
}

fn read_staged(path: &Path) -> Records {
    match File::open(path) {
        Ok(file) => {
            let frames = FileFrames(BufReader::new(file));
            Box::new(StagedFrames { frames, frame: Bytes::new(), check: Check::default() })
        }
        Err(error) => Box::new(std::iter::once(Err(unusable(error.to_string())))),
    }
}

fn unusable(what: impl Into<String>) -> StoreError {
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
struct Check {
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
struct StagedFrames<F> {
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

/// The frames of a staged file.
struct FileFrames(BufReader<File>);

impl Iterator for FileFrames {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<io::Result<Bytes>> {
        Some(self.read_frame())
    }
}

impl FileFrames {
    fn read_frame(&mut self) -> io::Result<Bytes> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::other("a frame is too long"));
        }
        let mut frame = vec![0; length];
        self.0.read_exact(&mut frame)?;
        Ok(frame.into())
    }
}

/// Forgets what earlier transfers left.
pub(crate) fn clear(incoming: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(incoming) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    std::fs::create_dir_all(incoming)
}

/// A staged snapshot that nobody wants.
pub(crate) async fn discard(path: PathBuf) {
    blocking(move || std::fs::remove_file(path).unwrap_or_default()).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_store::{Batch, MemoryStore, Store};

    fn frames_of(store: &MemoryStore) -> Vec<Bytes> {
        let mut frames = Vec::new();
        let take = |frame| {
            frames.push(frame);
            true
        };
        read_out(store.view().records(), take).expect("memory");
        frames
    }

    fn filled() -> MemoryStore {
        let store = MemoryStore::new();
        let mut batch = Batch::new(7);
        for number in 0u32..5_000 {
            batch.put(Table::engine(1, number % 3), &number.to_be_bytes(), vec![7; 200]).expect("short keys");
        }
        store.commit(batch).expect("memory");
        store
    }

    fn staged(frames: &[Bytes], folder: &Path) -> io::Result<PathBuf> {
        let path = folder.join("x");
        let (sender, receiver) = mpsc::channel(frames.len().max(1));
        for frame in frames {
            sender.try_send(frame.clone()).expect("room");
        }
        drop(sender);
        write_staged(&path, receiver).map(|()| path)
    }

    #[test]
    fn a_snapshot_arrives_as_it_was_sent() {
        let (folder, store) = (tempfile::tempdir().expect("a folder"), filled());
        let frames = frames_of(&store);
        assert!(frames.len() > 3, "more than one frame of records");
        let path = staged(&frames, folder.path()).expect("staged");
        let other = MemoryStore::new();
        other.install(7, &mut read_staged(&path)).expect("installed");
        let all = |store: &MemoryStore| store.view().records().map(|r| r.expect("memory")).collect::<Vec<_>>();
        assert_eq!(all(&store), all(&other));
    }

    #[test]
    fn one_that_is_cut_short_or_altered_is_not_staged() {
        let (folder, frames) = (tempfile::tempdir().expect("a folder"), frames_of(&filled()));
        for cut in 0..frames.len() {
            assert!(staged(&frames[..cut], folder.path()).is_err(), "{cut} frames are not all");
        }
        let mut altered = frames.clone();
        let mut bytes = altered[1].to_vec();
        *bytes.last_mut().expect("a record") ^= 1;
        altered[1] = bytes.into();
        assert!(staged(&altered, folder.path()).is_err());
        let mut doubled = frames;
        doubled.push(doubled[0].clone());
        assert!(staged(&doubled, folder.path()).is_err());
    }

    #[test]
    fn a_file_that_is_damaged_after_staging_leaves_the_tables_as_they_were() {
        let (folder, store) = (tempfile::tempdir().expect("a folder"), filled());
        let path = staged(&frames_of(&store), folder.path()).expect("staged");
        let mut bytes = std::fs::read(&path).expect("the file");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        std::fs::write(&path, bytes).expect("writable");
        let other = MemoryStore::new();
        assert!(other.install(7, &mut read_staged(&path)).is_err());
        assert_eq!(other.applied(), 0);
    }
}
