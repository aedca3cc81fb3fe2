//! QUIC's settings, all in one place with their reasons; and the socket under them.
//!
//! Chosen by `examples/pingpong.rs` on loopback with 256-byte messages: large datagrams halve the CPU time of many messages in flight
//! (1.0 instead of 1.8 µs each, both sides together), rarer acknowledgements save a tenth of it and of a lone client's, the congestion
//! window makes no difference there.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::crypto::{CryptoError, HmacKey};
use quinn::udp::{UdpSockRef, UdpSocketState};
use quinn::{
    AckFrequencyConfig, ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout, MtuDiscoveryConfig,
    ServerConfig, TransportConfig, VarInt,
};

use crate::credentials::Credentials;
use crate::crypto;
use crate::error::NetError;
use crate::tls;

/// Streams of one connection that may carry bulk at the same time.
pub(crate) const BULK_STREAMS_MAX: u32 = 4;
/// A stream's receive window. Lanes, requests and bulk together stay under the connection's window, so a stream that nobody reads
/// never starves the control lane: (4 bulk + append + control) * 8 MiB <= 64 MiB.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
/// A connection's receive window between nodes, and what a sender keeps until it is acknowledged.
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
/// A client's connection gets less: there may be thousands of them, and bulk that it sends may hold back its own requests only.
pub(crate) const CLIENT_WINDOW_BYTES: u32 = 24 << 20;
const _: () = assert!((BULK_STREAMS_MAX + 2) * STREAM_WINDOW_BYTES <= CONNECTION_WINDOW_BYTES);

/// What a connection may send before its certificate was looked at, and all that a joiner, who has none, ever may: this much is kept of it.
const STRANGER_WINDOW_BYTES: u32 = 128 << 10;

/// Between peers silence of this length means that the other side is gone.
const PEER_IDLE: Duration = Duration::from_secs(3);
/// A client may be a laptop on a bad network; it asks again anyway.
const CLIENT_IDLE: Duration = Duration::from_secs(10);
/// The server's own bound; the dialler's shorter one decides.
const SERVER_IDLE: Duration = Duration::from_secs(30);
const PEER_KEEP_ALIVE: Duration = Duration::from_secs(1);
const CLIENT_KEEP_ALIVE: Duration = Duration::from_secs(3);
/// Between two stateless resets; after a restart every peer and client is waiting for its own.
const RESET_INTERVAL: Duration = Duration::from_millis(1);

/// Before the first measured round trip: a lost first packet is sent again after three times this.
const INITIAL_RTT: Duration = Duration::from_millis(50);
/// Largest datagram that discovery may find, on loopback and on jumbo frames; Ethernet's own limit is found in a few round trips. quinn
/// gives the kernel ten datagrams in one call, which takes less than 64 KiB: with larger ones every burst would be lost. Whole 64 KiB
/// datagrams without that offload are a quarter cheaper for large frames on loopback, and far dearer on every real network.
const DATAGRAM_BYTES_MAX: u16 = 6_500;
/// A LAN's path takes this much at once (Linux routers and switches queue more); WAN paths find their rate from there.
const INITIAL_WINDOW_BYTES: u64 = 512 << 10;
/// Packets that a receiver may leave unacknowledged ...
const ACK_EVERY_PACKETS: u32 = 15;
/// ... and for how long. Most acknowledgements then ride on an answer; a lone one costs as much as a request. The price is that a lost last
/// packet is noticed this much later.
const ACK_DELAY_MAX: Duration = Duration::from_millis(20);
/// Asked of the kernel for each direction: a burst from every peer must fit while this thread computes.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// Handshakes of unverified peers keep little.
const INCOMING_MAX: usize = 1_024;
const INCOMING_BYTES_MAX: u64 = 16 << 10;
const INCOMING_TOTAL_BYTES_MAX: u64 = 4 << 20;

/// What a node does as a dialler of peers.
pub(crate) fn peer_transport() -> Arc<TransportConfig> {
    dialler(PEER_IDLE, PEER_KEEP_ALIVE)
}

/// What a client does.
pub(crate) fn client_transport() -> Arc<TransportConfig> {
    dialler(CLIENT_IDLE, CLIENT_KEEP_ALIVE)
}

/// Only diallers open streams, and only they have to keep a connection alive.
fn dialler(idle: Duration, keep_alive: Duration) -> Arc<TransportConfig> {
    let mut transport = common(idle);
    transport.keep_alive_interval(Some(keep_alive));
    transport.max_concurrent_bidi_streams(VarInt::from_u32(0));
    transport.max_concurrent_uni_streams(VarInt::from_u32(0));
    Arc::new(transport)
}

