//! One node: the core while it runs, and what stays when it doesn't: disk and store.

use super::Part;
use outboard_raft::{
    Config, Entry, HardState, Index, LogRequest, Membership, NodeId, Payload, Persist, PersistId, Position, Raft,
    RoleKind, SnapshotMeta, Start, Suspension, Term,
};
use std::collections::{BTreeSet, VecDeque};

/// One node.
pub struct Node {
    pub id: NodeId,
    pub raft: Option<Raft>,
    pub disk: Disk,
    pub store: Store,
    pub writing: VecDeque<Persist>,
    pub reporting: VecDeque<PersistId>,
    pub applying: VecDeque<Entry>,
    pub reading: VecDeque<LogRequest>,
    pub installing: Option<SnapshotMeta>,
    pub staged: Option<Snapshot>,
    pub held: BTreeSet<Part>,
    pub config: Config,
    pub seen: (Term, RoleKind, Option<NodeId>),
    pub seen_commit: Index,
    /// The owner's note that data was lost here.
    pub suspended: Option<Suspension>,
    losses: u64,
    starts: u64,
}

/// What was persisted of the log.
#[derive(Clone, Default)]
pub struct Disk {
    pub hard_state: HardState,
    pub base: Position,
    pub entries: Vec<Entry>,
    /// What was on it once and is lost.
    pub lost: BTreeSet<(Index, Term)>,
}

/// What was applied: everything from the first entry on, so that states can be compared.
#[derive(Clone)]
pub struct Store {
    pub first: Membership,
    pub entries: Vec<Entry>,
    /// As far as a crash would leave it.
    pub durable: usize,
}

/// A store's whole content, and where it stands.
#[derive(Clone)]
pub struct Snapshot {
    pub meta: SnapshotMeta,
    pub entries: Vec<Entry>,
}

impl Node {
    pub fn new(id: NodeId, config: Config, first: Membership) -> Node {
        let mut node = Node {
            id,
            raft: None,
            disk: Disk::default(),
            store: Store { first, entries: Vec::new(), durable: 0 },
            writing: VecDeque::new(),
            reporting: VecDeque::new(),
            applying: VecDeque::new(),
            reading: VecDeque::new(),
            installing: None,
            staged: None,
            held: BTreeSet::new(),
            config,
            seen: (Term(0), RoleKind::Follower, None),
            seen_commit: Index(0),
            suspended: None,
            losses: 0,
            starts: 0,
        };
        node.start(usize::MAX);
        node
    }

    /// Everything that was only in memory is gone.
    pub fn crash(&mut self) {
        self.raft = None;
        self.writing.clear();
        self.reporting.clear();
        self.applying.clear();
        self.reading.clear();
        self.installing = None;
        self.staged = None;
        self.held.clear();
        self.store.entries.truncate(self.store.durable);
    }

    /// A crash that leaves an empty disk.
    pub fn wipe(&mut self) {
        self.crash();
        let mut lost = std::mem::take(&mut self.disk.lost);
        lost.extend(self.disk.entries.iter().map(|entry| (entry.index, entry.term)));
        lost.extend(self.store.entries.iter().map(|entry| (entry.index, entry.term)));
        self.disk = Disk { lost, ..Disk::default() };
        self.store.entries.clear();
        self.store.durable = 0;
        self.suspend(None);
    }

    /// A crash after which the log is unreadable from here on. What is applied is whole.
    pub fn damage(&mut self, from: Index) {
        self.crash();
        let end = self.disk.last();
        let (kept, lost) = self.disk.entries.drain(..).partition(|entry| entry.index < from);
        self.disk.entries = kept;
        self.disk.lost.extend(Vec::from_iter::<Vec<Entry>>(lost).iter().map(|entry| (entry.index, entry.term)));
        if self.store.applied() > self.disk.last().index {
            let applied = self.store.entries.last().map_or(Position::ZERO, Entry::position);
            self.disk.reset(applied);
        }
        let remembers = match self.suspended {
            // What was lost before is still owed.
            Some(suspension) => suspension.remembers.map(|owed| if owed.up_to_date_with(end) { owed } else { end }),
            None => Some(end),
        };
        self.suspend(remembers);
    }

