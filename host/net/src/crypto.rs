//! The one source of cryptography here: which suites TLS may use, whether a key fits a certificate, chance.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::crypto::ring::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

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
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider.cipher_suites = vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256];
    Arc::new(provider)
}
