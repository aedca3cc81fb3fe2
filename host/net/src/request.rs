//! A key on its way to a certificate: the holder keeps the key and sends a request (PKCS #10), the authority signs what *it* decides.
//!
//! The request proves that its sender holds the key, nothing else: its subject and its wishes are not even read. Invariant: a
//! [`CertificateRequest`] exists only with a signature that holds, over a key that this system uses (ECDSA P-256).

use std::fmt;
use std::path::Path;

use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData, SubjectPublicKeyInfo,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::files::{CredentialsError, KEY_FILE, read_text, write_private};
use crate::identity::KeyHash;

/// Longest request for a certificate that is looked at, in bytes; ours have some 300.
pub const REQUEST_BYTES_MAX: usize = 4 << 10;

/// A private key that has no certificate yet.
pub struct IdentityKey(KeyPair);

impl IdentityKey {
    /// A new key from the system's secure source of chance.
    pub fn generate() -> Result<IdentityKey, CredentialsError> {
        KeyPair::generate().map(IdentityKey).map_err(|error| CredentialsError::Issue { what: error.to_string() })
    }

    /// The key that waits in `dir`, or a new one that waits there from now on: a join that is run again goes on with the same key, and so
    /// gets what it was given. [`crate::Credentials::save`] into the same folder completes it.
    pub fn load_or_create(dir: &Path) -> Result<IdentityKey, CredentialsError> {
        let path = dir.join(KEY_FILE);
        if !path.exists() {
            let key = IdentityKey::generate()?;
            write_private(dir, KEY_FILE, key.0.serialize_pem().as_bytes())?;
            return Ok(key);
        }
        IdentityKey::from_pem(&read_text(&path)?).ok_or_else(|| CredentialsError::Damaged {
            path,
            what: "no private key that can be used (ECDSA P-256 in PKCS #8 is expected)".to_string(),
        })
    }

    /// The request that proves possession of this key.
    pub fn request(&self) -> CertificateRequest {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.0).expect("a request without wishes can be written and signed");
        CertificateRequest::from_der(request.der()).expect("what was just made and signed holds")
    }

    /// As text: a secret.
    pub(crate) fn pem(&self) -> String {
        self.0.serialize_pem()
    }

    pub(crate) fn from_pem(pem: &str) -> Option<IdentityKey> {
        let key = KeyPair::from_pem(pem).ok()?;
        key.is_compatible(&PKCS_ECDSA_P256_SHA256).then_some(IdentityKey(key))
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityKey").finish_non_exhaustive()
    }
}

/// A request whose signature holds: whoever made it has the private key.
#[derive(Clone)]
pub struct CertificateRequest {
    der: Vec<u8>,
    key: SubjectPublicKeyInfo,
    key_hash: KeyHash,
}

impl CertificateRequest {
    /// Reads and verifies a request from outside.
    pub fn from_der(der: &[u8]) -> Result<CertificateRequest, RequestRefused> {
        let refused = |what: &str| RequestRefused(what.to_string());
        if der.len() > REQUEST_BYTES_MAX {
            return Err(refused("it is too long"));
        }
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| refused("it can't be read"))?;
        if !rest.is_empty() {
            return Err(refused("something follows it"));
        }
        let key = SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw)
            .map_err(|_| refused("its key is of a kind that is not used here"))?;
        if *key.algorithm() != PKCS_ECDSA_P256_SHA256 {
            return Err(refused("its key is not one of ECDSA P-256"));
        }
        request.verify_signature().map_err(|_| refused("its signature doesn't hold"))?;
        let key_hash = KeyHash::of(request.certification_request_info.subject_pki.raw);
        Ok(CertificateRequest { der: der.to_vec(), key, key_hash })
    }

    /// The request as bytes, to be sent.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whose request it is.
    pub fn key_hash(&self) -> KeyHash {
        self.key_hash
    }

    /// The key to be certified.
    pub(crate) fn key(&self) -> &SubjectPublicKeyInfo {
        &self.key
    }
}

impl fmt::Debug for CertificateRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateRequest").field("key_hash", &self.key_hash).finish_non_exhaustive()
    }
}

/// Why bytes are no request for a certificate.
#[derive(Clone, Eq, PartialEq, Debug, thiserror::Error)]
#[error("no request for a certificate: {0}")]
pub struct RequestRefused(String);

#[cfg(test)]
mod tests {
    use rcgen::{PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;

    #[test]
    fn a_request_is_read_back_and_no_damage_makes_it_one_for_another_key() {
        let key = IdentityKey::generate().expect("a key");
        let request = key.request();
        let again = CertificateRequest::from_der(request.der()).expect("it holds");
        assert_eq!(again.key_hash(), request.key_hash());
        assert_eq!(key.request().key_hash(), request.key_hash(), "the key is the identity, not the signature");
        for at in 0..request.der().len() {
            let mut damaged = request.der().to_vec();
            damaged[at] ^= 1;
            // Some bytes of the frame around the signature its reader passes over; whatever is read, it is about the same key.
            if let Ok(read) = CertificateRequest::from_der(&damaged) {
                assert_eq!(read.key_hash(), request.key_hash(), "byte {at}");
            }
            assert!(CertificateRequest::from_der(&request.der()[..at]).is_err(), "cut at {at}");
        }
        for wrong in [&[][..], &[0x30], &[0; 100], &[0x30; 5_000], &[request.der(), &[0]].concat()] {
            assert!(CertificateRequest::from_der(wrong).is_err());
        }
    }

    #[test]
    fn keys_of_other_kinds_are_refused() {
        for kind in [&PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
            let key = KeyPair::generate_for(kind).expect("a key");
            let request = CertificateParams::default().serialize_request(&key).expect("a request");
            let refused = CertificateRequest::from_der(request.der()).expect_err("another kind of key").to_string();
            assert!(refused.contains("key"), "{refused}");
            assert!(IdentityKey::from_pem(&key.serialize_pem()).is_none());
        }
    }

    #[test]
    fn a_key_waits_in_its_folder_until_it_gets_a_certificate() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = dir.path().join("identity");
        let first = IdentityKey::load_or_create(&home).expect("a key");
        let again = IdentityKey::load_or_create(&home).expect("the key");
        assert_eq!(first.request().key_hash(), again.request().key_hash());
        std::fs::write(home.join(KEY_FILE), "nonsense").expect("it is written");
        let damaged = IdentityKey::load_or_create(&home).expect_err("no key").to_string();
        assert!(damaged.contains("key.pem"), "{damaged}");
    }
}
