//! The append worker, sole owner of the [`Wal`]: it takes every batch that waits, syncs once, and only then lets the waiting
//! messages go out and tells the core.
//!
//! Invariants: batches reach the log in queue order; nothing in `then_send` leaves before its batch is durable. Never: retries a
//! failed write or sync (the node halts).

use super::{Word, Words};
use crate::core::Event;
use crate::error::Halt;
use crate::settings::Durability;
use outboard_net::{Lane, PeerSender};
use outboard_raft::{Envelope, Index, LogAnswer, LogRequest, Persist, PersistId, Position};
use outboard_wal::{Wal, WalError};
use outboard_wire::peer::PeerMessage;
use std::sync::mpsc::Receiver;

/// What the log is asked to do.
pub(crate) enum AppendJob {
    Persist(Persist),
    Read(LogRequest),
    Compact(Index),
    /// A snapshot was installed: begin after it, then tell.
    Reset {
        base: Position,
        then: Box<Event>,
    },
}

/// The append worker.
pub(crate) struct AppendWorker {
    wal: Wal,
    durability: Durability,
    sender: PeerSender,
    words: Words,
    /// Written and not synced.
    unsynced: bool,
    waiting: Vec<(PersistId, Vec<Envelope>)>,
    bytes_told: u64,
}

impl AppendWorker {
    pub(crate) fn new(wal: Wal, durability: Durability, sender: PeerSender, words: Words) -> AppendWorker {
        AppendWorker { wal, durability, sender, words, unsynced: false, waiting: Vec::new(), bytes_told: 0 }
    }

    /// Works until the queue ends; a halt of the log halts the node.
    pub(crate) fn run(mut self, jobs: &Receiver<AppendJob>) {
        while let Ok(first) = jobs.recv() {
            let done = std::iter::once(first).chain(jobs.try_iter()).try_for_each(|job| self.on_job(job));
            if let Err(error) = done.and_then(|()| self.flush()) {
                return self.words.send(Word::Halt(Halt::from(error)));
            }
            self.tell_size();
        }
        if self.durability == Durability::Sync {
            // The queue ended on purpose: a clean end spares the next start some work. What was promised is durable already.
            self.wal.close().unwrap_or_else(|error| tracing::warn!(%error, "the log was not closed cleanly"));
        }
    }

    fn on_job(&mut self, job: AppendJob) -> Result<(), WalError> {
        match job {
            AppendJob::Persist(Persist { id, hard_state, entries, then_send }) => {
                if hard_state.is_some() || !entries.is_empty() {
                    self.wal.append(hard_state.as_ref(), &entries)?;
                    self.unsynced = true;
                }
                self.waiting.push((id, then_send));
                Ok(())
            }
            AppendJob::Read(request) => {
                let entries = self.read(&request)?;
                self.words.event(Event::LogRead(LogAnswer { purpose: request.purpose, entries }));
                Ok(())
            }
            AppendJob::Compact(upto) => self.wal.compact(upto),
            AppendJob::Reset { base, then } => {
                self.flush()?;
                self.wal.reset(base)?;
                self.words.event(*then);
                Ok(())
            }
        }
    }

    /// Nothing if it was compacted away meanwhile; the core asks for a snapshot then.
    fn read(&mut self, request: &LogRequest) -> Result<Vec<outboard_raft::Entry>, WalError> {
        match self.wal.read(request.from, request.to, request.bytes_max) {
            Ok(entries) => Ok(entries),
            Err(WalError::NotInLog { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// One sync for all that waits; then the messages that promised it, then the core.
    fn flush(&mut self) -> Result<(), WalError> {
        if std::mem::take(&mut self.unsynced) && self.durability == Durability::Sync {
            self.wal.sync()?;
        }
        for (id, then_send) in self.waiting.drain(..) {
            for envelope in then_send {
                send(&self.sender, envelope);
            }
            self.words.event(Event::Persisted(id));
        }
        Ok(())
    }

    fn tell_size(&mut self) {
        let bytes = self.wal.bytes_on_disk();
        if bytes != self.bytes_told {
            self.bytes_told = bytes;
            self.words.event(Event::LogBytes(bytes));
        }
    }
}

/// Gives a consensus message to the network: entries on their own lane, so that they never delay a heartbeat.
pub(crate) fn send(sender: &PeerSender, envelope: Envelope) {
    use outboard_raft::Message;
    let lane = match &envelope.message {
        Message::Append { .. }
        | Message::AppendAccept { .. }
        | Message::AppendReject { .. }
        | Message::Commit { .. } => Lane::Append,
        Message::PreVote { .. }
        | Message::PreVoteReply { .. }
        | Message::Vote { .. }
        | Message::VoteReply { .. }
        | Message::Heartbeat { .. }
        | Message::HeartbeatReply { .. }
        | Message::StaleTerm
        | Message::TimeoutNow => Lane::Control,
    };
    let to = envelope.to;
    sender.send(to, lane, PeerMessage::Raft(envelope).encode().into());
}
