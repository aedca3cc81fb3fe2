//! What must hold in every world at every step (paper, figure 3), judged from outside by an observer that sees all.

use super::node::Node;
use outboard_raft::{
    Barrier, Entry, Envelope, Index, Membership, Message, NodeId, Payload, Persist, Position, ReadId, RoleKind, Term,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The observer's memory.
#[derive(Default)]
pub struct Checks {
    leaders: BTreeMap<Term, NodeId>,
    /// Every position that was ever written, and what stands there.
    written: BTreeMap<(Index, Term), Payload>,
    /// What was committed, for ever, and in which leader's term.
    committed: BTreeMap<Index, (Term, Term)>,
    applied: BTreeMap<Index, Entry>,
    /// Whom a read waits for, and how far the cluster had committed when it was asked for.
    reads: BTreeMap<ReadId, VecDeque<(NodeId, Index)>>,
}

impl Checks {
    /// A promise leaves a node only when its disk keeps it.
    pub fn on_send(&mut self, envelope: &Envelope, node: &Node) {
        let disk = &node.disk;
        if let Some(suspension) = node.suspended {
            let promises = match envelope.message {
                Message::AppendAccept { .. } | Message::HeartbeatReply { .. } | Message::Vote { .. } => true,
                Message::VoteReply { granted } | Message::PreVoteReply { granted, .. } => {
                    granted && suspension.remembers.is_none()
                }
                Message::PreVote { .. }
                | Message::Append { .. }
                | Message::AppendReject { .. }
                | Message::Heartbeat { .. }
                | Message::Commit { .. }
                | Message::StaleTerm
                | Message::TimeoutNow
                | Message::Removed { .. }
                | Message::Suspended { .. }
                | Message::Readmitted { .. }
                | Message::ReadIndex { .. }
                | Message::ReadIndexReply { .. } => false,
            };
            assert!(!promises, "a suspended node promises nothing: {envelope}");
        }
        if let Message::AppendAccept { matched } = envelope.message {
            let kept = disk.last().index >= matched || disk.hard_state.term > envelope.term;
            assert!(kept, "an accepted Append is on disk: {envelope}");
        }
        if let Message::VoteReply { granted: true } = envelope.message {
            let state = disk.hard_state;
            let kept = state.term > envelope.term || (state.term == envelope.term && state.vote == Some(envelope.to));
            assert!(kept, "a given vote is on disk: {envelope}");
        }
        if let Message::Vote { last, .. } = envelope.message {
            let state = disk.hard_state;
            let kept = state.term > envelope.term || (state.term == envelope.term && state.vote == Some(envelope.from));
            assert!(kept && disk.last() == last, "a candidate's own vote and log are on disk: {envelope}");
        }
    }

    /// A position says always the same.
    pub fn on_persist(&mut self, persist: &Persist) {
        for entry in &persist.entries {
            let known = self.written.entry((entry.index, entry.term)).or_insert_with(|| entry.payload.clone());
            assert!(*known == entry.payload, "one position, one entry: {}", entry.position());
        }
    }

    pub fn on_apply(&mut self, id: NodeId, entry: &Entry) {
        assert_eq!(self.committed_at(entry.index), Some(entry.term), "{id} applies what is committed");
        let known = self.applied.entry(entry.index).or_insert_with(|| entry.clone());
        assert!(known == entry, "all nodes apply the same at {}", entry.index);
    }

    pub fn on_read(&mut self, node: NodeId, read: ReadId) {
        let floor = self.last_committed();
        self.reads.entry(read).or_default().push_back((node, floor));
    }

    /// A read sees everything that was committed anywhere when it was asked for.
    pub fn on_barrier(&mut self, barrier: &Barrier) {
        for id in &barrier.ids {
            let (_, floor) = self.reads.get_mut(id).and_then(VecDeque::pop_front).expect("every read gets one answer");
            assert!(barrier.index >= floor, "a stale read: r{} at {}, committed was {floor}", id.0, barrier.index);
        }
    }

    /// Who believes that it is out is out, by a committed membership.
    pub fn on_removed(&self, id: NodeId, at: Index) {
        let memberships = self.committed.range(..=at).rev().filter_map(|(index, (term, _))| {
            match self.written.get(&(*index, *term))? {
                Payload::Membership(membership) => Some(membership),
                Payload::Noop | Payload::Command(_) => None,
            }
        });
        let out = memberships.into_iter().next().is_some_and(|newest| !newest.members().contains(&id));
        assert!(out, "{id} is no member as of {at}");
    }

    pub fn take_for_committed(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.committed.insert(entry.index, (entry.term, entry.term));
            self.applied.insert(entry.index, entry.clone());
        }
    }

    pub fn on_lost(&mut self, ids: &[ReadId]) {
        for id in ids {
            self.reads.get_mut(id).and_then(VecDeque::pop_front).expect("every read gets one answer");
        }
    }

    /// A read that was refused gets no other answer.
    pub fn on_refused(&mut self, read: ReadId) {
        self.reads.get_mut(&read).and_then(VecDeque::pop_back);
    }

    /// Nobody can answer these any more.
    pub fn on_crash(&mut self, node: NodeId) {
        for waiting in self.reads.values_mut() {
            waiting.retain(|(asked, _)| *asked != node);
        }
    }

    /// The reads that wait for an answer.
    pub fn open_reads(&self) -> usize {
        self.reads.values().map(VecDeque::len).sum()
    }

    /// A node's state changed.
    pub fn on_state(&mut self, id: NodeId, nodes: &BTreeMap<NodeId, Node>) {
        let Some(raft) = &nodes[&id].raft else { return };
        if raft.role() == RoleKind::Leader {
            let leader = *self.leaders.entry(raft.term()).or_insert(id);
            assert_eq!(leader, id, "one leader per term");
            for (index, (term, committed_in)) in self.committed.range(raft.base().index..) {
                let has = raft.term_at(*index) == Some(*term);
                assert!(has || raft.term() < *committed_in, "leader {id} has the committed entry {index}@{term}");
            }
        }
        let first = self.last_committed().next();
        for index in first.0..=raft.commit().0 {
            let term = raft.term_at(Index(index)).expect("what is committed is in the log");
            self.committed.insert(Index(index), (term, raft.term()));
            let position = Position { index: Index(index), term };
            assert!(is_on_quorum(position, raft.membership(), nodes), "{id} commits {position} without a quorum");
        }
        if raft.commit() > Index(0) {
            assert_eq!(self.committed_at(raft.commit()), raft.term_at(raft.commit()), "{id} commits the same");
        }
        assert!(raft.applied() <= raft.commit() && raft.commit() <= raft.last().index);
    }

    /// Two logs that agree at a position agree in everything before it.
    pub fn check_logs_match(&self, nodes: &BTreeMap<NodeId, Node>) {
        let rafts: Vec<_> = nodes.values().filter_map(|node| node.raft.as_ref()).collect();
        for one in &rafts {
            for other in &rafts {
                let last = one.last().index.min(other.last().index);
                let first = one.base().index.max(other.base().index);
                let terms = |index| (one.term_at(Index(index)), other.term_at(Index(index)));
                let mut agreed = false;
                for index in (first.0..=last.0).rev() {
                    let (mine, yours) = terms(index);
                    assert!(mine == yours || !agreed, "logs of {} and {} match", one.id(), other.id());
                    agreed |= mine == yours;
                }
            }
        }
    }

    fn committed_at(&self, index: Index) -> Option<Term> {
        self.committed.get(&index).map(|(term, _)| *term)
    }

    fn last_committed(&self) -> Index {
        self.committed.last_key_value().map_or(Index(0), |(index, _)| *index)
    }
}

/// On the disks of a majority of each half, or was there when it was acknowledged.
fn is_on_quorum(position: Position, membership: &Membership, nodes: &BTreeMap<NodeId, Node>) -> bool {
    let has = |id: &NodeId| {
        nodes.get(id).is_some_and(|node| {
            let disk = &node.disk;
            let before_a_loss = disk.lost.contains(&(position.index, position.term));
            let on_disk = position.index <= disk.base.index || disk.term_at(position.index) == Some(position.term);
            on_disk || before_a_loss
        })
    };
    let half = |ids: &BTreeSet<NodeId>| ids.is_empty() || ids.iter().filter(|id| has(id)).count() * 2 > ids.len();
    half(&membership.voters) && half(&membership.outgoing)
}
