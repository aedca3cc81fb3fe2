//! What must hold after every step, over all nodes and all their lives.
//!
//! | check | what it compares |
//! | --- | --- |
//! | election safety | one leader per term, in one of its lives |
//! | votes | one candidate per term gets a node's word, crashes included |
//! | log matching | an index and a term name one entry, and one entry before it |
//! | leader completeness | a new leader has every entry that an earlier term committed |
//! | state machine safety | every node applies the same entry at an index |
//! | monotony | terms and commits never go back, what is applied is committed |
//! | hash chains | equal at equal indexes |
//! | engines | one per index |
//! | durability | after a restart there is what was promised before |
//! | membership | a leader changes it from one to the next as the paper has it, one change at a time, none before an entry of its own term is committed; who leaves is out |
//!
//! The linearizability of the clients' history is judged at the end, in `linear`.

use outboard_node::stepped::{Running, SteppedNode};
use outboard_raft::{Entry, HardState, Index, Membership, Message, NodeId, Payload, Position, RoleKind, Term};
use outboard_wire::command::Digest;
use outboard_wire::status::ChainMark;
use std::collections::BTreeMap;

/// A rule that did not hold.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Violation {
    /// Which check found it.
    pub check: &'static str,
    /// What it found.
    pub what: String,
}

/// The check of the asserts that stand in the product itself.
pub const BROKEN_RULE: &str = "a rule of the product";

/// The outcome of a check.
pub type Checked = Result<(), Violation>;

/// A rule that did not hold, in words.
pub fn violation<T>(check: &'static str, what: impl Into<String>) -> Result<T, Violation> {
    Err(Violation { check, what: what.into() })
}

/// What an entry says, in short.
type Fingerprint = u64;

/// What the log of a node has promised to keep.
#[derive(Clone, Debug, Default)]
pub struct Promised {
    /// Term and vote.
    pub hard_state: HardState,
    /// The last entry.
    pub last: Position,
}

/// Everything that was ever seen of the cluster.
#[derive(Default)]
pub struct Checks {
    leaders: BTreeMap<Term, (NodeId, u64)>,
    votes: BTreeMap<(NodeId, Term), NodeId>,
    /// Every entry that ever was in a log, and the term of the one before it.
    entries: BTreeMap<(Index, Term), (Fingerprint, Term)>,
    /// By index: the committed entry, and the newest term in which it was committed.
    committed: BTreeMap<Index, (Term, Term)>,
    chains: BTreeMap<u64, [u8; 32]>,
    switches: BTreeMap<u64, Digest>,
    seen: BTreeMap<NodeId, Seen>,
    /// That of the founders.
    founders: Membership,
    /// Every membership that ever was in a log.
    memberships: BTreeMap<(Index, Term), Membership>,
}

/// What a node showed last in its present life.
#[derive(Clone, Copy, Default)]
struct Seen {
    life: u64,
    term: Term,
    commit: Index,
    role: Option<RoleKind>,
}

impl Checks {
    /// Of a cluster that these form.
    pub fn of_founders(founders: impl IntoIterator<Item = NodeId>) -> Checks {
        Checks { founders: Membership::of_voters(founders), ..Checks::default() }
    }

    /// A node has thought: its role, term and commit index.
    pub fn on_thought(&mut self, node: &SteppedNode, life: u64) -> Checked {
        let raft = node.raft();
        let (id, term, commit, role) = (raft.id(), raft.term(), raft.commit(), raft.role());
        let seen = self.seen.entry(id).or_default();
        let same_life = seen.life == life;
        if same_life && (term < seen.term || commit < seen.commit) {
            return violation("monotony", format!("{id} went back to term {term}, commit {commit}"));
        }
        if raft.applied() > commit {
            return violation("monotony", format!("{id} applied {} beyond commit {commit}", raft.applied()));
        }
        let began = role == RoleKind::Leader && !(same_life && seen.role == Some(role) && seen.term == term);
        let from = if same_life { seen.commit.max(raft.base().index) } else { raft.base().index };
        *seen = Seen { life, term, commit, role: Some(role) };
        self.on_commit(node, from)?;
        if began { self.on_leader(node, life) } else { Ok(()) }
    }

    fn on_leader(&mut self, node: &SteppedNode, life: u64) -> Checked {
        let raft = node.raft();
        let (id, term) = (raft.id(), raft.term());
        let leader = *self.leaders.entry(term).or_insert((id, life));
        if leader != (id, life) {
            let what = format!("{id} (life {life}) leads term {term}, which {} (life {}) led", leader.0, leader.1);
            return violation("election safety", what);
        }
        let base = raft.base().index;
        for (index, (entry_term, in_term)) in self.committed.range(base.next()..) {
            if *in_term < term && raft.term_at(*index) != Some(*entry_term) {
                let what = format!(
                    "{id} leads term {term} without entry {index}@{entry_term}, committed in term {in_term}; its log ends at {}",
                    raft.last()
                );
                return violation("leader completeness", what);
            }
        }
        Ok(())
    }

