//! One node of a small world: the real core and what a crash would leave of it. An input goes in, the node after it and
//! what it said come out; nothing else is remembered.
//!
//! Time stands still: nobody's patience ends by itself, the world decides who campaigns and whose heartbeat beats. Pre-votes
//! are granted by everyone and a vote is always asked for as if the leader wished it: whatever keeps a node from
//! campaigning is a kindness to the others, never a reason why nothing is lost.

use crate::frozen::Frozen;
use outboard_raft::{
    Config, Entry, Envelope, HardState, Index, LogAnswer, Membership, MembershipChange, Message, NodeId, Persist,
    PersistId, Position, Raft, ReadId, RoleKind, Start, Suspension, Term,
};
use std::collections::VecDeque;
use std::sync::Arc;

/// A node takes nothing in while so many batches wait for its disk.
const WRITING_MAX: usize = 2;

/// One node between two inputs.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub struct Node {
    /// The core.
    pub raft: Raft,
    /// What a crash leaves.
    pub disk: Disk,
    /// The owner's note that the disk lost data.
    pub suspended: Option<Suspension>,
    /// Batches that wait for a slow disk.
    pub writing: VecDeque<Persist>,
    losses: u64,
    starts: u64,
}

/// What was persisted.
#[derive(Clone, Eq, PartialEq, Hash, Debug, Default)]
pub struct Disk {
    /// Term and vote.
    pub hard_state: HardState,
    /// The whole log.
    pub entries: Vec<Entry>,
}

/// How the nodes of a world are made.
#[derive(Clone, Debug)]
pub struct Kind {
    /// The membership that every node begins with.
    pub first: Membership,
    /// Batches wait until the world lets them through.
    pub slow_disks: bool,
    /// Numbers of questions differ from life to life, as the core asks of its owner.
    pub fresh_tickets: bool,
}

/// What can happen to a node.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub enum Input {
    /// A message arrives.
    Message(Envelope),
    /// It stands for election.
    Campaign,
    /// A command is proposed.
    Propose(u8),
    /// A change of membership is proposed, by force: nobody's life is guessed at.
    Change(MembershipChange),
    /// A read is asked for, wherever it stands.
    Read(ReadId),
    /// A heartbeat is due.
    Heartbeat,
    /// The oldest batch reaches the disk.
    Sync,
    /// It crashes and comes back.
    Restart,
    /// It crashes and comes back without its disk.
    Wipe,
    /// It crashes and comes back without the end of its log from here on.
    Damage(Index),
}

/// A node after an input.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The node.
    pub node: Frozen<Node>,
    /// What it said.
    pub sent: Vec<Envelope>,
    /// Reads that may be served from an index on.
    pub barriers: Vec<(ReadId, Index)>,
    /// Reads that got no barrier.
    pub lost: Vec<ReadId>,
}

impl Node {
    /// A new node.
    pub fn new(id: NodeId, kind: &Kind) -> Node {
        Node {
            raft: start(id, kind, &Disk::default(), None, 0),
            disk: Disk::default(),
            suspended: None,
            writing: VecDeque::new(),
            losses: 0,
            starts: 1,
        }
    }

    /// Nothing if the input has no place here now.
    pub fn after(&self, input: &Input, kind: &Kind) -> Option<Outcome> {
        let mut node = self.clone();
        let mut said = Said::default();
        node.take(input, kind, &mut said)?;
        node.settle(kind, &mut said);
        node.raft.forget_time();
        for (id, batch) in (1..).zip(&mut node.writing) {
            batch.id = PersistId(id);
        }
        let Said { sent, barriers, lost } = said;
        Some(Outcome { node: Frozen::new(node), sent, barriers, lost })
    }

    fn take(&mut self, input: &Input, kind: &Kind, said: &mut Said) -> Option<()> {
        let cuts = matches!(input, Input::Sync | Input::Restart | Input::Wipe | Input::Damage(_));
        if self.writing.len() >= WRITING_MAX && !cuts {
            return None;
        }
        match input {
            Input::Message(envelope) => {
                // Whoever lost something here knows it.
                assert!(!self.raft.has_forgotten(envelope), "no leader counts on what its peer has not");
                self.raft.step(envelope.clone());
            }
            Input::Campaign => self.campaign()?,
            Input::Propose(command) => drop(self.raft.propose(Arc::from([*command])).ok()?),
            Input::Change(change) => drop(self.raft.force_membership(change.clone()).ok()?),
            Input::Read(id) => self.raft.read_here(*id).ok()?,
            Input::Heartbeat => self.raft.tick(),
            Input::Sync => {
                let batch = self.writing.pop_front()?;
                let id = self.disk.write(batch, said);
                self.raft.on_persisted(id);
            }
            Input::Restart => self.restart(kind),
            Input::Wipe => {
                self.disk = Disk::default();
                self.lose(None);
                self.restart(kind);
            }
            Input::Damage(from) => {
                let end = self.disk.last();
                self.disk.entries.retain(|entry| entry.index < *from);
                self.lose(Some(end));
                self.restart(kind);
            }
        }
        Some(())
    }

