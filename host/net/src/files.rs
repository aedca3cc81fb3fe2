//! The files of an identity: small, private, and after a crash the old one or the new one.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A node's or client's private key.
pub(crate) const KEY_FILE: &str = "key.pem";
/// Longest file that is read as a certificate or a key.
const FILE_BYTES_MAX: u64 = 256 * 1024;

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

/// Says so when others than its owner may read a key.
pub(crate) fn warn_of_open_key(path: &Path) {
    #[cfg(unix)]
    if let Ok(metadata) = fs::metadata(path) {
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
        if mode & 0o077 != 0 {
            tracing::warn!("{} can be read by others (mode {:o}); chmod 600 it", path.display(), mode & 0o777);
        }
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
