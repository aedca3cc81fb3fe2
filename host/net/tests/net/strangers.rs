//! Those who don't belong, and those who break the rules: turned away and counted, while a good client keeps being served.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use outboard_net::{ClientConnection, Counters, Limits, NetError, Principal, Validity};
use outboard_raft::NodeId;
use tokio::net::UdpSocket;

use crate::harness::{Echo, LOOPBACK, Node, Stranger, addresses, any_node, authority, socket, soon, until};

const CLIENT: &[u8] = b"outboard-client/1";
const PEER: &[u8] = b"outboard-peer/1";

#[tokio::test]
async fn a_stranger_without_a_certificate_is_refused() {
    let echo = Echo::start().await;
    Stranger::new(&echo.authority, None, CLIENT).is_turned_away(echo.address, &any_node(&echo.authority)).await;
    until(|| echo.net.counters().refused_certificate == 1).await;
    echo.assert_serving().await;
}

#[tokio::test]
async fn a_certificate_of_another_cluster_is_refused() {
    let echo = Echo::start().await;
    let foreign = authority().issue_client("ana").expect("a certificate");
    let stranger = Stranger::new(&echo.authority, Some(&foreign), CLIENT);
    stranger.is_turned_away(echo.address, &any_node(&echo.authority)).await;
    until(|| echo.net.counters().refused_foreign == 1).await;
    echo.assert_serving().await;
}

#[tokio::test]
async fn an_expired_certificate_and_one_of_the_future_are_refused() {
    let echo = Echo::start().await;
    let hour = Duration::from_secs(3_600);
    let now = SystemTime::now();
    for (count, (from, until_then)) in [(1, (now - 48 * hour, now - hour)), (2, (now + 24 * hour, now + 48 * hour))] {
        let principal = Principal::Client { name: "ana".to_string() };
        let wrong = echo.authority.issue(principal, Validity { from, until: until_then }).expect("a certificate");
        let refused = soon(ClientConnection::connect(echo.address, &wrong)).await;
        assert!(matches!(&refused, Err(NetError::Refused { what, .. }) if what.contains("expired")), "{refused:?}");
        until(|| echo.net.counters().refused_certificate == count).await;
    }
    echo.assert_serving().await;
}

#[tokio::test]
async fn nodes_of_two_incarnations_of_a_cluster_refuse_each_other_and_those_of_one_meet() {
    let authority = authority();
    let sockets = [socket(), socket(), socket()];
    let peers = addresses(&[&sockets[0], &sockets[1], &sockets[2]]);
    let [one, two, three] = sockets;
    let mut old = Node::start_of(&authority, 1, one, &peers, 0).await;
    let mut new = Node::start_of(&authority, 2, two, &peers, 1).await;
    let mut other = Node::start_of(&authority, 3, three, &peers, 1).await;
    new.up(3).await;
    other.up(2).await;
    // Each refuses what the old one dials, and is refused where it dials it.
    until(|| new.net.counters().refused_protocol > 0 && other.net.counters().refused_protocol > 0).await;
    until(|| old.net.counters().refused_protocol > 0).await;
    assert_eq!(old.net.counters().peers_connected, 0);
    assert!(old.events.try_recv().is_err() && new.events.try_recv().is_err(), "no word of the others comes in");
}

#[tokio::test]
async fn an_unknown_protocol_is_refused() {
    let echo = Echo::start().await;
    let shows = echo.authority.issue_client("ana").expect("a certificate");
    for (count, alpn) in [(1, &b"h3"[..]), (2, b"outboard-peer/2")] {
        let stranger = Stranger::new(&echo.authority, Some(&shows), alpn);
        stranger.is_turned_away(echo.address, &any_node(&echo.authority)).await;
        until(|| echo.net.counters().refused_protocol == count).await;
    }
    echo.assert_serving().await;
}

#[tokio::test]
async fn a_client_can_not_speak_as_a_peer_nor_a_node_as_the_node_itself() {
    let echo = Echo::start().await;
    let client = echo.authority.issue_client("ana").expect("a certificate");
    let double = echo.authority.issue_node(NodeId(1)).expect("a certificate");
    for (count, shows) in [(1, client), (2, double)] {
        let stranger = Stranger::new(&echo.authority, Some(&shows), PEER);
        stranger.is_turned_away(echo.address, &any_node(&echo.authority)).await;
        until(|| echo.net.counters().refused_role == count).await;
    }
    assert_eq!(echo.net.counters().peers_accepted, 0);
    echo.assert_serving().await;
}

