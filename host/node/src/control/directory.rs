//! The address book: every node that was let in, its name and address, and what it is to become. It goes with the configuration through the
//! log and in snapshots, so that every node finds every other one.
//!
//! A node is in the book from its enrolment until the entry that takes it out of the membership: whoever leads proposes the membership for
//! those who are in the book only. Numbers are given in order and never twice, so whoever has a number and is not in the book was removed.
//! Before its first change the book is that of the founders, which stands in every node's `node.toml`. Tests: below.

use super::{damaged, key_of, number_of, read_all};
use outboard_raft::{Membership, NodeId};
use outboard_store::{StoreError, Table, Transaction, View};
use outboard_wire::access::Wish;
use outboard_wire::limits::{ADDRESS_BYTES_MAX, MEMBERS_MAX, NAME_BYTES_MAX, NODE_NUMBERS_MAX};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

const MEMBERS: Table = Table::control(5);
/// The key of the next number.
const NEXT: &[u8] = b"next";
const VERSION: u8 = 1;

/// The nodes that a cluster was formed with.
pub(crate) type Founders = BTreeMap<NodeId, Member>;

/// A node as others find it.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) address: String,
}

/// A node in the book.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) address: String,
    /// What it is to become when it is let in.
    pub(crate) wish: Wish,
}

/// The address book.
#[derive(Clone, Eq, PartialEq, Debug, Default)]
pub(crate) struct Directory {
    nodes: BTreeMap<NodeId, Listed>,
    next: u64,
    /// Whether it stands in the tables, or is that of the founders still.
    stored: bool,
}

/// Why a node is not taken into the book.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(crate) enum NotListed {
    /// The name can't be had: why.
    Name(String),
    /// Anything else: why.
    Other(String),
}

impl Directory {
    pub(crate) fn of_founders(founders: &Founders) -> Directory {
        let listed = |(node, member): (&NodeId, &Member)| {
            let (name, address) = (member.name.clone(), member.address.clone());
            (*node, Listed { name, address, wish: Wish::Voter })
        };
        let next = founders.last_key_value().map_or(1, |(node, _)| node.0 + 1);
        Directory { nodes: founders.iter().map(listed).collect(), next, stored: false }
    }

    /// Reads it back from the tables.
    pub(super) fn load(view: &dyn View, founders: &Founders) -> Result<Directory, StoreError> {
        let mut directory = Directory { stored: true, ..Directory::default() };
        for (key, value) in read_all(view, MEMBERS)? {
            if &key[..] == NEXT {
                directory.next = number_of(&value).ok_or_else(|| damaged("next node's number"))?;
                continue;
            }
            let stored = match value.split_first() {
                Some((&VERSION, stored)) => postcard::from_bytes::<Listed>(stored).ok(),
                Some(_) | None => None,
            };
            let (Some(node), Some(listed)) = (number_of(&key), stored) else { return Err(damaged("address book")) };
            directory.nodes.insert(NodeId(node), listed);
        }
        if directory.next == 0 {
            return Ok(Directory::of_founders(founders));
        }
        Ok(directory)
    }

    pub(crate) fn get(&self, node: NodeId) -> Option<&Listed> {
        self.nodes.get(&node)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &Listed)> {
        self.nodes.iter().map(|(node, listed)| (*node, listed))
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.nodes.keys().copied()
    }

    /// Those who had a number and are out.
    pub(crate) fn removed(&self) -> BTreeSet<NodeId> {
        (1..self.next).map(NodeId).filter(|node| !self.nodes.contains_key(node)).collect()
    }

    /// Whether that number was given out, and its node taken out since.
    pub(crate) fn is_removed(&self, node: NodeId) -> bool {
        node.0 < self.next && !self.nodes.contains_key(&node)
    }

    /// Takes a node into the book and gives it a number.
    pub(crate) fn add(
        &mut self,
        name: &str,
        address: &str,
        wish: Wish,
        txn: &mut Transaction,
    ) -> Result<Result<NodeId, NotListed>, StoreError> {
        if let Err(why) = self.judge(name, address) {
            return Ok(Err(why));
        }
        self.store_founders(txn)?;
        let node = NodeId(self.next);
        self.next += 1;
        let name = if name.is_empty() { self.free_name(node) } else { name.to_owned() };
        let listed = Listed { name, address: address.to_owned(), wish };
        put(node, &listed, txn)?;
        txn.put(MEMBERS, NEXT, key_of(self.next).to_vec())?;
        self.nodes.insert(node, listed);
        Ok(Ok(node))
    }

    fn judge(&self, name: &str, address: &str) -> Result<(), NotListed> {
        let other = |why: String| Err(NotListed::Other(why));
        if self.nodes.len() >= MEMBERS_MAX {
            return other(format!("a cluster has at most {MEMBERS_MAX} nodes"));
        }
        if self.next >= NODE_NUMBERS_MAX {
            return other(format!("the cluster has given out {NODE_NUMBERS_MAX} numbers of nodes, which are all"));
        }
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        if port.is_none_or(|port| port == 0) || address.len() > ADDRESS_BYTES_MAX {
            return other(format!("the address {address:?} is not HOST:PORT"));
        }
        if let Some(taken) = self.nodes.values().find(|listed| listed.address == address) {
            return other(format!("{} has the address {address} already", taken.name));
        }
        if !name.is_empty() && !is_name(name) {
            return Err(NotListed::Name(format!(
                "{name:?} is not a name (small letters, digits and dashes, {NAME_BYTES_MAX} at most)"
            )));
        }
        if self.nodes.values().any(|listed| listed.name == name) {
            return Err(NotListed::Name(format!("another node is called {name}")));
        }
        Ok(())
    }

