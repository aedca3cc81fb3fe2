//! What a leader sends to one peer now: entries from memory, or from disk by request, or a snapshot, or only the news
//! of a commit.

use crate::message::Message;
use crate::progress::{Progress, State};
use crate::ready::{LogPurpose, LogRequest, SnapshotRequest};
use crate::shared::Shared;
use crate::types::{Entry, Index, NodeId, Position};

/// Sends whatever the peer's state and windows allow.
pub(crate) fn send(shared: &mut Shared, to: NodeId, peer: &mut Progress) {
    match peer.state {
        State::Probe { paused: false } => send_probe(shared, to, peer),
        State::Replicate => send_entries(shared, to, peer),
        State::Probe { paused: true } | State::Snapshot(_) => {}
    }
    send_commit(shared, to, peer);
}

/// Asks whether the peer has what is on the way to it, without sending it again.
pub(crate) fn ask(shared: &mut Shared, to: NodeId, peer: &mut Progress) {
    match position(shared, peer.next.previous()) {
        Some(prev) => send_append(shared, to, peer, prev, Vec::new()),
        None => request_snapshot(shared, to, peer),
    }
}

/// The entries that were asked for; sent if they are still the next ones of this log.
pub(crate) fn on_read(shared: &mut Shared, to: NodeId, peer: &mut Progress, entries: Vec<Entry>) {
    if peer.state != State::Replicate || peer.inflight.is_full() {
        return;
    }
    let Some(first) = entries.first() else {
        // Not there any more: the next sign of life shows what to do instead.
        return peer.pause();
    };
    let current = first.index == peer.next && entries.iter().all(|entry| shared.log.contains(entry.position()));
    let follows = entries.windows(2).all(|pair| pair[1].index == pair[0].index.next());
    if let Some(prev) = position(shared, peer.next.previous())
        && current
        && follows
    {
        send_append(shared, to, peer, prev, entries);
    }
}

/// One Append to find the place of agreement; with entries if they are at hand, since the guess is mostly right.
fn send_probe(shared: &mut Shared, to: NodeId, peer: &mut Progress) {
    let Some(prev) = position(shared, peer.next.previous()) else {
        return request_snapshot(shared, to, peer);
    };
    let entries = next_entries(shared, peer.next).unwrap_or_default();
    send_append(shared, to, peer, prev, entries);
}

fn send_entries(shared: &mut Shared, to: NodeId, peer: &mut Progress) {
    while peer.next <= shared.log.last().index && !peer.inflight.is_full() {
        let Some(prev) = position(shared, peer.next.previous()) else {
            return request_snapshot(shared, to, peer);
        };
        let Some(entries) = next_entries(shared, peer.next) else {
            let last_on_disk = shared.log.window_first().previous();
            let bytes_max = shared.config.append_bytes_max;
            let purpose = LogPurpose::Peer(to);
            return shared.request_read(LogRequest { purpose, from: peer.next, to: last_on_disk, bytes_max });
        };
        send_append(shared, to, peer, prev, entries);
    }
}

/// A peer that got its last entries before they were committed would otherwise wait for the next heartbeat.
fn send_commit(shared: &mut Shared, to: NodeId, peer: &mut Progress) {
    let commit = shared.commit.min(peer.matched);
    if peer.state == State::Replicate && commit > peer.commit_told {
        peer.commit_told = commit;
        shared.send(to, Message::Commit { commit });
    }
}

/// A peer that doesn't live can't take a snapshot: it waits for the next sign of life.
fn request_snapshot(shared: &mut Shared, to: NodeId, peer: &mut Progress) {
    if !peer.is_live(shared.config.election_timeout_ticks) {
        return peer.pause();
    }
    peer.await_snapshot();
    shared.out.snapshots.push(SnapshotRequest { to, term: shared.term });
}

fn send_append(shared: &mut Shared, to: NodeId, peer: &mut Progress, prev: Position, entries: Vec<Entry>) {
    let last = entries.last().map_or(prev.index, |entry| entry.index);
    peer.on_send(last, entries.iter().map(Entry::bytes).sum());
    peer.commit_told = peer.commit_told.max(shared.commit.min(last));
    shared.send(to, Message::Append { prev, entries, commit: shared.commit });
}

/// None if the log's end is reached or the entries are not in memory.
fn next_entries(shared: &Shared, next: Index) -> Option<Vec<Entry>> {
    let last = shared.log.last().index;
    if next > last {
        return None;
    }
    shared.log.slice(next, last, shared.config.append_bytes_max)
}

fn position(shared: &Shared, index: Index) -> Option<Position> {
    shared.log.term_at(index).map(|term| Position { index, term })
}
