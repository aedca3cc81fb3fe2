//! How somebody comes into a cluster: the node's side of a join, certificates and who signs them, and the joiner's side.
//!
//! ```text
//!   joiner ──token's proof──▶ any node ──Enrol──▶ the log: the token is judged and used up, a number or a name given
//!                             any node ──Certify──▶ a node that signs ──certificate──▶ joiner: saves it, then is a node
//!                             the leader ──membership──▶ the log: a learner, and a voter once it has caught up
//! ```
//!
//! # Who signs
//!
//! Every voter holds the authority's key, in `DIR/ca/`: a cluster that can commit can enrol and renew, and no single node's loss takes that
//! away. The key says who belongs to the cluster; a voter can say that anyhow, it has all data and a voice in the log. Learners don't get it,
//! unless they are on their way to a vote. Whoever lacks it asks one that has it, over the connection on which both have proved who they
//! are. A cluster that was formed with the key kept offline has no node that signs: joins and renewals are answered so.
//!
//! A node that was demoted or removed deletes its copy, once another one is known to have it: the last copy never goes by itself. Whoever must
//! assume that a copy was copied before needs a new authority, which means a new cluster.
//!
//! A node that signs for another believes its own replicated state only: a node gets a certificate for itself, a newcomer for the key that used
//! up a token. But that a known client has asked, it has from the node that the client asked, as with every request that a node passes on: a
//! member is trusted with what its clients may do, the admin among them.
//!
//! | file | what |
//! | --- | --- |
//! | `joins` | decides whether somebody comes in |
//! | `certificates` | signing for others, and the renewal of this node's own certificate |
//! | `authority` | where the authority's key is: who gets it, who gives it up |
//! | `welcome` | what a newcomer is told |
//! | `joiner` | the other side: somebody who comes in |
//!
//! Invariants: a joiner's private key never leaves its folder; everything a join does is done again without harm, by the same key.
//! Tests: `tests/cluster/enrolment.rs`.

mod authority;
mod certificates;
mod joiner;
mod joins;
mod welcome;

pub(crate) use authority::{leave, on_authority};
pub(crate) use certificates::{on_certify, renew_client};
pub use joiner::{EnrolError, JoinedClient, join_client, join_node};
pub(crate) use joins::{JOINS_MAX, serve_joins};

use crate::desk::Desk;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::timeout;

/// How often it is looked whether a certificate is to be renewed, and whether a voter lacks the authority.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// The same while something is wanted and was not had.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Renews this node's certificate when two thirds of its time are over, and has the authority here as long as this node votes.
pub(crate) async fn look_after_identity(desk: Desk, dir: PathBuf) {
    let mut control = desk.control.clone();
    loop {
        let renewed = certificates::renew(&desk, &dir).await;
        let settled = authority::look_after(&desk, &dir).await;
        let pause = if renewed && settled { LOOK_EVERY } else { LOOK_AGAIN };
        // Whether this node votes may have changed.
        if let Ok(Err(_)) = timeout(pause, control.changed()).await {
            return;
        }
    }
}
