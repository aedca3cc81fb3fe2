//! Links between nodes: lanes, restarts, drops, membership at run time.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use bytes::Bytes;
use outboard_net::Lane;
use outboard_raft::NodeId;

use crate::harness::{Node, addresses, authority, pair, socket, socket_at, soon, until};

fn numbered(number: u32, bytes: usize) -> Bytes {
    let mut frame = number.to_le_bytes().to_vec();
    frame.resize(bytes.max(4), 0);
    Bytes::from(frame)
}

fn number(frame: &Bytes) -> u32 {
    u32::from_le_bytes(frame[..4].try_into().expect("four bytes"))
}

#[tokio::test]
async fn frames_keep_their_order_within_a_lane_and_all_arrive() {
    let (one, mut two) = pair(&authority()).await;
    let sender = one.net.sender();
    for at in 0..2_000 {
        sender.send(two.id, Lane::Control, numbered(at, 40));
        sender.send(two.id, Lane::Append, numbered(1_000_000 + at, if at % 100 == 0 { 200_000 } else { 300 }));
    }
    let (mut control, mut append) = (Vec::new(), Vec::new());
    while control.len() + append.len() < 4_000 {
        let (from, frames) = two.frames().await;
        assert_eq!(from, one.id);
        for frame in frames {
            if number(&frame) < 1_000_000 { control.push(number(&frame)) } else { append.push(number(&frame)) }
        }
    }
    assert_eq!(control, (0..2_000).collect::<Vec<_>>());
    assert_eq!(append, (1_000_000..1_002_000).collect::<Vec<_>>());
    assert_eq!(one.net.counters().control_dropped + one.net.counters().append_dropped, 0);
}

#[tokio::test]
async fn a_control_frame_overtakes_appends_that_wait() {
    let (one, mut two) = pair(&authority()).await;
    let sender = one.net.sender();
    for at in 0..60 {
        sender.send(two.id, Lane::Append, numbered(at, 1 << 20));
    }
    sender.send(two.id, Lane::Control, numbered(1_000, 4));
    let mut seen = Vec::new();
    while seen.len() < 61 {
        seen.extend(two.frames().await.1.iter().map(number));
    }
    let place = seen.iter().position(|number| *number == 1_000).expect("it arrived");
    assert!(place < 59, "the control frame came in place {place} of 60");
}

#[tokio::test]
async fn a_peer_that_reads_nothing_costs_bounded_memory_and_the_rest_is_dropped_and_counted() {
    let (one, mut two) = pair(&authority()).await;
    let sender = one.net.sender();
    let large = numbered(7, 1 << 20);
    // Far more than the queue, the windows and the events that may wait hold together.
    for _ in 0..400 {
        sender.send(two.id, Lane::Append, large.clone());
        tokio::task::yield_now().await;
    }
    assert!(one.net.counters().append_dropped >= 100, "{:?}", one.net.counters());
    // What was taken arrives once somebody reads, and the lane works again.
    let taken = 400 - one.net.counters().append_dropped;
    let mut arrived = 0;
    while arrived < taken {
        arrived += two.frames().await.1.len() as u64;
    }
    sender.send(two.id, Lane::Append, numbered(8, 4));
    assert_eq!(number(&two.frames().await.1[0]), 8);
}

#[tokio::test]
async fn frames_for_nobody_are_dropped_and_counted_by_lane() {
    let authority = authority();
    let absent = socket();
    let here = socket();
    let peers = addresses(&[&here, &absent]);
    drop(absent);
    let one = Node::start(&authority, 1, here, &peers).await;
    let sender = one.net.sender();
    sender.send(NodeId(2), Lane::Control, Bytes::from_static(b"down"));
    sender.send(NodeId(9), Lane::Append, Bytes::from_static(b"unknown"));
    sender.send(NodeId(9), Lane::Append, Bytes::new());
    assert!(!sender.is_up(NodeId(2)));
    let counters = one.net.counters();
    assert_eq!((counters.control_dropped, counters.append_dropped), (1, 2));
}

