//! What is said on `outboard-join/1`: one stream, one request, one answer, then the connection ends.
//!
//! ```text
//!   joiner ──▶ node   [5][length u32 LE][token id, proof, statement]      proof = signature over the TLS exporter and the statement
//!   joiner ◀── node   [length u32 LE][admitted: certificate, authority, members | refused: why]
//! ```
//!
//! The statement is what the joiner says of itself, its request for a certificate among it; it is signed as it stands on the wire, so nothing
//! in it can be changed and nothing of it used on another connection. The node's side is `enrol.rs`, the joiner's `joiner.rs`.
//! Tests: at the end, and `tests/net/enrolment.rs`.

use std::net::{IpAddr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::identity::is_client_name;
use crate::proof::PROOF_BYTES;
use crate::request::{CertificateRequest, RequestRefused};
use crate::token::TokenId;

/// Longest request on the wire.
pub const JOIN_REQUEST_BYTES_MAX: usize = 64 << 10;
/// Longest answer on the wire, the members in it.
pub const JOIN_ANSWER_BYTES_MAX: usize = 1 << 20;
/// Longest opaque part of a request.
pub const JOIN_DETAILS_BYTES_MAX: usize = 16 << 10;
/// Longest address that a joiner may advertise: a DNS name, a colon and a port.
pub const ADVERTISED_BYTES_MAX: usize = 260;

const EXPORTER_LABEL: &[u8] = b"EXPORTER-outboard-join/1";

/// A request as it stands on the wire.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct JoinFrame {
    pub(crate) token: TokenId,
    pub(crate) proof: Vec<u8>,
    /// A [`Statement`], encoded.
    pub(crate) statement: Vec<u8>,
}

impl JoinFrame {
    pub(crate) fn decode(bytes: &[u8]) -> Result<JoinFrame, Unreadable> {
        let frame: JoinFrame = decode(bytes, JOIN_REQUEST_BYTES_MAX)?;
        if frame.proof.len() == PROOF_BYTES { Ok(frame) } else { Err(Unreadable("a proof of another length")) }
    }
}

/// What a joiner says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Statement {
    /// The cluster that it read from the authority's certificate.
    pub(crate) cluster: u128,
    /// A [`CertificateRequest`].
    pub(crate) request: Vec<u8>,
    pub(crate) name: String,
    pub(crate) advertised: String,
    pub(crate) details: Vec<u8>,
}

impl Statement {
    /// Reads a statement and everything in it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<(Statement, CertificateRequest), JoinRefusal> {
        let bad = |what: String| JoinRefusal::Invalid { what };
        let statement: Statement = decode(bytes, JOIN_REQUEST_BYTES_MAX).map_err(|error| bad(error.to_string()))?;
        let request = CertificateRequest::from_der(&statement.request);
        let request = request.map_err(|error: RequestRefused| bad(error.to_string()))?;
        if !statement.name.is_empty() && !is_client_name(&statement.name) {
            return Err(JoinRefusal::Name { what: "a name has 1 to 64 letters, digits, '.', '_' or '-'".to_string() });
        }
        if statement.advertised.len() > ADVERTISED_BYTES_MAX || statement.advertised.contains(char::is_control) {
            return Err(bad("the advertised address is none".to_string()));
        }
        if statement.details.len() > JOIN_DETAILS_BYTES_MAX {
            return Err(bad("the details are too long".to_string()));
        }
        Ok((statement, request))
    }
}

/// What a node answers to a joiner.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub enum JoinAnswer {
    /// Come in. Cluster and node or client stand in the certificate.
    Admitted {
        /// For the key of the request, in PEM.
        certificate_pem: String,
        /// The authority's, in PEM.
        ca_pem: String,
        /// What the node gives along (who the members are): opaque here.
        members: Vec<u8>,
    },
    /// Stay out.
    Refused(JoinRefusal),
}

/// Why a joiner stays out, as the node told it.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum JoinRefusal {
    /// No such token: never made, withdrawn, or forgotten after its time.
    #[error("the cluster doesn't know this token: it was withdrawn, or its time is long over; make a new one")]
    UnknownToken,
    /// The proof doesn't hold for this token on this connection.
    #[error("the proof of the token doesn't hold: its secret is not the one that the cluster gave out")]
    WrongProof,
    /// Its time is over.
    #[error("the token has expired: make a new one")]
    Expired,
    /// As many keys as it allows came in by it, and this is none of them.
    #[error("the token is used up, by others or by an earlier key of this machine: make a new one")]
    UsedUp,
    /// The joiner belongs to another cluster, or believes to be dialling one.
    #[error("this is {cluster}, another cluster")]
    WrongCluster {
        /// Where it has come to.
        cluster: String,
    },
    /// The others can't reach it there.
    #[error(
        "{advertised} is an address that only this machine itself reaches: advertise one that the other nodes reach"
    )]
    Loopback {
        /// What it advertised.
        advertised: String,
    },
    /// The name is taken or none.
    #[error("it can't have this name: {what}")]
    Name {
        /// The cause.
        what: String,
    },
    /// What this key came in as was removed or revoked meanwhile.
    #[error("it was a member and was removed: it joins again with a new key, as a new member")]
    Removed,
    /// It runs another sandbox, another version, another anything that must be the same.
    #[error("it doesn't fit the cluster: {what}")]
    Incompatible {
        /// The cause.
        what: String,
    },
    /// The request makes no sense.
    #[error("the request is not valid: {what}")]
    Invalid {
        /// The cause.
        what: String,
    },
    /// Only another node can decide: ask there.
    #[error("only the leader admits{}", hint.as_ref().map_or_else(String::new, |hint| format!(": ask {hint}")))]
    NotLeader {
        /// Its address, if it is known.
        hint: Option<String>,
    },
    /// Not now: no leader, a change of members under way, too many joins. The same request may be made again.
    #[error("not now: {what}; the same request may be made again")]
    Unavailable {
        /// The cause.
        what: String,
    },
}

