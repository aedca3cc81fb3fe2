//! What a newcomer is told of the cluster, inside the answer to a join: postcard, behind a version byte.

use crate::control::{Control, Founders, Member};
use outboard_raft::NodeId;
use outboard_wire::access::Enrolled;
use serde::{Deserialize, Serialize};

const VERSION: u8 = 1;

/// What a newcomer has to know beside its certificate.
#[derive(Eq, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Welcome {
    /// What it is called.
    pub(super) name: String,
    /// Who formed the cluster: number, name, address.
    founders: Vec<(u64, String, String)>,
    /// Who is a member now.
    members: Vec<(u64, String, String)>,
}

impl Welcome {
    /// For somebody who has just come in.
    pub(super) fn of(enrolled: &Enrolled, founders: &Founders, control: &Control) -> Welcome {
        let (Enrolled::Node { name, .. } | Enrolled::Client { name }) = enrolled;
        let founder = |(node, member): (&NodeId, &Member)| (node.0, member.name.clone(), member.address.clone());
        let listed = control.directory.iter();
        Welcome {
            name: name.clone(),
            founders: founders.iter().map(founder).collect(),
            members: listed.map(|(node, listed)| (node.0, listed.name.clone(), listed.address.clone())).collect(),
        }
    }

    pub(super) fn founders(&self) -> Founders {
        members(&self.founders)
    }

    pub(super) fn members(&self) -> Founders {
        members(&self.members)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("postcard knows all shapes of a welcome")
    }

    /// None for what another version says, or nobody.
    pub(super) fn decode(bytes: &[u8]) -> Option<Welcome> {
        match bytes.split_first() {
            Some((&VERSION, told)) => postcard::from_bytes(told).ok(),
            Some(_) | None => None,
        }
    }
}

fn members(listed: &[(u64, String, String)]) -> Founders {
    let member = |(node, name, address): &(u64, String, String)| {
        (NodeId(*node), Member { name: name.clone(), address: address.clone() })
    };
    listed.iter().map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_welcome_is_read_back_and_that_of_another_version_is_refused() {
        let somebody = (2, "b".to_owned(), "b:1".to_owned());
        let welcome = Welcome { name: "c".to_owned(), founders: vec![], members: vec![somebody] };
        let mut bytes = welcome.encode();
        assert_eq!(Welcome::decode(&bytes), Some(welcome));
        assert_eq!(Welcome::decode(&bytes[..bytes.len() - 1]), None);
        bytes[0] += 1;
        assert_eq!(Welcome::decode(&bytes), None);
        assert_eq!(Welcome::decode(&[]), None);
    }
}
