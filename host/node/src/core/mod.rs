//! The core: consensus, and who waits for what. Events in, actions out; no I/O, no clock (time comes with each event), no
//! threads. The owner hands in all events that wait, calls [`Core::flush`] once, and carries the actions out.
//!
//! | file | holds |
//! | --- | --- |
//! | `event` | everything that can happen, everything that can be wanted |
//! | `requests` | what becomes of a request: answered here, led, passed on, or parked until there is a leader |
//! | `leading` | what a leader does with it: proposes a write, confirms its leadership for a read |
//! | `forwarding` `own_session` | requests passed on to the leader, and asked again when it is lost |
//! | `waiting` | proposals, reads, forwarded and parked requests, and their deadlines |
//! | `admission` | which commands are refused before they reach the log |
//! | `engines` | staged engines that this node has to try, and its votes |
//! | `members` | changes of membership: an operator's, and those that enrolments ask for |
//! | `inquiry` | `status`, gathered from all nodes |
//!
//! Invariants: every reply is used once; a reply to a proposal is sent only by the entry's application, or when that can no
//! longer happen or its time is over; requests that were not proposed are told so, never `Unknown`.
//! Tests: `waiting.rs`, `admission.rs`; whole nodes in `tests/cluster.rs` of this room.

mod admission;
mod engines;
mod event;
mod forwarding;
mod inquiry;
mod leading;
mod members;
mod own_session;
mod requests;
mod waiting;

pub use event::Now;
pub(crate) use event::{Action, AppliedNote, Event, Query, Verdict};

use crate::control::{Control, Marks, Member};
use crate::peers::PeerDoor;
use crate::reply::{Ordered, Reply};
use crate::settings::PULSE_TICKS;
use engines::Engines;
use inquiry::Inquiries;
use outboard_raft::{Envelope, Index, NodeId, Position, Raft, Ready, RoleKind, Term};
use outboard_sandbox::Component;
use outboard_wire::client::{Hint, Response};
use outboard_wire::command::EngineRecord;
use outboard_wire::peer::PeerMessage;
use outboard_wire::status::ChainMark;
use own_session::OwnSession;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use waiting::Waiting;

/// What a core is made of.
pub(crate) struct Start {
    pub(crate) raft: Raft,
    /// This node, as it knows itself before the address book does.
    pub(crate) own: Member,
    pub(crate) cluster: String,
    pub(crate) durability: &'static str,
    /// The engine for a cluster that has none.
    pub(crate) own_engine: EngineRecord,
    /// The sandbox's number.
    pub(crate) environment: u32,
    pub(crate) control: Arc<Control>,
    pub(crate) component: Option<Arc<Component>>,
    pub(crate) time_ms: u64,
    /// The running engine, if its component is not here.
    pub(crate) stalled_for: Option<EngineRecord>,
    /// A number that no earlier life of this node has had.
    pub(crate) life: u64,
    /// The hash chain where the tables stand.
    pub(crate) mark: ChainMark,
    /// For the replies to requests that other nodes pass on.
    pub(crate) door: Arc<dyn PeerDoor>,
    /// Log kept behind the durable tables, in bytes.
    pub(crate) log_keep_bytes: u64,
    pub(crate) now: Now,
}

