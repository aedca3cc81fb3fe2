//! Proofs by an Ed25519 key that is derived from a token's secret: the joiner signs, the cluster verifies with the public half.
//!
//! A hash of the secret would do to check a secret that is sent, or as the key of a MAC; but what is sent can be used by whoever receives
//! it, and who reads a MAC's key can make proofs. Of this pair the cluster's state, its snapshots and its backups hold nothing that joins.

use rustls::SignatureScheme;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::SigningKey;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// Bytes of a proof.
pub(crate) const PROOF_BYTES: usize = 64;

/// PKCS #8's frame around the 32 bytes of an Ed25519 key (RFC 8410).
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
/// The frame around the public half, likewise.
const PUBLIC_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The public half of a token's secret: recognizes its proofs and makes none.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Verifier(pub [u8; 32]);

impl Verifier {
    /// Whether the holder of the secret said exactly this.
    pub(crate) fn verify(&self, statement: &[u8], proof: &[u8]) -> bool {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        let known = algorithms.mapping.iter().find(|(scheme, _)| *scheme == SignatureScheme::ED25519);
        let [algorithm] = known.expect("ring verifies Ed25519").1 else { unreachable!("one way to verify Ed25519") };
        proof.len() == PROOF_BYTES && algorithm.verify_signature(&self.0, statement, proof).is_ok()
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

/// The public half of the key that a seed makes.
pub(crate) fn verifier(seed: &[u8; 32]) -> Verifier {
    let key = key(seed);
    let public = key.public_key().expect("an Ed25519 key knows its public half");
    let bytes = public.as_ref().strip_prefix(&PUBLIC_HEAD[..]).expect("an Ed25519 key has one encoding");
    Verifier(bytes.try_into().expect("an Ed25519 key has 32 bytes"))
}

/// Signs a statement by the key that a seed makes.
pub(crate) fn sign(seed: &[u8; 32], statement: &[u8]) -> Vec<u8> {
    let signer = key(seed).choose_scheme(&[SignatureScheme::ED25519]).expect("an Ed25519 key signs by its scheme");
    signer.sign(statement).expect("Ed25519 signs anything")
}

fn key(seed: &[u8; 32]) -> Arc<dyn SigningKey> {
    let mut encoded = PKCS8_HEAD.to_vec();
    encoded.extend_from_slice(seed);
    ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(encoded)).expect("any 32 bytes are an Ed25519 key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_its_key_and_its_statement_only() {
        let (seed, other) = ([3; 32], [4; 32]);
        let proof = sign(&seed, b"me, here, now");
        assert!(verifier(&seed).verify(b"me, here, now", &proof));
        assert!(!verifier(&other).verify(b"me, here, now", &proof));
        assert!(!verifier(&seed).verify(b"me, there, now", &proof));
        for wrong in [&proof[..63], &[], &[0; 64], &[&proof[..], &[0]].concat()] {
            assert!(!verifier(&seed).verify(b"me, here, now", wrong));
        }
        assert!(!Verifier([0xff; 32]).verify(b"me, here, now", &proof));
    }
}
