//! A small world: a few nodes, a network that may do anything, and a handful of things that can still happen. All its
//! states are searched; in each of them the properties below must hold.
//!
//! The network is a set: whatever was ever sent may arrive at any time, any number of times (a question about reads: once), in any order, or never. So
//! loss, duplication, reordering and pauses need no actions of their own. A message leaves the set only when it can't mean
//! anything to its receiver any more, which makes states equal that differ in nothing that matters ([`is_dead`]).
//!
//! Bounds: terms by `terms_max`, everything else by the [`Budget`]; the log can't be longer than terms, commands and
//! changes together allow. Within them the search is exhaustive.

use crate::frozen::{Frozen, fingerprint};
use crate::node::{Input, Kind, Node, Outcome};
use outboard_raft::{Envelope, Index, MembershipChange, Message, NodeId, ReadId, RoleKind, Term};
use stateright::{Model, Property};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

/// A small world, and what may happen in it.
pub struct World {
    /// How nodes are made.
    pub kind: Kind,
    /// How many there are, members or not.
    pub nodes: u64,
    /// This one leads at the beginning, if any; its first entry is committed.
    pub leader: Option<NodeId>,
    /// Who may stand for election.
    pub candidates: Vec<NodeId>,
    /// Nobody stands for election in a later term.
    pub terms_max: u64,
    /// What else may happen, and how often.
    pub budget: Budget,
    /// The changes that a leader may propose.
    pub changes: Vec<MembershipChange>,
    /// Who may lose data.
    pub losers: Vec<NodeId>,
    /// Who is asked for reads.
    pub readers: Vec<NodeId>,
    /// Leaders send heartbeats, whenever they like.
    pub heartbeats: bool,
    /// On so many disks every acknowledged entry stays.
    pub copies_min: usize,
    /// What this world is about; the search is vain if it never happens.
    pub reached: fn(&State) -> bool,
    /// What became of a node and an input before: the same again.
    pub memory: Memory,
}

/// What may still happen.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug, Default)]
pub struct Budget {
    /// Commands.
    pub commands: u8,
    /// Changes of membership that a client proposes.
    pub changes: u8,
    /// Reads.
    pub reads: u8,
    /// Crashes; everyone comes back.
    pub restarts: u8,
    /// Lost disks.
    pub wipes: u8,
    /// Lost ends of logs.
    pub damages: u8,
}

/// Everything at one moment.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub struct State {
    /// Node 1 comes first.
    pub nodes: Vec<Frozen<Node>>,
    /// What may arrive, in the order of the fingerprints.
    pub network: Vec<Frozen<Input>>,
    /// What an observer has seen.
    pub history: History,
}

/// What an observer that sees all remembers.
#[derive(Clone, Eq, PartialEq, Hash, Debug, Default)]
pub struct History {
    /// Who led which term.
    pub elected: BTreeMap<Term, NodeId>,
    /// From index 1 on: the entry's term, and the term in which it was first known to be committed.
    pub committed: Vec<(Term, Term)>,
    /// Who was asked for a read, and how much was committed then.
    pub reads: BTreeMap<ReadId, (NodeId, Index)>,
    /// What may still happen.
    pub left: Budget,
    /// Reads that were answered.
    pub reads_answered: u8,
    /// What must not happen and did.
    pub broken: Broken,
}

/// What must not happen and did.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug, Default)]
pub struct Broken {
    two_leaders: bool,
    commits_differ: bool,
    stale_read: bool,
    own_rule: bool,
}

