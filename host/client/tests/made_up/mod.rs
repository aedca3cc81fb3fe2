//! Made-up nodes: real QUIC on loopback, with answers written by the test.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::wildcard_enum_match_arm,
    reason = "shared by test binaries, each of which uses its part"
)]

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use outboard_client::{Client, Context, Options};
use outboard_net::{Access, Authority, ClusterId, Net, NetEvent, Responder};
use outboard_raft::NodeId;
use outboard_wire::client::{Answer, Hint, Request, RequestBody, RequestId, Response};
use tokio::sync::mpsc;

/// What a made-up node does with a command.
#[derive(Clone)]
pub enum Behaviour {
    Reply(&'static str),
    Respond(Response),
    Hint(SocketAddr, &'static str),
    /// It takes the request and says nothing.
    Silent,
    /// It ends the connection after the request came.
    Hang,
    /// It learns that the client is revoked, and cuts it off.
    Revoke,
}

const CLIENT: &str = "test";

pub struct FakeNode {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
}

/// A command or transaction that came.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Heard {
    /// The command's first argument.
    pub name: String,
    pub id: Option<RequestId>,
}

pub struct World {
    authority: Authority,
    /// Sessions that were opened and closed on any node.
    pub opened: Arc<AtomicU64>,
    pub closed: Arc<AtomicU64>,
}

impl World {
    pub fn new() -> World {
        let authority = Authority::create(ClusterId::random()).expect("an authority");
        World { authority, opened: Arc::default(), closed: Arc::default() }
    }

    /// Behaves as told for one command after the other, then always as the last.
    pub async fn node(&self, id: u64, behaviours: Vec<Behaviour>) -> FakeNode {
        let (events, mut incoming) = mpsc::channel(64);
        let credentials = self.authority.issue_node(NodeId(id)).expect("credentials");
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let options = outboard_net::Options::new(listen, credentials, Default::default());
        let net = Net::bind(options, events).await.expect("loopback has free ports");
        let address = net.local_addr();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let log = heard.clone();
        let (opened, closed) = (self.opened.clone(), self.closed.clone());
        tokio::spawn(async move {
            let mut next = behaviours.into_iter().peekable();
            let mut unanswered: Vec<Responder> = Vec::new();
            while let Some(event) = incoming.recv().await {
                let NetEvent::Client { requests, .. } = event else { continue };
                for (request, responder) in requests {
                    let heard = match Request::decode(&request).expect("a request").body {
                        RequestBody::Command { arguments, id, .. } => Heard { name: text(&arguments[0]), id },
                        RequestBody::Transaction { commands, id, .. } => Heard { name: text(&commands[0][0]), id },
                        RequestBody::Access(_) => Heard { name: "ACCESS".to_owned(), id: None },
                        RequestBody::SessionOpen => {
                            let session = opened.fetch_add(1, Ordering::Relaxed) + 1;
                            send(responder, None, Response::SessionOpened { session });
                            continue;
                        }
                        RequestBody::SessionClose { .. } => {
                            closed.fetch_add(1, Ordering::Relaxed);
                            send(responder, None, Response::Done);
                            continue;
                        }
                        _ => {
                            send(responder, None, Response::NotDone("alive".into()));
                            continue;
                        }
                    };
                    log.lock().expect("a log").push(heard);
                    let behaviour = if next.len() > 1 { next.next() } else { next.peek().cloned() };
                    match behaviour.expect("a node has a behaviour") {
                        Behaviour::Reply(reply) => {
                            send(responder, None, Response::Reply(Bytes::from_static(reply.as_bytes())))
                        }
                        Behaviour::Respond(response) => send(responder, None, response),
                        Behaviour::Hint(leader, reply) => {
                            let hint = Hint { node: 9, address: leader.to_string() };
                            send(responder, Some(hint), Response::Reply(Bytes::from_static(reply.as_bytes())));
                        }
                        Behaviour::Silent => unanswered.push(responder),
                        Behaviour::Revoke => {
                            unanswered.push(responder);
                            let revoked_clients = [CLIENT.to_owned()].into();
                            net.set_access(Access { revoked_clients, ..Access::default() });
                        }
                        Behaviour::Hang => {
                            net.close().await;
                            return;
                        }
                    }
                }
            }
        });
        FakeNode { address, heard }
    }

    /// An address where nobody answers, for as long as the socket is kept.
    pub fn nobody(&self) -> (FakeNode, UdpSocket) {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        (FakeNode { address: socket.local_addr().expect("bound"), heard: Arc::default() }, socket)
    }

    pub fn client(&self, nodes: &[&FakeNode]) -> Client {
        self.client_with(nodes, Options::default())
    }

    /// One that gives its writes no names.
    pub fn plain_client(&self, nodes: &[&FakeNode]) -> Client {
        self.client_with(nodes, Options { sessions: false, ..Options::default() })
    }

    pub fn client_with(&self, nodes: &[&FakeNode], options: Options) -> Client {
        let endpoints = nodes.iter().map(|node| node.address.to_string()).collect();
        let context = Context::new(endpoints, self.authority.issue_client(CLIENT).expect("credentials"));
        Client::new(&context, Options { timeout: Duration::from_secs(20), ..options }).expect("a client")
    }
}

impl FakeNode {
    pub fn heard(&self) -> Vec<String> {
        self.named().into_iter().map(|heard| heard.name).collect()
    }

    /// The commands with their names in sessions.
    pub fn named(&self) -> Vec<Heard> {
        self.heard.lock().expect("a log").clone()
    }
}

fn send(responder: Responder, leader: Option<Hint>, response: Response) {
    responder.send(Bytes::from(Answer { leader, response }.encode()));
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
