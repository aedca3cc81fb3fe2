//! One node: opened from its folder, run on threads of its own, stopped or killed by its owner.

mod opened;

use crate::core::Event;
use crate::error::{Halt, HaltKind, StartError};
use crate::formation::DataFolder;
use crate::gateway::{Entrance, Gateway};
use crate::settings::NodeSettings;
use crate::workers::threads::thread;
use crate::workers::{Word, Words};
use opened::Opened;
use outboard_net::{ClusterId, Counters, Net};
use outboard_raft::NodeId;
use std::net::SocketAddr;
use std::sync::Weak;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use tokio::sync::mpsc;

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

/// The ways into the loop beside the net.
struct Inlets {
    words: Words,
    from_workers: mpsc::UnboundedReceiver<Word>,
    entrance: Entrance,
}
