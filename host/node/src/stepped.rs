//! A node without threads, sockets and clocks: the same core, workers and recovery as in a running one, each a step that the
//! owner takes when it likes. For the simulator in `tests/sim`, which provides network, disks and time; it is not for anyone
//! else, and may change with every commit.
//!
//! ```text
//! tick, on_…  ─▶ core        flush ─▶ Wants, frames          what the core wants to have done waits in the workers' queues:
//! log_begin (writes) … log_end (syncs, sends, tells)         tables_step         queries_step         persist
//! ```
//!
//! What a step tells the core (a batch is durable, entries are applied) waits for the next [`SteppedNode::flush`], as it would
//! wait in the loop's queue. A step that ends in a [`Halt`] ends the node: drop it.
//! Left out, because the product has it in tasks: how snapshots and components travel. The owner moves them.

use crate::control::{Founders, Member};
use crate::core::{Action, Core, Event, Start, Verdict};
use crate::error::{Halt, StartError};
use crate::library::Library;
use crate::peers::{self, PeerDoor};
use crate::recovery::{Recovery, raft_config};
use crate::reply::Reply;
use crate::settings::Durability;
use crate::transfer::snapshot::{self, Staged};
use crate::workers::append::{AppendJob, AppendWorker};
use crate::workers::apply::{ApplyJob, ApplyWorker};
use crate::workers::query::QueryWorker;
use crate::workers::{Slot, Word, Words, persist};
use bytes::Bytes;
use outboard_raft::{Config, Entry, Index, NodeId, Position, Raft, SnapshotMeta, SnapshotRequest, Term};
use outboard_sandbox::{Component, Sandbox};
use outboard_store::{Store, StoreError};
use outboard_wal::{Disk, Wal};
use outboard_wire::client::{Request, Response};
use outboard_wire::command::{Digest, EngineRecord};
use outboard_wire::peer::PeerMessage;
use outboard_wire::status::{ChainMark, NodeStatus};
use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot};

pub use crate::core::Now;
pub use crate::inspect::record;
pub use crate::transfer::snapshot::{arrive, read_staged};
pub use outboard_net::Lane;

/// What a node is made of.
pub struct Settings {
    /// Its number.
    pub node: NodeId,
    /// The voters of a new cluster.
    pub voters: Vec<NodeId>,
    /// The cluster's number.
    pub cluster: u128,
    /// It was opened before, and its log is to be there.
    pub begun: bool,
    /// The number of the last loss that its log has noted.
    pub last_loss: u64,
    /// Sets its elections apart from the others' and from those of its earlier lives.
    pub seed: u64,
    /// Changes limits of consensus; the times are the product's.
    pub limits: fn(Config) -> Config,
    /// How the log is kept.
    pub wal: outboard_wal::Options,
    /// Log kept behind the durable tables, in bytes.
    pub log_keep_bytes: u64,
    /// What an acknowledged write has survived.
    pub durability: Durability,
    /// Runs the engines; all components come from it.
    pub sandbox: Sandbox,
    /// For a cluster that has none.
    pub engine: Arc<Component>,
    /// The components on its disk.
    pub components: Vec<Arc<Component>>,
}

/// A frame for a peer.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Who gets it.
    pub to: NodeId,
    /// On which stream.
    pub lane: Lane,
    /// An encoded [`PeerMessage`].
    pub bytes: Bytes,
}

/// What came of a flush, beside frames and the workers' queues.
#[derive(Default)]
pub struct Wants {
    /// Given to the log, not durable yet.
    pub appended: Vec<Entry>,
    /// Committed and given to the tables, not applied yet.
    pub committed: Vec<Entry>,
    /// The hash chain after entries that were applied since the last flush.
    pub marks: Vec<ChainMark>,
    /// Stream the tables to a peer; say by [`SteppedNode::on_snapshot_sent`] how it ended.
    pub snapshots: Vec<SnapshotRequest>,
    /// Fetch the component; say by [`SteppedNode::on_component`] whether it came.
    pub engines: Vec<EngineRecord>,
    /// The node that was asked to stop has nothing left to do.
    pub stopped: bool,
    /// It is no member any more, as of this entry, and has nothing left to do.
    pub left: Option<Index>,
}

/// Somebody waits for an answer.
pub struct Waiting(oneshot::Receiver<Response>);

/// The node threw a request away without an answer.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Unanswered;

impl Waiting {
    /// The answer, once it is there.
    pub fn poll(&mut self) -> Result<Option<Response>, Unanswered> {
        match self.0.try_recv() {
            Ok(response) => Ok(Some(response)),
            Err(oneshot::error::TryRecvError::Empty) => Ok(None),
            Err(oneshot::error::TryRecvError::Closed) => Err(Unanswered),
        }
    }
}