#[tokio::test]
async fn garbage_datagrams_change_nothing() {
    let echo = Echo::start().await;
    let client = echo.client().await;
    let garbage = UdpSocket::bind(LOOPBACK).await.expect("a free port");
    let mut state = 1u64;
    for round in 0..2_000u32 {
        let length = (round % 1_400) as usize + 1;
        let mut bytes: Vec<u8> = (0..length)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) as u8
            })
            .collect();
        // Every other one looks like the start of a handshake, cut or damaged.
        if round % 2 == 0 {
            bytes[0] = 0xc0 | bytes[0] & 0x0f;
            for (at, byte) in [0, 0, 0, 1, 8].into_iter().enumerate().take(length.saturating_sub(1)) {
                bytes[at + 1] = byte;
            }
        }
        garbage.send_to(&bytes, echo.address).await.expect("loopback takes it");
    }
    assert_eq!(soon(client.request("alive".into())).await.expect("an answer"), "alive");
    echo.assert_serving().await;
}

#[tokio::test]
async fn malformed_streams_of_clients_cost_their_connection_only() {
    let echo = Echo::start().await;
    let shows = echo.authority.issue_client("ana").expect("a certificate");
    let stranger = Stranger::new(&echo.authority, Some(&shows), CLIENT);
    let oversized = [&[3u8][..], &u32::MAX.to_le_bytes()].concat();
    let without_id = [&[3u8][..], &7u32.to_le_bytes(), b"1234567"].concat();
    let truncated = [&[3u8][..], &100u32.to_le_bytes(), b"12345678 and no more"].concat();
    let cases = [&[77u8][..], &[1], &[2], &oversized, &without_id, &truncated];
    for (count, bytes) in cases.into_iter().enumerate() {
        let connection = stranger.connect(echo.address, &any_node(&echo.authority)).await.expect("it may connect");
        let (mut send, _receive) = connection.open_bi().await.expect("a stream");
        send.write_all(bytes).await.expect("open");
        send.finish().expect("open");
        soon(connection.closed()).await;
        until(|| echo.net.counters().malformed == count as u64 + 1).await;
    }
    echo.assert_serving().await;
}

#[tokio::test]
async fn malformed_streams_of_peers_cost_their_connection_only() {
    let echo = Echo::start().await;
    let shows = echo.authority.issue_node(NodeId(2)).expect("a certificate");
    let stranger = Stranger::new(&echo.authority, Some(&shows), PEER);
    let oversized = [&[2u8][..], &u32::MAX.to_le_bytes()].concat();
    for (count, bytes) in [&[0u8][..], &[1], &[3], &oversized, &[2, 9, 0]].into_iter().enumerate() {
        let connection = stranger.connect(echo.address, &any_node(&echo.authority)).await.expect("it may connect");
        let mut send = connection.open_uni().await.expect("a stream");
        send.write_all(bytes).await.expect("open");
        send.finish().expect("open");
        soon(connection.closed()).await;
        until(|| echo.net.counters().malformed == count as u64 + 1).await;
    }
    echo.assert_serving().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_are_refused_until_one_ends() {
    let echo = Echo::start_with(Limits { connections_max: 2, ..Limits::default() }).await;
    let (first, _second) = (echo.client().await, echo.client().await);
    let credentials = echo.authority.issue_client("ana").expect("a certificate");
    let third = soon(ClientConnection::connect(echo.address, &credentials)).await;
    assert!(matches!(&third, Err(NetError::Refused { what, .. }) if what.contains("too many")), "{third:?}");
    assert_eq!(echo.net.counters().refused_busy, 1);
    // A peer still comes in.
    let peers = BTreeMap::from([(NodeId(1), echo.address)]);
    let mut peer = Node::start(&echo.authority, 2, socket(), &peers).await;
    peer.up(1).await;
    peer.net.close().await;
    until(|| echo.net.counters().connections_open == 2).await;
    drop(first);
    until(|| echo.net.counters().connections_open == 1).await;
    echo.assert_serving().await;
}

#[tokio::test]
async fn a_good_client_proves_its_address_when_handshakes_are_many() {
    let echo = Echo::start_with(Limits { handshakes_unproven_max: 0, ..Limits::default() }).await;
    echo.assert_serving().await;
}

#[tokio::test]
async fn a_node_needs_the_credentials_of_a_node() {
    let authority = authority();
    let client = authority.issue_client("ana").expect("a certificate");
    let (events, _inbox) = tokio::sync::mpsc::channel(1);
    let options = outboard_net::Options::new(socket(), client, BTreeMap::new());
    assert!(matches!(outboard_net::Net::bind(options, events).await, Err(NetError::NotANode { .. })));
}

#[tokio::test]
async fn a_port_that_is_taken_is_told_with_its_address() {
    let authority = authority();
    let node = Node::start(&authority, 1, socket(), &BTreeMap::new()).await;
    let (events, _inbox) = tokio::sync::mpsc::channel(1);
    let credentials = authority.issue_node(NodeId(2)).expect("a certificate");
    let taken = node.net.local_addr();
    let bound = outboard_net::Net::bind(outboard_net::Options::new(taken, credentials, BTreeMap::new()), events).await;
    assert!(matches!(bound, Err(NetError::Bind { address, .. }) if address == taken));
    assert_eq!(node.net.counters(), Counters::default());
}
