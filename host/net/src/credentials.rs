//! What a node or a client proves itself with: a certificate, its key, and the authority that it trusts.
//!
//! On disk three files in one folder: `certificate.pem`, `key.pem` (mode 0600), `ca.pem`; the folder is made with mode 0700.
//! Never: shows a key in Debug, in an error or in a log.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::identity::{self, ClusterId, Holder, Principal, Serial};
use crate::request::{CertificateRequest, IdentityKey};
use crate::tls;
use crate::token::AuthorityPin;

const CERTIFICATE_FILE: &str = "certificate.pem";
pub(crate) const KEY_FILE: &str = "key.pem";
const CA_FILE: &str = "ca.pem";
/// Longest file that is read as a certificate or a key.
const FILE_BYTES_MAX: u64 = 256 * 1024;

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
        tls::check_key(certificate.clone(), key).map_err(|error| damaged(&key_path, error))?;
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

/// Why credentials can't be used; each names the file.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file can't be read.
    #[error("can't read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file can't be written.
    #[error("can't write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file's content is not what it should be.
    #[error("{}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A certificate can't be made.
    #[error("no certificate can be made: {what}")]
    Issue {
        /// The cause.
        what: String,
    },
}

/// The one certificate in a text.
pub(crate) fn certificate_der(path: &Path, pem: &str) -> Result<CertificateDer<'static>, CredentialsError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| CredentialsError::Damaged {
        path: path.to_path_buf(),
        what: format!("no certificate: {error}"),
    })
}

/// A small text file, whole.
pub(crate) fn read_text(path: &Path) -> Result<String, CredentialsError> {
    let read = || {
        if fs::metadata(path)?.len() > FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large for a certificate or a key"));
        }
        fs::read_to_string(path)
    };
    read().map_err(|source| CredentialsError::Read { path: path.to_path_buf(), source })
}

/// Writes a file that only its owner may read; a crash leaves the old file or the new one.
pub(crate) fn write_private(dir: &Path, name: &str, content: &[u8]) -> Result<(), CredentialsError> {
    let path = dir.join(name);
    let write = || {
        private_dir(dir)?;
        let fresh = dir.join(format!("{name}.new"));
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&fresh)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)
    };
    write().map_err(|source| CredentialsError::Write { path: path.clone(), source })
}

fn private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn warn_of_open_key(path: &Path) {
    #[cfg(unix)]
    if let Ok(metadata) = fs::metadata(path) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
        if mode & 0o077 != 0 {
            tracing::warn!("{} can be read by others (mode {:o}); chmod 600 it", path.display(), mode & 0o777);
        }
    }
}

fn key_der(path: &Path, pem: &str) -> Result<PrivateKeyDer<'static>, CredentialsError> {
    // The parser's own error might quote what it read, so only its kind is told.
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| CredentialsError::Damaged { path: path.to_path_buf(), what: "no private key in PEM".to_string() })
}