/// Whether other machines can't reach that address (`host:port`): loopback, unspecified, `localhost`.
pub fn is_local_only(advertised: &str) -> bool {
    let host = advertised.rsplit_once(':').map_or(advertised, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let is_local = |address: IpAddr| {
        let address = address.to_canonical();
        address.is_loopback() || address.is_unspecified()
    };
    match (host.parse::<IpAddr>(), advertised.parse::<Ipv6Addr>()) {
        (Ok(address), _) => is_local(address),
        (Err(_), Ok(address)) => is_local(address.into()),
        (Err(_), Err(_)) => {
            let host = host.to_ascii_lowercase();
            host == "localhost" || host.ends_with(".localhost")
        }
    }
}

/// Bytes on the join stream that are nothing.
#[derive(Clone, Eq, PartialEq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub(crate) &'static str);

/// What the proof signs: this connection, and every byte of the statement.
pub(crate) fn signed(connection: &quinn::Connection, statement: &[u8]) -> Vec<u8> {
    let mut exported = [0; 32];
    let exporting = connection.export_keying_material(&mut exported, EXPORTER_LABEL, b"");
    exporting.expect("32 bytes are few enough to export");
    let mut signed = b"outboard join proof 1 ".to_vec();
    signed.extend_from_slice(&exported);
    signed.extend_from_slice(blake3::hash(statement).as_bytes());
    signed
}

pub(crate) fn encode(message: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(message).expect("messages serialize: postcard knows every shape that joins use")
}

pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8], bytes_max: usize) -> Result<T, Unreadable> {
    if bytes.len() > bytes_max {
        return Err(Unreadable("too long"));
    }
    match postcard::take_from_bytes(bytes) {
        Ok((message, [])) => Ok(message),
        Ok(_) => Err(Unreadable("something follows it")),
        Err(_) => Err(Unreadable("it can't be read")),
    }
}

/// Doors for a fuzzer: outside bytes in, a value or an error out, and never a panic.
pub mod fuzz {
    use super::{JOIN_ANSWER_BYTES_MAX, JoinAnswer, JoinFrame, Statement, Unreadable};
    use crate::request::CertificateRequest;
    use crate::token::{Token, TokenError};

    /// A token as somebody pasted it; what is read is written and read once more.
    pub fn token(bytes: &[u8]) -> Result<Token, TokenError> {
        let token = Token::parse(std::str::from_utf8(bytes).map_err(|_| TokenError::NotAToken)?)?;
        assert_eq!(Token::parse(&token.reveal()).as_ref(), Ok(&token), "a token is read back from its text");
        Ok(token)
    }

    /// A joiner's request, with everything in it.
    pub fn join_request(bytes: &[u8]) -> Result<(), String> {
        let frame = JoinFrame::decode(bytes).map_err(|error| error.to_string())?;
        Statement::decode(&frame.statement).map(drop).map_err(|error| error.to_string())
    }

    /// The part of a joiner's request that it signs: the way past the outer frame, for a fuzzer that would never find it.
    pub fn join_statement(bytes: &[u8]) -> Result<(), String> {
        Statement::decode(bytes).map(drop).map_err(|error| error.to_string())
    }

    /// A request for a certificate.
    pub fn certificate_request(bytes: &[u8]) -> Result<(), String> {
        CertificateRequest::from_der(bytes).map(drop).map_err(|error| error.to_string())
    }