/// The thinking part of one node.
pub(crate) struct Core {
    raft: Raft,
    own: Member,
    cluster: String,
    durability: &'static str,
    own_engine: EngineRecord,
    genesis_proposed: Term,
    control: Arc<Control>,
    component: Option<Arc<Component>>,
    door: Arc<dyn PeerDoor>,
    /// The peers that there is a connection to.
    up: BTreeSet<NodeId>,
    /// This node's address, for the clients of nodes that pass requests on.
    hint: Arc<Hint>,
    now: Now,
    started: Now,
    ticks: u32,
    /// The last entry of this leader's own that may change who is enrolled.
    access_proposed: Position,
    /// The newest time that was stamped or seen.
    stamp_ms: u64,
    waiting: Waiting,
    own_session: OwnSession,
    engines: Engines,
    inquiries: Inquiries,
    marks: Marks,
    stalled_for: Option<EngineRecord>,
    /// Ends of applied entries and the bytes of log up to there, to know how much log to keep.
    log_bytes: VecDeque<(Index, u64)>,
    log_bytes_total: u64,
    log_keep_bytes: u64,
    snapshots_under_way: usize,
    vitals: Vitals,
    leader_before: (Term, Option<NodeId>),
    stopping: Option<Now>,
    /// As of this index this node is no member any more.
    removed: Option<Index>,
    leaving: Option<Now>,
    stopped: bool,
    /// The log is not what it was: the node only waits for its end.
    forgotten: bool,
}

/// What the workers told last.
#[derive(Default)]
struct Vitals {
    applied_durable: u64,
    tables_bytes: u64,
    log_bytes: u64,
    refused: u64,
    damage: Option<Damage>,
}

/// A part of the log that can't be read any more.
struct Damage {
    what: String,
    /// What lies behind this is sound.
    upto: Index,
}

impl Core {
    pub(crate) fn new(start: Start) -> Core {
        let own = start.raft.id();
        let mut marks = Marks::default();
        marks.on_applied(&[start.mark]);
        let address = start.own.address.clone();
        Core {
            leader_before: (start.raft.term(), None),
            raft: start.raft,
            own: start.own,
            cluster: start.cluster,
            durability: start.durability,
            own_engine: start.own_engine,
            genesis_proposed: Term(0),
            control: start.control,
            component: start.component,
            door: start.door,
            up: BTreeSet::new(),
            hint: Arc::new(Hint { node: own.0, address }),
            now: start.now,
            started: start.now,
            ticks: 0,
            access_proposed: Position::new(0, 0),
            stamp_ms: start.time_ms,
            waiting: Waiting::of_life(start.life),
            own_session: OwnSession::default(),
            engines: Engines::new(start.environment),
            inquiries: Inquiries::default(),
            marks,
            stalled_for: start.stalled_for,
            log_bytes: VecDeque::new(),
            log_bytes_total: 0,
            log_keep_bytes: start.log_keep_bytes,
            snapshots_under_way: 0,
            vitals: Vitals::default(),
            stopping: None,
            removed: None,
            leaving: None,
            stopped: false,
            forgotten: false,
        }
    }

    /// Something happened.
    pub(crate) fn on_event(&mut self, event: Event, now: Now, out: &mut Vec<Action>) {
        self.now = now;
        if self.forgotten {
            if let Event::Request { reply, .. } = event {
                reply.send(Response::NotDone("this node is about to halt".into()));
            }
            return;
        }
        match event {
            Event::Tick { refused } => self.on_tick(refused, out),
            Event::Peer { from, message } => self.on_peer(from, message, out),
            // The flush that follows lets go what was parked for it.
            Event::PeerUp(peer) => self.on_peer_up(peer),
            Event::PeerDown(peer) => self.on_peer_down(peer, out),
            Event::Request { request, encoded, reply } => self.on_request(request, encoded, reply, out),
            Event::Persisted(id) => self.raft.on_persisted(id),
            Event::LogRead(answer) => self.raft.on_log_read(answer),
            Event::Applied(note) => self.on_applied(note, out),
            Event::TablesDurable { index, bytes } => self.on_tables_durable(index, bytes, out),
            Event::LogBytes(bytes) => self.vitals.log_bytes = bytes,
            Event::LogDamaged { what, upto } => self.on_log_damaged(what, upto, out),
            Event::SnapshotSent { to, at, ok } => {
                self.snapshots_under_way = self.snapshots_under_way.saturating_sub(1);
                self.raft.on_snapshot_sent(to, at, ok);
            }
            Event::SnapshotStaged { from, term, meta } => self.raft.on_snapshot_received(from, term, meta),
            Event::SnapshotInstalled { meta, note } => {
                self.raft.on_snapshot_installed(&meta);
                self.on_applied(note, out);
            }
            Event::EnginePrepared { digest, verdict } => self.on_engine_prepared(digest, verdict, out),
            Event::Stop => self.on_stop(),
        }
    }

