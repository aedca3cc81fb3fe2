//! Joins are decided here, on whichever node was dialled: the proof is checked, the log judges the token and uses it up, a certificate is
//! signed. Everything is done again without harm, by the same key.

use super::authority::{NOBODY_SIGNS, another_signs};
use super::certificates::{BEHIND, Certified, sign};
use super::welcome::Welcome;
use crate::control::{Founders, principal_of};
use crate::desk::{Desk, Stopping};
use outboard_net::{JoinAnswer, JoinRefusal, JoinRequest, Principal, TokenId};
use outboard_wire::access::{AccessCommand, EnrolRefusal, Enrolled, Enrolment};
use outboard_wire::bulk::Holder;
use outboard_wire::client::{RequestBody, Response};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Joins that wait to be decided.
pub(crate) const JOINS_MAX: usize = 16;
/// How long an enrolment may take on its way through the log; less than a joiner waits.
const ENROL_TIMEOUT: Duration = Duration::from_secs(20);

/// Decides joins until the net is gone.
pub(crate) async fn serve_joins(desk: Desk, founders: Founders, mut joins: mpsc::Receiver<JoinRequest>) {
    let founders = Arc::new(founders);
    while let Some(join) = joins.recv().await {
        let (desk, founders) = (desk.clone(), founders.clone());
        tokio::spawn(async move {
            let address = join.address();
            match admit(&desk, &founders, &join).await {
                Ok((answer, principal)) => {
                    tracing::info!(%address, %principal, "enrolled by a token");
                    join.answer(answer);
                }
                Err(why) => {
                    tracing::warn!(%address, token = %join.token(), %why, "a join is refused");
                    join.refuse(why);
                }
            }
        });
    }
}

async fn admit(desk: &Desk, founders: &Founders, join: &JoinRequest) -> Result<(JoinAnswer, Principal), JoinRefusal> {
    let is_here = desk.control.borrow().permissions.token(join.token()).is_some();
    // A token that was made a moment ago may not have come here yet; the leader has it.
    if !is_here && !is_known_to_the_leader(desk, join.token()).await? {
        return Err(JoinRefusal::UnknownToken);
    }
    let mut control = desk.control.clone();
    let known = control.wait_for(|control| control.permissions.token(join.token()).is_some());
    let control = match timeout(BEHIND, known).await {
        Ok(Ok(control)) => control.clone(),
        Ok(Err(_)) => return Err(unavailable(Stopping)),
        Err(_) => return Err(unavailable("this node is behind the others")),
    };
    // The proof; time and uses are judged where the entry is applied.
    join.judge(control.permissions.token(join.token()), 0)?;
    join.check_reach(control.directory.iter().map(|(_, listed)| listed.address.as_str()))?;
    // Before anybody is enrolled who could get no certificate.
    if desk.signer.get().is_none() && !another_signs(desk).await {
        return Err(unavailable(NOBODY_SIGNS));
    }
    let enrolled = enrol(desk, join).await?;
    let holder = Holder::ByToken { token: join.token().0 };
    let principal = principal_of(&enrolled);
    let signed = sign(desk, join.certificate_request(), holder, &principal).await;
    let Certified { certificate, authority } = signed.map_err(|unsigned| unavailable(unsigned.why))?;
    let control = desk.control.borrow().clone();
    let members = Welcome::of(&enrolled, founders, &control).encode();
    let answer = JoinAnswer::Admitted { certificate_pem: certificate, ca_pem: authority, members };
    Ok((answer, principal))
}

async fn is_known_to_the_leader(desk: &Desk, token: TokenId) -> Result<bool, JoinRefusal> {
    let answer = desk.request(RequestBody::AccessLists, BEHIND).await.map_err(unavailable)?;
    let Response::AccessLists(lists) = answer else {
        return Err(unavailable("there is no leader that could be asked"));
    };
    Ok(lists.tokens.iter().any(|listed| listed.id == token.0))
}

/// Through the log.
async fn enrol(desk: &Desk, join: &JoinRequest) -> Result<Enrolled, JoinRefusal> {
    let enrolment = Enrolment {
        token: join.token().0,
        key: join.key_hash().0,
        name: join.name().to_owned(),
        address: join.advertised().to_owned(),
    };
    let body = RequestBody::Access(AccessCommand::Enrol(enrolment));
    let response = desk.request(body, ENROL_TIMEOUT).await.map_err(unavailable)?;
    if let Response::Enrolled(enrolled) = response {
        return Ok(enrolled);
    }
    if let Response::NotDone(why) | Response::Unknown(why) = response {
        return Err(unavailable(why));
    }
    let Response::EnrolRefused(why) = response else {
        return Err(unavailable("the cluster could not take it now"));
    };
    Err(match why {
        EnrolRefusal::UnknownToken => JoinRefusal::UnknownToken,
        EnrolRefusal::Expired => JoinRefusal::Expired,
        EnrolRefusal::UsedUp => JoinRefusal::UsedUp,
        EnrolRefusal::Removed => JoinRefusal::Removed,
        EnrolRefusal::Name(what) => JoinRefusal::Name { what },
        EnrolRefusal::Full(what) => JoinRefusal::Incompatible { what },
    })
}

/// Passing: the joiner may come back.
fn unavailable(what: impl fmt::Display) -> JoinRefusal {
    JoinRefusal::Unavailable { what: what.to_string() }
}
