//! Outgoing links: one task per peer that dials, holds the connection, writes its two lanes, and dials again.
//!
//! Invariants: a frame is queued only while the link is up, so what a peer gets is at most one connection old; the queues are bounded and
//! a full one drops the newest frame. Never: waits in [`PeerSender::send`], delivers twice on purpose. A peer that dials *us* has
//! perhaps just been restarted: its link is prodded, so both directions stand again within a few round trips.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use outboard_raft::NodeId;
use quinn::{Connection, SendStream};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::counters::{Tally, add};
use crate::error::NetError;
use crate::frame::{Frame, FrameWriter, PEER_FRAME_BYTES_MAX};
use crate::identity;
use crate::lane::{Lane, StreamKind, open_append, open_greeted};
use crate::net::{NetEvent, Shared};
use crate::outbox::{Outbox, Room};
use crate::refusal::{Cause, CloseCode};

/// Frames that may wait for a peer on its control lane.
const CONTROL_ROOM: Room = Room { frames_max: 4_096, bytes_max: 8 << 20 };
/// Frames that may wait on its append lane, beside what QUIC has taken.
const APPEND_ROOM: Room = Room { frames_max: 4_096, bytes_max: PEER_FRAME_BYTES_MAX };

/// One attempt to reach a peer; within it QUIC itself asks again after 150, 300 and 600 ms.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// An attempt that is older than this when the peer dials us has lost its packets, and a new one reaches the peer sooner.
const PATIENCE: Duration = Duration::from_millis(100);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// A connection that stood this long was a success; a shorter one (refused after the handshake) must not become a hot loop.
const SUCCESS: Duration = Duration::from_secs(1);

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
            let stays = peers.get(node) == Some(&link.address);
            if !stays {
                link.end();
            }
            stays
        });
        let mut new = Vec::new();
        for (&node, &address) in peers {
            links.entry(node).or_insert_with(|| {
                let link = Arc::new(Link::new(node, address));
                new.push(link.clone());
                link
            });
        }
        new
    }

    /// All links stop taking frames, write what they have, and end.
    pub(crate) fn finish(&self) {
        for link in self.0.read().expect(UNPOISONED).values() {
            link.control.finish();
            link.append.finish();
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
    node: NodeId,
    address: SocketAddr,
    control: Outbox,
    append: Outbox,
    connection: Mutex<Option<Connection>>,
    prod: Notify,
    /// Removed from the set of peers.
    ended: tokio::sync::watch::Sender<bool>,
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
            ended: tokio::sync::watch::Sender::new(false),
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

    /// Waits for a prod that comes later than that; earlier ones are met by what is going on already.
    async fn prodded_after(&self, patience: Duration) {
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

    fn end(&self) {
        self.ended.send_replace(true);
    }

    async fn wait_end(&self) {
        let mut ended = self.ended.subscribe();
        // An error means that the link itself is gone, which ends it as well.
        ended.wait_for(|ended| *ended).await.map(drop).unwrap_or_default();
    }

    fn up(&self, connection: &Connection) {
        self.control.open();
        self.append.open();
        *self.connection.lock().expect(UNPOISONED) = Some(connection.clone());
    }

    fn down(&self, tally: &Tally) {
        *self.connection.lock().expect(UNPOISONED) = None;
        let probes = |frames: &[Frame]| frames.iter().filter(|frame| frame.body.is_empty()).count();
        let control = self.control.close();
        add(&tally.control_dropped, control.len() - probes(&control));
        add(&tally.append_dropped, self.append.close().len());
    }
}

/// The task of one link.
pub(crate) async fn run(shared: Arc<Shared>, link: Arc<Link>) {
    let _writing = shared.writers.enter();
    tokio::select! {
        () = link.wait_end() => {
            if let Some(connection) = link.connection() {
                CloseCode::Done.close(&connection, None);
                link.down(&shared.tally);
            }
        }
        () = keep_connected(&shared, &link) => {}
    }
}

async fn keep_connected(shared: &Shared, link: &Link) {
    let mut backoff = Backoff::new();
    let mut connected_before = false;
    while !shared.is_closing() {
        let dialled = tokio::select! {
            dialled = dial(shared, link) => dialled,
            () = link.prodded_after(PATIENCE) => continue,
            () = shared.wait_closing() => return,
        };
        match dialled {
            Ok((connection, control, append)) => {
                let stood = Instant::now();
                add(&shared.tally.peers_connected, 1);
                add(&shared.tally.reconnects, usize::from(std::mem::replace(&mut connected_before, true)));
                tracing::debug!(peer = %link.node, address = %link.address, "connected");
                link.up(&connection);
                shared.send_event(NetEvent::PeerUp(link.node)).await;
                let end = hold(shared, link, &connection, control, append).await;
                link.down(&shared.tally);
                tracing::debug!(peer = %link.node, %end, "connection ended");
                shared.send_event(NetEvent::PeerDown(link.node)).await;
                if stood.elapsed() >= SUCCESS {
                    backoff = Backoff::new();
                }
            }
            Err(error) => {
                add(&shared.tally.dials_failed, 1);
                tracing::debug!(peer = %link.node, address = %link.address, %error, "not reached");
                if let Some(held) = shared.tally.dials.pass() {
                    tracing::warn!(peer = %link.node, address = %link.address, held_back = held, "not reached: {error}");
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next()) => {}
            () = link.prod.notified() => {}
            () = shared.wait_closing() => return,
        }
    }
}

type Dialled = (Connection, SendStream, SendStream);

async fn dial(shared: &Shared, link: &Link) -> Result<Dialled, NetError> {
    let name = identity::node_server_name(shared.cluster, link.node);
    let connecting = shared
        .endpoint
        .connect_with(shared.dialler.clone(), link.address, &name)
        .map_err(|error| NetError::lost(format!("{} can't be dialled: {error}", link.address)))?;
    let connect = async {
        let connection = connecting.await?;
        let (control, _) = open_greeted(&connection, StreamKind::Control).await?;
        let append = open_append(&connection).await?;
        Ok((connection, control, append))
    };
    match timeout(DIAL_TIMEOUT, connect).await {
        Ok(Ok(dialled)) => Ok(dialled),
        Ok(Err(error)) => Err(refused(link.address, &error)),
        Err(_) => Err(NetError::NoAnswer { address: link.address, seconds: DIAL_TIMEOUT.as_secs() }),
    }
}

/// What a dialler tells about a connection that didn't come about.
pub(crate) fn refused(address: SocketAddr, error: &quinn::ConnectionError) -> NetError {
    let (cause, by_them) = Cause::of(error);
    match cause {
        Cause::Silence => NetError::NoAnswer { address, seconds: DIAL_TIMEOUT.as_secs() },
        Cause::Other(what) => NetError::Lost { what },
        Cause::Protocol | Cause::Foreign | Cause::Certificate(_) | Cause::Role | Cause::Busy => {
            let by = if by_them { address.to_string() } else { format!("us (what answers at {address})") };
            NetError::Refused { by, what: cause.to_string() }
        }
    }
}

/// Writes both lanes until the connection ends or, when the node stops, until everything is with the peer.
async fn hold(
    shared: &Shared,
    link: &Link,
    connection: &Connection,
    control: SendStream,
    append: SendStream,
) -> String {
    let lanes = async {
        tokio::join!(write_lane(&link.control, control, &shared.tally), write_lane(&link.append, append, &shared.tally))
    };
    tokio::select! {
        error = connection.closed() => crate::refusal::describe(&error),
        _ = lanes => {
            CloseCode::Stopping.close(connection, None);
            "finished".to_string()
        }
    }
}

async fn write_lane(outbox: &Outbox, mut stream: SendStream, tally: &Tally) -> Result<(), NetError> {
    let mut writer = FrameWriter::new();
    let mut frames = Vec::new();
    while outbox.take_all(&mut frames).await {
        let count = frames.iter().filter(|frame| !frame.body.is_empty()).count();
        let bytes = writer.write(&mut stream, &mut frames).await?;
        add(&tally.frames_sent, count);
        add(&tally.bytes_sent, bytes);
    }
    stream.finish().map_err(NetError::lost)?;
    stream.stopped().await.map(drop).map_err(NetError::lost)
}

/// Pauses between attempts: doubling, and jittered so that restarted nodes don't dial in step.
struct Backoff(Duration);

impl Backoff {
    fn new() -> Backoff {
        Backoff(BACKOFF_MIN)
    }

    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(BACKOFF_MAX);
        let [chance]: [u8; 1] = crate::tls::random_bytes();
        pause.mul_f64(0.5 + f64::from(chance) / 512.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit_and_are_jittered_downwards() {
        let mut backoff = Backoff::new();
        for full in [50, 100, 200, 400, 800, 1_600, 2_000, 2_000].map(Duration::from_millis) {
            let pause = backoff.next();
            assert!(pause >= full / 2 && pause <= full, "{pause:?} instead of up to {full:?}");
        }
    }
}
