//! Requests that are passed on to the leader, and what becomes of them when it leads no more, or is lost, before it answers.
//!
//! Invariants: what may have been done is asked again only if that can't do it twice: it changes nothing, or it has a name within a
//! session. Of such a request nobody is told any more that it was not done, for an earlier attempt may have done it. The deadline
//! stays that of the first attempt.

use super::own_session::Opened;
use super::waiting::{Again, Forward, Parked, perhaps_done};
use super::{Action, Core};
use crate::reply::Reply;
use bytes::Bytes;
use outboard_raft::NodeId;
use outboard_wire::client::{Answer, Request, RequestBody, Response, Standing};
use outboard_wire::peer::PeerMessage;

impl Core {
    /// A request that another node passed on, believing that this one leads.
    pub(super) fn on_forwarded(&mut self, encoded: Bytes, reply: Reply, out: &mut Vec<Action>) {
        let request = match Request::decode(&encoded) {
            Ok(request) => request,
            Err(error) => return reply.send(Response::Invalid(error.to_string())),
        };
        if self.is_leader() || matches!(request.body, RequestBody::NodeStatus) {
            self.on_request(request, Some(encoded), reply, out);
        } else {
            reply.send_with_hint(Response::NotDone("the node asked does not lead any more".into()), self.leader_hint());
        }
    }

    pub(super) fn forward(&mut self, to: NodeId, mut asked: Parked, out: &mut Vec<Action>) {
        self.maybe_name(to, &mut asked, out);
        let Parked { request, encoded, reply, deadline_us, doubtful } = asked;
        let again = self.again(&request.body);
        let request = encoded.unwrap_or_else(|| request.encode().into());
        let ticket = self.send_forward(to, request.clone(), out);
        self.waiting.forwards.insert(ticket, Forward { to, again, doubtful, request, reply, deadline_us });
    }

    fn send_forward(&mut self, to: NodeId, request: Bytes, out: &mut Vec<Action>) -> u64 {
        let ticket = self.waiting.new_ticket();
        let message = PeerMessage::Forward { ticket, request };
        out.push(Action::SendPeer { to, message });
        ticket
    }

    fn again(&self, body: &RequestBody) -> Again {
        match body {
            RequestBody::Command { arguments, id, .. } => {
                let spec = self.component.as_ref().zip(arguments.first()).and_then(|(c, name)| c.command(name));
                match (spec, id) {
                    (Some(spec), _) if !spec.writes => Again::Harmless,
                    (Some(_) | None, Some(_)) => Again::Named,
                    (Some(_) | None, None) => Again::IfNotDone,
                }
            }
            RequestBody::Transaction { id: Some(_), .. } => Again::Named,
            RequestBody::Transaction { id: None, .. } => Again::IfNotDone,
            // A second attempt at these is refused or changes nothing, but its answer would be another.
            RequestBody::MemberChange { .. } | RequestBody::Access(_) => Again::IfNotDone,
            RequestBody::EngineUpgrade { .. } | RequestBody::LeaderTransfer { .. } | RequestBody::Control { .. } => {
                Again::Never
            }
            RequestBody::Status
            | RequestBody::NodeStatus
            | RequestBody::EngineList
            | RequestBody::Watch { .. }
            | RequestBody::Unwatch { .. }
            | RequestBody::SessionOpen
            | RequestBody::SessionClose { .. }
            | RequestBody::MemberList
            | RequestBody::AccessLists
            | RequestBody::Renew { .. } => Again::Harmless,
        }
    }

    /// Gives a write of this node's own listeners a name, so that it can be asked again if the leader is lost.
    fn maybe_name(&mut self, leader: NodeId, asked: &mut Parked, out: &mut Vec<Action>) {
        let Reply::Gateway(reply) = &mut asked.reply else { return };
        if asked.doubtful || self.again(&asked.request.body) != Again::IfNotDone {
            return;
        }
        if self.own_session.wants_to_open(self.now) {
            let request = Request { timeout_ms: super::own_session::OPEN_TIMEOUT_MS, body: RequestBody::SessionOpen };
            let ticket = self.send_forward(leader, request.encode().into(), out);
            self.own_session.on_opening(leader, ticket, self.now);
        }
        if let Some((id, held)) = self.own_session.name() {
            asked.request.body.set_id(Some(id));
            asked.encoded = None;
            reply.hold(held);
        }
    }

