//! Joining a cluster: dial one of its nodes, recognize it by the token alone, ask, and come back with credentials.
//!
//! The joiner trusts nothing but the token: the node must show a certificate under the very authority that the token names, or not a byte is
//! said. What comes back is checked likewise (our key, that authority, a principal of the token's kind), so a node that answers
//! nonsense is found out here. One attempt, no retries; run again with the same key it goes on where it was. Tests: `tests/net/enrolment.rs`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use quinn::{ClientConfig, Connection, Endpoint, TokioRuntime};
use tokio::time::timeout;

use crate::credentials::Credentials;
use crate::enrol::DECISION_TIMEOUT;
use crate::error::NetError;
use crate::files::CredentialsError;
use crate::frame::read_frame;
use crate::identity::{self, CLIENT_NAME_BYTES_MAX, ClusterId, Holder, Principal};
use crate::join::{
    ADVERTISED_BYTES_MAX, JOIN_ANSWER_BYTES_MAX, JOIN_DETAILS_BYTES_MAX, JOIN_REQUEST_BYTES_MAX, JoinAnswer, JoinFrame,
    JoinRefusal, Statement, decode, encode, signed,
};
use crate::lane::StreamKind;
use crate::pin::{Finding, Pinned};
use crate::refusal::{Cause, CloseCode, Refusal};
use crate::request::IdentityKey;
use crate::token::Token;
use crate::{crypto, tls, transport};

/// How long a joiner waits for the node to answer the dial.
pub const JOIN_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it waits for the decision: a little longer than the node.
const ANSWER_TIMEOUT: Duration = DECISION_TIMEOUT.saturating_add(Duration::from_secs(5));
/// How long the last packets may take.
const GOODBYE: Duration = Duration::from_millis(200);

/// What a joiner brings along.
#[derive(Debug)]
pub struct JoinOffer<'a> {
    /// Its key; it stays here. Kept on disk before ([`IdentityKey::load_or_create`]), it makes an interrupted join go on.
    pub key: &'a IdentityKey,
    /// The cluster that it belongs to already, if its folder says so.
    pub cluster: Option<ClusterId>,
    /// The name that it wants to have; empty to leave that to the cluster.
    pub name: String,
    /// `host:port` where the others reach it; empty for a client.
    pub advertised: String,
    /// What else the node wants to know, opaque here; [`JOIN_DETAILS_BYTES_MAX`](crate::JOIN_DETAILS_BYTES_MAX) at most.
    pub details: Vec<u8>,
}

/// What a joiner comes back with.
#[derive(Debug)]
pub struct Admitted {
    /// Cluster, node or client, certificate, key and authority: to be saved.
    pub credentials: Credentials,
    /// The opaque bytes that the node gave along.
    pub members: Bytes,
}

/// Joins by one attempt at one node. Needs a tokio runtime; takes half a minute at most.
pub async fn join(address: SocketAddr, token: &Token, offer: JoinOffer<'_>) -> Result<Admitted, JoinError> {
    check_length(&offer)?;
    let pinned = Pinned::new(token.pin());
    let endpoint = endpoint(address)?;
    let joined = async {
        let connection = connect(&endpoint, address, &pinned).await?;
        let joined = converse(address, &connection, &pinned, token, offer).await;
        CloseCode::Done.close(&connection, None);
        joined
    };
    let joined = joined.await;
    // Whoever doesn't answer needs no goodbye.
    timeout(GOODBYE, endpoint.wait_idle()).await.unwrap_or_default();
    joined
}

