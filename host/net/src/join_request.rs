//! Somebody who wants to join, in the node's hands: what it says, whether its token's proof holds, and the way back.
//!
//! Never: decides, keeps a token. Tests: `tests/net/enrolment.rs`.

use std::fmt;
use std::net::SocketAddr;

use tokio::sync::oneshot;

use crate::authority::{Authority, Validity};
use crate::files::CredentialsError;
use crate::identity::{KeyHash, Principal};
use crate::join::{JoinAnswer, JoinRefusal, Statement, is_local_only};
use crate::record::{Permit, TokenRecord};
use crate::request::CertificateRequest;
use crate::token::TokenId;

/// Somebody who wants to join, its request read and its key proved; the token is still to be judged.
///
/// What a node does with it: look up the [`TokenRecord`] of [`token`](JoinRequest::token), [`judge`](JoinRequest::judge) it by the log's time,
/// propose the use of the token under [`key_hash`](JoinRequest::key_hash), and [`admit`](JoinRequest::admit) once that is applied, or
/// [`refuse`](JoinRequest::refuse). Dropped, the joiner is told that nobody could decide.
pub struct JoinRequest {
    pub(crate) token: TokenId,
    pub(crate) address: SocketAddr,
    pub(crate) proof: Vec<u8>,
    /// What the proof must have signed.
    pub(crate) signed: Vec<u8>,
    pub(crate) statement: Statement,
    pub(crate) request: CertificateRequest,
    pub(crate) answer: oneshot::Sender<JoinAnswer>,
}

impl JoinRequest {
    /// The token that it shows.
    pub fn token(&self) -> TokenId {
        self.token
    }

    /// Its key, which is who it is: the same key gets the same answer.
    pub fn key_hash(&self) -> KeyHash {
        self.request.key_hash()
    }

    /// For its certificate, if another node signs.
    pub fn certificate_request(&self) -> &CertificateRequest {
        &self.request
    }

    /// The name that it wants to have; empty if it leaves that to the cluster.
    pub fn name(&self) -> &str {
        &self.statement.name
    }

    /// Where others are to reach it, as it says; empty for a client. See [`is_local_only`].
    pub fn advertised(&self) -> &str {
        &self.statement.advertised
    }

    /// What else it says, opaque here.
    pub fn details(&self) -> &[u8] {
        &self.statement.details
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the token, as the cluster knows it, lets this key in at this time of the log. Pure; the same again where the entry is applied
    /// is [`TokenRecord::may_use`].
    pub fn judge(&self, record: Option<&TokenRecord>, now_ms: u64) -> Result<Permit, JoinRefusal> {
        let record = record.filter(|record| record.id == self.token).ok_or(JoinRefusal::UnknownToken)?;
        if !record.verifier.verify(&self.signed, &self.proof) {
            return Err(JoinRefusal::WrongProof);
        }
        if record.enrols.is_node() && self.statement.advertised.is_empty() {
            return Err(JoinRefusal::Invalid { what: "a node must say where it is reached".to_string() });
        }
        record.may_use(now_ms, &self.key_hash())
    }

    /// Refused if it advertises an address that only its own machine reaches while one of the members is elsewhere.
    pub fn check_reach<'a>(&self, members: impl IntoIterator<Item = &'a str>) -> Result<(), JoinRefusal> {
        let elsewhere = members.into_iter().any(|member| !is_local_only(member));
        check_reach(self.advertised(), elsewhere)
    }

    /// Signs its certificate and lets it in. `members` is given along as it is, [`JOIN_ANSWER_BYTES_MAX`] less a few KiB at most.
    pub fn admit(self, authority: &Authority, principal: &Principal, members: Vec<u8>) -> Result<(), CredentialsError> {
        let certificate_pem = authority.sign(&self.request, principal, Validity::usual())?;
        let ca_pem = authority.certificate_pem().to_string();
        self.answer(JoinAnswer::Admitted { certificate_pem, ca_pem, members });
        Ok(())
    }

    /// Keeps it out.
    pub fn refuse(self, why: JoinRefusal) {
        self.answer(JoinAnswer::Refused(why));
    }

    /// Answers; never blocks. A joiner that is gone meanwhile asks again by the same key.
    pub fn answer(self, answer: JoinAnswer) {
        self.answer.send(answer).unwrap_or_default();
    }
}

impl fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinRequest")
            .field("token", &self.token)
            .field("address", &self.address)
            .field("name", &self.statement.name)
            .field("advertised", &self.statement.advertised)
            .finish_non_exhaustive()
    }
}

pub(crate) fn check_reach(advertised: &str, others_are_elsewhere: bool) -> Result<(), JoinRefusal> {
    if others_are_elsewhere && is_local_only(advertised) {
        return Err(JoinRefusal::Loopback { advertised: advertised.to_string() });
    }
    Ok(())
}
