//! What clients ask and what they are told. A reply that is not a success says whether the thing was done:
//! [`Response::NotDone`] and [`Response::Overloaded`] were not, [`Response::Unknown`] perhaps, [`Response::Rejected`] was
//! decided, alike on every node.

use crate::access::{AccessCommand, AccessLists, EnrolRefusal, Enrolled, MemberChange, MemberInfo};
use crate::bulk::Readiness;
use crate::codec::{self, CodecError};
pub use crate::command::RequestId;
use crate::command::{Digest, EngineRecord};
use crate::status::{ClusterStatus, NodeStatus};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One question of a client.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct Request {
    /// How long the node may wait before it answers that it doesn't know, in milliseconds.
    pub timeout_ms: u32,
    /// What is asked.
    pub body: RequestBody,
}

/// What can be asked.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub enum RequestBody {
    /// A command for the engine; its manifest says whether it goes through the log.
    Command {
        /// The name first.
        arguments: Vec<Bytes>,
        /// What a read may show. Writes are always linearizable.
        consistency: Consistency,
        /// Makes a write safe to send again: done once, and answered alike each time. A read needs none.
        id: Option<RequestId>,
    },
    /// How the whole cluster is, gathered by the node that is asked.
    Status,
    /// How the node is that is asked.
    NodeStatus,
    /// The engines that the cluster knows.
    EngineList,
    /// Switch to a staged engine.
    EngineUpgrade {
        /// At least four hexadecimal digits of its digest.
        digest: String,
    },
    /// Hand leadership over; to the most caught-up voter when none is named.
    LeaderTransfer {
        /// The node that is to lead.
        to: Option<u64>,
    },
    /// Among nodes only: put this control command (a [`crate::command::Command`], encoded in a `Stamped`) into the log.
    Control {
        /// The encoded command; its time is stamped anew by the leader.
        command: Bytes,
    },
    /// Commands that are done in one entry, in order, each seeing the writes of those before it: all or none. The answer
    /// is [`Response::Replies`], or the first refusal, or [`Response::WatchBroken`].
    Transaction {
        /// At least one and at most [`crate::limits::TRANSACTION_COMMANDS_MAX`]; each with its name first.
        commands: Vec<Vec<Bytes>>,
        /// Nothing is done unless this watcher is there and unbroken. It is used up either way.
        watcher: Option<u64>,
        /// Makes it safe to send again.
        id: Option<RequestId>,
    },
    /// From now on, note whether one of these keys is written. Safe to send again: a second watcher expires unused.
    Watch {
        /// The watcher that is to have these keys too; none makes a new one.
        watcher: Option<u64>,
        /// As an engine's manifest tells which arguments are keys.
        keys: Vec<Bytes>,
    },
    /// The watcher is not needed any more. Safe to send again.
    Unwatch {
        /// Its number.
        watcher: u64,
    },
    /// Open a session, within which requests are numbered ([`RequestId`]). Safe to send again: a second session expires
    /// unused.
    SessionOpen,
    /// The session is not needed any more, nor are its replies. Safe to send again.
    SessionClose {
        /// Its number.
        session: u64,
    },
    /// Who the members are, as the leader sees them.
    MemberList,
    /// Change the members. Safe to send again where doing it twice is refused.
    MemberChange {
        /// What is to change.
        change: MemberChange,
        /// Even if voters are silent or a learner lags.
        forced: bool,
        /// Only say whether it would be taken.
        dry_run: bool,
    },
    /// Change who belongs to the cluster and what each may do.
    Access(AccessCommand),
    /// Every token and every client.
    AccessLists,
    /// A new certificate for whoever asks, for the key of this request (PKCS #10).
    Renew {
        /// In DER.
        request: Bytes,
    },
}

/// What a read may show.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default, Serialize, Deserialize)]
pub enum Consistency {
    /// Everything that was acknowledged before the read began.
    #[default]
    Linearizable,
    /// What the asked node has applied, however old.
    Stale,
    /// As [`Consistency::Linearizable`], but carried out by the asked node, also by a follower or learner: the leader only says how far
    /// that node must have applied. It spares the leader. Expiry is judged by the asked node's clock, never behind the log's time.
    Follower,
}

/// The answer, with a hint where to ask next time.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The leader as far as the answering node knows, if it is another one: asking there saves a hop.
    pub leader: Option<Hint>,
    /// The answer proper.
    pub response: Response,
}