/// The address of this machine from which packets to `target` leave: what others on that way reach it at. Sends nothing. None if there
/// is no way.
pub fn address_towards(target: SocketAddr) -> Option<IpAddr> {
    let any = match target {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = std::net::UdpSocket::bind(any).ok()?;
    socket.connect(target).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

/// Why a join came to nothing; each says what to look at.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Nobody answers.
    #[error(
        "no answer from {address} within {seconds} s: nothing listens there, or a firewall on the way drops UDP \
         (the node's port must be open for UDP, not TCP)"
    )]
    NoAnswer {
        /// Who was asked.
        address: SocketAddr,
        /// How long.
        seconds: u64,
    },
    /// The pinned key differs.
    #[error(
        "{address} is not of the cluster that this token is for: its authority has another key. The address is \
         another cluster's, or somebody stands in the way; nothing was said to it"
    )]
    WrongAuthority {
        /// Who was asked.
        address: SocketAddr,
    },
    /// The right authority, but the node's own certificate doesn't hold.
    #[error("{address} shows a certificate that doesn't hold: {what}")]
    NodeCertificate {
        /// Who was asked.
        address: SocketAddr,
        /// The cause; an expired one may be this machine's clock.
        what: String,
    },
    /// Whoever answers there enrols nobody.
    #[error("{address} enrols nobody: it is another program, another version, or a node that doesn't take joins")]
    NotEnrolling {
        /// Who was asked.
        address: SocketAddr,
    },
    /// The joiner belongs to another cluster already.
    #[error("this belongs to {here} already, and the token is for {there}")]
    OtherCluster {
        /// Where it belongs.
        here: ClusterId,
        /// What the token opens.
        there: ClusterId,
    },
    /// Too many join at once.
    #[error("too many join at {address} at the moment: try again, or another node")]
    Busy {
        /// Who was asked.
        address: SocketAddr,
    },
    /// The cluster says no.
    #[error("{0}")]
    Refused(JoinRefusal),
    /// Asked, and no answer came: perhaps admitted.
    #[error("the connection to {address} was lost before the answer came: {what}. Run the same line again, it goes on")]
    Lost {
        /// Who was asked.
        address: SocketAddr,
        /// The cause.
        what: String,
    },
    /// The answer is none, or not for us.
    #[error("{address} gave an answer that can't be right: {what}")]
    BadAnswer {
        /// Who was asked.
        address: SocketAddr,
        /// What is wrong.
        what: String,
    },
    /// The offer is longer than it may be; nobody was dialled.
    #[error("the {what} of the request has {bytes} bytes, {max} are the most")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// No socket.
    #[error("can't open a UDP socket: {source}")]
    Socket {
        /// What the system said.
        source: io::Error,
    },
}

fn endpoint(address: SocketAddr) -> Result<Endpoint, JoinError> {
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = std::net::UdpSocket::bind(any).map_err(|source| JoinError::Socket { source })?;
    let config = transport::endpoint_config(&crypto::random_bytes::<32>());
    Endpoint::new(config, None, socket, Arc::new(TokioRuntime)).map_err(|source| JoinError::Socket { source })
}

async fn connect(endpoint: &Endpoint, address: SocketAddr, pinned: &Arc<Pinned>) -> Result<Connection, JoinError> {
    let lost = |what: String| JoinError::Lost { address, what };
    let crypto = tls::join_config(pinned.clone()).map_err(|error: NetError| lost(error.to_string()))?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport::client_transport());
    let connecting = endpoint.connect_with(config, address, identity::JOIN_SERVER_NAME);
    let connecting = connecting.map_err(|error| lost(error.to_string()))?;
    let seconds = JOIN_CONNECT_TIMEOUT.as_secs();
    match timeout(JOIN_CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(match (pinned.finding(), Cause::of(&error).0) {
            (Some(Finding::OtherAuthority), _) => JoinError::WrongAuthority { address },
            (Some(Finding::BadCertificate(what)), _) => JoinError::NodeCertificate { address, what },
            (_, Cause::Refused(Refusal::Protocol)) => JoinError::NotEnrolling { address },
            (_, Cause::Refused(Refusal::Busy)) => JoinError::Busy { address },
            (_, Cause::Silence) => JoinError::NoAnswer { address, seconds },
            (_, cause @ (Cause::Refused(_) | Cause::BrokenOff | Cause::Other(_))) => lost(cause.to_string()),
        }),
        Err(_) => Err(JoinError::NoAnswer { address, seconds }),
    }
}

