//! The task of one link: dials the peer, holds the connection, writes its two lanes, and dials again.
//!
//! A peer that dials *us* has perhaps just been restarted: its link is prodded, so both directions stand again within a few round trips
//! instead of a backoff. Never: delivers a frame twice on purpose, gives up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::{Connection, SendStream};
use tokio::time::timeout;

use crate::access::Pass;
use crate::counters::{Tally, add};
use crate::error::NetError;
use crate::event::NetEvent;
use crate::frame::FrameWriter;
use crate::identity::{self, Holder};
use crate::lane::{StreamKind, open_append, open_greeted};
use crate::link::Link;
use crate::outbox::Outbox;
use crate::refusal::{Cause, CloseCode, Refusal, describe};
use crate::shared::Shared;

/// One attempt to reach a peer; within it QUIC itself asks again after 150, 300 and 600 ms.
const DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// An attempt that is older than this when the peer dials us has lost its packets, and a new one reaches the peer sooner.
const PATIENCE: Duration = Duration::from_millis(100);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// A peer that was not reached for so long is worth a warning: nodes that start together come up one after the other.
const MISSED: Duration = Duration::from_secs(5);
/// How long a connection whose streams failed may take to say why.
const EPITAPH: Duration = Duration::from_millis(100);
/// A connection that stood this long was a success; a shorter one (refused after the handshake) must not become a hot loop.
const SUCCESS: Duration = Duration::from_secs(1);

/// The task of one link.
pub(crate) async fn run(shared: Arc<Shared>, link: Arc<Link>) {
    let _writing = shared.writers.enter();
    tokio::select! {
        () = link.wait_end() => {
            if let Some(connection) = link.connection() {
                CloseCode::Done.close(&connection, None);
                link.down(&shared.tally);
                if shared.links.get(link.node).is_none() {
                    shared.send_event(NetEvent::PeerDown(link.node)).await;
                }
            }
        }
        () = keep_connected(&shared, &link) => {}
    }
}

async fn keep_connected(shared: &Shared, link: &Link) {
    let mut backoff = Backoff::new();
    let mut connected_before = false;
    let mut missed_since = Instant::now();
    while !shared.is_closing() {
        // A peer that was removed is told so when it dials us.
        tokio::select! {
            () = shared.gatekeeper.wait_not_removed(link.node) => {}
            () = shared.wait_closing() => return,
        }
        let dialled = tokio::select! {
            dialled = dial(shared, link) => dialled,
            () = link.prodded_after(PATIENCE) => continue,
            () = shared.wait_closing() => return,
        };
        match dialled {
            Ok(_) if shared.is_closing() => return,
            Ok((connection, control, append, pass)) => {
                let stood = Instant::now();
                add(&shared.tally.peers_connected, 1);
                add(&shared.tally.reconnects, usize::from(std::mem::replace(&mut connected_before, true)));
                tracing::debug!(peer = %link.node, address = %link.address, "connected");
                shared.forgive(link.node);
                link.up(&connection);
                shared.send_event(NetEvent::PeerUp(link.node)).await;
                let end = hold(shared, link, &connection, control, append).await;
                drop(pass);
                link.down(&shared.tally);
                tracing::debug!(peer = %link.node, %end, "connection ended");
                shared.send_event(NetEvent::PeerDown(link.node)).await;
                missed_since = Instant::now();
                if stood.elapsed() >= SUCCESS {
                    backoff = Backoff::new();
                }
            }
            Err(error) => {
                add(&shared.tally.dials_failed, 1);
                tracing::debug!(peer = %link.node, address = %link.address, %error, "not reached");
                let is_refusal = matches!(error, NetError::Refused { .. });
                if (is_refusal || missed_since.elapsed() >= MISSED)
                    && let Some(held) = shared.tally.dials.pass()
                {
                    tracing::warn!(peer = %link.node, address = %link.address, held_back = held, "not reached: {error}");
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next()) => {}
            () = link.prodded() => {}
            () = shared.wait_closing() => return,
        }
    }
}

type Dialled = (Connection, SendStream, SendStream, Pass);

async fn dial(shared: &Shared, link: &Link) -> Result<Dialled, NetError> {
    let name = identity::node_server_name(shared.cluster, link.node);
    let connecting = shared
        .endpoint
        .connect_with(shared.dialler(), link.address, &name)
        .map_err(|error| NetError::lost(format!("{} can't be dialled: {error}", link.address)))?;
    let connect = async {
        let connection = connecting.await?;
        let (control, _) = open_greeted(&connection, StreamKind::Control).await?;
        let append = open_append(&connection).await?;
        Ok((connection, control, append))
    };
    match timeout(DIAL_TIMEOUT, connect).await {
        Ok(Ok((connection, control, append))) => match admit(shared, &connection) {
            Ok(pass) => Ok((connection, control, append, pass)),
            Err(refusal) => {
                refusal.close_code().close(&connection, None);
                Err(refused_by_us(link.address, refusal))
            }
        },
        Ok(Err(error)) => {
            shared.heed(link.node, &error);
            Err(refused(link.address, DIAL_TIMEOUT, &error))
        }
        Err(_) => Err(NetError::NoAnswer { address: link.address, seconds: DIAL_TIMEOUT.as_secs() }),
    }
}

/// The node that was dialled is out as well as one that dials us would be.
fn admit(shared: &Shared, connection: &Connection) -> Result<Pass, Refusal> {
    let holder = Holder::of(connection).map_err(|_| Refusal::BadCertificate)?;
    shared.gatekeeper.enter(connection, &holder)
}

fn refused_by_us(address: SocketAddr, cause: Refusal) -> NetError {
    NetError::Refused { by: format!("us (what answers at {address})"), what: cause.to_string(), cause }
}

/// What a dialler tells about a connection that didn't come about.
pub(crate) fn refused(address: SocketAddr, waited: Duration, error: &quinn::ConnectionError) -> NetError {
    let (cause, by_them) = Cause::of(error);
    match cause {
        Cause::Silence => NetError::NoAnswer { address, seconds: waited.as_secs() },
        Cause::Other(what) => NetError::Lost { what },
        Cause::BrokenOff => NetError::Lost { what: cause.to_string() },
        Cause::Refused(cause) if by_them => {
            NetError::Refused { by: address.to_string(), what: cause.to_string(), cause }
        }
        Cause::Refused(cause) => refused_by_us(address, cause),
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
        tokio::try_join!(
            write_lane(&link.control, control, &shared.tally),
            write_lane(&link.append, append, &shared.tally)
        )
    };
    tokio::select! {
        error = connection.closed() => {
            shared.heed(link.node, &error);
            describe(&error)
        }
        written = lanes => match written {
            Ok(_) => {
                CloseCode::Stopping.close(connection, None);
                "finished".to_string()
            }
            Err(error) => {
                // A stream fails just before its connection knows why.
                if let Ok(error) = timeout(EPITAPH, connection.closed()).await {
                    shared.heed(link.node, &error);
                }
                CloseCode::Done.close(connection, None);
                error.to_string()
            }
        },
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
        let [chance]: [u8; 1] = crate::crypto::random_bytes();
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
