//! Three etcd servers with their defaults, and a load on them.

use crate::process::{Server, free_ports, output};
use crate::{KEYS, Load, Measured, VALUE_BYTES, WARMUP};
use anyhow::{Context, Result, bail};
use etcd_client::{Client, KvClient};
use std::cell::RefCell;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

const NODES: usize = 3;
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The servers, and connections to the one that leads.
pub(crate) struct Cluster {
    version: String,
    connections: Vec<KvClient>,
    _servers: Vec<Server>,
}

impl Cluster {
    /// Starts them and waits for a leader.
    pub(crate) async fn start(folder: &Path, connections: usize) -> Result<Cluster> {
        let version = output(Command::new("etcd").arg("--version"));
        let version = version.context("etcd is missing: apt-get install etcd-server protobuf-compiler")?;
        let version =
            String::from_utf8_lossy(&version).lines().next().unwrap_or_default().replace("etcd Version: ", "");
        std::fs::create_dir_all(folder)?;
        let ports = free_ports(2 * NODES)?;
        let (clients, peers) = ports.split_at(NODES);
        let url = |port: &u16| format!("http://127.0.0.1:{port}");
        let members: Vec<String> = (1..).zip(peers).map(|(n, port)| format!("e{n}={}", url(port))).collect();
        let start = |number: usize| {
            let (name, client, peer) = (format!("e{}", number + 1), url(&clients[number]), url(&peers[number]));
            let mut command = Command::new("etcd");
            command.args(["--name", &name]).arg("--data-dir").arg(folder.join(&name));
            command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
            command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
            command.args(["--initial-cluster", &members.join(","), "--initial-cluster-state", "new"]);
            Server::start(&mut command, &folder.join(format!("{name}.log")))
        };
        let servers = (0..NODES).map(start).collect::<Result<Vec<Server>>>()?;
        let endpoints: Vec<String> = clients.iter().map(url).collect();
        let leader = wait_for_leader(&endpoints).await?;
        let mut to_leader = Vec::new();
        for _ in 0..connections {
            to_leader.push(Client::connect([&leader], None).await?.kv_client());
        }
        Ok(Cluster { version, connections: to_leader, _servers: servers })
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Every key has a value.
    pub(crate) async fn fill(&self) -> Result<()> {
        let mut one = self.connections[0].clone();
        for keys in (0..KEYS).collect::<Vec<_>>().chunks(100) {
            let puts = keys.iter().map(|number| etcd_client::TxnOp::put(key(*number), value(*number), None));
            one.txn(etcd_client::Txn::new().and_then(puts.collect::<Vec<_>>())).await?;
        }
        Ok(())
    }

    /// As many tasks as clients, each waiting for its answer before it asks again.
    pub(crate) async fn measure(&self, load: Load, duration: Duration) -> Result<Measured> {
        let counted_from = Instant::now() + WARMUP;
        let tally = Rc::new(RefCell::new(Tally::default()));
        let tasks = LocalSet::new();
        for number in 0..load.clients {
            let client = self.connections[number % self.connections.len()].clone();
            let worker = Worker { client, load, counted_from, ends: counted_from + duration, chance: number as u64 };
            tasks.spawn_local(worker.run(tally.clone()));
        }
        tasks.await;
        let elapsed = counted_from.elapsed();
        Ok(tally.take().measured(elapsed))
    }
}

struct Worker {
    client: KvClient,
    load: Load,
    counted_from: Instant,
    ends: Instant,
    chance: u64,
}

impl Worker {
    async fn run(mut self, tally: Rc<RefCell<Tally>>) {
        loop {
            let began = Instant::now();
            if began >= self.ends {
                return;
            }
            let chance = self.next();
            let key = key(chance % KEYS);
            let is_ok = if self.load.is_get {
                self.client.get(key, None).await.is_ok()
            } else {
                self.client.put(key, value(chance), None).await.is_ok()
            };
            let ended = Instant::now();
            if ended >= self.counted_from {
                tally.borrow_mut().count(is_ok, ended - began);
            }
        }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[derive(Default)]
struct Tally {
    times_ns: Vec<u64>,
    errors: u64,
}

impl Tally {
    fn count(&mut self, is_ok: bool, time: Duration) {
        if is_ok { self.times_ns.push(time.as_nanos() as u64) } else { self.errors += 1 }
    }

    fn measured(mut self, elapsed: Duration) -> Measured {
        self.times_ns.sort_unstable();
        let at = |share: f64| {
            let place = (self.times_ns.len() as f64 * share) as usize;
            self.times_ns.get(place).map_or(0.0, |ns| *ns as f64 / 1_000.0)
        };
        let per_second = self.times_ns.len() as f64 / elapsed.as_secs_f64();
        Measured { per_second, p50_us: at(0.5), p99_us: at(0.99), errors: self.errors }
    }
}

async fn wait_for_leader(endpoints: &[String]) -> Result<String> {
    let deadline = Instant::now() + START_TIMEOUT;
    while Instant::now() < deadline {
        for endpoint in endpoints {
            if leads(endpoint).await.unwrap_or(false) {
                return Ok(endpoint.clone());
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("no etcd server came to lead within {START_TIMEOUT:?}")
}

async fn leads(endpoint: &str) -> Result<bool> {
    let status = Client::connect([endpoint], None).await?.status().await?;
    let member = status.header().context("a status has a header")?.member_id();
    Ok(status.leader() == member)
}

/// As those of `outboard bench`.
fn key(number: u64) -> String {
    format!("key:{number:012}")
}

/// No two alike, and nothing to compress.
fn value(seed: u64) -> Vec<u8> {
    let words =
        (0..VALUE_BYTES as u64 / 8).map(|place| (seed ^ place).wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(29));
    words.flat_map(u64::to_le_bytes).collect()
}
