//! What a node knows in every role: its term and vote, the log, the membership, the commit index, and the outgoing
//! work that the next ready collects.
//!
//! Invariants: the term never goes back; a vote is given once per term; commit never goes back and never passes the
//! log's end; a promise to another node (a vote, an accepted Append) is queued behind the write that it speaks of.

use crate::apply::{Applying, Next};
use crate::history::History;
use crate::log::{Log, Room};
use crate::membership::Membership;
use crate::message::{Envelope, Message};
use crate::ready::{LogPurpose, LogRequest, Persist, Ready, SnapshotMeta};
use crate::suspension::Suspension;
use crate::terms::Terms;
use crate::timer::{Random, Timer};
use crate::types::{Config, Entry, HardState, Index, NodeId, Position, Term};
use std::collections::BTreeSet;

/// What a node knows in every role.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) struct Shared {
    pub(crate) id: NodeId,
    pub(crate) config: Config,
    pub(crate) term: Term,
    pub(crate) vote: Option<NodeId>,
    pub(crate) log: Log,
    pub(crate) memberships: History,
    pub(crate) commit: Index,
    pub(crate) applying: Applying,
    pub(crate) random: Random,
    /// The number of the newest read round, over all terms of this node's life.
    pub(crate) read_round: u64,
    /// A snapshot that was handed out to be installed. Until then the log takes nothing and nothing is applied.
    pub(crate) installing: Option<SnapshotMeta>,
    /// Data was lost here: no word of this node counts.
    pub(crate) suspended: Option<Suspension>,
    /// Told by others: as of this index it is no member, and that is committed.
    pub(crate) removed: Option<Index>,
    /// Entries behind the commit index can't be read here.
    pub(crate) unfit: bool,
    next_ticket: u64,
    /// What the next ready takes along.
    pub(crate) out: Ready,
    after_persist: Vec<Envelope>,
    /// The requests that are not answered yet.
    reading: BTreeSet<LogPurpose>,
    hard_state_handed: HardState,
}

/// Where a node starts: as new, or as its disk has it.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub struct Start {
    /// This node.
    pub id: NodeId,
    /// Its limits and times.
    pub config: Config,
    /// As recovered; default for a new node.
    pub hard_state: HardState,
    /// The last compacted position; the log begins behind it.
    pub base: Position,
    /// The membership in force at `applied`.
    pub membership: Membership,
    /// What the store has applied, durably; neither before `base` nor behind `last`.
    pub applied: Index,
    /// The first position of every term's run after `base`, ascending.
    pub terms: Vec<Position>,
    /// Where the log ends.
    pub last: Position,
    /// The log's tail, to be held in memory; it must reach back to the first change of membership after `applied`.
    /// What lies between `applied` and the first of them is read on request.
    pub entries: Vec<Entry>,
    /// Data that was durable is lost; see [`Suspension`]. A new node lost nothing.
    pub suspended: Option<Suspension>,
}

impl Shared {
    pub(crate) fn new(start: Start) -> Shared {
        let Start { id, config, hard_state, base, membership, applied, terms, last, entries, suspended } = start;
        assert!(base.index <= applied && applied <= last.index, "the store continues within the log");
        assert!(hard_state.term >= last.term, "no entry is from a term that was never entered");
        let remembered = suspended.and_then(|suspension| suspension.remembers).unwrap_or_default();
        assert!(hard_state.term >= remembered.term, "who remembers what it had remembers its term");
        assert!(config.heartbeat_ticks > 0, "a leader makes itself heard");
        assert!(config.election_timeout_ticks > config.heartbeat_ticks, "a leader is heard within an election timeout");
        let mut memberships = History::new(applied, membership);
        for entry in entries.iter().filter(|entry| entry.index > applied) {
            memberships.on_append(entry);
        }
        let mut random = Random::new(config.seed);
        let next_ticket = random.next();
        Shared {
            id,
            config,
            term: hard_state.term,
            vote: hard_state.vote,
            log: Log::new(Terms::new(base, &terms, last), entries, hard_state),
            memberships,
            commit: applied,
            applying: Applying::new(applied, config.apply_bytes_max),
            random,
            read_round: 0,
            installing: None,
            suspended,
            removed: None,
            unfit: false,
            next_ticket,
            out: Ready::default(),
            after_persist: Vec::new(),
            reading: BTreeSet::new(),
            hard_state_handed: hard_state,
        }
    }

