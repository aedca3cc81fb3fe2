//! The demo's nodes: started, killed, started again.
//!
//! A node's own calls block, so they run beside the runtime. Dropping this kills the nodes before their folder goes away.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::place::{Folder, Place, redis_listeners};
use crate::code::Code;
use crate::commands::engine::component::Component;
use crate::commands::leader::no_such_node;
use crate::failure::Failure;
use crate::node_failure::{halted, not_started};
use crate::redis::Listener;
use crate::{json, units};
use outboard_client::{Client, Context};
use outboard_node::{Durability, Node, NodeSettings};
use outboard_wire::status::ClusterStatus;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// A node that was down for a moment catches up in far less.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(30);
/// A port that is taken for longer stays taken.
const FREE_TIMEOUT: Duration = Duration::from_secs(1);
const FREE_EVERY: Duration = Duration::from_millis(20);

/// All nodes of a demo. The order of the fields matters: nodes end before their folder.
pub(crate) struct Nodes {
    pub(super) slots: Vec<Slot>,
    settings: Settings,
    pub(crate) context: Context,
    folder: Folder,
}

/// A node that runs, or did.
pub(super) struct Slot {
    dir: PathBuf,
    pub(super) name: String,
    pub(super) address: SocketAddr,
    /// Where it serves Redis clients.
    pub(super) redis: SocketAddr,
    pub(super) node: Option<Node>,
}

#[derive(Clone)]
struct Settings {
    engine: Arc<[u8]>,
    durability: Durability,
}

impl Nodes {
    /// Starts all nodes at the same time.
    pub(super) async fn start_all(place: Place, engine: &Component, durability: Durability) -> Result<Nodes, Failure> {
        let settings = Settings { engine: Arc::from(engine.bytes.as_ref()), durability };
        let listeners = redis_listeners(place.node_dirs.len())?;
        let starting: Vec<_> = place.node_dirs.iter().map(|dir| spawn_start(dir.clone(), settings.clone())).collect();
        let mut slots = Vec::new();
        let mut failure = None;
        // All are waited for: a folder must not go away below a node that is starting.
        for ((dir, started), listener) in place.node_dirs.into_iter().zip(starting).zip(listeners) {
            match started.await.expect("starting a node doesn't panic") {
                Ok(node) => {
                    let (name, address, redis) = (node.name().to_owned(), node.address(), listener.address());
                    listener.serve(&node, durability);
                    slots.push(Slot { dir, name, address, redis, node: Some(node) });
                }
                Err(error) => failure = Some(error),
            }
        }
        let nodes = Nodes { slots, settings, context: place.context, folder: place.folder };
        failure.map_or(Ok(nodes), Err)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Gently if the data is kept, else at once.
    pub(super) async fn stop_all(mut self, gently: bool) -> Result<(), Failure> {
        let running = self.slots.iter_mut().filter_map(|slot| slot.node.take());
        let stopping: Vec<_> = running
            .map(|node| {
                spawn_blocking(move || {
                    if gently {
                        return node.stop();
                    }
                    node.kill();
                    Ok(())
                })
            })
            .collect();
        let mut result = Ok(());
        for stopped in stopping {
            result = result.and(stopped.await.expect("stopping a node doesn't panic").map_err(halted));
        }
        result
    }

    /// The place of a node in the list: by its name, or the leader's.
    pub(super) fn find(&self, text: &str, status: Option<&ClusterStatus>) -> Result<usize, Failure> {
        let name = match text {
            "leader" => {
                let leader = status.and_then(ClusterStatus::leader).map(|leader| leader.name.clone());
                leader.ok_or_else(|| {
                    Failure::new(Code::Unavailable, "there is no leader at the moment").help(":status")
                })?
            }
            text => text.to_owned(),
        };
        let found = self.slots.iter().position(|slot| slot.name == name);
        found.ok_or_else(|| no_such_node(text, self.slots.iter().map(|slot| slot.name.as_str()).chain(["leader"])))
    }

    /// The names of those that don't run.
    pub(crate) fn stopped(&self) -> Vec<String> {
        self.slots.iter().filter(|slot| slot.node.is_none()).map(|slot| slot.name.clone()).collect()
    }

    /// Starts a node that was killed, and waits until it has caught up.
    pub(crate) async fn start_again(&mut self, client: &Client, text: &str) -> Result<Started, Failure> {
        let place = self.find(text, None)?;
        let slot = &mut self.slots[place];
        if slot.node.as_ref().is_some_and(|node| !node.has_ended()) {
            return Err(Failure::new(Code::Usage, format!("{} runs already", slot.name)).help(":status"));
        }
        let began = Instant::now();
        // The node of before has given its ports back with its thread.
        let listener = until_free(|| std::future::ready(Listener::on_loopback(slot.redis))).await?;
        let start = || async {
            let started = spawn_start(slot.dir.clone(), self.settings.clone()).await;
            started.expect("starting a node doesn't panic")
        };
        let node = until_free(start).await?;
        listener.serve(&node, self.settings.durability);
        slot.node = Some(node);
        let name = slot.name.clone();
        let applied = caught_up(client, &name).await;
        Ok(Started { name, applied, took: began.elapsed() })
    }
}

/// Another demo that looks for free ports holds each of them for a moment; longer than that, the port is really taken.
async fn until_free<T, F: Future<Output = Result<T, Failure>>>(mut attempt: impl FnMut() -> F) -> Result<T, Failure> {
    let deadline = Instant::now() + FREE_TIMEOUT;
    loop {
        match attempt().await {
            Err(failure) if failure.code == Code::AddressInUse && Instant::now() < deadline => sleep(FREE_EVERY).await,
            outcome => return outcome,
        }
    }
}

fn spawn_start(dir: PathBuf, settings: Settings) -> tokio::task::JoinHandle<Result<Node, Failure>> {
    let Settings { engine, durability } = settings;
    let settings = NodeSettings { data_dir: dir, engine, durability, listen: None, log: Default::default() };
    spawn_blocking(move || Node::start(settings).map_err(not_started))
}

/// Waits until the node has applied what was committed when it was first asked.
async fn caught_up(client: &Client, name: &str) -> Option<u64> {
    let deadline = Instant::now() + CATCH_UP_TIMEOUT;
    let mut target = None;
    while Instant::now() < deadline {
        if let Ok(status) = client.status_within(deadline - Instant::now()).await {
            let newest =
                status.members.iter().filter_map(|member| member.status.as_ref()).map(|node| node.commit).max();
            let target = *target.get_or_insert(newest.unwrap_or(0));
            let member = status.members.iter().find(|member| member.name == name);
            let applied = member.and_then(|member| member.status.as_ref()).map(|node| node.applied);
            if applied.is_some_and(|applied| applied >= target) && status.leader().is_some() {
                return applied;
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
    None
}

/// A node that was started again.
pub(crate) struct Started {
    name: String,
    applied: Option<u64>,
    took: Duration,
}

impl Started {
    pub(crate) fn text(&self) -> String {
        match self.applied {
            Some(applied) => format!("{} started; caught up at {applied}, {}", self.name, units::short(self.took)),
            None => format!("{} started; not caught up yet", self.name),
        }
    }

    pub(crate) fn document(&self) -> Value {
        let ms = self.took.as_millis() as u64;
        json!({ "started": self.name, "applied": self.applied.map(json::id), "elapsed_ms": ms })
    }
}