/// One thing that happens.
#[derive(Clone, PartialEq)]
pub struct Action {
    node: usize,
    input: Frozen<Input>,
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.input.value() {
            Input::Message(envelope) => write!(f, "{envelope}"),
            input @ (Input::Campaign
            | Input::Propose(_)
            | Input::Change(_)
            | Input::Read(_)
            | Input::Heartbeat
            | Input::Sync
            | Input::Restart
            | Input::Wipe
            | Input::Damage(_)) => write!(f, "n{} {input:?}", self.node + 1),
        }
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let nodes = (1..=self.nodes).map(|id| Frozen::new(Node::new(NodeId(id), &self.kind))).collect();
        let history = History { left: self.budget, ..History::default() };
        let mut state = State { nodes, network: Vec::new(), history };
        if let Some(leader) = self.leader {
            state = self.next(&state, leader, Input::Campaign).expect("someone has to begin");
            while let Some(next) = self.any_delivery(&state) {
                state = next;
            }
            state.network.clear();
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend(state.network.iter().filter_map(|message| match message.value() {
            Input::Message(envelope) => Some(Action { node: place(envelope.to), input: message.clone() }),
            Input::Campaign
            | Input::Propose(_)
            | Input::Change(_)
            | Input::Read(_)
            | Input::Heartbeat
            | Input::Sync
            | Input::Restart
            | Input::Wipe
            | Input::Damage(_) => None,
        }));
        for node in 0..state.nodes.len() {
            let inputs = self.own_inputs(state, node);
            actions.extend(inputs.into_iter().map(|input| Action { node, input: Frozen::new(input) }));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.take(state, action.node, &action.input)
    }

    fn properties(&self) -> Vec<Property<World>> {
        vec![
            Property::<World>::always("election safety", |_, state| !state.history.broken.two_leaders),
            Property::<World>::always("log matching", |_, state| state.logs_match()),
            Property::<World>::always("leader completeness", |_, state| state.leaders_have_what_is_committed()),
            Property::<World>::always("state machine safety", |_, state| !state.history.broken.commits_differ),
            Property::<World>::always("no acknowledged entry is lost", |world, state| {
                state.copies() >= world.copies_min
            }),
            Property::<World>::always("reads are linearizable", |_, state| !state.history.broken.stale_read),
            Property::<World>::always("the core's own rules hold", |_, state| !state.history.broken.own_rule),
            Property::<World>::sometimes("what this world is about happens", |world, state| (world.reached)(state)),
        ]
    }
}

impl World {
    fn own_inputs(&self, state: &State, place: usize) -> Vec<Input> {
        let node = state.nodes[place].value();
        let (id, left) = (node.raft.id(), state.history.left);
        let leads = node.raft.role() == RoleKind::Leader;
        let mut inputs = Vec::new();
        if self.candidates.contains(&id) && !leads && node.raft.term().0 < self.terms_max {
            inputs.push(Input::Campaign);
        }
        if leads && left.commands > 0 {
            inputs.push(Input::Propose(left.commands));
        }
        if leads && left.changes > 0 {
            inputs.extend(self.changes.iter().cloned().map(Input::Change));
        }
        if left.reads > 0 && self.readers.contains(&id) {
            inputs.push(Input::Read(ReadId(u64::from(left.reads))));
        }
        if leads && self.heartbeats {
            inputs.push(Input::Heartbeat);
        }
        if !node.writing.is_empty() {
            inputs.push(Input::Sync);
        }
        if left.restarts > 0 {
            inputs.push(Input::Restart);
        }
        if self.losers.contains(&id) {
            if left.wipes > 0 {
                inputs.push(Input::Wipe);
            }
            if left.damages > 0 {
                inputs.extend(node.disk.entries.iter().map(|entry| Input::Damage(entry.index)));
            }
        }
        inputs
    }

    fn next(&self, state: &State, id: NodeId, input: Input) -> Option<State> {
        self.take(state, place(id), &Frozen::new(input))
    }

    fn any_delivery(&self, state: &State) -> Option<State> {
        let mut actions = Vec::new();
        self.actions(state, &mut actions);
        let mut messages = actions.into_iter().filter(|action| matches!(action.input.value(), Input::Message(_)));
        messages.find_map(|action| self.next_state(state, action))
    }

