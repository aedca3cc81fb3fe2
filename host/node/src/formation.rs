//! The data folder of a node, and how one comes into being: all folders of a new cluster at once (offline), the folder of a first node, the
//! folder of a node that joins.
//!
//! ```text
//! DIR/node.toml    who this node is, who formed the cluster, and whom else it knew when it was made; how often the
//!                  cluster was recovered by hand
//! DIR/identity/    certificate, key (0600), the cluster's CA certificate
//! DIR/ca/          the cluster's authority with its key (0600), if this node signs (`enrolment.rs` tells who does)
//! DIR/admin.toml   the admin's context with its key (0600), on the node that founded the cluster
//! DIR/removed      why this node is no member any more: it does not start again
//! DIR/log/         the log                        (host/wal/FORMAT.md)
//! DIR/tables/      the tables                     (host/store/FORMAT.md)
//! DIR/engines/     components, by digest
//! DIR/compiled/    their compiled forms: a cache, may be deleted
//! DIR/incoming/    snapshots on their way: their chunks outlive a start
//! ```
//!
//! `node.toml` is written last and in one step: a folder without one is not a node yet, and whatever makes nodes goes on where it was. Its
//! `members` are those who formed the cluster; they never change, because they are the state before the first entry of the log. Who is a
//! member now stands in the tables. What changes in it: the incarnation; the number of the last loss; and that the log has begun, which is written at the
//! first start once the log is there. A log that is missing afterwards is lost, whatever the tables say: the node counts for nothing until the others have
//! given everything back.

use crate::control::{Founders, Member, is_name};
use crate::error::StartError;
use outboard_net::{Authority, ClusterId, Credentials, CredentialsError, Principal};
use outboard_raft::NodeId;
use outboard_wire::limits::MEMBERS_MAX;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The number of `node.toml`'s format.
const FORMAT: u32 = 2;
/// An older one that is read too: it names this node among the members only.
const FORMAT_BEFORE: u32 = 1;
const NODE_FILE: &str = "node.toml";
const REMOVED_FILE: &str = "removed";
/// The folder of the certificate and the key.
pub(crate) const IDENTITY: &str = "identity";
/// The folder of the authority.
pub(crate) const AUTHORITY: &str = "ca";
/// What a folder may hold that is about to become a node's.
const BEGINNINGS: [&str; 6] = [IDENTITY, AUTHORITY, "admin.toml", "admin.toml.new", "node.toml.new", "lost+found"];
/// More nodes make a cluster slower, not safer.
pub const NODES_MAX: usize = MEMBERS_MAX;

/// A node of a cluster to be formed.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Planned {
    /// Small letters, digits and dashes, at most 64.
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

/// Who signs certificates in a cluster that is formed offline.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Signing {
    /// Every node gets the authority's key: tokens and renewals work.
    Nodes,
    /// None does: the key stays in `OUT/ca/`, and whoever keeps that signs by hand.
    Offline,
}

/// As [`form_with`]; the nodes sign.
pub fn form(out: &Path, nodes: &[Planned]) -> Result<Formed, FormError> {
    form_with(out, nodes, Signing::Nodes)
}

/// Makes `OUT/ca/` with the cluster's authority, and `OUT/<name>/` for every node: a data folder that `start` takes.
/// Refuses a folder that holds anything.
pub fn form_with(out: &Path, nodes: &[Planned], signing: Signing) -> Result<Formed, FormError> {
    check_plan(nodes)?;
    std::fs::create_dir_all(out).map_err(wrote(out))?;
    if std::fs::read_dir(out).map_err(wrote(out))?.next().is_some() {
        return Err(FormError::NotEmpty(out.to_owned()));
    }
    let cluster = ClusterId::random();
    let authority = Authority::create(cluster)?;
    authority.save(&out.join(AUTHORITY))?;
    let members: Vec<MemberFile> = (1..)
        .zip(nodes)
        .map(|(id, node)| MemberFile { id, name: node.name.clone(), address: node.address.clone() })
        .collect();
    let mut node_dirs = Vec::new();
    for member in &members {
        let dir = out.join(&member.name);
        std::fs::create_dir_all(&dir).map_err(wrote(&dir))?;
        authority.issue_node(NodeId(member.id))?.save(&dir.join(IDENTITY))?;
        if signing == Signing::Nodes {
            authority.save(&dir.join(AUTHORITY))?;
        }
        NodeFile::new(cluster, member.clone(), members.clone(), Vec::new()).write(&dir)?;
        node_dirs.push(dir);
    }
    let admin = authority.issue_client("admin")?;
    Ok(Formed { cluster, node_dirs, admin })
}

