//! Who is out although its certificate still holds: the revoked and the removed, and the connections that stand.
//!
//! A certificate lasts for weeks; what the cluster decided meanwhile comes here from the replicated state ([`Access`]). It is checked when a
//! handshake ends and, when it changes, against every connection that stands. Invariant: a connection enters the list before it is
//! checked, and the list is walked after the change is in force, so nobody slips through between the two. Tests: `tests/net/access.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::Mutex;

use outboard_raft::NodeId;
use quinn::Connection;
use tokio::sync::watch;

use crate::identity::{Holder, Principal, Serial};
use crate::refusal::Refusal;

/// Everybody who is out. What is not in it is in: roles are judged by the node, with each request.
#[derive(Clone, Eq, PartialEq, Debug, Default)]
pub struct Access {
    /// Clients by name: none of their certificates holds, present or future ones, as long as the name stands here.
    pub revoked_clients: BTreeSet<String>,
    /// Single certificates, of clients or nodes. A number may be forgotten once its certificate has expired.
    pub revoked_serials: BTreeSet<Serial>,
    /// Nodes that were members and are no more. Ids are never given out again, so they stay.
    pub removed_nodes: BTreeSet<NodeId>,
}

impl Access {
    /// Why the holder of a certificate is out; None if it isn't.
    pub fn refusal(&self, principal: &Principal, serial: Serial) -> Option<Refusal> {
        match principal {
            Principal::Node(node) if self.removed_nodes.contains(node) => Some(Refusal::Removed),
            Principal::Client { name } if self.revoked_clients.contains(name) => Some(Refusal::Revoked),
            Principal::Node(_) | Principal::Client { .. } if self.revoked_serials.contains(&serial) => {
                Some(Refusal::Revoked)
            }
            Principal::Node(_) | Principal::Client { .. } => None,
        }
    }

    /// Whether this node is to be left alone.
    pub(crate) fn is_removed(&self, node: NodeId) -> bool {
        self.removed_nodes.contains(&node)
    }
}

/// The access in force, and the connections that it is in force on.
pub(crate) struct Gatekeeper {
    access: watch::Sender<Arc<Access>>,
    standing: Mutex<BTreeMap<usize, Standing>>,
}

struct Standing {
    connection: Connection,
    principal: Principal,
    serial: Serial,
}

impl Gatekeeper {
    pub(crate) fn new() -> Arc<Gatekeeper> {
        Arc::new(Gatekeeper { access: watch::Sender::new(Arc::default()), standing: Mutex::default() })
    }

    /// Lets a connection stand until the pass is dropped, or says why not.
    pub(crate) fn enter(self: &Arc<Self>, connection: &Connection, holder: &Holder) -> Result<Pass, Refusal> {
        let (principal, serial) = (holder.principal.clone(), holder.serial);
        let standing = Standing { connection: connection.clone(), principal, serial };
        let key = connection.stable_id();
        self.lock().insert(key, standing);
        let pass = Pass { gatekeeper: self.clone(), key };
        match self.access.borrow().refusal(&holder.principal, holder.serial) {
            None => Ok(pass),
            Some(refusal) => Err(refusal),
        }
    }

    /// Puts an access in force; returns the connections that it ends, each with the reason.
    pub(crate) fn set(&self, access: Access) -> Vec<(Connection, Principal, Refusal)> {
        let access = Arc::new(access);
        self.access.send_replace(access.clone());
        let standing = self.lock();
        let out = standing.values().filter_map(|standing| {
            let refusal = access.refusal(&standing.principal, standing.serial)?;
            Some((standing.connection.clone(), standing.principal.clone(), refusal))
        });
        out.collect()
    }

    /// Waits as long as that node is removed.
    pub(crate) async fn wait_not_removed(&self, node: NodeId) {
        let mut access = self.access.subscribe();
        // An error means that the net itself is gone, which ends the waiting task as well.
        access.wait_for(|access| !access.is_removed(node)).await.map(drop).unwrap_or_default();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, Standing>> {
        self.standing.lock().expect("nothing panics while it holds the list")
    }
}

/// A connection's place in the list.
pub(crate) struct Pass {
    gatekeeper: Arc<Gatekeeper>,
    key: usize,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.gatekeeper.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_of_being_out_has_its_reason_and_nobody_else_is_out() {
        let access = Access {
            revoked_clients: BTreeSet::from(["eve".to_string()]),
            revoked_serials: BTreeSet::from([Serial(7)]),
            removed_nodes: BTreeSet::from([NodeId(3)]),
        };
        let client = |name: &str| Principal::Client { name: name.to_string() };
        for (principal, serial, expected) in [
            (client("eve"), 1, Some(Refusal::Revoked)),
            (client("ana"), 7, Some(Refusal::Revoked)),
            (client("ana"), 1, None),
            (Principal::Node(NodeId(3)), 1, Some(Refusal::Removed)),
            (Principal::Node(NodeId(3)), 7, Some(Refusal::Removed)),
            (Principal::Node(NodeId(2)), 7, Some(Refusal::Revoked)),
            (Principal::Node(NodeId(2)), 1, None),
        ] {
            assert_eq!(access.refusal(&principal, Serial(serial)), expected, "{principal} {serial}");
            assert_eq!(Access::default().refusal(&principal, Serial(serial)), None);
        }
    }
}
