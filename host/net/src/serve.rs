//! Incoming connections: admission, then readers for what peers and clients send.
//!
//! Who has not shown a good certificate costs little: handshakes in progress are counted and timed, and when there are many, an address
//! must first prove that it is real (QUIC's Retry). A refusal is counted, told at debug with its cause, and told at warn now and then.
//! Invariant: of one peer only the newest connection is read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use outboard_raft::NodeId;
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, Incoming, RecvStream, SendStream, VarInt};
use tokio::time::timeout;

use crate::access::Pass;
use crate::bulk::BulkStream;
use crate::counters::add;
use crate::event::NetEvent;
use crate::frame::{FrameReader, Malformed, PEER_FRAME_BYTES_MAX, ReadEnd};
use crate::identity::{Holder, IdentityError, Principal};
use crate::lane::{OPENING_TIMEOUT, StreamKind, greet, read_kind};
use crate::refusal::{Cause, CloseCode, Refusal};
use crate::requests;
use crate::responder::{ClientInfo, Exchange};
use crate::shared::Shared;
use crate::{dial, enrol, tls, transport};

/// A handshake that takes longer is given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections beyond the limit that are let through to the handshake, because only after it a peer can be told from a client.
const PEER_RESERVE: usize = 64;

/// Takes connections as long as the endpoint stands.
pub(crate) async fn accept(shared: Arc<Shared>) {
    while let Some(incoming) = shared.endpoint.accept().await {
        admit(&shared, incoming);
    }
}

fn admit(shared: &Arc<Shared>, incoming: Incoming) {
    let handshakes = shared.handshakes.load(Ordering::Relaxed);
    let connections = shared.open_connections();
    let limits = &shared.limits;
    if handshakes >= limits.handshakes_max || connections + handshakes >= limits.connections_max + PEER_RESERVE {
        refuse(shared, incoming.remote_address(), &Cause::Refused(Refusal::Busy));
        incoming.refuse();
    } else if handshakes >= limits.handshakes_unproven_max && incoming.may_retry() {
        // Fails only for an address that has already proved itself, which may_retry has just ruled out.
        incoming.retry().unwrap_or_else(|error| error.into_incoming().ignore());
    } else {
        let handshaking = Handshaking::enter(shared.clone());
        tokio::spawn(handshake(shared.clone(), incoming, handshaking));
    }
}

async fn handshake(shared: Arc<Shared>, incoming: Incoming, handshaking: Handshaking) {
    let address = incoming.remote_address();
    let handshake = async { incoming.accept()?.await };
    let connection = match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            let (cause, by_them) = Cause::of(&error);
            let by_them = by_them && cause != Cause::BrokenOff;
            let cause = if by_them { Cause::Other(format!("the other side refused us: {cause}")) } else { cause };
            return refuse(&shared, address, &cause);
        }
        Err(_) => return refuse(&shared, address, &Cause::Silence),
    };
    let (purpose, holder) = match introduce(&shared, &connection) {
        Ok((Purpose::Join, _)) => {
            drop(handshaking);
            return enrol::serve(shared, connection).await;
        }
        Ok((purpose, Ok(holder))) => (purpose, holder),
        // TLS asks for a certificate, and lets those without one through where joins are taken.
        Ok((_, Err(_))) if connection.peer_identity().is_none() => {
            return reject(&shared, &connection, Refusal::NoCertificate);
        }
        Ok((_, Err(_))) | Err(()) => return reject(&shared, &connection, Refusal::BadCertificate),
    };
    match (&holder.principal, purpose) {
        _ if holder.cluster != shared.cluster => reject(&shared, &connection, Refusal::Foreign),
        (&Principal::Node(node), Purpose::Peer) if node != shared.node => {
            match shared.gatekeeper.enter(&connection, &holder) {
                Ok(pass) => {
                    drop(handshaking);
                    connection.set_receive_window(VarInt::from_u32(transport::CONNECTION_WINDOW_BYTES));
                    serve_peer(shared, connection, node, pass).await;
                }
                Err(refusal) => reject(&shared, &connection, refusal),
            }
        }
        (Principal::Node(_) | Principal::Client { .. }, Purpose::Peer) => reject(&shared, &connection, Refusal::Role),
        (_, Purpose::Client) if shared.open_connections() >= shared.limits.connections_max => {
            reject(&shared, &connection, Refusal::Busy);
        }
        (_, Purpose::Client) => match shared.gatekeeper.enter(&connection, &holder) {
            Ok(pass) => {
                drop(handshaking);
                connection.set_receive_window(VarInt::from_u32(transport::CLIENT_WINDOW_BYTES));
                serve_client(shared, connection, holder, pass).await;
            }
            Err(refusal) => reject(&shared, &connection, refusal),
        },
        (_, Purpose::Join) => unreachable!("joins were served above"),
    }
}

