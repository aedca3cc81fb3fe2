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
//! A node that signs for another believes its own replicated state only: a node gets a certificate for itself, a client for the name that it
//! has, a newcomer for the key that used up a token.
//!
//! Invariants: a joiner's private key never leaves its folder; everything a join does is done again without harm, by the same key.
//! Tests: `tests/cluster/enrolment.rs`.

use crate::control::{Control, Founders, Member, principal_of};
use crate::core::Event;
use crate::formation::{self, AUTHORITY, FormError, IDENTITY};
use crate::reply::Reply;
use crate::transfer::Desk;
use bytes::Bytes;
use outboard_net::{
    Authority, CertificateRequest, Credentials, IdentityKey, JoinError, JoinOffer, JoinRefusal, JoinRequest, Principal,
    Responder, Token, TokenId, TokenKind, Validity,
};
use outboard_raft::NodeId;
use outboard_wire::access::{AccessCommand, EnrolRefusal, Enrolled, Enrolment};
use outboard_wire::bulk::{BulkHeader, BulkReply, Certify, Holder};
use outboard_wire::client::{Answer, Request, RequestBody, Response};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Joins that wait to be decided.
pub(crate) const JOINS_MAX: usize = 16;
/// How long an enrolment may take on its way through the log; less than a joiner waits.
const ENROL_TIMEOUT_MS: u32 = 20_000;
/// How long this node may be behind what another one has decided.
const BEHIND: Duration = Duration::from_secs(5);
/// How long another node may take to sign.
const SIGN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it is looked whether a certificate is to be renewed, and whether a voter lacks the authority.
const LOOK_EVERY: Duration = Duration::from_secs(600);
/// The same while something is wanted and was not had.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The authority of a node that signs; empty on one that doesn't.
#[derive(Clone)]
pub(crate) struct Signer(Arc<Mutex<Held>>);

struct Held {
    authority: Option<Arc<Authority>>,
    /// Whether another node is known to have it: else this copy must not go.
    elsewhere: bool,
}

impl Signer {
    pub(crate) fn new(authority: Option<Arc<Authority>>, elsewhere: bool) -> Signer {
        Signer(Arc::new(Mutex::new(Held { authority, elsewhere })))
    }

    fn get(&self) -> Option<Arc<Authority>> {
        self.lock().authority.clone()
    }

    /// From another node.
    fn set(&self, authority: Authority) {
        *self.lock() = Held { authority: Some(Arc::new(authority)), elsewhere: true };
    }

    fn is_elsewhere(&self) -> bool {
        self.lock().elsewhere
    }

