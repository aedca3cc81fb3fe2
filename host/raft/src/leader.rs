//! The leader: orders the proposals, has them appended everywhere, and says what is committed.
//!
//! Only an entry of its own term commits by being counted (paper, section 5.4.2); its own log counts as far as it is
//! durable, like anyone's. A leader that hears no quorum for an election timeout steps down. What it sends is decided
//! in one place, [`Leader::flush`], once per ready, so that all proposals between two readies share a message.

use crate::message::Message;
use crate::progress::Progress;
use crate::quorum;
use crate::read::{Asker, Reads};
use crate::ready::ReadId;
use crate::replicate;
use crate::role::Change;
use crate::shared::Shared;
use crate::status::Refusal;
use crate::suspension::Readmission;
use crate::transfer::Transfer;
use crate::types::{Entry, Index, NodeId, Payload, Position};
use crate::uncommitted::Uncommitted;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A node that leads its term.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) struct Leader {
    /// Everyone else that receives the log.
    pub(crate) peers: BTreeMap<NodeId, Progress>,
    pub(crate) reads: Reads,
    pub(crate) transfer: Option<Transfer>,
    pub(crate) uncommitted: Uncommitted,
    ticks_since_heartbeat: u32,
}

impl Leader {
    /// Opens the term with an empty entry.
    pub(crate) fn new(shared: &mut Shared) -> Leader {
        assert!(shared.is_own_vote_durable(), "a leader's own vote is durable");
        let mut leader = Leader {
            peers: BTreeMap::new(),
            reads: Reads::default(),
            transfer: None,
            uncommitted: Uncommitted::default(),
            ticks_since_heartbeat: 0,
        };
        leader.meet_members(shared);
        leader.append(shared, Payload::Noop);
        leader
    }

    pub(crate) fn tick(&mut self, shared: &mut Shared) -> Option<Change> {
        for peer in self.peers.values_mut() {
            peer.tick(shared.config.election_timeout_ticks);
        }
        self.transfer.take_if(|transfer| transfer.tick(shared.config.election_timeout_ticks));
        self.maybe_flee(shared);
        self.ticks_since_heartbeat += 1;
        if self.ticks_since_heartbeat >= shared.config.heartbeat_ticks {
            self.send_heartbeats(shared);
            if let Some(transfer) = &mut self.transfer {
                transfer.repeat();
            }
        }
        self.check_quorum(shared)
    }

    pub(crate) fn forget_time(&mut self) {
        self.ticks_since_heartbeat = 0;
        self.peers.values_mut().for_each(Progress::forget_time);
    }

    /// A message of this term.
    pub(crate) fn step(&mut self, shared: &mut Shared, from: NodeId, message: Message) -> Option<Change> {
        let peer = self.peers.get_mut(&from)?;
        peer.on_heard();
        match message {
            // May be from before a loss.
            Message::AppendAccept { .. } | Message::HeartbeatReply { .. } if peer.is_suspended() => {}
            Message::AppendAccept { matched } => self.on_accept(shared, from, matched),
            Message::AppendReject { prev, hint } => {
                peer.on_reject(prev, shared.log.last_not_above(hint.index, hint.term));
            }
            Message::HeartbeatReply { read_round } => on_heartbeat_reply(shared, from, peer, read_round),
            Message::Suspended { incarnation, fence, matched } => {
                self.on_suspended(shared, from, incarnation, fence, matched);
            }
            Message::ReadIndex { ticket } => {
                // Without room it asks again.
                self.reads.add(Asker::Peer { id: from, ticket });
            }
            Message::PreVote { .. }
            | Message::PreVoteReply { .. }
            | Message::Vote { .. }
            | Message::VoteReply { .. }
            | Message::StaleTerm
            | Message::TimeoutNow
            | Message::Removed { .. }
            | Message::Readmitted { .. }
            | Message::ReadIndexReply { .. } => {}
            Message::Append { .. } | Message::Heartbeat { .. } | Message::Commit { .. } => {
                panic!("one leader per term")
            }
        }
        None
    }

