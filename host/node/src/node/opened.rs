//! A node's parts, opened from its folder and put together: disks, core, net, workers, and the tasks beside the loop.

use super::Inlets;
use crate::control::Control;
use crate::core::{Core, Start};
use crate::desk::Desk;
use crate::enrolment;
use crate::error::{Halt, StartError};
use crate::formation::{self, DataFolder};
use crate::inspect::record;
use crate::library::{InsertError, Library};
use crate::machine::Machine;
use crate::neighbours;
use crate::peers::PeerDoor;
use crate::recovery::{Recovery, raft_config};
use crate::run::{Ending, Jobs, Loop};
use crate::settings::{LOG_KEEP_BYTES, NodeSettings};
use crate::signer::Signer;
use crate::transfer::snapshot;
use crate::workers::append::AppendWorker;
use crate::workers::apply::ApplyWorker;
use crate::workers::query::QueryWorker;
use crate::workers::threads::{Threads, Workers};
use crate::workers::{Clock, Slot, Words};
use outboard_net::{JoinRequest, Net, NetError, NetEvent};
use outboard_raft::Raft;
use outboard_sandbox::{Limits, Sandbox};
use outboard_store::{DiskStore, Store};
use outboard_wal::{FileDisk, Scrubber, Wal};
use outboard_wire::command::EngineRecord;
use outboard_wire::status::ChainMark;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Weak};
use tokio::sync::{mpsc, watch};

/// Batches of frames and requests that may wait for the loop; readers stop beyond it.
const NET_EVENTS_MAX: usize = 1_024;

/// Everything of a node that is on its disk, opened and checked.
pub(super) struct Opened {
    wal: Wal,
    store: Arc<dyn Store>,
    library: Library,
    own_engine: EngineRecord,
    machine: Machine,
    raft: Raft,
    incoming: PathBuf,
}

impl Opened {
    pub(super) fn open(folder: &DataFolder, settings: &NodeSettings) -> Result<Opened, StartError> {
        let dir = &folder.dir;
        let seed = folder.node.0 ^ u64::from(std::process::id()) << 32 ^ (folder.cluster.0 as u64);
        let loss_name = Clock::start().now().wall_ms.max(folder.last_loss + 1);
        let recovery = Recovery::of(folder, raft_config(seed), loss_name, stopwatch);
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
        folder.mark_begun(wal.loss().map(|loss| loss.incarnation))?;
        let own_engine = record(&own_engine);
        Ok(Opened { wal, store, library, own_engine, machine, raft, incoming })
    }

    /// Binds the port, starts the workers, runs the loop, and ends everything in order.
    pub(super) async fn run(
        self,
        folder: DataFolder,
        settings: NodeSettings,
        listen: SocketAddr,
        inlets: Inlets,
        told: Sender<Result<(SocketAddr, Weak<Net>), StartError>>,
    ) -> Result<(), Halt> {
        let (net, arrivals) = match bind(&folder, listen).await {
            Ok(bound) => bound,
            Err(error) => {
                told.send(Err(error)).unwrap_or_default();
                return Ok(());
            }
        };
        let (control, control_seen) = watch::channel(self.machine.control());
        let desk = self.desk(&folder, net.clone(), inlets.words.clone(), control_seen);
        let access = neighbours::access(&control.borrow());
        net.set_access(access.clone());
        let (clock, door): (Clock, Arc<dyn PeerDoor>) = (Clock::start(), Arc::new(net.sender()));
        let (core, threads, jobs) = self.start(&folder, settings, clock, &desk, door.clone());
        tracing::info!(node = %folder.node, address = %net.local_addr(), cluster = %folder.cluster, "listening");
        told.send(Ok((net.local_addr(), Arc::downgrade(&net)))).unwrap_or_default();
        begin_tasks(&desk, &folder, arrivals.joins);
        let (id, signer) = (folder.node, desk.signer.clone());
        let Inlets { from_workers: words, entrance, .. } = inlets;
        let net_events = arrivals.events;
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
        threads.end(ending)
    }

    fn desk(&self, folder: &DataFolder, net: Arc<Net>, words: Words, control: watch::Receiver<Arc<Control>>) -> Desk {
        // Whoever was let in by others, or was formed beside others, is not the only one that has it.
        let alone = folder.founders.len() == 1 && folder.founders.contains_key(&folder.node);
        Desk {
            id: folder.node,
            net,
            library: self.library.clone(),
            words,
            slot: Slot::new(self.machine.publish()),
            control,
            signer: Signer::new(folder.authority.clone(), !alone),
            incoming: self.incoming.clone(),
            receiving: Arc::default(),
        }
    }

    /// The core, and the workers on their threads.
    fn start(
        self,
        folder: &DataFolder,
        settings: NodeSettings,
        clock: Clock,
        desk: &Desk,
        door: Arc<dyn PeerDoor>,
    ) -> (Core, Threads, Jobs) {
        let (slot, words) = (desk.slot.clone(), desk.words.clone());
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
        let log = channel();
        let workers = Workers {
            append: AppendWorker::new(self.wal, settings.durability, door, words.clone()),
            apply: ApplyWorker::new(self.machine, slot.clone(), words.clone(), log.0.clone()),
            query: QueryWorker::new(self.library.sandbox().clone(), slot, words.clone()),
            clock,
            store: self.store,
            words,
            scrubber: Scrubber::new(Box::new(FileDisk::new(folder.dir.join("log"))), folder.cluster.0),
            care: settings.log,
        };
        let (threads, jobs) = Threads::start(&folder.own.name, workers, log);
        (core, threads, jobs)
    }
}

/// What goes on beside the loop for as long as the node runs.
fn begin_tasks(desk: &Desk, folder: &DataFolder, joins: mpsc::Receiver<JoinRequest>) {
    tokio::spawn(neighbours::keep_dialling(desk.clone(), folder.known.clone()));
    tokio::spawn(neighbours::heed_farewells(desk.clone()));
    tokio::spawn(enrolment::look_after_identity(desk.clone(), folder.dir.clone()));
    tokio::spawn(enrolment::serve_joins(desk.clone(), folder.founders.clone(), joins));
}

/// What comes in over the net.
struct Arrivals {
    events: mpsc::Receiver<NetEvent>,
    joins: mpsc::Receiver<JoinRequest>,
}

async fn bind(folder: &DataFolder, listen: SocketAddr) -> Result<(Arc<Net>, Arrivals), StartError> {
    let (events, net_events) = mpsc::channel(NET_EVENTS_MAX);
    let (joins, join_requests) = mpsc::channel(enrolment::JOINS_MAX);
    // Who is dialled is looked up once it listens.
    let peers = BTreeMap::new();
    let options = outboard_net::Options {
        joins: Some(joins),
        incarnation: folder.incarnation,
        ..outboard_net::Options::new(listen, folder.credentials.clone(), peers)
    };
    let net = Net::bind(options, events).await.map_err(|error| {
        if let NetError::Bind { source, .. } = &error
            && source.kind() == std::io::ErrorKind::AddrInUse
        {
            return StartError::AddressInUse(listen);
        }
        StartError::net(error)
    })?;
    Ok((Arc::new(net), Arrivals { events: net_events, joins: join_requests }))
}

/// Measures switches of engines.
fn stopwatch() -> u64 {
    use std::sync::LazyLock;
    use std::time::Instant;
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_micros()).unwrap_or(u64::MAX)
}