    fn on_elsewhere(&self) {
        self.lock().elsewhere = true;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A signed certificate and the authority's, both in PEM.
struct Certified {
    certificate: String,
    authority: String,
}

/// What a newcomer is told: postcard, behind a version byte.
#[derive(Debug, Serialize, Deserialize)]
struct Welcome {
    /// What it is called.
    name: String,
    /// Who formed the cluster: number, name, address.
    founders: Vec<(u64, String, String)>,
    /// Who is a member now.
    members: Vec<(u64, String, String)>,
}

const WELCOME_VERSION: u8 = 1;

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

async fn admit(
    desk: &Desk,
    founders: &Founders,
    join: &JoinRequest,
) -> Result<(outboard_net::JoinAnswer, Principal), JoinRefusal> {
    let unavailable = |what: String| JoinRefusal::Unavailable { what };
    let is_here = desk.control.borrow().permissions.token(join.token()).is_some();
    // A token that was made a moment ago may not have come here yet; the leader has it.
    if !is_here && !is_known_to_the_leader(desk, join.token()).await? {
        return Err(JoinRefusal::UnknownToken);
    }
    let mut control = desk.control.clone();
    let known = control.wait_for(|control| control.permissions.token(join.token()).is_some());
    let control = match timeout(BEHIND, known).await {
        Ok(Ok(control)) => control.clone(),
        Ok(Err(_)) => return Err(unavailable("the node is stopping".to_owned())),
        Err(_) => return Err(unavailable("this node is behind the others".to_owned())),
    };
    // The proof; time and uses are judged where the entry is applied.
    join.judge(control.permissions.token(join.token()), 0)?;
    join.check_reach(control.directory.iter().map(|(_, listed)| listed.address.as_str()))?;
    // Before anybody is enrolled who could get no certificate.
    if desk.signer.get().is_none() && !another_signs(desk).await {
        return Err(unavailable(NOBODY_SIGNS.to_owned()));
    }
    let enrolled = enrol(desk, join).await?;
    let holder = Holder::ByToken { token: join.token().0 };
    let principal = principal_of(&enrolled);
    let signed = sign(desk, join.certificate_request(), holder, &principal).await;
    let Certified { certificate, authority } = signed.map_err(|unsigned| unavailable(unsigned.why))?;
    let control = desk.control.borrow().clone();
    let members = welcome(&enrolled, founders, &control);
    let answer = outboard_net::JoinAnswer::Admitted { certificate_pem: certificate, ca_pem: authority, members };
    Ok((answer, principal))
}

async fn is_known_to_the_leader(desk: &Desk, token: TokenId) -> Result<bool, JoinRefusal> {
    let patience_ms = u32::try_from(BEHIND.as_millis()).expect("a few seconds");
    let answer = ask_cluster(desk, RequestBody::AccessLists, patience_ms).await?;
    let Response::AccessLists(lists) = answer else {
        return Err(JoinRefusal::Unavailable { what: "there is no leader that could be asked".to_owned() });
    };
    Ok(lists.tokens.iter().any(|listed| listed.id == token.0))
}

async fn ask_cluster(desk: &Desk, body: RequestBody, timeout_ms: u32) -> Result<Response, JoinRefusal> {
    let (waiting, answered) = oneshot::channel();
    let request = Request { timeout_ms, body };
    desk.words.event(Event::Request { request, encoded: None, reply: Reply::Local(waiting) });
    answered.await.map_err(|_| JoinRefusal::Unavailable { what: "the node is stopping".to_owned() })
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
    let unavailable = |what: String| JoinRefusal::Unavailable { what };
    let response = ask_cluster(desk, body, ENROL_TIMEOUT_MS).await?;
    if let Response::Enrolled(enrolled) = response {
        return Ok(enrolled);
    }
    if let Response::NotDone(why) | Response::Unknown(why) = response {
        return Err(unavailable(why));
    }
    let Response::EnrolRefused(why) = response else {
        return Err(unavailable("the cluster could not take it now".to_owned()));
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

fn welcome(enrolled: &Enrolled, founders: &Founders, control: &Control) -> Vec<u8> {
    let (Enrolled::Node { name, .. } | Enrolled::Client { name }) = enrolled;
    let founder = |(node, member): (&NodeId, &Member)| (node.0, member.name.clone(), member.address.clone());
    let listed = control.directory.iter();
    let welcome = Welcome {
        name: name.clone(),
        founders: founders.iter().map(founder).collect(),
        members: listed.map(|(node, listed)| (node.0, listed.name.clone(), listed.address.clone())).collect(),
    };
    postcard::to_extend(&welcome, vec![WELCOME_VERSION]).expect("postcard knows all shapes of a welcome")
}

/// By this node if it signs, else by one that does.
async fn sign(
    desk: &Desk,
    request: &CertificateRequest,
    holder: Holder,
    principal: &Principal,
) -> Result<Certified, Unsigned> {
    if let Some(authority) = desk.signer.get() {
        let signed = authority.sign(request, principal, Validity::usual());
        let certificate = signed.map_err(|error| Unsigned { why: error.to_string(), is_passing: false })?;
        return Ok(Certified { certificate, authority: authority.certificate_pem().to_owned() });
    }
    let mut unsigned = Unsigned { why: NOBODY_SIGNS.to_owned(), is_passing: false };
    for peer in desk.peers() {
        let certify = Certify { request: request.der().to_vec(), holder: holder.clone() };
        match timeout(SIGN_TIMEOUT, ask(desk, peer, BulkHeader::Certify(certify))).await {
            Ok(Ok(BulkReply::Certified { certificate, authority })) => return Ok(Certified { certificate, authority }),
            Ok(Ok(BulkReply::Refused(reason))) if reason == DOES_NOT_SIGN => {}
            Ok(Ok(BulkReply::Refused(reason))) => {
                unsigned = Unsigned { why: format!("{peer}: {reason}"), is_passing: true };
            }
            Ok(Ok(_)) => {
                unsigned = Unsigned { why: format!("{peer} gives an answer of another kind"), is_passing: true }
            }
            // Whoever is away may sign another time.
            Ok(Err(_)) | Err(_) => unsigned.is_passing = true,
        }
    }
    Err(unsigned)
}

/// No certificate, and why.
struct Unsigned {
    why: String,
    /// Another time it may work.
    is_passing: bool,
}

const NOBODY_SIGNS: &str = "no node that can be asked holds the authority's key";

const DOES_NOT_SIGN: &str = "this node does not hold the authority's key";

/// What one that signs answers to whoever may not have the key.
fn no_voter(node: NodeId) -> String {
    format!("{node} is no voter")
}

async fn ask(desk: &Desk, peer: NodeId, header: BulkHeader) -> Result<BulkReply, String> {
    let told = |error: outboard_net::NetError| error.to_string();
    let mut stream = desk.net.open_bulk(peer, header.encode().into()).await.map_err(told)?;
    stream.finish().await.map_err(told)?;
    let frame = stream.read_frame().await.map_err(told)?.ok_or("no answer")?;
    BulkReply::decode(&frame).map_err(|error| error.to_string())
}

/// Another node asks this one to sign.
pub(crate) async fn on_certify(desk: &Desk, from: NodeId, certify: Certify) -> BulkReply {
    match try_certify(desk, from, certify).await {
        Ok(Certified { certificate, authority }) => BulkReply::Certified { certificate, authority },
        Err(reason) => BulkReply::Refused(reason),
    }
}

async fn try_certify(desk: &Desk, from: NodeId, certify: Certify) -> Result<Certified, String> {
    let Some(authority) = desk.signer.get() else { return Err(DOES_NOT_SIGN.to_owned()) };
    let request = CertificateRequest::from_der(&certify.request).map_err(|error| error.to_string())?;
    let mut control = desk.control.clone();
    let principal = match certify.holder {
        Holder::Asker if control.borrow().directory.get(from).is_some() => Principal::Node(from),
        Holder::Asker => return Err(format!("{from} is no member")),
        Holder::Client { name } if control.borrow().permissions.role_of(&name).is_some() => Principal::Client { name },
        Holder::Client { name } => return Err(format!("there is no client {name}")),
        Holder::ByToken { token } => {
            let (id, key) = (TokenId(token), request.key_hash());
            let used = |control: &Control| control.permissions.token(id)?.used_by.get(&key).cloned();
            let seen = control.wait_for(|control| used(control).is_some());
            let control = timeout(BEHIND, seen).await.map_err(|_| "this node is behind".to_owned())?;
            let control = control.map_err(|_| "the node is stopping".to_owned())?;
            used(&control).ok_or("nobody came in with this key")?
        }
    };
    let signed = authority.sign(&request, &principal, Validity::usual());
    let certificate = signed.map_err(|error| error.to_string())?;
    Ok(Certified { certificate, authority: authority.certificate_pem().to_owned() })
}

/// A voter, or who is about to be one.
fn is_to_sign(control: &Control, node: NodeId) -> bool {
    control.voters.contains(&node)
        || control.membership.outgoing.contains(&node)
        || control.membership.joining.contains_key(&node)
}

/// A voter asks for the authority's key.
pub(crate) fn on_authority(desk: &Desk, from: NodeId) -> BulkReply {
    let Some(authority) = desk.signer.get() else { return BulkReply::Refused(DOES_NOT_SIGN.to_owned()) };
    if !is_to_sign(&desk.control.borrow(), from) {
        return BulkReply::Refused(no_voter(from));
    }
    tracing::info!(to = %from, "a voter gets the authority's key");
    desk.signer.on_elsewhere();
    BulkReply::Authority { certificate: authority.certificate_pem().to_owned(), key: authority.key_pem() }
}

/// A client asks for a new certificate by the one that it has.
pub(crate) async fn renew_client(desk: Desk, asker: Principal, request: Bytes, responder: Responder) {
    let response = match CertificateRequest::from_der(&request) {
        Err(error) => Response::Invalid(error.to_string()),
        Ok(request) => {
            let holder = match &asker {
                Principal::Client { name } => Holder::Client { name: name.clone() },
                Principal::Node(_) => Holder::Asker,
            };
            match sign(&desk, &request, holder, &asker).await {
                Ok(Certified { certificate, authority }) => Response::Certificate { certificate, authority },
                Err(Unsigned { why, is_passing: true }) => {
                    Response::NotDone(format!("no certificate was signed: {why}"))
                }
                // Nobody waits for what does not come by waiting.
                Err(Unsigned { why, is_passing: false }) => {
                    let reason = format!("no certificate was signed: {why}");
                    Response::ChangeRefused { reason, can_be_forced: false }
                }
            }
        }
    };
    responder.send(Answer { leader: None, response }.encode().into());
}

/// Renews this node's certificate when two thirds of its time are over, and has the authority here as long as this node votes.
pub(crate) async fn look_after_identity(desk: Desk, dir: PathBuf) {
    let mut control = desk.control.clone();
    loop {
        let renewed = renew(&desk, &dir).await;
        let settled = look_after_authority(&desk, &dir).await;
        let pause = if renewed && settled { LOOK_EVERY } else { LOOK_AGAIN };
        // Whether this node votes may have changed.
        if let Ok(Err(_)) = timeout(pause, control.changed()).await {
            return;
        }
    }
}

/// True if there is nothing left to do for now.
async fn renew(desk: &Desk, dir: &Path) -> bool {
    let credentials = desk.net.credentials();
    if !credentials.renewal_due(SystemTime::now()) {
        return true;
    }
    match try_renew(desk, &credentials, dir).await {
        Ok(until) => {
            tracing::info!(?until, "this node's certificate is renewed");
            true
        }
        Err(why) => {
            tracing::warn!(until = ?credentials.valid_until(), why, "this node's certificate is to be renewed, and can't be yet");
            false
        }
    }
}

async fn try_renew(desk: &Desk, credentials: &Credentials, dir: &Path) -> Result<SystemTime, String> {
    let request = credentials.renewal_request().map_err(|error| error.to_string())?;
    let signed = sign(desk, &request, Holder::Asker, credentials.principal()).await;
    let Certified { certificate, authority } = signed.map_err(|unsigned| unsigned.why)?;
    let renewed = credentials.renewed(&certificate, &authority).map_err(|error| error.to_string())?;
    renewed.save(&dir.join(IDENTITY)).map_err(|error| error.to_string())?;
    let until = renewed.valid_until();
    desk.net.set_credentials(renewed).map_err(|error| error.to_string())?;
    Ok(until)
}

/// True if there is nothing left to do for now.
async fn look_after_authority(desk: &Desk, dir: &Path) -> bool {
    let (signs, is_learner) = {
        let control = desk.control.borrow();
        let signs = is_to_sign(&control, desk.id);
        (signs, !signs && control.membership.learners.contains(&desk.id))
    };
    match desk.signer.get() {
        None if signs => get_authority(desk, dir).await,
        Some(_) if signs => is_elsewhere(desk).await,
        Some(_) if is_learner => give_up_authority(desk, dir).await,
        Some(_) | None => true,
    }
}

/// Finds out once whether this node's copy is the only one. True also if there is nobody to have another.
async fn is_elsewhere(desk: &Desk) -> bool {
    let others = desk.control.borrow().voters.iter().any(|node| *node != desk.id);
    if !others || desk.signer.is_elsewhere() {
        return true;
    }
    let found = another_signs(desk).await;
    if found {
        desk.signer.on_elsewhere();
    }
    found
}

/// Whether some other voter has the key: it gives it, or says that it would to a voter.
async fn another_signs(desk: &Desk) -> bool {
    let voters: Vec<NodeId> = desk.control.borrow().voters.iter().copied().filter(|node| *node != desk.id).collect();
    for peer in voters {
        match timeout(SIGN_TIMEOUT, ask(desk, peer, BulkHeader::Authority)).await {
            Ok(Ok(BulkReply::Authority { .. })) => return true,
            Ok(Ok(BulkReply::Refused(reason))) if reason == no_voter(desk.id) => return true,
            Ok(Ok(_) | Err(_)) | Err(_) => {}
        }
    }
    false
}

/// This node votes no more: its copy goes, but never the last one.
async fn give_up_authority(desk: &Desk, dir: &Path) -> bool {
    if !another_signs(desk).await {
        tracing::info!("this node votes no more, and keeps the authority's key until a voter is known to have it");
        return false;
    }
    match Authority::forget(&dir.join(AUTHORITY)) {
        Ok(()) => {
            *desk.signer.lock() = Held { authority: None, elsewhere: true };
            tracing::info!("this node votes no more and has given up the authority's key");
            true
        }
        Err(error) => {
            tracing::warn!(%error, "the authority's key can't be deleted");
            false
        }
    }
}

/// This node is no member any more: it signs for the cluster no more.
pub(crate) fn leave(signer: &Signer, dir: &Path) {
    let home = dir.join(AUTHORITY);
    if signer.get().is_some() && !signer.is_elsewhere() {
        let home = home.display();
        tracing::warn!(
            "no other node is known to have the authority's key, so {home} is kept: if tokens are not taken any more, stop a voter, \
             move that folder into its own, and start it"
        );
    } else if let Err(error) = Authority::forget(&home) {
        tracing::warn!(%error, "the authority's key can't be deleted");
    }
}

async fn get_authority(desk: &Desk, dir: &Path) -> bool {
    let mut away = false;
    for peer in desk.peers() {
        match timeout(SIGN_TIMEOUT, ask(desk, peer, BulkHeader::Authority)).await {
            Ok(Ok(BulkReply::Authority { certificate, key })) => match keep_authority(desk, dir, &certificate, &key) {
                Ok(()) => return true,
                Err(why) => tracing::warn!(%peer, why, "the authority can't be kept"),
            },
            // It doesn't sign itself, or does not know yet that this node votes.
            Ok(Ok(BulkReply::Refused(reason))) => away |= reason != DOES_NOT_SIGN,
            Ok(_) | Err(_) => away = true,
        }
    }
    !away
}

fn keep_authority(desk: &Desk, dir: &Path, certificate: &str, key: &str) -> Result<(), String> {
    let authority = Authority::from_pem(certificate, key).map_err(|error| error.to_string())?;
    if authority.pin() != desk.net.credentials().authority_pin() {
        return Err("it is another cluster's".to_owned());
    }
    authority.save(&dir.join(AUTHORITY)).map_err(|error| error.to_string())?;
    desk.signer.set(authority);
    tracing::info!("this node signs certificates from now on");
    Ok(())
}

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
    #[error("this token is for a {kind}, and {who} wants to come in by it")]
    Kind {
        /// What the token makes of its holder.
        kind: TokenKind,
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
    if !token.kind().is_node() {
        return Err(EnrolError::Kind { kind: token.kind(), who: "a node" });
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
    let welcome = read_welcome(&admitted.members)?;
    admitted.credentials.save(&home).map_err(FormError::from)?;
    let list = |members: Vec<(u64, String, String)>| -> Founders {
        members.into_iter().map(|(node, name, address)| (NodeId(node), Member { name, address })).collect()
    };
    let own = Member { name: welcome.name, address: advertised.to_owned() };
    formation::settle(dir, &admitted.credentials, own, &list(welcome.founders), &list(welcome.members))?;
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
    if token.kind().is_node() {
        return Err(EnrolError::Kind { kind: token.kind(), who: "a client" });
    }
    let key = IdentityKey::load_or_create(key_dir).map_err(FormError::from)?;
    let (advertised, details) = (String::new(), Vec::new());
    let offer = JoinOffer { key: &key, cluster: None, name: name.to_owned(), advertised, details };
    let admitted = outboard_net::join(seed, token, offer).await?;
    let welcome = read_welcome(&admitted.members)?;
    let endpoints = welcome.members.into_iter().map(|(_, _, address)| address).collect();
    Ok(JoinedClient { credentials: admitted.credentials, endpoints })
}

fn read_welcome(bytes: &[u8]) -> Result<Welcome, EnrolError> {
    match bytes.split_first() {
        Some((&WELCOME_VERSION, told)) => postcard::from_bytes(told).map_err(|_| EnrolError::Welcome),
        Some(_) | None => Err(EnrolError::Welcome),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_net::{ClusterId, Role};

    #[test]
    fn a_node_that_leaves_deletes_its_copy_of_the_authority_but_not_the_last_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().join(AUTHORITY);
        let authority = Arc::new(Authority::create(ClusterId::random()).expect("an authority"));
        authority.save(&home).expect("writable");
        leave(&Signer::new(Some(authority.clone()), false), folder.path());
        assert!(Authority::is_kept_in(&home), "the last copy is gone");
        leave(&Signer::new(Some(authority), true), folder.path());
        assert!(!home.exists());
        // One that never had it has nothing to do.
        leave(&Signer::new(None, false), folder.path());
    }

    #[tokio::test]
    async fn a_token_for_somebody_else_is_told_before_anybody_is_asked_and_before_there_is_a_key() {
        let authority = Authority::create(ClusterId::random()).expect("an authority");
        let token = |kind| Token::generate(kind, authority.pin());
        let (folder, nobody) = (tempfile::tempdir().expect("a folder"), SocketAddr::from(([127, 0, 0, 1], 1)));
        let dir = folder.path().join("new");
        let client = token(TokenKind::Client { role: Role::Admin });
        let refused = join_node(nobody, &client, &dir, "", "h:1").await.expect_err("a client's token");
        assert_eq!(refused.to_string(), "this token is for a client (admin), and a node wants to come in by it");
        let refused = join_client(nobody, &token(TokenKind::Learner), &dir, "").await.expect_err("a node's token");
        assert_eq!(refused.to_string(), "this token is for a learner, and a client wants to come in by it");
        assert!(!dir.exists() && !refused.is_passing());
    }
}
