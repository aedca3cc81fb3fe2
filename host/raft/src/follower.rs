//! The follower: takes the leader's entries, and notices when there is no leader.
//!
//! It accepts an Append only where the logs agree, truncates only on a real conflict (an old, shorter Append never
//! drops a newer tail), acknowledges no more than the Append at hand, and only once that is durable.

use crate::asking::Asking;
use crate::message::Message;
use crate::role::Change;
use crate::shared::Shared;
use crate::timer::Timer;
use crate::types::{Entry, Index, NodeId, Position, Term};

/// A node that follows, or waits for someone to follow.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) struct Follower {
    pub(crate) leader: Option<NodeId>,
    pub(crate) timer: Timer,
    pub(crate) asking: Asking,
}

impl Follower {
    pub(crate) fn new(leader: Option<NodeId>, timer: Timer) -> Follower {
        Follower { leader, timer, asking: Asking::default() }
    }

    pub(crate) fn tick(&mut self, shared: &mut Shared) -> Option<Change> {
        self.asking.tick(shared, self.leader);
        (self.timer.tick() && shared.is_promotable()).then_some(Change::PreCampaign)
    }

    /// A leader was heard within an election timeout: no reason to help anyone else into office.
    pub(crate) fn has_live_leader(&self, election_timeout_ticks: u32) -> bool {
        self.leader.is_some() && self.timer.elapsed() < election_timeout_ticks
    }

    /// A message of this term.
    pub(crate) fn step(&mut self, shared: &mut Shared, from: NodeId, message: Message) -> Option<Change> {
        match message {
            Message::Append { prev, entries, commit } => {
                self.follow(from);
                on_append(shared, from, prev, entries, commit);
            }
            Message::Heartbeat { commit, read_round } => {
                self.follow(from);
                on_commit(shared, commit);
                shared.reply_to_heartbeat(from, read_round);
            }
            Message::Commit { commit } => {
                self.follow(from);
                on_commit(shared, commit);
            }
            Message::TimeoutNow => {
                let asked = self.leader == Some(from) && shared.is_promotable();
                return asked.then_some(Change::Campaign { transfer: true });
            }
            Message::Readmitted { incarnation, upto } => shared.on_readmitted(incarnation, upto),
            Message::ReadIndexReply { ticket, index } => {
                shared.out.barriers.extend(self.asking.on_answer(ticket, index));
            }
            Message::PreVote { .. }
            | Message::PreVoteReply { .. }
            | Message::Vote { .. }
            | Message::VoteReply { .. }
            | Message::AppendAccept { .. }
            | Message::AppendReject { .. }
            | Message::HeartbeatReply { .. }
            | Message::StaleTerm
            | Message::Removed { .. }
            | Message::Suspended { .. }
            | Message::ReadIndex { .. } => {}
        }
        None
    }

    /// Asks the leader on behalf of the reads that wait here.
    pub(crate) fn flush(&mut self, shared: &mut Shared) {
        if let Some(leader) = self.leader {
            self.asking.flush(shared, leader);
        }
    }

    /// The leader of this term was heard.
    pub(crate) fn follow(&mut self, leader: NodeId) {
        assert!(self.leader.is_none_or(|known| known == leader), "one leader per term");
        self.leader = Some(leader);
        self.timer.reset();
    }
}

fn on_append(shared: &mut Shared, from: NodeId, prev: Position, entries: Vec<Entry>, commit: Index) {
    if shared.installing.is_some() || !is_well_formed(shared.term, prev, &entries) {
        return;
    }
    let last = prev.index.max(entries.last().map_or(Index(0), |entry| entry.index)).max(shared.commit);
    let (prev, entries) = skip_committed(shared, prev, entries);
    if !shared.log.contains(prev) {
        let hint = shared.log.last_not_above(prev.index, prev.term).unwrap_or(shared.log.base());
        shared.send(from, Message::AppendReject { prev: prev.index, hint });
        return;
    }
    take(shared, entries);
    shared.commit_to(commit.min(last).max(shared.commit));
    shared.accept(from, last);
}

/// Consecutive after `prev`, with ascending terms up to the sender's. Anything else comes from a broken sender.
fn is_well_formed(term: Term, prev: Position, entries: &[Entry]) -> bool {
    let mut before = prev;
    entries.iter().all(|entry| {
        let follows = entry.index == before.index.next() && entry.term >= before.term;
        before = entry.position();
        follows
    }) && before.term <= term
}

/// What is committed here agrees with every later leader's log and may be compacted: only what follows is compared.
fn skip_committed(shared: &Shared, prev: Position, mut entries: Vec<Entry>) -> (Position, Vec<Entry>) {
    if prev.index >= shared.commit {
        return (prev, entries);
    }
    let known = entries.iter().take_while(|entry| entry.index <= shared.commit).count();
    for entry in entries.drain(..known) {
        let term = shared.log.term_at(entry.index);
        assert!(term.is_none_or(|term| term == entry.term), "a leader has every committed entry");
    }
    let term = shared.log.term_at(shared.commit).expect("the log reaches back to its base");
    (Position { index: shared.commit, term }, entries)
}

/// Appends what is new, after truncating what conflicts.
fn take(shared: &mut Shared, mut entries: Vec<Entry>) {
    let Some(new) = entries.iter().position(|entry| !shared.log.contains(entry.position())) else {
        return;
    };
    let first = entries[new].index;
    if first <= shared.log.last().index {
        shared.truncate(first);
    }
    for entry in entries.drain(new..) {
        shared.append(entry);
    }
}

/// The leader clamps what it says to what is known to agree; the end of the log is a second fence. A leader that has not
/// heard of a loss here knows of an agreement that is gone.
fn on_commit(shared: &mut Shared, commit: Index) {
    if shared.installing.is_none() && shared.suspended.is_none() {
        shared.commit_to(commit.min(shared.log.last().index));
    }
}