    fn suspend(&mut self, remembers: Option<Position>) {
        self.losses += 1;
        self.suspended = Some(Suspension { incarnation: self.losses, remembers });
    }

    /// Starts from disk, with at most so many of the newest entries in memory.
    pub fn start(&mut self, tail_max: usize) {
        let applied = self.store.applied();
        let skipped = self.disk.entries.len().saturating_sub(tail_max);
        let entries = self.disk.entries[skipped..].to_vec();
        let mut terms: Vec<Position> = Vec::new();
        for entry in &self.disk.entries {
            if terms.last().is_none_or(|run| run.term < entry.term) {
                terms.push(entry.position());
            }
        }
        let raft = Raft::new(Start {
            id: self.id,
            config: Config { seed: self.config.seed.wrapping_add(self.starts << 32), ..self.config },
            hard_state: self.disk.hard_state,
            base: self.disk.base,
            membership: self.membership_at(applied),
            applied,
            terms,
            last: self.disk.last(),
            entries,
            suspended: self.suspended,
        });
        self.starts += 1;
        self.seen = (raft.term(), raft.role(), raft.leader());
        self.seen_commit = raft.commit();
        self.raft = Some(raft);
    }

    pub fn snapshot(&self) -> Snapshot {
        let position = self.store.entries.last().map_or(Position::ZERO, Entry::position);
        let membership = self.membership_at(position.index);
        Snapshot { meta: SnapshotMeta { position, membership }, entries: self.store.entries.clone() }
    }

    pub fn is_held(&self, part: Part) -> bool {
        self.held.contains(&part)
    }

    fn membership_at(&self, index: Index) -> Membership {
        let known = self.store.entries.iter().chain(&self.disk.entries);
        let newest = known.filter(|entry| entry.index <= index).rev().find_map(|entry| match &entry.payload {
            Payload::Membership(membership) => Some(membership.clone()),
            Payload::Noop | Payload::Command(_) => None,
        });
        newest.unwrap_or(self.store.first.clone())
    }
}

impl Disk {
    pub fn last(&self) -> Position {
        self.entries.last().map_or(self.base, Entry::position)
    }

    pub fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        self.entries.iter().find(|entry| entry.index == index).map(|entry| entry.term)
    }

    pub fn write(&mut self, hard_state: Option<HardState>, entries: &[Entry]) {
        self.hard_state = hard_state.unwrap_or(self.hard_state);
        let Some(first) = entries.first() else { return };
        self.entries.retain(|entry| entry.index < first.index);
        assert_eq!(first.index, self.last().index.next(), "a batch leaves no gap on disk");
        self.entries.extend_from_slice(entries);
    }

    pub fn read(&self, from: Index, to: Index, bytes_max: usize) -> Vec<Entry> {
        let mut bytes = 0;
        let asked = self.entries.iter().filter(|entry| entry.index >= from && entry.index <= to);
        let fits = asked.take_while(|entry| {
            let fits = bytes == 0 || bytes + entry.bytes() <= bytes_max;
            bytes += entry.bytes();
            fits
        });
        fits.cloned().collect()
    }

    pub fn compact(&mut self, upto: Index) {
        self.base = Position { index: upto, term: self.term_at(upto).expect("only what is there is compacted") };
        self.entries.retain(|entry| entry.index > upto);
    }

    pub fn reset(&mut self, base: Position) {
        self.base = base;
        self.entries.clear();
    }
}

impl Store {
    pub fn applied(&self) -> Index {
        Index(self.entries.len() as u64)
    }

    pub fn apply(&mut self, entry: Entry) {
        assert_eq!(entry.index, self.applied().next(), "entries are applied one after the other");
        let all_durable = self.durable == self.entries.len();
        self.entries.push(entry);
        if all_durable {
            self.durable = self.entries.len();
        }
    }

    pub fn install(&mut self, snapshot: &Snapshot) {
        assert!(snapshot.meta.position.index > self.applied(), "a snapshot leads forward");
        self.entries = snapshot.entries.clone();
        self.durable = self.entries.len();
    }
}