    /// What a node knows to be committed after `from` is the same everywhere.
    fn on_commit(&mut self, node: &SteppedNode, from: Index) -> Checked {
        let raft = node.raft();
        let (commit, term) = (raft.commit(), raft.term());
        for index in (from.next().0..=commit.0).map(Index) {
            let Some(entry_term) = raft.term_at(index) else { continue };
            let (first, _) = *self.committed.entry(index).or_insert((entry_term, term));
            if first != entry_term {
                let what = format!("{} commits {index}@{entry_term}, {index}@{first} is committed", raft.id());
                return violation("state machine safety", what);
            }
        }
        Ok(())
    }

    /// Entries that a node gave to its log.
    pub fn on_appended(&mut self, node: &SteppedNode, entries: &[Entry]) -> Checked {
        for (place, entry) in entries.iter().enumerate() {
            if node.raft().term_at(entry.index) != Some(entry.term) {
                // Replaced within the same flush.
                continue;
            }
            let before = match place.checked_sub(1) {
                Some(before) if entries[before].index.next() == entry.index => Some(entries[before].term),
                Some(_) | None => node.raft().term_at(entry.index.previous()),
            };
            let before = before.expect("a log has no gaps");
            let now = (fingerprint(&entry.payload), before);
            let known = *self.entries.entry((entry.index, entry.term)).or_insert(now);
            if known != now {
                let what =
                    format!("{} has another entry at {} or before it than others", node.raft().id(), entry.position());
                return violation("log matching", what);
            }
            if let Payload::Membership(membership) = &entry.payload {
                self.on_membership(node, entry.position(), membership)?;
            }
        }
        Ok(())
    }

    /// A membership is in a log. Whoever leads has judged it.
    fn on_membership(&mut self, node: &SteppedNode, at: Position, membership: &Membership) -> Checked {
        let raft = node.raft();
        if raft.role() == RoleKind::Leader && raft.term() == at.term {
            let (id, commit) = (raft.id(), raft.commit());
            if raft.term_at(commit) != Some(at.term) {
                let what = format!("{id} changes it at {at} and has committed nothing in that term but up to {commit}");
                return violation("membership", what);
            }
            let (before_at, before) = self.membership_before(node, at.index);
            if before_at > commit {
                let what = format!("{id} changes it at {at} while the change at {before_at} is not committed");
                return violation("membership", what);
            }
            if !follows(before, membership) {
                return violation("membership", format!("{id} goes from {before} to {membership} at {at}"));
            }
        }
        self.memberships.insert((at.index, at.term), membership.clone());
        Ok(())
    }

    /// The newest membership in a node's log before an entry.
    fn membership_before(&self, node: &SteppedNode, index: Index) -> (Index, &Membership) {
        let raft = node.raft();
        let holds = |(at, term): (Index, Term)| {
            raft.term_at(at) == Some(term) || at <= raft.base().index && self.is_committed(at, term)
        };
        let before = self.memberships.range(..(index, Term(0))).rev().find(|(at, _)| holds(**at));
        before.map_or((Index(0), &self.founders), |((at, _), membership)| (*at, membership))
    }

    fn is_committed(&self, index: Index, term: Term) -> bool {
        self.committed.get(&index).is_some_and(|(committed, _)| *committed == term)
    }

    /// The newest committed membership.
    pub fn membership(&self) -> &Membership {
        self.membership_at(self.last_committed())
    }

    /// The committed membership as of an entry.
    pub fn membership_at(&self, index: Index) -> &Membership {
        let upto = self.memberships.range(..(index.next(), Term(0)));
        let newest = upto.rev().find(|((at, term), _)| self.is_committed(*at, *term));
        newest.map_or(&self.founders, |(_, membership)| membership)
    }

    /// The newest committed membership, and those in any log that may yet be committed.
    pub fn may_be_in_force(&self) -> Vec<&Membership> {
        let later = self.memberships.range((self.last_committed().next(), Term(0))..);
        std::iter::once(self.membership()).chain(later.map(|(_, membership)| membership)).collect()
    }

    /// Whether a node ever took part, as far as any log says.
    pub fn was_member(&self, node: NodeId) -> bool {
        let mut all = self.memberships.values().chain([&self.founders]);
        all.any(|membership| membership.members().contains(&node))
    }

    /// Entries that a node gave to its tables.
    pub fn on_committed(&mut self, node: &SteppedNode, entries: &[Entry]) -> Checked {
        let id = node.raft().id();
        for entry in entries {
            let term = node.raft().term();
            let (first, _) = *self.committed.entry(entry.index).or_insert((entry.term, term));
            if first != entry.term {
                let what = format!("{id} applies {}, {}@{first} is committed", entry.position(), entry.index);
                return violation("state machine safety", what);
            }
            let print = fingerprint(&entry.payload);
            if self.entries.get(&(entry.index, entry.term)).is_some_and(|(known, _)| *known != print) {
                return violation("state machine safety", format!("{id} applies another {}", entry.position()));
            }
        }
        Ok(())
    }

