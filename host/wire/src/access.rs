//! Who belongs to the cluster and what each may do: members, tokens, clients and their roles, as requests, entries and answers say it.
//!
//! Plain data. What a token's record holds and how a proof is judged is the net room's; here a token is its number and the public half of
//! its secret, so that a secret is never in a request or in the log.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a client may do.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug, Serialize, Deserialize)]
pub enum Role {
    /// Reads.
    Reader,
    /// Reads and writes.
    Writer,
    /// Changes the members, hands leadership over.
    Operator,
    /// Pushes and upgrades engines.
    Deployer,
    /// Everything, tokens and roles among it.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 5] = [Role::Reader, Role::Writer, Role::Operator, Role::Deployer, Role::Admin];

    /// As people type it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Reader => "reader",
            Role::Writer => "writer",
            Role::Operator => "operator",
            Role::Deployer => "deployer",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Role, String> {
        let known = Role::ALL.into_iter().find(|role| role.name() == text);
        known.ok_or_else(|| format!("{text:?} is no role: reader, writer, operator, deployer or admin"))
    }
}

/// What a node is to become.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub enum Wish {
    /// It votes once it has caught up.
    Voter,
    /// It only follows.
    Learner,
}

/// What a token lets its holder become.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub enum Enrols {
    /// A node.
    Node(Wish),
    /// A client.
    Client(Role),
}

impl Enrols {
    /// Everything that a token may be for.
    pub const ALL: [Enrols; 7] = [
        Enrols::Node(Wish::Voter),
        Enrols::Node(Wish::Learner),
        Enrols::Client(Role::Reader),
        Enrols::Client(Role::Writer),
        Enrols::Client(Role::Operator),
        Enrols::Client(Role::Deployer),
        Enrols::Client(Role::Admin),
    ];

    /// Whether its holder becomes a node.
    pub fn is_node(self) -> bool {
        match self {
            Enrols::Node(_) => true,
            Enrols::Client(_) => false,
        }
    }
}

impl fmt::Display for Enrols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Enrols::Node(Wish::Voter) => f.write_str("voter"),
            Enrols::Node(Wish::Learner) => f.write_str("learner"),
            Enrols::Client(role) => write!(f, "client ({role})"),
        }
    }
}

/// A change of the replicated state that says who belongs to the cluster. Each is judged where its entry is applied.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub enum AccessCommand {
    /// A node that was enrolled and never let in is forgotten.
    MemberForget {
        /// Its number.
        node: u64,
    },
    /// A token is known from now on.
    TokenCreate(TokenSpec),
    /// A token lets nobody in any more.
    TokenRevoke {
        /// Its number.
        id: u64,
    },
    /// Among nodes only: a key comes in by a token, which is used up by that.
    Enrol(Enrolment),
    /// A client may do this from now on.
    ClientRole {
        /// Its name.
        name: String,
        /// What it may do.
        role: Role,
    },
    /// A client is out: none of its certificates holds any more, and its name is not given out again.
    ClientRevoke {
        /// Its name.
        name: String,
    },
}

/// A token that is to be known.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct TokenSpec {
    /// Its number.
    pub id: u64,
    /// The public half of its secret.
    pub verifier: [u8; 32],
    /// What it makes of its holder.
    pub enrols: Enrols,
    /// How long it lets new ones in, in milliseconds of the log's time.
    pub lasts_ms: u64,
    /// How many keys may come in by it.
    pub uses: u32,
}

/// A key that comes in by a token, whose proof a node has checked.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct Enrolment {
    /// The token's number.
    pub token: u64,
    /// The hash of the joiner's public key.
    pub key: [u8; 32],
    /// The name that it wants; empty to leave that to the cluster.
    pub name: String,
    /// `host:port` that the others reach it at; empty for a client.
    pub address: String,
}

/// What a key came in as.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub enum Enrolled {
    /// A node.
    Node {
        /// Its number.
        node: u64,
        /// What people call it.
        name: String,
    },
    /// A client.
    Client {
        /// Its name.
        name: String,
    },
}

/// Why a key does not come in. Decided, alike on every node.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub enum EnrolRefusal {
    /// There is no such token.
    UnknownToken,
    /// Its time is over.
    Expired,
    /// As many came in as it allows.
    UsedUp,
    /// What this key came in as was removed or revoked meanwhile.
    Removed,
    /// The name can't be had: why.
    Name(String),
    /// A bound is reached: which.
    Full(String),
}

/// A change of the members.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub enum MemberChange {
    /// A learner is to get a vote, once it has caught up.
    Promote {
        /// Which.
        node: u64,
    },
    /// A voter becomes a learner.
    Demote {
        /// Which.
        node: u64,
    },
    /// A member leaves for good.
    Remove {
        /// Which.
        node: u64,
    },
    /// A learner takes a voter's place in one step, once it has caught up; the voter leaves.
    Replace {
        /// Leaves.
        old: u64,
        /// Comes.
        new: u64,
    },
}

/// A member as the leader sees it.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct MemberInfo {
    /// Its number.
    pub node: u64,
    /// What people call it.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// What it takes part as.
    pub standing: Standing,
    /// It leads.
    pub leader: bool,
    /// The leader heard it within an election timeout.
    pub heard: bool,
    /// How many entries of the log it lacks.
    pub lag: u64,
}

/// What a node takes part as.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub enum Standing {
    /// Enrolled, and not let in yet: an earlier change is under way.
    Enrolled,
    /// It follows and has no vote.
    Learner,
    /// It gets a vote as soon as it has caught up.
    Joining {
        /// The voter that leaves then.
        replaces: Option<u64>,
    },
    /// It votes.
    Voter,
    /// It votes until the change under way is done.
    Leaving,
}

/// A token as the cluster knows it.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Its number.
    pub id: u64,
    /// What it makes of its holder.
    pub enrols: Enrols,
    /// How long it still lets new ones in by the log's time, in milliseconds; 0 when its time is over.
    pub left_ms: u64,
    /// How many keys may still come in by it.
    pub uses_left: u32,
    /// Who came in by it.
    pub used_by: Vec<String>,
}

/// A client as the cluster knows it.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct ClientEntry {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// It is out.
    pub revoked: bool,
}

/// Every token and every client.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct AccessLists {
    /// In the order of their numbers.
    pub tokens: Vec<TokenInfo>,
    /// In the order of their names.
    pub clients: Vec<ClientEntry>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_read_as_it_is_written() {
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
        }
        assert!("root".parse::<Role>().expect_err("no role").contains("admin"));
    }
}
