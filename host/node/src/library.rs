//! The components on this node's disk, by digest, and their compiled forms in memory.
//!
//! Invariants: a file is complete and has the digest that it is named by, or it is not used; a component is written to disk
//! and synced before anyone is told that it is here. Never: decides which engine runs. Tests: below.

use outboard_sandbox::{Component, Refusal, Sandbox};
use outboard_wire::command::Digest;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The components of one node. Cheap to clone; all clones are one.
#[derive(Clone)]
pub(crate) struct Library {
    /// None for one that lives in memory only.
    folder: Option<Arc<Path>>,
    sandbox: Sandbox,
    loaded: Arc<Mutex<BTreeMap<Digest, Arc<Component>>>>,
}

/// Why a component did not come in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InsertError {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("cannot keep the component in {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl Library {
    pub(crate) fn open(folder: PathBuf, sandbox: Sandbox) -> io::Result<Library> {
        std::fs::create_dir_all(&folder)?;
        Ok(Library { folder: Some(folder.into()), sandbox, loaded: Arc::default() })
    }

    /// Holds what it is given by [`Library::place`], for as long as it lives.
    pub(crate) fn in_memory(sandbox: Sandbox) -> Library {
        Library { folder: None, sandbox, loaded: Arc::default() }
    }

    /// Takes a component that was admitted by this library's sandbox.
    pub(crate) fn place(&self, component: &Arc<Component>) {
        self.keep(Digest(component.digest().0), component);
    }

    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Checks, compiles and keeps a component. Takes as long as compiling; not for a thread that others wait for.
    pub(crate) fn insert(&self, bytes: &[u8]) -> Result<Arc<Component>, InsertError> {
        let component = self.sandbox.admit(bytes)?;
        let digest = Digest(component.digest().0);
        if let Some(folder) = &self.folder
            && self.bytes(&digest).is_none()
        {
            let path = path(folder, &digest);
            write_durably(folder, &path, bytes).map_err(|source| InsertError::Io { path, source })?;
        }
        self.keep(digest, &component);
        Ok(component)
    }

    /// A component that is here, compiled again if need be; none if its bytes are not here or no longer what they were.
    pub(crate) fn load(&self, digest: &Digest) -> Option<Arc<Component>> {
        if let Some(component) = self.lock().get(digest) {
            return Some(component.clone());
        }
        let component = self.sandbox.admit(&self.bytes(digest)?).ok()?;
        self.keep(*digest, &component);
        Some(component)
    }

    /// A component's bytes, checked against its digest.
    pub(crate) fn bytes(&self, digest: &Digest) -> Option<Vec<u8>> {
        let bytes = std::fs::read(path(self.folder.as_ref()?, digest)).ok()?;
        (*blake3::hash(&bytes).as_bytes() == digest.0).then_some(bytes)
    }

    fn keep(&self, digest: Digest, component: &Arc<Component>) {
        self.lock().insert(digest, component.clone());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Arc<Component>>> {
        // The map is whole after every call; a panic elsewhere does not make it wrong.
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join(format!("{digest}.wasm"))
}

/// Writes beside and renames, so that a crash leaves the whole file or none.
fn write_durably(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension(format!("{:?}.part", std::thread::current().id()));
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_sandbox::Limits;

    fn library(folder: &Path) -> Library {
        let sandbox = Sandbox::new(Limits::default(), None).expect("a sandbox");
        Library::open(folder.join("engines"), sandbox).expect("a folder")
    }

    #[test]
    fn a_component_is_still_there_after_a_restart_and_a_damaged_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let component = library(folder.path()).insert(outboard_embedded::KV_BASIC).expect("an engine");
        let digest = Digest(component.digest().0);
        let again = library(folder.path());
        assert!(again.load(&digest).is_some());

        let file = folder.path().join("engines").join(format!("{digest}.wasm"));
        let mut bytes = std::fs::read(&file).expect("the file");
        bytes[100] ^= 1;
        std::fs::write(&file, bytes).expect("writable");
        let damaged = library(folder.path());
        assert!(damaged.load(&digest).is_none());
        damaged.insert(outboard_embedded::KV_BASIC).expect("fetched again");
        assert!(damaged.load(&digest).is_some(), "a damaged file is replaced");
    }

    #[test]
    fn what_is_no_engine_is_refused_and_leaves_no_file() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(matches!(library(folder.path()).insert(b"not wasm"), Err(InsertError::Refused(_))));
        assert_eq!(std::fs::read_dir(folder.path().join("engines")).expect("the folder").count(), 0);
    }
}
