//! Recovery by hand, offline: a quorum is gone for good, and from the data folders of those that are left a smaller cluster goes on.
//!
//! The survivor whose log is the most advanced leads on: nobody who is left has an entry that was ever committed and that it lacks. Its log
//! gets one more entry, a membership of the survivors alone, in a term above all that are known. All survivors' folders get a new incarnation, which stands in
//! the handshake between nodes: whoever of the old majority comes back is refused, and can't outvote anybody.
//!
//! What it may cost: writes that only the missing nodes had; and what the survivors had not known to be committed is committed now. No protocol can do
//! better, so nobody but an operator may decide it. Invariants: a plan changes nothing but what any start of a node would; applying ends
//! with the one step that makes the new cluster, so a crash before it leaves a cluster without a quorum, and applying can be repeated.
//! Tests: `tests/cluster/damage.rs`, and the workspace's `tests/processes/recovery.rs` with real processes.

use super::{Recovery, raft_config};
use crate::control::{Control, Head};
use crate::error::StartError;
use crate::formation::DataFolder;
use outboard_raft::{Entry, HardState, Membership, NodeId, Payload, Position, Term};
use outboard_store::{DiskStore, Store};
use outboard_wal::{FileDisk, SoundLog, Verdict};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// A folder can't be used as it is.
    #[error("{}: {source}", dir.display())]
    Folder {
        /// Which.
        dir: PathBuf,
        /// Why.
        source: StartError,
    },
    /// The folders don't belong together.
    #[error("{0}")]
    Mixed(String),
    /// Nothing is to be recovered: those that are left can elect a leader.
    #[error("{0}")]
    NotNeeded(String),
}

/// A node that is left.
#[derive(Clone, Debug)]
pub struct Survivor {
    /// Its data folder.
    pub dir: PathBuf,
    /// Its number.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// What its tables have applied.
    pub applied: Position,
    /// Where its log ends.
    pub last: Position,
    /// The term that it has seen.
    pub term: Term,
    incarnation: u64,
}

/// What would be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The cluster.
    pub cluster: String,
    /// Those that are left, by their numbers.
    pub survivors: Vec<Survivor>,
    /// The one that leads on: its place in `survivors`.
    pub leads: usize,
    /// The voters that are gone: number and name.
    pub gone: Vec<(NodeId, String)>,
    /// How many voters there were.
    pub voters: usize,
    /// What the survivors will have.
    pub incarnation: u64,
    /// The term in which the new membership stands.
    pub term: Term,
}

impl Plan {
    /// Compares the survivors.
    pub fn of(dirs: &[PathBuf]) -> Result<Plan, RecoverError> {
        let mut looked = Vec::new();
        for dir in dirs {
            looked.push(look(dir).map_err(|source| RecoverError::Folder { dir: dir.clone(), source })?);
        }
        looked.sort_by_key(|look| look.survivor.node);
        let first = looked.first().ok_or_else(|| RecoverError::Mixed("no data folder is given".into()))?;
        let cluster = first.cluster.clone();
        if let Some(other) = looked.iter().find(|look| look.cluster != cluster) {
            let text =
                format!("{} belongs to {cluster}, {} to {}", first.survivor.name, other.survivor.name, other.cluster);
            return Err(RecoverError::Mixed(text));
        }
        if let Some(pair) = looked.windows(2).find(|pair| pair[0].survivor.node == pair[1].survivor.node) {
            return Err(RecoverError::Mixed(format!("two folders are of {}", pair[0].survivor.name)));
        }
        if let Some(pair) = looked.windows(2).find(|pair| pair[0].survivor.incarnation != pair[1].survivor.incarnation)
        {
            let names = (&pair[0].survivor.name, &pair[1].survivor.name);
            tracing::warn!("{} and {} are of two incarnations: an earlier recovery was broken off", names.0, names.1);
        }
        let leads = most_advanced(&looked);
        let membership = looked[leads].membership.clone();
        let names = looked[leads].names.clone();
        let survivors: Vec<Survivor> = looked.into_iter().map(|look| look.survivor).collect();
        let left: BTreeSet<NodeId> = survivors.iter().map(|survivor| survivor.node).collect();
        let majority = |voters: &BTreeSet<NodeId>| 2 * voters.intersection(&left).count() > voters.len();
        let joint = !membership.outgoing.is_empty();
        if majority(&membership.voters) && (!joint || majority(&membership.outgoing)) {
            let (here, all) = (membership.voters.intersection(&left).count(), membership.voters.len());
            return Err(RecoverError::NotNeeded(format!(
                "{here} of {all} voters are here and can elect a leader: start them, nothing needs to be given up"
            )));
        }
        let voters: BTreeSet<NodeId> = membership.voters.union(&membership.outgoing).copied().collect();
        let name = |node: &NodeId| names.get(node).cloned().unwrap_or_else(|| node.to_string());
        let gone = voters.difference(&left).map(|node| (*node, name(node))).collect();
        let incarnation = survivors.iter().map(|survivor| survivor.incarnation).max().unwrap_or(0) + 1;
        let term = Term(survivors.iter().map(|survivor| survivor.term.0).max().unwrap_or(0) + 1);
        Ok(Plan { cluster, survivors, leads, gone, voters: voters.len(), incarnation, term })
    }