/// What a node does for those who dial it.
pub(crate) fn server_config(
    credentials: &Credentials,
    peer_protocol: &[u8],
    takes_joins: bool,
) -> Result<ServerConfig, NetError> {
    let mut config = ServerConfig::with_crypto(Arc::new(tls::server_config(credentials, peer_protocol, takes_joins)?));
    let mut transport = common(SERVER_IDLE);
    transport.receive_window(VarInt::from_u32(STRANGER_WINDOW_BYTES));
    // Control lane or requests, and bulk.
    transport.max_concurrent_bidi_streams(VarInt::from_u32(1 + BULK_STREAMS_MAX));
    // The append lane.
    transport.max_concurrent_uni_streams(VarInt::from_u32(1));
    config.transport_config(Arc::new(transport));
    config.max_incoming(INCOMING_MAX);
    config.incoming_buffer_size(INCOMING_BYTES_MAX);
    config.incoming_buffer_size_total(INCOMING_TOTAL_BYTES_MAX);
    Ok(config)
}

fn common(idle: Duration) -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport.max_idle_timeout(Some(IdleTimeout::try_from(idle).expect("an idle timeout of seconds fits")));
    transport.stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES));
    transport.receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES));
    transport.send_window(u64::from(CONNECTION_WINDOW_BYTES));
    // Priorities decide between our streams; within one priority the order of writing is best.
    transport.send_fairness(false);
    transport.datagram_receive_buffer_size(None);
    transport.initial_rtt(INITIAL_RTT);
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(DATAGRAM_BYTES_MAX);
    transport.mtu_discovery_config(Some(mtu));
    let mut congestion = CubicConfig::default();
    congestion.initial_window(INITIAL_WINDOW_BYTES);
    transport.congestion_controller_factory(Arc::new(congestion));
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(ACK_EVERY_PACKETS));
    acks.max_ack_delay(Some(ACK_DELAY_MAX));
    transport.ack_frequency_config(Some(acks));
    transport.enable_segmentation_offload(true);
    transport
}

/// The endpoint's own settings. The key of stateless resets comes from the secret, which is the node's private key: whoever still talks to this node's
/// previous life is told so at once, instead of waiting for its idle timeout.
pub(crate) fn endpoint_config(secret: &[u8]) -> EndpointConfig {
    let key = blake3::derive_key("outboard net stateless reset 1", secret);
    let mut config = EndpointConfig::new(Arc::new(ResetKey(key)));
    config.max_udp_payload_size(DATAGRAM_BYTES_MAX).expect("within QUIC's bounds");
    config.min_reset_interval(RESET_INTERVAL);
    // quinn's own generator recognizes its ids by a key of this life only, and so would silently drop what deserves a reset.
    config.cid_generator(|| Box::new(RandomIds(blake3::Hasher::new_keyed(&crypto::random_bytes()).finalize_xof())));
    config
}

/// A bound socket with large buffers, or a warning.
pub(crate) fn bind(address: SocketAddr) -> Result<UdpSocket, NetError> {
    let socket = UdpSocket::bind(address).map_err(|source| NetError::Bind { address, source })?;
    enlarge_buffers(&socket);
    Ok(socket)
}

/// Asks for large buffers on a socket; smaller ones work too, only worse.
pub(crate) fn enlarge_buffers(socket: &UdpSocket) {
    static SAID: std::sync::Once = std::sync::Once::new();
    let got = try_enlarge(socket).unwrap_or(0);
    if got < SOCKET_BUFFER_BYTES {
        SAID.call_once(|| {
            tracing::warn!(
                "the kernel gives UDP buffers of {got} bytes instead of {SOCKET_BUFFER_BYTES}: \
                 raise net.core.rmem_max and net.core.wmem_max"
            );
        });
    }
}

fn try_enlarge(socket: &UdpSocket) -> std::io::Result<usize> {
    let state = UdpSocketState::new(UdpSockRef::from(socket))?;
    state.set_send_buffer_size(UdpSockRef::from(socket), SOCKET_BUFFER_BYTES)?;
    state.set_recv_buffer_size(UdpSockRef::from(socket), SOCKET_BUFFER_BYTES)?;
    let sending = state.send_buffer_size(UdpSockRef::from(socket))?;
    Ok(sending.min(state.recv_buffer_size(UdpSockRef::from(socket))?))
}

struct ResetKey([u8; 32]);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(blake3::keyed_hash(&self.0, data).as_bytes());
    }

    fn signature_len(&self) -> usize {
        blake3::OUT_LEN
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let signature: [u8; blake3::OUT_LEN] = signature.try_into().map_err(|_| CryptoError)?;
        // Comparing hashes takes constant time in blake3.
        if blake3::keyed_hash(&self.0, data) == signature { Ok(()) } else { Err(CryptoError) }
    }
}

/// Connection ids of eight random bytes.
struct RandomIds(blake3::OutputReader);

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; 8];
        self.0.fill(&mut id);
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        8
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
