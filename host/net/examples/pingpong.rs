//! Round trips of requests over one client connection on loopback, at several depths: `cargo run --release --example pingpong`.
//!
//! Server and client run on a thread each with a runtime of their own, as a node and a client program do. Arguments: seconds for each depth
//! (default 2), bytes of a message (default 256).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use outboard_net::{Authority, ClientConnection, ClusterId, Credentials, Net, NetEvent, Options};
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
    std::thread::spawn(move || runtime().block_on(serve(node, address)));
    let address = listening.recv().expect("the server listens");
    println!("{bytes} bytes each way, {seconds} s for each depth");
    println!("depth   messages/s   median us    99 % us   CPU us per message, both sides");
    runtime().block_on(async {
        let connection = ClientConnection::connect(address, &client).await.expect("a connection");
        ask(&connection, 16, bytes, Duration::from_millis(300)).await;
        for depth in [1, 16, 64, 256] {
            let before = cpu_time();
            let (count, mut times) = ask(&connection, depth, bytes, Duration::from_secs_f64(seconds)).await;
            times.sort_unstable();
            let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
            let cpu = (cpu_time() - before).as_secs_f64() * 1e6 / count as f64;
            println!("{depth:5} {:12.0} {:11.1} {:10.1} {cpu:10.2}", count as f64 / seconds, at(0.5), at(0.99));
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

/// Keeps `depth` requests under way; returns how many were answered, and their times.
async fn ask(connection: &ClientConnection, depth: usize, bytes: usize, time: Duration) -> (usize, Vec<Duration>) {
    let body = Bytes::from(vec![7; bytes]);
    let end = Instant::now() + time;
    let connection = Arc::new(connection.clone());
    let askers: Vec<_> = (0..depth)
        .map(|_| {
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
    (times.len(), times)
}