    /// Nothing if nothing changes.
    fn take(&self, state: &State, place: usize, input: &Frozen<Input>) -> Option<State> {
        let before = &state.nodes[place];
        let reaction = self.memory.recall(before, input, &self.kind);
        let outcome = match &*reaction {
            Reaction::None => return None,
            Reaction::Panic => {
                let mut next = state.clone();
                next.history.broken.own_rule = true;
                return Some(next);
            }
            Reaction::Outcome(outcome, sent) => {
                let news = sent.iter().any(|message| state.network.binary_search(message).is_err());
                if outcome.node == *before && !news && outcome.barriers.is_empty() {
                    return None;
                }
                let mut next = state.clone();
                next.nodes[place] = outcome.node.clone();
                next.network.extend(sent.iter().cloned());
                next.network.sort();
                next.network.dedup();
                self.observe(&mut next, place, input.value(), outcome);
                if is_question(input.value()) {
                    next.network.retain(|message| message != input);
                }
                let State { nodes, network, history } = &mut next;
                network.retain(|message| !self.is_dead(message.value(), nodes, history));
                next
            }
        };
        (outcome != *state).then_some(outcome)
    }

    fn observe(&self, state: &mut State, place: usize, input: &Input, outcome: &Outcome) {
        let State { nodes, history, .. } = state;
        let (node, id) = (nodes[place].value(), nodes[place].value().raft.id());
        let floor = Index(history.committed.len() as u64);
        match input {
            Input::Propose(_) => history.left.commands -= 1,
            Input::Change(_) => history.left.changes -= 1,
            Input::Read(read) => {
                history.left.reads -= 1;
                history.reads.insert(*read, (id, floor));
            }
            Input::Restart => history.left.restarts -= 1,
            Input::Wipe => history.left.wipes -= 1,
            Input::Damage(_) => history.left.damages -= 1,
            Input::Message(_) | Input::Campaign | Input::Heartbeat | Input::Sync => {}
        }
        if matches!(input, Input::Restart | Input::Wipe | Input::Damage(_)) {
            history.reads.retain(|_, (asked, _)| *asked != id);
        }
        if node.raft.role() == RoleKind::Leader {
            let leader = *history.elected.entry(node.raft.term()).or_insert(id);
            history.broken.two_leaders |= leader != id;
        }
        for index in 1..=node.raft.commit().0 {
            let term = node.raft.term_at(Index(index)).unwrap_or_default();
            match history.committed.get(index as usize - 1) {
                Some((known, _)) => history.broken.commits_differ |= *known != term,
                None => history.committed.push((term, node.raft.term())),
            }
        }
        for (read, index) in &outcome.barriers {
            if let Some((_, floor)) = history.reads.remove(read) {
                history.broken.stale_read |= *index < floor;
                history.reads_answered += 1;
            }
        }
        for read in &outcome.lost {
            history.reads.remove(read);
        }
    }

