//! New certificates in the middle of everything: renewed when due, swapped without dropping a connection.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use outboard_net::{
    Authority, CERTIFICATE_LIFETIME, CertificateRequest, Credentials, Dialler, Lane, NetError, NetEvent, Principal,
    Serial, Validity,
};
use outboard_raft::NodeId;

use crate::harness::{Echo, Node, Stranger, any_node, authority, pair, socket, soon, until};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// What a cluster does with a renewal: believes the connection, not the request.
fn renew(authority: &Authority, credentials: &Credentials) -> Credentials {
    let request = credentials.renewal_request().expect("a request");
    let arrived = CertificateRequest::from_der(request.der()).expect("it holds");
    let certificate = authority.sign(&arrived, credentials.principal(), Validity::usual()).expect("it is signed");
    credentials.renewed(&certificate, authority.certificate_pem()).expect("it is for us")
}

#[test]
fn a_certificate_lasts_90_days_and_is_due_after_two_thirds() {
    let credentials = authority().issue_node(NodeId(1)).expect("a certificate");
    let now = SystemTime::now();
    assert_eq!(CERTIFICATE_LIFETIME, 90 * DAY);
    assert!(!credentials.renewal_due(now) && !credentials.renewal_due(now + 59 * DAY));
    assert!(credentials.renewal_due(now + 61 * DAY) && credentials.renewal_due(now + 91 * DAY));
    assert!(credentials.valid_until() >= now + 89 * DAY);
}

#[test]
fn nothing_outlives_the_authority_and_the_authority_lasts_ten_years() {
    let authority = authority();
    let now = SystemTime::now();
    assert!(authority.valid_until() > now + 3_649 * DAY);
    let long = Validity { from: now, until: now + 20 * 365 * DAY };
    let clamped = authority.issue(Principal::Node(NodeId(1)), long).expect("a certificate");
    assert_eq!(clamped.valid_until(), authority.valid_until());
}

#[test]
fn a_renewal_keeps_key_and_holder_and_takes_no_other() {
    let authority = authority();
    let old = authority.issue_client("ana").expect("a certificate");
    let new = renew(&authority, &old);
    assert_eq!((new.key_pem(), new.principal()), (old.key_pem(), old.principal()));
    assert_ne!(new.serial(), old.serial());
    let request = old.renewal_request().expect("a request");
    let eve = Principal::Client { name: "eve".to_string() };
    let other = authority.sign(&request, &eve, Validity::usual()).expect("it is signed");
    let refused = old.renewed(&other, authority.certificate_pem()).expect_err("another's").to_string();
    assert!(refused.contains("eve"), "{refused}");
    let not_the_key = authority.issue_client("ana").expect("a certificate");
    old.renewed(not_the_key.certificate_pem(), authority.certificate_pem()).expect_err("another key's");
}

#[test]
fn an_authority_is_read_back_from_its_texts_and_not_with_another_key() {
    let (one, other) = (authority(), authority());
    let again = Authority::from_pem(one.certificate_pem(), &one.key_pem()).expect("it is read");
    assert_eq!((again.pin(), again.cluster(), again.valid_until()), (one.pin(), one.cluster(), one.valid_until()));
    assert_ne!(one.pin(), other.pin());
    let wrong = Authority::from_pem(one.certificate_pem(), &other.key_pem()).expect_err("another key").to_string();
    assert!(wrong.contains("doesn't belong"), "{wrong}");
    let node = one.issue_node(NodeId(1)).expect("a certificate");
    assert_eq!(node.authority_pin(), one.pin());
}

#[tokio::test]
async fn credentials_are_swapped_while_a_request_is_under_way() {
    let authority = authority();
    let mut node = Node::start(&authority, 1, socket(), &BTreeMap::new()).await;
    let address = node.net.local_addr();
    let dialler = Dialler::new(&authority.issue_client("ana").expect("a certificate")).expect("a dialler");
    let standing = soon(dialler.connect(address)).await.expect("a good client");
    let asking = standing.clone();
    let asking = tokio::spawn(async move { asking.request(Bytes::from_static(b"slow")).await });
    let (from, responder) = request(&mut node).await;

    let (old, new) = (node.net.credentials(), renew(&authority, &node.net.credentials()));
    node.net.set_credentials(new.clone()).expect("they fit");
    let client = renew(&authority, &dialler.credentials());
    dialler.set_credentials(&client).expect("they fit");
    assert_eq!((shown(&authority, address).await, node.net.credentials().serial()), (new.serial(), new.serial()));
    assert_ne!(old.serial(), new.serial());

    responder.send(Bytes::from_static(b"done"));
    assert_eq!(soon(asking).await.expect("no panic").expect("an answer"), "done");
    assert!(!standing.is_closed(), "the old connection stands");
    // The next connection comes by the new certificate.
    let next = soon(dialler.connect(address)).await.expect("a good client");
    let asking = tokio::spawn(async move { next.request(Bytes::new()).await });
    let (info, responder) = request(&mut node).await;
    assert_eq!((info.serial, from.serial != info.serial), (client.serial(), true));
    responder.send(Bytes::new());
    soon(asking).await.expect("no panic").expect("an answer");
}

