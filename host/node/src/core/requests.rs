//! What becomes of a request. A write and a linearizable read are the leader's: it proposes the one and confirms its
//! leadership for the other; everyone else passes them on, or parks them while there is no leader.

use super::waiting::{Forward, Parked, Transfer};
use super::{Action, Core, Query, admission};
use crate::reply::Reply;
use crate::settings::{PARKED_MAX, WAITING_MAX};
use bytes::Bytes;
use outboard_raft::{Barrier, NodeId, ReadId, Refusal};
use outboard_wire::client::{Consistency, Hint, Request, RequestBody, Response};
use outboard_wire::command::{Command, Stamped, Upgrade};
use outboard_wire::limits::REQUEST_TIMEOUT_MS_MAX;
use outboard_wire::peer::PeerMessage;
use std::sync::Arc;

impl Core {
    /// A request of a client on this node, or of this node itself.
    pub(super) fn on_request(&mut self, request: Request, encoded: Bytes, reply: Reply, out: &mut Vec<Action>) {
        if self.waiting.len() >= WAITING_MAX {
            return reply.send(Response::Overloaded);
        }
        let deadline_us = self.deadline_us(request.timeout_ms);
        self.route(Parked { request, encoded, reply, deadline_us }, out);
    }

    /// A request that another node passed on, believing that this one leads.
    pub(super) fn on_forwarded(&mut self, encoded: Bytes, reply: Reply, out: &mut Vec<Action>) {
        let request = match Request::decode(&encoded) {
            Ok(request) => request,
            Err(error) => return reply.send(Response::Invalid(error.to_string())),
        };
        if self.is_leader() || matches!(request.body, RequestBody::NodeStatus) {
            self.on_request(request, encoded, reply, out);
        } else {
            reply.send_with_hint(Response::NotDone("the node asked does not lead any more".into()), self.leader_hint());
        }
    }

    fn deadline_us(&self, timeout_ms: u32) -> u64 {
        self.now.mono_us + u64::from(timeout_ms.min(REQUEST_TIMEOUT_MS_MAX)) * 1_000
    }

    /// Answers what any node can answer; the rest is for the leader.
    fn route(&mut self, asked: Parked, out: &mut Vec<Action>) {
        match &asked.request.body {
            RequestBody::Status => self.on_status(asked.reply, out),
            RequestBody::NodeStatus => {
                asked.reply.send(Response::NodeStatus(Box::new(self.node_status())));
            }
            RequestBody::EngineList => asked.reply.send(Response::Engines(self.control.infos())),
            RequestBody::Command { consistency: Consistency::Stale, .. } if !self.is_leader() => {
                self.stale_read(asked, out);
            }
            RequestBody::Command { .. }
            | RequestBody::EngineUpgrade { .. }
            | RequestBody::LeaderTransfer { .. }
            | RequestBody::Control { .. } => self.ask_leader(asked, out),
        }
    }

    fn ask_leader(&mut self, asked: Parked, out: &mut Vec<Action>) {
        match self.raft.leader() {
            Some(leader) if leader == self.raft.id() => self.lead(asked, out),
            Some(leader) if self.up.contains(&leader) => self.forward(leader, asked, out),
            Some(_) | None => self.park(asked),
        }
    }

    fn park(&mut self, asked: Parked) {
        if self.waiting.parked.len() >= PARKED_MAX {
            return asked.reply.send(Response::Overloaded);
        }
        self.waiting.parked.push_back(asked);
    }

    /// Gives the parked requests another chance, in their order.
    pub(super) fn maybe_release_parked(&mut self, out: &mut Vec<Action>) {
        let possible = match self.raft.leader() {
            Some(leader) if leader == self.raft.id() => !self.raft.is_transferring() && self.component.is_some(),
            Some(leader) => self.up.contains(&leader),
            None => false,
        };
        if possible && !self.waiting.parked.is_empty() {
            for asked in std::mem::take(&mut self.waiting.parked) {
                self.route(asked, out);
            }
        }
    }

    fn forward(&mut self, to: NodeId, asked: Parked, out: &mut Vec<Action>) {
        let Parked { request, encoded, reply, deadline_us } = asked;
        let ticket = self.waiting.new_ticket();
        let message = PeerMessage::Forward { ticket, request: encoded.clone() };
        out.push(Action::SendPeer { to, message });
        let writes = self.may_write(&request.body);
        self.waiting.forwards.insert(ticket, Forward { to, writes, request: encoded, reply, deadline_us });
    }

    /// Whether carrying the request out twice could matter.
    fn may_write(&self, body: &RequestBody) -> bool {
        match body {
            RequestBody::Command { arguments, .. } => {
                let spec = self.component.as_ref().zip(arguments.first()).and_then(|(c, name)| c.command(name));
                spec.is_none_or(|spec| spec.writes)
            }
            RequestBody::EngineUpgrade { .. } | RequestBody::LeaderTransfer { .. } | RequestBody::Control { .. } => {
                true
            }
            RequestBody::Status | RequestBody::NodeStatus | RequestBody::EngineList => false,
        }
    }

    pub(super) fn on_forward_reply(&mut self, from: NodeId, ticket: u64, answer: Bytes) {
        if self.on_inquiry_reply(from, ticket, &answer) {
            return;
        }
        // Late ones were answered by their deadline.
        if let Some(forward) = self.waiting.forwards.remove(&ticket) {
            forward.reply.send_encoded(answer);
        }
    }

