//! The operator's work on who belongs to the cluster, one errand after the other: lets a node in by a token, promotes, demotes, removes,
//! replaces, by the requests that the program's commands make; and what goes with it: newcomers that start, nodes that are out.
//!
//! A node that has lost its disks does not come back under its number: another one comes in and takes its place. That one is let in as
//! every newcomer is, at whatever state the cluster is then.
//!
//! Invariants: no change and no damage takes a majority from the voters whose disks are whole, whichever of the memberships that may be in
//! force wins: nothing can be promised beyond that. So there is no damage while a change is under way or may be.

use crate::checks::{Checked, violation};
use crate::clients::Purpose;
use crate::node::SimNode;
use crate::plan::{Fault, MILLI, SECOND};
use crate::world::{Step, World};
use outboard_node::HaltKind;
use outboard_raft::{Index, Membership, NodeId};
use outboard_wire::access::{AccessCommand, Enrolled, Enrolment, Enrols, MemberChange, TokenSpec, Wish};
use outboard_wire::client::{Request, RequestBody, Response};
use std::collections::BTreeSet;

/// The operator's rest before the next attempt, at least and at most, in microseconds.
const REST_US: (u64, u64) = (50 * MILLI, 900 * MILLI);
/// A request of the operator may take so long, in milliseconds.
const TIMEOUT_MS: u32 = 2_000;
/// Attempts at one change.
const ATTEMPTS_MAX: u32 = 8;
/// A change without an answer may still take place within this time, in microseconds: its request waits at a node, or on the way.
const GHOST_US: u64 = 15 * SECOND;
/// Members, at most.
const MEMBERS_MAX: usize = 7;
/// A token lasts longer than any clock jumps, in milliseconds.
const TOKEN_LASTS_MS: u64 = 20 * 24 * 3_600_000;

/// What the operator is about.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Errand {
    /// A token for a newcomer, which may be there to take a voter's place.
    Token { wish: Wish, replaces: Option<u64> },
    /// The newcomer shows it.
    Enrol { replaces: Option<u64> },
    /// A change of the members.
    Change { change: MemberChange, forced: bool, attempts: u32 },
}

/// Where the operator stands.
#[derive(Default)]
pub(crate) struct Office {
    errand: Option<Errand>,
    /// Tokens that were made.
    newcomers: u64,
    /// Until then a change may take place that nobody waits for.
    ghost_until: u64,
}

