//! How a call can end badly, sorted by what the caller may do next.

/// Why there is no answer, or a refusal instead of one.
#[derive(Clone, Eq, PartialEq, Debug, thiserror::Error)]
pub enum ClientError {
    /// Not done: no node could be reached, or none had a leader, until the deadline. Safe to ask again.
    #[error("{0}")]
    Unavailable(String),
    /// No answer until the deadline to something that is harmless to ask again.
    #[error("no answer within {0} ms")]
    Timeout(u64),
    /// Perhaps done: it was sent, and no outcome is known. With sessions ([`crate::Options::sessions`]) this is what is left when no
    /// node answered a retry until the deadline, or the reply was lost for longer than the cluster keeps it.
    #[error("{0}")]
    Unknown(String),
    /// Decided, alike on every node: refused, and nothing was changed. The text of a Redis error without its minus.
    #[error("{0}")]
    Rejected(String),
    /// Decided, alike on every node: the engine broke on it, and nothing was changed.
    #[error("{0}")]
    Failed(String),
    /// Decided, alike on every node: a watched key was written, or its watcher is too old. Nothing of the transaction was done.
    #[error("a watched key was written; nothing of the transaction was done")]
    WatchBroken,
    /// The request can't be asked so: the call has to be changed.
    #[error("{0}")]
    Invalid(String),
    /// The cluster doesn't take these credentials, or they don't take it.
    #[error("{0}")]
    Auth(String),
    /// Nothing was changed, as things stand: a member that is none, a name that is taken. Something else has to change first.
    #[error("{0}")]
    Conflict(String),
    /// Nothing was changed, because of the risk: why. It can be forced.
    #[error("{0}")]
    AtRisk(String),
    /// The cluster knows this client, and its role does not allow that. Nothing was done.
    #[error("{0}")]
    Forbidden(String),
    /// A component was not taken, or an upgrade was refused: why. The running engine goes on.
    #[error("{0}")]
    Refused(String),
    /// The node's answer can't be understood: another version of the program, most likely.
    #[error("{0}")]
    Protocol(String),
}

impl ClientError {
    /// Whether the same call may be made again without any risk of doing something twice.
    pub fn is_safe_to_retry(&self) -> bool {
        match self {
            ClientError::Unavailable(_) | ClientError::Timeout(_) => true,
            ClientError::Unknown(_)
            | ClientError::Rejected(_)
            | ClientError::Failed(_)
            | ClientError::WatchBroken
            | ClientError::Invalid(_)
            | ClientError::Auth(_)
            | ClientError::Conflict(_)
            | ClientError::AtRisk(_)
            | ClientError::Forbidden(_)
            | ClientError::Refused(_)
            | ClientError::Protocol(_) => false,
        }
    }
}