/// A node that was away does not have its new leader in its address book yet, and must answer it to get there.
#[tokio::test]
async fn whoever_dials_a_node_that_has_not_heard_of_it_is_dialled_back_as_long_as_it_does() {
    let authority = authority();
    let mut stranger_to = Node::start(&authority, 1, socket(), &BTreeMap::new()).await;
    let peers = BTreeMap::from([(NodeId(1), stranger_to.net.local_addr())]);
    let mut newcomer = Node::start(&authority, 2, socket(), &peers).await;
    newcomer.up(1).await;
    stranger_to.up(2).await;
    exchange(&mut stranger_to, &mut newcomer).await;
    // Another change of the book leaves that as it is; being listed makes it last.
    stranger_to.net.set_peers(BTreeMap::new());
    exchange(&mut stranger_to, &mut newcomer).await;
    newcomer.net.set_peers(BTreeMap::new());
    stranger_to.down(2).await;
    until(|| stranger_to.net.links().is_empty()).await;
    let address = newcomer.net.local_addr();
    newcomer.net.set_peers(peers);
    stranger_to.up(2).await;
    stranger_to.net.set_peers(BTreeMap::from([(NodeId(2), address)]));
    newcomer.net.set_peers(BTreeMap::new());
    stranger_to.net.sender().send(newcomer.id, Lane::Control, Bytes::from_static(b"still there"));
    assert_eq!(newcomer.frames().await, (stranger_to.id, vec![Bytes::from_static(b"still there")]));
    assert_eq!(stranger_to.net.links().len(), 1, "it is listed");
}

#[tokio::test]
async fn a_peer_that_closed_and_came_back_on_its_port_is_connected_again_both_ways() {
    let authority = authority();
    let (mut one, two) = pair(&authority).await;
    let (address, here) = (two.net.local_addr(), one.net.local_addr());
    two.net.close().await;
    drop(two);
    one.down(2).await;
    let peers = BTreeMap::from([(NodeId(1), here)]);
    let mut two = Node::start(&authority, 2, socket_at(address).await, &peers).await;
    one.up(2).await;
    two.up(1).await;
    exchange(&mut one, &mut two).await;
    assert!(one.net.counters().reconnects >= 1);
}

#[test]
fn a_peer_that_was_killed_without_a_goodbye_is_connected_again_both_ways() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let authority = authority();
        let (here, there) = (socket(), socket());
        let peers = addresses(&[&here, &there]);
        let address = there.local_addr().expect("it is bound");
        // The second node lives in a runtime of its own, which dies with everything in it: no packet says so.
        let other = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut one = Node::start(&authority, 1, here, &peers).await;
        let credentials = authority.issue_node(NodeId(2)).expect("a node's certificate");
        let (killed, kill) = std::sync::mpsc::channel::<()>();
        let (dead, death) = tokio::sync::oneshot::channel();
        let second = (credentials.clone(), peers.clone());
        std::thread::spawn(move || {
            let two = other.block_on(async { Node::start_with(second.0, there, &second.1, Default::default()).await });
            // Runs in short turns until told to stop; what the destructor would say is never sent, its runtime is gone.
            while kill.try_recv().is_err() {
                other.block_on(async { tokio::time::sleep(std::time::Duration::from_millis(5)).await });
            }
            other.shutdown_background();
            drop(two);
            dead.send(()).expect("the test waits");
        });
        one.up(2).await;
        killed.send(()).expect("it lives");
        soon(death).await.expect("it died");
        let mut two = Node::start_with(credentials, socket_at(address).await, &peers, Default::default()).await;
        two.up(1).await;
        one.up(2).await;
        exchange(&mut one, &mut two).await;
    });
}

