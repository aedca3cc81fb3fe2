//! A snapshot's frames as they arrive. The bytes are frames, each behind its length (2 bytes); if the first byte is odd, the frame that ends them
//! is made to fit, so that what lies in the others is looked at and not only their hash.

use bytes::Bytes;
use outboard_node::Durability;
use outboard_node::stepped::{Now, Settings, SteppedNode};
use outboard_raft::{Membership, NodeId, Position, SnapshotMeta, Term};
use outboard_sandbox::{Limits, Sandbox};
use outboard_store::MemoryStore;
use outboard_wal::{MemDisk, Options};
use std::cell::RefCell;
use std::sync::Arc;

const NOW: Now = Now { wall_ms: 1_700_000_000_000, mono_us: 0 };

thread_local! {
    static NODE: RefCell<SteppedNode> = RefCell::new(node());
}

/// Frames from a peer. A snapshot that stands at the log's beginning is checked like any other and brings nothing new: the node stays as it is.
pub fn stage(bytes: &[u8]) -> bool {
    let frames = frames(bytes);
    let meta = SnapshotMeta { position: Position::ZERO, membership: Membership::of_voters([NodeId(1)]) };
    NODE.with_borrow_mut(|node| {
        let staged = node.on_snapshot(NodeId(2), Term(0), meta, frames, NOW);
        node.take_frames();
        staged.is_ok()
    })
}

fn frames(bytes: &[u8]) -> Vec<Bytes> {
    let Some((kind, mut rest)) = bytes.split_first() else { return Vec::new() };
    let mut frames = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length)).min(after.len());
        frames.push(Bytes::copy_from_slice(&after[..length]));
        rest = &after[length..];
    }
    if kind % 2 == 1 {
        frames.push(end(&frames, u64::from(kind / 2)));
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
