//! Links to peers, as the node's core sees them: a door that takes frames and never waits.
//!
//! Invariants: a frame is queued only while the link is up, so what a peer gets is at most one connection old; the queues are bounded and
//! a full one drops the newest frame. The task behind a link is in `dial.rs`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use outboard_raft::NodeId;
use quinn::Connection;
use tokio::sync::{Notify, watch};

use crate::counters::{Tally, add};
use crate::frame::{Frame, PEER_FRAME_BYTES_MAX};
use crate::lane::Lane;
use crate::outbox::{Outbox, Room};

/// Frames that may wait for a peer on its control lane.
const CONTROL_ROOM: Room = Room { frames_max: 4_096, bytes_max: 8 << 20 };
/// Frames that may wait on its append lane, beside what QUIC has taken.
const APPEND_ROOM: Room = Room { frames_max: 4_096, bytes_max: PEER_FRAME_BYTES_MAX };

/// The way to peers for the node's core: cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct PeerSender {
    links: Arc<Links>,
    tally: Arc<Tally>,
}

impl PeerSender {
    pub(crate) fn new(links: Arc<Links>, tally: Arc<Tally>) -> PeerSender {
        PeerSender { links, tally }
    }

    /// Queues a frame, or drops and counts it: when there is no connection, no room, or it is empty or longer than
    /// [`PEER_FRAME_BYTES_MAX`]. Never blocks.
    pub fn send(&self, to: NodeId, lane: Lane, frame: Bytes) {
        let legal = !frame.is_empty() && frame.len() <= PEER_FRAME_BYTES_MAX;
        let sent = legal && self.links.get(to).is_some_and(|link| link.push(lane, frame));
        if !sent {
            match lane {
                Lane::Control => add(&self.tally.control_dropped, 1),
                Lane::Append => add(&self.tally.append_dropped, 1),
            }
        }
    }

    /// Whether frames for this peer have a connection to go to.
    pub fn is_up(&self, to: NodeId) -> bool {
        self.links.get(to).is_some_and(|link| link.connection().is_some())
    }
}

impl fmt::Debug for PeerSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerSender").finish_non_exhaustive()
    }
}

/// How the link to a peer is, for a status report.
#[derive(Clone, Debug)]
pub struct LinkStatus {
    /// The peer.
    pub peer: NodeId,
    /// Where it is dialled.
    pub address: SocketAddr,
    /// The round trip as QUIC measures it; None while there is no connection.
    pub round_trip: Option<Duration>,
}

/// All links; replaced one by one at run time.
#[derive(Default)]
pub(crate) struct Links(RwLock<BTreeMap<NodeId, Arc<Link>>>);

impl Links {
    pub(crate) fn get(&self, node: NodeId) -> Option<Arc<Link>> {
        self.0.read().expect(UNPOISONED).get(&node).cloned()
    }

    /// Brings the links in line with `peers`; returns those that are new and need a task.
    pub(crate) fn set(&self, peers: &BTreeMap<NodeId, SocketAddr>) -> Vec<Arc<Link>> {
        let mut links = self.0.write().expect(UNPOISONED);
        links.retain(|node, link| {
            let stays = link.is_guest() && !peers.contains_key(node) || peers.get(node) == Some(&link.address);
            if !stays {
                link.end();
            }
            stays
        });
        let mut new = Vec::new();
        for (&node, &address) in peers {
            let link = links.entry(node).or_insert_with(|| {
                let link = Arc::new(Link::new(node, address));
                new.push(link.clone());
                link
            });
            link.is_guest.store(false, Ordering::Relaxed);
        }
        new
    }

    /// The link to a peer that dials us from there although nobody has named it yet; new if it needs a task.
    pub(crate) fn meet(&self, node: NodeId, address: SocketAddr) -> Option<Arc<Link>> {
        let mut links = self.0.write().expect(UNPOISONED);
        let Entry::Vacant(vacant) = links.entry(node) else { return None };
        let link = Link::new(node, address);
        link.is_guest.store(true, Ordering::Relaxed);
        Some(vacant.insert(Arc::new(link)).clone())
    }

