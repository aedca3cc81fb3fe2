//! The node's side of a join: a stranger with a token, read within narrow bounds and handed to the node, which decides.
//!
//! Who joins has no certificate, so nothing is believed before the node has looked the token up and [`JoinRequest::judge`] has checked the
//! proof. Bounds: [`JOIN_REQUEST_BYTES_MAX`] each, so many at once and so long to say it as [`Limits`](crate::Limits) allow,
//! [`DECISION_TIMEOUT`] to decide it; beyond the first a joiner is told to come back. Never: decides, keeps a token, signs. Tests: `tests/net/enrolment.rs`.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::authority::{Authority, Validity};
use crate::counters::add;
use crate::error::NetError;
use crate::files::CredentialsError;
use crate::frame::read_frame;
use crate::identity::KeyHash;
use crate::identity::Principal;
use crate::join::{
    JOIN_ANSWER_BYTES_MAX, JOIN_REQUEST_BYTES_MAX, JoinAnswer, JoinFrame, JoinRefusal, Statement, encode,
    is_local_only, signed,
};
use crate::lane::StreamKind;
use crate::net::Shared;
use crate::record::{Permit, TokenRecord};
use crate::refusal::CloseCode;
use crate::request::CertificateRequest;
use crate::token::TokenId;

/// The node decides within this: a use of a token goes through the log.
pub const DECISION_TIMEOUT: Duration = Duration::from_secs(30);
/// The joiner takes its answer within this.
const FAREWELL: Duration = Duration::from_secs(5);

/// Somebody who wants to join, its request read and its key proved; the token is still to be judged.
///
/// What a node does with it: look up the [`TokenRecord`] of [`token`](JoinRequest::token), [`judge`](JoinRequest::judge) it by the log's time,
/// propose the use of the token under [`key_hash`](JoinRequest::key_hash), and [`admit`](JoinRequest::admit) once that is applied, or
/// [`refuse`](JoinRequest::refuse). Dropped, the joiner is told that nobody could decide.
pub struct JoinRequest {
    token: TokenId,
    address: SocketAddr,
    proof: Vec<u8>,
    /// What the proof must have signed.
    signed: Vec<u8>,
    statement: Statement,
    request: CertificateRequest,
    answer: oneshot::Sender<JoinAnswer>,
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

fn check_reach(advertised: &str, others_are_elsewhere: bool) -> Result<(), JoinRefusal> {
    if others_are_elsewhere && is_local_only(advertised) {
        return Err(JoinRefusal::Loopback { advertised: advertised.to_string() });
    }
    Ok(())
}

/// Serves one joiner from its handshake to its answer.
pub(crate) async fn serve(shared: Arc<Shared>, connection: Connection) {
    let Ok(_slot) = shared.joins_room.try_acquire() else {
        add(&shared.tally.joins_refused, 1);
        return CloseCode::Busy.close(&connection, None);
    };
    let heard = timeout(shared.limits.join_request_timeout, listen(&connection)).await;
    let (mut send, frame) = match heard {
        Ok(Ok(heard)) => heard,
        Ok(Err(what)) => {
            add(&shared.tally.malformed, 1);
            return turn_away(&shared, &connection, CloseCode::Malformed, what);
        }
        Err(_) => return turn_away(&shared, &connection, CloseCode::Silent, "no request to join came in time"),
    };
    let answer = tokio::select! {
        answer = decide(&shared, &connection, frame) => answer,
        // Nobody waits for the answer any more.
        _ = connection.closed() => return,
    };
    if let JoinAnswer::Refused(why) = &answer {
        tracing::debug!(address = %connection.remote_address(), %why, "join refused");
    }
    let say = async {
        let bytes = encode(&answer);
        let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= JOIN_ANSWER_BYTES_MAX);
        let Some(length) = length else {
            tracing::error!(bytes = bytes.len(), "an answer to a joiner is too long");
            return CloseCode::TooLarge.close(&connection, None);
        };
        let said = async {
            send.write_all(&length.to_le_bytes()).await.ok()?;
            send.write_all(&bytes).await.ok()?;
            send.finish().ok()?;
            send.stopped().await.ok()
        };
        said.await.map(drop).unwrap_or_default();
    };
    timeout(FAREWELL, say).await.unwrap_or_default();
    CloseCode::Done.close(&connection, None);
}

fn turn_away(shared: &Shared, connection: &Connection, code: CloseCode, what: &str) {
    add(&shared.tally.joins_refused, 1);
    let address = connection.remote_address();
    tracing::debug!(%address, what, "a join that came to nothing");
    if let Some(held) = shared.tally.refusals.pass() {
        tracing::warn!(%address, held_back = held, "a join that came to nothing: {what}");
    }
    code.close(connection, Some(&what));
}

/// The first stream's only frame.
async fn listen(connection: &Connection) -> Result<(SendStream, JoinFrame), &'static str> {
    let (send, mut receive) = connection.accept_bi().await.map_err(|_| "the connection ended")?;
    let frame = read_request(&mut receive).await?;
    Ok((send, JoinFrame::decode(&frame).map_err(|error| error.0)?))
}

async fn read_request(receive: &mut RecvStream) -> Result<bytes::Bytes, &'static str> {
    let mut kind = [0];
    receive.read_exact(&mut kind).await.map_err(|_| "the stream ended")?;
    if StreamKind::parse(kind[0]) != Ok(StreamKind::Join) {
        return Err("a stream of another kind");
    }
    match read_frame(receive, JOIN_REQUEST_BYTES_MAX).await {
        Ok(Some(frame)) => Ok(frame),
        Ok(None) => Err("the stream ended"),
        Err(NetError::TooLarge { .. }) => Err("too long"),
        Err(_) => Err("the stream ended inside the request"),
    }
}

async fn decide(shared: &Shared, connection: &Connection, frame: JoinFrame) -> JoinAnswer {
    let address = connection.remote_address();
    let checked = Statement::decode(&frame.statement).and_then(|(statement, request)| {
        if statement.cluster != shared.cluster.0 {
            return Err(JoinRefusal::WrongCluster { cluster: shared.cluster.to_string() });
        }
        check_reach(&statement.advertised, !address.ip().to_canonical().is_loopback())?;
        Ok((statement, request))
    });
    let (statement, request) = match checked {
        Ok(checked) => checked,
        Err(refusal) => {
            add(&shared.tally.joins_refused, 1);
            return JoinAnswer::Refused(refusal);
        }
    };
    let (answer, answered) = oneshot::channel();
    let signed = signed(connection, &frame.statement);
    let JoinFrame { token, proof, statement: _ } = frame;
    let join = JoinRequest { token, address, proof, signed, statement, request, answer };
    let asked = async {
        shared.joins.as_ref()?.send(join).await.ok()?;
        add(&shared.tally.joins, 1);
        answered.await.ok()
    };
    match timeout(DECISION_TIMEOUT, asked).await {
        Ok(Some(answer)) => answer,
        Ok(None) => JoinAnswer::Refused(JoinRefusal::Unavailable { what: "this node can't decide".to_string() }),
        Err(_) => JoinAnswer::Refused(JoinRefusal::Unavailable { what: "no decision came in time".to_string() }),
    }
}
