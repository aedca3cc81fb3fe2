//! What the entries of the log say: a command for the engine, or one for the control state beside it.

use crate::access::AccessCommand;
use crate::codec::{self, Blob, CodecError};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The identity of a component: the BLAKE3 hash of its bytes.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

/// One entry: the leader's time and what is to be done.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct Stamped<'a> {
    /// Milliseconds since 1970 by the leader's clock. Applying takes care that time never goes back.
    pub time_ms: u64,
    /// What is to be done.
    #[serde(borrow)]
    pub command: Command<'a>,
}

/// Everything that an entry can ask for.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub enum Command<'a> {
    /// An argument vector for the engine, its name first.
    Engine(#[serde(borrow)] Vec<Blob<'a>>),
    /// The cluster's first engine. Only the first such entry counts.
    Genesis(EngineRecord),
    /// A component is known and may be fetched from the node that pushed it.
    EngineStage(EngineRecord),
    /// A node has it ready, or can't run it.
    EngineVote(EngineVote),
    /// Switch every node from one engine to another at this entry's index.
    Upgrade(Upgrade),
    /// As `Engine`, within a session: done once, however often it stands in the log.
    EngineOnce {
        /// Which request it is.
        id: RequestId,
        /// The name first.
        #[serde(borrow)]
        arguments: Vec<Blob<'a>>,
    },
    /// Commands for the engine, in order: all or none.
    Transaction {
        /// Each with its name first.
        #[serde(borrow)]
        commands: Vec<Vec<Blob<'a>>>,
        /// Nothing is done unless this watcher is there and unbroken. It is used up either way.
        watcher: Option<u64>,
        /// Which request it is, if it is to be done once.
        id: Option<RequestId>,
    },
    /// Note whether one of these keys is written. The number of a new watcher is this entry's index.
    Watch {
        /// The watcher that is to have these keys too.
        watcher: Option<u64>,
        /// The keys.
        #[serde(borrow)]
        keys: Vec<Blob<'a>>,
    },
    /// Forget a watcher.
    Unwatch {
        /// Its number.
        watcher: u64,
    },
    /// Open a session; its number is this entry's index.
    SessionOpen,
    /// Forget a session and its replies.
    SessionClose {
        /// Its number.
        session: u64,
    },
    /// Who belongs to the cluster, and what each may do.
    Access(AccessCommand),
}

impl Command<'_> {
    /// Its name in its session, if it is to be done once.
    pub fn request_id(&self) -> Option<RequestId> {
        match self {
            Command::EngineOnce { id, .. } => Some(*id),
            Command::Transaction { id, .. } => *id,
            Command::Engine(_)
            | Command::Genesis(_)
            | Command::EngineStage(_)
            | Command::EngineVote(_)
            | Command::Upgrade(_)
            | Command::Watch { .. }
            | Command::Unwatch { .. }
            | Command::SessionOpen
            | Command::SessionClose { .. }
            | Command::Access(_) => None,
        }
    }
}

/// The name of a request within a session (Ongaro's thesis, section 6.3): the same for each attempt at it, so that it is
/// done once and answered alike each time.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct RequestId {
    /// From [`crate::client::Response::SessionOpened`].
    pub session: u64,
    /// The session's requests are numbered by their client; they may be under way at the same time, and overtake one another.
    pub sequence: u64,
    /// All requests of the session with a smaller sequence are answered: their replies may be forgotten. Never more than
    /// `sequence`, and less than [`crate::limits::SESSION_OUTSTANDING_MAX`] behind it.
    pub settled_below: u64,
}

/// What the control state keeps of a component; the bytes lie in each node's library.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct EngineRecord {
    /// Its identity.
    pub digest: Digest,
    /// From its manifest.
    pub name: String,
    /// From its manifest.
    pub version: String,
    /// The table layout that it writes.
    pub schema: u32,
    /// The layouts that it also takes over as they are.
    pub reads_schemas: Vec<u32>,
    /// The component's length.
    pub bytes: u64,
}