    /// Everything that is to be done since the last flush. Once for all events that were waiting.
    pub(crate) fn flush(&mut self, now: Now, out: &mut Vec<Action>) {
        self.now = now;
        // Nothing that it could say is true.
        if self.forgotten {
            return;
        }
        self.maybe_propose_genesis();
        self.maybe_release_parked(out);
        loop {
            let ready = self.raft.ready();
            if ready.is_empty() {
                break;
            }
            self.on_ready(ready, out);
        }
        self.on_leader_change(out);
        self.settle_transfer();
        self.maybe_stopped(out);
    }

    fn on_ready(&mut self, ready: Ready, out: &mut Vec<Action>) {
        // Sends first: the followers' disks work while this node's does.
        out.extend(ready.send.into_iter().map(Action::Send));
        out.extend(ready.persist.map(Action::Persist));
        if !ready.apply.is_empty() {
            let ordered = ready.apply.into_iter().map(|entry| {
                self.log_bytes_total += entry.bytes() as u64;
                let reply = self.waiting.proposals.claim(entry.position());
                Ordered { entry, reply }
            });
            let ordered: Vec<Ordered> = ordered.collect();
            out.push(Action::Apply(ordered));
        }
        out.extend(ready.reads.into_iter().map(Action::ReadLog));
        for barrier in ready.barriers {
            self.on_barrier(barrier, out);
        }
        for id in ready.barriers_lost {
            self.on_read_lost(id, out);
        }
        self.snapshots_under_way += ready.snapshots.len();
        out.extend(ready.snapshots.into_iter().map(Action::SendSnapshot));
        out.extend(ready.install.map(Action::Install));
        self.removed = ready.removed.or(self.removed);
        if let Some(incarnation) = ready.readmitted {
            tracing::info!(incarnation, "all that was lost here is here again: this node counts");
            out.push(Action::SettleLoss);
        }
    }

    fn on_tick(&mut self, refused: u64, out: &mut Vec<Action>) {
        self.vitals.refused = refused;
        self.raft.tick();
        self.judge_fitness();
        self.waiting.expire(self.now);
        self.expire_inquiries();
        self.resume_postponed(out);
        self.look_after_members();
        let pulse = self.ticks.is_multiple_of(PULSE_TICKS);
        self.ticks = self.ticks.wrapping_add(1);
        if pulse {
            let marks = self.marks.pulsed();
            let peers = self.control.directory.nodes().filter(|peer| *peer != self.raft.id());
            out.extend(peers.map(|to| Action::SendPeer { to, message: PeerMessage::Pulse(marks.clone()) }));
            self.look_after_engines(out);
        }
    }

    fn on_peer(&mut self, from: NodeId, message: PeerMessage, out: &mut Vec<Action>) {
        match message {
            PeerMessage::Raft(envelope) => self.on_envelope(envelope, out),
            PeerMessage::Forward { ticket, request } => {
                let reply = Reply::Peer { to: from, ticket, door: self.door.clone(), hint: self.hint.clone() };
                self.on_forwarded(request, reply, out);
            }
            PeerMessage::ForwardReply { ticket, answer } => self.on_forward_reply(from, ticket, answer, out),
            PeerMessage::Pulse(marks) => {
                if self.marks.on_peer(from.0, &marks) {
                    let found = self.marks.diverged();
                    tracing::error!(peer = %from, ?found, "this node's state differs from a peer's");
                }
            }
        }
    }

