//! A network that can be made bad: UDP between real nodes goes through here, and each direction of each pair has a weather of its own.
//!
//! ```text
//!   n1 ──▶ door of n2 ──▶ n2      a datagram; its sender is known by its address
//!   n1 ◀── door of n2 ◀── n2      the answer, by the way that was made for this sender
//! ```
//!
//! Every node is known to all others by the address of its door, and listens elsewhere. Who is no node (clients, command lines) is
//! number 0. Chance decides about datagrams and comes from no seed: what nodes send when is not reproducible either.
//! Bounds: a way that carried no answer for a minute is given up, so that the many clients of a long test don't use up descriptors.

use outboard_sim::random::Random;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// The longest datagram of UDP.
const DATAGRAM_BYTES_MAX: usize = 65_535;
const IDLE_MAX: Duration = Duration::from_secs(60);

/// What happens to the datagrams of one direction.
#[derive(Copy, Clone, Eq, PartialEq, Default, Debug)]
pub struct Weather {
    /// Nothing passes.
    pub is_cut: bool,
    /// So many of a hundred are lost.
    pub loss_percent: u32,
    /// So many of a hundred arrive twice.
    pub twice_percent: u32,
    /// So many of a hundred are held back for up to [`Weather::late`], so that others overtake them.
    pub late_percent: u32,
    /// How late at most.
    pub late: Duration,
}

/// The doors of the nodes 1, 2 and so on.
#[derive(Debug)]
pub struct Proxy {
    doors: Vec<SocketAddr>,
    fabric: Arc<Fabric>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Fabric {
    nodes: Vec<SocketAddr>,
    /// By sender and receiver, in rows.
    weathers: Mutex<Vec<Weather>>,
    random: Mutex<Random>,
}

impl Proxy {
    /// Opens a door for each of these nodes, which listen or will listen there. All is well at first.
    pub fn start(nodes: Vec<SocketAddr>) -> Proxy {
        let sockets: Vec<std::net::UdpSocket> = nodes.iter().map(|_| bound()).collect();
        let doors = sockets.iter().map(|socket| socket.local_addr().expect("it is bound")).collect();
        let weathers = Mutex::new(vec![Weather::default(); (nodes.len() + 1).pow(2)]);
        let fabric = Arc::new(Fabric { nodes, weathers, random: Mutex::new(Random::new(1)) });
        let (stop, stopped) = oneshot::channel();
        let carried = Arc::clone(&fabric);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                for (node, socket) in (1..).zip(sockets) {
                    let socket = UdpSocket::from_std(socket).expect("it does not block");
                    tokio::spawn(keep_door(Arc::clone(&carried), node, Arc::new(socket)));
                }
                // The proxy stopped or is gone: both are an end.
                stopped.await.unwrap_or_default();
            });
        });
        Proxy { doors, fabric, stop: Some(stop), thread: Some(thread) }
    }

    /// Where the others find a node.
    pub fn door(&self, node: usize) -> SocketAddr {
        self.doors[node - 1]
    }

    /// The weather from one node to another; 0 stands for all who are no node.
    pub fn set(&self, from: usize, to: usize, weather: Weather) {
        let place = self.fabric.place(from, to);
        self.fabric.weathers.lock().expect("nobody panics with the lock")[place] = weather;
    }

    /// The weather between two nodes, both ways.
    pub fn set_both(&self, one: usize, other: usize, weather: Weather) {
        self.set(one, other, weather);
        self.set(other, one, weather);
    }

    /// All is well again.
    pub fn heal(&self) {
        self.fabric.weathers.lock().expect("nobody panics with the lock").fill(Weather::default());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().expect("it is joined once").join();
        assert!(ended.is_ok() || std::thread::panicking(), "the proxy panicked");
    }
}

impl Fabric {
    fn place(&self, from: usize, to: usize) -> usize {
        from * (self.nodes.len() + 1) + to
    }

    fn number_of(&self, sender: SocketAddr) -> usize {
        self.nodes.iter().position(|node| *node == sender).map_or(0, |place| place + 1)
    }

    /// How late each copy of a datagram arrives; none of it when it is lost.
    fn fate(&self, from: usize, to: usize) -> Vec<Duration> {
        let weather = self.weathers.lock().expect("nobody panics with the lock")[self.place(from, to)];
        let mut random = self.random.lock().expect("nobody panics with the lock");
        if weather.is_cut || random.percent(weather.loss_percent) {
            return Vec::new();
        }
        let copies = if random.percent(weather.twice_percent) { 2 } else { 1 };
        let mut late = || {
            let is_late = random.percent(weather.late_percent);
            if is_late {
                Duration::from_micros(random.below(weather.late.as_micros() as u64 + 1))
            } else {
                Duration::ZERO
            }
        };
        (0..copies).map(|_| late()).collect()
    }

    fn carry(&self, from: usize, to: usize, bytes: &[u8], send: impl Fn(&[u8]) + Clone + Send + 'static) {
        for late in self.fate(from, to) {
            if late.is_zero() {
                send(bytes);
                continue;
            }
            let (bytes, send) = (bytes.to_vec(), send.clone());
            tokio::spawn(async move {
                sleep(late).await;
                send(&bytes);
            });
        }
    }
}

