//! Commands for the engine: one alone, one that is done once within a session, several that are done together or not at all.
//!
//! Invariants: after a command the batch's transaction holds its writes if it succeeded, else none; a transaction of several is one
//! command in this. A request that its session knows is answered without touching engine or tables.

use super::batch::{Batch, outcome};
use super::{Machine, mix};
use crate::control::Asked;
use crate::error::Halt;
use crate::keys::keys;
use outboard_raft::Index;
use outboard_sandbox::{Applier, COMMAND_WRITES_BYTES_MAX, Failure, Moment, Outcome};
use outboard_wire::Blob;
use outboard_wire::client::Response;
use outboard_wire::command::RequestId;
use outboard_wire::limits::{TRANSACTION_COMMANDS_MAX, TRANSACTION_REPLY_BYTES_MAX};

/// The kind of an outcome for the hash chain, and the outcome.
type Decided = (u8, Response);

impl Machine {
    pub(super) fn engine_command(
        &mut self,
        at: Moment,
        arguments: &[Blob<'_>],
        batch: &mut Batch,
    ) -> Result<Decided, Halt> {
        let Some(applier) = &mut self.applier else { return Ok(no_engine()) };
        let arguments = slices(arguments);
        let decided = match applier.apply(&mut batch.txn, at, &arguments)? {
            Outcome::Reply(reply) => (outcome::REPLY, Response::Reply(reply.into())),
            Outcome::Rejected(text) => (outcome::REJECTED, Response::Rejected(text)),
            Outcome::Failed(failure) => (outcome::FAILED, Response::Failed(failure.to_string())),
        };
        if !self.watchers.is_idle() && batch.txn.command_writes().next().is_some() {
            self.on_written(&arguments);
        }
        Ok(decided)
    }

    /// Does it unless its session knows it; then the session knows it.
    pub(super) fn once(
        &mut self,
        id: RequestId,
        run: impl FnOnce(&mut Machine) -> Result<Decided, Halt>,
    ) -> Result<Decided, Halt> {
        match self.sessions.on_request(id, self.head.time_ms) {
            Asked::Answered(response) => Ok((outcome::ANSWERED, response)),
            Asked::First => {
                let (kind, response) = run(self)?;
                self.sessions.keep(id, &response);
                Ok((kind, response))
            }
        }
    }

    /// All commands or none, at one moment.
    pub(super) fn transaction(
        &mut self,
        at: Moment,
        commands: &[Vec<Blob<'_>>],
        watcher: Option<u64>,
        batch: &mut Batch,
    ) -> Result<Decided, Halt> {
        if !(1..=TRANSACTION_COMMANDS_MAX).contains(&commands.len()) {
            let text = format!("a transaction has 1 to {TRANSACTION_COMMANDS_MAX} commands");
            return Ok((outcome::REJECTED, Response::Invalid(text)));
        }
        if watcher.is_some_and(|watcher| !self.watchers.take(watcher, self.head.time_ms)) {
            return Ok((outcome::WATCH_BROKEN, Response::WatchBroken));
        }
        let Some(applier) = &mut self.applier else { return Ok(no_engine()) };
        let steps = run_steps(applier, at, commands, batch)?;
        batch.txn.unite();
        match steps {
            Ok(Steps { replies, written }) => {
                if !self.watchers.is_idle() {
                    written.iter().for_each(|place| self.on_written(&slices(&commands[*place])));
                }
                Ok((outcome::REPLIES, Response::Replies(replies)))
            }
            Err(decided) => {
                batch.txn.discard();
                applier.on_discarded();
                Ok(decided)
            }
        }
    }

    pub(super) fn watch(&mut self, index: Index, watcher: Option<u64>, keys: &[Blob<'_>]) -> Response {
        self.watchers.watch(index.0, watcher, keys.iter().map(|key| key.0), self.head.time_ms)
    }

    /// A command of this shape wrote something: whoever watches one of its keys is told when they ask.
    fn on_written(&mut self, arguments: &[&[u8]]) {
        let applier = self.applier.as_ref().expect("an engine ran the command");
        let spec = arguments.first().and_then(|name| applier.component().command(name));
        match spec {
            Some(spec) if spec.keys.first != 0 => {
                keys(&spec.keys, arguments).for_each(|key| self.watchers.on_write(key));
            }
            Some(_) | None => self.watchers.on_write_anywhere(),
        }
    }
}

/// What the steps of a transaction have done.
struct Steps {
    replies: Vec<bytes::Bytes>,
    /// The places of those that wrote something.
    written: Vec<usize>,
}

/// Runs one command after the other until one does not succeed; then its outcome is that of all.
fn run_steps(
    applier: &mut Applier,
    at: Moment,
    commands: &[Vec<Blob<'_>>],
    batch: &mut Batch,
) -> Result<Result<Steps, Decided>, Halt> {
    let (mut replies, mut written, mut reply_bytes) = (Vec::with_capacity(commands.len()), Vec::new(), 0);
    for (place, command) in commands.iter().enumerate() {
        let txn = &mut batch.txn;
        let arguments = slices(command);
        // Each step has chance of its own; the first has that of a command alone.
        let at = Moment { seed: if place == 0 { at.seed } else { mix(at.seed ^ place as u64) }, ..at };
        let spec = arguments.first().and_then(|name| applier.component().command(name));
        let reads = spec.is_some_and(|spec| !spec.writes);
        let done = if reads { applier.read(txn, at, &arguments)? } else { applier.apply(txn, at, &arguments)? };
        let which = || in_transaction(place);
        match done {
            Outcome::Reply(reply) => {
                reply_bytes += reply.len();
                replies.push(reply.into());
            }
            Outcome::Rejected(text) => {
                return Ok(Err((outcome::REJECTED, Response::Rejected(format!("{text} {}", which())))));
            }
            Outcome::Failed(failure) => {
                return Ok(Err((outcome::FAILED, Response::Failed(format!("{failure} {}", which())))));
            }
        }
        if txn.command_bytes() > 0 {
            written.push(place);
        }
        txn.step();
        if txn.steps_bytes() > COMMAND_WRITES_BYTES_MAX || reply_bytes > TRANSACTION_REPLY_BYTES_MAX {
            let failure = Failure::TooLarge;
            return Ok(Err((outcome::FAILED, Response::Failed(format!("{failure} {}", which())))));
        }
    }
    Ok(Ok(Steps { replies, written }))
}

/// Which command of a transaction a text is about.
pub(crate) fn in_transaction(place: usize) -> String {
    format!("(command {} of the transaction, of which nothing was done)", place + 1)
}

fn no_engine() -> Decided {
    (outcome::REJECTED, Response::Rejected("the cluster has no engine yet".to_owned()))
}

fn slices<'a>(blobs: &[Blob<'a>]) -> Vec<&'a [u8]> {
    blobs.iter().map(|blob| blob.0).collect()
}
