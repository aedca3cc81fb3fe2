//! Where a demo lives: a folder that goes away with it, or one that is kept; and free ports.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use crate::code::Code;
use crate::failure::{Failure, unreadable, unwritable};
use crate::node_failure::not_formed;
use crate::redis::Listener;
use crate::session::ADMIN_CONTEXT;
use crate::session::PORT;
use outboard_client::Context;
use outboard_node::formation::{self, Planned};
use tempfile::TempDir;

/// Where the demo's first node serves Redis clients; the others follow.
const REDIS_PORT: u16 = 63_791;

/// The folders of a demo's nodes and the way to reach them.
pub(super) struct Place {
    pub(super) folder: Folder,
    pub(super) node_dirs: Vec<PathBuf>,
    pub(super) context: Context,
    /// Nothing ran here before, so the nodes' ports may still be others.
    pub(super) is_new: bool,
}

/// Removed when dropped, unless it is the user's.
pub(super) enum Folder {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Folder {
    pub(super) fn path(&self) -> &Path {
        match self {
            Folder::Temporary(folder) => folder.path(),
            Folder::Kept(path) => path,
        }
    }
}

impl Place {
    /// Makes a new cluster's folders, or finds those that an earlier demo kept.
    pub(super) fn prepare(keep: Option<&Path>, nodes: u8) -> Result<Place, Failure> {
        let folder = match keep {
            Some(path) if path.join(ADMIN_CONTEXT).exists() => return Place::reopen(path),
            Some(path) => Folder::Kept(path.to_owned()),
            None => Folder::Temporary(
                tempfile::Builder::new()
                    .prefix("outboard-demo-")
                    .tempdir()
                    .map_err(|error| unwritable(&std::env::temp_dir(), &error))?,
            ),
        };
        let addresses = free_addresses(nodes)?;
        let plan: Vec<Planned> = (1..)
            .zip(&addresses)
            .map(|(number, address)| Planned { name: format!("n{number}"), address: address.to_string() })
            .collect();
        let formed = formation::form(folder.path(), &plan).map_err(not_formed)?;
        let endpoints = addresses.iter().map(SocketAddr::to_string).collect();
        let context = Context::new(endpoints, formed.admin);
        context.save(&folder.path().join(ADMIN_CONTEXT))?;
        Ok(Place { folder, node_dirs: formed.node_dirs, context, is_new: true })
    }

    fn reopen(path: &Path) -> Result<Place, Failure> {
        let context = Context::load_file(&path.join(ADMIN_CONTEXT))?;
        let entries = std::fs::read_dir(path).map_err(|error| unreadable(path, &error))?;
        let mut node_dirs: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(|dir| dir.join("node.toml").is_file()).collect();
        node_dirs.sort();
        if node_dirs.is_empty() {
            return Err(
                Failure::new(Code::NotANode, format!("{} holds no node", path.display())).help("name a new folder")
            );
        }
        Ok(Place { folder: Folder::Kept(path.to_owned()), node_dirs, context, is_new: false })
    }
}

/// Empties the folder of a new cluster whose nodes did not start; it was empty before, else no cluster had been formed in it.
pub(super) fn forget(folder: &Path) -> Result<(), Failure> {
    let failed = |error| unwritable(folder, &error);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let is_folder = entry.file_type().map_err(failed)?.is_dir();
        let path = entry.path();
        let removed = if is_folder { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        removed.map_err(failed)?;
    }
    Ok(())
}

/// From the usual port on if all of them are free, else any. Somebody else may take them before the nodes do.
fn free_addresses(count: u8) -> Result<Vec<SocketAddr>, Failure> {
    let usual: Vec<SocketAddr> = (0..u16::from(count)).map(|node| (Ipv4Addr::LOCALHOST, PORT + node).into()).collect();
    // All are held at once, so that none is given out twice.
    let bind_all = |addresses: &[SocketAddr]| addresses.iter().map(UdpSocket::bind).collect::<Result<Vec<_>, _>>();
    if bind_all(&usual).is_ok() {
        return Ok(usual);
    }
    let any = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); usize::from(count)];
    let free: Result<Vec<SocketAddr>, _> =
        bind_all(&any).and_then(|sockets| sockets.iter().map(UdpSocket::local_addr).collect());
    let free = free.map_err(|error| Failure::new(Code::AddressInUse, format!("no free UDP ports: {error}")))?;
    let ports: Vec<String> = free.iter().map(|address| address.port().to_string()).collect();
    eprintln!("the ports from {PORT} on are taken; the nodes listen on {}", ports.join(", "));
    Ok(free)
}

/// From the usual port on if all of them are free, else any.
pub(super) fn redis_listeners(count: usize) -> Result<Vec<Listener>, Failure> {
    let on = |port| Listener::on_loopback((Ipv4Addr::LOCALHOST, port).into());
    let usual: Result<Vec<Listener>, Failure> = (REDIS_PORT..).take(count).map(on).collect();
    if usual.is_ok() {
        return usual;
    }
    let free = (0..count).map(|_| on(0)).collect::<Result<Vec<Listener>, Failure>>()?;
    let ports: Vec<String> = free.iter().map(|listener| listener.address().port().to_string()).collect();
    eprintln!("the ports from {REDIS_PORT} on are taken; Redis clients are served on {}", ports.join(", "));
    Ok(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_free_and_different() {
        let addresses = free_addresses(3).expect("free ports");
        assert_eq!(addresses.len(), 3);
        assert!(
            addresses[0] != addresses[1] && addresses[1] != addresses[2] && addresses.iter().all(|a| a.port() != 0)
        );
    }

    #[test]
    fn a_kept_demo_is_found_again_and_a_temporary_one_goes_away() {
        let home = tempfile::tempdir().expect("a folder");
        let kept = home.path().join("kept");
        let first = Place::prepare(Some(&kept), 3).expect("formed");
        let second = Place::prepare(Some(&kept), 5).expect("found again");
        assert_eq!(
            (second.node_dirs.clone(), second.context.cluster),
            (first.node_dirs.clone(), first.context.cluster)
        );
        assert_eq!(second.node_dirs.len(), 3);
        let temporary = Place::prepare(None, 1).expect("formed").folder.path().to_owned();
        assert!(!temporary.exists());
    }
}