    /// Whether a message can't change its receiver any more, whatever comes: its term is over there for good, or it is an
    /// answer to a role that the receiver has left for good.
    fn is_dead(&self, message: &Input, nodes: &[Frozen<Node>], history: &History) -> bool {
        let Input::Message(Envelope { to, from, term, message }) = message else { return false };
        let node = nodes[place(*to)].value();
        if history.left.wipes > 0 && self.losers.contains(to) {
            return false;
        }
        let durable = node.disk.hard_state;
        if *term != durable.term {
            return *term < durable.term;
        }
        let is = |role| node.raft.role() == role && node.raft.term() == *term;
        match message {
            Message::Vote { .. } => durable.vote.is_some(),
            Message::VoteReply { .. } => !is(RoleKind::Candidate),
            Message::AppendAccept { matched } => {
                let known = || node.raft.progress().iter().any(|peer| peer.id == *from && peer.matched >= *matched);
                !is(RoleKind::Leader) || (self.losers.is_empty() && known())
            }
            Message::AppendReject { .. }
            | Message::HeartbeatReply { .. }
            | Message::Suspended { .. }
            | Message::ReadIndex { .. } => !is(RoleKind::Leader),
            Message::Readmitted { .. } => node.suspended.is_none() && history.left.damages == 0,
            Message::PreVote { .. }
            | Message::PreVoteReply { .. }
            | Message::Append { .. }
            | Message::Heartbeat { .. }
            | Message::Commit { .. }
            | Message::StaleTerm
            | Message::TimeoutNow
            | Message::Removed { .. }
            | Message::ReadIndexReply { .. } => false,
        }
    }
}

impl State {
    /// Two logs that hold an entry of the same term at the same place are the same up to there.
    fn logs_match(&self) -> bool {
        let logs = || self.nodes.iter().map(|node| &node.value().disk.entries);
        logs().enumerate().all(|(place, one)| {
            logs().skip(place + 1).all(|other| {
                let both = || one.iter().zip(other);
                let agreed = both().filter(|(mine, yours)| mine.term == yours.term).count();
                let last = both().rposition(|(mine, yours)| mine.term == yours.term).map_or(0, |last| last + 1);
                agreed == last && both().take(last).all(|(mine, yours)| mine == yours)
            })
        })
    }

    fn leaders_have_what_is_committed(&self) -> bool {
        self.nodes.iter().map(|node| &node.value().raft).filter(|raft| raft.role() == RoleKind::Leader).all(|raft| {
            (1..).zip(&self.history.committed).all(|(index, (term, committed_in))| {
                raft.term() < *committed_in || raft.term_at(Index(index)) == Some(*term)
            })
        })
    }

    /// The fewest disks that hold a committed entry.
    fn copies(&self) -> usize {
        let copies = |(index, (term, _)): (u64, &(Term, Term))| {
            self.nodes.iter().filter(|node| node.value().disk.holds(Index(index), *term)).count()
        };
        (1..).zip(&self.history.committed).map(copies).min().unwrap_or(usize::MAX)
    }
}

/// Every arrival of a question begins a round of its own: it arrives once, or there would be no end of states.
fn is_question(input: &Input) -> bool {
    matches!(input, Input::Message(Envelope { message: Message::ReadIndex { .. }, .. }))
}

fn place(id: NodeId) -> usize {
    id.0 as usize - 1
}

/// What became of a node and an input before: the core is a function, so it is asked once. Most steps of a search are
/// repetitions on one node while the others differ.
#[derive(Default)]
pub struct Memory {
    shards: [Mutex<HashMap<(u64, u64), Arc<Reaction>>>; 32],
}

/// What becomes of a node.
enum Reaction {
    /// The input has no place.
    None,
    /// One of the core's own rules is broken.
    Panic,
    /// The node after it, and what it said, in the order of the fingerprints.
    Outcome(Outcome, Vec<Frozen<Input>>),
}

impl Memory {
    fn recall(&self, node: &Frozen<Node>, input: &Frozen<Input>, kind: &Kind) -> Arc<Reaction> {
        let key = (node.fingerprint(), input.fingerprint());
        let shard = &self.shards[(fingerprint(&key) % self.shards.len() as u64) as usize];
        if let Some(known) = shard.lock().expect("nobody panics with the lock").get(&key) {
            return Arc::clone(known);
        }
        let reaction = match catch_unwind(AssertUnwindSafe(|| node.value().after(input.value(), kind))) {
            Ok(None) => Reaction::None,
            Ok(Some(outcome)) => {
                let mut sent: Vec<_> = outcome.sent.iter().cloned().map(Input::Message).map(Frozen::new).collect();
                sent.sort();
                Reaction::Outcome(outcome, sent)
            }
            Err(_) => Reaction::Panic,
        };
        let reaction = Arc::new(reaction);
        shard.lock().expect("nobody panics with the lock").insert(key, Arc::clone(&reaction));
        reaction
    }
}