enum Purpose {
    Peer,
    Client,
    Join,
}

/// What it wants and who it is, by the protocol and the certificate that TLS has settled.
fn introduce(shared: &Shared, connection: &Connection) -> Result<(Purpose, Result<Holder, IdentityError>), ()> {
    let data = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    let purpose = match data.and_then(|data| data.protocol).ok_or(())?.as_slice() {
        tls::ALPN_CLIENT => Purpose::Client,
        tls::ALPN_JOIN => Purpose::Join,
        protocol if protocol == shared.peer_protocol => Purpose::Peer,
        _ => return Err(()),
    };
    Ok((purpose, Holder::of(connection)))
}

fn reject(shared: &Shared, connection: &Connection, refusal: Refusal) {
    refuse(shared, connection.remote_address(), &Cause::Refused(refusal));
    refusal.close_code().close(connection, Some(&refusal));
}

fn refuse(shared: &Shared, address: SocketAddr, cause: &Cause) {
    cause.count(&shared.tally);
    tracing::debug!(%address, %cause, "connection refused");
    // Peers that come up break attempts off to make better ones; it is no one's mistake.
    if *cause != Cause::BrokenOff
        && let Some(held) = shared.tally.refusals.pass()
    {
        tracing::warn!(%address, held_back = held, "connection refused: {cause}");
    }
}

async fn serve_peer(shared: Arc<Shared>, connection: Connection, from: NodeId, _pass: Pass) {
    let _open = Open::enter(shared.clone());
    add(&shared.tally.peers_accepted, 1);
    if let Some(older) = shared.replace_newest(from, &connection) {
        tracing::debug!(%from, "a newer connection of the same peer");
        CloseCode::Replaced.close(&older, None);
    }
    if let Some(link) = shared.links.get(from) {
        link.prod();
    } else if let Some(link) = shared.links.meet(from, connection.remote_address()) {
        // Peers dial from the port on which they listen.
        tokio::spawn(dial::run(shared.clone(), link));
    }
    loop {
        let (send, receive) = tokio::select! {
            stream = connection.accept_bi() => match stream {
                Ok((send, receive)) => (Some(send), receive),
                Err(error) => break shared.heed(from, &error),
            },
            stream = connection.accept_uni() => match stream {
                Ok(receive) => (None, receive),
                Err(error) => break shared.heed(from, &error),
            },
        };
        let (shared, connection) = (shared.clone(), connection.clone());
        tokio::spawn(async move {
            let result = read_peer(&shared, from, send, receive).await;
            blame(&shared, &connection, result);
        });
    }
    if shared.forget_newest(from, &connection) {
        shared.links.part(from);
    }
}

async fn read_peer(
    shared: &Shared,
    from: NodeId,
    send: Option<SendStream>,
    mut receive: RecvStream,
) -> Result<(), Malformed> {
    let kind = read_kind(&mut receive).await?;
    match (kind, send) {
        (None, _) => Ok(()),
        (Some(StreamKind::Control), Some(mut send)) => match greet(&mut send, StreamKind::Control).await {
            Ok(()) => read_lane(shared, from, receive).await,
            Err(_) => Ok(()),
        },
        (Some(StreamKind::Append), None) => read_lane(shared, from, receive).await,
        (Some(StreamKind::Bulk), Some(send)) => {
            accept_bulk(shared, Principal::Node(from), send, receive).await;
            Ok(())
        }
        (Some(kind), _) => Err(Malformed::UnknownKind(kind.byte())),
    }
}

