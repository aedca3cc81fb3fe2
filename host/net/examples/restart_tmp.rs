#![allow(missing_docs)]
use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::{Duration, Instant};
use bytes::Bytes;
use outboard_net::*;
use outboard_raft::NodeId;
use tokio::sync::mpsc;
fn rt() -> tokio::runtime::Runtime { tokio::runtime::Builder::new_current_thread().enable_all().build().expect("rt") }
fn main() {
    let authority = Authority::create(ClusterId::random()).expect("a");
    let s1 = UdpSocket::bind("127.0.0.1:0").expect("b"); let s2 = UdpSocket::bind("127.0.0.1:0").expect("b");
    let (a1, a2) = (s1.local_addr().expect("a"), s2.local_addr().expect("a"));
    let peers = BTreeMap::from([(NodeId(1), a1), (NodeId(2), a2)]);
    let c1 = authority.issue_node(NodeId(1)).expect("c"); let c2 = authority.issue_node(NodeId(2)).expect("c");
    rt().block_on(async {
        let (tx, mut rx) = mpsc::channel(64);
        let net = Net::bind(Options::new(s1, c1, peers.clone()), tx).await.expect("n");
        let sender = net.sender();
        tokio::spawn(async move { loop { tokio::time::sleep(Duration::from_millis(50)).await; sender.send(NodeId(2), Lane::Control, Bytes::from_static(b"heartbeat")); } });
        let mut sock = Some(s2);
        for round in 0..8 {
            let begin = Instant::now();
            let s2 = sock.take().unwrap_or_else(|| loop { if let Ok(s) = UdpSocket::bind(a2) { break s } });
            let (c2, peers) = (c2.clone(), peers.clone());
            let (up, mut ups) = mpsc::unbounded_channel();
            let (kill, killed) = tokio::sync::oneshot::channel::<()>();
            let t = std::thread::spawn(move || { let r = rt(); let n = r.block_on(async move {
                let (tx, mut rx) = mpsc::channel(64);
                let n = Net::bind(Options::new(s2, c2, peers), tx).await.expect("n");
                let mut killed = killed; 
                loop { tokio::select! { e = rx.recv() => match e { Some(NetEvent::PeerUp(_)) => up.send("2->1 up").expect("s"), Some(NetEvent::Peer{..}) => { let _ = up.send("frame"); }, _ => {} }, _ = &mut killed => break } }
                n }); drop(r); drop(n); });
            let mut seen = false;
            while !seen { match rx.recv().await.expect("r") { NetEvent::PeerUp(_) => { seen = true; println!("round {round}: 1->2 up after {:?}", begin.elapsed()); } NetEvent::PeerDown(_) => println!("   down after {:?}", begin.elapsed()), _ => {} } }
            let e = ups.recv().await;
            let e2 = ups.recv().await;
            println!("   {e:?} {e2:?} by {:?}", begin.elapsed());
            tokio::time::sleep(Duration::from_millis(if round % 2 == 0 { 1500 } else { 300 })).await;
            kill.send(()).expect("k"); t.join().expect("t");
            if round >= 4 { tokio::time::sleep(Duration::from_secs(6)).await; println!("   (6 s dead)"); }
        }
    });
}