/// The engine that runs, as of the tables.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Running {
    /// Which.
    pub digest: Digest,
    /// The entry that switched to it.
    pub since: u64,
}

/// A node without threads.
pub struct SteppedNode {
    id: NodeId,
    core: Core,
    now: Now,
    actions: Vec<Action>,
    append: AppendWorker,
    apply: ApplyWorker,
    query: QueryWorker,
    store: Arc<dyn Store>,
    library: Library,
    slot: Slot,
    words: Words,
    said: mpsc::UnboundedReceiver<Word>,
    outbox: Arc<Outbox>,
    log_queue: VecDeque<AppendJob>,
    /// The apply worker's own way to the log.
    log_jobs: Receiver<AppendJob>,
    /// Batches are written and not synced.
    log_busy: bool,
    tables_queue: VecDeque<ApplyJob>,
    tables_busy: bool,
    queries: Vec<crate::core::Query>,
    /// Staged snapshots that the core has asked for.
    staged: Vec<(Position, Vec<Bytes>)>,
}

impl SteppedNode {
    /// Recovers a node from its disks, as a start of the product does.
    pub fn open(
        settings: Settings,
        log: Box<dyn Disk>,
        store: Arc<dyn Store>,
        now: Now,
    ) -> Result<SteppedNode, StartError> {
        let dir = format!("node {}", settings.node);
        let member = |node: &NodeId| {
            let (name, address) = (node.to_string(), format!("{node}:1"));
            (*node, Member { name, address })
        };
        let founders: Founders = settings.voters.iter().map(member).collect();
        let (_, own) = member(&settings.node);
        let recovery = Recovery {
            dir: Path::new(&dir),
            node: settings.node,
            cluster: settings.cluster,
            members: founders,
            begun: settings.begun,
            config: (settings.limits)(raft_config(settings.seed)),
            loss_name: now.wall_ms.max(settings.last_loss + 1),
            stopwatch: || 0,
        };
        let library = Library::in_memory(settings.sandbox.clone());
        settings.components.iter().chain([&settings.engine]).for_each(|component| library.place(component));
        let log = recovery.log(log, settings.wal)?;
        let (wal, machine, raft) = recovery.parts(log, store.clone(), library.clone())?;
        let outbox = Arc::new(Outbox::default());
        let (words, said) = mpsc::unbounded_channel();
        let words = Words(words);
        let (log, log_jobs) = channel();
        let slot = Slot::new(machine.publish());
        let core = Core::new(Start {
            raft,
            own,
            cluster: format!("{:032x}", settings.cluster),
            durability: settings.durability.name(),
            own_engine: crate::inspect::record(&settings.engine),
            environment: settings.sandbox.environment(),
            control: machine.control(),
            component: machine.publish().component,
            time_ms: machine.head().time_ms,
            stalled_for: machine.missing(),
            life: wal.life(),
            mark: ChainMark { index: machine.head().position.index.0, hash: machine.head().chain },
            door: outbox.clone(),
            log_keep_bytes: settings.log_keep_bytes,
            now,
        });
        Ok(SteppedNode {
            id: settings.node,
            core,
            now,
            actions: Vec::new(),
            append: AppendWorker::new(wal, settings.durability, outbox.clone(), words.clone()),
            apply: ApplyWorker::new(machine, slot.clone(), words.clone(), log),
            query: QueryWorker::new(settings.sandbox, slot.clone(), words.clone()),
            store,
            library,
            slot,
            words,
            said,
            outbox,
            log_queue: VecDeque::new(),
            log_jobs,
            log_busy: false,
            tables_queue: VecDeque::new(),
            tables_busy: false,
            queries: Vec::new(),
            staged: Vec::new(),
        })
    }

    /// The clock ticked.
    pub fn tick(&mut self, now: Now) {
        self.on_event(Event::Tick { refused: 0 }, now);
    }

    /// A peer's frame. False if it makes no sense.
    pub fn on_frame(&mut self, from: NodeId, frame: &[u8], now: Now) -> bool {
        match PeerMessage::decode(frame, from, self.id) {
            Ok(message) => self.on_event(Event::Peer { from, message }, now),
            Err(_) => return false,
        }
        true
    }

    /// There is a connection to this peer.
    pub fn on_peer_up(&mut self, peer: NodeId, now: Now) {
        self.on_event(Event::PeerUp(peer), now);
    }

    /// There is none any more.
    pub fn on_peer_down(&mut self, peer: NodeId, now: Now) {
        self.on_event(Event::PeerDown(peer), now);
    }

    /// A client asks.
    pub fn on_request(&mut self, request: Request, now: Now) -> Waiting {
        let (reply, waiting) = oneshot::channel();
        self.on_event(Event::Request { request, encoded: None, reply: Reply::Local(reply) }, now);
        Waiting(waiting)
    }

