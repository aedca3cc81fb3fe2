//! What happens to those that don't go on, with the time told instead of waited for.

use super::{Connection, Stage};
use crate::backend::{Ask, Backend, Figures};
use crate::hub::{Hub, Shared};
use crate::limits::{HALF_COMMAND_TIMEOUT, HANDSHAKE_TIMEOUT, LINGER, STUCK_READER_TIMEOUT};
use crate::options::{Options, tls_from_pem};
use crate::testing::{certificate, manifest};
use crate::transport::Transport;
use outboard_sandbox::Manifest;
use outboard_wire::client::Response;
use rustls::ServerConnection;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers everything with a value of 4 MiB, at once.
#[derive(Clone)]
struct Large;

impl Backend for Large {
    fn submit(&self, asks: Vec<Ask>) {
        let value = [&b"$4194304\r\n"[..], &vec![b'x'; 4 << 20], b"\r\n"].concat();
        asks.into_iter().for_each(|ask| (ask.reply)(Response::Reply(value.clone().into())));
    }

    fn manifest(&self) -> Option<Arc<Manifest>> {
        Some(manifest())
    }

    fn figures(&self) -> Figures {
        Figures::default()
    }
}

/// A connection that nobody drives but the test, and its client.
struct Pair {
    hub: Rc<Hub>,
    shared: Shared,
    client: TcpStream,
}

impl Pair {
    async fn new(tls: bool) -> Pair {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let client = TcpStream::connect(address).await.expect("it listens");
        let (stream, peer) = listener.accept().await.expect("it is there");
        let transport = if tls {
            let (certificate, key) = certificate();
            let config = tls_from_pem(certificate.as_bytes(), key.as_bytes()).expect("a pair");
            Transport::tls(stream, ServerConnection::new(config).expect("a session"))
        } else {
            Transport::plain(stream)
        };
        let hub = Rc::new(Hub::new(Large, Options::default(), address));
        let shared = hub.admit(|place, id| Connection::new(transport, place, id, peer, address, true));
        Pair { hub, shared, client }
    }

    /// Its turn, until it has nothing to do; what answers there are then are delivered.
    async fn drive(&self) {
        for _ in 0..20 {
            let mut over = false;
            poll_fn(|cx| {
                over = self.shared.borrow_mut().poll(cx, &self.hub).is_ready();
                Poll::Ready(())
            })
            .await;
            let mut words = self.hub.outbox.take();
            drop(self.hub.deliver(&mut words));
            if over {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    fn is_over_after(&self, time: Duration) -> bool {
        self.shared.borrow_mut().look_after(Instant::now() + time, &self.hub);
        self.shared.borrow().stage == Stage::Over
    }
}

const MOMENT: Duration = Duration::from_secs(1);

#[tokio::test]
async fn half_a_command_and_silence_is_cut_off_and_an_idle_connection_is_not() {
    let mut pair = Pair::new(false).await;
    pair.client.write_all(b"PING\r\n").await.expect("open");
    pair.drive().await;
    assert!(!pair.is_over_after(10 * HALF_COMMAND_TIMEOUT), "an idle connection stays");
    for half in [&b"*2\r\n$3\r\nGET\r\n$5\r\nab"[..], b"*2\r\n", b"*", b"GET k"] {
        let mut pair = Pair::new(false).await;
        pair.client.write_all(half).await.expect("open");
        pair.client.readable_soon().await;
        pair.drive().await;
        assert!(!pair.is_over_after(HALF_COMMAND_TIMEOUT - MOMENT));
        assert!(pair.is_over_after(HALF_COMMAND_TIMEOUT + MOMENT), "{}", half.escape_ascii());
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_off_and_one_that_reads_slowly_is_not() {
    let mut pair = Pair::new(false).await;
    pair.client.write_all(b"GET k\r\nGET k\r\nGET k\r\n").await.expect("open");
    pair.client.readable_soon().await;
    pair.drive().await;
    assert!(!pair.is_over_after(STUCK_READER_TIMEOUT - MOMENT));
    let before = pair.shared.borrow().stuck_since.expect("more than the sockets hold is to be written");
    // Some is taken: the time begins anew.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut taken = vec![0; 6 << 20];
    while pair.shared.borrow().stuck_since == Some(before) {
        pair.client.readable().await.expect("open");
        match pair.client.try_read(&mut taken) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        pair.drive().await;
    }
    assert!(pair.is_over_after(STUCK_READER_TIMEOUT + MOMENT));
    assert_eq!(pair.hub.counters.cut_off.get(), 1);
}

#[tokio::test]
async fn a_tls_handshake_that_does_not_go_on_is_cut_off() {
    let mut pair = Pair::new(true).await;
    pair.client.write_all(b"\x16\x03\x01\x00\xa5\x01").await.expect("open");
    pair.drive().await;
    assert!(!pair.is_over_after(HANDSHAKE_TIMEOUT - MOMENT));
    assert!(pair.is_over_after(HANDSHAKE_TIMEOUT + MOMENT));
}

#[tokio::test]
async fn after_the_last_word_the_client_has_a_moment_to_read_it() {
    let mut pair = Pair::new(false).await;
    pair.client.write_all(b"QUIT\r\nmore and more").await.expect("open");
    pair.client.readable_soon().await;
    pair.drive().await;
    let mut word = [0; 5];
    pair.client.read_exact(&mut word).await.expect("the last word");
    assert_eq!((&word, pair.client.read(&mut [0; 9]).await.expect("the end")), (b"+OK\r\n", 0));
    assert!(!pair.is_over_after(Duration::ZERO));
    assert!(pair.is_over_after(2 * LINGER));
}

#[tokio::test]
async fn what_a_connection_holds_is_given_back_when_it_ends() {
    let mut pair = Pair::new(false).await;
    pair.client.write_all(b"GET k\r\nGET k\r\n*2\r\n$3\r\nGET\r\n$500\r\nabc").await.expect("open");
    pair.client.readable_soon().await;
    pair.drive().await;
    assert!(pair.hub.held_bytes() > 1 << 20, "{}", pair.hub.held_bytes());
    let place = pair.shared.borrow_mut().leave(&pair.hub, &mut Vec::new());
    pair.hub.dismiss(place);
    assert_eq!((pair.hub.held_bytes(), pair.hub.connections().len()), (0, 0));
}

trait Soon {
    async fn readable_soon(&self);
}

impl Soon for TcpStream {
    /// What was written on loopback is on the other side when the runtime has looked once.
    async fn readable_soon(&self) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
