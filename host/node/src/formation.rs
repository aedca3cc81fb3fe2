//! The data folder of a node, and how the folders of a new cluster are made offline.
//!
//! ```text
//! DIR/node.toml    who this node is, and who the others are; how often the cluster was recovered by hand
//! DIR/identity/    certificate, key (0600), the cluster's CA certificate
//! DIR/log/         the log                        (host/wal/FORMAT.md)
//! DIR/tables/      the tables                     (host/store/FORMAT.md)
//! DIR/engines/     components, by digest
//! DIR/compiled/    their compiled forms: a cache, may be deleted
//! DIR/incoming/    snapshots on their way: their chunks outlive a start
//! ```

use crate::error::StartError;
use outboard_net::{Authority, ClusterId, Credentials, CredentialsError};
use outboard_raft::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// The number of `node.toml`'s format.
const FORMAT: u32 = 1;
/// More nodes make a cluster slower, not safer.
pub const NODES_MAX: usize = 15;

/// A node of a cluster to be formed.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Planned {
    /// Small letters, digits and dashes, at most 32.
    pub name: String,
    /// `host:port` that the others reach it at; it listens there too.
    pub address: String,
}

/// A cluster that was formed.
#[derive(Debug)]
pub struct Formed {
    /// Its id.
    pub cluster: ClusterId,
    /// The data folders, in the order of the plan.
    pub node_dirs: Vec<PathBuf>,
    /// For the operator's client.
    pub admin: Credentials,
}

/// Why no cluster was formed.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// The plan makes no sense.
    #[error("{0}")]
    Plan(String),
    /// The folder holds something already; nothing was touched.
    #[error("{} is not empty", .0.display())]
    NotEmpty(PathBuf),
    /// A folder or file can't be written.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// Keys or certificates could not be made or kept.
    #[error("{0}")]
    Credentials(#[from] CredentialsError),
}

/// Makes `OUT/ca/` with the cluster's authority, and `OUT/<name>/` for every node: a data folder that `start` takes.
/// Refuses a folder that holds anything.
pub fn form(out: &Path, nodes: &[Planned]) -> Result<Formed, FormError> {
    check_plan(nodes)?;
    let wrote = |path: &Path| {
        let path = path.to_owned();
        move |source| FormError::Io { path, source }
    };
    std::fs::create_dir_all(out).map_err(wrote(out))?;
    if std::fs::read_dir(out).map_err(wrote(out))?.next().is_some() {
        return Err(FormError::NotEmpty(out.to_owned()));
    }
    let cluster = ClusterId::random();
    let authority = Authority::create(cluster)?;
    authority.save(&out.join("ca"))?;
    let members: Vec<MemberFile> = (1..)
        .zip(nodes)
        .map(|(id, node)| MemberFile { id, name: node.name.clone(), address: node.address.clone() })
        .collect();
    let mut node_dirs = Vec::new();
    for member in &members {
        let dir = out.join(&member.name);
        std::fs::create_dir_all(&dir).map_err(wrote(&dir))?;
        authority.issue_node(NodeId(member.id))?.save(&dir.join("identity"))?;
        let file = NodeFile {
            format: FORMAT,
            cluster: cluster.to_string(),
            node: member.id,
            incarnation: 0,
            members: members.clone(),
        };
        let text = toml::to_string(&file).expect("a node file serializes: toml knows all its shapes");
        let path = dir.join("node.toml");
        std::fs::write(&path, text).map_err(wrote(&path))?;
        node_dirs.push(dir);
    }
    let admin = authority.issue_client("admin")?;
    Ok(Formed { cluster, node_dirs, admin })
}

fn check_plan(nodes: &[Planned]) -> Result<(), FormError> {
    let wrong = |text: String| Err(FormError::Plan(text));
    if nodes.is_empty() || nodes.len() > NODES_MAX {
        return wrong(format!("a cluster has 1 to {NODES_MAX} nodes, not {}", nodes.len()));
    }
    let (mut names, mut addresses) = (BTreeSet::from(["ca"]), BTreeSet::new());
    for Planned { name, address } in nodes {
        let letters = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !letters || name.is_empty() || name.len() > 32 {
            return wrong(format!("the node name {name:?} is not 1 to 32 small letters, digits and dashes"));
        }
        if !names.insert(name) {
            return wrong(format!("the node name {name} is taken twice, or reserved"));
        }
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) {
            return wrong(format!("the address {address:?} of {name} is not HOST:PORT"));
        }
        if !addresses.insert(address) {
            return wrong(format!("two nodes have the address {address}"));
        }
    }
    Ok(())
}

/// `node.toml`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeFile {
    format: u32,
    cluster: String,
    node: u64,
    /// How often the cluster was recovered by hand.
    #[serde(default, skip_serializing_if = "is_zero")]
    incarnation: u64,
    members: Vec<MemberFile>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberFile {
    id: u64,
    name: String,
    address: String,
}

/// A node's data folder, opened: who it is and where its things are.
#[derive(Debug)]
pub(crate) struct DataFolder {
    pub(crate) dir: PathBuf,
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    /// Nodes of another one refuse each other.
    pub(crate) incarnation: u64,
    pub(crate) members: BTreeMap<NodeId, crate::core::Member>,
    pub(crate) credentials: Credentials,
}