    /// `n4` for node 4, unless somebody else is called so.
    fn free_name(&self, node: NodeId) -> String {
        let names: BTreeSet<&str> = self.nodes.values().map(|listed| listed.name.as_str()).collect();
        let candidates = std::iter::once(node.to_string()).chain((2..).map(|number| format!("{node}-{number}")));
        let mut free = candidates.filter(|name| !names.contains(name.as_str()));
        free.next().expect("there are more names than nodes")
    }

    /// A node wants to become something else than it wanted; only before it is let in that changes anything.
    pub(crate) fn remove(&mut self, node: NodeId, txn: &mut Transaction) -> Result<(), StoreError> {
        if self.nodes.contains_key(&node) {
            self.store_founders(txn)?;
            self.nodes.remove(&node);
            txn.delete(MEMBERS, &key_of(node.0))?;
        }
        Ok(())
    }

    /// The membership changed: who left it leaves the book.
    pub(crate) fn on_membership(
        &mut self,
        before: &Membership,
        after: &Membership,
        txn: &mut Transaction,
    ) -> Result<(), StoreError> {
        for node in before.members().difference(&after.members()) {
            self.remove(*node, txn)?;
        }
        Ok(())
    }

    fn store_founders(&mut self, txn: &mut Transaction) -> Result<(), StoreError> {
        if !std::mem::replace(&mut self.stored, true) {
            for (node, listed) in &self.nodes {
                put(*node, listed, txn)?;
            }
            txn.put(MEMBERS, NEXT, key_of(self.next).to_vec())?;
        }
        Ok(())
    }
}

/// What a node may be called: also the name of a folder, and of a thread.
pub(crate) fn is_name(name: &str) -> bool {
    let letters = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    letters && !name.is_empty() && name.len() <= NAME_BYTES_MAX
}

fn put(node: NodeId, listed: &Listed, txn: &mut Transaction) -> Result<(), StoreError> {
    let bytes = postcard::to_extend(listed, vec![VERSION]).expect("postcard knows all shapes of the address book");
    txn.put(MEMBERS, &key_of(node.0), bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_store::{MemoryStore, Store};

    fn founders() -> Founders {
        let member = |node: u64| Member { name: format!("n{node}"), address: format!("h{node}:1") };
        (1..=3).map(|node| (NodeId(node), member(node))).collect()
    }

    fn txn() -> Transaction {
        Transaction::new(MemoryStore::new().view())
    }

    #[test]
    fn numbers_are_given_in_order_and_never_twice() {
        let (mut book, mut txn) = (Directory::of_founders(&founders()), txn());
        let add = |book: &mut Directory, txn: &mut Transaction, address| {
            book.add("", address, Wish::Voter, txn).expect("memory").expect("room")
        };
        assert_eq!(add(&mut book, &mut txn, "h4:1"), NodeId(4));
        book.remove(NodeId(4), &mut txn).expect("memory");
        assert_eq!(add(&mut book, &mut txn, "h4:1"), NodeId(5));
        assert_eq!(book.removed(), [NodeId(4)].into());
        assert!(book.is_removed(NodeId(4)) && !book.is_removed(NodeId(5)) && !book.is_removed(NodeId(6)));
    }

    #[test]
    fn it_is_read_back_from_the_tables_and_is_the_founders_before_its_first_change() {
        let store = MemoryStore::new();
        assert_eq!(Directory::load(&*store.view(), &founders()).expect("empty"), Directory::of_founders(&founders()));
        let mut book = Directory::of_founders(&founders());
        let mut txn = Transaction::new(store.view());
        book.add("rome", "rome:1", Wish::Learner, &mut txn).expect("memory").expect("room");
        let (before, after) = (Membership::of_voters([1, 2, 3].map(NodeId)), Membership::of_voters([1, 3].map(NodeId)));
        book.on_membership(&before, &after, &mut txn).expect("memory");
        txn.keep();
        store.commit(txn.into_batch(1)).expect("memory");
        let read = Directory::load(&*store.view(), &Founders::new()).expect("sound");
        assert_eq!(read, book);
        assert_eq!(read.nodes().collect::<Vec<_>>(), [1, 3, 4].map(NodeId));
    }

    #[test]
    fn names_and_addresses_are_taken_once_and_the_book_is_bounded() {
        let (mut book, mut txn) = (Directory::of_founders(&founders()), txn());
        let mut add = |name: &str, address: &str| book.add(name, address, Wish::Voter, &mut txn).expect("memory");
        assert!(matches!(add("n2", "x:1"), Err(NotListed::Name(why)) if why.contains("n2")));
        assert!(matches!(add("N 2", "x:1"), Err(NotListed::Name(_))));
        assert!(matches!(add("", "h2:1"), Err(NotListed::Other(why)) if why.contains("n2")));
        assert!(matches!(add("", "x"), Err(NotListed::Other(why)) if why.contains("HOST:PORT")));
        for number in 4..=MEMBERS_MAX {
            add("", &format!("x:{number}")).expect("room");
        }
        assert!(matches!(add("", "y:1"), Err(NotListed::Other(why)) if why.contains("at most")));
    }
}