    /// The hash chain of a node.
    pub fn on_marks(&mut self, id: NodeId, marks: &[ChainMark]) -> Checked {
        for mark in marks {
            if *self.chains.entry(mark.index).or_insert(mark.hash) != mark.hash {
                return violation("hash chains", format!("{id} has another state at {}", mark.index));
            }
        }
        Ok(())
    }

    /// The engine that runs on a node whose tables stand at `at`.
    pub fn on_running(&mut self, id: NodeId, at: Position, running: Option<Running>) -> Checked {
        let Some(Running { digest, since }) = running else { return Ok(()) };
        let first = *self.switches.entry(since).or_insert(digest);
        if first != digest {
            return violation("engines", format!("{id} switched at {since} to {digest}, others to {first}"));
        }
        let later = self.switches.range(since + 1..).next().filter(|(later, _)| **later <= at.index.0);
        if let Some((later, other)) = later {
            let what = format!("{id} runs {digest} since {since} at {at}, others run {other} since {later}");
            return violation("engines", what);
        }
        Ok(())
    }

    /// A message leaves a node.
    pub fn on_message(&mut self, from: NodeId, to: NodeId, term: Term, message: &Message) -> Checked {
        if let Message::VoteReply { granted: true } = message {
            let first = *self.votes.entry((from, term)).or_insert(to);
            if first != to {
                return violation("votes", format!("{from} votes for {to} in term {term} after {first}"));
            }
        }
        if let Message::Vote { .. } = message {
            let first = *self.votes.entry((from, term)).or_insert(from);
            if first != from {
                return violation("votes", format!("{from} votes for itself in term {term} after {first}"));
            }
        }
        Ok(())
    }

    /// A node starts from its disks; its log must hold what it had promised.
    pub fn on_recovered(&mut self, node: &SteppedNode, promised: &Promised) -> Checked {
        let wal = node.wal();
        let (now, before) = (wal.hard_state(), promised.hard_state);
        let id = node.raft().id();
        let vote_kept = now.term > before.term || before.vote.is_none() || now.vote == before.vote;
        if now.term < before.term || !vote_kept {
            return violation("durability", format!("{id} forgot {before:?} and starts with {now:?}"));
        }
        let last = promised.last;
        let kept = wal.position(last.index) == Some(last)
            // Truncated for a later leader, by a batch that was not promised but kept; its entries need not be.
            || now.term > last.term
            || wal.base().index >= last.index;
        if !kept {
            return violation("durability", format!("{id} promised {last} and its log ends at {}", wal.last()));
        }
        Ok(())
    }

    /// Entries that were read back from a node's log.
    pub fn on_read_back(&self, id: NodeId, entries: &[Entry]) -> Checked {
        for entry in entries {
            let known = self.entries.get(&(entry.index, entry.term));
            if known.is_none_or(|(known, _)| *known != fingerprint(&entry.payload)) {
                return violation("log matching", format!("{id} has another {} on its disk", entry.position()));
            }
        }
        Ok(())
    }

    /// The last committed index.
    pub fn last_committed(&self) -> Index {
        self.committed.last_key_value().map_or(Index(0), |(index, _)| *index)
    }

    /// How many terms had a leader.
    pub fn terms(&self) -> usize {
        self.leaders.len()
    }
}

/// Whether a membership may come right after another one: majorities of both always share a node.
fn follows(before: &Membership, after: &Membership) -> bool {
    if before.is_joint() {
        return !after.is_joint() && after.voters == before.voters;
    }
    if after.is_joint() {
        return after.outgoing == before.voters;
    }
    before.voters.symmetric_difference(&after.voters).count() <= 1
}

fn fingerprint(payload: &Payload) -> Fingerprint {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memberships_follow_each_other_by_one_voter_or_through_the_joint_form() {
        let of = |voters: &[u64]| Membership::of_voters(voters.iter().copied().map(NodeId));
        let joint = |from: &[u64], to: &[u64]| Membership { outgoing: of(from).voters, ..of(to) };
        assert!(follows(&of(&[1, 2, 3]), &of(&[1, 2, 3, 4])) && follows(&of(&[1, 2, 3]), &of(&[1, 2])));
        assert!(!follows(&of(&[1, 2, 3]), &of(&[1, 2, 4])), "two voters differ");
        assert!(follows(&of(&[1, 2, 3]), &joint(&[1, 2, 3], &[1, 2, 4])));
        assert!(!follows(&of(&[1, 2, 3]), &joint(&[1, 2], &[1, 2, 4])), "joint with others than those before");
        assert!(follows(&joint(&[1, 2, 3], &[1, 2, 4]), &of(&[1, 2, 4])));
        assert!(!follows(&joint(&[1, 2, 3], &[1, 2, 4]), &of(&[1, 2, 3])), "left for others");
    }
}
