//! The append worker, sole owner of the [`Wal`]: it takes every batch that waits, syncs once, and only then lets the waiting
//! messages go out and tells the core.
//!
//! Invariants: batches reach the log in queue order; nothing in `then_send` leaves before its batch is durable. Never: retries a
//! failed write or sync (the node halts).

use super::{Word, Words};
use crate::core::Event;
use crate::error::{Halt, HaltKind};
use crate::peers::{self, PeerDoor};
use crate::settings::Durability;
use outboard_raft::{Envelope, Index, LogAnswer, LogPurpose, LogRequest, Persist, PersistId, Position, SnapshotMeta};
use outboard_wal::{Wal, WalError};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// What the log is asked to do.
pub(crate) enum AppendJob {
    Persist(Persist),
    Read(LogRequest),
    Compact(Index),
    /// What was lost is here again.
    SettleLoss,
    /// Everything that was promised is lost: write that down, and halt.
    NoteLoss {
        reason: String,
        at_ms: u64,
    },
    /// Something in this segment may not be as it was written.
    Suspect(u32),
    /// A snapshot is about to be installed. Tables must never be ahead of the log's term and vote: first everything that waits
    /// becomes durable.
    BeforeInstall(SnapshotMeta),
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
    door: Arc<dyn PeerDoor>,
    words: Words,
    /// Written and not synced.
    unsynced: bool,
    waiting: Vec<(PersistId, Vec<Envelope>)>,
    bytes_told: u64,
}

impl AppendWorker {
    pub(crate) fn new(wal: Wal, durability: Durability, door: Arc<dyn PeerDoor>, words: Words) -> AppendWorker {
        AppendWorker { wal, durability, door, words, unsynced: false, waiting: Vec::new(), bytes_told: 0 }
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
        self.close();
    }

    /// The end of the queue, on purpose: a clean end spares the next start some work. What was promised is durable already.
    pub(crate) fn close(self) {
        if self.durability == Durability::Sync {
            self.wal.close().unwrap_or_else(|error| tracing::warn!(%error, "the log was not closed cleanly"));
        }
    }

