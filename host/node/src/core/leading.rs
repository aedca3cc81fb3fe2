//! What a leader does with a request: it proposes a write, and confirms its leadership for a read.

use super::requests::into_query;
use super::waiting::{Parked, Transfer};
use super::{Action, Core, Query, admission};
use crate::reply::Reply;
use outboard_raft::{Barrier, NodeId, ReadId, Refusal};
use outboard_wire::Blob;
use outboard_wire::client::{Consistency, Request, RequestBody, Response};
use outboard_wire::command::{Command, Stamped, Upgrade};
use outboard_wire::limits::REQUEST_TIMEOUT_MS_MAX;
use std::sync::Arc;

impl Core {
    /// This node leads.
    pub(super) fn lead(&mut self, asked: Parked, out: &mut Vec<Action>) {
        match &asked.request.body {
            RequestBody::Command { .. } => self.lead_command(asked, out),
            RequestBody::Transaction { .. } => self.lead_transaction(asked),
            RequestBody::Watch { watcher, keys } => match admission::admit_keys(keys) {
                Ok(()) => {
                    let (watcher, keys) = (*watcher, keys.clone());
                    self.propose_or_park(Command::Watch { watcher, keys: blobs(&keys) }, asked);
                }
                Err(answer) => asked.reply.send(answer),
            },
            RequestBody::Unwatch { watcher } => {
                let watcher = *watcher;
                self.propose_or_park(Command::Unwatch { watcher }, asked);
            }
            RequestBody::SessionOpen => self.propose_or_park(Command::SessionOpen, asked),
            RequestBody::SessionClose { session } => {
                let session = *session;
                self.propose_or_park(Command::SessionClose { session }, asked);
            }
            RequestBody::EngineUpgrade { digest } => {
                let digest = digest.clone();
                self.lead_upgrade(&digest, asked);
            }
            RequestBody::LeaderTransfer { to } => {
                let to = to.map(NodeId);
                self.lead_transfer(to, asked.reply, asked.deadline_us);
            }
            RequestBody::Control { command } => {
                let command = command.clone();
                self.lead_control(&command, asked);
            }
            RequestBody::MemberList => asked.reply.send(Response::Members(self.members())),
            RequestBody::MemberChange { change, forced, dry_run } => {
                let (change, how) = (*change, (*forced, *dry_run));
                self.lead_member_change(change, how, asked, out);
            }
            RequestBody::Access(command) => {
                let command = command.clone();
                self.propose_or_park(Command::Access(command), asked);
            }
            RequestBody::AccessLists => {
                let lists = self.control.permissions.lists(self.stamp_ms.max(self.now.wall_ms));
                asked.reply.send(Response::AccessLists(Box::new(lists)));
            }
            RequestBody::Status | RequestBody::NodeStatus | RequestBody::EngineList | RequestBody::Renew { .. } => {
                unreachable!("any node answers these")
            }
        }
    }

    fn lead_command(&mut self, asked: Parked, out: &mut Vec<Action>) {
        let RequestBody::Command { arguments, id, .. } = &asked.request.body else {
            unreachable!("only commands come here")
        };
        let Some(component) = &self.component else { return self.park(asked) };
        match admission::admit(component, arguments, *id) {
            Err(answer) => asked.reply.send(answer),
            Ok(true) => {
                let (arguments, id) = (arguments.clone(), *id);
                let arguments = blobs(&arguments);
                let command = match id {
                    None => Command::Engine(arguments),
                    Some(id) => Command::EngineOnce { id, arguments },
                };
                self.propose_or_park(command, asked);
            }
            Ok(false) => self.lead_read(asked, out),
        }
    }

    fn lead_transaction(&mut self, asked: Parked) {
        let RequestBody::Transaction { commands, watcher, id } = &asked.request.body else {
            unreachable!("only transactions come here")
        };
        let Some(component) = &self.component else { return self.park(asked) };
        match admission::admit_all(component, commands, *id) {
            Err(answer) => asked.reply.send(answer),
            Ok(()) => {
                let (commands, watcher, id) = (commands.clone(), *watcher, *id);
                let commands = commands.iter().map(|command| blobs(command)).collect();
                self.propose_or_park(Command::Transaction { commands, watcher, id }, asked);
            }
        }
    }

    /// A node's own command for the control state. Everything else has a request of its own, with checks of its own.
    fn lead_control(&mut self, command: &[u8], asked: Parked) {
        match Stamped::decode(command) {
            Ok(Stamped { command: command @ (Command::EngineStage(_) | Command::EngineVote(_)), .. }) => {
                self.propose_or_park(command, asked);
            }
            Ok(_) => asked.reply.send(Response::Invalid("no such command for the control state".into())),
            Err(error) => asked.reply.send(Response::Invalid(error.to_string())),
        }
    }

    fn lead_read(&mut self, asked: Parked, out: &mut Vec<Action>) {
        let id = self.waiting.reads.next_id();
        match self.raft.read(id) {
            Ok(()) => self.await_barrier(id, asked),
            Err(refusal) => self.refuse(refusal, asked, out),
        }
    }

    /// The read goes on when its barrier is known.
    pub(super) fn await_barrier(&mut self, id: ReadId, asked: Parked) {
        let time_ms = Some(self.stamp());
        if let Some(query) = into_query(asked, time_ms) {
            self.waiting.reads.wait(id, query);
        }
    }