async fn read_lane(shared: &Shared, from: NodeId, receive: RecvStream) -> Result<(), Malformed> {
    let mut reader = FrameReader::new(receive, PEER_FRAME_BYTES_MAX);
    loop {
        let mut frames = match reader.next().await {
            Ok(frames) => frames,
            Err(ReadEnd::Malformed(malformed)) => return Err(malformed),
            Err(ReadEnd::Closed) => return Ok(()),
        };
        // An empty frame was only a probe.
        frames.retain(|frame| !frame.is_empty());
        if frames.is_empty() {
            continue;
        }
        add(&shared.tally.frames_received, frames.len());
        add(&shared.tally.bytes_received, frames.iter().map(|frame| frame.len()).sum());
        shared.send_event(NetEvent::Peer { from, frames }).await;
    }
}

async fn serve_client(shared: Arc<Shared>, connection: Connection, holder: Holder, _pass: Pass) {
    let _open = Open::enter(shared.clone());
    add(&shared.tally.clients_accepted, 1);
    let client = Arc::new(ClientInfo {
        principal: holder.principal,
        serial: holder.serial,
        address: connection.remote_address(),
        connection: shared.connections_seen.fetch_add(1, Ordering::Relaxed),
    });
    let exchange = Exchange::new(connection.clone(), shared.tally.clone());
    while let Ok((send, receive)) = connection.accept_bi().await {
        let (shared, connection) = (shared.clone(), connection.clone());
        let (client, exchange) = (client.clone(), exchange.clone());
        tokio::spawn(async move {
            let result = read_client(&shared, client, exchange, send, receive).await;
            blame(&shared, &connection, result);
        });
    }
}

async fn read_client(
    shared: &Shared,
    client: Arc<ClientInfo>,
    exchange: Arc<Exchange>,
    send: SendStream,
    mut receive: RecvStream,
) -> Result<(), Malformed> {
    match read_kind(&mut receive).await? {
        None => Ok(()),
        Some(StreamKind::Requests) => requests::serve(shared, client, exchange, send, receive).await,
        Some(StreamKind::Bulk) => {
            accept_bulk(shared, client.principal.clone(), send, receive).await;
            Ok(())
        }
        Some(kind @ (StreamKind::Control | StreamKind::Append | StreamKind::Join)) => {
            Err(Malformed::UnknownKind(kind.byte()))
        }
    }
}

async fn accept_bulk(shared: &Shared, from: Principal, send: SendStream, receive: RecvStream) {
    match timeout(OPENING_TIMEOUT, BulkStream::accept(from, send, receive)).await {
        Ok(Ok(stream)) => shared.send_event(NetEvent::Bulk(stream)).await,
        Ok(Err(error)) => tracing::debug!(%error, "a bulk stream without a header"),
        Err(_) => tracing::debug!("a bulk stream whose header didn't come"),
    }
}

/// Whoever breaks the format loses the connection.
fn blame(shared: &Shared, connection: &Connection, result: Result<(), Malformed>) {
    if let Err(malformed) = result {
        add(&shared.tally.malformed, 1);
        let address = connection.remote_address();
        tracing::debug!(%address, %malformed, "connection closed");
        if let Some(held) = shared.tally.refusals.pass() {
            tracing::warn!(%address, held_back = held, "connection closed: {malformed}");
        }
        CloseCode::Malformed.close(connection, Some(&malformed));
    }
}

/// Counts a handshake while it lasts.
struct Handshaking(Arc<Shared>);

impl Handshaking {
    fn enter(shared: Arc<Shared>) -> Handshaking {
        shared.handshakes.fetch_add(1, Ordering::Relaxed);
        Handshaking(shared)
    }
}

impl Drop for Handshaking {
    fn drop(&mut self) {
        let handshakes: &AtomicUsize = &self.0.handshakes;
        handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts a connection while it stands.
struct Open(Arc<Shared>);

impl Open {
    fn enter(shared: Arc<Shared>) -> Open {
        add(&shared.tally.connections_open, 1);
        Open(shared)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.tally.connections_open.fetch_sub(1, Ordering::Relaxed);
    }
}