fn wrote(path: &Path) -> impl FnOnce(io::Error) -> FormError + use<> {
    let path = path.to_owned();
    move |source| FormError::Io { path, source }
}

/// Whether the folder is a node's already.
pub fn holds_node(dir: &Path) -> bool {
    dir.join(NODE_FILE).exists()
}

/// Whether a node may come into being there: the folder is not there, is empty, or was begun and not finished.
pub fn is_vacant(dir: &Path) -> Result<bool, FormError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(wrote(dir)(error)),
    };
    for entry in entries {
        let name = entry.map_err(wrote(dir))?.file_name();
        if !BEGINNINGS.iter().any(|known| name == *known) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A cluster of one node that is about to be: its authority is made, and the admin's credentials. [`Founding::finish`] makes it a node.
#[derive(Debug)]
pub struct Founding {
    dir: PathBuf,
    member: MemberFile,
    /// Its id.
    pub cluster: ClusterId,
    /// For the operator's client; to be kept before the founding is finished, or nobody could ever ask the cluster anything.
    pub admin: Credentials,
}

impl Founding {
    /// Begins, or goes on where an earlier attempt was cut off.
    pub fn begin(dir: &Path, node: &Planned) -> Result<Founding, FormError> {
        check_plan(std::slice::from_ref(node))?;
        if holds_node(dir) || !is_vacant(dir)? {
            return Err(FormError::NotEmpty(dir.to_owned()));
        }
        std::fs::create_dir_all(dir).map_err(wrote(dir))?;
        let home = dir.join(AUTHORITY);
        let authority = match Authority::load(&home) {
            Ok(authority) => authority,
            // Nothing was issued by a half-written one.
            Err(_) => {
                let authority = Authority::create(ClusterId::random())?;
                authority.save(&home)?;
                authority
            }
        };
        let member = MemberFile { id: 1, name: node.name.clone(), address: node.address.clone() };
        authority.issue_node(NodeId(member.id))?.save(&dir.join(IDENTITY))?;
        let (cluster, admin) = (authority.cluster(), authority.issue_client("admin")?);
        Ok(Founding { dir: dir.to_owned(), member, cluster, admin })
    }

    /// The folder is a node's from now on.
    pub fn finish(self) -> Result<(), FormError> {
        NodeFile::new(self.cluster, self.member.clone(), vec![self.member], Vec::new()).write(&self.dir)
    }
}

/// Makes the folder of a node that was let in: its credentials were saved in it before.
pub(crate) fn settle(
    dir: &Path,
    credentials: &Credentials,
    own: Member,
    founders: &Founders,
    known: &Founders,
) -> Result<(), FormError> {
    let Principal::Node(node) = *credentials.principal() else {
        return Err(FormError::Plan("these credentials are not a node's".to_owned()));
    };
    let list = |members: &Founders| members.iter().map(|(node, member)| MemberFile::new(*node, member)).collect();
    NodeFile::new(credentials.cluster(), MemberFile::new(node, &own), list(founders), list(known)).write(dir)
}

/// This node was removed: it does not start again.
pub(crate) fn mark_removed(dir: &Path, why: &str) -> Result<(), FormError> {
    let path = dir.join(REMOVED_FILE);
    std::fs::write(&path, format!("{why}\n")).map_err(wrote(&path))
}

fn check_plan(nodes: &[Planned]) -> Result<(), FormError> {
    let wrong = |text: String| Err(FormError::Plan(text));
    if nodes.is_empty() || nodes.len() > NODES_MAX {
        return wrong(format!("a cluster has 1 to {NODES_MAX} nodes, not {}", nodes.len()));
    }
    let (mut names, mut addresses) = (BTreeSet::from([AUTHORITY]), BTreeSet::new());
    for Planned { name, address } in nodes {
        if !is_name(name) {
            return wrong(format!("the node name {name:?} is not 1 to 64 small letters, digits and dashes"));
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
    /// The log has begun: from then on it may not be missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    begun: bool,
    /// The number of the last loss that the log has noted.
    #[serde(default, skip_serializing_if = "is_zero")]
    last_loss: u64,
    /// Since format 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Since format 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// Who formed the cluster.
    members: Vec<MemberFile>,
    /// Whom else this node knew when it joined: where it finds the others before its tables tell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    known: Vec<MemberFile>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MemberFile {
    id: u64,
    name: String,
    address: String,
}

impl MemberFile {
    fn new(node: NodeId, member: &Member) -> MemberFile {
        MemberFile { id: node.0, name: member.name.clone(), address: member.address.clone() }
    }
}

impl NodeFile {
    fn new(cluster: ClusterId, own: MemberFile, members: Vec<MemberFile>, known: Vec<MemberFile>) -> NodeFile {
        let (name, address) = (Some(own.name), Some(own.address));
        NodeFile {
            format: FORMAT,
            cluster: cluster.to_string(),
            node: own.id,
            incarnation: 0,
            begun: false,
            last_loss: 0,
            name,
            address,
            members,
            known,
        }
    }

    /// In one step: there is a node, or none.
    fn write(&self, dir: &Path) -> Result<(), FormError> {
        let text = toml::to_string(self).expect("a node file serializes: toml knows all its shapes");
        let (path, fresh) = (dir.join(NODE_FILE), dir.join("node.toml.new"));
        let write = || {
            let mut file = File::create(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&fresh, &path)?;
            std::fs::File::open(dir)?.sync_all()
        };
        write().map_err(wrote(&path))
    }
}

/// A node's data folder, opened: who it is and where its things are.
#[derive(Debug)]
pub(crate) struct DataFolder {
    pub(crate) dir: PathBuf,
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    /// Nodes of another one refuse each other.
    pub(crate) incarnation: u64,
    /// The log has begun: from then on it may not be missing.
    pub(crate) begun: bool,
    /// The number of the last loss that the log has noted: the next one gets a higher one, whatever the clock says and even if the note is gone.
    pub(crate) last_loss: u64,
    pub(crate) own: Member,
    pub(crate) founders: Founders,
    /// Whom it knew when it was made, the founders among them.
    pub(crate) known: Founders,
    pub(crate) credentials: Credentials,
    /// If this node signs.
    pub(crate) authority: Option<Arc<Authority>>,
}

impl DataFolder {
    /// Reads and checks the folder's files; writes nothing.
    pub(crate) fn open(dir: &Path) -> Result<DataFolder, StartError> {
        let not_a_node = |what: String| StartError::NotANode { dir: dir.to_owned(), what };
        if let Ok(why) = std::fs::read_to_string(dir.join(REMOVED_FILE)) {
            return Err(StartError::Removed { dir: dir.to_owned(), why: why.trim().to_owned() });
        }
        let path = dir.join(NODE_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(not_a_node("node.toml is missing".into()));
            }
            Err(source) => return Err(StartError::Folder { path, source }),
        };
        let file: NodeFile = toml::from_str(&text).map_err(|error| not_a_node(format!("node.toml: {error}")))?;
        if !(FORMAT_BEFORE..=FORMAT).contains(&file.format) {
            let found = file.format;
            return Err(not_a_node(format!("node.toml has format {found}, this program knows {FORMAT}")));
        }
        let cluster: ClusterId =
            file.cluster.parse().map_err(|_| not_a_node(format!("node.toml names no cluster: {:?}", file.cluster)))?;
        let node = NodeId(file.node);
        let list = |members: Vec<MemberFile>| -> Founders {
            let member = |file: MemberFile| (NodeId(file.id), Member { name: file.name, address: file.address });
            members.into_iter().map(member).collect()
        };
        let (incarnation, begun, last_loss) = (file.incarnation, file.begun, file.last_loss);
        let founders = list(file.members);
        let own = match (file.name, file.address) {
            (Some(name), Some(address)) => Some(Member { name, address }),
            (None, _) | (_, None) => founders.get(&node).cloned(),
        };
        let own = own.ok_or_else(|| not_a_node(format!("node.toml does not list {node} among the members")))?;
        let mut known = founders.clone();
        known.extend(list(file.known));
        let credentials = Credentials::load(&dir.join(IDENTITY))?;
        let home = dir.join(AUTHORITY);
        let authority = if Authority::is_kept_in(&home) { Some(Arc::new(Authority::load(&home)?)) } else { None };
        let folder = DataFolder {
            dir: dir.to_owned(),
            cluster,
            node,
            incarnation,
            begun,
            last_loss,
            own,
            founders,
            known,
            credentials,
            authority,
        };
        folder.check_identity()?;
        Ok(folder)
    }

    fn check_identity(&self) -> Result<(), StartError> {
        let mixed = |what| Err(StartError::OtherCluster { dir: self.dir.clone(), what });
        if self.credentials.cluster() != self.cluster {
            let theirs = self.credentials.cluster();
            return mixed(format!("node.toml says {}, the certificate in identity/ says {theirs}", self.cluster));
        }
        if *self.credentials.principal() != Principal::Node(self.node) {
            let theirs = self.credentials.principal();
            return mixed(format!("node.toml says {}, the certificate in identity/ says {theirs}", self.node));
        }
        if let Some(authority) = self.authority.as_ref().filter(|ca| ca.pin() != self.credentials.authority_pin()) {
            return mixed(format!("the authority in ca/ is of {}, and not the certificate's", authority.cluster()));
        }
        Ok(())
    }

    /// From the next start on it is a node of this incarnation. Nothing else in `node.toml` changes.
    pub(crate) fn refound(&self, incarnation: u64) -> Result<(), StartError> {
        let number = i64::try_from(incarnation).expect("nobody recovers a cluster so often");
        self.change("incarnation", toml::Value::Integer(number))
    }

    /// The log is there, durably: a start that does not find it has lost it. And so much it knows of losses.
    pub(crate) fn mark_begun(&self, loss: Option<u64>) -> Result<(), StartError> {
        if !self.begun {
            self.change("begun", toml::Value::Boolean(true))?;
        }
        match loss.filter(|loss| *loss > self.last_loss).and_then(|loss| i64::try_from(loss).ok()) {
            Some(loss) => self.change("last_loss", toml::Value::Integer(loss)),
            None => Ok(()),
        }
    }

    fn change(&self, key: &str, value: toml::Value) -> Result<(), StartError> {
        let (path, fresh) = (self.dir.join("node.toml"), self.dir.join("node.toml.new"));
        let changed = std::fs::read_to_string(&path).and_then(|text| {
            let mut table: toml::Table = text.parse().map_err(io::Error::other)?;
            table.insert(key.to_owned(), value);
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
        resolve(&self.own.address).map_err(StartError::Net)
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Asks the system for an address; may take a while for a name.
pub(crate) fn resolve(address: &str) -> Result<SocketAddr, String> {
    let unknown = |why: String| format!("the address {address} can't be resolved: {why}");
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
        assert_eq!((second.node, second.cluster, second.founders.len()), (NodeId(2), formed.cluster, 2));
        assert_eq!((second.own.name.as_str(), &second.known), ("n2", &second.founders));
        assert_eq!(second.own_address().ok(), "127.0.0.1:4411".parse().ok());
        assert!(second.authority.is_some());
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
        let formed =
            |name| form_with(&folder.path().join(name), &plan(&[("n1", "h:1")]), Signing::Offline).expect("formed");
        let (one, two) = (formed("one"), formed("two"));
        assert!(DataFolder::open(&one.node_dirs[0]).expect("a node").authority.is_none());
        std::fs::copy(two.node_dirs[0].join("node.toml"), one.node_dirs[0].join("node.toml")).expect("copied");
        assert!(matches!(DataFolder::open(&one.node_dirs[0]), Err(StartError::OtherCluster { .. })));
        assert!(matches!(DataFolder::open(folder.path()), Err(StartError::NotANode { .. })));
    }

    #[test]
    fn a_founding_that_was_cut_off_goes_on_with_the_same_authority() {
        let folder = tempfile::tempdir().expect("a folder");
        let (dir, node) = (folder.path().join("n1"), plan(&[("n1", "127.0.0.1:4410")]).remove(0));
        let first = Founding::begin(&dir, &node).expect("begun");
        assert!(is_vacant(&dir).expect("readable") && !holds_node(&dir));
        let again = Founding::begin(&dir, &node).expect("begun again");
        assert_eq!(first.cluster, again.cluster);
        again.finish().expect("finished");
        let opened = DataFolder::open(&dir).expect("a node");
        assert_eq!((opened.node, opened.founders.len()), (NodeId(1), 1));
        assert!(matches!(Founding::begin(&dir, &node), Err(FormError::NotEmpty(_))));
    }

    #[test]
    fn a_removed_node_s_folder_says_so_and_signs_no_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let formed = form(&folder.path().join("one"), &plan(&[("n1", "h:1")])).expect("formed");
        mark_removed(&formed.node_dirs[0], "n1 was removed").expect("writable");
        Authority::forget(&formed.node_dirs[0].join(AUTHORITY)).expect("writable");
        let error = DataFolder::open(&formed.node_dirs[0]).expect_err("removed");
        assert!(matches!(&error, StartError::Removed { why, .. } if why == "n1 was removed"), "{error}");
        assert!(!formed.node_dirs[0].join(AUTHORITY).exists());
    }

    #[test]
    fn a_half_of_an_authority_is_none_and_can_be_made_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let formed = form(&folder.path().join("one"), &plan(&[("n1", "h:1")])).expect("formed");
        let (dir, home) = (&formed.node_dirs[0], formed.node_dirs[0].join(AUTHORITY));
        let whole = Authority::load(&home).expect("whole");
        for half in ["ca.pem", "ca-key.pem"] {
            std::fs::remove_file(home.join(half)).expect("it was there");
            assert!(DataFolder::open(dir).expect("a node").authority.is_none(), "without {half}");
            whole.save(&home).expect("writable");
            assert!(DataFolder::open(dir).expect("a node").authority.is_some());
        }
        Authority::forget(&home).expect("writable");
        Authority::forget(&home).expect("nothing to do");
        assert!(!home.exists() && DataFolder::open(dir).expect("a node").authority.is_none());
    }

    #[test]
    fn a_folder_of_the_format_before_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let formed = form_with(&folder.path().join("one"), &plan(&[("n1", "h:1")]), Signing::Offline).expect("formed");
        let path = formed.node_dirs[0].join(NODE_FILE);
        let members = "[[members]]\nid = 1\nname = \"oslo\"\naddress = \"h:1\"\n";
        let text = format!("format = 1\ncluster = \"{}\"\nnode = 1\n{members}", formed.cluster);
        std::fs::write(&path, &text).expect("writable");
        assert_eq!(DataFolder::open(&formed.node_dirs[0]).expect("a node").own.name, "oslo");
        std::fs::write(&path, text.replace("format = 1", "format = 9")).expect("writable");
        assert!(matches!(DataFolder::open(&formed.node_dirs[0]), Err(StartError::NotANode { .. })));
    }
}
