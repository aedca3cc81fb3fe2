//! The leader: orders the proposals, has them appended everywhere, and says what is committed.
//!
//! Only an entry of its own term commits by being counted (paper, section 5.4.2); its own log counts as far as it is
//! durable, like anyone's. A leader that hears no quorum for an election timeout steps down. What it sends is decided
//! in one place, [`Leader::flush`], once per ready, so that all proposals between two readies share a message.

use crate::membership::MembershipChange;
use crate::message::Message;
use crate::progress::Progress;
use crate::quorum;
use crate::read::Reads;
use crate::ready::ReadId;
use crate::replicate;
use crate::role::Change;
use crate::shared::Shared;
use crate::status::Refusal;
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
    ticks_since_quorum_check: u32,
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
            ticks_since_quorum_check: 0,
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
        self.ticks_since_heartbeat += 1;
        if self.ticks_since_heartbeat >= shared.config.heartbeat_ticks {
            self.send_heartbeats(shared);
            if let Some(transfer) = &mut self.transfer {
                transfer.repeat();
            }
        }
        self.ticks_since_quorum_check += 1;
        if self.ticks_since_quorum_check < shared.config.election_timeout_ticks {
            return None;
        }
        self.check_quorum(shared)
    }

    /// A message of this term.
    pub(crate) fn step(&mut self, shared: &mut Shared, from: NodeId, message: Message) -> Option<Change> {
        let peer = self.peers.get_mut(&from)?;
        peer.heard = true;
        match message {
            Message::AppendAccept { matched } => {
                // A peer that claims more than the log holds is out of its mind, not ahead.
                if matched <= shared.log.last().index {
                    peer.on_accept(matched, shared.log.base().index);
                    self.maybe_commit(shared);
                }
            }
            Message::AppendReject { prev, hint } => {
                peer.on_reject(prev, shared.log.last_not_above(hint.index, hint.term));
            }
            Message::HeartbeatReply { read_round } => {
                if peer.on_heartbeat_reply(read_round.min(shared.read_round), shared.config.heartbeat_ticks) {
                    replicate::ask(shared, from, peer);
                }
            }
            Message::PreVote { .. }
            | Message::PreVoteReply { .. }
            | Message::Vote { .. }
            | Message::VoteReply { .. }
            | Message::StaleTerm
            | Message::TimeoutNow => {}
            Message::Append { .. } | Message::Heartbeat { .. } | Message::Commit { .. } => {
                panic!("one leader per term")
            }
        }
        None
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

    pub(crate) fn propose_membership(
        &mut self,
        shared: &mut Shared,
        change: &MembershipChange,
    ) -> Result<Position, Refusal> {
        if self.transfer.is_some() {
            return Err(Refusal::Transferring);
        }
        // Two leaders of different terms could otherwise each change one server on top of a different base.
        if !self.has_committed_in_term(shared) || shared.memberships.index() > shared.commit {
            return Err(Refusal::MembershipBusy);
        }
        let membership = shared.membership().changed(change).map_err(Refusal::Rejected)?;
        Ok(self.append(shared, Payload::Membership(membership)))
    }

    pub(crate) fn read(&mut self, id: ReadId) -> Result<(), Refusal> {
        if self.reads.add(id) { Ok(()) } else { Err(Refusal::Overloaded) }
    }

    pub(crate) fn transfer(&mut self, shared: &Shared, to: Option<NodeId>) -> Result<NodeId, Refusal> {
        if let Some(transfer) = &self.transfer {
            return if to == Some(transfer.target()) { Ok(transfer.target()) } else { Err(Refusal::Transferring) };
        }
        let candidates = self.peers.iter().filter(|(id, _)| shared.membership().voters.contains(id));
        let target = match to {
            Some(to) => candidates.map(|(id, _)| *id).find(|id| *id == to),
            None => candidates.max_by_key(|(_, peer)| (peer.heard, peer.matched)).map(|(id, _)| *id),
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
            shared.commit_to(reached);
            self.uncommitted.on_commit(reached);
        }
    }

    /// Sends all that may be sent, once per ready.
    pub(crate) fn flush(&mut self, shared: &mut Shared) -> Option<Change> {
        self.maybe_leave_joint(shared);
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
        // The others know of the commit now: a leader without a vote has done its last duty.
        let membership_committed = shared.memberships.index() <= shared.commit;
        let removed = membership_committed && !shared.membership().is_voter(shared.id);
        removed.then_some(Change::Follow { leader: None })
    }

    /// Everything of the past is known to be committed too.
    pub(crate) fn has_committed_in_term(&self, shared: &Shared) -> bool {
        shared.log.term_at(shared.commit) == Some(shared.term)
    }

    fn append(&mut self, shared: &mut Shared, payload: Payload) -> Position {
        let entry = Entry { index: shared.log.last().index.next(), term: shared.term, payload };
        let position = entry.position();
        self.uncommitted.add(entry.index, entry.bytes());
        if shared.append(entry) {
            self.meet_members(shared);
        }
        position
    }

    /// The membership changed: newcomers are probed from the log's end, those who left are forgotten.
    fn meet_members(&mut self, shared: &mut Shared) {
        let members = shared.membership().members();
        self.peers.retain(|id, _| members.contains(id));
        let next = shared.log.last().index.next();
        for id in members.into_iter().filter(|id| *id != shared.id) {
            self.peers.entry(id).or_insert_with(|| Progress::new(next, &shared.config));
        }
        self.transfer.take_if(|transfer| !shared.membership().voters.contains(&transfer.target()));
        self.maybe_commit(shared);
    }

    fn maybe_leave_joint(&mut self, shared: &mut Shared) {
        let committed = shared.memberships.index() <= shared.commit;
        if shared.membership().is_joint() && committed && self.transfer.is_none() {
            let left = shared.membership().left();
            self.append(shared, Payload::Membership(left));
        }
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
        let round = |id| if id == shared.id { u64::MAX } else { self.peers.get(&id).map_or(0, |peer| peer.round) };
        let confirmed = quorum::reached(shared.membership(), round);
        shared.out.barriers.extend(self.reads.confirm(confirmed));
    }

    fn send_heartbeats(&mut self, shared: &mut Shared) {
        self.ticks_since_heartbeat = 0;
        for to in self.peers.keys().copied().collect::<Vec<_>>() {
            self.send_heartbeat(shared, to);
        }
    }

    fn send_heartbeat(&mut self, shared: &mut Shared, to: NodeId) {
        let peer = self.peers.get_mut(&to).expect("heartbeats go to peers");
        let commit = shared.commit.min(peer.matched);
        peer.commit_told = peer.commit_told.max(commit);
        shared.send(to, Message::Heartbeat { commit, read_round: shared.read_round });
    }

    fn check_quorum(&mut self, shared: &Shared) -> Option<Change> {
        self.ticks_since_quorum_check = 0;
        let heard = |id| id == shared.id || self.peers.get(&id).is_some_and(|peer| peer.heard);
        if !quorum::holds(shared.membership(), heard) {
            return Some(Change::Follow { leader: None });
        }
        for peer in self.peers.values_mut() {
            peer.heard = false;
        }
        None
    }

    fn matched(&self, id: NodeId) -> Index {
        self.peers.get(&id).map_or(Index(0), |peer| peer.matched)
    }
}
