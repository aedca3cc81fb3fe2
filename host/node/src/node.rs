//! One node: opened from its folder, run on threads of its own, stopped or killed by its owner.

use crate::core::{Core, Event, Start};
use crate::desk::Desk;
use crate::enrolment::{self, Signer};
use crate::error::{Halt, HaltKind, StartError};
use crate::formation::{self, DataFolder};
use crate::gateway::{Entrance, Gateway};
use crate::inspect::record;
use crate::library::{InsertError, Library};
use crate::machine::Machine;
use crate::neighbours;
use crate::peers::PeerDoor;
use crate::recovery::{Recovery, raft_config};
use crate::run::{Ending, Jobs, Loop};
use crate::settings::{LOG_KEEP_BYTES, NodeSettings};
use crate::transfer::snapshot;
use crate::workers::append::AppendWorker;
use crate::workers::apply::ApplyWorker;
use crate::workers::persist::{self, PersistJob};
use crate::workers::query::QueryWorker;
use crate::workers::scrub;
use crate::workers::{Clock, Slot, Word, Words};
use outboard_net::{ClusterId, Counters, Net, NetError};
use outboard_raft::{NodeId, Raft};
use outboard_sandbox::{Limits, Sandbox};
use outboard_store::{DiskStore, Store};
use outboard_wal::{FileDisk, Scrubber, Wal};
use outboard_wire::command::EngineRecord;
use outboard_wire::status::ChainMark;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, watch};

/// Batches of frames and requests that may wait for the loop; readers stop beyond it.
const NET_EVENTS_MAX: usize = 1_024;

/// A running node. Dropping it without [`Node::stop`] is as a kill.
pub struct Node {
    id: NodeId,
    name: String,
    address: SocketAddr,
    cluster: ClusterId,
    words: Words,
    gateway: Gateway,
    net: Weak<Net>,
    thread: Option<JoinHandle<Result<(), Halt>>>,
}

impl Node {
    /// Opens the data folder and starts the node; returns when it listens. Blocks for as long as the log's tail is read.
    pub fn start(settings: NodeSettings) -> Result<Node, StartError> {
        let folder = DataFolder::open(&settings.data_dir)?;
        let listen = settings.listen.map_or_else(|| folder.own_address(), Ok)?;
        let opened = Opened::open(&folder, &settings)?;
        let (id, cluster, name) = (folder.node, folder.cluster, folder.own.name.clone());
        let (words, from_workers) = mpsc::unbounded_channel();
        let words = Words(words);
        let (told, started) = channel();
        let (gateway, entrance) = crate::gateway::open();
        let to_loop = words.clone();
        let thread = thread(&format!("{name}-loop"), move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    told.send(Err(StartError::Net(error.to_string()))).unwrap_or_default();
                    return Ok(());
                }
            };
            let inlets = Inlets { words: to_loop, from_workers, entrance };
            let ended =
                tokio::task::LocalSet::new().block_on(&runtime, opened.run(folder, settings, listen, inlets, told));
            // Transfers may sit in a disk or in the compiler; nobody waits for them.
            runtime.shutdown_background();
            ended
        });
        match started.recv() {
            Ok(Ok((address, net))) => {
                Ok(Node { id, name, address, cluster, words, gateway, net, thread: Some(thread) })
            }
            Ok(Err(error)) => {
                drop(thread.join());
                Err(error)
            }
            Err(_) => Err(StartError::Net("the node's thread ended at once".into())),
        }
    }

    /// Its number.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The name that the operator gave it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its cluster.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// What went over its net and was turned away since it started; nothing once it has ended.
    pub fn counters(&self) -> Counters {
        self.net.upgrade().map_or_else(Counters::default, |net| net.counters())
    }

    /// The way in for a listener of another protocol.
    pub fn gateway(&self) -> Gateway {
        self.gateway.clone()
    }

    /// Runs a task beside the node's loop, on its thread and runtime; it ends with the node. What it does between two awaits holds
    /// the node up.
    pub fn spawn<F>(&self, make: impl FnOnce() -> F + Send + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        self.words.send(Word::Begin(Box::new(move || drop(tokio::task::spawn_local(make())))));
    }

    /// Whether it ended by itself; [`Node::stop`] then tells why.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Hands leadership over, finishes what is in flight, makes the tables durable. Takes a few seconds at most.
    pub fn stop(mut self) -> Result<(), Halt> {
        self.words.event(Event::Stop);
        self.join()
    }

    /// As kill -9: hands nothing over, makes nothing durable, tells nobody.
    pub fn kill(mut self) {
        self.words.send(Word::Kill);
        drop(self.join());
    }

    fn join(&mut self) -> Result<(), Halt> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(ended)) => ended,
            Some(Err(_)) => {
                Err(Halt { kind: HaltKind::Machine, reason: "a rule was broken; the log above tells which".into() })
            }
            None => Ok(()),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.words.send(Word::Kill);
        drop(self.join());
    }
}

