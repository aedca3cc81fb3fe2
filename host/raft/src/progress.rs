//! What the leader knows of one peer's log, and how it sends to it.
//!
//! Probe: the place of agreement is unknown, one Append at a time. Replicate: known, Appends follow each other without
//! waiting. Snapshot: the peer needs more than the log still has; nothing is sent until that is over.
//!
//! Invariant: `matched < next`, and `matched` never goes back within a term, unless the peer says that its disk lost data
//! (`suspension`).

use crate::inflight::Inflight;
use crate::suspension::Readmission;
use crate::types::{Config, Index, Position};

/// What the leader knows of one peer.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) struct Progress {
    pub(crate) state: State,
    /// The logs agree up to here, durably.
    pub(crate) matched: Index,
    /// The next entry to send.
    pub(crate) next: Index,
    pub(crate) inflight: Inflight,
    /// It spoke at least once in this term.
    met: bool,
    /// For so long it has not spoken; at first since it was reckoned with.
    silent_ticks: u32,
    /// It lost data.
    pub(crate) readmission: Option<Readmission>,
    /// How long a learner on its way to a vote has kept up.
    keeping_up: KeepingUp,
    /// The highest commit index that it was told.
    pub(crate) commit_told: Index,
    /// The newest read round that it confirmed.
    pub(crate) round: u64,
    /// For so long Appends wait for an answer.
    quiet_ticks: u32,
}

/// Whether a learner has caught up: in so many heartbeats in a row it had everything that was there at the one before.
#[derive(Clone, Eq, PartialEq, Hash, Debug, Default)]
struct KeepingUp {
    rounds: u32,
    /// The log's end at the last heartbeat.
    target: Index,
}

/// So many rounds make a learner ready for its vote (thesis, section 4.2.1).
const ROUNDS_KEPT_UP: u32 = 3;

/// How the leader sends to one peer.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) enum State {
    /// One Append, then silence until an answer or a heartbeat's.
    Probe {
        paused: bool,
    },
    Replicate,
    Snapshot(Transfer),
}

/// How far a snapshot is.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) enum Transfer {
    /// The owner streams it and will tell the end.
    Streaming,
    /// It arrived; the peer is still installing it, or died over it.
    Installing { at: Index, ticks: u32 },
    /// It failed; asked for again after a while.
    Failed { ticks: u32 },
}

/// An installation that takes longer than so many election timeouts is taken for lost, and the peer is asked again.
const INSTALL_TIMEOUTS_MAX: u32 = 20;

impl Progress {
    pub(crate) fn new(next: Index, config: &Config) -> Progress {
        assert!(next > Index(0), "the next entry is an entry");
        Progress {
            state: State::Probe { paused: false },
            matched: Index(0),
            next,
            inflight: Inflight::new(config.inflight_messages_max, config.inflight_bytes_max),
            met: false,
            silent_ticks: 0,
            readmission: None,
            keeping_up: KeepingUp::default(),
            commit_told: Index(0),
            round: 0,
            quiet_ticks: 0,
        }
    }

    /// Time passes. A snapshot whose end stays unknown is given up, a failed one is tried again.
    pub(crate) fn tick(&mut self, election_timeout_ticks: u32) {
        self.silent_ticks = self.silent_ticks.saturating_add(1);
        if !self.inflight.is_empty() {
            self.quiet_ticks = self.quiet_ticks.saturating_add(1);
        }
        match &mut self.state {
            State::Snapshot(Transfer::Installing { at, ticks }) => {
                *ticks += 1;
                if *ticks >= election_timeout_ticks.saturating_mul(INSTALL_TIMEOUTS_MAX) {
                    let at = *at;
                    self.probe_from(at.next());
                }
            }
            State::Snapshot(Transfer::Failed { ticks }) => {
                *ticks += 1;
                if *ticks >= election_timeout_ticks {
                    self.probe_from(self.matched.next());
                }
            }
            State::Snapshot(Transfer::Streaming) | State::Probe { .. } | State::Replicate => {}
        }
    }

    pub(crate) fn forget_time(&mut self) {
        self.silent_ticks = 0;
        self.quiet_ticks = 0;
    }

    pub(crate) fn on_heard(&mut self) {
        self.met = true;
        self.silent_ticks = 0;
    }

    /// It was heard within an election timeout.
    pub(crate) fn is_live(&self, election_timeout_ticks: u32) -> bool {
        self.met && self.may_live(election_timeout_ticks)
    }

    /// As [`Progress::is_live`], but whoever is new here has an election timeout to make itself heard.
    pub(crate) fn may_live(&self, election_timeout_ticks: u32) -> bool {
        self.silent_ticks <= election_timeout_ticks
    }

    /// Its word counts for nothing.
    pub(crate) fn is_suspended(&self) -> bool {
        self.readmission.is_some_and(|readmission| !readmission.done)
    }