    /// A peer's snapshot has come: its frames are checked and staged, and the core is asked about it in the flush that follows.
    /// The error says what is wrong with the frames.
    pub fn on_snapshot(
        &mut self,
        from: NodeId,
        term: Term,
        meta: SnapshotMeta,
        frames: Vec<Bytes>,
        now: Now,
    ) -> Result<(), String> {
        snapshot::check(&frames)?;
        let at = meta.position;
        self.on_event(Event::SnapshotStaged { from, term, meta }, now);
        // As in the loop: the core asks for a staged snapshot in its next flush or never.
        self.core.flush(now, &mut self.actions);
        if self.actions.iter().any(|action| matches!(action, Action::Install(meta) if meta.position == at)) {
            self.staged.push((at, frames));
        }
        Ok(())
    }

    /// How a snapshot ended that this node was to send.
    pub fn on_snapshot_sent(&mut self, to: NodeId, at: Position, ok: bool, now: Now) {
        self.on_event(Event::SnapshotSent { to, at, ok }, now);
    }

    /// A component that was wanted has come, or no node could give it.
    pub fn on_component(&mut self, digest: Digest, component: Option<&Arc<Component>>, now: Now) {
        let verdict = match component {
            Some(component) => {
                self.library.place(component);
                Verdict::Ready
            }
            None => Verdict::NotHad("nobody had it".into()),
        };
        self.on_event(Event::EnginePrepared { digest, verdict }, now);
    }

    /// Puts a component on this node's disk, as a push does before it is staged.
    pub fn place(&mut self, component: &Arc<Component>) {
        self.library.place(component);
    }

    /// Whether a component is on this node's disk.
    pub fn has_component(&self, digest: &Digest) -> bool {
        self.library.load(digest).is_some()
    }

    /// The operator wants the node to stop.
    pub fn stop(&mut self, now: Now) {
        self.on_event(Event::Stop, now);
    }

    fn on_event(&mut self, event: Event, now: Now) {
        self.now = now;
        self.core.on_event(event, now, &mut self.actions);
    }

    /// The end of a node that has stopped: the tables are made durable, the log is closed.
    pub fn close(mut self) -> Result<(), Halt> {
        self.log_begin()?;
        self.log_end()?;
        self.store.persist()?;
        self.append.close();
        Ok(())
    }

    /// Takes what the workers have said, thinks, and hands out what there is to do.
    pub fn flush(&mut self, now: Now) -> Result<Wants, Halt> {
        self.now = now;
        let mut wants = Wants::default();
        while let Ok(word) = self.said.try_recv() {
            match word {
                Word::Event(event) => {
                    if let Event::Applied(note) | Event::SnapshotInstalled { note, .. } = &event {
                        wants.marks.extend_from_slice(&note.marks);
                    }
                    self.on_event(event, now);
                }
                Word::Install(meta) => self.install(meta),
                Word::Halt(halt) => return Err(halt),
                Word::Removed(_) | Word::Kill | Word::Begin(_) => unreachable!("nobody here says it"),
            }
        }
        self.core.flush(now, &mut self.actions);
        for action in std::mem::take(&mut self.actions) {
            self.carry_out(action, &mut wants);
        }
        Ok(wants)
    }

    fn carry_out(&mut self, action: Action, wants: &mut Wants) {
        match action {
            Action::Send(envelope) => peers::send(&*self.outbox, envelope),
            Action::SendPeer { to, message } => peers::send_other(&*self.outbox, to, &message),
            Action::Persist(persist) => {
                wants.appended.extend_from_slice(&persist.entries);
                self.log_queue.push_back(AppendJob::Persist(persist));
            }
            Action::ReadLog(request) => self.log_queue.push_back(AppendJob::Read(request)),
            Action::Compact(upto) => self.log_queue.push_back(AppendJob::Compact(upto)),
            Action::NoteLoss { reason, at_ms } => self.log_queue.push_back(AppendJob::NoteLoss { reason, at_ms }),
            Action::SettleLoss => self.log_queue.push_back(AppendJob::SettleLoss),
            Action::Apply(entries) => {
                wants.committed.extend(entries.iter().map(|ordered| ordered.entry.clone()));
                self.tables_queue.push_back(ApplyJob::Entries(entries));
            }
            Action::ResumeApply => self.tables_queue.push_back(ApplyJob::Resume),
            Action::Install(meta) => self.log_queue.push_back(AppendJob::BeforeInstall(meta)),
            Action::Query(queries) => self.queries.extend(queries),
            Action::SendSnapshot(request) => wants.snapshots.push(request),
            Action::PrepareEngine(engine) => wants.engines.push(engine),
            Action::Stopped => wants.stopped = true,
            Action::Leave(at) => wants.left = Some(at),
        }
    }