impl DataFolder {
    /// Reads and checks the folder's files; writes nothing.
    pub(crate) fn open(dir: &Path) -> Result<DataFolder, StartError> {
        let not_a_node = |what: String| StartError::NotANode { dir: dir.to_owned(), what };
        let path = dir.join("node.toml");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(not_a_node("node.toml is missing".into()));
            }
            Err(source) => return Err(StartError::Folder { path, source }),
        };
        let file: NodeFile = toml::from_str(&text).map_err(|error| not_a_node(format!("node.toml: {error}")))?;
        if file.format != FORMAT {
            let found = file.format;
            return Err(not_a_node(format!("node.toml has format {found}, this program knows {FORMAT}")));
        }
        let cluster: ClusterId =
            file.cluster.parse().map_err(|_| not_a_node(format!("node.toml names no cluster: {:?}", file.cluster)))?;
        let node = NodeId(file.node);
        let members = file
            .members
            .into_iter()
            .map(|member| (NodeId(member.id), crate::core::Member { name: member.name, address: member.address }));
        let members: BTreeMap<_, _> = members.collect();
        if !members.contains_key(&node) {
            return Err(not_a_node(format!("node.toml does not list {node} among the members")));
        }
        let credentials = Credentials::load(&dir.join("identity"))?;
        let incarnation = file.incarnation;
        let folder = DataFolder { dir: dir.to_owned(), cluster, node, incarnation, members, credentials };
        folder.check_identity()?;
        Ok(folder)
    }

    fn check_identity(&self) -> Result<(), StartError> {
        let mixed = |what| Err(StartError::OtherCluster { dir: self.dir.clone(), what });
        if self.credentials.cluster() != self.cluster {
            let theirs = self.credentials.cluster();
            return mixed(format!("node.toml says {}, the certificate in identity/ says {theirs}", self.cluster));
        }
        if *self.credentials.principal() != outboard_net::Principal::Node(self.node) {
            let theirs = self.credentials.principal();
            return mixed(format!("node.toml says {}, the certificate in identity/ says {theirs}", self.node));
        }
        Ok(())
    }

    /// From the next start on it is a node of this incarnation. Nothing else in `node.toml` changes.
    pub(crate) fn refound(&self, incarnation: u64) -> Result<(), StartError> {
        let (path, fresh) = (self.dir.join("node.toml"), self.dir.join("node.toml.new"));
        let changed = std::fs::read_to_string(&path).and_then(|text| {
            let mut table: toml::Table = text.parse().map_err(io::Error::other)?;
            let number = i64::try_from(incarnation).map_err(io::Error::other)?;
            table.insert("incarnation".to_owned(), toml::Value::Integer(number));
            let mut file = File::create(&fresh)?;
            file.write_all(table.to_string().as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&fresh, &path)?;
            File::open(&self.dir)?.sync_all()
        });
        changed.map_err(|source| StartError::Folder { path, source })
    }

    /// Where the node listens, unless it is told otherwise.
    pub(crate) fn own_address(&self) -> Result<SocketAddr, StartError> {
        resolve(&self.members[&self.node].address)
    }

    /// Where the others are.
    pub(crate) fn peer_addresses(&self) -> Result<BTreeMap<NodeId, SocketAddr>, StartError> {
        let others = self.members.iter().filter(|(node, _)| **node != self.node);
        others.map(|(node, member)| Ok((*node, resolve(&member.address)?))).collect()
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn resolve(address: &str) -> Result<SocketAddr, StartError> {
    let unknown = |why: String| StartError::Net(format!("the address {address} can't be resolved: {why}"));
    let mut found = address.to_socket_addrs().map_err(|error| unknown(error.to_string()))?;
    found.next().ok_or_else(|| unknown("it has no address".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(nodes: &[(&str, &str)]) -> Vec<Planned> {
        nodes.iter().map(|(name, address)| Planned { name: (*name).into(), address: (*address).into() }).collect()
    }

    #[test]
    fn every_node_of_a_formed_cluster_finds_itself_and_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("cluster");
        let formed = form(&out, &plan(&[("n1", "127.0.0.1:4410"), ("n2", "127.0.0.1:4411")])).expect("formed");
        let second = DataFolder::open(&formed.node_dirs[1]).expect("a data folder");
        assert_eq!((second.node, second.cluster, second.members.len()), (NodeId(2), formed.cluster, 2));
        let peers = second.peer_addresses().expect("numbers");
        assert_eq!(peers, [(NodeId(1), "127.0.0.1:4410".parse().expect("an address"))].into());
    }

    #[test]
    fn a_folder_that_holds_something_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("mine"), "x").expect("writable");
        let error = form(folder.path(), &plan(&[("n1", "127.0.0.1:4410")])).expect_err("not empty");
        assert!(matches!(error, FormError::NotEmpty(_)));
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1);
    }

    #[test]
    fn senseless_plans_are_refused_by_name() {
        let refused = |nodes: &[(&str, &str)]| check_plan(&plan(nodes)).expect_err("senseless").to_string();
        assert!(refused(&[]).contains("1 to 15 nodes"));
        assert!(refused(&[("N1", "h:1")]).contains("\"N1\""));
        assert!(refused(&[("ca", "h:1")]).contains("reserved"));
        assert!(refused(&[("a", "h:1"), ("a", "h:2")]).contains("taken twice"));
        assert!(refused(&[("a", "h")]).contains("HOST:PORT"));
        assert!(refused(&[("a", "h:1"), ("b", "h:1")]).contains("h:1"));
    }

    #[test]
    fn a_folder_of_two_clusters_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let one = form(&folder.path().join("one"), &plan(&[("n1", "h:1")])).expect("formed");
        let two = form(&folder.path().join("two"), &plan(&[("n1", "h:1")])).expect("formed");
        std::fs::copy(two.node_dirs[0].join("node.toml"), one.node_dirs[0].join("node.toml")).expect("copied");
        assert!(matches!(DataFolder::open(&one.node_dirs[0]), Err(StartError::OtherCluster { .. })));
        assert!(matches!(DataFolder::open(folder.path()), Err(StartError::NotANode { .. })));
    }
}
