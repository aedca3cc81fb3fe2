//! Requests of clients: many at once, bounds, endings.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use outboard_net::{
    CLIENT_FRAME_BYTES_MAX, ClientConnection, NetError, NetEvent, Principal, REQUEST_UNITS_MAX, RequestError,
};
use outboard_raft::NodeId;
use tokio::task::JoinSet;

use crate::harness::{Echo, Node, Stranger, any_node, authority, socket, soon, until};

const REQUESTS: u8 = 3;

#[tokio::test]
async fn many_requests_at_once_each_get_their_own_answer_in_any_order() {
    let echo = Echo::start().await;
    let client = echo.client().await;
    let mut asking = JoinSet::new();
    for at in 0u32..20_000 {
        let client = client.clone();
        let body =
            Bytes::from(vec![at as u8; (at % 700) as usize].into_iter().chain(at.to_le_bytes()).collect::<Vec<_>>());
        asking.spawn(async move { assert_eq!(client.request(body.clone()).await.expect("an answer"), body) });
    }
    soon(asking.join_all()).await;
    until(|| echo.net.counters().responses == 20_000).await;
    assert_eq!(echo.net.counters().requests, 20_000);
}

#[tokio::test]
async fn the_largest_request_and_response_pass_and_a_larger_one_is_refused_at_once() {
    let echo = Echo::start().await;
    let client = echo.client().await;
    let largest = Bytes::from(vec![5; CLIENT_FRAME_BYTES_MAX - 8]);
    assert!(soon(client.request(largest.clone())).await.expect("an answer") == largest);
    let larger = Bytes::from(vec![5; CLIENT_FRAME_BYTES_MAX - 7]);
    assert!(matches!(soon(client.request(larger)).await, Err(RequestError::TooLarge { .. })));
    assert_eq!(soon(client.request(Bytes::new())).await.expect("an answer"), Bytes::new());
}

#[tokio::test]
async fn an_unanswered_request_holds_nobody_else_up_and_is_lost_when_the_node_closes() {
    let authority = authority();
    let mut node = Node::start(&authority, 1, socket(), &BTreeMap::new()).await;
    let client = connect(&node, &authority.issue_client("ana").expect("a certificate")).await;
    let (first, second) = (client.clone(), client.clone());
    let first = tokio::spawn(async move { first.request(Bytes::from_static(b"first")).await });
    let (held, info) = next_request(&mut node).await;
    assert_eq!(info.principal, Principal::Client { name: "ana".to_string() });
    let second = tokio::spawn(async move { second.request(Bytes::from_static(b"second")).await });
    next_request(&mut node).await.0.1.send(Bytes::from_static(b"done"));
    assert_eq!(soon(second).await.expect("no panic").expect("an answer"), "done");

    node.net.close().await;
    let lost = soon(first).await.expect("no panic");
    assert!(matches!(&lost, Err(RequestError::Lost(why)) if why.contains("stops")), "{lost:?}");
    assert!(client.is_closed());
    assert!(matches!(soon(client.request(Bytes::new())).await, Err(RequestError::NotSent(_))));
    drop(held);
}

#[tokio::test]
async fn responses_that_are_queued_go_out_before_a_close() {
    let authority = authority();
    let mut node = Node::start(&authority, 1, socket(), &BTreeMap::new()).await;
    let client = connect(&node, &authority.issue_client("ana").expect("a certificate")).await;
    let asking = tokio::spawn(async move { client.request(Bytes::from_static(b"last words")).await });
    let ((request, responder), _) = next_request(&mut node).await;
    responder.send(request);
    node.net.close().await;
    assert_eq!(soon(asking).await.expect("no panic").expect("an answer"), "last words");
}

#[tokio::test]
async fn a_node_may_act_as_a_client_and_is_known_as_a_node() {
    let authority = authority();
    let mut node = Node::start(&authority, 1, socket(), &BTreeMap::new()).await;
    let client = connect(&node, &authority.issue_node(NodeId(2)).expect("a certificate")).await;
    assert_eq!(client.node(), &Principal::Node(NodeId(1)));
    let asking = tokio::spawn(async move { client.request(Bytes::from_static(b"x")).await });
    let ((_, responder), info) = next_request(&mut node).await;
    assert_eq!(info.principal, Principal::Node(NodeId(2)));
    responder.send(Bytes::new());
    soon(asking).await.expect("no panic").expect("an answer");
}

