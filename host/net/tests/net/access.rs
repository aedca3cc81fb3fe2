//! Revoked and removed: cut off at once, kept out afterwards, and told why; everybody else goes on.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use outboard_net::{
    Access, Authority, ClientConnection, Credentials, Lane, NetError, NetEvent, Principal, Refusal, RequestError,
};
use outboard_raft::NodeId;

use crate::harness::{Echo, Node, addresses, authority, socket, soon, until};

fn revoked(name: &str) -> Access {
    Access { revoked_clients: BTreeSet::from([name.to_string()]), ..Access::default() }
}

fn removed(node: u64) -> Access {
    Access { removed_nodes: BTreeSet::from([NodeId(node)]), ..Access::default() }
}

fn client(authority: &Authority, name: &str) -> Credentials {
    authority.issue_client(name).expect("a certificate")
}

#[tokio::test]
async fn a_revoked_client_is_cut_off_in_the_middle_and_reads_why() {
    let authority = authority();
    let mut node = Node::start(&authority, 1, socket(), &BTreeMap::new()).await;
    let address = node.net.local_addr();
    let eve = soon(ClientConnection::connect(address, &client(&authority, "eve"))).await.expect("not revoked yet");
    let ana = soon(ClientConnection::connect(address, &client(&authority, "ana"))).await.expect("a good client");
    let asking = eve.clone();
    let asking = tokio::spawn(async move { asking.request(Bytes::from_static(b"secrets")).await });
    let _held = request(&mut node).await;

    node.net.set_access(revoked("eve"));
    let cut = soon(asking).await.expect("no panic");
    assert!(matches!(&cut, Err(RequestError::Lost(why)) if why == "this certificate was revoked"), "{cut:?}");
    assert_eq!(eve.refusal(), Some(Refusal::Revoked));
    // Every certificate of that name, old or new.
    for _ in 0..2 {
        let again = soon(ClientConnection::connect(address, &client(&authority, "eve"))).await;
        assert!(matches!(again, Err(NetError::Refused { cause: Refusal::Revoked, .. })), "{again:?}");
    }
    assert_eq!(node.net.counters().refused_revoked, 3);
    assert!(!ana.is_closed());
    // Taken in again.
    node.net.set_access(Access::default());
    soon(ClientConnection::connect(address, &client(&authority, "eve"))).await.expect("forgiven");
}

#[tokio::test]
async fn of_a_client_one_certificate_can_be_revoked() {
    let echo = Echo::start().await;
    let (lost, kept) = (client(&echo.authority, "ana"), client(&echo.authority, "ana"));
    let on_lost = soon(ClientConnection::connect(echo.address, &lost)).await.expect("a good client");
    let on_kept = soon(ClientConnection::connect(echo.address, &kept)).await.expect("a good client");
    let access = Access { revoked_serials: BTreeSet::from([lost.serial()]), ..Access::default() };
    echo.net.set_access(access);
    assert_eq!(soon(on_lost.closed()).await, "this certificate was revoked");
    assert_eq!(soon(on_kept.request(Bytes::from_static(b"me"))).await.expect("an answer"), "me");
    assert_eq!(on_kept.refusal(), None);
}

#[tokio::test]
async fn requests_and_transfers_name_the_certificate_that_they_come_by() {
    let authority = authority();
    let mut node = Node::start(&authority, 1, socket(), &BTreeMap::new()).await;
    let shows = client(&authority, "ana");
    let ana = soon(ClientConnection::connect(node.net.local_addr(), &shows)).await.expect("a good client");
    let asking = tokio::spawn(async move { ana.request(Bytes::new()).await });
    let info = request(&mut node).await;
    assert_eq!(info.principal, Principal::Client { name: "ana".to_string() });
    assert_eq!(info.serial, shows.serial());
    asking.abort();
}

#[tokio::test]
async fn a_removed_node_is_cut_off_by_all_and_learns_it_from_each() {
    let authority = authority();
    let sockets = [socket(), socket(), socket()];
    let peers = addresses(&[&sockets[0], &sockets[1], &sockets[2]]);
    let [first, second, third] = sockets;
    let mut one = Node::start(&authority, 1, first, &peers).await;
    let mut two = Node::start(&authority, 2, second, &peers).await;
    let mut three = Node::start(&authority, 3, third, &peers).await;
    for node in [&mut one, &mut two, &mut three] {
        for _ in 0..2 {
            while !matches!(node.event().await, NetEvent::PeerUp(_)) {}
        }
    }
    let mut told = three.net.cut_off();
    assert!(told.borrow().is_empty());
    one.net.set_access(removed(3));
    two.net.set_access(removed(3));
    let expected = BTreeMap::from([(NodeId(1), Refusal::Removed), (NodeId(2), Refusal::Removed)]);
    soon(told.wait_for(|told| *told == expected)).await.expect("the net lives");
    until(|| !one.net.sender().is_up(NodeId(3)) && !three.net.sender().is_up(NodeId(1))).await;

    // It tries again and again; nothing of it arrives, and the others don't dial it.
    let failed = three.net.counters().dials_failed;
    three.net.sender().send(NodeId(1), Lane::Control, Bytes::from_static(b"vote for me"));
    until(|| three.net.counters().dials_failed >= failed + 2).await;
    assert_eq!(three.net.counters().connections_open, 0);
    one.net.sender().send(NodeId(2), Lane::Control, Bytes::from_static(b"still there?"));
    assert_eq!(two.frames().await, (NodeId(1), vec![Bytes::from_static(b"still there?")]));
    while let Ok(event) = one.events.try_recv() {
        assert!(!matches!(event, NetEvent::Peer { from: NodeId(3), .. }), "the removed node was heard");
    }
    // Nor as a client.
    let as_client = authority.issue_node(NodeId(3)).expect("a certificate");
    let refused = soon(ClientConnection::connect(one.net.local_addr(), &as_client)).await;
    assert!(matches!(refused, Err(NetError::Refused { cause: Refusal::Removed, .. })), "{refused:?}");

    // A peer that takes it in again takes its word back.
    one.net.set_access(Access::default());
    soon(told.wait_for(|told| !told.contains_key(&NodeId(1)))).await.expect("the net lives");
    one.up(3).await;
}

#[tokio::test]
async fn a_close_with_removed_peers_does_not_wait_for_them() {
    let authority = authority();
    let (here, absent) = (socket(), socket());
    let peers = addresses(&[&here, &absent]);
    let node = Node::start(&authority, 1, here, &peers).await;
    node.net.set_access(removed(2));
    until(|| node.net.links().iter().all(|link| link.round_trip.is_none())).await;
    soon(node.net.close()).await;
    assert_eq!(node.net.counters().peers_connected, 0);
}

async fn request(node: &mut Node) -> std::sync::Arc<outboard_net::ClientInfo> {
    loop {
        if let NetEvent::Client { from, requests } = node.event().await {
            drop(requests);
            return from;
        }
    }
}
