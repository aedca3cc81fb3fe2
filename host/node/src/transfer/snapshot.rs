//! Snapshots on their way: a view of the tables, cut into frames (`snapshot/frames.rs`), which are the chunks (`snapshot/chunks.rs`) that a
//! manifest lists by their hashes.
//!
//! ```text
//! sender                                        receiver
//! header: term and place                   ─▶
//! frames: LIST and up to 8192 hashes …, END ─▶   which of them are here?
//!                                          ◀─   Wanted: a bit for each
//! frames: the wanted chunks, in order      ─▶   each is checked and kept at once
//!                                          ◀─   Done, or why not
//! ```
//!
//! The view doesn't move, so it is read twice: once for the hashes, once for what is wanted. A transfer that is cut leaves its chunks with the
//! receiver; the next one sends the others, from whatever state of whatever leader, as most chunks are the same there.
//!
//! Invariants: the tables take a snapshot only whole and checked; applying goes on while one is sent, at a bounded pace; the log behind it stays
//! until it has ended. Tests: in `chunks.rs`, and `tests/cluster.rs`.

mod chunks;
mod frames;

use super::answer;
use crate::core::Event;
use crate::desk::{Desk, blocking};
use crate::settings::SNAPSHOT_BYTES_PER_SECOND;
use bytes::Bytes;
use chunks::{Arriving, CHUNKS_MAX, HASHES_MAX, LIST, Manifest};
use frames::{END, FRAME_BYTES_MAX, StagedFrames};
use outboard_net::{BulkStream, NetError};
use outboard_raft::{NodeId, Position, SnapshotMeta, SnapshotRequest, Term};
use outboard_store::{Records, StoreError, View};
use outboard_wire::bulk::{BulkHeader, BulkReply};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(crate) use chunks::{staged_path, tidy};
pub(crate) use frames::{check, read_out};

/// Frames that wait between the disk and the network.
const FRAMES_WAITING: usize = 8;

/// Streams the tables as they are now to a peer, and tells the core how it ended.
pub(crate) async fn send(desk: Desk, request: SnapshotRequest) {
    let published = desk.slot.get();
    let meta = published.head.snapshot_meta();
    let (to, at) = (request.to, meta.position);
    tracing::info!(%to, %at, "sending a snapshot");
    let sent = stream_out(&desk, request, &meta, published.view).await;
    match &sent {
        Ok((sent, all)) => tracing::info!(%to, %at, sent, all, "a snapshot has arrived; the other chunks were there"),
        Err(reason) => tracing::warn!(%to, %at, reason, "a snapshot did not arrive"),
    }
    desk.words.event(Event::SnapshotSent { to, at, ok: sent.is_ok() });
}

/// How many chunks were sent, of how many.
async fn stream_out(
    desk: &Desk,
    request: SnapshotRequest,
    meta: &SnapshotMeta,
    view: Arc<dyn View>,
) -> Result<(usize, usize), String> {
    let header = BulkHeader::Snapshot { term: request.term.0, meta: meta.into() };
    let mut stream = desk.net.open_bulk(request.to, header.encode().into()).await.map_err(text)?;
    let chunks = send_list(&mut stream, view.clone().records()).await?;
    let reply = read_reply(&mut stream).await?;
    let BulkReply::Wanted { chunks: wanted } = reply else { return Err(reply.into_refusal()) };
    if wanted.len() != chunks.div_ceil(8) {
        return Err("it wants other chunks than there are".to_owned());
    }
    let sent = send_wanted(&mut stream, view.records(), &wanted).await?;
    stream.finish().await.map_err(text)?;
    let reply = read_reply(&mut stream).await?;
    if reply == BulkReply::Done { Ok((sent, chunks)) } else { Err(reply.into_refusal()) }
}

async fn read_reply(stream: &mut BulkStream) -> Result<BulkReply, String> {
    let frame = stream.read_frame().await.map_err(text)?.ok_or("the peer said nothing")?;
    BulkReply::decode(&frame).map_err(|error| error.to_string())
}

fn text(error: NetError) -> String {
    error.to_string()
}

/// The manifest: hashes, and the last frame. Answers how many chunks there are.
async fn send_list(stream: &mut BulkStream, records: Records) -> Result<usize, String> {
    let mut frames = Frames::of(records);
    let (mut list, mut count) = (vec![LIST], 0);
    while let Some(frame) = frames.next().await {
        if frame.first() == Some(&END) {
            stream.write_frame(std::mem::take(&mut list).into()).await.map_err(text)?;
            stream.write_frame(frame).await.map_err(text)?;
            break;
        }
        list.extend_from_slice(blake3::hash(&frame).as_bytes());
        count += 1;
        if count % HASHES_MAX == 0 {
            stream.write_frame(std::mem::replace(&mut list, vec![LIST]).into()).await.map_err(text)?;
        }
    }
    frames.end().await?;
    if count > CHUNKS_MAX { Err("the tables are too large for a snapshot".into()) } else { Ok(count) }
}

async fn send_wanted(stream: &mut BulkStream, records: Records, wanted: &[u8]) -> Result<usize, String> {
    if wanted.iter().all(|bits| *bits == 0) {
        return Ok(0);
    }
    let mut frames = Frames::of(records);
    let (mut number, mut sent) = (0, 0);
    while let Some(frame) = frames.next().await {
        if wanted.get(number / 8).is_some_and(|bits| bits & 1 << (number % 8) != 0) {
            stream.write_frame(frame).await.map_err(text)?;
            sent += 1;
        }
        number += 1;
    }
    frames.end().await.map(|()| sent)
}

