//! What a node or a client proves itself with: a certificate, its key, and the authority that it trusts.
//!
//! On disk three files in one folder: `certificate.pem`, `key.pem` (mode 0600), `ca.pem`; the folder is made with mode 0700.
//! Never: shows a key in Debug, in an error or in a log.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::crypto;
use crate::files::{CredentialsError, KEY_FILE, read_text, warn_of_open_key, write_private};
use crate::identity::{self, ClusterId, Holder, Principal, Serial};
use crate::request::{CertificateRequest, IdentityKey};
use crate::token::AuthorityPin;

const CERTIFICATE_FILE: &str = "certificate.pem";
const CA_FILE: &str = "ca.pem";

/// A certificate with its key and the authority behind it; parsed and found to belong together.
#[derive(Clone)]
pub struct Credentials {
    cluster: ClusterId,
    principal: Principal,
    serial: Serial,
    from: SystemTime,
    until: SystemTime,
    pin: AuthorityPin,
    certificate_pem: String,
    key_pem: String,
    ca_pem: String,
}

impl Credentials {
    /// Parses the three texts and checks that they belong together.
    pub fn from_pem(certificate: &str, key: &str, ca: &str) -> Result<Credentials, CredentialsError> {
        Credentials::parse([CERTIFICATE_FILE, KEY_FILE, CA_FILE].map(PathBuf::from), [certificate, key, ca])
    }

    /// What a key makes with a certificate for it.
    pub fn of_key(key: &IdentityKey, certificate_pem: &str, ca_pem: &str) -> Result<Credentials, CredentialsError> {
        Credentials::from_pem(certificate_pem, &key.pem(), ca_pem)
    }

    /// Writes the three files into `dir`, which is made when it is missing.
    pub fn save(&self, dir: &Path) -> Result<(), CredentialsError> {
        write_private(dir, KEY_FILE, self.key_pem.as_bytes())?;
        write_private(dir, CA_FILE, self.ca_pem.as_bytes())?;
        write_private(dir, CERTIFICATE_FILE, self.certificate_pem.as_bytes())
    }

    /// Reads what [`Credentials::save`] wrote.
    pub fn load(dir: &Path) -> Result<Credentials, CredentialsError> {
        let paths = [CERTIFICATE_FILE, KEY_FILE, CA_FILE].map(|name| dir.join(name));
        let texts = [read_text(&paths[0])?, read_text(&paths[1])?, read_text(&paths[2])?];
        warn_of_open_key(&paths[1]);
        Credentials::parse(paths, [&texts[0], &texts[1], &texts[2]])
    }

    /// The cluster that these credentials belong to.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Whom they prove.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The certificate's own number.
    pub fn serial(&self) -> Serial {
        self.serial
    }

    /// When the certificate begins to be valid: a day before it was made, because clocks differ.
    pub fn valid_from(&self) -> SystemTime {
        self.from
    }

    /// When the certificate stops being valid.
    pub fn valid_until(&self) -> SystemTime {
        self.until
    }

    /// Whether two thirds of the certificate's time are over: a renewal that fails can then be tried again for weeks.
    pub fn renewal_due(&self, now: SystemTime) -> bool {
        let lifetime = self.until.duration_since(self.from).unwrap_or_default();
        now >= self.from + lifetime * 2 / 3
    }

    /// What a renewal sends to the cluster. It is for the same key: two files that are renewed one after the other then always fit together,
    /// and stateless resets (which come from the key) still reach whoever talks to this node's previous life.
    pub fn renewal_request(&self) -> Result<CertificateRequest, CredentialsError> {
        let key = IdentityKey::from_pem(&self.key_pem)
            .ok_or_else(|| CredentialsError::Issue { what: "only a key of ECDSA P-256 can be renewed".to_string() })?;
        Ok(key.request())
    }