    /// A node's answer.
    pub fn join_answer(bytes: &[u8]) -> Result<JoinAnswer, Unreadable> {
        super::decode(bytes, JOIN_ANSWER_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::IdentityKey;
    use outboard_wire::access::{Enrols, Wish};

    fn statement(request: &CertificateRequest) -> Statement {
        Statement {
            cluster: 77,
            request: request.der().to_vec(),
            name: "n4".to_string(),
            advertised: "10.0.0.4:4410".to_string(),
            details: vec![1, 2, 3],
        }
    }

    #[test]
    fn addresses_that_only_the_machine_itself_reaches_are_known() {
        for local in [
            "127.0.0.1:4410",
            "127.9.9.9:1",
            "[::1]:4410",
            "::1",
            "0.0.0.0:4410",
            "[::]:4410",
            "[::ffff:127.0.0.1]:4410",
            "localhost:4410",
            "LOCALHOST",
            "a.localhost:1",
            "localhost.:1",
        ] {
            assert!(is_local_only(local), "{local}");
        }
        for reachable in ["10.0.0.4:4410", "host2:4410", "[2001:db8::1]:4410", "2001:db8::1", "localhost.example:1", ""]
        {
            assert!(!is_local_only(reachable), "{reachable}");
        }
    }

    #[test]
    fn a_request_that_is_damaged_or_too_much_is_refused_and_never_panics() {
        let request = IdentityKey::generate().expect("a key").request();
        let good = encode(&statement(&request));
        let frame = encode(&JoinFrame { token: TokenId(1), proof: vec![0; PROOF_BYTES], statement: good.clone() });
        fuzz::join_request(&frame).expect("it is good");
        for at in 0..frame.len() {
            assert!(fuzz::join_request(&frame[..at]).is_err(), "cut at {at}");
            let mut damaged = frame.clone();
            damaged[at] ^= 0x55;
            // Whether it still can be read depends on the byte; that nothing worse happens doesn't.
            let _ = fuzz::join_request(&damaged);
        }
        assert!(fuzz::join_request(&[&frame[..], &[0]].concat()).is_err());
        let short = encode(&JoinFrame { token: TokenId(1), proof: vec![0; 63], statement: good });
        assert!(fuzz::join_request(&short).is_err());
        type Spoil = fn(&mut Statement);
        let spoils: [(Spoil, &str); 5] = [
            (|statement| statement.name = "a b".to_string(), "name"),
            (|statement| statement.advertised = "x".repeat(261), "address"),
            (|statement| statement.advertised = "a\u{1b}[2J:1".to_string(), "address"),
            (|statement| statement.details = vec![0; JOIN_DETAILS_BYTES_MAX + 1], "too long"),
            (|statement| statement.request = vec![0x30; 10], "certificate"),
        ];
        for (spoil, expected) in spoils {
            let mut statement = statement(&request);
            spoil(&mut statement);
            let refused = fuzz::join_statement(&encode(&statement)).expect_err(expected);
            assert!(refused.contains(expected), "{refused}");
        }
    }

    #[test]
    fn random_damage_to_anything_from_outside_makes_errors_and_never_a_panic() {
        let mut state = 11u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        let key = IdentityKey::generate().expect("a key");
        let authority = crate::Authority::create(crate::ClusterId(7)).expect("an authority");
        let token = crate::Token::generate(Enrols::Node(Wish::Voter), authority.pin()).reveal().into_bytes();
        let statement = encode(&statement(&key.request()));
        let proof = vec![3; PROOF_BYTES];
        let frame = encode(&JoinFrame { token: TokenId(1), proof, statement: statement.clone() });
        let answer = encode(&JoinAnswer::Refused(JoinRefusal::Invalid { what: "x".to_string() }));
        let seeds = [token, statement, frame, answer, key.request().der().to_vec()];
        for round in 0..4_000 {
            let mut bytes = seeds[round % seeds.len()].clone();
            for _ in 0..1 + next() % 4 {
                let at = next() % bytes.len();
                match next() % 4 {
                    0 => bytes[at] = next() as u8,
                    1 => bytes.truncate(at + 1),
                    2 => drop(bytes.splice(at..at, [next() as u8; 3])),
                    _ => drop(bytes.remove(at)),
                }
                if bytes.is_empty() {
                    bytes.push(0);
                }
            }
            let read = [
                fuzz::token(&bytes).is_ok(),
                fuzz::join_request(&bytes).is_ok(),
                fuzz::join_statement(&bytes).is_ok(),
                fuzz::join_answer(&bytes).is_ok(),
                fuzz::certificate_request(&bytes).is_ok(),
            ];
            assert!(read.into_iter().filter(|read| *read).count() <= 1, "{bytes:02x?} is two things at once");
        }
    }

    #[test]
    fn answers_are_read_back_and_a_claimed_length_allocates_nothing() {
        let admitted =
            JoinAnswer::Admitted { certificate_pem: "c".to_string(), ca_pem: "a".to_string(), members: vec![1; 100] };
        for answer in [admitted, JoinAnswer::Refused(JoinRefusal::NotLeader { hint: Some("a:1".to_string()) })] {
            assert_eq!(fuzz::join_answer(&encode(&answer)), Ok(answer));
        }
        // A string that claims four gigabytes.
        assert!(fuzz::join_answer(&[0, 0xff, 0xff, 0xff, 0xff, 0x0f, b'x']).is_err());
        assert!(fuzz::join_answer(&[99]).is_err());
    }
}
