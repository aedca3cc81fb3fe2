//! The loop: it takes everything that waits (frames, requests, words of the workers, the clock), lets the core think once, and
//! carries out what the core wants. Beside it only the tasks at the desk are async: transfers, enrolment, neighbours.

use crate::control::Control;
use crate::core::{Action, Core, Event};
use crate::desk::Desk;
use crate::enrolment;
use crate::error::Halt;
use crate::gateway::{Ask, Entrance};
use crate::neighbours;
use crate::peers::{self, PeerDoor};
use crate::permission;
use crate::reply::{GatewayReply, Ordered, Reply};
use crate::settings::TICK;
use crate::transfer::snapshot::Staged;
use crate::transfer::{self, component, snapshot};
use crate::workers::append::AppendJob;
use crate::workers::apply::ApplyJob;
use crate::workers::{Clock, Word};
use bytes::Bytes;
use outboard_net::{Access, Counters, NetEvent, Principal, Responder};
use outboard_raft::{NodeId, SnapshotMeta};
use outboard_wire::client::{Request, RequestBody, Response};
use outboard_wire::peer::PeerMessage;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use tokio::sync::{mpsc, watch};
use tokio::time::{Interval, MissedTickBehavior};

/// Batches of the net and words of the workers that are taken at once.
const TAKE_MAX: usize = 1_024;

/// The queues of the workers. Dropping them ends the workers.
pub(crate) struct Jobs {
    pub(crate) log: Sender<AppendJob>,
    pub(crate) tables: Sender<ApplyJob>,
    pub(crate) queries: Sender<Vec<crate::core::Query>>,
}

/// How the loop ended.
pub(crate) enum Ending {
    /// As the operator wished: leadership is handed over.
    Stopped,
    /// This node is no member any more: why.
    Removed(String),
    /// As kill -9.
    Killed,
    Halted(Halt),
}

/// Everything that the loop holds.
pub(crate) struct Loop {
    pub(crate) core: Core,
    pub(crate) id: NodeId,
    pub(crate) clock: Clock,
    pub(crate) desk: Desk,
    pub(crate) door: Arc<dyn PeerDoor>,
    pub(crate) jobs: Jobs,
    pub(crate) net_events: mpsc::Receiver<NetEvent>,
    pub(crate) words: mpsc::UnboundedReceiver<Word>,
    pub(crate) control: watch::Sender<Arc<Control>>,
    pub(crate) entrance: Entrance,
    /// In force.
    pub(crate) access: Access,
}

/// Everything that one turn has taken.
#[derive(Default)]
struct Taken {
    net: Vec<NetEvent>,
    words: Vec<Word>,
    asks: Vec<Ask>,
}

impl Loop {
    /// Runs until the node stops, is killed, or halts.
    pub(crate) async fn run(mut self) -> Ending {
        let mut ticker = tokio::time::interval(TICK);
        // After a pause of the whole process, time goes on from here: a burst of ticks would only start an election.
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut taken = Taken::default();
        let mut actions = Vec::new();
        self.tell_engine();
        loop {
            self.take(&mut ticker, &mut taken, &mut actions).await;
            self.heed_access(&taken.words);
            for event in taken.net.drain(..) {
                self.on_net(event, &mut actions);
            }
            self.on_asks(&mut taken.asks, &mut actions);
            for word in taken.words.drain(..) {
                match word {
                    Word::Event(event) => self.on_word(event, &mut actions),
                    Word::Install(meta) => self.install(meta),
                    Word::Halt(halt) => return Ending::Halted(halt),
                    Word::Removed(reason) => return Ending::Removed(reason),
                    Word::Kill => return Ending::Killed,
                    Word::Begin(begin) => begin(),
                }
            }
            self.core.flush(self.clock.now(), &mut actions);
            for action in actions.drain(..) {
                if let Some(ending) = self.carry_out(action) {
                    return ending;
                }
            }
        }
    }

