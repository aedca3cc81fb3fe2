//! Why a node does not start, and why one stops by itself. Sorted by what the operator does next.

use outboard_net::{CredentialsError, NetError};
use outboard_sandbox::{NodeFault, Refusal, SandboxError};
use outboard_store::StoreError;
use outboard_wal::WalError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a node did not start. Nothing was changed in its folder but what recovery may cut.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the folder. Duty: stop that one first.
    #[error("the data folder {} is in use by another process", dir.display())]
    Locked {
        /// The data folder.
        dir: PathBuf,
    },
    /// No node lives there. Duty: make one with `cluster init`, or name the right folder.
    #[error("{} holds no node: {what}", dir.display())]
    NotANode {
        /// The data folder.
        dir: PathBuf,
        /// What is missing or wrong.
        what: String,
    },
    /// The folder mixes two clusters. Duty: name the right folder.
    #[error("the data folder {} mixes two clusters: {what}", dir.display())]
    OtherCluster {
        /// The data folder.
        dir: PathBuf,
        /// Which file says what.
        what: String,
    },
    /// The node that lived there is no member any more. Duty: delete the folder; to come back, join as a new node.
    #[error("the node in {} was removed from its cluster: {why}", dir.display())]
    Removed {
        /// The data folder.
        dir: PathBuf,
        /// What it was told.
        why: String,
    },
    /// Bytes that were durable are damaged. Duty: don't delete anything; the other nodes hold the data.
    #[error("{0}")]
    Corrupt(String),
    /// No room on the disk. Duty: make room and start again.
    #[error("{0}")]
    Full(String),
    /// The folder or a file in it can't be read or written. Duty: fix its owner and mode.
    #[error("cannot use {}: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// Someone listens there already. Duty: stop that one or name another address.
    #[error("the address {0} is in use")]
    AddressInUse(SocketAddr),
    /// The certificate or key is unusable.
    #[error("{0}")]
    Identity(#[from] CredentialsError),
    /// The engine given at the start is no engine.
    #[error("the engine given with --engine is refused: {0}")]
    Engine(#[from] Refusal),
    /// WebAssembly can't run here.
    #[error("{0}")]
    Sandbox(#[from] SandboxError),
    /// The network can't be used.
    #[error("{0}")]
    Net(String),
    /// Anything else of the log or the tables.
    #[error("{0}")]
    Storage(String),
}

impl StartError {
    pub(crate) fn wal(error: WalError, dir: &std::path::Path) -> StartError {
        match error {
            WalError::Locked { .. } => StartError::Locked { dir: dir.to_owned() },
            WalError::OtherCluster { .. } => StartError::OtherCluster { dir: dir.to_owned(), what: error.to_string() },
            WalError::Corrupt { .. } => StartError::Corrupt(error.to_string()),
            WalError::Full { .. } => StartError::Full(error.to_string()),
            WalError::Io { source, file, .. } => StartError::Folder { path: file.into(), source },
            WalError::Version { .. } | WalError::NotInLog { .. } | WalError::Halted => {
                StartError::Storage(error.to_string())
            }
        }
    }

    pub(crate) fn store(error: StoreError, dir: &std::path::Path) -> StartError {
        match error {
            StoreError::Locked { .. } => StartError::Locked { dir: dir.to_owned() },
            StoreError::Corrupt { .. } => StartError::Corrupt(error.to_string()),
            StoreError::Full { .. } => StartError::Full(error.to_string()),
            StoreError::Io { source, .. } => StartError::Folder { path: dir.join("tables"), source },
            StoreError::NotAStore { .. }
            | StoreError::Format { .. }
            | StoreError::Halted { .. }
            | StoreError::KeyTooLong { .. }
            | StoreError::Snapshot { .. } => StartError::Storage(error.to_string()),
        }
    }

    pub(crate) fn net(error: NetError) -> StartError {
        StartError::Net(error.to_string())
    }
}

/// The node stopped by itself: going on could lose or falsify data, or it is no member any more. The others go on without it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the node {}: {reason}", if *kind == HaltKind::Removed { "stopped" } else { "halted" })]
pub struct Halt {
    /// Sorted for the exit code.
    pub kind: HaltKind,
    /// What happened, for a person.
    pub reason: String,
}

/// Why a node halts.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum HaltKind {
    /// A disk refused a write or a sync.
    Disk,
    /// A disk has no room.
    Full,
    /// Bytes that were durable are damaged.
    Corruption,
    /// A fault of this machine below an engine (no memory, say).
    Machine,
    /// The cluster goes on without this node, for good.
    Removed,
}

impl From<WalError> for Halt {
    fn from(error: WalError) -> Halt {
        let kind = match &error {
            WalError::Corrupt { .. } => HaltKind::Corruption,
            WalError::Full { .. } => HaltKind::Full,
            WalError::Locked { .. }
            | WalError::OtherCluster { .. }
            | WalError::Version { .. }
            | WalError::NotInLog { .. }
            | WalError::Io { .. }
            | WalError::Halted => HaltKind::Disk,
        };
        Halt { kind, reason: error.to_string() }
    }
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Halt {
        let kind = match &error {
            StoreError::Corrupt { .. } => HaltKind::Corruption,
            StoreError::Full { .. } | StoreError::Halted { full: true, .. } => HaltKind::Full,
            StoreError::Locked { .. }
            | StoreError::NotAStore { .. }
            | StoreError::Format { .. }
            | StoreError::Io { .. }
            | StoreError::Halted { full: false, .. }
            | StoreError::KeyTooLong { .. }
            | StoreError::Snapshot { .. } => HaltKind::Disk,
        };
        Halt { kind, reason: error.to_string() }
    }
}

impl From<NodeFault> for Halt {
    fn from(fault: NodeFault) -> Halt {
        match fault {
            NodeFault::Store(error) => error.into(),
            NodeFault::Memory(_) => Halt { kind: HaltKind::Machine, reason: fault.to_string() },
        }
    }
}