#[tokio::test]
async fn nobody_at_the_address_is_told_apart_from_a_refusal() {
    let authority = authority();
    let silent = socket();
    let address = silent.local_addr().expect("it is bound");
    let good = authority.issue_client("ana").expect("a certificate");
    assert!(matches!(soon(ClientConnection::connect(address, &good)).await, Err(NetError::NoAnswer { .. })));
    let node = Node::start(&authority, 1, socket(), &BTreeMap::new()).await;
    let foreign = crate::harness::authority().issue_client("ana").expect("a certificate");
    let refused = soon(ClientConnection::connect(node.net.local_addr(), &foreign)).await;
    assert!(matches!(refused, Err(NetError::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_client_that_asks_without_end_is_read_only_up_to_the_limit() {
    let authority = authority();
    let mut node = Node::start(&authority, 1, socket(), &BTreeMap::new()).await;
    let shows = authority.issue_client("greedy").expect("a certificate");
    let stranger = Stranger::new(&authority, Some(&shows), b"outboard-client/1");
    let connection = stranger.connect(node.net.local_addr(), &any_node(&authority)).await.expect("it may connect");
    let (mut send, _receive) = connection.open_bi().await.expect("a stream");
    let writing = tokio::spawn(async move {
        send.write_all(&[REQUESTS]).await.expect("open");
        for id in 0..3 * REQUEST_UNITS_MAX as u64 {
            send.write_all(&request(id, b"")).await.expect("open");
        }
        send
    });
    let mut held = Vec::new();
    while held.len() < REQUEST_UNITS_MAX {
        if let NetEvent::Client { requests, .. } = node.event().await {
            held.extend(requests);
        }
    }
    assert_eq!(held.len(), REQUEST_UNITS_MAX);
    // Another client's round trip passes through the same node; nothing of the greedy one came before it.
    let other = connect(&node, &authority.issue_client("ana").expect("a certificate")).await;
    let asking = tokio::spawn(async move { other.request(Bytes::from_static(b"me too")).await });
    let ((body, responder), info) = next_request(&mut node).await;
    assert_eq!((&body[..], info.principal.to_string()), (&b"me too"[..], "client ana".to_string()));
    responder.send(body);
    soon(asking).await.expect("no panic").expect("an answer");
    // Each answer makes room for one more.
    held.pop().expect("many").1.send(Bytes::new());
    assert_eq!(next_request(&mut node).await.1.principal.to_string(), "client greedy");
    writing.abort();
}

#[tokio::test]
async fn a_client_that_never_reads_its_responses_is_cut_off() {
    let authority = authority();
    let mut node = Node::start(&authority, 1, socket(), &BTreeMap::new()).await;
    let shows = authority.issue_client("deaf").expect("a certificate");
    let stranger = Stranger::new(&authority, Some(&shows), b"outboard-client/1");
    let connection = stranger.connect(node.net.local_addr(), &any_node(&authority)).await.expect("it may connect");
    let (mut send, _receive) = connection.open_bi().await.expect("a stream");
    send.write_all(&[REQUESTS]).await.expect("open");
    for id in 0..8_000 {
        send.write_all(&request(id, b"")).await.expect("open");
    }
    // All answers share one buffer here; the bound counts what they would take for themselves.
    let large = Bytes::from(vec![0; 128 << 10]);
    let mut held = Vec::new();
    while held.len() < 8_000 {
        if let NetEvent::Client { requests, .. } = node.event().await {
            held.extend(requests);
        }
    }
    held.into_iter().for_each(|(_, responder)| responder.send(large.clone()));
    soon(connection.closed()).await;
    assert_eq!(node.net.counters().slow_clients, 1);
}

#[tokio::test]
async fn a_request_that_is_given_up_leaves_room_for_others() {
    let authority = authority();
    let mut node = Node::start(&authority, 1, socket(), &BTreeMap::new()).await;
    let client = connect(&node, &authority.issue_client("ana").expect("a certificate")).await;
    for _ in 0..3 {
        let asked = tokio::time::timeout(Duration::from_millis(20), client.request(Bytes::from_static(b"given up")));
        let (asked, _) = tokio::join!(asked, next_request(&mut node));
        assert!(asked.is_err(), "nobody answered");
    }
    let asking = tokio::spawn(async move { client.request(Bytes::from_static(b"wanted")).await });
    let ((body, responder), _) = next_request(&mut node).await;
    responder.send(body);
    assert_eq!(soon(asking).await.expect("no panic").expect("an answer"), "wanted");
}

async fn connect(node: &Node, credentials: &outboard_net::Credentials) -> ClientConnection {
    soon(ClientConnection::connect(node.net.local_addr(), credentials)).await.expect("the node takes a good client")
}

type Request = ((Bytes, outboard_net::Responder), std::sync::Arc<outboard_net::ClientInfo>);

async fn next_request(node: &mut Node) -> Request {
    loop {
        if let NetEvent::Client { from, mut requests } = node.event().await {
            assert_eq!(requests.len(), 1, "one at a time here");
            return (requests.remove(0), from);
        }
    }
}

/// A request as it stands on the wire.
fn request(id: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = (8 + body.len() as u32).to_le_bytes().to_vec();
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}
