//! From the disks to a node's parts: the log is recovered, the machine takes up where the tables stand, both are brought
//! together, and consensus goes on from there. The only way into a running node, after a first start as after a crash; the
//! simulator goes it too.
//!
//! Invariants: the log begins at or before the tables and ends at or behind them; a node that lost what it had promised starts suspended
//! (its word counts for nothing until the others have given it back), or not at all where there is nobody to give it back: `damage`.

mod damage;
pub(crate) mod offline;

use crate::control::Founders;
use crate::error::StartError;
use crate::formation::DataFolder;
use crate::library::Library;
use crate::machine::{Machine, Stopwatch};
use crate::settings::{ELECTION_TIMEOUT_TICKS, HEARTBEAT_TICKS, START_TAIL_BYTES};
use outboard_raft::{Config, Entry, Index, NodeId, Payload, Position, Raft, Suspension};
use outboard_store::Store;
use outboard_wal::{Disk, Loss, Recovered, Unrecovered, Verdict, Wal, WalError};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

/// Whose disks they are.
pub(crate) struct Recovery<'a> {
    /// Names the place in errors.
    pub(crate) dir: &'a Path,
    pub(crate) node: NodeId,
    pub(crate) cluster: u128,
    /// Who formed the cluster.
    pub(crate) members: Founders,
    /// The log has begun in an earlier life.
    pub(crate) begun: bool,
    /// Of consensus.
    pub(crate) config: Config,
    /// Names a loss that is discovered now: by the time, and above those before it.
    pub(crate) loss_name: u64,
    pub(crate) stopwatch: Stopwatch,
}

impl<'a> Recovery<'a> {
    /// Of a data folder.
    pub(crate) fn of(folder: &'a DataFolder, config: Config, loss_name: u64, stopwatch: Stopwatch) -> Recovery<'a> {
        Recovery {
            dir: &folder.dir,
            node: folder.node,
            cluster: folder.cluster.0,
            members: folder.founders.clone(),
            begun: folder.begun,
            config,
            loss_name,
            stopwatch,
        }
    }
}

/// The times of a node; `seed` sets its elections apart from the others'.
pub(crate) fn raft_config(seed: u64) -> Config {
    Config {
        election_timeout_ticks: ELECTION_TIMEOUT_TICKS,
        heartbeat_ticks: HEARTBEAT_TICKS,
        seed,
        ..Config::default()
    }
}

impl Recovery<'_> {
    /// Opens and judges the log; nothing is changed.
    pub(crate) fn log(&self, disk: Box<dyn Disk>, options: outboard_wal::Options) -> Result<Verdict, StartError> {
        let unrecovered = Unrecovered::open(disk, self.cluster, options).map_err(|error| self.wrong(error))?;
        unrecovered.judge().map_err(|error| self.wrong(error))
    }

    /// The log, cut or mended, the machine over its tables, and consensus over the log, in agreement with each other.
    pub(crate) fn parts(
        &self,
        log: Verdict,
        store: Arc<dyn Store>,
        library: Library,
    ) -> Result<(Wal, Machine, Raft), StartError> {
        let salt = u64::from_le_bytes(self.cluster.to_le_bytes()[..8].try_into().expect("eight of sixteen bytes"));
        let machine = Machine::open(store.clone(), library, self.members.clone(), salt, self.stopwatch)
            .map_err(|error| StartError::store(error, self.dir))?;
        let (mut wal, recovered) = match log {
            Verdict::Sound(mut sound) => {
                if self.begun && sound.is_new() {
                    self.missing(&mut sound, &machine)?;
                }
                sound.resume().map_err(|error| self.wrong(error))?
            }
            Verdict::Damaged(damaged) => self.mend(damaged, &machine, &*store)?,
        };
        if recovered.torn_bytes > 0 {
            tracing::warn!(bytes = recovered.torn_bytes, "the log had a torn tail, never acknowledged; it is cut");
        }
        let raft = self.raft(&mut wal, recovered, &machine)?;
        Ok((wal, machine, raft))
    }

    /// Brings log and tables together.
    fn raft(&self, wal: &mut Wal, recovered: Recovered, machine: &Machine) -> Result<Raft, StartError> {
        let head = machine.head();
        let applied = head.position;
        if recovered.base.index > applied.index {
            let base = recovered.base;
            let dir = self.dir.display();
            return Err(StartError::Corrupt(format!(
                "the tables in {dir} stand at {applied}, but the log begins after {base}: the tables are older than the log"
            )));
        }
        let mut loss = self.known_loss(wal, recovered.loss)?;
        if recovered.hard_state.term < applied.term {
            loss = Some(self.forgotten(wal, machine)?);
        }
        let mut terms = recovered.terms;
        if wal.position(applied.index) != Some(applied) {
            // A snapshot was installed and the crash came before the log was emptied.
            tracing::info!(at = %applied, "the log begins anew after the installed snapshot");
            wal.reset(applied).map_err(|error| self.wrong(error))?;
            terms.clear();
        }
        let entries = read_tail(wal, applied.index).map_err(|error| self.wrong(error))?;
        let suspended = loss.map(|Loss { incarnation, remembers }| {
            let known = remembers.is_some();
            tracing::warn!(
                incarnation,
                votes = known,
                "data was lost here: until the others have given it back this node counts for nothing"
            );
            Suspension { incarnation, remembers }
        });
        Ok(Raft::new(outboard_raft::Start {
            id: self.node,
            config: self.config,
            hard_state: wal.hard_state(),
            base: wal.base(),
            membership: head.membership.clone(),
            applied: applied.index,
            terms,
            last: wal.last(),
            entries: entries.into(),
            suspended,
        }))
    }

    fn wrong(&self, error: WalError) -> StartError {
        StartError::wal(error, self.dir)
    }
}

/// The end of the log behind `applied`, as much as may stay in memory; from the first change of membership on, all of it.
fn read_tail(wal: &mut Wal, applied: Index) -> Result<VecDeque<Entry>, WalError> {
    let (mut tail, mut bytes, mut pinned) = (VecDeque::new(), 0, false);
    let Position { index: last, .. } = wal.last();
    let mut next = applied.next();
    while next <= last {
        for entry in wal.read(next, last, START_TAIL_BYTES)? {
            next = entry.index.next();
            bytes += entry.bytes();
            pinned |= matches!(entry.payload, Payload::Membership(_));
            tail.push_back(entry);
        }
        while bytes > START_TAIL_BYTES
            && !pinned
            && let Some(oldest) = tail.pop_front()
        {
            bytes -= oldest.bytes();
        }
    }
    Ok(tail)
}