    /// The survivor that leads on.
    pub fn leader(&self) -> &Survivor {
        &self.survivors[self.leads]
    }

    /// Entries of its log that it does not know to be committed: they will be.
    pub fn undecided(&self) -> u64 {
        self.leader().last.index.0 - self.leader().applied.index.0.min(self.leader().last.index.0)
    }

    /// Makes the survivors a cluster.
    pub fn apply(&self) -> Result<(), RecoverError> {
        let left: BTreeSet<NodeId> = self.survivors.iter().map(|survivor| survivor.node).collect();
        for survivor in &self.survivors {
            let failed = |source| RecoverError::Folder { dir: survivor.dir.clone(), source };
            let folder = DataFolder::open(&survivor.dir).map_err(failed)?;
            folder.refound(self.incarnation).map_err(failed)?;
        }
        let leader = self.leader();
        self.found(&leader.dir, leader.node, left)
            .map_err(|source| RecoverError::Folder { dir: leader.dir.clone(), source })
    }

    /// The step that makes the cluster.
    fn found(&self, dir: &Path, node: NodeId, voters: BTreeSet<NodeId>) -> Result<(), StartError> {
        let failed = |error| StartError::wal(error, dir);
        let log = open(dir, &DataFolder::open(dir)?)?;
        let (mut wal, _) = log.resume().map_err(failed)?;
        let applied = self.leader().applied;
        if wal.position(applied.index) != Some(applied) {
            // As at a start: a snapshot was installed and the crash came before the log was emptied.
            wal.reset(applied).map_err(failed)?;
        }
        let last = wal.last();
        let entry = Entry {
            index: last.index.next(),
            term: self.term,
            payload: Payload::Membership(Membership::of_voters(voters)),
        };
        let hard_state = HardState { term: self.term, vote: Some(node) };
        wal.append(Some(&hard_state), &[entry]).map_err(failed)?;
        wal.close().map_err(failed)
    }
}

/// What a folder holds.
struct Look {
    survivor: Survivor,
    cluster: String,
    /// In force at the log's end.
    membership: Membership,
    names: BTreeMap<NodeId, String>,
}

fn look(dir: &Path) -> Result<Look, StartError> {
    let folder = DataFolder::open(dir)?;
    let log = open(dir, &folder)?;
    let store = DiskStore::open(dir.join("tables"), outboard_store::Options::default());
    let store = store.map_err(|error| StartError::store(error, dir))?;
    let founding = || Head::genesis(Membership::of_voters(folder.founders.keys().copied()));
    let head = Head::load(&*store.view()).map_err(|error| StartError::store(error, dir))?.unwrap_or_else(founding);
    let newest = log.newest_membership(head.position.index).map_err(|error| StartError::wal(error, dir))?;
    // Tables ahead of the log: a snapshot was installed, and the log was to begin behind it.
    let ends = if log.last().index < head.position.index { head.position } else { log.last() };
    let survivor = Survivor {
        dir: dir.to_owned(),
        node: folder.node,
        name: folder.own.name.clone(),
        applied: head.position,
        last: ends,
        term: log.hard_state().term,
        incarnation: folder.incarnation,
    };
    let mut names: BTreeMap<NodeId, String> =
        folder.known.iter().map(|(node, member)| (*node, member.name.clone())).collect();
    let control = Control::load(&*store.view(), &head, &folder.founders);
    let control = control.map_err(|error| StartError::store(error, dir))?;
    names.extend(control.directory.iter().map(|(node, listed)| (node, listed.name.clone())));
    Ok(Look { survivor, cluster: folder.cluster.to_string(), membership: newest.unwrap_or(head.membership), names })
}

/// A log that nothing is lost of; any other one can't be relied upon here.
fn open(dir: &Path, folder: &DataFolder) -> Result<SoundLog, StartError> {
    let recovery = Recovery::of(folder, raft_config(0), 0, || 0);
    match recovery.log(Box::new(FileDisk::new(dir.join("log"))), outboard_wal::Options::default())? {
        Verdict::Sound(log) if folder.begun && log.is_new() => {
            Err(StartError::Corrupt("its log is gone: leave this node out".into()))
        }
        Verdict::Sound(log) if log.loss().is_none() => Ok(log),
        Verdict::Sound(_) => {
            Err(StartError::Corrupt("this node has lost data before and not got it back: leave it out".into()))
        }
        Verdict::Damaged(damaged) => Err(StartError::Corrupt(format!("{}; leave this node out", damaged.into_error()))),
    }
}

/// Nobody else's log ends later; among equals the one that has applied most.
fn most_advanced(looked: &[Look]) -> usize {
    let rank = |look: &Look| (look.survivor.last.term, look.survivor.last.index, look.survivor.applied.index);
    let best = looked.iter().enumerate().max_by_key(|(number, look)| (rank(look), std::cmp::Reverse(*number)));
    best.map_or(0, |(number, _)| number)
}