    fn on_accept(&mut self, shared: &mut Shared, from: NodeId, matched: Index) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        // A peer that claims more than the log holds is out of its mind, not ahead.
        if matched <= shared.log.last().index {
            peer.on_accept(matched, shared.log.base().index);
            self.maybe_commit(shared);
        }
    }

    /// A peer's word that it lost data. See `suspension` for what it takes to be readmitted.
    fn on_suspended(
        &mut self,
        shared: &mut Shared,
        from: NodeId,
        incarnation: u64,
        fence: bool,
        matched: Option<Index>,
    ) {
        let known = self.peers.get(&from).and_then(|peer| peer.readmission).map(|readmission| readmission.incarnation);
        if known.is_some_and(|known| known > incarnation) {
            return;
        }
        if known != Some(incarnation) {
            let upto = if fence { self.append(shared, Payload::Noop).index } else { shared.log.last().index };
            let next = shared.log.last().index.next();
            let Some(peer) = self.peers.get_mut(&from) else { return };
            peer.on_loss(Readmission::new(incarnation, fence, upto), next);
        }
        if let Some(matched) = matched {
            self.on_accept(shared, from, matched);
        }
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if matched.is_none() {
            on_heartbeat_reply(shared, from, peer, 0);
        }
        let matched = peer.matched;
        if let Some(readmission) = &mut peer.readmission
            && readmission.is_granted(matched, shared.commit)
        {
            shared.send(from, Message::Readmitted { incarnation, upto: readmission.upto });
            self.maybe_commit(shared);
        }
    }

    pub(crate) fn propose(&mut self, shared: &mut Shared, command: Arc<[u8]>) -> Result<Position, Refusal> {
        if self.transfer.is_some() {
            return Err(Refusal::Transferring);
        }
        let bytes = crate::types::ENTRY_OVERHEAD_BYTES + command.len();
        if !self.uncommitted.has_room(bytes, shared.config.uncommitted_bytes_max) {
            return Err(Refusal::Overloaded);
        }
        Ok(self.append(shared, Payload::Command(command)))
    }

    pub(crate) fn read(&mut self, id: ReadId) -> Result<(), Refusal> {
        if self.reads.add(Asker::Own(id)) { Ok(()) } else { Err(Refusal::Overloaded) }
    }

    pub(crate) fn transfer(&mut self, shared: &Shared, to: Option<NodeId>) -> Result<NodeId, Refusal> {
        if let Some(transfer) = &self.transfer {
            return if to == Some(transfer.target()) { Ok(transfer.target()) } else { Err(Refusal::Transferring) };
        }
        let candidates = self.peers.iter().filter(|(id, _)| shared.membership().voters.contains(id));
        let target = match to {
            Some(to) => candidates.map(|(id, _)| *id).find(|id| *id == to),
            None => {
                let timeout = shared.config.election_timeout_ticks;
                let fitness = |peer: &Progress| (!peer.is_suspended(), peer.is_live(timeout), peer.matched);
                candidates.max_by_key(|(_, peer)| fitness(peer)).map(|(id, _)| *id)
            }
        };
        let target = target.ok_or(Refusal::Rejected("no such other voter"))?;
        self.transfer = Some(Transfer::new(target));
        Ok(target)
    }

    /// Whatever became durable here may complete a quorum.
    pub(crate) fn maybe_commit(&mut self, shared: &mut Shared) {
        let durable = shared.log.durable();
        let matched = |id| if id == shared.id { durable } else { self.matched(id) };
        let reached = Index(quorum::reached(shared.membership(), |id| matched(id).0));
        if reached > shared.commit && shared.log.term_at(reached) == Some(shared.term) {
            let left = shared.commit_to(reached);
            self.uncommitted.on_commit(reached);
            self.say_farewell(shared, left);
        }
    }

    /// Sends all that may be sent, once per ready.
    pub(crate) fn flush(&mut self, shared: &mut Shared) -> Option<Change> {
        self.maybe_leave_joint(shared);
        self.maybe_promote(shared);
        self.maybe_read(shared);
        for (id, peer) in &mut self.peers {
            replicate::send(shared, *id, peer);
        }
        if let Some(transfer) = &mut self.transfer {
            let matched = self.peers.get(&transfer.target()).map(|peer| peer.matched);
            if matched == Some(shared.log.last().index) && transfer.is_due() {
                shared.send(transfer.target(), Message::TimeoutNow);
            }
        }
        self.maybe_resign(shared)
    }

    /// Everything of the past is known to be committed too.
    pub(crate) fn has_committed_in_term(&self, shared: &Shared) -> bool {
        shared.log.term_at(shared.commit) == Some(shared.term)
    }

    pub(crate) fn append(&mut self, shared: &mut Shared, payload: Payload) -> Position {
        let entry = Entry { index: shared.log.last().index.next(), term: shared.term, payload };
        let position = entry.position();
        self.uncommitted.add(entry.index, entry.bytes());
        if shared.append(entry) {
            self.meet_members(shared);
        }
        position
    }

    fn maybe_read(&mut self, shared: &mut Shared) {
        self.confirm_reads(shared);
        // Before its first own commit a new leader doesn't know how far its predecessors committed.
        if !self.reads.wants_round() || !self.has_committed_in_term(shared) {
            return;
        }
        shared.read_round += 1;
        self.reads.begin(shared.read_round, shared.commit);
        let voters: Vec<NodeId> = self.peers.keys().copied().filter(|id| shared.membership().is_voter(*id)).collect();
        for to in voters {
            self.send_heartbeat(shared, to);
        }
        self.confirm_reads(shared);
    }

    fn confirm_reads(&mut self, shared: &mut Shared) {
        let round = |id| if id == shared.id { u64::MAX } else { self.counting(id).map_or(0, |peer| peer.round) };
        let confirmed = quorum::reached(shared.membership(), round);
        let Some(confirmed) = self.reads.confirm(confirmed) else { return };
        shared.out.barriers.extend(confirmed.barrier);
        for (to, ticket) in confirmed.answers {
            shared.send(to, Message::ReadIndexReply { ticket, index: confirmed.index });
        }
    }

    fn send_heartbeats(&mut self, shared: &mut Shared) {
        self.ticks_since_heartbeat = 0;
        for to in self.peers.keys().copied().collect::<Vec<_>>() {
            self.send_heartbeat(shared, to);
        }
        self.measure_newcomers(shared);
    }

    fn send_heartbeat(&mut self, shared: &mut Shared, to: NodeId) {
        let peer = self.peers.get_mut(&to).expect("heartbeats go to peers");
        let commit = shared.commit.min(peer.matched);
        peer.commit_told = peer.commit_told.max(commit);
        shared.send(to, Message::Heartbeat { commit, read_round: shared.read_round });
    }

    /// A leader that no quorum answers may be the only one who believes in itself: it says no more. Who is suspended
    /// counts here: it helps nobody else into office.
    fn check_quorum(&self, shared: &Shared) -> Option<Change> {
        let timeout = shared.config.election_timeout_ticks;
        let heard = |id| id == shared.id || self.peers.get(&id).is_some_and(|peer| peer.may_live(timeout));
        (!quorum::holds(shared.membership(), heard)).then_some(Change::Follow { leader: None })
    }

    /// Its own disk has stalled: commits may go on without it, but nothing is applied here, and nobody is answered. If a
    /// quorum can do without this node, whoever of it is closest takes over.
    fn maybe_flee(&mut self, shared: &Shared) {
        let waited = shared.log.persist_waited_ticks();
        if waited == 0 || !waited.is_multiple_of(shared.config.stall_ticks_max) || self.transfer.is_some() {
            return;
        }
        let timeout = shared.config.election_timeout_ticks;
        let healthy = |peer: &&Progress| peer.is_live(timeout) && peer.matched >= shared.commit;
        let able = |id| self.counting(id).filter(healthy);
        if quorum::holds(shared.membership(), |id| able(id).is_some()) {
            let voters = shared.membership().voters.iter();
            let target = voters.filter_map(|id| Some((*id, able(*id)?.matched))).max_by_key(|(_, matched)| *matched);
            self.transfer = target.map(|(id, _)| Transfer::new(id));
        }
    }

    /// What the leader knows of a peer whose word counts.
    pub(crate) fn counting(&self, id: NodeId) -> Option<&Progress> {
        self.peers.get(&id).filter(|peer| !peer.is_suspended())
    }

    fn matched(&self, id: NodeId) -> Index {
        self.counting(id).map_or(Index(0), |peer| peer.matched)
    }
}

fn on_heartbeat_reply(shared: &mut Shared, from: NodeId, peer: &mut Progress, read_round: u64) {
    if peer.on_heartbeat_reply(read_round.min(shared.read_round), shared.config.heartbeat_ticks) {
        replicate::ask(shared, from, peer);
    }
}