    /// Waits until there is something, then takes all that is there.
    async fn take(&mut self, ticker: &mut Interval, taken: &mut Taken, actions: &mut Vec<Action>) {
        tokio::select! {
            biased;
            _ = ticker.tick() => self.on_tick(actions),
            _ = self.words.recv_many(&mut taken.words, TAKE_MAX) => {}
            _ = self.net_events.recv_many(&mut taken.net, TAKE_MAX) => {}
            true = self.entrance.wait(&mut taken.asks) => {}
        }
        while taken.net.len() < TAKE_MAX
            && let Ok(event) = self.net_events.try_recv()
        {
            taken.net.push(event);
        }
        // After the net: what a request that is here could know of has been said here before.
        while taken.words.len() < TAKE_MAX
            && let Ok(word) = self.words.try_recv()
        {
            taken.words.push(word);
        }
        self.entrance.take_all(&mut taken.asks);
    }

    fn on_tick(&mut self, actions: &mut Vec<Action>) {
        let refused = refused(&self.desk.net.counters());
        self.core.on_event(Event::Tick { refused }, self.clock.now(), actions);
        self.entrance.tell_figures(self.core.figures());
    }

    fn on_asks(&mut self, asks: &mut Vec<Ask>, actions: &mut Vec<Action>) {
        if asks.is_empty() {
            return;
        }
        let now = self.clock.now();
        for Ask { body, timeout_ms, reply } in asks.drain(..) {
            let reply = Reply::Gateway(GatewayReply::new(reply));
            let request = Request { timeout_ms, body };
            self.core.on_event(Event::Request { request, encoded: None, reply }, now, actions);
        }
    }

    fn on_net(&mut self, event: NetEvent, actions: &mut Vec<Action>) {
        let now = self.clock.now();
        match event {
            NetEvent::Peer { from, frames } => {
                for frame in frames {
                    match PeerMessage::decode(&frame, from, self.id) {
                        Ok(message) => self.core.on_event(Event::Peer { from, message }, now, actions),
                        Err(error) => tracing::warn!(%from, %error, "a peer's message is dropped"),
                    }
                }
            }
            NetEvent::Client { from, requests } => {
                for (encoded, responder) in requests {
                    self.on_request(&from.principal, encoded, responder, actions);
                }
            }
            NetEvent::PeerUp(peer) => self.core.on_event(Event::PeerUp(peer), now, actions),
            NetEvent::PeerDown(peer) => self.core.on_event(Event::PeerDown(peer), now, actions),
            NetEvent::Bulk(stream) => drop(tokio::spawn(transfer::serve(self.desk.clone(), stream))),
        }
    }

    fn on_request(&mut self, asker: &Principal, encoded: Bytes, responder: Responder, actions: &mut Vec<Action>) {
        let reply = Reply::Client;
        match Request::decode(&encoded) {
            Ok(request) => {
                let component = self.core.component().map(Arc::as_ref);
                if let Some(why) = permission::refusal(&self.control.borrow(), component, asker, &request.body) {
                    return reply(responder).send(Response::Forbidden(why));
                }
                if let RequestBody::Renew { request } = request.body {
                    let (desk, asker) = (self.desk.clone(), asker.clone());
                    return drop(tokio::spawn(enrolment::renew_client(desk, asker, request, responder)));
                }
                let reply = reply(responder);
                let event = Event::Request { request, encoded: Some(encoded), reply };
                self.core.on_event(event, self.clock.now(), actions);
            }
            Err(error) => reply(responder).send(Response::Invalid(error.to_string())),
        }
    }

    /// Who may do what is in force before the requests of the same turn are judged.
    fn heed_access(&mut self, words: &[Word]) {
        let told = words.iter().rev().find_map(|word| match word {
            Word::Event(Event::Applied(note) | Event::SnapshotInstalled { note, .. }) => note.control.as_ref(),
            Word::Event(_) | Word::Install(_) | Word::Halt(_) | Word::Removed(_) | Word::Kill | Word::Begin(_) => None,
        });
        if let Some((control, _)) = told {
            self.control.send_replace(control.clone());
            self.set_access(control);
        }
    }