/// A frame each way, over links that are up.
async fn exchange(one: &mut Node, two: &mut Node) {
    one.net.sender().send(two.id, Lane::Control, Bytes::from_static(b"there"));
    assert_eq!(two.frames().await, (one.id, vec![Bytes::from_static(b"there")]));
    two.net.sender().send(one.id, Lane::Append, Bytes::from_static(b"and back"));
    assert_eq!(one.frames().await, (two.id, vec![Bytes::from_static(b"and back")]));
}

#[tokio::test]
async fn what_is_queued_goes_out_before_a_close() {
    let (one, mut two) = pair(&authority()).await;
    for at in 0..1_000 {
        one.net.sender().send(two.id, Lane::Append, numbered(at, 500));
    }
    let read = async {
        let mut count = 0;
        while count < 1_000 {
            count += two.frames().await.1.len();
        }
    };
    tokio::join!(one.net.close(), read);
}

#[tokio::test]
async fn a_node_at_the_address_of_another_is_refused() {
    let authority = authority();
    let (here, there) = (socket(), socket());
    let address = there.local_addr().expect("it is bound");
    let _three = Node::start(&authority, 3, there, &BTreeMap::new()).await;
    let one = Node::start(&authority, 1, here, &BTreeMap::from([(NodeId(2), address)])).await;
    until(|| one.net.counters().dials_failed >= 2).await;
    assert_eq!(one.net.counters().peers_connected, 0);
    assert!(!one.net.sender().is_up(NodeId(2)));
}

#[tokio::test]
async fn a_peer_of_another_cluster_is_refused_by_both_sides() {
    let (here, there) = (socket(), socket());
    let peers = addresses(&[&here, &there]);
    let one = Node::start(&authority(), 1, here, &peers).await;
    let two = Node::start(&authority(), 2, there, &peers).await;
    until(|| one.net.counters().dials_failed >= 1 && two.net.counters().dials_failed >= 1).await;
    assert_eq!(one.net.counters().peers_accepted + two.net.counters().peers_accepted, 0);
}

#[tokio::test]
async fn peers_are_added_moved_and_removed_at_run_time() {
    let authority = authority();
    let (here, there, moved) = (socket(), socket(), socket());
    let peer_at = |address: SocketAddr| BTreeMap::from([(NodeId(2), address)]);
    let mut one = Node::start(&authority, 1, here, &BTreeMap::new()).await;
    let two = Node::start(&authority, 2, there, &BTreeMap::new()).await;
    one.net.set_peers(peer_at(two.net.local_addr()));
    one.up(2).await;
    assert_eq!(one.net.links().len(), 1);

    let mut elsewhere = Node::start(&authority, 2, moved, &BTreeMap::new()).await;
    one.net.set_peers(peer_at(elsewhere.net.local_addr()));
    one.up(2).await;
    one.net.sender().send(NodeId(2), Lane::Control, Bytes::from_static(b"hello"));
    assert_eq!(elsewhere.frames().await.0, one.id);

    one.net.set_peers(BTreeMap::new());
    assert!(one.net.links().is_empty());
    assert!(!one.net.sender().is_up(NodeId(2)));
    until(|| elsewhere.net.counters().connections_open == 0).await;
}

#[tokio::test]
async fn of_a_peer_only_the_newest_connection_stays() {
    let authority = authority();
    let mut one = Node::start(&authority, 1, socket(), &BTreeMap::new()).await;
    let peers = BTreeMap::from([(NodeId(1), one.net.local_addr())]);
    let mut first = Node::start(&authority, 2, socket(), &peers).await;
    first.up(1).await;
    // Its double shows the same name: the elder loses its connection.
    let mut second = Node::start(&authority, 2, socket(), &peers).await;
    second.up(1).await;
    first.down(1).await;
    // They would now take turns for ever; one is enough.
    first.net.close().await;
    until(|| {
        second.net.sender().send(NodeId(1), Lane::Control, Bytes::from_static(b"me"));
        one.events.try_recv().is_ok()
    })
    .await;
    until(|| one.net.counters().connections_open == 1).await;
}
