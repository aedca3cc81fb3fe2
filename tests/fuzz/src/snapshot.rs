//! A snapshot as it arrives. The bytes are frames, each behind its length (2 bytes). What the first byte says:
//!
//! | first byte | what the frames are |
//! | --- | --- |
//! | even, below 128 | records, and the last frame |
//! | odd, below 128 | records; the last frame is made to fit, so that what lies in the others is looked at and not only their hash |
//! | even, from 128 on | a manifest's frames, then the chunks that it lists |
//! | odd, from 128 on | chunks; the manifest is made to fit |
//! | 254 | one: a manifest as it lies on a disk |

use bytes::Bytes;
use outboard_node::Durability;
use outboard_node::stepped::{Now, Settings, SteppedNode, arrive, read_staged};
use outboard_raft::{Membership, NodeId, Position, SnapshotMeta, Term};
use outboard_sandbox::{Limits, Sandbox};
use outboard_store::MemoryStore;
use outboard_wal::{MemDisk, Options};
use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const NOW: Now = Now { wall_ms: 1_700_000_000_000, mono_us: 0 };

thread_local! {
    static NODE: RefCell<SteppedNode> = RefCell::new(node());
}

/// What arrives.
pub fn receive(bytes: &[u8]) -> bool {
    match bytes.first() {
        Some(254) => Folder::new().is_ok_and(|folder| folder.read(&bytes[1..])),
        Some(128..) => Folder::new().is_ok_and(|folder| folder.take(bytes)),
        Some(..128) | None => stage(bytes),
    }
}

/// Where chunks come to lie, for one input.
struct Folder(PathBuf);

impl Folder {
    fn new() -> std::io::Result<Folder> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("outboard-fuzz-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).map(|()| Folder(path))
    }

    fn take(&self, bytes: &[u8]) -> bool {
        let (made_to_fit, records) = (bytes[0] % 2 == 1, u64::from(bytes[0] % 128 / 2));
        let frames = split(&bytes[1..]);
        let mut manifest = Vec::new();
        if made_to_fit {
            manifest.push(list(&frames));
            manifest.push(end(&frames, records));
        }
        arrive(&self.0, manifest.into_iter().chain(frames)).is_ok()
    }

    /// As the place of a snapshot at the log's beginning is named.
    fn read(&self, manifest: &[u8]) -> bool {
        fs::write(self.0.join("0-0.snapshot"), manifest).is_ok() && read_staged(&self.0).is_ok()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap_or_default();
    }
}

/// The manifest's frame that lists these chunks.
pub fn list(chunks: &[Bytes]) -> Bytes {
    let hashes = chunks.iter().flat_map(|chunk| *blake3::hash(chunk).as_bytes());
    std::iter::once(3).chain(hashes).collect::<Vec<u8>>().into()
}

/// Frames from a peer. A snapshot that stands at the log's beginning is checked like any other and brings nothing new: the node stays as it is.
fn stage(bytes: &[u8]) -> bool {
    let frames = frames(bytes);
    let meta = SnapshotMeta { position: Position::ZERO, membership: Membership::of_voters([NodeId(1)]) };
    NODE.with_borrow_mut(|node| {
        let staged = node.on_snapshot(NodeId(2), Term(0), meta, frames, NOW);
        node.take_frames();
        staged.is_ok()
    })
}

fn frames(bytes: &[u8]) -> Vec<Bytes> {
    let Some((kind, rest)) = bytes.split_first() else { return Vec::new() };
    let mut frames = split(rest);
    if kind % 2 == 1 {
        frames.push(end(&frames, u64::from(kind / 2)));
    }
    frames
}

/// Each behind its length.
fn split(mut rest: &[u8]) -> Vec<Bytes> {
    let mut frames = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        frames.push(Bytes::copy_from_slice(&after[..length]));
        rest = &after[length..];
    }
    frames
}

/// The last frame behind these, which are said to hold so many records.
pub fn end(frames: &[Bytes], records: u64) -> Bytes {
    let mut hasher = blake3::Hasher::new();
    for frame in frames {
        hasher.update(frame);
    }
    [&[2], &records.to_le_bytes()[..], hasher.finalize().as_bytes()].concat().into()
}

fn node() -> SteppedNode {
    let sandbox = Sandbox::new(Limits::default(), None).expect("this machine can run engines");
    let engine = sandbox.admit(outboard_embedded::KV_BASIC).expect("our own engine is sound");
    let settings = Settings {
        node: NodeId(1),
        voters: vec![NodeId(1), NodeId(2)],
        cluster: 1,
        begun: false,
        last_loss: 0,
        seed: 1,
        limits: |config| config,
        wal: Options { segment_bytes: 4096, sync: true },
        log_keep_bytes: 1 << 20,
        durability: Durability::Sync,
        sandbox,
        engine,
        components: Vec::new(),
    };
    SteppedNode::open(settings, Box::new(MemDisk::new()), Arc::new(MemoryStore::new()), NOW).expect("disks are empty")
}