    /// Writes, without a sync.
    pub(crate) fn on_job(&mut self, job: AppendJob) -> Result<(), WalError> {
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
            // What makes the loss good was given to the log before, and may be forgotten only once it is durable.
            AppendJob::SettleLoss => self.flush().and_then(|()| self.wal.settle_loss()),
            AppendJob::NoteLoss { reason, at_ms } => {
                self.wal.note_loss(at_ms, None)?;
                self.words.send(Word::Halt(Halt { kind: HaltKind::Corruption, reason }));
                Ok(())
            }
            AppendJob::Suspect(segment) => self.check(segment).map(drop),
            AppendJob::BeforeInstall(meta) => {
                self.flush()?;
                self.words.send(Word::Install(meta));
                Ok(())
            }
            AppendJob::Reset { base, then } => {
                self.flush()?;
                self.wal.reset(base)?;
                self.words.event(*then);
                Ok(())
            }
        }
    }

    /// To be looked at.
    pub(crate) fn wal(&self) -> &Wal {
        &self.wal
    }

    /// To be looked at.
    pub(crate) fn read_back(&mut self, from: Index, to: Index) -> Result<Vec<outboard_raft::Entry>, WalError> {
        self.wal.read(from, to, 1 << 20)
    }

    /// Nothing if it was compacted away meanwhile; the core asks for a snapshot then. So it does for a peer when the entries are damaged.
    fn read(&mut self, request: &LogRequest) -> Result<Vec<outboard_raft::Entry>, WalError> {
        match self.wal.read(request.from, request.to, request.bytes_max) {
            Ok(entries) => Ok(entries),
            Err(WalError::NotInLog { .. }) => Ok(Vec::new()),
            Err(error @ WalError::Corrupt { .. }) => match (request.purpose, self.wal.segment_of(request.from)) {
                (LogPurpose::Peer(_), Some(segment)) if self.check_from(segment)? => Ok(Vec::new()),
                (LogPurpose::Peer(_) | LogPurpose::Apply, _) => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// Entries that are read together may lie in two segments.
    fn check_from(&mut self, segment: u32) -> Result<bool, WalError> {
        Ok(self.check(segment)? || self.check(segment.saturating_add(1))?)
    }

    /// Tells the core if a segment is damaged that is written no more. A damaged one that is still written is not for now: the next start
    /// judges it.
    fn check(&mut self, segment: u32) -> Result<bool, WalError> {
        let found = self.wal.check_segment(segment)?;
        let damaged = found.is_some();
        if let Some((error, upto)) = found {
            self.words.event(Event::LogDamaged { what: error.to_string(), upto });
        }
        Ok(damaged)
    }

    /// One sync for all that waits; then the messages that promised it, then the core.
    pub(crate) fn flush(&mut self) -> Result<(), WalError> {
        if std::mem::take(&mut self.unsynced) && self.durability == Durability::Sync {
            self.wal.sync()?;
        }
        for (id, then_send) in self.waiting.drain(..) {
            for envelope in then_send {
                peers::send(&*self.door, envelope);
            }
            self.words.event(Event::Persisted(id));
        }
        Ok(())
    }

    pub(crate) fn tell_size(&mut self) {
        let bytes = self.wal.bytes_on_disk();
        if bytes != self.bytes_told {
            self.bytes_told = bytes;
            self.words.event(Event::LogBytes(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_net::{Authority, ClusterId, Net, Options};
    use outboard_raft::{Entry, HardState, Membership, NodeId, Payload, Term};
    use outboard_wal::{MemDisk, Unrecovered};
    use std::collections::BTreeMap;
    use std::sync::mpsc::channel;

    fn batch(number: u64) -> AppendJob {
        let entry = Entry { index: Index(number), term: Term(1), payload: Payload::Noop };
        let hard_state = (number == 1).then_some(HardState { term: Term(1), vote: None });
        AppendJob::Persist(Persist { id: PersistId(number), hard_state, entries: vec![entry], then_send: Vec::new() })
    }

    /// What the worker says when it has done these jobs on this disk.
    async fn words_after(disk: &MemDisk, jobs: Vec<AppendJob>, fail_sync: bool) -> Vec<Word> {
        let cluster = ClusterId(7);
        let credentials = Authority::create(cluster).and_then(|ca| ca.issue_node(NodeId(1))).expect("credentials");
        let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let (events, _from_net) = tokio::sync::mpsc::channel(1);
        let net = Net::bind(Options::new(listen, credentials, BTreeMap::new()), events).await.expect("bound");
        let unrecovered = Unrecovered::open(Box::new(disk.clone()), cluster.0, Default::default()).expect("free");
        let (wal, _) = unrecovered.recover().expect("sound");
        let (words, mut said) = tokio::sync::mpsc::unbounded_channel();
        let worker = AppendWorker::new(wal, Durability::Sync, Arc::new(net.sender()), Words(words));
        let (queue, waiting) = channel();
        for job in jobs {
            queue.send(job).expect("the worker has not begun");
        }
        drop(queue);
        if fail_sync {
            disk.fail_next_sync();
        }
        worker.run(&waiting);
        std::iter::from_fn(|| said.try_recv().ok()).collect()
    }

    #[tokio::test]
    async fn all_batches_that_wait_share_one_sync_and_are_reported_in_order() {
        let disk = MemDisk::new();
        let words = words_after(&disk, (1..=10).map(batch).collect(), false).await;
        let persisted = words.iter().filter_map(|word| match word {
            Word::Event(Event::Persisted(id)) => Some(id.0),
            Word::Event(_) | Word::Install(_) | Word::Halt(_) | Word::Removed(_) | Word::Kill | Word::Begin(_) => None,
        });
        assert_eq!(persisted.collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    }

    /// Tables with an entry of a term that the log has not heard of would be refused at the next start.
    #[tokio::test]
    async fn a_snapshot_is_installed_only_after_what_the_log_was_given_before_is_durable() {
        let disk = MemDisk::new();
        let meta = SnapshotMeta { position: Position::new(9, 1), membership: Membership::default() };
        let jobs = || vec![batch(1), AppendJob::BeforeInstall(meta.clone())];
        let words = words_after(&disk, jobs(), false).await;
        assert!(matches!(words[..2], [Word::Event(Event::Persisted(_)), Word::Install(_)]));
        let words = words_after(&MemDisk::new(), jobs(), true).await;
        assert!(matches!(words.as_slice(), [Word::Halt(_)]), "a halt and no leave to install");
    }

    struct Nowhere;

    impl PeerDoor for Nowhere {
        fn send(&self, _: NodeId, _: outboard_net::Lane, _: bytes::Bytes) {}
    }

    /// Many batches in small segments, one bit of the first segment flipped, then this job.
    fn words_over_damage(job: AppendJob) -> (Result<(), WalError>, Vec<Word>) {
        let disk = MemDisk::new();
        let options = outboard_wal::Options { segment_bytes: 1 << 10, sync: true };
        let unrecovered = Unrecovered::open(Box::new(disk.clone()), 7, options).expect("free");
        let (wal, _) = unrecovered.recover().expect("sound");
        let (words, mut said) = tokio::sync::mpsc::unbounded_channel();
        let mut worker = AppendWorker::new(wal, Durability::Sync, Arc::new(Nowhere), Words(words));
        (1..=30).try_for_each(|number| worker.on_job(batch(number))).and_then(|()| worker.flush()).expect("written");
        // In the first entry: behind the heads of segment and two batches, and its own batch's.
        assert!(disk.flip_bit("00000001.wal", 64 + 3 * 96 + 10, 1));
        let done = worker.on_job(job);
        (done, std::iter::from_fn(|| said.try_recv().ok()).collect())
    }

    fn tells_damage(words: &[Word]) -> bool {
        words.iter().any(|word| matches!(word, Word::Event(Event::LogDamaged { upto, .. }) if *upto >= Index(1)))
    }

    /// REGRESSIONS D5.
    #[test]
    fn d5_damaged_entries_are_not_sent_to_a_peer_but_told_and_never_skipped_when_applied() {
        let read = |purpose| AppendJob::Read(LogRequest { purpose, from: Index(1), to: Index(30), bytes_max: 10_000 });
        let (done, words) = words_over_damage(read(LogPurpose::Peer(NodeId(2))));
        let empty = |answer: &LogAnswer| answer.entries.is_empty();
        let answered = words.iter().any(|word| matches!(word, Word::Event(Event::LogRead(answer)) if empty(answer)));
        assert!(done.is_ok() && answered && tells_damage(&words), "the core knows why there is nothing to send");
        let (done, _) = words_over_damage(read(LogPurpose::Apply));
        assert!(matches!(done, Err(WalError::Corrupt { .. })), "the node halts");
    }

    #[test]
    fn a_suspicion_is_told_only_if_the_log_itself_confirms_it() {
        for (segment, tells) in [(1, true), (2, false), (99, false)] {
            let (done, words) = words_over_damage(AppendJob::Suspect(segment));
            assert!(done.is_ok());
            assert_eq!(tells_damage(&words), tells, "segment {segment}");
        }
    }

    /// REGRESSIONS D1: nothing is acknowledged after a failed sync, nothing is retried, the node halts.
    #[tokio::test]
    async fn d1_a_failed_sync_halts_the_node_and_acknowledges_nothing() {
        let disk = MemDisk::new();
        let words = words_after(&disk, vec![batch(1), batch(2)], true).await;
        assert!(matches!(words.as_slice(), [Word::Halt(_)]), "a halt and nothing else");
    }
}