    pub(super) fn on_forward_reply(&mut self, from: NodeId, ticket: u64, answer: Bytes, out: &mut Vec<Action>) {
        if self.on_inquiry_reply(from, ticket, &answer) {
            return;
        }
        if self.own_session.is_opening(ticket) {
            let opened = match Answer::decode(&answer) {
                Ok(Answer { response: Response::SessionOpened { session }, .. }) => Opened::Yes(session),
                Ok(_) | Err(_) => Opened::No,
            };
            return self.own_session.on_opened(opened);
        }
        // Late ones were answered by their deadline.
        let Some(forward) = self.waiting.forwards.remove(&ticket) else { return };
        match Standing::of(&answer) {
            Standing::NotDone if forward.again != Again::Never => self.ask_again_later(forward),
            Standing::Overloaded if forward.doubtful => self.ask_again_later(forward),
            Standing::Unknown if forward.again.always() => self.ask_again_later(Forward { doubtful: true, ..forward }),
            Standing::SessionGone => self.on_session_gone(forward, answer, out),
            Standing::Decided | Standing::NotDone | Standing::Overloaded | Standing::Unknown => {
                forward.reply.send_encoded(answer);
            }
        }
    }

    /// This attempt did nothing. With an earlier one that is not the whole truth.
    fn on_session_gone(&mut self, forward: Forward, answer: Bytes, out: &mut Vec<Action>) {
        let Forward { doubtful, request, reply, deadline_us, .. } = forward;
        let Ok(mut request) = Request::decode(&request) else { return reply.send_encoded(answer) };
        if let Some(id) = request.body.id() {
            self.own_session.on_gone(id.session);
        }
        if doubtful {
            reply.send(perhaps_done("its session is gone, and an earlier attempt may have done it"));
        } else if reply.is_named_here() {
            // Its client has named no session: without one it is what it was.
            request.body.set_id(None);
            self.route(Parked { request, encoded: None, reply, deadline_us, doubtful }, out);
        } else {
            reply.send_encoded(answer);
        }
    }

    /// Requests that went to a node that leads no more, or is lost: those that may be asked again are; the others wait for their
    /// answer or their deadline.
    pub(super) fn reroute(&mut self, out: &mut Vec<Action>) {
        let leader = self.raft.leader();
        let stale = |forward: &mut Forward| forward.again.always() && Some(forward.to) != leader;
        let again: Vec<Forward> =
            self.waiting.forwards.extract_if(.., |_, forward| stale(forward)).map(|(_, f)| f).collect();
        for forward in again {
            let doubtful = forward.doubtful || forward.again == Again::Named;
            if let Some(asked) = into_parked(Forward { doubtful, ..forward }) {
                self.route(asked, out);
            }
        }
        self.own_session.on_leader(leader);
    }

    /// With the next tick, or the next leader: whoever answered so now would answer so at once again.
    fn ask_again_later(&mut self, forward: Forward) {
        if let Some(asked) = into_parked(forward) {
            self.postpone(asked);
        }
    }

    pub(super) fn postpone(&mut self, asked: Parked) {
        self.waiting.postponed.push(asked);
    }

    pub(super) fn resume_postponed(&mut self, out: &mut Vec<Action>) {
        for asked in std::mem::take(&mut self.waiting.postponed) {
            self.route(asked, out);
        }
    }
}

fn into_parked(forward: Forward) -> Option<Parked> {
    let Forward { request: encoded, reply, deadline_us, doubtful, .. } = forward;
    match Request::decode(&encoded) {
        Ok(request) => Some(Parked { request, encoded: Some(encoded), reply, deadline_us, doubtful }),
        Err(error) => {
            reply.send(perhaps_done(&error.to_string()));
            None
        }
    }
}
