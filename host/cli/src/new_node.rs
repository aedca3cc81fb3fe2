//! A node's folder that comes into being: it joins a cluster if there is somebody to join, else it founds one.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::Path;
use std::time::Duration;

use crate::code::Code;
use crate::enrol;
use crate::failure::Failure;
use crate::hint::hint;
use crate::node_failure::not_formed;
use crate::node_failure::not_started;
use crate::session::ADMIN_CONTEXT;
use crate::session::{DEFAULT_CONTEXT, PORT, with_port};
use outboard_client::Context;
use outboard_net::{Credentials, Token, address_towards, is_local_only};
use outboard_node::StartError;
use outboard_node::formation::{self, Founding, Planned};

/// A place beyond this network, to find out which of its addresses this machine uses for that (RFC 5737). Nothing is sent.
const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// What is known of a node that has no folder yet.
pub(crate) struct NewNode<'a> {
    /// Where its folder is to be.
    pub(crate) dir: &'a Path,
    /// Where it listens, if not where others reach it.
    pub(crate) listen: Option<SocketAddr>,
    /// Where others reach it.
    pub(crate) advertise: Option<String>,
    /// What it is to be called.
    pub(crate) name: Option<String>,
}

impl NewNode<'_> {
    /// Makes the folder: by joining there, else by founding a cluster.
    pub(crate) async fn make(self, seed: Option<&str>, token: Option<Token>, timeout: Duration) -> Result<(), Failure> {
        check_vacant(self.dir)?;
        let Some(seed) = seed else {
            let address = self.advertised(ELSEWHERE);
            self.check_port(&address)?;
            return self.found(address);
        };
        let token = token.ok_or_else(|| {
            Failure::new(Code::Usage, format!("{} is to join {seed}, and there is no token", self.dir.display()))
                .help("OUTBOARD_TOKEN_FILE=FILE, or outboard join HOST:PORT TOKEN")
        })?;
        let advertised = self.advertised(enrol::resolve(seed)?);
        self.check_port(&advertised)?;
        let name = self.name.as_deref().unwrap_or_default();
        enrol::node(&[seed.to_owned()], &token, self.dir, name, &advertised, timeout).await
    }

    /// Before a folder says that the node is there: a port that somebody else has makes no node and uses up no token.
    fn check_port(&self, advertised: &str) -> Result<(), Failure> {
        let listens = self.listen.or_else(|| advertised.to_socket_addrs().ok()?.next());
        match listens.map(|listen| (listen, UdpSocket::bind(listen))) {
            Some((listen, Err(error))) if error.kind() == ErrorKind::AddrInUse => {
                Err(not_started(StartError::AddressInUse(listen)))
            }
            // Whatever else is wrong with it, the start says.
            Some((_, Ok(_) | Err(_))) | None => Ok(()),
        }
    }

    fn found(&self, address: String) -> Result<(), Failure> {
        let (dir, name) = (self.dir, self.name.clone().unwrap_or_else(|| "n1".to_owned()));
        let founding = Founding::begin(dir, &Planned { name, address: address.clone() }).map_err(not_formed)?;
        let context = Context::new(vec![address.clone()], founding.admin.clone());
        context.save(&dir.join(ADMIN_CONTEXT))?;
        let cluster = founding.cluster;
        let known = keep(&context)?;
        founding.finish().map_err(not_formed)?;
        hint!("made the cluster {cluster}, its authority in {}", dir.join("ca").display());
        match known {
            Some(name) => hint!("the admin's context is {name}: outboard -c {name} status"),
            None => hint!("the admin's context: outboard -c {} status", dir.join(ADMIN_CONTEXT).display()),
        }
        if is_local_only(&address) {
            hint!("{address} is reached from this machine only; --advertise HOST:PORT lets others join");
        }
        Ok(())
    }

    /// Where others are to reach this node: as it is told, or where it listens, or the address that it has on the way to others.
    fn advertised(&self, towards: SocketAddr) -> String {
        if let Some(address) = &self.advertise {
            return with_port(address);
        }
        let own = || address_towards(towards).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        match self.listen {
            Some(listen) if listen.ip().is_unspecified() => SocketAddr::new(own(), listen.port()).to_string(),
            Some(listen) => listen.to_string(),
            None => SocketAddr::new(own(), PORT).to_string(),
        }
    }
}

/// A folder that is given to a new node.
pub(crate) fn check_vacant(dir: &Path) -> Result<(), Failure> {
    if !formation::holds_node(dir) && formation::is_vacant(dir).map_err(not_formed)? {
        return Ok(());
    }
    let text = format!("{} holds something that is not a node's", dir.display());
    Err(Failure::new(Code::NotANode, text).help("name a new or empty folder"))
}

/// Among the user's contexts: as the default one if there is none, else under the cluster's id.
fn keep(context: &Context) -> Result<Option<String>, Failure> {
    let Some(folder) = Context::folder() else { return Ok(None) };
    let default = folder.join(format!("{DEFAULT_CONTEXT}.toml"));
    let is_own = |known: Context| known.cluster == context.cluster;
    let free = !default.exists() || Context::load_file(&default).is_ok_and(is_own);
    let name = if free { DEFAULT_CONTEXT.to_owned() } else { context.cluster.to_string() };
    context.save(&folder.join(format!("{name}.toml")))?;
    Ok(Some(name))
}

/// Whether a node's folder is of the cluster that the token is for.
pub(crate) fn check_same_cluster(dir: &Path, token: &Token) -> Result<(), Failure> {
    match Credentials::load(&dir.join("identity")) {
        Ok(known) if known.authority_pin() != token.pin() => {
            let text = format!(
                "{} is a node of {} already, and the token is for another cluster",
                dir.display(),
                known.cluster()
            );
            Err(Failure::new(Code::NotJoined, text).help("--data-dir DIR, a new or empty folder"))
        }
        // What is damaged is told by the start.
        Ok(_) | Err(_) => Ok(()),
    }
}
