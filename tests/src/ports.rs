//! Ports that nobody else takes: below those that the system hands out to clients, so that a node that was killed finds its
//! own again.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// Shared by the tests of this process; another process begins elsewhere.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// So many addresses on the loopback, free for UDP and TCP at this moment and handed out only once in this process.
pub fn free_addresses(count: usize) -> Vec<SocketAddr> {
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    let candidates = std::iter::repeat_with(|| {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + (start + step % COUNT) % COUNT))
    });
    let free = |address: &SocketAddr| UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok();
    candidates.take(usize::from(COUNT)).filter(free).take(count).collect()
}
