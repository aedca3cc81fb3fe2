//! QUIC between nodes, and between clients and nodes. This room carries frames of bytes and knows nothing of their meaning.
//!
//! ```text
//!   node 1 ──dials──▶ node 2     control lane  ━━━━━━━▶  votes, heartbeats: goes first
//!                                append lane   ━━━━━━━▶  entries
//!                                bulk streams  ◀━━━━━━▶  snapshots, components: goes last, 4 at most
//!   client ──dials──▶ node       request stream ◀━━━━━▶  [id][request] in, [id][response] out, in any order
//!                                bulk streams  ◀━━━━━━▶  a component on its way to the cluster
//!   joiner ──dials──▶ node       one stream    ◀━━━━━━▶  a token's proof in, a certificate out
//! ```
//!
//! One UDP port serves peers, clients and joiners; the TLS protocol name (ALPN) tells them apart. Each node dials every other node and sends on the
//! connection that it dialled; what it receives comes on those that it accepted. Whoever is dialled by a peer that it has not heard of dials it,
//! too: a node that was away while another one came in and took the lead could not answer its leader otherwise. Both sides show certificates of the cluster's own
//! [`Authority`]; the certificate names cluster and node or client ([`Principal`]), addresses mean nothing. Only who joins shows none.
//!
//! What others may build on:
//! - Frames may be dropped, and a restarted connection reorders: correctness never depends on this room. Within one connection a lane keeps
//!   its order and repeats nothing.
//! - [`PeerSender::send`] never waits. Every queue is bounded by count and bytes; what doesn't fit is dropped and counted ([`Counters`]).
//! - A lane nobody reads, a slow snapshot or a large append never holds the control lane back: separate streams with priorities, and
//!   windows that leave room for it.
//! - All that waits is written at once, all that arrived is handed over at once: batching decides the speed.
//! - Bytes from outside make errors, never panics; whoever breaks the format loses the connection, and only that.
//!
//! # Coming in, staying in, going out
//!
//! ```text
//!   token create    Token::generate(enrols, authority_pin) ─▶ reveal() once to the operator; TokenRecord::of ─▶ the log
//!   join            IdentityKey::load_or_create ─▶ join(address, &token, offer) ─▶ Admitted.credentials.save
//!     at the node   JoinRequest ─▶ judge(record, now) ─▶ the log: use_up(key) ─▶ admit(authority, principal, members)
//!   renewal         renewal_due(now)? renewal_request() ─▶ an ordinary request ─▶ Authority::sign(.., the connection's principal, ..)
//!                   ─▶ renewed(..) ─▶ save, Net::set_credentials or Dialler::set_credentials: nothing is dropped
//!   revocation      the log ─▶ Net::set_access(Access): refused at each handshake, cut off at once, both with a Refusal that can be read
//! ```
//!
//! - A join is decided by the node: it gets [`JoinRequest`]s on the channel in [`Options::joins`], and only nodes that have one offer joins.
//!   [`TokenRecord`] is plain data for the replicated state, its judgement pure; used once where a request is looked at and once where the
//!   entry is applied, so that two joiners with one token can't both win.
//! - Whoever runs the same join again with the same key gets what it got: keep the key on disk before joining.
//! - The authority's key signs; which node holds it is the node's matter. One that doesn't passes [`JoinRequest::certificate_request`] on and
//!   answers with what comes back ([`JoinRequest::answer`]).
//! - A renewal is believed for the connection that it comes on ([`ClientInfo::principal`]), never for what the request says.
//! - What a token is for is only carried here ([`outboard_wire::access::Enrols`]); what a client may do is looked up by its name with each request. [`ClientInfo`],
//!   which comes with every request, has name, certificate and connection.
//! - A node that was removed hears it from its peers ([`Net::cut_off`]), a client from [`NetError::Refused`] or
//!   [`ClientConnection::refusal`].
//!
//! Never: repeats a frame or a request, interprets frames, judges a token by itself, writes files other than credentials and the authority, starts threads. It runs inside its caller's tokio runtime.
//! Tests: `tests/`, over real sockets on loopback; speed: `examples/pingpong.rs`.

mod access;
mod authority;
mod base32;
mod bulk;
mod client;
mod counters;
mod credentials;
mod crypto;
mod dial;
mod enrol;
mod error;
mod event;
mod files;
mod frame;
mod identity;
mod join;
mod join_request;
mod joiner;
mod lane;
mod link;
mod net;
mod options;
mod outbox;
mod pin;
mod proof;
mod record;
mod refusal;
mod request;
mod requests;
mod responder;
mod serve;
mod shared;
mod tls;
mod token;
mod transport;

pub use access::Access;
pub use authority::{AUTHORITY_LIFETIME, Authority, CERTIFICATE_LIFETIME, CLOCK_SKEW_MAX, Validity};
pub use bulk::{BULK_FRAME_BYTES_MAX, BULK_HEADER_BYTES_MAX, BulkStream};
pub use client::{CONNECT_TIMEOUT, ClientConnection, Dialler, RequestError};
pub use counters::Counters;
pub use credentials::Credentials;
pub use enrol::DECISION_TIMEOUT;
pub use error::NetError;
pub use event::NetEvent;
pub use files::CredentialsError;
pub use frame::{CLIENT_FRAME_BYTES_MAX, PEER_FRAME_BYTES_MAX};
pub use identity::{CLIENT_NAME_BYTES_MAX, ClusterId, IdentityError, KeyHash, Principal, Serial};
pub use join::{
    ADVERTISED_BYTES_MAX, JOIN_ANSWER_BYTES_MAX, JOIN_DETAILS_BYTES_MAX, JOIN_REQUEST_BYTES_MAX, JoinAnswer,
    JoinRefusal, Unreadable, fuzz, is_local_only,
};
pub use join_request::JoinRequest;
pub use joiner::{Admitted, JOIN_CONNECT_TIMEOUT, JoinError, JoinOffer, address_towards, join};
pub use lane::Lane;
pub use link::{LinkStatus, PeerSender};
pub use net::Net;
pub use options::{Limits, Listen, Options};
pub use proof::Verifier;
pub use record::{Permit, TOKEN_USES_MAX, TokenRecord};
pub use refusal::Refusal;
pub use request::{CertificateRequest, IdentityKey, REQUEST_BYTES_MAX, RequestRefused};
pub use responder::{ClientInfo, REQUEST_UNITS_MAX, Responder, UNIT_BYTES};
pub use token::{AuthorityPin, Token, TokenError, TokenId};
