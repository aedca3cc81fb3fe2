//! How a listener is set up, and whether that may be seen by others.

use crate::limits::{CONNECTIONS_MAX, HELD_BYTES_MAX};
use crate::users::Users;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// How a listener is set up.
#[derive(Clone)]
pub struct Options {
    /// With it all connections are TLS. See [`tls_from_pem`].
    pub tls: Option<Arc<ServerConfig>>,
    /// Who may log in. [`Users::nobody`] asks for no login.
    pub users: Users,
    /// Connections that are served at once.
    pub connections_max: usize,
    /// What all connections together may hold, in bytes. See [`limits::HELD_BYTES_MAX`](crate::limits::HELD_BYTES_MAX).
    pub held_bytes_max: usize,
    /// How long the node may take over a command, in milliseconds.
    pub timeout_ms: u32,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            tls: None,
            users: Users::nobody(),
            connections_max: CONNECTIONS_MAX,
            held_bytes_max: HELD_BYTES_MAX,
            timeout_ms: 5_000,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("tls", &self.tls.is_some())
            .field("users", &self.users)
            .field("connections_max", &self.connections_max)
            .field("held_bytes_max", &self.held_bytes_max)
            .field("timeout_ms", &self.timeout_ms)
            .finish()
    }
}

/// A listener that others could reach, and that would let anybody in.
#[derive(Clone, Eq, PartialEq, Debug, thiserror::Error)]
#[error(
    "the Redis listener on {address} could be reached from other machines, and neither TLS nor users protect it: \
     give it a certificate and key, or a file of users, or let it listen on 127.0.0.1"
)]
pub struct Exposed {
    /// Where it was to listen.
    pub address: SocketAddr,
}

/// Off loopback a listener needs TLS or users.
pub fn check_exposure(address: SocketAddr, options: &Options) -> Result<(), Exposed> {
    let loopback = match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback()),
    };
    if loopback || options.tls.is_some() || !options.users.is_empty() { Ok(()) } else { Err(Exposed { address }) }
}

/// Why a certificate and key make no TLS listener. Never tells anything of the key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate's file.
    #[error("the certificate can't be used: {0}")]
    Certificate(String),
    /// The key's file.
    #[error("the private key can't be used: a PEM file with one PKCS #8, SEC 1 or PKCS #1 key is expected")]
    Key,
    /// Both together.
    #[error("certificate and private key can't be used: {0}")]
    Pair(String),
}

/// TLS 1.3 with a certificate chain and its key, both PEM. Clients are not asked for certificates: they log in as users, if anything.
pub fn tls_from_pem(certificates: &[u8], key: &[u8]) -> Result<Arc<ServerConfig>, TlsError> {
    let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(certificates).collect();
    let chain = chain.map_err(|error| TlsError::Certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(TlsError::Certificate("there is none in the file (PEM is expected)".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
    let pair = |error: rustls::Error| TlsError::Pair(error.to_string());
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exposed(address: &str, options: &Options) -> bool {
        check_exposure(address.parse().expect("an address"), options).is_err()
    }

    #[test]
    fn off_loopback_a_listener_needs_tls_or_users() {
        let open = Options::default();
        for inside in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(!exposed(inside, &open), "{inside}");
        }
        for outside in ["0.0.0.0:1", "10.0.0.5:1", "[::]:1", "[fe80::1]:1", "[::ffff:10.0.0.5]:1"] {
            assert!(exposed(outside, &open), "{outside}");
        }
        let users =
            Users::parse("ana $argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$L1jZpHRYzBAEr16xHrUFRY0ZYxPbUMBKvHPHKXAIxjQ");
        let users = Options { users: users.expect("a hash"), ..Options::default() };
        assert!(!exposed("0.0.0.0:1", &users));
        let (certificate, key) = crate::testing::certificate();
        let tls = tls_from_pem(certificate.as_bytes(), key.as_bytes()).expect("a pair");
        assert!(!exposed("0.0.0.0:1", &Options { tls: Some(tls), ..Options::default() }));
    }

    #[test]
    fn the_refusal_says_what_to_do() {
        let text = check_exposure(([10, 0, 0, 5], 6379).into(), &Options::default()).expect_err("exposed").to_string();
        for word in ["10.0.0.5:6379", "certificate", "users", "127.0.0.1"] {
            assert!(text.contains(word), "{text}");
        }
    }

    #[test]
    fn pem_files_that_make_no_listener_are_told_apart_and_never_shown() {
        let (certificate, key) = crate::testing::certificate();
        let (_, other_key) = crate::testing::certificate();
        let of = |certificate: &str, key: &str| {
            tls_from_pem(certificate.as_bytes(), key.as_bytes()).map(drop).expect_err("no listener").to_string()
        };
        assert!(of("", &key).starts_with("the certificate"));
        assert!(of(&certificate, "").starts_with("the private key"));
        assert!(of(&certificate, &certificate).starts_with("the private key"));
        assert!(of(&certificate, &other_key).starts_with("certificate and private key"));
    }
}