    pub(crate) fn membership(&self) -> &Membership {
        self.memberships.current()
    }

    /// May stand for election: has a vote itself, or has one until an uncommitted change takes it away. Such a node
    /// may be the only one that can bring that very change through (thesis, section 4.2.2). A node whose log is about
    /// to be replaced may not, nor one that lost a part of it or can't read it, nor one that knows that it is out.
    pub(crate) fn is_promotable(&self) -> bool {
        let able = self.installing.is_none() && self.suspended.is_none() && self.removed.is_none() && !self.unfit;
        able && self.memberships.may_have_vote(self.id)
    }

    /// Whether a candidate whose log ends at `last` may have this node's vote: its log must not miss anything that this
    /// node answers for (paper, section 5.4.1), also of what was lost here.
    pub(crate) fn approves(&self, last: Position) -> bool {
        let remembered = match self.suspended {
            None => Some(Position::ZERO),
            Some(suspension) => suspension.remembers,
        };
        remembered.is_some_and(|lost| last.up_to_date_with(lost)) && last.up_to_date_with(self.log.last())
    }

    /// Whoever asks for votes and is out gets told, by those who know it for certain.
    pub(crate) fn maybe_tell_removed(&mut self, id: NodeId) {
        if self.memberships.newest_with(id).is_none() {
            let (at, _) = self.memberships.committed();
            self.send(id, Message::Removed { at });
        }
    }

    /// News that a membership without this node is committed. Its own log may have newer ones.
    pub(crate) fn on_removed(&mut self, at: Index) {
        let was_member = self.memberships.newest_with(self.id).is_some_and(|index| index < at);
        if was_member && self.removed.is_none() {
            self.removed = Some(at);
            self.out.removed = Some(at);
        }
    }

    fn on_new_membership(&mut self) {
        if self.membership().members().contains(&self.id) {
            self.removed = None;
        }
    }

    /// The leader says that the loss is made good.
    pub(crate) fn on_readmitted(&mut self, incarnation: u64, upto: Index) {
        let this = self.suspended.is_some_and(|suspension| suspension.incarnation == incarnation);
        if this && self.log.durable() >= upto {
            self.suspended = None;
            self.out.readmitted = Some(incarnation);
        }
    }

    /// A number that no question of this node ever had.
    pub(crate) fn ticket(&mut self) -> u64 {
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.next_ticket
    }

    pub(crate) fn forget_time(&mut self) {
        self.random = Random::new(self.config.seed);
        self.log.forget_time();
    }

    pub(crate) fn new_timer(&mut self) -> Timer {
        Timer::new(&mut self.random, &self.config)
    }

    pub(crate) fn adopt(&mut self, term: Term) {
        assert!(term > self.term, "the term never goes back");
        self.term = term;
        self.vote = None;
    }

    pub(crate) fn vote_for(&mut self, id: NodeId) {
        assert!(self.vote.is_none_or(|vote| vote == id), "one vote per term");
        self.vote = Some(id);
    }

    /// Its own vote in this term would survive a crash.
    pub(crate) fn is_own_vote_durable(&self) -> bool {
        self.log.durable_hard_state() == HardState { term: self.term, vote: Some(self.id) }
    }

    /// True if the entry changed the membership.
    pub(crate) fn append(&mut self, entry: Entry) -> bool {
        let changed = self.memberships.on_append(&entry);
        self.log.append(entry);
        if changed {
            self.on_new_membership();
        }
        changed
    }

    pub(crate) fn truncate(&mut self, from: Index) {
        assert!(from > self.commit, "a committed entry is never truncated");
        self.log.truncate(from);
        self.memberships.on_truncate(from);
    }

    /// The answer names those who are members no longer.
    pub(crate) fn commit_to(&mut self, commit: Index) -> BTreeSet<NodeId> {
        assert!(commit <= self.log.last().index, "commit beyond the log");
        if commit <= self.commit {
            return BTreeSet::new();
        }
        self.commit = commit;
        self.memberships.on_commit(commit)
    }

    /// May leave at once.
    pub(crate) fn send(&mut self, to: NodeId, message: Message) {
        let envelope = self.envelope(to, message);
        self.out.send.push(envelope);
    }

