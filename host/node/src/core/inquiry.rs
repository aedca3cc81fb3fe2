//! `status`: the asked node asks all others, waits a moment, and puts the answers together.

use super::{Action, Core};
use crate::gateway::Figures;
use crate::reply::Reply;
use crate::settings::INQUIRY_TIMEOUT_MS;
use outboard_raft::NodeId;
use outboard_sandbox::Component;
use outboard_wire::client::{Answer, Hint, Request, RequestBody, Response};
use outboard_wire::peer::PeerMessage;
use outboard_wire::status::{ClusterStatus, MemberStatus, NodeStatus};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every `status` that is being gathered.
#[derive(Default)]
pub(super) struct Inquiries {
    open: Vec<Inquiry>,
}

struct Inquiry {
    reply: Reply,
    asked_us: u64,
    /// By ticket; one that has answered is taken out.
    waiting: BTreeMap<u64, NodeId>,
    heard: BTreeMap<NodeId, (NodeStatus, u64)>,
}

impl Core {
    pub(super) fn on_status(&mut self, reply: Reply, out: &mut Vec<Action>) {
        let me = self.raft.id();
        let request = Request { timeout_ms: INQUIRY_TIMEOUT_MS as u32, body: RequestBody::NodeStatus }.encode();
        let peers: Vec<NodeId> = self.control.directory.nodes().filter(|node| *node != me).collect();
        let mut waiting = BTreeMap::new();
        for to in peers.into_iter().filter(|peer| self.up.contains(peer)) {
            let ticket = self.waiting.new_ticket();
            waiting.insert(ticket, to);
            out.push(Action::SendPeer {
                to,
                message: PeerMessage::Forward { ticket, request: request.clone().into() },
            });
        }
        let asked_us = self.now.mono_us;
        self.inquiries.open.push(Inquiry { reply, asked_us, waiting, heard: BTreeMap::new() });
        self.finish_inquiries(false);
    }

    /// True if the answer was one to an inquiry.
    pub(super) fn on_inquiry_reply(&mut self, from: NodeId, ticket: u64, answer: &[u8]) -> bool {
        let now = self.now.mono_us;
        let mut inquiries = self.inquiries.open.iter_mut();
        let Some(inquiry) = inquiries.find(|inquiry| inquiry.waiting.get(&ticket) == Some(&from)) else { return false };
        inquiry.waiting.remove(&ticket);
        if let Ok(Answer { response: Response::NodeStatus(status), .. }) = Answer::decode(answer) {
            inquiry.heard.insert(from, (*status, now - inquiry.asked_us));
        }
        self.finish_inquiries(false);
        true
    }

    pub(super) fn expire_inquiries(&mut self) {
        self.finish_inquiries(true);
    }

    fn finish_inquiries(&mut self, with_late: bool) {
        let now = self.now.mono_us;
        let late = |inquiry: &Inquiry| with_late && now - inquiry.asked_us >= INQUIRY_TIMEOUT_MS * 1_000;
        let done: Vec<Inquiry> =
            self.inquiries.open.extract_if(.., |inquiry| inquiry.waiting.is_empty() || late(inquiry)).collect();
        for inquiry in done {
            let status = self.cluster_status(inquiry.heard);
            inquiry.reply.send(Response::Status(Box::new(status)));
        }
    }

    fn cluster_status(&self, mut heard: BTreeMap<NodeId, (NodeStatus, u64)>) -> ClusterStatus {
        let (me, voters) = (self.raft.id(), &self.raft.membership().voters);
        let members = self.control.directory.iter().map(|(node, member)| {
            let told = if node == me { Some((self.node_status(), None)) } else { None };
            let told = told.or_else(|| heard.remove(&node).map(|(status, rtt)| (status, Some(rtt))));
            let (status, rtt_us) = told.map_or((None, None), |(status, rtt)| (Some(status), rtt));
            let (name, address) = (member.name.clone(), member.address.clone());
            MemberStatus { node: node.0, name, address, voter: voters.contains(&node), rtt_us, status }
        });
        ClusterStatus { cluster: self.cluster.clone(), asked: me.0, members: members.collect() }
    }

    pub(crate) fn node_status(&self) -> NodeStatus {
        let raft = &self.raft;
        let active = self.control.active.as_ref();
        NodeStatus {
            node: raft.id().0,
            name: self.own.name.clone(),
            address: self.own.address.clone(),
            role: raft.role().to_string(),
            term: raft.term().0,
            leader: raft.leader().map(|leader| leader.0),
            commit: raft.commit().0,
            applied: raft.applied().0,
            applied_durable: self.vitals.applied_durable,
            log_first: raft.base().index.0 + 1,
            log_last: raft.last().index.0,
            disk_bytes: self.vitals.tables_bytes + self.vitals.log_bytes,
            uptime_ms: (self.now.mono_us - self.started.mono_us) / 1_000,
            engine: active.map(|active| active.engine.clone()),
            engine_since: active.map_or(0, |active| active.since),
            stalled_for: self.stalled_for.as_ref().map(|engine| engine.digest.to_string()),
            durability: self.durability.to_owned(),
            chain: self.marks.told(),
            diverged: self.marks.diverged(),
            refused: self.vitals.refused,
            suspended: raft.is_suspended(),
            damage: self.vitals.damage.as_ref().map(|damage| damage.what.clone()),
        }
    }

    /// For listeners on this node.
    pub(crate) fn figures(&self) -> Figures {
        let raft = &self.raft;
        let members = self.control.directory.iter();
        Figures {
            node: raft.id().0,
            name: self.own.name.clone(),
            cluster: self.cluster.clone(),
            role: raft.role().to_string(),
            leader: self.leader_hint(),
            term: raft.term().0,
            commit: raft.commit().0,
            applied: raft.applied().0,
            members: members.map(|(node, member)| Hint { node: node.0, address: member.address.clone() }).collect(),
            uptime_ms: (self.now.mono_us - self.started.mono_us) / 1_000,
            engine: self.control.active.as_ref().filter(|_| self.component.is_some()).map(|a| a.engine.clone()),
        }
    }

    /// The running engine, if its component is here.
    pub(crate) fn component(&self) -> Option<&Arc<Component>> {
        self.component.as_ref()
    }
}
