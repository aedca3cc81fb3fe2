//! Who doesn't belong: senders of garbage, and QUIC clients that speak another protocol. They use no room of ours but the
//! identities.

use outboard_net::Credentials;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint};
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig as TlsConfig, ConfigBuilder, RootCertStore};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

/// Sends so many datagrams of every length, every second one in the likeness of a handshake's beginning.
pub fn datagrams_of_garbage(to: SocketAddr, count: usize) {
    const LIKE_QUIC_1: [u8; 6] = [0xc3, 0, 0, 0, 1, 8];
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let mut chance = 1u64;
    for round in 0..count {
        let mut bytes: Vec<u8> = std::iter::repeat_with(|| {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (chance >> 33) as u8
        })
        .take(round % 1_400 + 1)
        .collect();
        if round % 2 == 0 {
            let shared = LIKE_QUIC_1.len().min(bytes.len());
            bytes[..shared].copy_from_slice(&LIKE_QUIC_1[..shared]);
        }
        socket.send_to(&bytes, to).expect("the loopback takes it");
    }
}

/// Whether a QUIC client with these credentials that asks for this protocol (ALPN) is turned away. A node judges the
/// client's certificate when the client already counts the handshake as done, so its next word is waited for.
pub async fn is_turned_away(at: SocketAddr, credentials: &Credentials, protocol: &[u8]) -> bool {
    match connect(at, credentials, protocol).await {
        Ok(connection) => was_closed(&connection).await,
        Err(_) => true,
    }
}

/// As [`is_turned_away`], for one that shows no certificate; it trusts the authority in these credentials.
pub async fn is_turned_away_without_a_certificate(at: SocketAddr, trusts: &Credentials, protocol: &[u8]) -> bool {
    match connect_with(at, trusts, anonymous(trusts), protocol).await {
        Ok(connection) => was_closed(&connection).await,
        Err(_) => true,
    }
}

/// Whether a client that belongs loses its connection for sending this on a stream.
pub async fn is_cut_off_for(at: SocketAddr, credentials: &Credentials, protocol: &[u8], bytes: &[u8]) -> bool {
    let connection = connect(at, credentials, protocol).await.expect("it belongs");
    let (mut send, _receive) = connection.open_bi().await.expect("a stream");
    send.write_all(bytes).await.expect("the stream is open");
    send.finish().expect("the stream is open");
    was_closed(&connection).await
}

async fn connect(at: SocketAddr, credentials: &Credentials, protocol: &[u8]) -> Result<Connection, ConnectionError> {
    connect_with(at, credentials, known(credentials), protocol).await
}

async fn connect_with(
    at: SocketAddr,
    trusts: &Credentials,
    mut tls: TlsConfig,
    protocol: &[u8],
) -> Result<Connection, ConnectionError> {
    tls.alpn_protocols = vec![protocol.to_vec()];
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("QUIC's first cipher is there")));
    let endpoint = Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into()).expect("a socket");
    let server_name = format!("{}.outboard", trusts.cluster());
    endpoint.connect_with(config, at, &server_name).expect("a sound config").await
}

/// By the other side's word, not by silence.
async fn was_closed(connection: &Connection) -> bool {
    matches!(connection.closed().await, ConnectionError::ConnectionClosed(_) | ConnectionError::ApplicationClosed(_))
}

const PARSED: &str = "credentials hold what TLS takes";

/// Who shows a certificate.
fn known(credentials: &Credentials) -> TlsConfig {
    let chain = vec![CertificateDer::from_pem_slice(credentials.certificate_pem().as_bytes()).expect(PARSED)];
    let key = PrivateKeyDer::from_pem_slice(credentials.key_pem().as_bytes()).expect(PARSED);
    trusting(credentials).with_client_auth_cert(chain, key).expect(PARSED)
}

/// Who shows none.
fn anonymous(trusts: &Credentials) -> TlsConfig {
    trusting(trusts).with_no_client_auth()
}

fn trusting(credentials: &Credentials) -> ConfigBuilder<TlsConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(credentials.ca_pem().as_bytes()).expect(PARSED)).expect(PARSED);
    TlsConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring knows TLS 1.3")
        .with_root_certificates(roots)
}