async fn converse(
    address: SocketAddr,
    connection: &Connection,
    pinned: &Pinned,
    token: &Token,
    offer: JoinOffer<'_>,
) -> Result<Admitted, JoinError> {
    let Some(Finding::Good { cluster, ca }) = pinned.finding() else {
        panic!("a connection stands only after the node's certificate was found good");
    };
    let node = Holder::of(connection).map(|holder| holder.principal);
    if !matches!(node, Ok(Principal::Node(_))) {
        let what = "it doesn't name a node".to_string();
        return Err(JoinError::NodeCertificate { address, what });
    }
    if let Some(here) = offer.cluster.filter(|here| *here != cluster) {
        return Err(JoinError::OtherCluster { here, there: cluster });
    }
    let request = request(connection, cluster, token, &offer);
    let answer = match timeout(ANSWER_TIMEOUT, ask(connection, &request)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(what)) => return Err(lost(address, connection, what).await),
        Err(_) => return Err(JoinError::Lost { address, what: "no decision in time".to_string() }),
    };
    let answer = decode(&answer, JOIN_ANSWER_BYTES_MAX);
    match answer.map_err(|error| JoinError::BadAnswer { address, what: error.to_string() })? {
        JoinAnswer::Refused(why) => Err(JoinError::Refused(why)),
        JoinAnswer::Admitted { certificate_pem, ca_pem, members } => {
            let credentials = Credentials::of_key(offer.key, &certificate_pem, &ca_pem);
            let credentials = credentials.and_then(|credentials| check(credentials, token, &ca));
            let credentials = credentials.map_err(|error| JoinError::BadAnswer { address, what: error.to_string() })?;
            Ok(Admitted { credentials, members: members.into() })
        }
    }
}

fn check_length(offer: &JoinOffer<'_>) -> Result<(), JoinError> {
    let parts = [
        ("name", offer.name.len(), CLIENT_NAME_BYTES_MAX),
        ("advertised address", offer.advertised.len(), ADVERTISED_BYTES_MAX),
        ("opaque part", offer.details.len(), JOIN_DETAILS_BYTES_MAX),
    ];
    match parts.into_iter().find(|(_, bytes, max)| bytes > max) {
        Some((what, bytes, max)) => Err(JoinError::TooLarge { what, bytes, max }),
        None => Ok(()),
    }
}

/// The whole request as it goes on the stream.
fn request(connection: &Connection, cluster: ClusterId, token: &Token, offer: &JoinOffer<'_>) -> Vec<u8> {
    let statement = encode(&Statement {
        cluster: cluster.0,
        request: offer.key.request().der().to_vec(),
        name: offer.name.clone(),
        advertised: offer.advertised.clone(),
        details: offer.details.clone(),
    });
    let proof = token.sign(&signed(connection, &statement));
    let frame = encode(&JoinFrame { token: token.id(), proof, statement });
    assert!(frame.len() <= JOIN_REQUEST_BYTES_MAX, "what an offer may hold fits a request");
    let mut bytes = vec![StreamKind::Join.byte()];
    bytes.extend_from_slice(&(frame.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&frame);
    bytes
}

async fn ask(connection: &Connection, request: &[u8]) -> Result<Bytes, String> {
    let (mut send, mut receive) = connection.open_bi().await.map_err(|error| error.to_string())?;
    send.write_all(request).await.map_err(|error| error.to_string())?;
    send.finish().map_err(|error| error.to_string())?;
    let answer = read_frame(&mut receive, JOIN_ANSWER_BYTES_MAX).await.map_err(|error| error.to_string())?;
    answer.ok_or_else(|| "the stream ended".to_string())
}

/// A stream fails just before its connection knows why.
async fn lost(address: SocketAddr, connection: &Connection, what: String) -> JoinError {
    match timeout(Duration::from_millis(500), connection.closed()).await {
        Err(_) => JoinError::Lost { address, what },
        Ok(error) => match Cause::of(&error).0 {
            Cause::Refused(Refusal::Busy) => JoinError::Busy { address },
            cause @ (Cause::Refused(_) | Cause::Silence | Cause::BrokenOff | Cause::Other(_)) => {
                JoinError::Lost { address, what: cause.to_string() }
            }
        },
    }
}

/// Whether the answer makes us what the token promised, under the authority that the token names.
fn check(credentials: Credentials, token: &Token, ca: &[u8]) -> Result<Credentials, CredentialsError> {
    let wrong = |what: &str| Err(CredentialsError::Issue { what: what.to_string() });
    if credentials.authority_pin() != token.pin() {
        return wrong("its authority is not the one of the token");
    }
    if !credentials.is_signed_by(ca) {
        return wrong("the authority didn't sign it");
    }
    let is_node = matches!(credentials.principal(), Principal::Node(_));
    if is_node != token.enrols().is_node() {
        return wrong("it is for something else than the token");
    }
    Ok(credentials)
}