    fn campaign(&mut self) -> Option<()> {
        let before = self.raft.term();
        self.raft.campaign();
        let (id, voters) = (self.raft.id(), self.raft.membership().electorate());
        for from in voters.into_iter().filter(|voter| *voter != id) {
            if self.raft.role() == RoleKind::PreCandidate {
                let next_term = self.raft.term().next();
                let message = Message::PreVoteReply { next_term, granted: true };
                self.raft.step(Envelope { from, to: id, term: self.raft.term(), message });
            }
        }
        (self.raft.term() > before).then_some(())
    }

    fn lose(&mut self, remembers: Option<Position>) {
        self.losses += 1;
        self.suspended = Some(Suspension { incarnation: self.losses, remembers });
    }

    fn restart(&mut self, kind: &Kind) {
        let seed = if kind.fresh_tickets { self.starts } else { 0 };
        self.starts += u64::from(kind.fresh_tickets);
        self.writing.clear();
        self.raft = start(self.raft.id(), kind, &self.disk, self.suspended, seed);
    }

    /// Everything that follows on this node alone.
    fn settle(&mut self, kind: &Kind, said: &mut Said) {
        loop {
            let ready = self.raft.ready();
            if ready.is_empty() {
                return;
            }
            said.sent.extend(ready.send.into_iter().filter_map(heard));
            if let Some(batch) = ready.persist {
                if kind.slow_disks {
                    self.writing.push_back(batch);
                } else {
                    let id = self.disk.write(batch, said);
                    self.raft.on_persisted(id);
                }
            }
            if let Some(last) = ready.apply.last() {
                self.raft.on_applied(last.index);
            }
            for request in ready.reads {
                let entries = self.disk.entries.iter().filter(|entry| entry.index >= request.from);
                let entries = entries.take_while(|entry| entry.index <= request.to).cloned().collect();
                self.raft.on_log_read(LogAnswer { purpose: request.purpose, entries });
            }
            for barrier in ready.barriers {
                said.barriers.extend(barrier.ids.into_iter().map(|id| (id, barrier.index)));
            }
            said.lost.extend(ready.barriers_lost);
            if ready.readmitted.is_some() {
                self.suspended = None;
            }
            assert!(ready.snapshots.is_empty() && ready.install.is_none(), "nothing is compacted in a small world");
        }
    }
}

#[derive(Default)]
struct Said {
    sent: Vec<Envelope>,
    barriers: Vec<(ReadId, Index)>,
    lost: Vec<ReadId>,
}

/// What the world listens to. Refusals, pre-votes and hints only help a cluster along; each of them may be lost anyway.
fn heard(mut envelope: Envelope) -> Option<Envelope> {
    match &mut envelope.message {
        Message::PreVote { .. }
        | Message::PreVoteReply { .. }
        | Message::VoteReply { granted: false }
        | Message::StaleTerm
        | Message::Removed { .. } => return None,
        Message::Vote { transfer, .. } => *transfer = true,
        Message::VoteReply { granted: true }
        | Message::Append { .. }
        | Message::AppendAccept { .. }
        | Message::AppendReject { .. }
        | Message::Heartbeat { .. }
        | Message::HeartbeatReply { .. }
        | Message::Commit { .. }
        | Message::TimeoutNow
        | Message::Suspended { .. }
        | Message::Readmitted { .. }
        | Message::ReadIndex { .. }
        | Message::ReadIndexReply { .. } => {}
    }
    Some(envelope)
}

impl Disk {
    /// Where the log ends.
    pub fn last(&self) -> Position {
        self.entries.last().map_or(Position::ZERO, Entry::position)
    }

    /// Whether it holds exactly this position.
    pub fn holds(&self, index: Index, term: Term) -> bool {
        self.entries.get(index.0 as usize - 1).is_some_and(|entry| entry.term == term)
    }

    fn write(&mut self, batch: Persist, said: &mut Said) -> PersistId {
        self.hard_state = batch.hard_state.unwrap_or(self.hard_state);
        if let Some(first) = batch.entries.first() {
            self.entries.truncate(first.index.0 as usize - 1);
            assert_eq!(first.index, self.last().index.next(), "a batch leaves no gap on disk");
            self.entries.extend(batch.entries);
        }
        said.sent.extend(batch.then_send.into_iter().filter_map(heard));
        batch.id
    }
}

fn start(id: NodeId, kind: &Kind, disk: &Disk, suspended: Option<Suspension>, seed: u64) -> Raft {
    const NEVER: u32 = 1 << 30;
    let mut terms: Vec<Position> = Vec::new();
    for entry in &disk.entries {
        if terms.last().is_none_or(|run| run.term < entry.term) {
            terms.push(entry.position());
        }
    }
    let config =
        Config { election_timeout_ticks: NEVER, heartbeat_ticks: 1, stall_ticks_max: NEVER, seed, ..Config::default() };
    let mut raft = Raft::new(Start {
        id,
        config,
        hard_state: disk.hard_state,
        base: Position::ZERO,
        membership: kind.first.clone(),
        applied: Index(0),
        terms,
        last: disk.last(),
        entries: disk.entries.clone(),
        suspended,
    });
    raft.forget_time();
    raft
}
