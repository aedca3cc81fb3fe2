//! `demo`: a whole cluster in this process, with real QUIC between the nodes and real disks below them, and a shell on it.

mod context;
mod failover;
pub(crate) mod nodes;
mod place;

use std::num::NonZeroU8;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::code::Code;
use crate::commands::engine::component::{self, Component};
use crate::commands::shell::Shell;
use crate::commands::start::DurabilityArg;
use crate::commands::status::{self, Health};
use crate::failure::Failure;
use crate::global::Global;
use crate::output::Output;
use crate::{session, units};
use clap::Args;
use context::DemoContext;
use nodes::Nodes;
use outboard_client::{Client, Options};
use outboard_node::Durability;
use outboard_wire::status::ClusterStatus;
use place::Place;
use tokio::time::sleep;

/// The first start compiles the engine on every node.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const READY_EVERY: Duration = Duration::from_millis(20);
/// Each time somebody else was faster at the ports.
const START_ATTEMPTS_MAX: usize = 5;

/// Flags of `demo`.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// Run these steps, separated by ; or line ends, and stop at the first that fails
    #[arg(long, value_name = "SCRIPT")]
    exec: Option<String>,
    /// The engine to begin with: kv, kv-basic or a file
    #[arg(long, value_name = "NAME|FILE", default_value = "kv")]
    engine: String,
    /// Keep the data here; a second demo on the same folder goes on with it
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// How many nodes
    #[arg(long, value_name = "N", default_value_t = NonZeroU8::MIN.saturating_add(2))]
    nodes: NonZeroU8,
    /// When a write is acknowledged: sync on a majority's disks, or none
    #[arg(long, value_enum, default_value_t = DurabilityArg::Sync)]
    durability: DurabilityArg,
}

pub(crate) async fn run(global: &Global, args: DemoArgs, out: &mut Output) -> Result<(), Failure> {
    let began = Instant::now();
    let engine = component::named(&args.engine)?;
    let prepare = || Place::prepare(args.keep.as_deref(), args.nodes.get());
    let mut nodes = start(prepare, args.keep.as_deref(), &engine, args.durability.into()).await?;
    let client = Client::new(&nodes.context, Options { timeout: global.timeout, ..session::options(global) })?;
    let ended = serve(global, &args, &mut nodes, client, &engine, began, out).await;
    let stopped = nodes.stop_all(args.keep.is_some()).await;
    ended.and(stopped)
}

/// Ports that were free a moment ago may be taken, by another demo for one: a new cluster is then formed on other ports.
async fn start(
    mut prepare: impl FnMut() -> Result<Place, Failure>,
    keep: Option<&Path>,
    engine: &Component,
    durability: Durability,
) -> Result<Nodes, Failure> {
    for _ in 1..START_ATTEMPTS_MAX {
        let place = prepare()?;
        let is_new = place.is_new;
        match Nodes::start_all(place, engine, durability).await {
            Err(failure) if failure.code == Code::AddressInUse && is_new => keep.map_or(Ok(()), place::forget)?,
            outcome => return outcome,
        }
    }
    Nodes::start_all(prepare()?, engine, durability).await
}

