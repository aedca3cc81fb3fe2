//! The one TLS configuration: version 1.3, both sides show a certificate of the cluster's authority, no resumption and no 0-RTT.
//!
//! Without resumption every connection verifies both certificates anew, so an expired one ends at the next connection; a handshake takes
//! about a millisecond and connections stand for days. What rustls verifies: the chain to the cluster's own authority (so a foreign cluster
//! can't speak at all), the time, the usage (a client's certificate can't serve), and the server's name, which names cluster and node.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::crypto::ring::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};

use crate::credentials::Credentials;
use crate::error::NetError;

/// Node to node.
pub(crate) const ALPN_PEER: &[u8] = b"outboard-peer/1";
/// Client to node.
pub(crate) const ALPN_CLIENT: &[u8] = b"outboard-client/1";

/// What a node shows to whoever dials it: it serves peers and clients on one port.
pub(crate) fn server_config(credentials: &Credentials) -> Result<QuicServerConfig, NetError> {
    let (certificate, key, ca) = credentials.der();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider())
        .build()
        .map_err(|error| NetError::Tls { what: error.to_string() })?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(not_tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate], key)
        .map_err(not_tls)?;
    config.alpn_protocols = vec![ALPN_PEER.to_vec(), ALPN_CLIENT.to_vec()];
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.try_into().map_err(|_| NetError::Tls { what: "no cipher suite for QUIC".to_string() })
}

/// What a dialler shows, for one purpose.
pub(crate) fn client_config(credentials: &Credentials, alpn: &[u8]) -> Result<QuicClientConfig, NetError> {
    let (certificate, key, ca) = credentials.der();
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(not_tls)?
        .with_root_certificates(roots(ca)?)
        .with_client_auth_cert(vec![certificate], key)
        .map_err(not_tls)?;
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.try_into().map_err(|_| NetError::Tls { what: "no cipher suite for QUIC".to_string() })
}

/// Whether a private key is the certificate's; the text never holds the key.
pub(crate) fn check_key(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> Result<(), String> {
    match CertifiedKey::from_der(vec![certificate], key, &provider()) {
        Ok(_) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) => Err("this key doesn't belong to the certificate".to_string()),
        Err(_) => Err("this key can't be used (ECDSA P-256 in PKCS #8 is expected)".to_string()),
    }
}

/// Bytes from the system's secure source of chance.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    ring::default_provider().secure_random.fill(&mut bytes).expect("the system's source of chance must work");
    bytes
}

/// ring, with AES-128 first: as safe for this and the quickest on machines with AES instructions.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256];
    Arc::new(provider)
}

fn roots(ca: CertificateDer<'static>) -> Result<RootCertStore, NetError> {
    let mut roots = RootCertStore::empty();
    roots.add(ca).map_err(not_tls)?;
    Ok(roots)
}

fn not_tls(error: rustls::Error) -> NetError {
    NetError::Tls { what: error.to_string() }
}
