//! Bulk streams between peers and from clients.

use std::collections::BTreeMap;

use bytes::Bytes;
use outboard_net::{BulkStream, ClientConnection, NetError, NetEvent, Principal};
use outboard_raft::NodeId;

use crate::harness::{Node, authority, pair, socket, soon};

async fn incoming(node: &mut Node) -> BulkStream {
    loop {
        if let NetEvent::Bulk(stream) = node.event().await {
            return stream;
        }
    }
}

#[tokio::test]
async fn a_peer_streams_much_and_gets_an_answer() {
    let (one, mut two) = pair(&authority()).await;
    let part = Bytes::from(vec![9; 1 << 20]);
    let send = async {
        let mut stream = one.net.open_bulk(NodeId(2), Bytes::from_static(b"snapshot 7")).await.expect("a stream");
        for _ in 0..64 {
            stream.write_all(part.clone()).await.expect("open");
        }
        stream.finish().await.expect("it has everything");
        assert_eq!(stream.read_frame().await.expect("open").expect("a frame"), "got 67108864");
        assert_eq!(stream.read_frame().await.expect("open"), None);
    };
    let receive = async {
        let mut stream = incoming(&mut two).await;
        assert_eq!((stream.from(), &stream.header()[..]), (&Principal::Node(NodeId(1)), &b"snapshot 7"[..]));
        let mut bytes = 0;
        while let Some(chunk) = stream.read_chunk().await.expect("open") {
            bytes += chunk.len();
        }
        stream.write_frame(Bytes::from(format!("got {bytes}"))).await.expect("open");
        stream.finish().await.expect("it has everything");
    };
    soon(async { tokio::join!(send, receive) }).await;
}

#[tokio::test]
async fn frames_and_chunks_mix_on_a_clients_stream() {
    let authority = authority();
    let mut node = Node::start(&authority, 1, socket(), &BTreeMap::new()).await;
    let credentials = authority.issue_client("ana").expect("a certificate");
    let client = soon(ClientConnection::connect(node.net.local_addr(), &credentials)).await.expect("connected");
    let mut stream = soon(client.open_bulk(Bytes::from_static(b"push"))).await.expect("a stream");
    drop(client);
    let mut there = incoming(&mut node).await;
    assert_eq!(there.from(), &Principal::Client { name: "ana".to_string() });
    stream.write_frame(Bytes::from_static(b"first")).await.expect("open");
    stream.write_frame(Bytes::new()).await.expect("open");
    stream.write_all(Bytes::from_static(b"rest")).await.expect("open");
    assert_eq!(soon(there.read_frame()).await.expect("open").expect("a frame"), "first");
    assert_eq!(soon(there.read_frame()).await.expect("open").expect("a frame"), "");
    assert_eq!(soon(there.read_chunk()).await.expect("open").expect("bytes"), "rest");
    let (finished, end) = soon(async { tokio::join!(stream.finish(), there.read_chunk()) }).await;
    finished.expect("it has everything");
    assert_eq!(end.expect("open"), None);
}

#[tokio::test]
async fn a_stream_that_is_dropped_unfinished_does_not_look_whole() {
    let (one, mut two) = pair(&authority()).await;
    let mut stream = soon(one.net.open_bulk(NodeId(2), Bytes::new())).await.expect("a stream");
    stream.write_all(Bytes::from_static(b"half")).await.expect("open");
    let mut there = incoming(&mut two).await;
    drop(stream);
    let end = soon(async {
        loop {
            match there.read_chunk().await {
                Ok(Some(_)) => {}
                other => return other,
            }
        }
    })
    .await;
    assert!(matches!(end, Err(NetError::Lost { .. })), "{end:?}");
}

#[tokio::test]
async fn a_fifth_stream_waits_until_one_of_four_ends() {
    let (one, mut two) = pair(&authority()).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let here = soon(one.net.open_bulk(NodeId(2), Bytes::new())).await.expect("a stream");
        open.push((here, incoming(&mut two).await));
    }
    let mut fifth = Box::pin(one.net.open_bulk(NodeId(2), Bytes::from_static(b"fifth")));
    let waits = tokio::time::timeout(std::time::Duration::from_millis(50), &mut fifth).await;
    assert!(waits.is_err(), "four are open");
    open.pop();
    let _fifth = soon(fifth).await.expect("there is room");
    assert_eq!(incoming(&mut two).await.header(), "fifth");
}

#[tokio::test]
async fn a_bulk_stream_needs_a_link_and_a_short_header() {
    let (one, _two) = pair(&authority()).await;
    assert!(matches!(one.net.open_bulk(NodeId(3), Bytes::new()).await, Err(NetError::NotConnected(NodeId(3)))));
    let long = Bytes::from(vec![0; (64 << 10) + 1]);
    assert!(matches!(one.net.open_bulk(NodeId(2), long).await, Err(NetError::TooLarge { .. })));
}
