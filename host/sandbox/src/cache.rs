//! Compiled components on disk, so that a node starts without compiling. A cache: whatever is wrong with it, the component is
//! compiled again and nothing else happens.
//!
//! A file belongs to one component and one way of compiling: its name and its checksum's key are made from the component's digest
//! and from wasmtime's own compatibility hash (wasmtime's version, target, processor features, settings). Layout:
//! `OBCW` 0x01 0 0 0, 32 bytes of BLAKE3 keyed with that key over the rest, the rest: wasmtime's serialized form.
//!
//! Trust. Loading runs the file's machine code, so the folder must be one that only this node writes, like the log beside it:
//! whoever can write there can replace the node's identity as well. The checksum is against accidents (a torn write, a bad
//! disk, a file of another build), not against that person; a secret for it would have to lie in the same folder. Files never
//! travel between machines.
//!
//! Never: blocks a node (an unwritable folder is a warning), reads a file over [`FILE_BYTES_MAX`].
//! Tests: `tests/cache.rs`.

use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::component::Digest;

const HEAD: [u8; 8] = *b"OBCW\x01\0\0\0";
const CHECKSUM_BYTES: usize = 32;
/// Compiled code is about ten times its component.
const FILE_BYTES_MAX: u64 = 1 << 30;

pub(crate) struct Cache {
    folder: PathBuf,
    /// The way of compiling: everything that decides whether a file of another run fits this one.
    settings: [u8; 32],
}

impl Cache {
    pub(crate) fn new(folder: PathBuf, engine: &Engine) -> Cache {
        let mut hasher = Blake(blake3::Hasher::new());
        engine.precompile_compatibility_hash().hash(&mut hasher);
        Cache { folder, settings: hasher.0.finalize().into() }
    }

    /// The component, if a sound file of it lies here.
    pub(crate) fn load(&self, engine: &Engine, digest: Digest) -> Option<Component> {
        let path = self.path(digest);
        let compiled = match read(&path, &self.key(digest)) {
            Ok(compiled) => compiled?,
            Err(reason) => {
                tracing::warn!(file = %path.display(), reason, "ignoring a compiled component");
                return None;
            }
        };
        match deserialize(engine, &compiled) {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "ignoring a compiled component");
                None
            }
        }
    }

    /// Keeps a compiled component, or warns why not.
    pub(crate) fn store(&self, component: &Component, digest: Digest) {
        let path = self.path(digest);
        let written = match component.serialize() {
            Ok(compiled) => write(&path, &self.key(digest), &compiled).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(reason) = written {
            tracing::warn!(file = %path.display(), reason, "a compiled component could not be kept; it will be compiled again");
        }
    }

    fn path(&self, digest: Digest) -> PathBuf {
        let settings = blake3::Hash::from_bytes(self.settings).to_hex();
        self.folder.join(format!("{digest}-{}.compiled", &settings[..16]))
    }

    fn key(&self, digest: Digest) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("outboard compiled component 1");
        hasher.update(&digest.0).update(&self.settings);
        hasher.finalize().into()
    }
}

/// `Ok(None)` when there is no file.
fn read(path: &Path, key: &[u8; 32]) -> Result<Option<Vec<u8>>, String> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => return Err("it is too large".into()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    }
    let mut bytes = fs::read(path).map_err(|error| error.to_string())?;
    let after_head = bytes.strip_prefix(&HEAD).ok_or("it is not a file of this cache")?;
    let (checksum, compiled) = after_head.split_first_chunk::<CHECKSUM_BYTES>().ok_or("it is cut short")?;
    // Compared as hashes, in constant time; plain equality would do as well.
    if blake3::keyed_hash(key, compiled) != blake3::Hash::from_bytes(*checksum) {
        return Err("its checksum is wrong".into());
    }
    bytes.drain(..HEAD.len() + CHECKSUM_BYTES);
    Ok(Some(bytes))
}

/// A reader sees the whole file or none: it is written aside and then renamed. Not synced: a file that a crash tears fails its
/// checksum.
fn write(path: &Path, key: &[u8; 32], compiled: &[u8]) -> std::io::Result<()> {
    // Two sandboxes of one process may share the folder.
    static UNIQUE: AtomicU64 = AtomicU64::new(0);
    let folder = path.parent().expect("a file of the cache lies in its folder");
    fs::create_dir_all(folder)?;
    let unique = UNIQUE.fetch_add(1, Ordering::Relaxed);
    let aside = path.with_extension(format!("{}-{unique}.tmp", std::process::id()));
    let written = (|| {
        let mut file = fs::File::create(&aside)?;
        file.write_all(&HEAD)?;
        file.write_all(blake3::keyed_hash(key, compiled).as_bytes())?;
        file.write_all(compiled)?;
        drop(file);
        fs::rename(&aside, path)
    })();
    if written.is_err() {
        // Best effort: what is left aside is never read.
        let _ = fs::remove_file(&aside);
    }
    written
}

#[expect(unsafe_code, reason = "loading compiled code has no other form; the argument stands at the call")]
fn deserialize(engine: &Engine, compiled: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `deserialize` asks for bytes that `serialize` gave, unchanged. `read` returned these only after their keyed
    // checksum matched; the key holds the component's digest and wasmtime's compatibility hash of this very engine, and nothing
    // but `Cache::store` makes such files, from what `serialize` gave, in a folder that only this node writes (see the header).
    // They are checked and used from one buffer in memory, so the file can't change in between. Wasmtime moreover compares its
    // version, target, features and settings again.
    unsafe { Component::deserialize(engine, compiled) }
}

/// Lets a `std` hash flow into BLAKE3: the names of files must not depend on a hasher that std may change.
struct Blake(blake3::Hasher);

impl Hasher for Blake {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn finish(&self) -> u64 {
        0 // Not asked for: the whole hash is taken.
    }
}