/// The frames of a view, read on a thread beside, no faster than the pace.
struct Frames {
    waiting: mpsc::Receiver<Bytes>,
    reading: tokio::task::JoinHandle<Result<(), StoreError>>,
    started: Instant,
    bytes: u64,
}

impl Frames {
    fn of(records: Records) -> Frames {
        let (frames, waiting) = mpsc::channel(FRAMES_WAITING);
        let reading =
            tokio::task::spawn_blocking(move || read_out(records, |frame| frames.blocking_send(frame).is_ok()));
        Frames { waiting, reading, started: Instant::now(), bytes: 0 }
    }

    async fn next(&mut self) -> Option<Bytes> {
        let frame = self.waiting.recv().await?;
        self.bytes += frame.len() as u64;
        let due = Duration::from_micros(self.bytes.saturating_mul(1_000_000) / SNAPSHOT_BYTES_PER_SECOND);
        tokio::time::sleep_until(self.started + due).await;
        Some(frame)
    }

    async fn end(self) -> Result<(), String> {
        drop(self.waiting);
        self.reading.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

/// A leader sends a snapshot: take what is missing, and ask the core whether it is wanted.
pub(super) async fn on_snapshot(
    desk: &Desk,
    stream: &mut BulkStream,
    from: NodeId,
    term: u64,
    meta: SnapshotMeta,
) -> Result<(), NetError> {
    let staged = match desk.receiving.try_lock() {
        Ok(_turn) => receive(desk, stream, &meta).await?,
        Err(_) => Err("another snapshot is on its way here".into()),
    };
    match staged {
        Ok(()) => {
            desk.words.event(Event::SnapshotStaged { from, term: Term(term), meta });
            answer(stream, BulkReply::Done).await
        }
        Err(reason) => {
            tracing::warn!(%from, reason, "a snapshot could not be staged; what came of it is kept");
            answer(stream, BulkReply::Refused(reason)).await
        }
    }
}

async fn receive(desk: &Desk, stream: &mut BulkStream, meta: &SnapshotMeta) -> Result<Result<(), String>, NetError> {
    let manifest = match receive_list(stream).await? {
        Ok(manifest) => manifest,
        Err(reason) => return Ok(Err(reason)),
    };
    let incoming = desk.incoming.clone();
    let arriving = match blocking(move || Arriving::begin(&incoming, manifest)).await {
        Ok(arriving) => arriving,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let missing = arriving.missing();
    stream.write_frame(BulkReply::Wanted { chunks: arriving.wanted() }.encode().into()).await?;
    let (chunks, mut waiting) = mpsc::channel::<Bytes>(FRAMES_WAITING);
    let at = meta.position;
    let writing = tokio::task::spawn_blocking(move || {
        let mut arriving = arriving;
        while let Some(chunk) = waiting.blocking_recv() {
            arriving.take(&chunk)?;
        }
        arriving.stage(at)
    });
    let mut cut = Ok(());
    for _ in 0..missing {
        match stream.read_frame().await {
            Ok(Some(chunk)) if chunk.len() <= FRAME_BYTES_MAX => {
                if chunks.send(chunk).await.is_err() {
                    break;
                }
            }
            Ok(_) => break,
            Err(error) => {
                cut = Err(error);
                break;
            }
        }
    }
    drop(chunks);
    let written = match writing.await {
        Ok(written) => written.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    cut.map(|()| written)
}

async fn receive_list(stream: &mut BulkStream) -> Result<Result<Manifest, String>, NetError> {
    let mut manifest = Manifest::default();
    while let Some(frame) = stream.read_frame().await? {
        match manifest.take(frame) {
            Ok(false) => {}
            Ok(true) => return Ok(Ok(manifest)),
            Err(reason) => return Ok(Err(reason.into())),
        }
    }
    Ok(Err("it ended early".into()))
}

/// For whoever tries decoders: a snapshot that arrives in these frames, the manifest's and then the chunks, and is read for the tables. Answers how
/// many records it has.
pub fn arrive(incoming: &Path, frames: impl IntoIterator<Item = Bytes>) -> Result<usize, String> {
    let (mut manifest, mut frames) = (Manifest::default(), frames.into_iter());
    while !manifest.take(frames.next().ok_or("it ended early")?)? {}
    let io = |error: std::io::Error| error.to_string();
    let mut arriving = Arriving::begin(incoming, manifest).map_err(io)?;
    let missing = arriving.missing();
    for chunk in frames.take(missing) {
        arriving.take(&chunk).map_err(io)?;
    }
    arriving.stage(Position::ZERO).map_err(io)?;
    read_staged(incoming)
}

/// The same for a manifest on the disk.
pub fn read_staged(incoming: &Path) -> Result<usize, String> {
    let records = chunks::read(&staged_path(incoming, Position::ZERO));
    records
        .map(|record| record.map_err(|error| error.to_string()))
        .try_fold(0, |count, record| record.map(|_| count + 1))
}

/// A complete snapshot, waiting to be installed.
pub(crate) enum Staged {
    /// On this node's disk: its manifest.
    File(PathBuf),
    /// In memory, as the simulator has it.
    Frames(Vec<Bytes>),
}

impl Staged {
    /// Its records. Damage ends in an error, and the tables stay as they were.
    pub(crate) fn records(&self) -> Records {
        match self {
            Staged::File(path) => chunks::read(path),
            Staged::Frames(frames) => StagedFrames::records(frames.clone().into_iter().map(Ok)),
        }
    }

    /// It is installed.
    pub(crate) fn remove(self) {
        if let Staged::File(path) = self {
            chunks::remove(&path);
        }
    }
}

/// A staged snapshot that nobody wants.
pub(crate) async fn discard(path: PathBuf) {
    blocking(move || chunks::dismiss(Path::new(&path))).await;
}
