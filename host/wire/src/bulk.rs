//! How the long transfers begin: the header of a bulk stream and the answer at its end. What flows between is raw bytes
//! in chunks of the net room.

use crate::codec::{self, CodecError};
use crate::command::{Digest, EngineRecord};
use crate::peer::WireSnapshotMeta;
use serde::{Deserialize, Serialize};

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
        /// In PEM: a secret.
        key: String,
    },
    /// Of the listed chunks of a snapshot these are not here: a bit for each, the lowest first.
    Wanted {
        /// As many bytes as there are eights of chunks, rounded up.
        chunks: Vec<u8>,
    },
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
}
