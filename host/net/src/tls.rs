//! The one TLS configuration: version 1.3, both sides show a certificate of the cluster's authority, no resumption and no 0-RTT.
//!
//! Without resumption every connection verifies both certificates anew, so an expired one ends at the next connection; a handshake takes
//! about a millisecond and connections stand for days. The exception to both certificates is a join: who joins has none yet and shows none,
//! so where joins are taken, TLS lets anybody in without one, and `serve.rs` turns away whoever wants anything else. What rustls verifies: the chain to the cluster's own authority (so a foreign cluster
//! can't speak at all), the time, the usage (a client's certificate can't serve), and the server's name, which names cluster and node.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};

use crate::credentials::Credentials;
use crate::crypto::provider;
use crate::error::NetError;

/// Node to node.
const ALPN_PEER: &str = "outboard-peer/1";
/// Client to node.
pub(crate) const ALPN_CLIENT: &[u8] = b"outboard-client/1";

/// Somebody with a token to a node.
pub(crate) const ALPN_JOIN: &[u8] = b"outboard-join/1";

/// Node to node, of one incarnation of the cluster: nodes of two don't find a protocol that both speak. A cluster that was never recovered
/// by hand has incarnation 0.
pub(crate) fn peer_protocol(incarnation: u64) -> Vec<u8> {
    match incarnation {
        0 => ALPN_PEER.into(),
        incarnation => format!("{ALPN_PEER}.{incarnation}").into_bytes(),
    }
}

/// What a node shows to whoever dials it: it serves peers and clients on one port.
pub(crate) fn server_config(
    credentials: &Credentials,
    peer_protocol: &[u8],
    takes_joins: bool,
) -> Result<QuicServerConfig, NetError> {
    let shown = Arc::new(Shown::new(credentials)?);
    let (_, _, ca) = credentials.der();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca)?), provider());
    let verifier = if takes_joins { verifier.allow_unauthenticated() } else { verifier };
    let verifier = verifier.build().map_err(|error| NetError::Tls { what: error.to_string() })?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(not_tls)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(shown);
    config.alpn_protocols = vec![peer_protocol.to_vec(), ALPN_CLIENT.to_vec()];
    if takes_joins {
        config.alpn_protocols.push(ALPN_JOIN.to_vec());
    }
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

/// What a joiner uses: no certificate, and its own judge of the node's.
pub(crate) fn join_config(judge: Arc<dyn ServerCertVerifier>) -> Result<QuicClientConfig, NetError> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(not_tls)?
        .dangerous()
        .with_custom_certificate_verifier(judge)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_JOIN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.try_into().map_err(|_| NetError::Tls { what: "no cipher suite for QUIC".to_string() })
}

/// The certificate that a node shows. Only joiners get the authority's with it: all others have that already.
#[derive(Debug)]
struct Shown {
    own: Arc<CertifiedKey>,
    with_authority: Arc<CertifiedKey>,
}

impl Shown {
    fn new(credentials: &Credentials) -> Result<Shown, NetError> {
        let (certificate, key, ca) = credentials.der();
        let own = CertifiedKey::from_der(vec![certificate.clone()], key, &provider()).map_err(not_tls)?;
        let with_authority = CertifiedKey::new(vec![certificate, ca], own.key.clone());
        Ok(Shown { own: Arc::new(own), with_authority: Arc::new(with_authority) })
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let joins = hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == ALPN_JOIN));
        Some(if joins { self.with_authority.clone() } else { self.own.clone() })
    }
}

fn roots(ca: CertificateDer<'static>) -> Result<RootCertStore, NetError> {
    let mut roots = RootCertStore::empty();
    roots.add(ca).map_err(not_tls)?;
    Ok(roots)
}

fn not_tls(error: rustls::Error) -> NetError {
    NetError::Tls { what: error.to_string() }
}