/// Where a node can be reached.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct Hint {
    /// The node.
    pub node: u64,
    /// `host:port` as the cluster knows it.
    pub address: String,
}

/// What a node answers.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub enum Response {
    /// The engine's reply, one value in RESP3 notation.
    Reply(Bytes),
    /// Decided: the engine (or a limit) refused it and nothing was changed. The text of a Redis error, without its minus.
    Rejected(String),
    /// Decided: the engine failed at it (trap, fuel, memory, malformed reply) and nothing was changed.
    Failed(String),
    /// Not done, and safe to ask again: no leader, starting, or shutting down.
    NotDone(String),
    /// Not done: too much is waiting already.
    Overloaded,
    /// Perhaps done: it was sent to the log and no outcome is known.
    Unknown(String),
    /// The request itself is wrong: what about it.
    Invalid(String),
    /// The cluster's state.
    Status(Box<ClusterStatus>),
    /// One node's state.
    NodeStatus(Box<NodeStatus>),
    /// The engines.
    Engines(Vec<EngineInfo>),
    /// The switch is done on the answering node and decided for all.
    Upgraded(Box<Upgraded>),
    /// The switch is refused: why. Recorded nowhere or as a no-op; the running engine goes on.
    UpgradeRefused(String),
    /// Leadership moved, or was asked to move, to this node.
    Transferred {
        /// The new leader.
        to: u64,
        /// Its term.
        term: u64,
    },
    /// A control command is committed and applied.
    Done,
    /// A transaction's replies, one for each command.
    Replies(Vec<Bytes>),
    /// Decided: a watched key was written, or the watcher is unknown or expired. Nothing of the transaction was done.
    WatchBroken,
    /// The keys are watched.
    Watching {
        /// The watcher's number.
        watcher: u64,
    },
    /// The session is open.
    SessionOpened {
        /// Its number.
        session: u64,
    },
    /// The session is unknown, closed or expired. This attempt did nothing; an earlier one of the same request may have.
    SessionGone,
    /// Decided before: the request was done, and its reply is not kept any more.
    Forgotten,
    /// The members.
    Members(Vec<MemberInfo>),
    /// Somebody belongs to the cluster from now on.
    Enrolled(Enrolled),
    /// Decided: nobody came in.
    EnrolRefused(EnrolRefusal),
    /// Nothing was changed: why. Asking again is refused again until something else has changed.
    ChangeRefused {
        /// For a person.
        reason: String,
        /// It is refused because of the risk, and can be forced.
        can_be_forced: bool,
    },
    /// Every token and every client.
    AccessLists(Box<AccessLists>),
    /// Whoever asks may not do this: which role may. Nothing was done.
    Forbidden(String),
    /// A new certificate.
    Certificate {
        /// In PEM.
        certificate: String,
        /// The authority's, in PEM.
        authority: String,
    },
}

/// One engine that the cluster knows.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct EngineInfo {
    /// What it is.
    pub engine: EngineRecord,
    /// Whether it is the one that runs.
    pub active: bool,
    /// Each voter's word.
    pub nodes: Vec<(u64, Readiness)>,
}

/// A switch of engines, as it happened on the node that answers.
#[derive(Clone, Eq, PartialEq, Debug, Serialize, Deserialize)]
pub struct Upgraded {
    /// What ran before.
    pub from: EngineRecord,
    /// What runs now.
    pub to: EngineRecord,
    /// The index of the entry that switched.
    pub index: u64,
    /// For how long no command was applied because of the switch, in microseconds.
    pub pause_us: u64,
}

impl Request {
    /// As a frame.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// From a frame.
    pub fn decode(bytes: &[u8]) -> Result<Request, CodecError> {
        codec::decode_owned(bytes)
    }
}

impl Answer {
    /// As a frame.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// From a frame.
    pub fn decode(bytes: &[u8]) -> Result<Answer, CodecError> {
        codec::decode_owned(bytes)
    }
}

impl RequestBody {
    /// The name within a session of a request that has one.
    pub fn id(&self) -> Option<RequestId> {
        match self {
            RequestBody::Command { id, .. } | RequestBody::Transaction { id, .. } => *id,
            RequestBody::Status
            | RequestBody::NodeStatus
            | RequestBody::EngineList
            | RequestBody::EngineUpgrade { .. }
            | RequestBody::LeaderTransfer { .. }
            | RequestBody::Control { .. }
            | RequestBody::Watch { .. }
            | RequestBody::Unwatch { .. }
            | RequestBody::SessionOpen
            | RequestBody::SessionClose { .. }
            | RequestBody::MemberList
            | RequestBody::MemberChange { .. }
            | RequestBody::Access(_)
            | RequestBody::AccessLists
            | RequestBody::Renew { .. } => None,
        }
    }

