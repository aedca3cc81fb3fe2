//! How the long transfers begin: the header of a bulk stream and the answer at its end. What flows between is raw bytes
//! in chunks of the net room.

use crate::codec::{self, CodecError};
use crate::command::{Digest, EngineRecord};
use crate::peer::WireSnapshotMeta;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The first frame of a bulk stream: what it is for.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub enum BulkHeader {
    /// A client pushes a component of so many bytes; they follow. The answer is a [`BulkReply::Pushed`].
    Push {
        /// The component's length.
        bytes: u64,
        /// How long the node may wait for the other nodes, in milliseconds.
        timeout_ms: u32,
    },
    /// A node asks for a component by its digest; the answer is [`BulkReply::Component`] and then the bytes.
    Fetch {
        /// Which.
        digest: Digest,
    },
    /// A leader sends a snapshot: a list of chunks follows, [`BulkReply::Wanted`] comes back, then the wanted chunks follow, and
    /// [`BulkReply::Done`] comes back when it is staged.
    Snapshot {
        /// The leader's term.
        term: u64,
        /// Where it stands.
        meta: WireSnapshotMeta,
    },
    /// A node that does not hold the authority's key asks one that may: sign for this key. The answer is [`BulkReply::Certified`].
    Certify(Certify),
    /// A voter asks for the authority's key, to sign itself. The answer is [`BulkReply::Authority`].
    Authority,
}

/// A key that is to get a certificate. The node that signs believes nothing but its own replicated state and the asker's certificate.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct Certify {
    /// A request in PKCS #10, DER.
    pub request: Vec<u8>,
    /// Who it is for.
    pub holder: Holder,
}

/// Who gets a certificate.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub enum Holder {
    /// The asking node itself: a renewal.
    Asker,
    /// A client that asked the asking node by its present certificate.
    Client {
        /// Its name.
        name: String,
    },
    /// Whoever came in by this token with this key.
    ByToken {
        /// The token's number.
        token: u64,
    },
}

/// A frame that answers on a bulk stream.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub enum BulkReply {
    /// The component's bytes follow.
    Component {
        /// How many.
        bytes: u64,
    },
    /// The component is staged; what each voter said of it.
    Pushed(Pushed),
    /// Taken whole.
    Done,
    /// Not taken, or not there: why.
    Refused(String),
    /// Whoever asks may not do this: which role may.
    Forbidden(String),
    /// The signed certificate.
    Certified {
        /// In PEM.
        certificate: String,
        /// The authority's, in PEM.
        authority: String,
    },
    /// The authority, as a voter may have it.
    Authority {
        /// In PEM.
        certificate: String,
        /// In PEM.
        key: SecretPem,
    },
    /// Of the listed chunks of a snapshot these are not here: a bit for each, the lowest first.
    Wanted {
        /// As many bytes as there are eights of chunks, rounded up.
        chunks: Vec<u8>,
    },
    /// This node does not hold the authority's key, so it neither signs nor gives it.
    NoAuthority,
    /// This node holds the authority's key and gives it to voters; whoever asks is none.
    NoVoter,
}

/// A private key in PEM. Shows nothing of it in `Debug`.
#[derive(Clone, Eq, PartialEq, Serialize, Deserialize)]
pub struct SecretPem(pub String);

impl fmt::Debug for SecretPem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a private key")
    }
}

/// The outcome of a push.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct Pushed {
    /// What was pushed.
    pub engine: EngineRecord,
    /// Each voter and its word.
    pub nodes: Vec<(u64, Readiness)>,
}

/// How far a node is with a component.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub enum Readiness {
    /// On disk, compiled, tried.
    Ready,
    /// It can't run it: why.
    Refused(String),
    /// Nothing heard yet.
    Waiting,
}

impl BulkHeader {
    /// As a frame.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// From a frame.
    pub fn decode(bytes: &[u8]) -> Result<BulkHeader, CodecError> {
        codec::decode_owned(bytes)
    }
}

impl BulkReply {
    /// As a frame.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// From a frame.
    pub fn decode(bytes: &[u8]) -> Result<BulkReply, CodecError> {
        codec::decode_owned(bytes)
    }

    /// Why this is not what was asked for: the other side's reason, or that it answers something else.
    pub fn into_refusal(self) -> String {
        match self {
            BulkReply::Refused(reason) | BulkReply::Forbidden(reason) => reason,
            BulkReply::NoAuthority => "it does not hold the authority's key".to_owned(),
            BulkReply::NoVoter => "the authority's key is for voters".to_owned(),
            BulkReply::Component { .. }
            | BulkReply::Pushed(_)
            | BulkReply::Done
            | BulkReply::Certified { .. }
            | BulkReply::Authority { .. }
            | BulkReply::Wanted { .. } => "it answers something else".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authoritys_key_is_not_shown_by_debug() {
        let authority = BulkReply::Authority { certificate: "public".to_owned(), key: SecretPem("hidden".to_owned()) };
        let shown = format!("{authority:?}");
        assert!(shown.contains("public") && !shown.contains("hidden"), "{shown}");
        assert_eq!(BulkReply::decode(&authority.encode()), Ok(authority));
    }
}
