//! What becomes of a request. A write and a linearizable read are the leader's: it proposes the one and confirms its
//! leadership for the other (`leading`); everyone else passes them on (`forwarding`), or parks them while there is no leader. A read that
//! is to be carried out here needs only the leader's word.

use super::waiting::{Parked, perhaps_done};
use super::{Action, Core, Query, admission};
use crate::reply::Reply;
use crate::settings::{PARKED_MAX, WAITING_MAX};
use bytes::Bytes;
use outboard_wire::client::{Consistency, Hint, Request, RequestBody, Response};
use outboard_wire::limits::REQUEST_TIMEOUT_MS_MAX;

impl Core {
    /// A request of a client on this node, or of this node itself; `encoded` if it came so.
    pub(super) fn on_request(&mut self, request: Request, encoded: Option<Bytes>, reply: Reply, out: &mut Vec<Action>) {
        if self.waiting.len() >= WAITING_MAX {
            return reply.send(Response::Overloaded);
        }
        let deadline_us = self.deadline_us(request.timeout_ms);
        self.route(Parked { request, encoded, reply, deadline_us, doubtful: false }, out);
    }

    fn deadline_us(&self, timeout_ms: u32) -> u64 {
        self.now.mono_us + u64::from(timeout_ms.min(REQUEST_TIMEOUT_MS_MAX)) * 1_000
    }

    /// Answers what any node can answer; the rest is for the leader.
    pub(super) fn route(&mut self, asked: Parked, out: &mut Vec<Action>) {
        match &asked.request.body {
            RequestBody::Status => self.on_status(asked.reply, out),
            RequestBody::NodeStatus => {
                asked.reply.send(Response::NodeStatus(Box::new(self.node_status())));
            }
            RequestBody::EngineList => asked.reply.send(Response::Engines(self.control.infos())),
            RequestBody::Renew { .. } => {
                asked.reply.send(Response::Invalid("a client asks for its own renewal".into()))
            }
            RequestBody::Command { consistency: Consistency::Stale, .. } if !self.is_leader() => {
                self.stale_read(asked, out);
            }
            RequestBody::Command { consistency: Consistency::Follower, .. } if !self.is_leader() => {
                self.follower_read(asked, out);
            }
            RequestBody::Command { .. }
            | RequestBody::EngineUpgrade { .. }
            | RequestBody::LeaderTransfer { .. }
            | RequestBody::Control { .. }
            | RequestBody::Transaction { .. }
            | RequestBody::Watch { .. }
            | RequestBody::Unwatch { .. }
            | RequestBody::SessionOpen
            | RequestBody::SessionClose { .. }
            | RequestBody::MemberList
            | RequestBody::MemberChange { .. }
            | RequestBody::Access(_)
            | RequestBody::AccessLists => self.ask_leader(asked, out),
        }
    }

    pub(super) fn ask_leader(&mut self, asked: Parked, out: &mut Vec<Action>) {
        match self.raft.leader() {
            Some(leader) if leader == self.raft.id() => self.lead(asked, out),
            Some(leader) if self.up.contains(&leader) => self.forward(leader, asked, out),
            Some(_) | None => self.park(asked),
        }
    }

    pub(super) fn park(&mut self, asked: Parked) {
        if self.waiting.parked.len() >= PARKED_MAX {
            let why = "it was sent to a leader that is lost, and too much is waiting to ask the next one";
            return asked.reply.send(if asked.doubtful { perhaps_done(why) } else { Response::Overloaded });
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

    /// Whatever this node has applied.
    fn stale_read(&mut self, asked: Parked, out: &mut Vec<Action>) {
        let RequestBody::Command { arguments, id, .. } = &asked.request.body else {
            unreachable!("only commands come here")
        };
        let Some(component) = &self.component else { return self.park(asked) };
        match admission::admit(component, arguments, *id) {
            Err(answer) => asked.reply.send(answer),
            Ok(true) => self.ask_leader(asked, out),
            Ok(false) => out.extend(into_query(asked, None).map(|query| Action::Query(vec![query]))),
        }
    }

    /// What was acknowledged before the read began, carried out here: the leader's word, which the core asks for, says how far this node
    /// must have applied (Ongaro's dissertation, section 6.4).
    fn follower_read(&mut self, asked: Parked, out: &mut Vec<Action>) {
        let RequestBody::Command { arguments, id, .. } = &asked.request.body else {
            unreachable!("only commands come here")
        };
        let Some(component) = &self.component else { return self.park(asked) };
        match admission::admit(component, arguments, *id) {
            Err(answer) => asked.reply.send(answer),
            Ok(true) => self.ask_leader(asked, out),
            Ok(false) => {
                let id = self.waiting.reads.next_id();
                match self.raft.read_here(id) {
                    Ok(()) => self.await_barrier(id, asked),
                    Err(refusal) => self.refuse(refusal, asked, out),
                }
            }
        }
    }

    /// The leader's address, for a client that asked elsewhere.
    pub(super) fn leader_hint(&self) -> Option<Hint> {
        let leader = self.raft.leader()?;
        let member = self.control.directory.get(leader)?;
        Some(Hint { node: leader.0, address: member.address.clone() })
    }
}

/// A command that reads, as the query worker takes it.
pub(super) fn into_query(asked: Parked, time_ms: Option<u64>) -> Option<Query> {
    if let RequestBody::Command { arguments, .. } = asked.request.body {
        Some(Query { arguments, time_ms, reply: asked.reply, deadline_us: asked.deadline_us })
    } else {
        None
    }
}