async fn serve(
    global: &Global,
    args: &DemoArgs,
    nodes: &mut Nodes,
    client: Client,
    engine: &Component,
    began: Instant,
    out: &mut Output,
) -> Result<(), Failure> {
    let status = wait_until_ready(&client).await?;
    let context = DemoContext::publish(&nodes.context);
    if !global.quiet {
        eprint!("{}", banner(nodes, &status, engine, args.keep.is_some(), began.elapsed(), context.is_some()));
    }
    let mut shell = Shell { client, global, nodes: Some(nodes), prompt: "demo> " };
    let session = async {
        match &args.exec {
            Some(script) => shell.run_script(script, out).await,
            None => {
                if !global.quiet {
                    eprintln!("Type help; :kill n1 shows a failover, :upgrade FILE an engine swap; Ctrl-D leaves.");
                }
                shell.run_input(out).await
            }
        }
    };
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .map_err(|error| Failure::new(Code::Other, format!("signals can't be received: {error}")))?;
    tokio::select! {
        ended = session => ended,
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// Until there is a leader, all nodes answer, and all run an engine.
async fn wait_until_ready(client: &Client) -> Result<ClusterStatus, Failure> {
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        let status = client.status().await;
        if let Ok(status) = &status {
            let has_engine = |member: &outboard_wire::status::MemberStatus| {
                member.status.as_ref().is_some_and(|node| node.engine.is_some())
            };
            if Health::of(status) == Health::Healthy && status.members.iter().all(has_engine) {
                return Ok(status.clone());
            }
        }
        if Instant::now() >= deadline {
            return match status {
                Ok(status) => Err(Failure::new(
                    Code::Unavailable,
                    format!("the cluster did not get ready:\n{}", status::text(&status).join("\n")),
                )),
                Err(error) => Err(Failure::from(error).during("the cluster did not get ready")),
            };
        }
        sleep(READY_EVERY).await;
    }
}

fn banner(
    nodes: &Nodes,
    status: &ClusterStatus,
    engine: &Component,
    is_kept: bool,
    took: Duration,
    has_context: bool,
) -> String {
    let running = status::engine(status);
    let (title, digest, bytes) = running.map_or_else(
        || (String::new(), String::new(), 0),
        |record| (record.title(), record.digest.short(), record.bytes),
    );
    let source = if bytes == engine.bytes.len() as u64 { engine.source.as_str() } else { "as the log says" };
    let voters = status.members.iter().filter(|member| member.voter).count();
    let answering = status.members.iter().filter(|member| member.voter && member.status.is_some()).count();
    let leader = status.leader().map_or("none", |leader| leader.name.as_str());
    let folder = nodes.folder().display();
    let fate = if is_kept { "kept" } else { "removed on exit; --keep DIR keeps it" };
    let count = nodes.len();
    let plural = if count == 1 { "node" } else { "nodes" };
    let mut text = format!(
        "outboard {}  demo cluster \"{}\"  {count} {plural} in this process, data in {folder} ({fate})\n",
        env!("CARGO_PKG_VERSION"),
        nickname(nodes.context.cluster.0),
    );
    text.push_str(&format!("  engine   {title}  {digest}  {source}, {}\n", units::size(bytes)));
    text.push_str("  TLS      on, throw-away CA, peers and clients authenticated\n");
    text.push_str(&format!("  ready    leader {leader}, {answering}/{voters} voters, {:.1} s\n", took.as_secs_f64()));
    let mut redis = nodes.slots.iter().map(|slot| (slot.name.as_str(), slot.redis.port()));
    if let Some((_, first)) = redis.next() {
        let others: Vec<String> = redis.map(|(name, port)| format!("{name} {port}")).collect();
        let others = if others.is_empty() {
            String::new()
        } else {
            format!("         ({}; any node takes writes)", others.join(", "))
        };
        text.push_str(&format!("  Redis    redis-cli -p {first}{others}\n"));
    }
    if has_context {
        text.push_str("  CLI      outboard -c demo put hello world\n");
    }
    if let Some(slot) = nodes.slots.first() {
        let port = slot.redis.port();
        text.push_str(&format!("  try      redis-benchmark -p {port} -t set,get -r 100000 -n 50000 -q\n"));
    }
    text
}

/// Two words for people, from the cluster's id.
fn nickname(cluster: u128) -> String {
    const HOW: [&str; 16] = [
        "brave", "calm", "clever", "eager", "gentle", "happy", "keen", "lively", "merry", "noble", "patient", "quick",
        "quiet", "steady", "swift", "wise",
    ];
    const WHO: [&str; 16] = [
        "otter", "heron", "seal", "puffin", "beaver", "marten", "lynx", "crane", "osprey", "badger", "dolphin",
        "plover", "stoat", "curlew", "walrus", "tern",
    ];
    format!("{}-{}", HOW[(cluster % 16) as usize], WHO[(cluster / 16 % 16) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nickname_comes_from_the_id() {
        assert_eq!(nickname(0), "brave-otter");
        assert_eq!(nickname(u128::MAX), "wise-tern");
    }

    #[tokio::test]
    async fn a_port_that_is_taken_between_the_look_and_the_start_makes_a_demo_look_for_others() {
        let home = tempfile::tempdir().expect("a folder");
        let kept = home.path().join("kept");
        let engine = component::named("kv-basic").expect("it is embedded");
        for keep in [None, Some(kept.as_path())] {
            let mut taken = None;
            let prepare = || {
                let place = Place::prepare(keep, 2)?;
                let address = place.context.endpoints[1].clone();
                taken.get_or_insert_with(|| std::net::UdpSocket::bind(&address).expect("free a moment ago"));
                Ok(place)
            };
            let nodes = start(prepare, keep, &engine, Durability::None).await.expect("started elsewhere");
            let taken = taken.expect("the first port was taken").local_addr().expect("bound");
            assert!(nodes.len() == 2 && nodes.slots.iter().all(|slot| slot.address != taken));
            assert_eq!(keep.is_some_and(|folder| folder.join("n2").exists()), keep.is_some());
            nodes.stop_all(keep.is_some()).await.expect("stopped");
        }
        // A cluster that was formed earlier stays on its ports: its nodes know each other by them.
        let prepare = || Place::prepare(Some(&kept), 2);
        let address = prepare().expect("found again").context.endpoints[0].clone();
        let _taken = std::net::UdpSocket::bind(address).expect("free a moment ago");
        let refused = start(prepare, Some(&kept), &engine, Durability::None).await.err().expect("its port is taken");
        assert_eq!(refused.code, Code::AddressInUse);
        assert!(kept.join("n2").exists(), "what was kept stays");
    }
}