    /// It lost data: what it once acknowledged says nothing any more.
    pub(crate) fn on_loss(&mut self, readmission: Readmission, next: Index) {
        self.readmission = Some(readmission);
        self.matched = Index(0);
        self.round = 0;
        if self.state == State::Snapshot(Transfer::Streaming) {
            // The stream's end is told by its owner.
            self.next = next;
        } else {
            self.probe_from(next);
        }
    }

    /// A heartbeat leaves for a learner on its way to a vote; the log ends at `last`.
    pub(crate) fn measure(&mut self, last: Index) {
        let kept_up = self.state == State::Replicate && self.matched >= self.keeping_up.target;
        let rounds = if kept_up { self.keeping_up.rounds.saturating_add(1).min(ROUNDS_KEPT_UP) } else { 0 };
        // The first heartbeat only sets the mark.
        let rounds = if self.keeping_up.target == Index(0) { 0 } else { rounds };
        self.keeping_up = KeepingUp { rounds, target: last };
    }

    pub(crate) fn is_caught_up(&self) -> bool {
        self.keeping_up.rounds >= ROUNDS_KEPT_UP && !self.is_suspended()
    }

    /// The peer has everything up to `matched`; `base` is where the leader's log begins.
    pub(crate) fn on_accept(&mut self, matched: Index, base: Index) {
        if matched < self.matched {
            return;
        }
        self.quiet_ticks = 0;
        self.matched = matched;
        self.next = self.next.max(matched.next());
        self.inflight.free_to(matched);
        match self.state {
            State::Probe { .. } => self.replicate(),
            // However the peer came by it: the log reaches it again.
            State::Snapshot(_) if matched >= base => self.replicate(),
            State::Replicate | State::Snapshot(_) => {}
        }
        self.check();
    }

    /// The peer has not `prev`; `agree` is the leader's best guess what it has. False if the answer is outdated.
    pub(crate) fn on_reject(&mut self, prev: Index, agree: Option<Position>) -> bool {
        let current = match self.state {
            State::Probe { .. } => prev == self.next.previous(),
            State::Replicate => true,
            State::Snapshot(_) => false,
        };
        if !current || prev <= self.matched {
            return false;
        }
        let guess = agree.map_or(Index(1), |agree| agree.index.next());
        self.probe_from(guess.min(prev));
        true
    }

    /// The peer lives. True if Appends wait for so long that it has to be asked whether it has them.
    pub(crate) fn on_heartbeat_reply(&mut self, round: u64, heartbeat_ticks: u32) -> bool {
        self.round = self.round.max(round);
        if let State::Probe { paused } = &mut self.state {
            *paused = false;
        }
        let overdue = self.state == State::Replicate && self.quiet_ticks > heartbeat_ticks;
        if overdue {
            self.quiet_ticks = 0;
        }
        overdue
    }

    /// What is on the way is probably lost, and a peer that was installing may have died over it: if it lives, it
    /// leaves the probe unanswered until it is done. A stream's end is told by its owner.
    pub(crate) fn on_unreachable(&mut self) {
        match self.state {
            State::Replicate => self.probe_from(self.matched.next()),
            State::Snapshot(Transfer::Installing { at, .. }) => self.probe_from(at.next()),
            State::Snapshot(Transfer::Streaming | Transfer::Failed { .. }) | State::Probe { .. } => {}
        }
    }

    pub(crate) fn on_snapshot_sent(&mut self, at: Index, ok: bool) {
        if self.state == State::Snapshot(Transfer::Streaming) {
            let transfer = if ok { Transfer::Installing { at, ticks: 0 } } else { Transfer::Failed { ticks: 0 } };
            self.state = State::Snapshot(transfer);
        }
    }

    /// An Append leaves that ends at `last`.
    pub(crate) fn on_send(&mut self, last: Index, bytes: usize) {
        match &mut self.state {
            State::Probe { paused } => *paused = true,
            State::Replicate => {
                if last >= self.next {
                    self.inflight.add(last, bytes);
                    self.next = last.next();
                }
            }
            State::Snapshot(_) => panic!("nothing is sent beside a snapshot"),
        }
    }

    /// Wait for a sign of life.
    pub(crate) fn pause(&mut self) {
        self.probe_from(self.matched.next());
        self.state = State::Probe { paused: true };
    }

    pub(crate) fn await_snapshot(&mut self) {
        self.clear();
        self.state = State::Snapshot(Transfer::Streaming);
    }

    fn probe_from(&mut self, next: Index) {
        self.clear();
        self.state = State::Probe { paused: false };
        self.next = next.max(self.matched.next());
        self.check();
    }

    fn replicate(&mut self) {
        self.clear();
        self.state = State::Replicate;
        self.next = self.matched.next();
    }

    fn clear(&mut self) {
        self.inflight.clear();
        self.quiet_ticks = 0;
    }

    fn check(&self) {
        assert!(self.matched < self.next, "what the peer has is not sent again");
    }
}