    fn on_envelope(&mut self, envelope: Envelope, out: &mut Vec<Action>) {
        // Whoever was removed is not heard. A node that this one has not heard of yet may be its leader: it was let in by entries that
        // are on their way.
        if self.control.directory.is_removed(envelope.from) {
            return;
        }
        if self.raft.has_forgotten(&envelope) {
            self.forgotten = true;
            let text = format!(
                "its log ends at {}, and {}, which leads, has its word for more: the folder is an older copy, or was emptied. Started again, this node \
                 counts for nothing until the others have given everything back",
                self.raft.last(),
                envelope.from
            );
            return out.push(Action::NoteLoss { reason: text, at_ms: self.now.wall_ms });
        }
        self.raft.step(envelope);
    }

    /// What was on its way over the connection before did perhaps not come, a snapshot's installation among it.
    fn on_peer_up(&mut self, peer: NodeId) {
        self.up.insert(peer);
        self.raft.on_unreachable(peer);
    }

    fn on_peer_down(&mut self, peer: NodeId, out: &mut Vec<Action>) {
        self.up.remove(&peer);
        self.raft.on_unreachable(peer);
        self.waiting.on_peer_lost(peer);
        self.reroute(out);
    }

    fn on_applied(&mut self, note: AppliedNote, out: &mut Vec<Action>) {
        self.raft.on_applied(note.index);
        self.stamp_ms = self.stamp_ms.max(note.time_ms);
        self.marks.on_applied(&note.marks);
        self.log_bytes.push_back((note.index, self.log_bytes_total));
        if let Some((control, component)) = note.control {
            self.tell_own_standing(&control);
            self.control = control;
            self.component = component;
            self.look_after_engines(out);
            self.look_after_members();
        }
        if let Some(engine) = &note.stalled_for {
            tracing::warn!(digest = %engine.digest, "apply waits for a component that is not here; fetching it");
            self.engines.prepare(engine, out);
        }
        self.stalled_for = note.stalled_for;
        let due = self.waiting.reads.due(note.index);
        if !due.is_empty() {
            out.push(Action::Query(due));
        }
    }

    /// A newcomer's operator waits for this.
    fn tell_own_standing(&self, after: &Control) {
        let me = self.raft.id();
        let standing = |control: &Control| (control.voters.contains(&me), control.membership.learners.contains(&me));
        match standing(after) {
            now if now == standing(&self.control) => {}
            (true, _) => tracing::info!("this node is a voter now"),
            (false, true) => tracing::info!("this node is a learner now"),
            (false, false) => tracing::info!("this node is no member now"),
        }
    }

    /// The log may go up to the durable tables, less what followers that lag may still want, and nothing while a snapshot is
    /// on its way that has to be followed by the log behind it.
    fn on_tables_durable(&mut self, index: Index, bytes: u64, out: &mut Vec<Action>) {
        self.vitals.applied_durable = index.0;
        self.vitals.tables_bytes = bytes;
        if self.snapshots_under_way > 0 {
            return;
        }
        let spare = self.log_bytes_total.saturating_sub(self.log_keep_bytes);
        let mut upto = None;
        while let Some((end, total)) = self.log_bytes.front().copied()
            && end <= index
            && total <= spare
        {
            upto = Some(end);
            self.log_bytes.pop_front();
        }
        if let Some(damage) = self.vitals.damage.take_if(|damage| damage.upto <= index) {
            // What followers that lag want of it they can't have any more: they get a snapshot.
            tracing::warn!(upto = %damage.upto, "the damaged part of the log is dropped: the tables hold it");
            self.drop_log(damage.upto, out);
        }
        if let Some(upto) = upto.filter(|upto| *upto > self.raft.base().index) {
            self.drop_log(upto, out);
        }
    }

    fn drop_log(&mut self, upto: Index, out: &mut Vec<Action>) {
        self.raft.compact(upto);
        out.push(Action::Compact(upto));
    }

    /// Repaired as soon as the tables durably hold all of it.
    fn on_log_damaged(&mut self, what: String, upto: Index, out: &mut Vec<Action>) {
        if self.vitals.damage.as_ref().is_none_or(|damage| damage.upto < upto) {
            tracing::error!(%upto, "{what}");
            self.vitals.damage = Some(Damage { what, upto });
        }
        let durable = Index(self.vitals.applied_durable);
        self.on_tables_durable(durable, self.vitals.tables_bytes, out);
    }

