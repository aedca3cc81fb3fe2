//! A disk of a few megabytes, for what real disks do when they are full or read-only. Needs root.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted file system in memory; unmounted when it is dropped.
#[derive(Debug)]
pub struct Tmpfs {
    path: PathBuf,
}

impl Tmpfs {
    /// Mounts one at a new folder; none where this process may not.
    pub fn mount(path: &Path, megabytes: u32) -> Option<Tmpfs> {
        std::fs::create_dir_all(path).expect("a folder can be made");
        let options = format!("size={megabytes}m,mode=700");
        mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], path).then(|| Tmpfs { path: path.to_owned() })
    }

    /// Nothing can be written any more.
    pub fn make_read_only(&self) {
        assert!(mount(&["-o", "remount,ro"], &self.path), "what was mounted can be mounted read-only");
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily, so that a process that still has a file open doesn't keep the test's folder.
        Command::new("umount").arg("-l").arg(&self.path).output().map(drop).unwrap_or_default();
    }
}

fn mount(arguments: &[&str], path: &Path) -> bool {
    let output = Command::new("mount").args(arguments).arg(path).output();
    output.is_ok_and(|output| output.status.success())
}
