//! What a batch of entries collects until it is committed, and which part of an outcome enters the hash chain.

use crate::control::{MARK_EVERY, RECENT_MARKS};
use crate::reply::Reply;
use outboard_store::{Transaction, View};
use outboard_wire::access::{EnrolRefusal, Enrolled};
use outboard_wire::client::Response;
use outboard_wire::command::EngineRecord;
use outboard_wire::status::ChainMark;
use std::borrow::Cow;
use std::sync::Arc;

/// Kinds of outcomes in the hash chain. Never renumber.
pub(super) mod outcome {
    pub(crate) const EMPTY: u8 = 0;
    pub(crate) const REPLY: u8 = 1;
    pub(crate) const REJECTED: u8 = 2;
    pub(crate) const FAILED: u8 = 3;
    pub(crate) const CONTROL: u8 = 4;
    pub(crate) const REPLIES: u8 = 5;
    pub(crate) const WATCH_BROKEN: u8 = 6;
    /// A request that is not done because of what its session knows.
    pub(crate) const ANSWERED: u8 = 7;
}

/// A batch in the making.
pub(super) struct Batch {
    pub(super) txn: Transaction,
    pub(super) marks: Vec<ChainMark>,
    pub(super) replies: Vec<(Reply, Response)>,
    pub(super) control_changed: bool,
    pub(super) stalled_for: Option<EngineRecord>,
}

impl Batch {
    pub(super) fn new(view: Arc<dyn View>) -> Batch {
        let txn = Transaction::new(view);
        Batch { txn, marks: Vec::new(), replies: Vec::new(), control_changed: false, stalled_for: None }
    }

    /// The marks that are worth telling: the newest, and those that all nodes keep.
    pub(super) fn told_marks(&mut self) -> Vec<ChainMark> {
        let mut marks = std::mem::take(&mut self.marks);
        let newest = marks.len().saturating_sub(RECENT_MARKS);
        let recent = marks.split_off(newest);
        marks.retain(|mark| mark.index.is_multiple_of(MARK_EVERY));
        marks.extend(recent);
        marks
    }
}

/// The part of a response that enters the hash chain: what the asker gets, without what differs between nodes.
pub(super) fn chained(response: &Response) -> Cow<'_, [u8]> {
    Cow::Borrowed(match response {
        Response::Reply(bytes) => bytes,
        Response::Rejected(text) | Response::Failed(text) => text.as_bytes(),
        Response::UpgradeRefused(reason) | Response::Invalid(reason) => reason.as_bytes(),
        Response::Upgraded(upgraded) => &upgraded.to.digest.0,
        Response::Done => b"",
        Response::Replies(replies) => {
            let each = replies.iter().flat_map(|reply| [&(reply.len() as u64).to_le_bytes()[..], reply].concat());
            return Cow::Owned(each.collect());
        }
        Response::Watching { watcher: number } | Response::SessionOpened { session: number } => {
            return Cow::Owned(number.to_le_bytes().to_vec());
        }
        Response::WatchBroken => b"watch broken",
        Response::SessionGone => b"session gone",
        Response::Forgotten => b"forgotten",
        Response::Overloaded => b"overloaded",
        Response::Enrolled(Enrolled::Node { node, name }) => {
            return Cow::Owned([&node.to_le_bytes()[..], name.as_bytes()].concat());
        }
        Response::Enrolled(Enrolled::Client { name }) => name.as_bytes(),
        Response::EnrolRefused(why) => match why {
            EnrolRefusal::UnknownToken => b"unknown token",
            EnrolRefusal::Expired => b"expired",
            EnrolRefusal::UsedUp => b"used up",
            EnrolRefusal::Removed => b"removed",
            EnrolRefusal::Name(why) | EnrolRefusal::Full(why) => why.as_bytes(),
        },
        Response::ChangeRefused { reason, .. } => reason.as_bytes(),
        Response::NotDone(_)
        | Response::Unknown(_)
        | Response::Status(_)
        | Response::NodeStatus(_)
        | Response::Engines(_)
        | Response::Transferred { .. }
        | Response::Members(_)
        | Response::AccessLists(_)
        | Response::Forbidden(_)
        | Response::Certificate { .. } => unreachable!("not an outcome of an entry"),
    })
}
