//! The harness of this crate's tests: a log on a disk in memory beside a model of it that says what a crash may leave.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::sync::Arc;

use outboard_raft::{Entry, HardState, Index, NodeId, Payload, Position, Term};
use outboard_wal::{Disk, MemDisk, Options, Recovered, Unrecovered, Wal, WalError};

pub(crate) const CLUSTER: u128 = 0xc1;

/// Small enough that a dozen entries fill several segments.
pub(crate) const SMALL: Options = Options { segment_bytes: 1 << 10, sync: true };

/// What a log holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    pub(crate) hard_state: HardState,
    pub(crate) base: Position,
    pub(crate) entries: Vec<Entry>,
}

impl State {
    pub(crate) fn empty() -> State {
        State { hard_state: HardState { term: Term(0), vote: None }, base: at(0, 0), entries: Vec::new() }
    }

    /// Read through the log's own door, and each of the ways to ask must agree.
    pub(crate) fn of(wal: &mut Wal) -> State {
        let (base, last) = (wal.base(), wal.last());
        let mut entries = Vec::new();
        while base.index.0 + (entries.len() as u64) < last.index.0 {
            let from = Index(base.index.0 + 1 + entries.len() as u64);
            entries.extend(wal.read(from, last.index, 700).expect("what is in the log can be read"));
        }
        for entry in &entries {
            assert_eq!(wal.position(entry.index), Some(entry.position()));
        }
        assert_eq!(entries.last().map_or(base, Entry::position), last);
        State { hard_state: wal.hard_state(), base, entries }
    }

    pub(crate) fn last(&self) -> Position {
        self.entries.last().map_or(self.base, Entry::position)
    }

    fn position(&self, index: u64) -> Position {
        match index.checked_sub(self.base.index.0 + 1) {
            None => self.base,
            Some(entry) => self.entries[entry as usize].position(),
        }
    }

    /// The first position of each term's run.
    fn terms(&self) -> Vec<Position> {
        let mut terms: Vec<Position> = Vec::new();
        for entry in &self.entries {
            if terms.last().is_none_or(|run| run.term != entry.term) {
                terms.push(entry.position());
            }
        }
        terms
    }
}

/// One thing to do with a log. Numbers are taken modulo what is possible, so that every history makes sense.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Overwrites the last `back` entries, with `count` new ones.
    Append {
        back: usize,
        count: usize,
        bytes: usize,
    },
    /// A higher term, voted for someone.
    Vote,
    /// A vote within the term.
    VoteLate,
    Sync,
    /// Up to this share of the log, in sixteenths.
    Compact {
        share: usize,
    },
    /// A snapshot this far beyond the end, or that far before it.
    Reset {
        ahead: i64,
    },
    /// The process ends without a word and another one starts; the machine goes on.
    Restart,
    Close,
}

/// A log and all states that a crash at this moment may leave: the first is the last one known to be durable.
pub(crate) struct Story {
    pub(crate) disk: MemDisk,
    pub(crate) options: Options,
    pub(crate) wal: Option<Wal>,
    pub(crate) possible: Vec<State>,
    written: u64,
}

impl Story {
    /// Not started: the first thing to do is [`Story::start`].
    pub(crate) fn new(disk: MemDisk, options: Options) -> Story {
        Story { disk, options, wal: None, possible: vec![State::empty()], written: 0 }
    }

    pub(crate) fn start(&mut self) -> Result<(), WalError> {
        let (mut wal, recovered) = recover_with(&self.disk, &self.options)?;
        let state = State::of(&mut wal);
        check(&state, &recovered);
        assert!(self.possible.contains(&state), "recovered {state:#?}\nbut possible are {:#?}", self.possible);
        self.possible = vec![state];
        self.wal = Some(wal);
        Ok(())
    }

    pub(crate) fn now(&self) -> &State {
        self.possible.last().expect("there is a state")
    }

    /// Starts the log if need be and does all of it; stops at the first error.
    pub(crate) fn play(&mut self, ops: &[Op]) -> Result<(), WalError> {
        if self.wal.is_none() {
            self.start()?;
        }
        ops.iter().try_for_each(|op| self.act(op))
    }

    pub(crate) fn act(&mut self, op: &Op) -> Result<(), WalError> {
        match op {
            Op::Append { back, count, bytes } => self.append(*back, *count, *bytes),
            Op::Vote => self.vote(1),
            Op::VoteLate => self.vote(0),
            Op::Sync => self.durable(None, |wal| wal.sync()),
            Op::Compact { share } => self.compact(*share),
            Op::Reset { ahead } => self.reset(*ahead),
            Op::Restart => {
                self.wal = None;
                self.start()
            }
            Op::Close => {
                let wal = self.wal.take().expect("started");
                wal.close()?;
                self.possible = vec![self.now().clone()];
                self.start()
            }
        }
    }