    /// A peer that dialled us does so no more: was it here for that only?
    pub(crate) fn part(&self, node: NodeId) {
        let mut links = self.0.write().expect(UNPOISONED);
        if let Some(link) = links.get(&node).filter(|link| link.is_guest()) {
            link.end();
            links.remove(&node);
        }
    }

    /// All links stop taking frames, write what they have, and end.
    pub(crate) fn finish(&self) {
        for link in self.0.read().expect(UNPOISONED).values() {
            link.control.finish();
            link.append.finish();
        }
    }

    /// Those without a connection are dialled at once.
    pub(crate) fn prod_those_down(&self) {
        for link in self.0.read().expect(UNPOISONED).values().filter(|link| link.connection().is_none()) {
            link.prod.notify_one();
        }
    }

    pub(crate) fn status(&self) -> Vec<LinkStatus> {
        let links = self.0.read().expect(UNPOISONED);
        links
            .values()
            .map(|link| LinkStatus {
                peer: link.node,
                address: link.address,
                round_trip: link.connection().map(|connection| connection.rtt()),
            })
            .collect()
    }
}

const UNPOISONED: &str = "nothing panics while it holds a link";

/// What the core's side and the link's task share.
pub(crate) struct Link {
    pub(crate) node: NodeId,
    pub(crate) address: SocketAddr,
    pub(crate) control: Outbox,
    pub(crate) append: Outbox,
    connection: Mutex<Option<Connection>>,
    prod: Notify,
    /// Nobody has named this peer: it dials us, and is dialled for as long as it does.
    is_guest: AtomicBool,
    /// Removed from the set of peers.
    ended: watch::Sender<bool>,
}

impl Link {
    fn new(node: NodeId, address: SocketAddr) -> Link {
        Link {
            node,
            address,
            control: Outbox::new(CONTROL_ROOM, false),
            append: Outbox::new(APPEND_ROOM, false),
            connection: Mutex::new(None),
            prod: Notify::new(),
            is_guest: AtomicBool::new(false),
            ended: watch::Sender::new(false),
        }
    }

    /// The connection, while the link is up.
    pub(crate) fn connection(&self) -> Option<Connection> {
        self.connection.lock().expect(UNPOISONED).clone()
    }

    /// The peer has just dialled us: dial it now, or find out whether our connection to it still lives.
    pub(crate) fn prod(&self) {
        if self.connection().is_some() {
            // An empty frame is a probe; a peer that forgot this connection answers it with a reset. A full lane probes by itself.
            self.control.push(Frame { id: None, body: Bytes::new() }).unwrap_or_default();
        } else {
            self.prod.notify_one();
        }
    }

    /// Waits for a prod.
    pub(crate) async fn prodded(&self) {
        self.prod.notified().await;
    }

    /// Waits for a prod that comes later than that; earlier ones are met by what is going on already.
    pub(crate) async fn prodded_after(&self, patience: Duration) {
        let began = Instant::now();
        loop {
            self.prod.notified().await;
            if began.elapsed() >= patience {
                return;
            }
        }
    }

    fn push(&self, lane: Lane, body: Bytes) -> bool {
        let outbox = match lane {
            Lane::Control => &self.control,
            Lane::Append => &self.append,
        };
        outbox.push(Frame { id: None, body }).is_ok()
    }

    fn is_guest(&self) -> bool {
        self.is_guest.load(Ordering::Relaxed)
    }

    fn end(&self) {
        self.ended.send_replace(true);
    }

    pub(crate) async fn wait_end(&self) {
        let mut ended = self.ended.subscribe();
        // An error means that the link itself is gone, which ends it as well.
        ended.wait_for(|ended| *ended).await.map(drop).unwrap_or_default();
    }

    pub(crate) fn up(&self, connection: &Connection) {
        self.control.open();
        self.append.open();
        *self.connection.lock().expect(UNPOISONED) = Some(connection.clone());
    }

    pub(crate) fn down(&self, tally: &Tally) {
        *self.connection.lock().expect(UNPOISONED) = None;
        let probes = |frames: &[Frame]| frames.iter().filter(|frame| frame.body.is_empty()).count();
        let control = self.control.close();
        add(&tally.control_dropped, control.len() - probes(&control));
        add(&tally.append_dropped, self.append.close().len());
    }
}