/// One node's word on one component.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct EngineVote {
    /// Whose word.
    pub node: u64,
    /// On what.
    pub digest: Digest,
    /// The number of the execution environment that it was tried in: nodes must agree on it before a switch.
    pub environment: u32,
    /// None: on disk, compiled and instantiated. Else the reason why not.
    pub refusal: Option<String>,
}

/// A switch of engines; valid only while `from` is the active one.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct Upgrade {
    /// The engine that the operator believes to be active.
    pub from: Digest,
    /// The one that is to take over.
    pub to: Digest,
}

impl Stamped<'_> {
    /// The entry's payload.
    pub fn encode(&self) -> Vec<u8> {
        let bytes = |blobs: &[Blob<'_>]| blobs.iter().map(|blob| blob.0.len() + 4).sum::<usize>();
        let room = match &self.command {
            Command::Engine(arguments) => bytes(arguments) + 24,
            Command::EngineOnce { arguments, .. } => bytes(arguments) + 48,
            Command::Transaction { commands, .. } => commands.iter().map(|c| bytes(c) + 4).sum::<usize>() + 64,
            Command::Watch { keys, .. } => bytes(keys) + 32,
            Command::Unwatch { .. } | Command::SessionOpen | Command::SessionClose { .. } => 32,
            Command::Genesis(_)
            | Command::EngineStage(_)
            | Command::EngineVote(_)
            | Command::Upgrade(_)
            | Command::Access(_) => 128,
        };
        codec::encode_into(self, Vec::with_capacity(room))
    }

    /// Reads an entry's payload without copying its arguments.
    pub fn decode(bytes: &[u8]) -> Result<Stamped<'_>, CodecError> {
        codec::decode(bytes)
    }
}

impl EngineRecord {
    /// Its value in the control state's tables.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads it back.
    pub fn decode(bytes: &[u8]) -> Result<EngineRecord, CodecError> {
        codec::decode(bytes)
    }

    /// `kv 0.1.0`.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// Whether this engine can take over tables of the given layout as they are.
    pub fn takes_over(&self, schema: u32) -> bool {
        self.schema == schema || self.reads_schemas.contains(&schema)
    }
}

impl EngineVote {
    /// Its value in the control state's tables.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads it back.
    pub fn decode(bytes: &[u8]) -> Result<EngineVote, CodecError> {
        codec::decode(bytes)
    }
}

impl Digest {
    /// The first eight hexadecimal digits, for people.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }

    /// Whether the text is a prefix (at least four digits) of this digest in hexadecimal.
    pub fn starts_with(&self, prefix: &str) -> bool {
        prefix.len() >= 4 && self.to_string().starts_with(&prefix.to_ascii_lowercase())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_command_survives_and_borrows() {
        let stamped = Stamped { time_ms: 7, command: Command::Engine(vec![Blob(b"SET"), Blob(b"k"), Blob(b"\0")]) };
        let bytes = stamped.encode();
        assert_eq!(Stamped::decode(&bytes).expect("own bytes"), stamped);
    }

    #[test]
    fn a_transaction_survives_and_every_truncation_is_an_error() {
        let commands = vec![vec![Blob(b"INCR"), Blob(b"k")], vec![Blob(b"GET"), Blob(b"k")]];
        let id = Some(RequestId { session: 300, sequence: 9, settled_below: 4 });
        let stamped = Stamped { time_ms: 7, command: Command::Transaction { commands, watcher: Some(5), id } };
        let bytes = stamped.encode();
        assert_eq!(Stamped::decode(&bytes).expect("own bytes"), stamped);
        for cut in 0..bytes.len() {
            assert!(Stamped::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_digest_is_named_by_a_prefix_of_at_least_four_digits() {
        let digest = Digest([0xab; 32]);
        assert_eq!(digest.short(), "abababab");
        assert!(digest.starts_with("ABAB") && !digest.starts_with("aba") && !digest.starts_with("abac"));
    }
}