    pub(super) fn on_barrier(&mut self, barrier: Barrier, out: &mut Vec<Action>) {
        let queries: Vec<Query> = barrier.ids.into_iter().filter_map(|id| self.waiting.reads.take(id)).collect();
        if queries.is_empty() {
            return;
        }
        if barrier.index <= self.raft.applied() {
            out.push(Action::Query(queries));
        } else {
            self.waiting.reads.release_at(barrier.index, queries);
        }
    }

    /// Leadership was lost before the read was confirmed: whoever leads now is asked.
    pub(super) fn on_read_lost(&mut self, id: ReadId, out: &mut Vec<Action>) {
        let Some(Query { arguments, reply, deadline_us, .. }) = self.waiting.reads.take(id) else { return };
        let left_ms = deadline_us.saturating_sub(self.now.mono_us) / 1_000;
        let body = RequestBody::Command { arguments, consistency: Consistency::Linearizable, id: None };
        let request = Request { timeout_ms: u32::try_from(left_ms).unwrap_or(REQUEST_TIMEOUT_MS_MAX), body };
        self.route(Parked { request, encoded: None, reply, deadline_us, doubtful: false }, out);
    }

    fn lead_upgrade(&mut self, prefix: &str, asked: Parked) {
        let upgrade = match self.control.find(prefix) {
            Ok(engine) => {
                let from = self.control.active.as_ref().map_or(engine.digest, |active| active.engine.digest);
                Upgrade { from, to: engine.digest }
            }
            Err(reason) => return asked.reply.send(Response::UpgradeRefused(reason)),
        };
        // What is not applied here yet may hold the missing word of a voter: then the log judges, behind all of it.
        let is_behind = self.raft.applied() < self.raft.last().index;
        match self.control.may_upgrade(&upgrade) {
            Err(reason) if !is_behind => asked.reply.send(Response::UpgradeRefused(reason)),
            Ok(_) | Err(_) => self.propose_or_park(Command::Upgrade(upgrade), asked),
        }
    }

    pub(super) fn propose_or_park(&mut self, command: Command<'_>, asked: Parked) {
        let Parked { request, encoded, reply, deadline_us, doubtful } = asked;
        match self.propose(command, reply, deadline_us) {
            Ok(()) => {}
            Err((Refusal::Transferring | Refusal::NotLeader { .. }, reply)) => {
                self.park(Parked { request, encoded, reply, deadline_us, doubtful });
            }
            Err((Refusal::Overloaded, reply)) if doubtful => {
                self.postpone(Parked { request, encoded, reply, deadline_us, doubtful });
            }
            Err((Refusal::Overloaded, reply)) => reply.send(Response::Overloaded),
            Err((Refusal::MembershipBusy | Refusal::AtRisk(_) | Refusal::Rejected(_), reply)) => {
                Parked { request, encoded, reply, deadline_us, doubtful }.end("the leader refused the proposal");
            }
        }
    }

    /// Appends a command; the reply waits under its position. A refused proposal gives the reply back.
    pub(super) fn propose(
        &mut self,
        command: Command<'_>,
        reply: Reply,
        deadline_us: u64,
    ) -> Result<(), (Refusal, Reply)> {
        let is_access = matches!(command, Command::Access(_));
        let stamped = Stamped { time_ms: self.stamp(), command };
        match self.raft.propose(Arc::from(stamped.encode())) {
            Ok(position) => {
                if is_access {
                    self.access_proposed = position;
                }
                self.waiting.proposals.push(position, reply, deadline_us);
                Ok(())
            }
            Err(refusal) => Err((refusal, reply)),
        }
    }

    pub(super) fn refuse(&mut self, refusal: Refusal, asked: Parked, out: &mut Vec<Action>) {
        match refusal {
            Refusal::Overloaded => asked.reply.send(Response::Overloaded),
            Refusal::NotLeader { leader: Some(leader) } if leader != self.raft.id() => self.ask_leader(asked, out),
            Refusal::NotLeader { .. } | Refusal::Transferring => self.park(asked),
            Refusal::MembershipBusy | Refusal::AtRisk(_) | Refusal::Rejected(_) => {
                asked.reply.send(Response::NotDone(refusal.to_string()));
            }
        }
    }

    fn lead_transfer(&mut self, to: Option<NodeId>, reply: Reply, deadline_us: u64) {
        if to == Some(self.raft.id()) {
            return reply.send(Response::Transferred { to: self.raft.id().0, term: self.raft.term().0 });
        }
        match self.raft.transfer(to) {
            Ok(to) => {
                if let Some(before) = self.waiting.transfer.replace(Transfer { to, reply, deadline_us }) {
                    before.reply.send(Response::NotDone("another hand-over was asked for".into()));
                }
            }
            // Asking again would not help.
            Err(Refusal::Rejected(reason)) => {
                reply.send(Response::ChangeRefused { reason: reason.to_owned(), can_be_forced: false });
            }
            Err(refusal) => reply.send(Response::NotDone(refusal.to_string())),
        }
    }

    /// Tells whoever asked for a hand-over how it ended.
    pub(super) fn settle_transfer(&mut self) {
        let Some(transfer) = &self.waiting.transfer else { return };
        let (to, leader, term) = (transfer.to, self.raft.leader(), self.raft.term());
        let response = if leader == Some(to) {
            Response::Transferred { to: to.0, term: term.0 }
        } else if leader.is_some() && !self.raft.is_transferring() {
            Response::NotDone(format!("{to} did not take over"))
        } else {
            return;
        };
        if let Some(transfer) = self.waiting.transfer.take() {
            transfer.reply.send(response);
        }
    }
}

fn blobs(arguments: &[bytes::Bytes]) -> Vec<Blob<'_>> {
    arguments.iter().map(|argument| Blob(argument)).collect()
}