    fn append(&mut self, back: usize, count: usize, bytes: usize) -> Result<(), WalError> {
        let mut state = self.now().clone();
        let back = back.min(state.entries.len());
        state.entries.truncate(state.entries.len() - back);
        // What is overwritten is overwritten by a later leader.
        let hard_state = (back > 0).then_some(HardState { term: Term(state.hard_state.term.0 + 1), vote: None });
        state.hard_state = hard_state.unwrap_or(state.hard_state);
        let from = state.entries.len();
        for _ in 0..count.max(usize::from(back > 0)) {
            self.written += 1;
            let index = Index(state.last().index.0 + 1);
            let payload = payload(self.written, bytes);
            // A batch on disk ends after any of its entries when a segment is full.
            self.possible.push(state.clone());
            state.entries.push(Entry { index, term: state.hard_state.term, payload });
        }
        self.possible.push(state.clone());
        self.wal().append(hard_state.as_ref(), &state.entries[from..])
    }

    fn vote(&mut self, further: u64) -> Result<(), WalError> {
        let mut state = self.now().clone();
        let term = Term(state.hard_state.term.0 + further);
        let vote = if further > 0 { Some(NodeId(term.0 % 3)) } else { state.hard_state.vote.or(Some(NodeId(2))) };
        state.hard_state = HardState { term, vote };
        self.possible.push(state.clone());
        self.wal().append(Some(&state.hard_state), &[])
    }

    fn compact(&mut self, share: usize) -> Result<(), WalError> {
        let mut state = self.now().clone();
        let count = state.entries.len() * share.min(16) / 16;
        let upto = state.position(state.base.index.0 + count as u64);
        if upto == state.base {
            return self.wal().compact(upto.index);
        }
        state.entries.drain(..count);
        state.base = upto;
        self.durable(Some(state), |wal| wal.compact(upto.index))?;
        // It may find no segment to free, and then does nothing at all.
        let base = self.wal().base();
        if base != upto {
            self.possible.pop();
            assert_eq!(base, self.now().base, "the base moves exactly where it was told to, or not");
        }
        Ok(())
    }

    fn reset(&mut self, ahead: i64) -> Result<(), WalError> {
        let mut state = self.now().clone();
        let index = state.last().index.0.saturating_add_signed(ahead).max(state.base.index.0 + 1);
        let term = state.hard_state.term.0.max(state.base.term.0);
        state.base = at(index, term);
        state.entries.clear();
        let base = state.base;
        self.durable(Some(state), |wal| wal.reset(base))
    }

    /// An act after which everything is durable; `next` is the state that it makes.
    fn durable(
        &mut self,
        next: Option<State>,
        act: impl FnOnce(&mut Wal) -> Result<(), WalError>,
    ) -> Result<(), WalError> {
        let moves = next.is_some();
        self.possible.extend(next);
        act(self.wal())?;
        if !moves || State::of(self.wal()) == *self.now() {
            self.possible = vec![self.now().clone()];
        }
        Ok(())
    }

    pub(crate) fn wal(&mut self) -> &mut Wal {
        self.wal.as_mut().expect("started")
    }
}

pub(crate) fn at(index: u64, term: u64) -> Position {
    Position { index: Index(index), term: Term(term) }
}

/// Different for each entry ever written, so that an overwritten one is never taken for the new one.
fn payload(number: u64, bytes: usize) -> Payload {
    if bytes == 0 {
        return Payload::Noop;
    }
    let text = format!("command {number} ").into_bytes();
    Payload::Command(text.into_iter().cycle().take(bytes + 10).collect())
}

pub(crate) fn command(index: u64, term: u64, bytes: usize) -> Entry {
    let payload = Payload::Command(Arc::from(vec![index as u8; bytes]));
    Entry { index: Index(index), term: Term(term), payload }
}

pub(crate) fn recover(disk: &MemDisk) -> Result<(Wal, Recovered), WalError> {
    recover_with(disk, &SMALL)
}

pub(crate) fn recover_with(disk: &MemDisk, options: &Options) -> Result<(Wal, Recovered), WalError> {
    Unrecovered::open(Box::new(disk.clone()), CLUSTER, options.clone())?.recover()
}

/// What recovery tells is what the log holds.
pub(crate) fn check(state: &State, recovered: &Recovered) {
    assert_eq!(recovered.hard_state, state.hard_state);
    assert_eq!(recovered.base, state.base);
    assert_eq!(recovered.last, state.last());
    assert_eq!(recovered.terms, state.terms());
}

/// Names of the segments, oldest first.
pub(crate) fn segments(disk: &MemDisk) -> Vec<String> {
    let mut names = disk.list().expect("a disk in memory lists");
    names.retain(|name| name.ends_with(".wal"));
    names
}

/// A small generator of chance from a seed.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }
}
