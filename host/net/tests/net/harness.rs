//! Nodes on free ports, echo servers, and strangers who speak QUIC without this crate.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outboard_net::{Authority, ClientConnection, ClusterId, Credentials, Limits, Net, NetEvent, Options};
use outboard_raft::NodeId;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::mpsc;

pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Fails the test instead of hanging it.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("this happens within the deadline")
}

/// Waits for a condition that no event tells of.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

pub(crate) fn authority() -> Authority {
    Authority::create(ClusterId::random()).expect("an authority can be made")
}

/// A node and what it hears.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) net: Net,
    pub(crate) events: mpsc::Receiver<NetEvent>,
}

impl Node {
    pub(crate) async fn start(
        authority: &Authority,
        id: u64,
        socket: UdpSocket,
        peers: &BTreeMap<NodeId, SocketAddr>,
    ) -> Node {
        let credentials = authority.issue_node(NodeId(id)).expect("a node's certificate");
        Node::start_with(credentials, socket, peers, Limits::default()).await
    }

    pub(crate) async fn start_with(
        credentials: Credentials,
        socket: UdpSocket,
        peers: &BTreeMap<NodeId, SocketAddr>,
        limits: Limits,
    ) -> Node {
        let outboard_net::Principal::Node(id) = *credentials.principal() else { panic!("a node's credentials") };
        let (sender, events) = mpsc::channel(16);
        let options = Options { limits, ..Options::new(socket, credentials, peers.clone()) };
        let net = Net::bind(options, sender).await.expect("the net starts");
        Node { id, net, events }
    }

    /// A node of a cluster that was recovered by hand so often.
    pub(crate) async fn start_of(
        authority: &Authority,
        id: u64,
        socket: UdpSocket,
        peers: &BTreeMap<NodeId, SocketAddr>,
        incarnation: u64,
    ) -> Node {
        let credentials = authority.issue_node(NodeId(id)).expect("a node's certificate");
        let (sender, events) = mpsc::channel(16);
        let options = Options { incarnation, ..Options::new(socket, credentials, peers.clone()) };
        let net = Net::bind(options, sender).await.expect("the net starts");
        Node { id: NodeId(id), net, events }
    }

    pub(crate) async fn event(&mut self) -> NetEvent {
        soon(self.events.recv()).await.expect("the net lives")
    }

    /// The next frames of a peer; other events are passed over.
    pub(crate) async fn frames(&mut self) -> (NodeId, Vec<Bytes>) {
        loop {
            if let NetEvent::Peer { from, frames } = self.event().await {
                return (from, frames);
            }
        }
    }

    pub(crate) async fn up(&mut self, peer: u64) {
        loop {
            if matches!(self.event().await, NetEvent::PeerUp(up) if up == NodeId(peer)) {
                return;
            }
        }
    }

    pub(crate) async fn down(&mut self, peer: u64) {
        loop {
            if matches!(self.event().await, NetEvent::PeerDown(down) if down == NodeId(peer)) {
                return;
            }
        }
    }
}

pub(crate) fn socket() -> UdpSocket {
    UdpSocket::bind(LOOPBACK).expect("a free port")
}

/// The same port again, as soon as the system gives it back.
pub(crate) async fn socket_at(address: SocketAddr) -> UdpSocket {
    soon(async {
        loop {
            if let Ok(socket) = UdpSocket::bind(address) {
                return socket;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}

/// Two nodes that dial each other, both links up.
pub(crate) async fn pair(authority: &Authority) -> (Node, Node) {
    let (one, two) = (socket(), socket());
    let peers = addresses(&[&one, &two]);
    let mut one = Node::start(authority, 1, one, &peers).await;
    let mut two = Node::start(authority, 2, two, &peers).await;
    one.up(2).await;
    two.up(1).await;
    (one, two)
}

/// Nodes 1, 2, … at these sockets.
pub(crate) fn addresses(sockets: &[&UdpSocket]) -> BTreeMap<NodeId, SocketAddr> {
    (1..).map(NodeId).zip(sockets.iter().map(|socket| socket.local_addr().expect("it is bound"))).collect()
}

/// A node that answers every request with the request, on a task of its own.
pub(crate) struct Echo {
    pub(crate) net: Arc<Net>,
    pub(crate) address: SocketAddr,
    pub(crate) authority: Authority,
}

impl Echo {
    pub(crate) async fn start() -> Echo {
        Echo::start_with(Limits::default()).await
    }

    pub(crate) async fn start_with(limits: Limits) -> Echo {
        let authority = authority();
        let credentials = authority.issue_node(NodeId(1)).expect("a node's certificate");
        let Node { net, mut events, .. } = Node::start_with(credentials, socket(), &BTreeMap::new(), limits).await;
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                if let NetEvent::Client { requests, .. } = event {
                    // Backwards, because nobody may rely on the order.
                    requests.into_iter().rev().for_each(|(request, responder)| responder.send(request));
                }
            }
        });
        Echo { address: net.local_addr(), net: Arc::new(net), authority }
    }

    pub(crate) async fn client(&self) -> ClientConnection {
        let credentials = self.authority.issue_client("test").expect("a client's certificate");
        soon(ClientConnection::connect(self.address, &credentials)).await.expect("the node takes a good client")
    }

    /// A good client is served as ever.
    pub(crate) async fn assert_serving(&self) {
        let answer = soon(self.client().await.request(Bytes::from_static(b"still there?"))).await;
        assert_eq!(answer.expect("an answer"), "still there?");
    }
}

/// A QUIC endpoint that obeys nobody: any certificate or none, any protocol, any bytes.
pub(crate) struct Stranger(Endpoint);

impl Stranger {
    pub(crate) fn new(trusts: &Authority, shows: Option<&Credentials>, alpn: &[u8]) -> Stranger {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(trusts.certificate_pem())).expect("an authority's certificate");
        let config = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3")
            .with_root_certificates(roots);
        let mut config = match shows {
            None => config.with_no_client_auth(),
            Some(shows) => {
                let key = PrivateKeyDer::from_pem_slice(shows.key_pem().as_bytes()).expect("a key");
                config.with_client_auth_cert(vec![certificate(shows.certificate_pem())], key).expect("a pair")
            }
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        let crypto = QuicClientConfig::try_from(config).expect("a suite for QUIC");
        let mut endpoint = Endpoint::client(LOOPBACK).expect("a free port");
        endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(crypto)));
        Stranger(endpoint)
    }

    /// The connection as TLS sees it; a server that refuses the certificate closes it a moment later.
    pub(crate) async fn connect(&self, address: SocketAddr, name: &str) -> Result<Connection, quinn::ConnectionError> {
        soon(self.0.connect(address, name).expect("a legal name")).await
    }

    /// Connects where it may, and waits for the end that the node makes of it.
    pub(crate) async fn is_turned_away(&self, address: SocketAddr, name: &str) {
        if let Ok(connection) = self.connect(address, name).await {
            soon(connection.closed()).await;
        }
    }
}

pub(crate) fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
}

/// The name that any node of the cluster answers to.
pub(crate) fn any_node(authority: &Authority) -> String {
    format!("{}.outboard", authority.cluster())
}
