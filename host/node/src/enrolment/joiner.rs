//! The joiner's side: an empty folder becomes a node's, a program becomes a client. Done again after any interruption it goes on, by the same
//! key.

use super::welcome::Welcome;
use crate::control::Member;
use crate::formation::{self, FormError, IDENTITY};
use outboard_net::{Credentials, IdentityKey, JoinError, JoinOffer, JoinRefusal, Token};
use outboard_wire::access::Enrols;
use std::net::SocketAddr;
use std::path::Path;

/// Why somebody did not come into a cluster.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The cluster was not reached, or said no.
    #[error("{0}")]
    Join(#[from] JoinError),
    /// The folder can't be used.
    #[error("{0}")]
    Folder(#[from] FormError),
    /// The token is for somebody else; nobody was asked.
    #[error("this token is for a {enrols}, and {who} wants to come in by it")]
    Kind {
        /// What the token makes of its holder.
        enrols: Enrols,
        /// Who has it.
        who: &'static str,
    },
    /// The answer lacks what a newcomer has to know.
    #[error("the node's welcome can't be read: run the same outboard on both sides")]
    Welcome,
}

impl EnrolError {
    /// Whether the same line may be run again and may then work.
    pub fn is_passing(&self) -> bool {
        match self {
            EnrolError::Join(JoinError::Refused(why)) => {
                matches!(why, JoinRefusal::Unavailable { .. } | JoinRefusal::NotLeader { .. })
            }
            EnrolError::Join(error) => matches!(error, JoinError::Busy { .. } | JoinError::Lost { .. }),
            EnrolError::Folder(_) | EnrolError::Kind { .. } | EnrolError::Welcome => false,
        }
    }
}

/// A node comes in: `dir` becomes its data folder. Done again after any interruption it goes on, by the same key.
pub async fn join_node(
    seed: SocketAddr,
    token: &Token,
    dir: &Path,
    name: &str,
    advertised: &str,
) -> Result<(), EnrolError> {
    if !token.enrols().is_node() {
        return Err(EnrolError::Kind { enrols: token.enrols(), who: "a node" });
    }
    let home = dir.join(IDENTITY);
    let key = IdentityKey::load_or_create(&home).map_err(FormError::from)?;
    let offer = JoinOffer {
        key: &key,
        cluster: None,
        name: name.to_owned(),
        advertised: advertised.to_owned(),
        details: Vec::new(),
    };
    let admitted = outboard_net::join(seed, token, offer).await?;
    let welcome = Welcome::decode(&admitted.members).ok_or(EnrolError::Welcome)?;
    admitted.credentials.save(&home).map_err(FormError::from)?;
    let own = Member { name: welcome.name.clone(), address: advertised.to_owned() };
    formation::settle(dir, &admitted.credentials, own, &welcome.founders(), &welcome.members())?;
    Ok(())
}

/// A client that came in.
#[derive(Debug)]
pub struct JoinedClient {
    /// Who it is from now on.
    pub credentials: Credentials,
    /// `host:port` of the nodes.
    pub endpoints: Vec<String>,
}

/// A client comes in. Its key waits in `key_dir`, which the caller removes once it has kept the credentials.
pub async fn join_client(
    seed: SocketAddr,
    token: &Token,
    key_dir: &Path,
    name: &str,
) -> Result<JoinedClient, EnrolError> {
    if token.enrols().is_node() {
        return Err(EnrolError::Kind { enrols: token.enrols(), who: "a client" });
    }
    let key = IdentityKey::load_or_create(key_dir).map_err(FormError::from)?;
    let (advertised, details) = (String::new(), Vec::new());
    let offer = JoinOffer { key: &key, cluster: None, name: name.to_owned(), advertised, details };
    let admitted = outboard_net::join(seed, token, offer).await?;
    let welcome = Welcome::decode(&admitted.members).ok_or(EnrolError::Welcome)?;
    let endpoints = welcome.members().into_values().map(|member| member.address).collect();
    Ok(JoinedClient { credentials: admitted.credentials, endpoints })
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_net::{Authority, ClusterId};
    use outboard_wire::access::{Role, Wish};

    #[tokio::test]
    async fn a_token_for_somebody_else_is_told_before_anybody_is_asked_and_before_there_is_a_key() {
        let authority = Authority::create(ClusterId::random()).expect("an authority");
        let token = |kind| Token::generate(kind, authority.pin());
        let (folder, nobody) = (tempfile::tempdir().expect("a folder"), SocketAddr::from(([127, 0, 0, 1], 1)));
        let dir = folder.path().join("new");
        let client = token(Enrols::Client(Role::Admin));
        let refused = join_node(nobody, &client, &dir, "", "h:1").await.expect_err("a client's token");
        assert_eq!(refused.to_string(), "this token is for a client (admin), and a node wants to come in by it");
        let refused =
            join_client(nobody, &token(Enrols::Node(Wish::Learner)), &dir, "").await.expect_err("a node's token");
        assert_eq!(refused.to_string(), "this token is for a learner, and a client wants to come in by it");
        assert!(!dir.exists() && !refused.is_passing());
    }
}