impl World<'_> {
    /// Something else for the operator to do. False if there is enough already, or nothing that is possible.
    pub(crate) fn begin_errand(&mut self) -> bool {
        let hurt = self.nodes.iter().any(SimNode::is_hurt);
        if self.office.errand.is_some() || hurt && self.office.ghost_until > self.now {
            return false;
        }
        let errand = self.some_errand();
        if let Some(errand) = errand {
            self.take_up(errand, 0);
        }
        errand.is_some()
    }

    fn some_errand(&mut self) -> Option<Errand> {
        let membership = self.checks.membership().clone();
        let room = self.office.newcomers < self.plan.newcomers && membership.members().len() < MEMBERS_MAX;
        let random = self.fault_chance(Fault::Membership);
        let (what, forced, voter) = (random.below(100), random.percent(15), random.percent(70));
        let learners: Vec<u64> = membership.learners.iter().map(|node| node.0).collect();
        let voters: Vec<u64> = membership.voters.iter().map(|node| node.0).collect();
        let members: Vec<u64> = membership.members().into_iter().map(|node| node.0).collect();
        let mut one_of = |from: &[u64]| if from.is_empty() { None } else { Some(*random.pick(from)) };
        let change = match what {
            0..=39 if room => {
                let wish = if voter { Wish::Voter } else { Wish::Learner };
                return Some(Errand::Token { wish, replaces: None });
            }
            40..=54 if room => {
                let replaces = Some(one_of(&voters)?);
                return Some(Errand::Token { wish: Wish::Learner, replaces });
            }
            0..=64 => MemberChange::Promote { node: one_of(&learners)? },
            65..=74 => MemberChange::Replace { old: one_of(&voters)?, new: one_of(&learners)? },
            75..=87 => MemberChange::Demote { node: one_of(&voters)? },
            _ => MemberChange::Remove { node: one_of(&members)? },
        };
        Some(Errand::Change { change, forced, attempts: 0 })
    }

    fn take_up(&mut self, errand: Errand, after_us: u64) {
        self.office.errand = Some(errand);
        self.plan_in(after_us, Step::Errand);
    }

    /// The next request of the errand sets out.
    pub(crate) fn on_errand(&mut self) -> Checked {
        let Some(errand) = self.office.errand.filter(|_| self.heal.is_none()) else { return Ok(()) };
        let Some(node) = self.any_live(Fault::Membership) else {
            self.try_again(errand);
            return Ok(());
        };
        let number = self.office.newcomers;
        let body = match errand {
            Errand::Token { wish, .. } => {
                let enrols = Enrols::Node(wish);
                let token = TokenSpec { id: number + 1, verifier: [1; 32], enrols, lasts_ms: TOKEN_LASTS_MS, uses: 1 };
                RequestBody::Access(AccessCommand::TokenCreate(token))
            }
            Errand::Enrol { .. } => {
                let (key, address) = ([number as u8; 32], format!("newcomer:{number}"));
                RequestBody::Access(AccessCommand::Enrol(Enrolment {
                    token: number,
                    key,
                    name: String::new(),
                    address,
                }))
            }
            Errand::Change { change, .. } if !self.is_bearable(change) => {
                self.office.errand = None;
                return Ok(());
            }
            Errand::Change { change, forced, .. } => RequestBody::MemberChange { change, forced, dry_run: false },
        };
        self.ask(node, Request { timeout_ms: TIMEOUT_MS, body }, Purpose::Errand);
        Ok(())
    }

    pub(crate) fn on_errand_answered(&mut self, response: Response) -> Checked {
        let Some(errand) = self.office.errand.filter(|_| self.heal.is_none()) else { return Ok(()) };
        let what = response.clone();
        match (errand, response) {
            (_, Response::NotDone(_) | Response::Overloaded) => self.try_again(errand),
            (Errand::Change { .. }, Response::Unknown(_)) => {
                self.office.ghost_until = self.now + GHOST_US;
                self.try_again(errand);
            }
            (Errand::Token { .. } | Errand::Enrol { .. }, Response::Unknown(_)) => self.try_again(errand),
            (Errand::Token { replaces, .. }, Response::Done) => {
                self.office.newcomers += 1;
                self.take_up(Errand::Enrol { replaces }, MILLI);
            }
            (Errand::Enrol { replaces }, Response::Enrolled(Enrolled::Node { node, .. })) => {
                self.office.errand = None;
                self.welcome(NodeId(node));
                if let Some(old) = replaces {
                    let change = MemberChange::Replace { old, new: node };
                    let after = self.fault_chance(Fault::Membership).scale(MILLI, SECOND);
                    self.take_up(Errand::Change { change, forced: false, attempts: 0 }, after);
                }
            }
            (Errand::Change { change, .. }, Response::Done) => {
                self.office.errand = None;
                self.figures.changes += 1;
                self.check_change(change)?;
            }
            (Errand::Change { .. }, Response::ChangeRefused { .. }) => {
                self.office.errand = None;
                self.figures.changes_refused += 1;
            }
            (Errand::Token { .. } | Errand::Enrol { .. } | Errand::Change { .. }, _) => {
                return violation("answers", format!("{errand:?} was answered {what:?}"));
            }
        }
        Ok(())
    }

    fn try_again(&mut self, errand: Errand) {
        let errand = match errand {
            Errand::Change { attempts, .. } if attempts == ATTEMPTS_MAX => {
                self.office.errand = None;
                return;
            }
            Errand::Change { change, forced, attempts } => Errand::Change { change, forced, attempts: attempts + 1 },
            Errand::Token { .. } | Errand::Enrol { .. } => errand,
        };
        let (low, high) = REST_US;
        let after = self.fault_chance(Fault::Membership).scale(low, high);
        self.take_up(errand, after);
    }

    /// A removal that was acknowledged is in force.
    fn check_change(&self, change: MemberChange) -> Checked {
        let MemberChange::Remove { node } = change else { return Ok(()) };
        let membership = self.checks.membership();
        if membership.members().contains(&NodeId(node)) {
            return violation("membership", format!("n{node} was removed, and the members are {membership}"));
        }
        Ok(())
    }

    /// A newcomer has its number and starts.
    fn welcome(&mut self, node: NodeId) {
        assert!(node.0 as usize == self.nodes.len() + 1, "the operator waits for one newcomer at a time");
        let number = self.nodes.len();
        let mut newcomer = SimNode::new(number, self.plan, self.engines);
        let live = self.nodes.iter().filter_map(|node| node.live.as_ref());
        newcomer.known.extend(live.flat_map(|live| live.book()));
        self.nodes.push(newcomer);
        self.figures.newcomers += 1;
        self.trace.note(&[16, self.now, node.0]);
        self.trace.say(self.now, || format!("{node} is let in"));
        let after = self.fault_chance(Fault::Membership).scale(MILLI, 2 * SECOND);
        self.plan_in(after, Step::Start { node: number });
    }

    /// All disks of a node are lost. Another one is to take its place.
    pub(crate) fn wipe(&mut self, number: usize) -> bool {
        let membership = self.checks.membership();
        let id = self.nodes[number].id;
        let is_member = membership.members().contains(&id);
        if self.office.errand.is_some() || !is_member || self.nodes[number].gone || !self.may_damage() {
            return false;
        }
        let is_voter = membership.voters.contains(&id);
        self.trace.say(self.now, || format!("{id} has lost its disks"));
        if self.nodes[number].live.is_some() {
            self.end_life(number);
        }
        self.nodes[number].gone = true;
        let errand = if is_voter && self.office.newcomers < self.plan.newcomers {
            Errand::Token { wish: Wish::Learner, replaces: Some(id.0) }
        } else {
            Errand::Change { change: MemberChange::Remove { node: id.0 }, forced: false, attempts: 0 }
        };
        let after = self.fault_chance(Fault::Wipe).scale(MILLI, SECOND);
        self.take_up(errand, after);
        true
    }

    /// A node says that it is out: is it?
    pub(crate) fn on_left(&mut self, number: usize, at: Index) -> Checked {
        let id = self.nodes[number].id;
        let membership = self.checks.membership_at(at);
        if membership.members().contains(&id) {
            return violation("membership", format!("{id} leaves as of {at}, and the members there are {membership}"));
        }
        self.settle(number)?;
        self.leave(number);
        Ok(())
    }

    fn leave(&mut self, number: usize) {
        self.trace.say(self.now, || format!("n{} is out and ends: {:?}", number + 1, HaltKind::Removed));
        self.figures.farewells += 1;
        self.end_life(number);
        self.nodes[number].gone = true;
    }

    /// Whether a node would dial a peer: it stands in the book, or was known before there was one, or dials this node; and is not out.
    pub(crate) fn dials(&self, number: usize, peer: usize) -> bool {
        let (node, id) = (&self.nodes[number], self.nodes[peer].id);
        let Some(live) = &node.live else { return false };
        let is_known = node.known.contains(&id) || live.book().any(|listed| listed == id);
        (is_known || self.links.is_up(peer, number)) && !live.has_removed(id)
    }

    /// Whether a peer turns a node away because it is out.
    pub(crate) fn turns_away(&self, peer: usize, node: usize) -> bool {
        let id = self.nodes[node].id;
        self.nodes[peer].live.as_ref().is_some_and(|live| live.has_removed(id))
    }

    /// A node is told by a peer that it is out. It believes a majority of the other voters.
    pub(crate) fn on_turned_away(&mut self, number: usize, by: usize) -> Checked {
        let by = self.nodes[by].id;
        let node = &mut self.nodes[number];
        node.turned_away_by.insert(by);
        let Some(live) = &node.live else { return Ok(()) };
        let others = live.voters().iter().filter(|voter| **voter != node.id);
        let say: Vec<bool> = others.map(|voter| node.turned_away_by.contains(voter)).collect();
        if say.iter().filter(|out| **out).count() * 2 <= say.len() {
            return Ok(());
        }
        let id = node.id;
        if self.checks.membership().members().contains(&id) {
            return violation(
                "membership",
                format!("{id} is turned away, and the members are {}", self.checks.membership()),
            );
        }
        self.leave(number);
        Ok(())
    }

    /// Its address book changed: it dials others, and is done with some.
    pub(crate) fn maybe_read_book(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let Some(live) = &node.live else { return };
        if !live.book().eq(node.book.iter().copied()) {
            node.book = live.book().collect();
            self.look_around(number, 200 * MILLI);
        }
    }

    /// Whether one more voter may lose what it has, for a while or for good.
    pub(crate) fn may_damage(&self) -> bool {
        let in_force = self.checks.may_be_in_force();
        let quiet = !matches!(self.office.errand, Some(Errand::Change { .. })) && self.office.ghost_until <= self.now;
        let [only] = in_force[..] else { return false };
        let settled = !only.is_joint() && only.joining.is_empty();
        let all_in = self.nodes.iter().all(|node| self.checks.was_member(node.id));
        quiet && settled && all_in && has_majority(&only.voters, self.hurt_among(&only.voters) + 1)
    }

    /// Whether those whose disks are whole can go on after a change, whichever membership it meets.
    fn is_bearable(&self, change: MemberChange) -> bool {
        let is_bearable = |voters: BTreeSet<NodeId>| has_majority(&voters, self.hurt_among(&voters));
        // Who is on its way to a vote may be there before the change, or after it, or never.
        let ends = |membership: &Membership| {
            is_bearable(after(membership.voters.clone(), change)) && is_bearable(after(joined(membership), change))
        };
        self.checks.may_be_in_force().into_iter().all(ends)
    }

    fn hurt_among(&self, voters: &BTreeSet<NodeId>) -> usize {
        let is_hurt = |voter: &&NodeId| self.nodes.get(voter.0 as usize - 1).is_none_or(SimNode::is_hurt);
        voters.iter().filter(is_hurt).count()
    }
}

fn has_majority(voters: &BTreeSet<NodeId>, hurt: usize) -> bool {
    2 * voters.len().saturating_sub(hurt) > voters.len()
}

/// Who votes when all have come who are on their way.
fn joined(membership: &Membership) -> BTreeSet<NodeId> {
    let mut voters = membership.voters.clone();
    for (new, old) in &membership.joining {
        voters.insert(*new);
        old.map(|old| voters.remove(&old));
    }
    voters
}

/// Who votes when the change is all done.
fn after(mut voters: BTreeSet<NodeId>, change: MemberChange) -> BTreeSet<NodeId> {
    match change {
        MemberChange::Promote { node } => drop(voters.insert(NodeId(node))),
        MemberChange::Demote { node } | MemberChange::Remove { node } => drop(voters.remove(&NodeId(node))),
        MemberChange::Replace { old, new } => {
            voters.remove(&NodeId(old));
            voters.insert(NodeId(new));
        }
    }
    voters
}
