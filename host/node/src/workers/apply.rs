//! The apply worker, sole owner of the [`Machine`]: it takes all committed entries that wait, applies them in batches, publishes
//! the new state, and answers whoever waited for them.
//!
//! Invariants: a reply leaves only after its batch is in the tables; while a component is missing nothing is applied and
//! everything is kept.

use super::append::AppendJob;
use super::{Slot, Word, Words};
use crate::core::{AppliedNote, Event};
use crate::error::Halt;
use crate::machine::{Applied, Machine};
use crate::reply::Ordered;
use crate::settings::APPLY_BATCH_BYTES;
use crate::transfer::snapshot::Staged;
use outboard_raft::SnapshotMeta;
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender};

/// What the tables are asked to take.
pub(crate) enum ApplyJob {
    Entries(Vec<Ordered>),
    /// The component that was missing is here.
    Resume,
    /// Replace everything by this staged snapshot.
    Install {
        meta: SnapshotMeta,
        staged: Staged,
    },
}

/// The apply worker.
pub(crate) struct ApplyWorker {
    machine: Machine,
    slot: Slot,
    words: Words,
    log: Sender<AppendJob>,
    queue: VecDeque<Ordered>,
    stalled: bool,
}

impl ApplyWorker {
    pub(crate) fn new(machine: Machine, slot: Slot, words: Words, log: Sender<AppendJob>) -> ApplyWorker {
        ApplyWorker { machine, slot, words, log, queue: VecDeque::new(), stalled: false }
    }

    /// Works until the queue ends; a fault below an engine or of the disk halts the node.
    pub(crate) fn run(mut self, jobs: &Receiver<ApplyJob>) {
        while let Ok(first) = jobs.recv() {
            if let Err(halt) = self.on_jobs(first, jobs) {
                return self.words.send(Word::Halt(halt));
            }
        }
    }

    fn on_jobs(&mut self, first: ApplyJob, jobs: &Receiver<ApplyJob>) -> Result<(), Halt> {
        self.on_job(first)?;
        loop {
            for job in jobs.try_iter() {
                self.on_job(job)?;
            }
            if !self.step()? {
                return Ok(());
            }
        }
    }

    /// Applies one batch of what waits. False if there is nothing that can be applied.
    pub(crate) fn step(&mut self) -> Result<bool, Halt> {
        if self.queue.is_empty() || self.stalled {
            return Ok(false);
        }
        let applied = self.machine.apply(&mut self.queue, APPLY_BATCH_BYTES)?;
        self.publish(applied);
        Ok(true)
    }

    pub(crate) fn on_job(&mut self, job: ApplyJob) -> Result<(), Halt> {
        match job {
            ApplyJob::Entries(entries) => self.queue.extend(entries),
            ApplyJob::Resume => self.resume(),
            ApplyJob::Install { meta, staged } => self.install(meta, staged)?,
        }
        Ok(())
    }

    fn resume(&mut self) {
        self.stalled = false;
        if let Some(applied) = self.machine.resume() {
            self.publish(applied);
        }
    }

    fn publish(&mut self, mut applied: Applied) {
        self.stalled = applied.stalled_for.is_some();
        let replies = std::mem::take(&mut applied.replies);
        let note = self.note(applied);
        let answer = || replies.into_iter().for_each(|(reply, response)| reply.send(response));
        // Whoever is told that a right was given or taken finds it so with its next request: the loop hears of it first.
        if note.control.is_some() {
            self.words.event(Event::Applied(note));
            answer();
        } else {
            answer();
            self.words.event(Event::Applied(note));
        }
    }

    fn note(&self, applied: Applied) -> AppliedNote {
        let published = self.machine.publish();
        let component = published.component.clone();
        self.slot.put(published);
        AppliedNote {
            index: applied.index,
            marks: applied.marks,
            control: applied.control.map(|control| (control, component)),
            time_ms: applied.time_ms,
            stalled_for: applied.stalled_for,
        }
    }

    /// What waited to be applied is in the snapshot: it is answered from there.
    fn install(&mut self, meta: SnapshotMeta, staged: Staged) -> Result<(), Halt> {
        self.stalled = false;
        let applied = self.machine.install(&meta, staged.records())?;
        staged.remove();
        for Ordered { entry, reply } in self.queue.drain(..) {
            assert!(entry.index <= meta.position.index, "a snapshot holds all that is committed here");
            reply.send(self.machine.recall(&entry));
        }
        let note = self.note(applied);
        let base = meta.position;
        let then = Box::new(Event::SnapshotInstalled { meta, note });
        // An error means that the node is ending.
        self.log.send(AppendJob::Reset { base, then }).unwrap_or_default();
        Ok(())
    }
}
