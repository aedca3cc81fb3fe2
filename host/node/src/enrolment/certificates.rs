//! Certificates: signed here for others, or had from a node that signs; and the renewal of this node's own.

use super::authority::{NOBODY_SIGNS, SIGN_TIMEOUT};
use crate::control::Control;
use crate::desk::{Desk, Stopping};
use crate::formation::IDENTITY;
use bytes::Bytes;
use outboard_net::{Authority, CertificateRequest, Credentials, Principal, Responder, TokenId, Validity};
use outboard_raft::NodeId;
use outboard_wire::bulk::{BulkHeader, BulkReply, Certify, Holder};
use outboard_wire::client::{Answer, Response};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

/// How long this node may be behind what another one has decided.
pub(super) const BEHIND: Duration = Duration::from_secs(5);

/// A signed certificate and the authority's, both in PEM.
pub(super) struct Certified {
    pub(super) certificate: String,
    pub(super) authority: String,
}

impl Certified {
    fn by(authority: &Authority, request: &CertificateRequest, principal: &Principal) -> Result<Certified, String> {
        let signed = authority.sign(request, principal, Validity::usual());
        let certificate = signed.map_err(|error| error.to_string())?;
        Ok(Certified { certificate, authority: authority.certificate_pem().to_owned() })
    }
}

/// By this node if it signs, else by one that does.
pub(super) async fn sign(
    desk: &Desk,
    request: &CertificateRequest,
    holder: Holder,
    principal: &Principal,
) -> Result<Certified, Unsigned> {
    if let Some(authority) = desk.signer.get() {
        let signed = Certified::by(&authority, request, principal);
        return signed.map_err(|why| Unsigned { why, is_passing: false });
    }
    let mut unsigned = Unsigned { why: NOBODY_SIGNS.to_owned(), is_passing: false };
    for peer in desk.peers() {
        let certify = Certify { request: request.der().to_vec(), holder: holder.clone() };
        match timeout(SIGN_TIMEOUT, desk.ask(peer, BulkHeader::Certify(certify))).await {
            Ok(Ok((BulkReply::Certified { certificate, authority }, _))) => {
                return Ok(Certified { certificate, authority });
            }
            Ok(Ok((BulkReply::NoAuthority, _))) => {}
            Ok(Ok((other, _))) => {
                unsigned = Unsigned { why: format!("{peer}: {}", other.into_refusal()), is_passing: true };
            }
            // Whoever is away may sign another time.
            Ok(Err(_)) | Err(_) => unsigned.is_passing = true,
        }
    }
    Err(unsigned)
}

/// No certificate, and why.
pub(super) struct Unsigned {
    pub(super) why: String,
    /// Another time it may work.
    is_passing: bool,
}

/// Another node asks this one to sign.
pub(crate) async fn on_certify(desk: &Desk, from: NodeId, certify: Certify) -> BulkReply {
    let Some(authority) = desk.signer.get() else { return BulkReply::NoAuthority };
    match try_certify(desk, &authority, from, certify).await {
        Ok(Certified { certificate, authority }) => BulkReply::Certified { certificate, authority },
        Err(reason) => BulkReply::Refused(reason),
    }
}

async fn try_certify(desk: &Desk, authority: &Authority, from: NodeId, certify: Certify) -> Result<Certified, String> {
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
            let control = control.map_err(|_| Stopping.to_string())?;
            used(&control).ok_or("nobody came in with this key")?
        }
    };
    Certified::by(authority, &request, &principal)
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

/// This node's own, when two thirds of its time are over. True if there is nothing left to do for now.
pub(super) async fn renew(desk: &Desk, dir: &Path) -> bool {
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
