//! Who is at the other end: a cluster, and a node or a client of it, as a certificate says it.
//!
//! An identity is one URI in the certificate, `spiffe://<cluster>/node/<id>` or `spiffe://<cluster>/client/<name>`, so addresses may
//! change without anybody becoming somebody else. A certificate without exactly one such URI is nobody. Tests: at the end.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use outboard_raft::NodeId;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::base32;

/// Longest name of a client, in bytes.
pub const CLIENT_NAME_BYTES_MAX: usize = 64;

const SCHEME: &str = "spiffe://";
const DIGITS: usize = 26;

/// The identity of a cluster, drawn once when it is made; shown as `c-` and 26 characters.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct ClusterId(pub u128);

impl ClusterId {
    /// A new identity from the system's secure source of chance.
    pub fn random() -> ClusterId {
        ClusterId(u128::from_le_bytes(crate::crypto::random_bytes()))
    }

    /// The first characters, for people: enough to tell clusters apart on a screen, never used to compare.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_string()
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("c-")?;
        for digit in (0..DIGITS).rev() {
            let value = (self.0 >> (digit * 5)) & 31;
            write!(f, "{}", base32::ALPHABET[value as usize] as char)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ClusterId {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<ClusterId, IdentityError> {
        let wrong = || IdentityError(format!("{text:?} is not a cluster id (c- and {DIGITS} characters)"));
        let digits = text.strip_prefix("c-").filter(|digits| digits.len() == DIGITS).ok_or_else(wrong)?;
        let mut value = 0u128;
        for byte in digits.bytes() {
            let digit = base32::value(byte).ok_or_else(wrong)?;
            // 26 digits hold 130 bits: the first may only use three of its five.
            if value >> 123 != 0 {
                return Err(wrong());
            }
            value = value << 5 | u128::from(digit);
        }
        Ok(ClusterId(value))
    }
}

/// The holder of a certificate.
#[derive(Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug, Serialize, Deserialize)]
pub enum Principal {
    /// A member (or a member to be) of the cluster.
    Node(#[serde(with = "PlainNodeId")] NodeId),
    /// A user of the cluster; what it may do is not this room's matter.
    Client {
        /// 1 to [`CLIENT_NAME_BYTES_MAX`] letters, digits, `.`, `_` or `-`.
        name: String,
    },
}

impl Principal {
    /// The principal as a certificate names it.
    pub fn uri(&self, cluster: ClusterId) -> String {
        match self {
            Principal::Node(id) => format!("{SCHEME}{cluster}/node/{}", id.0),
            Principal::Client { name } => format!("{SCHEME}{cluster}/client/{name}"),
        }
    }

    /// Reads what [`Principal::uri`] writes.
    pub fn parse_uri(uri: &str) -> Result<(ClusterId, Principal), IdentityError> {
        let wrong = || IdentityError(format!("{uri:?} names neither a node nor a client of a cluster"));
        let mut parts = uri.strip_prefix(SCHEME).ok_or_else(wrong)?.split('/');
        let (Some(cluster), Some(kind), Some(name), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        let cluster = cluster.parse()?;
        let principal = match kind {
            "node" if name.bytes().all(|byte| byte.is_ascii_digit()) => {
                Principal::Node(NodeId(name.parse().map_err(|_| wrong())?))
            }
            "client" if is_client_name(name) => Principal::Client { name: name.to_string() },
            _ => return Err(wrong()),
        };
        Ok((cluster, principal))
    }

    /// The principal of a certificate that TLS has already verified.
    pub fn from_certificate(der: &[u8]) -> Result<(ClusterId, Principal), IdentityError> {
        Principal::parse_uri(&certificate_uri(der)?)
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::Node(id) => write!(f, "node {}", id.0),
            Principal::Client { name } => write!(f, "client {name}"),
        }
    }
}

/// [`NodeId`] as its number: its own room has no dependencies, serde among them.
#[derive(Serialize, Deserialize)]
#[serde(remote = "NodeId")]
struct PlainNodeId(u64);

/// The serial number of a certificate: drawn by the [`Authority`](crate::Authority), so it names one certificate for ever.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
pub struct Serial(pub u128);

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Serial {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Serial, IdentityError> {
        let wrong = || IdentityError(format!("{text:?} is not a serial number (32 hexadecimal digits)"));
        let legal = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !legal {
            return Err(wrong());
        }
        u128::from_str_radix(text, 16).map(Serial).map_err(|_| wrong())
    }
}

/// What a certificate that TLS has verified says of its holder.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(crate) struct Holder {
    pub(crate) cluster: ClusterId,
    pub(crate) principal: Principal,
    pub(crate) serial: Serial,
}

impl Holder {
    pub(crate) fn from_certificate(der: &[u8]) -> Result<Holder, IdentityError> {
        let (cluster, principal) = Principal::parse_uri(&certificate_uri(der)?)?;
        let (_, certificate) = parse(der)?;
        let mut serial = 0u128;
        for byte in certificate.raw_serial() {
            if serial >> 120 != 0 {
                return Err(IdentityError("the certificate's serial number is too long to be ours".to_string()));
            }
            serial = serial << 8 | u128::from(*byte);
        }
        Ok(Holder { cluster, principal, serial: Serial(serial) })
    }

    /// Of the other side of a connection; an error if it showed no certificate.
    pub(crate) fn of(connection: &quinn::Connection) -> Result<Holder, IdentityError> {
        let chain = connection.peer_identity().and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
        let certificate = chain.and_then(|chain| chain.into_iter().next());
        let certificate = certificate.ok_or_else(|| IdentityError("no certificate was shown".to_string()))?;
        Holder::from_certificate(&certificate)
    }
}

/// Bytes or text that name nobody; the text says what was found.
#[derive(Clone, Eq, PartialEq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct IdentityError(pub(crate) String);

/// Whether a client may be called so.
pub(crate) fn is_client_name(name: &str) -> bool {
    (1..=CLIENT_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The URI of an authority's certificate: a cluster, and nobody in it.
pub(crate) fn authority_uri(cluster: ClusterId) -> String {
    format!("{SCHEME}{cluster}")
}

/// The cluster that an authority's certificate speaks for.
pub(crate) fn authority_cluster(der: &[u8]) -> Result<ClusterId, IdentityError> {
    let uri = certificate_uri(der)?;
    uri.strip_prefix(SCHEME).ok_or_else(|| IdentityError(format!("{uri:?} names no cluster")))?.parse()
}

/// The name that a dialler asks for, in the certificate of exactly this node: rustls then checks node and cluster for us.
pub(crate) fn node_server_name(cluster: ClusterId, node: NodeId) -> String {
    format!("n{}.{cluster}.outboard", node.0)
}

/// The name that a client asks for: any node of the cluster has it.
pub(crate) fn cluster_server_name(cluster: ClusterId) -> String {
    format!("{cluster}.outboard")
}

/// A certificate's public key (SPKI in DER).
pub(crate) fn public_key(der: &[u8]) -> Result<Vec<u8>, IdentityError> {
    let (_, certificate) = parse(der)?;
    Ok(certificate.public_key().raw.to_vec())
}

/// Whether the authority's key signed the certificate.
pub(crate) fn is_signed_by(certificate: &[u8], authority: &[u8]) -> Result<bool, IdentityError> {
    let ((_, certificate), (_, authority)) = (parse(certificate)?, parse(authority)?);
    Ok(certificate.verify_signature(Some(authority.public_key())).is_ok())
}

/// When a certificate begins and ceases to hold.
pub(crate) fn validity(der: &[u8]) -> Result<(SystemTime, SystemTime), IdentityError> {
    let (_, certificate) = parse(der)?;
    let time = |time: x509_parser::time::ASN1Time| {
        let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    };
    Ok((time(certificate.validity().not_before), time(certificate.validity().not_after)))
}

fn certificate_uri(der: &[u8]) -> Result<String, IdentityError> {
    let (_, certificate) = parse(der)?;
    let names = certificate.subject_alternative_name().map_err(unreadable)?;
    let mut uris = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Ok(uri.to_string()),
        (None, _) => Err(IdentityError("the certificate names nobody (no URI)".to_string())),
        (Some(_), Some(_)) => Err(IdentityError("the certificate has more than one URI".to_string())),
    }
}

/// What a joiner asks for, who doesn't know the cluster's id yet: nobody has it, the authority's key is what is checked.
pub(crate) const JOIN_SERVER_NAME: &str = "join.outboard";

fn parse(der: &[u8]) -> Result<(&[u8], X509Certificate<'_>), IdentityError> {
    X509Certificate::from_der(der).map_err(unreadable)
}

fn unreadable(error: impl fmt::Display) -> IdentityError {
    IdentityError(format!("the certificate can't be read: {error}"))
}

/// The hash of a joiner's public key: who it is before it has a name.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// Of a public key (SPKI in DER).
    pub(crate) fn of(public_key: &[u8]) -> KeyHash {
        KeyHash(blake3::derive_key("outboard joiner's public key 1", public_key))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_id_is_read_back_from_its_text() {
        for value in [0, 1, 31, 32, 1 << 127, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
            let text = ClusterId(value).to_string();
            assert_eq!(text.len(), 28);
            assert_eq!(text.parse(), Ok(ClusterId(value)));
        }
        assert_ne!(ClusterId::random(), ClusterId::random());
    }

    #[test]
    fn text_that_is_no_cluster_id_is_refused() {
        let overflow = format!("c-{}", "z".repeat(26));
        let foreign = format!("c-{}u", "0".repeat(25));
        for text in ["", "c-", "c-0", overflow.as_str(), foreign.as_str(), "0123456789abcdefghjkmnpqrst"] {
            assert!(text.parse::<ClusterId>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_principal_is_read_back_from_its_uri() {
        let cluster = ClusterId(77);
        for principal in [
            Principal::Node(NodeId(1)),
            Principal::Node(NodeId(u64::MAX)),
            Principal::Client { name: "ana.w-1_x".to_string() },
        ] {
            assert_eq!(Principal::parse_uri(&principal.uri(cluster)), Ok((cluster, principal)));
        }
    }

    #[test]
    fn a_uri_that_names_nobody_is_refused() {
        let cluster = ClusterId(77);
        let long = format!("spiffe://{cluster}/client/{}", "a".repeat(65));
        for uri in [
            "https://x/node/1".to_string(),
            format!("spiffe://{cluster}"),
            format!("spiffe://{cluster}/node/"),
            format!("spiffe://{cluster}/node/+1"),
            format!("spiffe://{cluster}/node/1/2"),
            format!("spiffe://{cluster}/node/99999999999999999999"),
            format!("spiffe://{cluster}/client/"),
            format!("spiffe://{cluster}/client/a b"),
            format!("spiffe://{cluster}/king/1"),
            long,
        ] {
            assert!(Principal::parse_uri(&uri).is_err(), "{uri:?} was taken");
        }
    }
}