    /// Reads that went to a node that leads no more, or is lost, are asked again; writes wait for their answer or deadline.
    pub(super) fn reroute_reads(&mut self, out: &mut Vec<Action>) {
        let leader = self.raft.leader();
        let stale = |forward: &mut Forward| !forward.writes && Some(forward.to) != leader;
        let again: Vec<Forward> =
            self.waiting.forwards.extract_if(.., |_, forward| stale(forward)).map(|(_, f)| f).collect();
        for Forward { request: encoded, reply, deadline_us, .. } in again {
            if let Ok(request) = Request::decode(&encoded) {
                self.route(Parked { request, encoded, reply, deadline_us }, out);
            }
        }
    }

    /// This node leads.
    fn lead(&mut self, asked: Parked, out: &mut Vec<Action>) {
        match &asked.request.body {
            RequestBody::Command { .. } => self.lead_command(asked, out),
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
                match Stamped::decode(&command) {
                    Ok(Stamped { command, .. }) => self.propose_or_park(command, asked),
                    Err(error) => asked.reply.send(Response::Invalid(error.to_string())),
                }
            }
            RequestBody::Status | RequestBody::NodeStatus | RequestBody::EngineList => {
                unreachable!("any node answers these")
            }
        }
    }

    fn lead_command(&mut self, asked: Parked, out: &mut Vec<Action>) {
        let RequestBody::Command { arguments, .. } = &asked.request.body else {
            unreachable!("only commands come here")
        };
        let Some(component) = &self.component else { return self.park(asked) };
        match admission::admit(component, arguments) {
            Err(answer) => asked.reply.send(answer),
            Ok(true) => {
                let arguments = arguments.clone();
                let blobs = arguments.iter().map(|argument| outboard_wire::Blob(argument)).collect();
                self.propose_or_park(Command::Engine(blobs), asked);
            }
            Ok(false) => self.lead_read(asked, out),
        }
    }

    fn lead_read(&mut self, asked: Parked, out: &mut Vec<Action>) {
        let id = self.waiting.reads.next_id();
        match self.raft.read(id) {
            Ok(()) => {
                let time_ms = Some(self.stamp());
                if let Some(query) = into_query(asked, time_ms) {
                    self.waiting.reads.wait(id, query);
                }
            }
            Err(refusal) => self.refuse(refusal, asked, out),
        }
    }

    /// Whatever this node has applied.
    fn stale_read(&mut self, asked: Parked, out: &mut Vec<Action>) {
        let RequestBody::Command { arguments, .. } = &asked.request.body else {
            unreachable!("only commands come here")
        };
        let Some(component) = &self.component else { return self.park(asked) };
        match admission::admit(component, arguments) {
            Err(answer) => asked.reply.send(answer),
            Ok(true) => self.ask_leader(asked, out),
            Ok(false) => out.extend(into_query(asked, None).map(|query| Action::Query(vec![query]))),
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
        let body = RequestBody::Command { arguments, consistency: Consistency::Linearizable };
        let request = Request { timeout_ms: u32::try_from(left_ms).unwrap_or(REQUEST_TIMEOUT_MS_MAX), body };
        let encoded = request.encode().into();
        self.route(Parked { request, encoded, reply, deadline_us }, out);
    }

    fn lead_upgrade(&mut self, prefix: &str, asked: Parked) {
        let upgrade = match self.control.find(prefix) {
            Ok(engine) => {
                let from = self.control.active.as_ref().map_or(engine.digest, |active| active.engine.digest);
                Upgrade { from, to: engine.digest }
            }
            Err(reason) => return asked.reply.send(Response::UpgradeRefused(reason)),
        };
        match self.control.may_upgrade(&upgrade) {
            Ok(_) => self.propose_or_park(Command::Upgrade(upgrade), asked),
            Err(reason) => asked.reply.send(Response::UpgradeRefused(reason)),
        }
    }

    fn propose_or_park(&mut self, command: Command<'_>, asked: Parked) {
        let Parked { request, encoded, reply, deadline_us } = asked;
        match self.propose(command, reply, deadline_us) {
            Ok(()) => {}
            Err((Refusal::Transferring | Refusal::NotLeader { .. }, reply)) => {
                self.park(Parked { request, encoded, reply, deadline_us });
            }
            Err((Refusal::Overloaded, reply)) => reply.send(Response::Overloaded),
            Err((Refusal::MembershipBusy | Refusal::Rejected(_), reply)) => {
                reply.send(Response::NotDone("the leader refused the proposal".into()));
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
        let stamped = Stamped { time_ms: self.stamp(), command };
        match self.raft.propose(Arc::from(stamped.encode())) {
            Ok(position) => {
                self.waiting.proposals.push(position, reply, deadline_us);
                Ok(())
            }
            Err(refusal) => Err((refusal, reply)),
        }
    }

    fn refuse(&mut self, refusal: Refusal, asked: Parked, out: &mut Vec<Action>) {
        match refusal {
            Refusal::Overloaded => asked.reply.send(Response::Overloaded),
            Refusal::NotLeader { leader: Some(leader) } if leader != self.raft.id() => self.ask_leader(asked, out),
            Refusal::NotLeader { .. } | Refusal::Transferring => self.park(asked),
            Refusal::MembershipBusy | Refusal::Rejected(_) => {
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

    /// The leader's address, for a client that asked elsewhere.
    pub(super) fn leader_hint(&self) -> Option<Hint> {
        let leader = self.raft.leader()?;
        let member = self.members.get(&leader)?;
        Some(Hint { node: leader.0, address: member.address.clone() })
    }
}

fn into_query(asked: Parked, time_ms: Option<u64>) -> Option<Query> {
    match asked.request.body {
        RequestBody::Command { arguments, .. } => {
            Some(Query { arguments, time_ms, reply: asked.reply, deadline_us: asked.deadline_us })
        }
        RequestBody::Status
        | RequestBody::NodeStatus
        | RequestBody::EngineList
        | RequestBody::EngineUpgrade { .. }
        | RequestBody::LeaderTransfer { .. }
        | RequestBody::Control { .. } => None,
    }
}