    /// These credentials with the certificate that the cluster answered. An error if it is for somebody else.
    pub fn renewed(&self, certificate_pem: &str, ca_pem: &str) -> Result<Credentials, CredentialsError> {
        let renewed = Credentials::from_pem(certificate_pem, &self.key_pem, ca_pem)?;
        self.check_successor(&renewed).map_err(|what| CredentialsError::Issue { what })?;
        Ok(renewed)
    }

    /// The authority's mark in tokens.
    pub fn authority_pin(&self) -> AuthorityPin {
        self.pin
    }

    /// Whether that authority's key signed the certificate.
    pub(crate) fn is_signed_by(&self, ca: &[u8]) -> bool {
        identity::is_signed_by(&self.der().0, ca).unwrap_or(false)
    }

    /// Whether others may take the place of these while connections stand: same cluster, same holder, same authority's key.
    pub(crate) fn check_successor(&self, other: &Credentials) -> Result<(), String> {
        if other.cluster != self.cluster || other.principal != self.principal {
            let (ours, theirs) = ((self.cluster, &self.principal), (other.cluster, &other.principal));
            return Err(format!("they belong to {} of {}, not to {} of {}", theirs.1, theirs.0, ours.1, ours.0));
        }
        if other.pin != self.pin { Err("their authority has another key".to_string()) } else { Ok(()) }
    }

    /// The certificate, as text.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key, as text: a secret.
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The authority's certificate, as text.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    fn parse(paths: [PathBuf; 3], texts: [&str; 3]) -> Result<Credentials, CredentialsError> {
        let [certificate_path, key_path, ca_path] = paths;
        let damaged = |path: &Path, what: String| CredentialsError::Damaged { path: path.to_path_buf(), what };
        let certificate = certificate_der(&certificate_path, texts[0])?;
        let ca = certificate_der(&ca_path, texts[2])?;
        let key = key_der(&key_path, texts[1])?;
        let unfit = |error: identity::IdentityError| damaged(&certificate_path, error.to_string());
        let Holder { cluster, principal, serial } = Holder::from_certificate(&certificate).map_err(unfit)?;
        let (pin, ca_cluster) = AuthorityPin::of(&ca).map_err(|error| damaged(&ca_path, error.to_string()))?;
        if ca_cluster != cluster {
            let what = format!("the authority of {ca_cluster}, but the certificate belongs to {cluster}");
            return Err(damaged(&ca_path, what));
        }
        crypto::check_key(certificate.clone(), key).map_err(|error| damaged(&key_path, error))?;
        let (from, until) = identity::validity(&certificate).map_err(unfit)?;
        Ok(Credentials {
            cluster,
            principal,
            serial,
            from,
            until,
            pin,
            certificate_pem: texts[0].to_string(),
            key_pem: texts[1].to_string(),
            ca_pem: texts[2].to_string(),
        })
    }

    /// Certificate, key and authority for TLS. They were parsed when these credentials were made.
    pub(crate) fn der(&self) -> (CertificateDer<'static>, PrivateKeyDer<'static>, CertificateDer<'static>) {
        let parsed = "credentials hold only what was parsed when they were made";
        (
            CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).expect(parsed),
            PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).expect(parsed),
            CertificateDer::from_pem_slice(self.ca_pem.as_bytes()).expect(parsed),
        )
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("cluster", &self.cluster)
            .field("principal", &self.principal)
            .finish_non_exhaustive()
    }
}

/// The one certificate in a text.
pub(crate) fn certificate_der(path: &Path, pem: &str) -> Result<CertificateDer<'static>, CredentialsError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| CredentialsError::Damaged {
        path: path.to_path_buf(),
        what: format!("no certificate: {error}"),
    })
}

fn key_der(path: &Path, pem: &str) -> Result<PrivateKeyDer<'static>, CredentialsError> {
    // The parser's own error might quote what it read, so only its kind is told.
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| CredentialsError::Damaged { path: path.to_path_buf(), what: "no private key in PEM".to_string() })
}