/// Everything of a node that is on its disk, opened and checked.
struct Opened {
    wal: Wal,
    store: Arc<dyn Store>,
    library: Library,
    own_engine: EngineRecord,
    machine: Machine,
    raft: Raft,
    incoming: PathBuf,
}

impl Opened {
    fn open(folder: &DataFolder, settings: &NodeSettings) -> Result<Opened, StartError> {
        let dir = &folder.dir;
        let recovery = Recovery {
            dir,
            node: folder.node,
            cluster: folder.cluster.0,
            members: folder.founders.clone(),
            config: raft_config(folder.node.0 ^ u64::from(std::process::id()) << 32 ^ (folder.cluster.0 as u64)),
            wall_ms: Clock::start().now().wall_ms,
            stopwatch,
        };
        let disk = Box::new(FileDisk::new(dir.join("log")));
        let options = outboard_wal::Options { segment_bytes: settings.log.segment_bytes, sync: true };
        let log = recovery.log(disk, options)?;
        let store = DiskStore::open(dir.join("tables"), outboard_store::Options::default());
        let store = store.map_err(|error| StartError::store(error, dir))?;
        if store.torn_bytes() > 0 {
            tracing::warn!(
                bytes = store.torn_bytes(),
                "the tables' journal had a torn tail; what is cut comes again from the log"
            );
        }
        let store: Arc<dyn Store> = Arc::new(store);
        let sandbox = Sandbox::new(Limits::default(), Some(dir.join("compiled")))?;
        let engines = dir.join("engines");
        let library =
            Library::open(engines.clone(), sandbox).map_err(|source| StartError::Folder { path: engines, source })?;
        let own_engine = library.insert(&settings.engine).map_err(|error| match error {
            InsertError::Refused(refusal) => StartError::Engine(refusal),
            InsertError::Io { path, source } => StartError::Folder { path, source },
        })?;
        let incoming = dir.join("incoming");
        snapshot::tidy(&incoming).map_err(|source| StartError::Folder { path: incoming.clone(), source })?;
        let (wal, machine, raft) = recovery.parts(log, store.clone(), library.clone())?;
        let own_engine = record(&own_engine);
        Ok(Opened { wal, store, library, own_engine, machine, raft, incoming })
    }

    /// Binds the port, starts the workers, runs the loop, and ends everything in order.
    async fn run(
        self,
        folder: DataFolder,
        settings: NodeSettings,
        listen: SocketAddr,
        inlets: Inlets,
        told: Sender<Result<(SocketAddr, Weak<Net>), StartError>>,
    ) -> Result<(), Halt> {
        let Inlets { words, from_workers, entrance } = inlets;
        let clock = Clock::start();
        let (net_sender, net_events) = mpsc::channel(NET_EVENTS_MAX);
        let (joins_sender, joins) = mpsc::channel(enrolment::JOINS_MAX);
        let net = match bind(&folder, listen, net_sender, joins_sender).await {
            Ok(net) => Arc::new(net),
            Err(error) => {
                told.send(Err(error)).unwrap_or_default();
                return Ok(());
            }
        };
        let door: Arc<dyn PeerDoor> = Arc::new(net.sender());
        let slot = Slot::new(self.machine.publish());
        let (control, control_seen) = watch::channel(self.machine.control());
        let access = neighbours::access(&control_seen.borrow());
        net.set_access(access.clone());
        // Whoever was let in by others, or was formed beside others, is not the only one that has it.
        let alone = folder.founders.len() == 1 && folder.founders.contains_key(&folder.node);
        let signer = Signer::new(folder.authority.clone(), !alone);
        let desk = Desk {
            id: folder.node,
            net: net.clone(),
            library: self.library.clone(),
            words: words.clone(),
            slot: slot.clone(),
            control: control_seen,
            signer: signer.clone(),
            incoming: self.incoming,
            receiving: Arc::default(),
        };
        let core = Core::new(Start {
            raft: self.raft,
            own: folder.own.clone(),
            cluster: folder.cluster.to_string(),
            durability: settings.durability.name(),
            own_engine: self.own_engine,
            environment: self.library.sandbox().environment(),
            control: self.machine.control(),
            component: self.machine.publish().component,
            time_ms: self.machine.head().time_ms,
            stalled_for: self.machine.missing(),
            life: self.wal.life(),
            mark: ChainMark { index: self.machine.head().position.index.0, hash: self.machine.head().chain },
            door: door.clone(),
            log_keep_bytes: LOG_KEEP_BYTES,
            now: clock.now(),
        });
        let name = folder.own.name.clone();
        let append = AppendWorker::new(self.wal, settings.durability, door.clone(), words.clone());
        let (log, log_jobs) = channel();
        let apply = ApplyWorker::new(self.machine, slot.clone(), words.clone(), log.clone());
        let query = QueryWorker::new(self.library.sandbox().clone(), slot, words.clone());
        let scrubber = Scrubber::new(Box::new(FileDisk::new(folder.dir.join("log"))), folder.cluster.0);
        let care = settings.log.clone();
        let scrub_log = log.clone();
        let scrub = move |end: &Receiver<()>| scrub::run(scrubber, &care, &scrub_log, end);
        let workers = Workers::start(&name, (append, log_jobs), apply, (query, clock), (self.store, words), scrub);
        let jobs = Jobs { log, tables: workers.tables.clone(), queries: workers.queries.clone() };
        tracing::info!(node = %folder.node, address = %net.local_addr(), cluster = %folder.cluster, "listening");
        told.send(Ok((net.local_addr(), Arc::downgrade(&net)))).unwrap_or_default();
        tokio::spawn(neighbours::keep_dialling(desk.clone(), folder.known));
        tokio::spawn(neighbours::heed_farewells(desk.clone()));
        tokio::spawn(enrolment::look_after_identity(desk.clone(), folder.dir.clone()));
        tokio::spawn(enrolment::serve_joins(desk.clone(), folder.founders, joins));
        let id = folder.node;
        let words = from_workers;
        let ending =
            Loop { core, id, clock, desk, door, jobs, net_events, words, control, entrance, access }.run().await;
        if let Ending::Removed(reason) = &ending {
            formation::mark_removed(&folder.dir, reason)
                .unwrap_or_else(|error| tracing::warn!(%error, "the removal can't be noted in the folder"));
            enrolment::leave(&signer, &folder.dir);
        }
        if let Ending::Stopped | Ending::Removed(_) = ending {
            net.close().await;
        }
        drop(net);
        workers.end(ending)
    }
}

