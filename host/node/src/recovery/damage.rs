//! A damaged or forgotten log, and what the node may do with what is left of it.
//!
//! What the tables hold durably needs no log: if all entries behind it can be read, the damage is mended here and nothing is lost. Else the
//! node has lost what it promised. It starts suspended: with its vote if it is known where its log ended and how it had voted, without it
//! if not (`host/raft/src/suspension.rs` says why that will do), and gets everything again from the others.
//!
//! Never: goes on where nobody else has the data. Then nothing is changed and the operator is told. Tests: here,
//! `tests/cluster/damage.rs`.

use super::Recovery;
use crate::error::StartError;
use crate::machine::Machine;
use outboard_raft::{HardState, Position};
use outboard_store::Store;
use outboard_wal::{DamagedLog, Loss, Recovered, SoundLog, Tail, Wal};

impl Recovery<'_> {
    /// A new log in place of the damaged one.
    pub(super) fn mend(
        &self,
        damaged: DamagedLog,
        machine: &Machine,
        store: &dyn Store,
    ) -> Result<(Wal, Recovered), StartError> {
        let applied = machine.head().position;
        let tail = damaged.tail();
        let verdict = judge(applied, tail, damaged.hard_state(), damaged.loss());
        if verdict.lost && self.is_alone(machine) {
            let error = self.wrong(damaged.into_error());
            return Err(StartError::Corrupt(format!("{error}; no other voter has what is lost")));
        }
        let before = damaged.before().map_or(0, |before| before.index.0);
        let (from, upto) = (before + 1, tail.map(|tail| tail.after.index.0));
        tracing::error!(from, upto, applied = applied.index.0, lost = verdict.lost, "{}", damaged.error());
        // The log may forget only what the tables have durably.
        store.persist().map_err(|error| StartError::store(error, self.dir))?;
        let Judgement { hard_state, lost, remembers } = verdict;
        let mended = damaged.mend(applied, hard_state, self.loss_name, lost, remembers);
        let (wal, recovered) = mended.map_err(|error| self.wrong(error))?;
        if !lost {
            tracing::warn!(after = %applied, last = %recovered.last, "the damaged log is mended: the tables hold what was damaged");
        }
        Ok((wal, recovered))
    }

    /// The loss that the log knows of, under a number of its own.
    pub(super) fn known_loss(&self, wal: &mut Wal, told: Option<Loss>) -> Result<Option<Loss>, StartError> {
        match told {
            // Its note could not be read.
            Some(Loss { incarnation: 0, .. }) => {
                wal.note_loss(self.loss_name, None).map(Some).map_err(|error| self.wrong(error))
            }
            told => Ok(told),
        }
    }

    /// There was a log, and there is none. What the tables say does not matter: they may be gone as well.
    pub(super) fn missing(&self, log: &mut SoundLog, machine: &Machine) -> Result<(), StartError> {
        let text = format!("the log in {} is gone", self.dir.display());
        if self.is_alone(machine) {
            return Err(StartError::Corrupt(format!(
                "{text}; no other voter that this node knows of has what is lost"
            )));
        }
        tracing::error!("{text}");
        log.note_loss(self.loss_name).map_err(|error| self.wrong(error))
    }

    /// The log is gone, or is from before the tables: whatever was promised is forgotten.
    pub(super) fn forgotten(&self, wal: &mut Wal, machine: &Machine) -> Result<Loss, StartError> {
        let (dir, applied) = (self.dir.display(), machine.head().position);
        let text = format!("the log in {dir} is gone or older than the tables, which stand at {applied}");
        if self.is_alone(machine) {
            return Err(StartError::Corrupt(format!("{text}; no other voter has what is lost")));
        }
        tracing::error!("{text}");
        let noted = wal.note_loss(self.loss_name, None);
        let hard_state = HardState { term: applied.term, vote: None };
        noted
            .and_then(|loss| wal.append(Some(&hard_state), &[]).map(|()| loss))
            .and_then(|loss| wal.sync().map(|()| loss))
            .map_err(|error| self.wrong(error))
    }

    fn is_alone(&self, machine: &Machine) -> bool {
        let membership = &machine.head().membership;
        membership.voters.iter().chain(&membership.outgoing).all(|voter| *voter == self.node)
    }
}

/// What is left of the promises.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
struct Judgement {
    hard_state: HardState,
    /// Some of what was promised is gone.
    lost: bool,
    /// Where the log ended, if it is known for certain.
    remembers: Option<Position>,
}

/// The tables stand at `applied`.
fn judge(applied: Position, tail: Option<Tail>, newest: HardState, earlier: Option<Loss>) -> Judgement {
    let Some(tail) = tail else {
        let hard_state =
            if newest.term >= applied.term { newest } else { HardState { term: applied.term, vote: None } };
        return Judgement { hard_state, lost: true, remembers: None };
    };
    let held = tail.after.index <= applied.index && tail.hard_state.term >= applied.term;
    let ended = |lost: Position| if tail.last.up_to_date_with(lost) { tail.last } else { lost };
    let remembers = match earlier {
        None => Some(tail.last),
        Some(earlier) => earlier.remembers.map(ended),
    };
    let forgotten = tail.hard_state.term < applied.term;
    Judgement {
        hard_state: if forgotten { HardState { term: applied.term, vote: None } } else { tail.hard_state },
        lost: !held || earlier.is_some(),
        remembers: remembers.filter(|_| !forgotten),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_raft::{NodeId, Term};

    fn state(term: u64) -> HardState {
        HardState { term: Term(term), vote: Some(NodeId(2)) }
    }

    fn tail(after: u64, last: u64) -> Option<Tail> {
        let at = |index| Position::new(index, 3);
        Some(Tail { after: at(after), last: at(last), hard_state: state(4) })
    }

    #[test]
    fn what_the_tables_hold_is_not_lost_and_what_they_lack_is() {
        let applied = Position::new(50, 3);
        for (after, lost) in [(0, false), (49, false), (50, false), (51, true), (90, true)] {
            let judged = judge(applied, tail(after, 100), state(4), None);
            assert_eq!((judged.lost, judged.hard_state), (lost, state(4)), "tail after {after}");
            assert_eq!(judged.remembers, Some(Position::new(100, 3)), "it goes on voting by where its log ended");
        }
    }

    /// REGRESSIONS E20: who may have forgotten a vote has none until a leader without it says so.
    #[test]
    fn e20_without_a_tail_nothing_is_known_for_certain_and_the_vote_is_gone() {
        let applied = Position::new(50, 6);
        let judged = judge(applied, None, state(4), None);
        assert_eq!(
            judged,
            Judgement { hard_state: HardState { term: Term(6), vote: None }, lost: true, remembers: None }
        );
        // A log from before the tables has forgotten as well.
        let judged = judge(applied, tail(10, 100), state(4), None);
        assert_eq!((judged.hard_state.term, judged.lost, judged.remembers), (Term(6), true, None));
    }

    #[test]
    fn an_earlier_loss_is_not_forgotten_over_a_later_one() {
        let applied = Position::new(50, 3);
        for (remembers, together) in [(None, None), (Some((300, 3)), Some((300, 3))), (Some((300, 2)), Some((100, 3)))]
        {
            let position = |at: Option<(u64, u64)>| at.map(|(index, term)| Position::new(index, term));
            let earlier = Loss { incarnation: 7, remembers: position(remembers) };
            let judged = judge(applied, tail(10, 100), state(4), Some(earlier));
            assert_eq!((judged.lost, judged.remembers), (true, position(together)));
        }
    }
}