    /// Damage within what is committed is dropped with the log that the tables make needless. Behind it lies what the others may need to go
    /// on, and they do not get it here.
    fn judge_fitness(&mut self) {
        let unfit = self.vitals.damage.as_ref().is_some_and(|damage| damage.upto > self.raft.commit());
        if unfit && self.is_leader() {
            tracing::warn!("the damaged part of the log is not all committed: another node has to lead");
        }
        self.raft.on_unfit(unfit);
    }

    fn maybe_propose_genesis(&mut self) {
        let wanted = self.control.active.is_none() && self.is_leader() && self.genesis_proposed != self.raft.term();
        if wanted {
            let command = outboard_wire::command::Command::Genesis(self.own_engine.clone());
            if self.propose(command, Reply::Nobody, u64::MAX).is_ok() {
                self.genesis_proposed = self.raft.term();
            }
        }
    }

    fn on_leader_change(&mut self, out: &mut Vec<Action>) {
        let now = (self.raft.term(), self.raft.leader());
        if now == self.leader_before {
            return;
        }
        let (term, leader) = now;
        match leader {
            Some(leader) => tracing::info!(%term, %leader, role = %self.raft.role(), "leader known"),
            None => tracing::info!(%term, role = %self.raft.role(), "no leader known"),
        }
        self.leader_before = now;
        if leader.is_some() {
            self.reroute(out);
            self.resume_postponed(out);
        }
    }

    /// Its part in consensus, to be looked at.
    pub(crate) fn raft(&self) -> &Raft {
        &self.raft
    }

    /// What the log has decided so far, as of the tables.
    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    fn is_leader(&self) -> bool {
        self.raft.role() == RoleKind::Leader
    }

    /// The leader's clock for entries and reads: never back.
    fn stamp(&mut self) -> u64 {
        self.stamp_ms = self.stamp_ms.max(self.now.wall_ms);
        self.stamp_ms
    }

    fn on_stop(&mut self) {
        self.stopping.get_or_insert(self.now);
        if self.is_leader() {
            match self.raft.transfer(None) {
                Ok(to) => tracing::info!(%to, "stopping: handing leadership over"),
                Err(refusal) => tracing::debug!(?refusal, "stopping: nobody to hand leadership over to"),
            }
        }
    }

    /// This node is out: it has handed over already, and leaves once it has told those who asked for that.
    fn maybe_leave(&mut self, out: &mut Vec<Action>) {
        let Some(at) = self.removed.filter(|_| !self.stopped) else { return };
        let since = *self.leaving.get_or_insert(self.now);
        let timeout = crate::settings::HAND_OVER_TIMEOUT.as_micros() as u64;
        let told = self.raft.applied() >= at.min(self.raft.commit()) && self.waiting.proposals.is_empty();
        if told || self.now.mono_us - since.mono_us >= timeout {
            self.stopped = true;
            self.waiting.end("this node was removed from the cluster");
            out.push(Action::Leave(at));
        }
    }

    /// Done once leadership is elsewhere (or can't be) and nobody waits any more, or the time is up.
    fn maybe_stopped(&mut self, out: &mut Vec<Action>) {
        self.maybe_leave(out);
        let Some(since) = self.stopping else { return };
        let timeout = crate::settings::HAND_OVER_TIMEOUT.as_micros() as u64;
        let handed = !self.is_leader() || !self.raft.is_transferring();
        let idle = self.waiting.proposals.is_empty() && self.waiting.forwards.is_empty();
        if !self.stopped && (handed && idle || self.now.mono_us - since.mono_us >= timeout) {
            self.stopped = true;
            self.waiting.end("the node is stopping");
            out.push(Action::Stopped);
        }
    }
}