/// Takes what comes for a node and passes it on.
async fn keep_door(fabric: Arc<Fabric>, node: usize, door: Arc<UdpSocket>) {
    let mut ways: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    door.writable().await.expect("a socket on loopback");
    loop {
        // An error tells of an earlier datagram that nobody took.
        let Ok((length, sender)) = door.recv_from(&mut buffer).await else { continue };
        let from = fabric.number_of(sender);
        if !ways.contains_key(&sender) {
            // A way that only this table knows has been given up.
            ways.retain(|_, way| Arc::strong_count(way) > 1);
            let way = Arc::new(way_to(fabric.nodes[node - 1]).expect("a socket on loopback"));
            // A new socket takes nothing at once before the runtime has heard that it can.
            way.writable().await.expect("a socket on loopback");
            tokio::spawn(bring_back(Arc::clone(&fabric), (node, from), Arc::clone(&way), Arc::clone(&door), sender));
            ways.insert(sender, way);
        }
        let way = Arc::clone(&ways[&sender]);
        // Full or refused: lost, as datagrams are.
        fabric.carry(from, node, &buffer[..length], move |bytes| drop(way.try_send(bytes)));
    }
}

/// Brings what a node answers back to who asked.
async fn bring_back(
    fabric: Arc<Fabric>,
    (node, asker): (usize, usize),
    way: Arc<UdpSocket>,
    door: Arc<UdpSocket>,
    to: SocketAddr,
) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    while let Ok(received) = timeout(IDLE_MAX, way.recv(&mut buffer)).await {
        let Ok(length) = received else { continue };
        let door = Arc::clone(&door);
        fabric.carry(node, asker, &buffer[..length], move |bytes| drop(door.try_send_to(bytes, to)));
    }
}

fn way_to(node: SocketAddr) -> io::Result<UdpSocket> {
    let socket = bound();
    socket.connect(node)?;
    UdpSocket::from_std(socket)
}

fn bound() -> std::net::UdpSocket {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
    socket.set_nonblocking(true).expect("a socket can be told so");
    socket
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket as Socket;

    /// Two nodes that are plain sockets, the doors between them, and a client.
    struct World {
        nodes: [Socket; 2],
        proxy: Proxy,
    }

    fn socket() -> Socket {
        let socket = Socket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
        socket
    }

    fn world() -> World {
        let nodes = [socket(), socket()];
        let proxy = Proxy::start(nodes.iter().map(|node| node.local_addr().expect("bound")).collect());
        World { nodes, proxy }
    }

    fn next(socket: &Socket) -> (Vec<u8>, SocketAddr) {
        let mut bytes = [0; 64];
        let (length, from) = socket.recv_from(&mut bytes).expect("a datagram");
        (bytes[..length].to_vec(), from)
    }

    #[test]
    fn a_datagram_and_its_answer_pass_and_only_the_door_is_seen() {
        let World { nodes: [one, two], proxy } = world();
        one.send_to(b"question", proxy.door(2)).expect("sent");
        let (bytes, way) = next(&two);
        assert_eq!(bytes, b"question");
        two.send_to(b"answer", way).expect("sent");
        assert_eq!(next(&one), (b"answer".to_vec(), proxy.door(2)));
    }

    #[test]
    fn one_direction_can_be_cut_and_healed_while_the_other_and_clients_pass() {
        let World { nodes: [one, two], proxy } = world();
        let client = socket();
        proxy.set(1, 2, Weather { is_cut: true, ..Weather::default() });
        one.send_to(b"lost", proxy.door(2)).expect("sent");
        client.send_to(b"client", proxy.door(2)).expect("sent");
        assert_eq!(next(&two).0, b"client");
        two.send_to(b"back", proxy.door(1)).expect("sent");
        assert_eq!(next(&one).0, b"back");
        proxy.heal();
        one.send_to(b"healed", proxy.door(2)).expect("sent");
        assert_eq!(next(&two).0, b"healed");
    }

    #[test]
    fn what_is_doubled_arrives_twice_and_what_is_late_arrives_by_the_doors_and_by_the_ways_back() {
        let World { nodes: [one, two], proxy } = world();
        let late = Duration::from_millis(20);
        proxy.set(1, 2, Weather { twice_percent: 100, late_percent: 100, late, ..Weather::default() });
        one.send_to(b"twice", proxy.door(2)).expect("sent");
        assert_eq!([next(&two).0, next(&two).0], [b"twice", b"twice"]);
        two.send_to(b"once", proxy.door(1)).expect("sent");
        let (bytes, way) = next(&one);
        assert_eq!(bytes, b"once");
        one.send_to(b"answer", way).expect("sent");
        assert_eq!([next(&two).0, next(&two).0], [b"answer", b"answer"]);
        // The next one comes after it: once was once.
        two.send_to(b"then", proxy.door(1)).expect("sent");
        assert_eq!(next(&one).0, b"then");
    }
}