#[tokio::test]
async fn links_between_nodes_stand_through_a_swap_and_come_back_under_the_new_certificate() {
    let authority = authority();
    let (one, mut two) = pair(&authority).await;
    let new = renew(&authority, &one.net.credentials());
    one.net.set_credentials(new).expect("they fit");
    one.net.sender().send(two.id, Lane::Control, Bytes::from_static(b"same connection"));
    assert_eq!(two.frames().await.1, vec![Bytes::from_static(b"same connection")]);
    assert_eq!((one.net.counters().reconnects, two.net.counters().reconnects), (0, 0));
}

#[tokio::test]
async fn a_node_whose_certificate_ran_out_is_connected_at_once_with_a_new_one() {
    let authority = authority();
    let (here, there) = (socket(), socket());
    let peers = crate::harness::addresses(&[&here, &there]);
    let now = SystemTime::now();
    let past = Validity { from: now - 2 * DAY, until: now - DAY };
    let expired = authority.issue(Principal::Node(NodeId(1)), past).expect("a certificate");
    let mut one = Node::start_with(expired, here, &peers, Default::default()).await;
    let mut two = Node::start(&authority, 2, there, &peers).await;
    until(|| one.net.counters().dials_failed >= 2 && two.net.counters().dials_failed >= 2).await;
    let new = renew(&authority, &one.net.credentials());
    one.net.set_credentials(new).expect("they fit");
    one.up(2).await;
    two.up(1).await;
}

#[tokio::test]
async fn credentials_of_anybody_else_are_not_taken() {
    let ours = authority();
    let node = Node::start(&ours, 1, socket(), &BTreeMap::new()).await;
    let same_id = Authority::create(ours.cluster()).expect("an authority");
    for (wrong, expected) in [
        (ours.issue_node(NodeId(2)), "node 2"),
        (ours.issue_client("ana"), "client ana"),
        (authority().issue_node(NodeId(1)), "node 1 of c-"),
        (same_id.issue_node(NodeId(1)), "another key"),
    ] {
        let refused = node.net.set_credentials(wrong.expect("a certificate"));
        assert!(matches!(&refused, Err(NetError::Tls { what }) if what.contains(expected)), "{refused:?}");
    }
    let echo = Echo::start().await;
    let dialler = Dialler::new(&echo.authority.issue_client("ana").expect("a certificate")).expect("a dialler");
    dialler.set_credentials(&echo.authority.issue_client("eve").expect("a certificate")).expect_err("another client");
    soon(dialler.connect(echo.address)).await.expect("the old ones still hold");
}

type Asked = (std::sync::Arc<outboard_net::ClientInfo>, outboard_net::Responder);

async fn request(node: &mut Node) -> Asked {
    loop {
        if let NetEvent::Client { from, mut requests } = node.event().await {
            return (from, requests.remove(0).1);
        }
    }
}

/// The certificate that a node shows to whoever dials it now.
async fn shown(authority: &Authority, address: std::net::SocketAddr) -> Serial {
    let shows = authority.issue_client("looker").expect("a certificate");
    let stranger = Stranger::new(authority, Some(&shows), b"outboard-client/1");
    let connection = stranger.connect(address, &any_node(authority)).await.expect("it may connect");
    let chain = connection.peer_identity().expect("a certificate");
    let chain = chain.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().expect("a chain");
    assert_eq!(chain.len(), 1, "only joiners are shown the authority");
    serial(&chain[0])
}

fn serial(der: &[u8]) -> Serial {
    use x509_parser::prelude::FromDer;
    let (_, certificate) = x509_parser::certificate::X509Certificate::from_der(der).expect("a certificate");
    let digits: String = certificate.raw_serial().iter().map(|byte| format!("{byte:02x}")).collect();
    digits.parse().expect("a serial number")
}