    /// The logs agree up to `matched`: says so once that is durable. It is no promise from a node that is suspended.
    pub(crate) fn accept(&mut self, to: NodeId, matched: Index) {
        let message = match self.suspended {
            None => Message::AppendAccept { matched },
            Some(suspension) => suspension.message(Some(matched)),
        };
        self.send_after_persist(to, message);
    }

    /// Still here.
    pub(crate) fn reply_to_heartbeat(&mut self, to: NodeId, read_round: u64) {
        match self.suspended {
            None => self.send(to, Message::HeartbeatReply { read_round }),
            Some(suspension) => self.send(to, suspension.message(None)),
        }
    }

    /// Leaves only after everything that this node has taken in until now is durable.
    pub(crate) fn send_after_persist(&mut self, to: NodeId, message: Message) {
        let envelope = self.envelope(to, message);
        // A newer acceptance says all that an older one does.
        if let Message::AppendAccept { matched } = envelope.message
            && let Some(waiting) = self.after_persist.last_mut()
            && waiting.to == envelope.to
            && waiting.term == envelope.term
            && let Message::AppendAccept { matched: waiting } = &mut waiting.message
        {
            *waiting = matched.max(*waiting);
            return;
        }
        self.after_persist.push(envelope);
    }

    fn envelope(&self, to: NodeId, message: Message) -> Envelope {
        Envelope { from: self.id, to, term: self.term, message }
    }

    /// A snapshot is staged here. One that brings nothing new is answered at once; one whose place the log holds only
    /// says that all up to there is committed.
    pub(crate) fn maybe_install(&mut self, from: NodeId, meta: SnapshotMeta) {
        if self.installing.is_some() {
            return;
        }
        if self.log.contains(meta.position) {
            self.commit_to(meta.position.index.max(self.commit));
        }
        if meta.position.index <= self.commit {
            return self.accept(from, self.commit);
        }
        self.installing = Some(meta.clone());
        self.out.install = Some(meta);
    }

    pub(crate) fn on_installed(&mut self, meta: &SnapshotMeta) {
        assert!(self.installing.take().as_ref() == Some(meta), "only what was asked for is installed");
        assert!(meta.position.index > self.commit, "a snapshot leads forward");
        self.log.reset(meta.position);
        self.memberships = History::new(meta.position.index, meta.membership.clone());
        self.on_new_membership();
        self.commit = meta.position.index;
        self.applying.reset(meta.position.index);
    }

    /// Asks for entries on disk, unless a request for this purpose is open.
    pub(crate) fn request_read(&mut self, request: LogRequest) {
        if self.reading.insert(request.purpose) {
            self.out.reads.push(request);
        }
    }

    pub(crate) fn on_read_answered(&mut self, purpose: LogPurpose) {
        self.reading.remove(&purpose);
    }

    /// What may be applied: committed, and safe in this node's own log.
    pub(crate) fn apply_limit(&self) -> Index {
        self.commit.min(self.log.durable())
    }

    pub(crate) fn ready(&mut self) -> Ready {
        self.collect_persist();
        self.collect_apply();
        let room = Room {
            applied_bytes_max: self.config.cache_bytes_max,
            bytes_max: self.config.cache_bytes_max.saturating_add(self.config.uncommitted_bytes_max),
        };
        self.log.evict(self.applying.applied(), room);
        std::mem::take(&mut self.out)
    }

    fn collect_persist(&mut self) {
        let hard_state = HardState { term: self.term, vote: self.vote };
        let hard_state = (hard_state != self.hard_state_handed).then_some(hard_state);
        let mut then_send = std::mem::take(&mut self.after_persist);
        if hard_state.is_none() && self.log.is_settled() {
            // Everything that these messages promise is durable already.
            self.out.send.append(&mut then_send);
            return;
        }
        if hard_state.is_none() && then_send.is_empty() && !self.log.has_unwritten() {
            return;
        }
        self.hard_state_handed = hard_state.unwrap_or(self.hard_state_handed);
        let (id, entries) = self.log.begin_persist(hard_state);
        self.out.persist = Some(Persist { id, hard_state, entries, then_send });
    }

    fn collect_apply(&mut self) {
        if self.installing.is_some() {
            return;
        }
        match self.applying.next(&self.log, self.apply_limit()) {
            Next::Nothing => {}
            Next::Entries(entries) => self.out.apply = entries,
            Next::Read(request) => self.request_read(request),
        }
    }
}
