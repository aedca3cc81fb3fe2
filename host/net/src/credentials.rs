//! What a node or a client proves itself with: a certificate, its key, and the authority that it trusts.
//!
//! On disk three files in one folder: `certificate.pem`, `key.pem` (mode 0600), `ca.pem`; the folder is made with mode 0700.
//! Never: shows a key in Debug, in an error or in a log.

use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::identity::{self, ClusterId, Principal};
use crate::tls;

const CERTIFICATE_FILE: &str = "certificate.pem";
const KEY_FILE: &str = "key.pem";
const CA_FILE: &str = "ca.pem";
/// Longest file that is read as a certificate or a key.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// A certificate with its key and the authority behind it; parsed and found to belong together.
#[derive(Clone)]
pub struct Credentials {
    cluster: ClusterId,
    principal: Principal,
    until: SystemTime,
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

    /// When the certificate stops being valid.
    pub fn valid_until(&self) -> SystemTime {
        self.until
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
        let (cluster, principal) =
            Principal::from_certificate(&certificate).map_err(|error| damaged(&certificate_path, error.to_string()))?;
        let ca_cluster = identity::authority_cluster(&ca).map_err(|error| damaged(&ca_path, error.to_string()))?;
        if ca_cluster != cluster {
            let what = format!("the authority of {ca_cluster}, but the certificate belongs to {cluster}");
            return Err(damaged(&ca_path, what));
        }
        tls::check_key(certificate.clone(), key).map_err(|error| damaged(&key_path, error))?;
        let until = not_after(&certificate).map_err(|error| damaged(&certificate_path, error))?;
        Ok(Credentials {
            cluster,
            principal,
            until,
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

fn not_after(der: &[u8]) -> Result<SystemTime, String> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|error| error.to_string())?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}
