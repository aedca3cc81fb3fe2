#![allow(missing_docs)]
use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::{Duration, Instant};
use bytes::Bytes;
use outboard_net::*;
use outboard_raft::NodeId;
use tokio::sync::mpsc;
fn cpu_time() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let nanos = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}
fn rt() -> tokio::runtime::Runtime { tokio::runtime::Builder::new_current_thread().enable_all().build().expect("rt") }
fn main() {
    let authority = Authority::create(ClusterId::random()).expect("a");
    let s1 = UdpSocket::bind("127.0.0.1:0").expect("b"); let s2 = UdpSocket::bind("127.0.0.1:0").expect("b");
    let (a1, a2) = (s1.local_addr().expect("a"), s2.local_addr().expect("a"));
    let peers = BTreeMap::from([(NodeId(1), a1), (NodeId(2), a2)]);
    let c1 = authority.issue_node(NodeId(1)).expect("c"); let c2 = authority.issue_node(NodeId(2)).expect("c");
    let p2 = peers.clone();
    std::thread::spawn(move || rt().block_on(async move {
        let (tx, mut rx) = mpsc::channel(64);
        let n = Net::bind(Options::new(s2, c2, p2), tx).await.expect("n");
        let sender = n.sender();
        while let Some(e) = rx.recv().await { match e {
            NetEvent::Bulk(mut b) => { tokio::spawn(async move { while let Ok(Some(_)) = b.read_chunk().await {} let _ = b.finish().await; }); }
            NetEvent::Peer { frames, .. } => for f in frames { if f[0] == 1 { sender.send(NodeId(1), Lane::Control, f.slice(..64.min(f.len()))) } },
            _ => {} } }
    }));
    rt().block_on(async {
        let (tx, mut rx) = mpsc::channel(64);
        let net = Net::bind(Options::new(s1, c1, peers.clone()), tx).await.expect("n");
        loop { if let NetEvent::PeerUp(_) = rx.recv().await.expect("r") { break } }
        tokio::time::sleep(Duration::from_millis(200)).await;
        let part = Bytes::from(vec![3u8; 1 << 20]);
        let c = cpu_time(); let t = Instant::now();
        let mut b = net.open_bulk(NodeId(2), Bytes::new()).await.expect("b");
        for _ in 0..1500 { b.write_all(part.clone()).await.expect("w"); }
        b.finish().await.expect("f");
        println!("bulk {:.2} ns/B cpu {:.0} MB/s", (cpu_time()-c).as_nanos() as f64/1500e6/1.048,1500.0 * 1.048 / t.elapsed().as_secs_f64());
        let sender = net.sender();
        for size in [300usize, 16 << 10, 256 << 10] {
            // windowed appends: 16 in flight, answered on control
            let mut body = vec![0u8; size]; body[0] = 1; let body = Bytes::from(body);
            let c = cpu_time(); let t = Instant::now(); let mut n = 0u64; let mut times = vec![];
            let mut q = std::collections::VecDeque::new();
            for _ in 0..16 { sender.send(NodeId(2), Lane::Append, body.clone()); q.push_back(Instant::now()); }
            while t.elapsed() < Duration::from_secs(2) {
                if let NetEvent::Peer { frames, .. } = rx.recv().await.expect("r") { for _ in frames { n += 1; times.push(q.pop_front().expect("q").elapsed()); sender.send(NodeId(2), Lane::Append, body.clone()); q.push_back(Instant::now()); } }
            }
            while !q.is_empty() { if let NetEvent::Peer { frames, .. } = rx.recv().await.expect("r") { for _ in frames { q.pop_front(); } } }
            times.sort(); println!("cpu us per append {:.2}", (cpu_time()-c).as_secs_f64()*1e6/n as f64);
            println!("append {size:7} B x16: {:8.0}/s {:6.0} MB/s median {:.0} us p99 {:.0} us", n as f64 / 2.0, n as f64 / 2.0 * size as f64 / 1e6, times[times.len()/2].as_secs_f64()*1e6, times[times.len()*99/100].as_secs_f64()*1e6);
        }
        println!("{:?}", net.counters().append_dropped);
    });
}
