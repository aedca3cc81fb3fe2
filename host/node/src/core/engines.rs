//! Staged engines: every node tries each one and puts its word into the log, until the word is seen there.

use super::event::Verdict;
use super::{Action, Core, Event};
use crate::reply::Reply;
use bytes::Bytes;
use outboard_wire::client::{Request, RequestBody};
use outboard_wire::command::{Command, Digest, EngineRecord, EngineVote, Stamped};
use std::collections::{BTreeMap, BTreeSet};

/// How far this node is with the engines.
pub(super) struct Engines {
    environment: u32,
    /// Being fetched or compiled.
    preparing: BTreeSet<Digest>,
    /// Tried: none is ready, else why not.
    tried: BTreeMap<Digest, Option<String>>,
}

/// How long a vote may take; it is sent again until it is seen in the log.
const VOTE_TIMEOUT_MS: u32 = 2_000;

impl Engines {
    pub(super) fn new(environment: u32) -> Engines {
        Engines { environment, preparing: BTreeSet::new(), tried: BTreeMap::new() }
    }

    /// Asks for an engine to be fetched and tried, unless that is under way.
    pub(super) fn prepare(&mut self, engine: &EngineRecord, out: &mut Vec<Action>) {
        if self.preparing.insert(engine.digest) {
            out.push(Action::PrepareEngine(engine.clone()));
        }
    }
}

impl Core {
    /// Tries what was not tried yet, and votes on what was.
    pub(super) fn look_after_engines(&mut self, out: &mut Vec<Action>) {
        let (me, control) = (self.raft.id(), self.control.clone());
        let environment = self.engines.environment;
        let unsettled = control
            .engines()
            .filter(|engine| control.vote_of(&engine.digest, me).is_none_or(|vote| vote.environment != environment));
        for engine in unsettled {
            match self.engines.tried.get(&engine.digest).cloned() {
                None => self.engines.prepare(engine, out),
                Some(refusal) => {
                    let vote = EngineVote { node: me.0, digest: engine.digest, environment, refusal };
                    self.submit(Command::EngineVote(vote), out);
                }
            }
        }
        if let Some(engine) = self.stalled_for.clone() {
            self.engines.prepare(&engine, out);
        }
    }

    pub(super) fn on_engine_prepared(&mut self, digest: Digest, verdict: Verdict, out: &mut Vec<Action>) {
        self.engines.preparing.remove(&digest);
        match verdict {
            Verdict::Ready => {
                self.engines.tried.insert(digest, None);
                if self.stalled_for.as_ref().is_some_and(|engine| engine.digest == digest) {
                    out.push(Action::ResumeApply);
                }
            }
            Verdict::Refused(reason) => {
                tracing::warn!(%digest, reason, "a staged engine can't run here");
                self.engines.tried.insert(digest, Some(reason));
            }
            // Tried again with the next pulse.
            Verdict::NotHad(reason) => {
                tracing::warn!(%digest, reason, "a staged engine could not be fetched");
                return;
            }
        }
        self.look_after_engines(out);
    }

    /// Puts a command of this node's own into the log, through the leader. Nobody waits for it.
    fn submit(&mut self, command: Command<'_>, out: &mut Vec<Action>) {
        let command = Bytes::from(Stamped { time_ms: 0, command }.encode());
        let request = Request { timeout_ms: VOTE_TIMEOUT_MS, body: RequestBody::Control { command } };
        let now = self.now;
        self.on_event(Event::Request { request, encoded: None, reply: Reply::Nobody }, now, out);
    }
}
