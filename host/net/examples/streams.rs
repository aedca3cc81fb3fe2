//! One standing stream for all requests against a stream for each, on loopback: `cargo run --release -p outboard-net --example streams`.
//!
//! The server sends back whatever comes, on the stream that it came on. On the standing stream the client writes what waits at once,
//! as `Outbox` does; a stream for each request is opened, written, finished and read to its end. Both take turns, and the medians of
//! their turns are printed: a machine that others use too changes its pace. Arguments: seconds for each figure (default 2), bytes of a
//! message (default 256).

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig, TransportConfig};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, mpsc};

const NAME: &str = "streams.example";
const DEPTHS: [usize; 4] = [1, 16, 64, 256];
const TURNS: u32 = 5;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let time = arguments.next().map_or(2.0, |text| text.parse().expect("seconds"));
    let bytes = arguments.next().map_or(256, |text| text.parse().expect("bytes"));
    let time = Duration::from_secs_f64(time);
    let key = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    let certificate = key.cert.der().clone();
    let (address, listening) = std::sync::mpsc::channel();
    std::thread::spawn(move || runtime().block_on(serve(key, address)));
    let address = listening.recv().expect("the server listens");
    println!("{bytes} bytes each way, {} s for each figure", time.as_secs_f64());
    println!("            standing stream           one for each request      standing better by");
    println!("under way   messages/s   us of CPU    messages/s   us of CPU    messages     CPU");
    runtime().block_on(async {
        let connection = connect(address, certificate).await;
        for depth in DEPTHS {
            let message = Bytes::from(vec![7; bytes]);
            let (mut standing_turns, mut one_each_turns) = (Vec::new(), Vec::new());
            for _ in 0..TURNS {
                let time = time / TURNS;
                standing_turns.push(measured(time, standing(&connection, depth, &message, time)).await);
                one_each_turns.push(measured(time, one_each(&connection, depth, &message, time)).await);
            }
            let (standing, one_each) = (medians(&standing_turns), medians(&one_each_turns));
            println!(
                "{depth:9} {:12.0} {:11.2} {:13.0} {:11.2} {:11.2} {:7.2}",
                standing.0,
                standing.1,
                one_each.0,
                one_each.1,
                standing.0 / one_each.0,
                one_each.1 / standing.1
            );
        }
    });
}

/// Of each figure by itself.
fn medians(turns: &[(f64, f64)]) -> (f64, f64) {
    let of = |pick: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = turns.iter().map(pick).collect();
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    };
    (of(|turn| turn.0), of(|turn| turn.1))
}

/// Messages per second, and what one costs of both sides' CPU in microseconds.
async fn measured(time: Duration, load: impl Future<Output = u64>) -> (f64, f64) {
    let before = cpu_time();
    let messages = load.await as f64;
    (messages / time.as_secs_f64(), (cpu_time() - before).as_secs_f64() * 1e6 / messages)
}

/// Keeps `depth` messages under way on one stream.
async fn standing(connection: &Connection, depth: usize, message: &Bytes, time: Duration) -> u64 {
    let (mut send, mut receive) = connection.open_bi().await.expect("a stream");
    let (waiting, mut waits) = mpsc::unbounded_channel();
    let room = Arc::new(Semaphore::new(depth));
    let length = message.len() as u64;
    let answered = room.clone();
    let reading = tokio::spawn(async move {
        let (mut bytes, mut messages) = (0, 0);
        while let Some(chunk) = receive.read_chunk(1 << 20, true).await.expect("the server lives") {
            bytes += chunk.bytes.len() as u64;
            answered.add_permits((bytes / length - messages) as usize);
            messages = bytes / length;
        }
        messages
    });
    let writing = tokio::spawn(async move {
        let mut batch = Vec::new();
        while waits.recv_many(&mut batch, 64).await > 0 {
            send.write_all_chunks(&mut batch).await.expect("the server lives");
            batch.clear();
        }
        send.finish().expect("it is finished once");
    });
    let ends = Instant::now() + time;
    while Instant::now() < ends {
        room.acquire().await.expect("it is not closed").forget();
        waiting.send(message.clone()).expect("the writer lives");
    }
    drop(waiting);
    writing.await.expect("written");
    reading.await.expect("read")
}

/// Keeps `depth` messages under way, each on a stream of its own.
async fn one_each(connection: &Connection, depth: usize, message: &Bytes, time: Duration) -> u64 {
    let ends = Instant::now() + time;
    let askers: Vec<_> = (0..depth)
        .map(|_| {
            let (connection, message) = (connection.clone(), message.clone());
            tokio::spawn(async move {
                let mut messages = 0;
                while Instant::now() < ends {
                    let (mut send, mut receive) = connection.open_bi().await.expect("a stream");
                    send.write_chunk(message.clone()).await.expect("the server lives");
                    send.finish().expect("it is finished once");
                    receive.read_to_end(message.len()).await.expect("an answer");
                    messages += 1;
                }
                messages
            })
        })
        .collect();
    let mut messages = 0;
    for asker in askers {
        messages += asker.await.expect("an asker");
    }
    messages
}

async fn serve(key: rcgen::CertifiedKey<rcgen::KeyPair>, listening: std::sync::mpsc::Sender<SocketAddr>) {
    let private = PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private.into())
        .expect("a certificate and its key");
    let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(config).expect("TLS 1.3")));
    config.transport_config(transport());
    let endpoint = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).expect("loopback has free ports");
    listening.send(endpoint.local_addr().expect("bound")).expect("the client waits");
    let connection = endpoint.accept().await.expect("the client comes").await.expect("a handshake");
    while let Ok((mut send, mut receive)) = connection.accept_bi().await {
        tokio::spawn(async move {
            while let Ok(Some(chunk)) = receive.read_chunk(1 << 20, true).await {
                send.write_chunk(chunk.bytes).await.expect("the client lives");
            }
            send.finish().expect("it is finished once");
        });
    }
}

async fn connect(address: SocketAddr, certificate: CertificateDer<'static>) -> Connection {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).expect("TLS 1.3")));
    config.transport_config(transport());
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("loopback has free ports");
    endpoint.connect_with(config, address, NAME).expect("an address").await.expect("a handshake")
}

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport.max_concurrent_bidi_streams(1_024_u32.into());
    Arc::new(transport)
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// What this process has used so far. Zero where /proc is missing.
fn cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}
