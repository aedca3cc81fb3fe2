//! Whom this node dials and whom it lets in, kept as the address book says; and whether the others say that this node is out.
//!
//! Dialled are all in the book, and those whom this node knew when its folder was made: a newcomer reads the log from its beginning, whose
//! book does not have its leader yet. Names are looked up beside the loop, again and again, because addresses move.

use crate::control::{Control, Founders};
use crate::desk::{Desk, blocking};
use crate::formation::resolve;
use crate::workers::Word;
use outboard_net::{Access, Refusal};
use outboard_raft::NodeId;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// How often names are looked up again.
const LOOK_UP_EVERY: Duration = Duration::from_secs(30);

/// Who is out.
pub(crate) fn access(control: &Control) -> Access {
    Access {
        revoked_clients: control.permissions.revoked(),
        removed_nodes: control.directory.removed(),
        ..Access::default()
    }
}

fn wanted(control: &Control, known: &Founders, own: NodeId) -> BTreeMap<NodeId, String> {
    let known = known.iter().map(|(node, member)| (*node, member.address.clone()));
    let mut all: BTreeMap<NodeId, String> = known.collect();
    all.extend(control.directory.iter().map(|(node, listed)| (node, listed.address.clone())));
    all.retain(|node, _| *node != own && !control.directory.is_removed(*node));
    all
}

/// Keeps the net dialling the right ones as long as the node runs.
pub(crate) async fn keep_dialling(desk: Desk, known: Founders) {
    let mut control = desk.control.clone();
    let mut dialled: Option<BTreeMap<NodeId, SocketAddr>> = None;
    loop {
        let addresses = wanted(&control.borrow_and_update(), &known, desk.id);
        let resolved = blocking(move || look_up(addresses)).await;
        if dialled.as_ref() != Some(&resolved) {
            desk.net.set_peers(resolved.clone());
            dialled = Some(resolved);
        }
        if let Ok(Err(_)) = tokio::time::timeout(LOOK_UP_EVERY, control.changed()).await {
            return;
        }
    }
}

fn look_up(addresses: BTreeMap<NodeId, String>) -> BTreeMap<NodeId, SocketAddr> {
    let found = addresses.into_iter().filter_map(|(node, address)| match resolve(&address) {
        Ok(found) => Some((node, found)),
        Err(why) => {
            tracing::warn!(%node, why, "a node can't be dialled");
            None
        }
    });
    found.collect()
}

/// Stops the node when a majority of the other voters say that it is out: it was away when it was removed.
pub(crate) async fn heed_farewells(desk: Desk) {
    let mut said = desk.net.cut_off();
    loop {
        {
            let control = desk.control.borrow();
            let others: Vec<NodeId> = control.voters.iter().copied().filter(|node| *node != desk.id).collect();
            let said = said.borrow_and_update();
            let is_out = |node: &&NodeId| said.get(node) == Some(&Refusal::Removed);
            let count = others.iter().filter(is_out).count();
            if count * 2 > others.len() {
                let name = |node: &NodeId| control.directory.get(*node).map_or(node.to_string(), |it| it.name.clone());
                let names: Vec<String> = others.iter().filter(is_out).map(name).collect();
                return desk.words.send(Word::Removed(farewell(&names)));
            }
        }
        if said.changed().await.is_err() {
            return;
        }
    }
}

fn farewell(names: &[String]) -> String {
    let say = if names.len() == 1 { "says" } else { "say" };
    format!("{} {say} that it is no member any more", names.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_farewell_names_those_who_say_it() {
        let told = |names: &[&str]| farewell(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(told(&["oslo"]), "oslo says that it is no member any more");
        assert_eq!(told(&["oslo", "n2"]), "oslo and n2 say that it is no member any more");
    }
}
