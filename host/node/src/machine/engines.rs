//! Which engine runs: the cluster's first, a switch to another, and a component that is not here yet.

use super::{Applied, Machine};
use crate::control::Active;
use crate::error::Halt;
use outboard_raft::{Entry, Index, Payload};
use outboard_sandbox::Applier;
use outboard_store::Transaction;
use outboard_wire::client::{Response, Upgraded};
use outboard_wire::command::{Command, EngineRecord, Stamped, Upgrade};

impl Machine {
    /// A command for the control state that is published.
    pub(super) fn control_command(
        &mut self,
        index: Index,
        command: &Command<'_>,
        txn: &mut Transaction,
    ) -> Result<Response, Halt> {
        match command {
            Command::Genesis(engine) => self.genesis(index, engine, txn),
            Command::EngineStage(engine) => Ok(match self.control.stage(engine, txn)? {
                true => Response::Done,
                false => Response::Invalid("too many engines are staged".into()),
            }),
            Command::EngineVote(vote) => {
                self.control.vote(vote, txn)?;
                Ok(Response::Done)
            }
            Command::Upgrade(upgrade) => Ok(self.upgrade(index, upgrade)),
            Command::Engine(_)
            | Command::EngineOnce { .. }
            | Command::Transaction { .. }
            | Command::Watch { .. }
            | Command::Unwatch { .. }
            | Command::SessionOpen
            | Command::SessionClose { .. }
            | Command::Access(_) => unreachable!("not for the published control state"),
        }
    }

    fn genesis(&mut self, index: Index, engine: &EngineRecord, txn: &mut Transaction) -> Result<Response, Halt> {
        if self.control.active.is_some() {
            return Ok(Response::Invalid("the cluster has an engine already".into()));
        }
        self.control.stage(engine, txn)?;
        self.switch_to(Active { engine: engine.clone(), since: index.0, schema: engine.schema });
        Ok(Response::Done)
    }

    /// Valid only if, at its own place in the log, everything holds; else a recorded no-op with its reason.
    fn upgrade(&mut self, index: Index, upgrade: &Upgrade) -> Response {
        let to = match self.control.may_upgrade(upgrade) {
            Ok(to) => to.clone(),
            Err(reason) => return Response::UpgradeRefused(reason),
        };
        let began = (self.stopwatch)();
        let before = self.control.active.clone().expect("an upgrade is valid only where an engine runs");
        // The same tables go on; from now on they are written in the new engine's layout.
        self.switch_to(Active { engine: to.clone(), since: index.0, schema: to.schema });
        let pause_us = (self.stopwatch)().saturating_sub(began);
        tracing::info!(from = %before.engine.digest, to = %to.digest, index = index.0, pause_us, "engine switched");
        Response::Upgraded(Box::new(Upgraded { from: before.engine, to, index: index.0, pause_us }))
    }

    fn switch_to(&mut self, active: Active) {
        self.head.active = Some(active.clone());
        self.control.active = Some(active);
        self.applier = None;
        let loaded = self.try_load();
        assert!(loaded, "a switch is applied only when its component is here");
    }

    /// The engine whose component has to be here before this entry can be applied, if it is not: the one that runs, then the one that
    /// the entry switches to.
    pub(super) fn missing_for(&self, entry: &Entry) -> Option<EngineRecord> {
        let running = self.missing();
        if running.is_some() {
            return running;
        }
        let next = self.switches_to(entry)?;
        self.library.load(&next.digest).is_none().then_some(next)
    }

    fn switches_to(&self, entry: &Entry) -> Option<EngineRecord> {
        let Payload::Command(bytes) = &entry.payload else { return None };
        if !is_switch(bytes) {
            return None;
        }
        match Stamped::decode(bytes).ok()?.command {
            Command::Genesis(engine) if self.control.active.is_none() => Some(engine),
            Command::Upgrade(upgrade) => self.control.may_upgrade(&upgrade).ok().cloned(),
            Command::Genesis(_)
            | Command::Engine(_)
            | Command::EngineStage(_)
            | Command::EngineVote(_)
            | Command::EngineOnce { .. }
            | Command::Transaction { .. }
            | Command::Watch { .. }
            | Command::Unwatch { .. }
            | Command::SessionOpen
            | Command::SessionClose { .. }
            | Command::Access(_) => None,
        }
    }

    /// Makes the active engine's applier if its component is here; true also where there is nothing to load.
    pub(super) fn try_load(&mut self) -> bool {
        let Some(active) = &self.head.active else { return true };
        let Some(component) = self.library.load(&active.engine.digest) else { return false };
        self.applier = Some(Applier::new(self.library.sandbox(), component, self.head.generation));
        true
    }

    /// The active engine, if its component is not here: nothing can be applied or read before it comes.
    pub(crate) fn missing(&self) -> Option<EngineRecord> {
        let active = self.head.active.as_ref().filter(|_| self.applier.is_none());
        active.map(|active| active.engine.clone())
    }

    /// The active engine's component has come since the last look: what there is to publish now.
    pub(crate) fn resume(&mut self) -> Option<Applied> {
        let resumed = self.missing().is_some() && self.try_load();
        resumed.then(|| Applied {
            index: self.head.position.index,
            marks: Vec::new(),
            control: Some(self.control()),
            time_ms: self.head.time_ms,
            stalled_for: None,
            replies: Vec::new(),
        })
    }
}

/// Whether an entry's payload could be a switch of engines: the hot path must not decode every command twice.
pub(super) fn is_switch(payload: &[u8]) -> bool {
    // Version, time as a varint, then the variant: 1 is the first engine, 4 a switch.
    let variant = payload.iter().skip(1).skip_while(|byte| **byte & 0x80 != 0).nth(1);
    matches!(variant, Some(1 | 4))
}
