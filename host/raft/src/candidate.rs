//! The candidate: asks for votes, first without obligation (pre-vote, thesis section 9.6), then for real.
//!
//! The pre-vote keeps a node that can't win, or that can't hear the leader, from raising everyone's term. A real
//! candidate's requests, and its own vote, wait for the disk: after a crash it can't have voted twice.

use crate::message::Message;
use crate::quorum::{self, Tally};
use crate::role::Change;
use crate::shared::Shared;
use crate::timer::Timer;
use crate::types::NodeId;
use std::collections::BTreeMap;

/// A node that asks for votes.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) struct Candidate {
    pub(crate) round: Round,
    answers: BTreeMap<NodeId, bool>,
    pub(crate) timer: Timer,
}

/// What it asks.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) enum Round {
    /// Would you?
    Pre,
    /// Do! With `transfer` at the leader's own wish.
    Real { transfer: bool },
}

impl Candidate {
    /// Asks everyone. A real round has raised the term already.
    pub(crate) fn new(shared: &mut Shared, round: Round) -> Candidate {
        let candidate = Candidate { round, answers: BTreeMap::new(), timer: shared.new_timer() };
        let last = shared.log.last();
        let mut voters = shared.membership().electorate();
        voters.remove(&shared.id);
        for to in voters {
            match round {
                Round::Pre => shared.send(to, Message::PreVote { next_term: shared.term.next(), last }),
                Round::Real { transfer } => shared.send_after_persist(to, Message::Vote { last, transfer }),
            }
        }
        candidate
    }

    pub(crate) fn tick(&mut self, shared: &Shared) -> Option<Change> {
        self.timer.tick().then(|| {
            let promotable = shared.is_promotable();
            if promotable { Change::PreCampaign } else { Change::Follow { leader: None } }
        })
    }

    /// A message of this term, or an answer to a pre-vote from an earlier one.
    pub(crate) fn step(&mut self, shared: &Shared, from: NodeId, message: Message) -> Option<Change> {
        match (message, self.round) {
            (Message::PreVoteReply { next_term, granted }, Round::Pre) if next_term == shared.term.next() => {
                self.on_answer(shared, from, granted)
            }
            (Message::VoteReply { granted }, Round::Real { .. }) => self.on_answer(shared, from, granted),
            // Answers to another round, late answers from an earlier role. A leader's messages never come here.
            (
                Message::PreVote { .. }
                | Message::PreVoteReply { .. }
                | Message::Vote { .. }
                | Message::VoteReply { .. }
                | Message::Append { .. }
                | Message::AppendAccept { .. }
                | Message::AppendReject { .. }
                | Message::Heartbeat { .. }
                | Message::HeartbeatReply { .. }
                | Message::Commit { .. }
                | Message::StaleTerm
                | Message::TimeoutNow
                | Message::Removed { .. }
                | Message::Suspended { .. }
                | Message::Readmitted { .. }
                | Message::ReadIndex { .. }
                | Message::ReadIndexReply { .. },
                Round::Pre | Round::Real { .. },
            ) => None,
        }
    }

    /// The first answer of a voter counts; its own comes this way too.
    pub(crate) fn on_answer(&mut self, shared: &Shared, from: NodeId, granted: bool) -> Option<Change> {
        self.answers.entry(from).or_insert(granted);
        match (quorum::tally(shared.membership(), |id| self.answers.get(&id).copied()), self.round) {
            (Tally::Won, Round::Pre) => Some(Change::Campaign { transfer: false }),
            // The others' answers may overtake the report of the own write, and nobody leads a term that it could forget.
            (Tally::Won, Round::Real { .. }) => shared.is_own_vote_durable().then_some(Change::Lead),
            (Tally::Lost, Round::Pre | Round::Real { .. }) => Some(Change::Follow { leader: None }),
            (Tally::Pending, Round::Pre | Round::Real { .. }) => None,
        }
    }
}
