//! Round trips of requests on loopback, over one connection at several depths and over many: `cargo run --release --example pingpong`.
//!
//! Server and client run on a thread each with a runtime of their own, as a node and a client program do. Arguments: seconds for each depth
//! (default 2), bytes of a message (default 256).

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use outboard_net::{Authority, ClientConnection, ClusterId, Credentials, Dialler, Net, NetEvent, Options};
use outboard_raft::NodeId;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(2.0, |text| text.parse().expect("seconds"));
    let bytes = arguments.next().map_or(256, |text| text.parse().expect("bytes"));
    let authority = Authority::create(ClusterId::random()).expect("an authority");
    let node = authority.issue_node(NodeId(1)).expect("a node's certificate");
    let client = authority.issue_client("pingpong").expect("a client's certificate");
    let (address, listening) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("server".to_string())
        .spawn(move || runtime().block_on(serve(node, address)))
        .expect("a thread");
    let address = listening.recv().expect("the server listens");
    println!("{bytes} bytes each way, {seconds} s for each depth");
    println!("connections x depth   messages/s   median us    99 % us   CPU us per message, both sides");
    runtime().block_on(async {
        for (count, depth) in [(1, 1), (1, 16), (1, 64), (1, 256), (50, 1), (256, 1)] {
            // One socket for all, as a program with many clients in it would have.
            let dialler = Dialler::new(&client).expect("a dialler");
            let mut connections = Vec::new();
            for _ in 0..count {
                connections.push(dialler.connect(address).await.expect("a connection"));
            }
            ask(&connections, depth, bytes, Duration::from_millis(200)).await;
            let before = cpu_time();
            let mut times = ask(&connections, depth, bytes, Duration::from_secs_f64(seconds)).await;
            let cpu = (cpu_time() - before).as_secs_f64() * 1e6 / times.len() as f64;
            times.sort_unstable();
            let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
            let speed = times.len() as f64 / seconds;
            println!("{count:11} x {depth:5} {speed:12.0} {:11.1} {:10.1} {cpu:10.2}", at(0.5), at(0.99));
        }
    });
}

/// What this process has used so far; unlike the speed, it hardly depends on what else the machine does. Zero where /proc is missing.
fn cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn serve(credentials: Credentials, listening: std::sync::mpsc::Sender<SocketAddr>) {
    let (events, mut inbox) = mpsc::channel(64);
    let options = Options::new(SocketAddr::from(([127, 0, 0, 1], 0)), credentials, BTreeMap::new());
    let net = Net::bind(options, events).await.expect("a net");
    listening.send(net.local_addr()).expect("the client waits");
    while let Some(event) = inbox.recv().await {
        if let NetEvent::Client { requests, .. } = event {
            for (request, responder) in requests {
                responder.send(request);
            }
        }
    }
}

/// Keeps `depth` requests under way on each connection; returns how long each took.
async fn ask(connections: &[ClientConnection], depth: usize, bytes: usize, time: Duration) -> Vec<Duration> {
    let body = Bytes::from(vec![7; bytes]);
    let end = Instant::now() + time;
    let each = connections.iter().flat_map(|connection| std::iter::repeat_n(connection, depth));
    let askers: Vec<_> = each
        .map(|connection| {
            let (connection, body) = (connection.clone(), body.clone());
            tokio::spawn(async move {
                let mut times = Vec::new();
                while Instant::now() < end {
                    let began = Instant::now();
                    connection.request(body.clone()).await.expect("a response");
                    times.push(began.elapsed());
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for asker in askers {
        times.extend(asker.await.expect("an asker"));
    }
    times
}