    fn install(&mut self, meta: SnapshotMeta) {
        let staged = self.staged.iter().rposition(|(at, _)| *at == meta.position);
        let (_, frames) = self.staged.swap_remove(staged.expect("only what is staged is asked for"));
        self.tables_queue.push_back(ApplyJob::Install { meta, staged: Staged::Frames(frames) });
    }

    /// Frames that were sent since the last call, in their order.
    pub fn take_frames(&mut self) -> Vec<Frame> {
        std::mem::take(&mut *self.outbox.lock())
    }

    /// The log's writer has something to do.
    pub fn has_log_work(&mut self) -> bool {
        self.log_queue.extend(self.log_jobs.try_iter());
        !self.log_busy && !self.log_queue.is_empty()
    }

    /// The log's writer writes all that waits.
    pub fn log_begin(&mut self) -> Result<(), Halt> {
        self.log_busy = true;
        let jobs = std::mem::take(&mut self.log_queue);
        Ok(jobs.into_iter().try_for_each(|job| self.append.on_job(job))?)
    }

    /// It syncs, lets the waiting messages go, and tells the core.
    pub fn log_end(&mut self) -> Result<(), Halt> {
        self.log_busy = false;
        self.append.flush()?;
        self.append.tell_size();
        Ok(())
    }

    /// The tables' writer has something to do.
    pub fn has_table_work(&self) -> bool {
        self.tables_busy || !self.tables_queue.is_empty()
    }

    /// The tables' writer takes all that waits and applies one batch.
    pub fn tables_step(&mut self) -> Result<(), Halt> {
        for job in std::mem::take(&mut self.tables_queue) {
            self.apply.on_job(job)?;
        }
        self.tables_busy = self.apply.step()?;
        Ok(())
    }

    /// Reads wait.
    pub fn has_queries(&self) -> bool {
        !self.queries.is_empty()
    }

    /// All reads that wait run on the newest state.
    pub fn queries_step(&mut self, now: Now) -> Result<(), Halt> {
        self.query.answer_all(std::mem::take(&mut self.queries), || now.mono_us)
    }

    /// Makes the tables durable.
    pub fn persist(&mut self) -> Result<(), StoreError> {
        persist::persist(&self.store, &self.words).map(drop)
    }

    /// The tables as they are now, as a snapshot for a peer.
    pub fn snapshot(&self) -> Result<(SnapshotMeta, Vec<Bytes>), StoreError> {
        let published = self.slot.get();
        let mut frames = Vec::new();
        let take = |frame| {
            frames.push(frame);
            true
        };
        snapshot::read_out(published.view.records(), take)?;
        Ok((published.head.snapshot_meta(), frames))
    }

    /// Its part in consensus, to be looked at.
    pub fn raft(&self) -> &Raft {
        self.core.raft()
    }

    /// All that its log holds, read back.
    pub fn log_entries(&mut self) -> Result<Vec<Entry>, Halt> {
        let (base, last) = (self.append.wal().base().index, self.append.wal().last().index);
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let from = entries.last().map_or(base.next(), |entry| entry.index.next());
            if from > last {
                return Ok(entries);
            }
            entries.extend(self.append.read_back(from, last)?);
        }
    }

    /// Its log, to be looked at.
    pub fn wal(&self) -> &Wal {
        self.append.wal()
    }

    /// The engine that runs in the tables, and where they stand.
    pub fn running(&self) -> (Position, Option<Running>) {
        let head = self.slot.get().head;
        let running = |active: crate::control::Active| Running { digest: active.engine.digest, since: active.since };
        (head.position, head.active.map(running))
    }

    /// Whom its address book lists: it dials these, and those that it knew before it had one.
    pub fn book(&self) -> impl Iterator<Item = NodeId> {
        self.core.control().directory.nodes()
    }

    /// Its address book says that this node is out: it neither dials it nor lets it in.
    pub fn has_removed(&self, node: NodeId) -> bool {
        self.core.control().directory.is_removed(node)
    }

    /// Those that vote, as of its tables: it believes a majority of the others that it is out.
    pub fn voters(&self) -> &BTreeSet<NodeId> {
        &self.core.control().voters
    }

    /// What it says of itself.
    pub fn status(&self) -> NodeStatus {
        self.core.node_status()
    }
}

/// Frames on their way out, of the core and of the workers.
#[derive(Default)]
struct Outbox(Mutex<Vec<Frame>>);

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Vec<Frame>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PeerDoor for Outbox {
    fn send(&self, to: NodeId, lane: Lane, bytes: Bytes) {
        self.lock().push(Frame { to, lane, bytes });
    }
}