    fn on_word(&mut self, event: Event, actions: &mut Vec<Action>) {
        let staged = if let Event::SnapshotStaged { meta, .. } = &event { Some(self.staged_path(meta)) } else { None };
        let told =
            matches!(&event, Event::Applied(note) | Event::SnapshotInstalled { note, .. } if note.control.is_some());
        self.core.on_event(event, self.clock.now(), actions);
        if told {
            self.tell_engine();
        }
        if let Some(path) = staged {
            self.settle_staged(path, actions);
        }
    }

    /// Whoever is out is cut off at once.
    fn set_access(&mut self, control: &Control) {
        let access = neighbours::access(control);
        if access != self.access {
            self.access = access.clone();
            self.desk.net.set_access(access);
        }
    }

    fn tell_engine(&self) {
        self.entrance.tell_manifest(self.core.component().map(|component| Arc::new(component.manifest().clone())));
        self.entrance.tell_figures(self.core.figures());
    }

    /// The core asks for a staged snapshot in its next flush or never.
    fn settle_staged(&mut self, path: PathBuf, actions: &mut Vec<Action>) {
        let before = actions.len();
        self.core.flush(self.clock.now(), actions);
        if !actions[before..].iter().any(|action| matches!(action, Action::Install(_))) {
            tokio::spawn(snapshot::discard(path));
        }
    }

    fn install(&self, meta: SnapshotMeta) {
        let staged = Staged::File(self.staged_path(&meta));
        self.jobs.tables.send(ApplyJob::Install { meta, staged }).unwrap_or_default();
    }

    fn staged_path(&self, meta: &SnapshotMeta) -> PathBuf {
        snapshot::staged_path(&self.desk.incoming, meta.position)
    }

    /// A worker whose queue has ended has sent a halt, which is on its way here.
    fn carry_out(&mut self, action: Action) -> Option<Ending> {
        match action {
            Action::Send(envelope) => peers::send(&*self.door, envelope),
            Action::SendPeer { to, message } => peers::send_other(&*self.door, to, &message),
            Action::Persist(persist) => self.to_log(AppendJob::Persist(persist)),
            Action::ReadLog(request) => self.to_log(AppendJob::Read(request)),
            Action::Compact(upto) => self.to_log(AppendJob::Compact(upto)),
            Action::NoteLoss { reason, at_ms } => self.to_log(AppendJob::NoteLoss { reason, at_ms }),
            Action::SettleLoss => self.to_log(AppendJob::SettleLoss),
            Action::Apply(entries) => self.to_tables(entries),
            Action::ResumeApply => self.jobs.tables.send(ApplyJob::Resume).unwrap_or_default(),
            Action::Install(meta) => self.to_log(AppendJob::BeforeInstall(meta)),
            Action::Query(queries) => self.jobs.queries.send(queries).unwrap_or_default(),
            Action::SendSnapshot(request) => drop(tokio::spawn(snapshot::send(self.desk.clone(), request))),
            Action::PrepareEngine(engine) => drop(tokio::spawn(component::prepare(self.desk.clone(), engine))),
            Action::Stopped => return Some(Ending::Stopped),
            Action::Leave(at) => {
                return Some(Ending::Removed(format!("it is no member any more, as of entry {at}")));
            }
        }
        None
    }

    fn to_log(&self, job: AppendJob) {
        self.jobs.log.send(job).unwrap_or_default();
    }

    fn to_tables(&self, entries: Vec<Ordered>) {
        self.jobs.tables.send(ApplyJob::Entries(entries)).unwrap_or_default();
    }
}

/// Everything from outside that was turned away.
fn refused(counters: &Counters) -> u64 {
    counters.refused_protocol
        + counters.refused_foreign
        + counters.refused_certificate
        + counters.refused_role
        + counters.refused_busy
        + counters.handshakes_failed
        + counters.malformed
}