/// The ways into the loop beside the net.
struct Inlets {
    words: Words,
    from_workers: mpsc::UnboundedReceiver<Word>,
    entrance: Entrance,
}

/// The threads of one node.
struct Workers {
    tables: Sender<crate::workers::apply::ApplyJob>,
    queries: Sender<Vec<crate::core::Query>>,
    persist: Sender<PersistJob>,
    scrub: Sender<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    fn start(
        name: &str,
        (append, log_jobs): (AppendWorker, Receiver<crate::workers::append::AppendJob>),
        apply: ApplyWorker,
        (query, clock): (QueryWorker, Clock),
        (store, words): (Arc<dyn Store>, Words),
        scrubbing: impl FnOnce(&Receiver<()>) + Send + 'static,
    ) -> Workers {
        let (tables, table_jobs) = channel();
        let (queries, query_jobs) = channel();
        let (persist, persist_jobs) = channel();
        let (scrub, scrub_end) = channel();
        let threads = vec![
            thread(&format!("{name}-append"), move || append.run(&log_jobs)),
            thread(&format!("{name}-apply"), move || apply.run(&table_jobs)),
            thread(&format!("{name}-query"), move || query.run(&query_jobs, clock)),
            thread(&format!("{name}-persist"), move || persist::run(&store, &words, &persist_jobs)),
            thread(&format!("{name}-scrub"), move || scrubbing(&scrub_end)),
        ];
        Workers { tables, queries, persist, scrub, threads }
    }

    /// The loop is gone, and with it the other ends of the queues.
    fn end(self, ending: Ending) -> Result<(), Halt> {
        let Workers { tables, queries, persist, scrub, threads } = self;
        drop((tables, queries, scrub));
        if let Ending::Stopped | Ending::Removed(_) = ending {
            persist.send(PersistJob::Last).unwrap_or_default();
        }
        drop(persist);
        let mut broken = false;
        for thread in threads {
            broken |= thread.join().is_err();
        }
        match ending {
            Ending::Halted(halt) => Err(halt),
            Ending::Removed(reason) => Err(Halt { kind: HaltKind::Removed, reason }),
            Ending::Stopped | Ending::Killed if broken => {
                Err(Halt { kind: HaltKind::Machine, reason: "a worker broke a rule; the log above tells which".into() })
            }
            Ending::Stopped | Ending::Killed => Ok(()),
        }
    }
}

async fn bind(
    folder: &DataFolder,
    listen: SocketAddr,
    events: mpsc::Sender<outboard_net::NetEvent>,
    joins: mpsc::Sender<outboard_net::JoinRequest>,
) -> Result<Net, StartError> {
    // Who is dialled is looked up once it listens.
    let peers = BTreeMap::new();
    let options = outboard_net::Options {
        joins: Some(joins),
        incarnation: folder.incarnation,
        ..outboard_net::Options::new(listen, folder.credentials.clone(), peers)
    };
    Net::bind(options, events).await.map_err(|error| {
        if let NetError::Bind { source, .. } = &error
            && source.kind() == std::io::ErrorKind::AddrInUse
        {
            return StartError::AddressInUse(listen);
        }
        StartError::net(error)
    })
}

/// Measures switches of engines.
fn stopwatch() -> u64 {
    use std::sync::LazyLock;
    use std::time::Instant;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn thread<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(work).expect("the system gives a node its few threads")
}