    /// Names the request within a session, if it is of a kind that can have such a name, or takes the name away.
    pub fn set_id(&mut self, new: Option<RequestId>) {
        match self {
            RequestBody::Command { id, .. } | RequestBody::Transaction { id, .. } => *id = new,
            RequestBody::Status
            | RequestBody::NodeStatus
            | RequestBody::EngineList
            | RequestBody::EngineUpgrade { .. }
            | RequestBody::LeaderTransfer { .. }
            | RequestBody::Control { .. }
            | RequestBody::Watch { .. }
            | RequestBody::Unwatch { .. }
            | RequestBody::SessionOpen
            | RequestBody::SessionClose { .. }
            | RequestBody::MemberList
            | RequestBody::MemberChange { .. }
            | RequestBody::Access(_)
            | RequestBody::AccessLists
            | RequestBody::Renew { .. } => {}
        }
    }
}

/// What an answer says of its request, as far as whoever passed the request on has to know.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Standing {
    /// Anything that is an end.
    Decided,
    /// [`Response::NotDone`].
    NotDone,
    /// [`Response::Overloaded`].
    Overloaded,
    /// [`Response::Unknown`].
    Unknown,
    /// [`Response::SessionGone`].
    SessionGone,
}

impl Standing {
    /// Reads an encoded [`Answer`] only as far as it must.
    pub fn of(answer: &[u8]) -> Standing {
        // As `Answer` begins: the hint, then the number of the response's variant.
        type Head<'a> = (Option<(u64, &'a str)>, u32);
        match codec::decode_head::<Head<'_>>(answer) {
            Ok((_, 3)) => Standing::NotDone,
            Ok((_, 4)) => Standing::Overloaded,
            Ok((_, 5)) => Standing::Unknown,
            Ok((_, 18)) => Standing::SessionGone,
            Ok(_) | Err(_) => Standing::Decided,
        }
    }
}

impl Response {
    /// Whether asking again can't do anything twice.
    pub fn is_safe_to_retry(&self) -> bool {
        matches!(self, Response::NotDone(_) | Response::Overloaded)
    }
}

/// Names an engine in messages for people: `kv 0.1.0 (9f2c41d7)`.
pub fn engine_title(engine: &EngineRecord) -> String {
    format!("{} ({})", engine.title(), Digest::short(&engine.digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_survive_the_round_trip() {
        let request = Request {
            timeout_ms: 1_000,
            body: RequestBody::Command {
                arguments: vec![Bytes::from_static(b"GET"), Bytes::from_static(b"\0")],
                consistency: Consistency::Stale,
                id: Some(RequestId { session: 7, sequence: 3, settled_below: 2 }),
            },
        };
        assert_eq!(Request::decode(&request.encode()), Ok(request));
        let answer = Answer {
            leader: Some(Hint { node: 2, address: "127.0.0.1:1".into() }),
            response: Response::Reply(Bytes::from_static(b"+OK\r\n")),
        };
        assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
    }

    #[test]
    fn an_encoded_answer_tells_how_its_request_stands() {
        let all = [
            (Response::Reply(Bytes::from_static(b"+OK\r\n")), Standing::Decided),
            (Response::Rejected("ERR".into()), Standing::Decided),
            (Response::NotDone("no leader".into()), Standing::NotDone),
            (Response::Overloaded, Standing::Overloaded),
            (Response::Unknown("lost".into()), Standing::Unknown),
            (Response::Done, Standing::Decided),
            (Response::WatchBroken, Standing::Decided),
            (Response::SessionGone, Standing::SessionGone),
            (Response::Forgotten, Standing::Decided),
        ];
        for (response, standing) in all {
            for leader in [None, Some(Hint { node: 300, address: "127.0.0.1:4410".into() })] {
                let answer = Answer { leader, response: response.clone() };
                assert_eq!(Standing::of(&answer.encode()), standing, "{answer:?}");
            }
        }
        assert_eq!(Standing::of(b""), Standing::Decided);
    }
}
