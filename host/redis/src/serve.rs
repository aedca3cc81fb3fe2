//! The listener: accepts connections, brings answers to them, and looks after those that don't go on.

use crate::backend::Backend;
use crate::connection::Connection;
use crate::hub::{Hub, Shared, add};
use crate::limits::{ACCEPT_PAUSE, FILES_RESERVED, KEEPALIVE, SWEEP_EVERY};
use crate::options::Options;
use crate::outbox::{Ticket, Word};
use crate::told::Cause;
use crate::transport::Transport;
use rustls::ServerConnection;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

/// Serves Redis clients until it is dropped; then what is answered already is still written, and the connections are closed.
///
/// To be run on the node's own single-threaded runtime, with IO, time, and threads for blocking work. Whether the listener's address may
/// be served with these options is for [`check_exposure`](crate::check_exposure) to say.
pub async fn serve(listener: TcpListener, options: Options, backend: impl Backend) -> Infallible {
    let address = listener.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)));
    allow_files(options.connections_max);
    let hub = Rc::new(Hub::new(backend, options, address));
    let tasks = LocalSet::new();
    let accepting = tasks.spawn_local(accept(hub.clone(), listener));
    let delivering = tasks.spawn_local(deliver(hub.clone()));
    let sweeping = tasks.spawn_local(sweep(hub.clone()));
    // Dropped before the tasks, and the connections with them.
    let _last = LastDelivery(hub);
    let ended = tasks.run_until(async {
        tokio::select! {
            biased;
            ended = accepting => ended,
            ended = delivering => ended,
            ended = sweeping => ended,
        }
    });
    // A listener that only looks alive would be worse.
    let Err(panicked) = ended.await;
    std::panic::resume_unwind(panicked.into_panic())
}

/// Each connection is an open file, and a shell allows some thousand of them or less: this process is allowed as many as it may have.
fn allow_files(connections_max: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // No number means no limit.
    let wanted = Rlimit { current: maximum, maximum };
    let allowed = if current == maximum || setrlimit(Resource::Nofile, wanted).is_ok() { maximum } else { current };
    let needed = FILES_RESERVED.saturating_add(connections_max as u64);
    if let Some(files) = allowed.filter(|files| *files < needed) {
        tracing::warn!(files, needed, "this process may open too few files for all Redis clients: see ulimit -Hn");
    }
}

async fn accept(hub: Rc<Hub>, listener: TcpListener) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => welcome(&hub, stream, peer),
            Err(error) => {
                hub.tell(Cause::Accept, hub.address, format_args!("a connection can't be accepted: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn welcome(hub: &Rc<Hub>, stream: TcpStream, peer: SocketAddr) {
    if hub.counters.connected.get() >= hub.options.connections_max {
        add(&hub.counters.rejected, 1);
        hub.tell(Cause::Full, peer, format_args!("turned away, {} are connected", hub.options.connections_max));
        if hub.options.tls.is_none() {
            stream.try_write(b"-ERR max number of clients reached\r\n").map(drop).unwrap_or_default();
        }
        return;
    }
    // A connection works without either.
    stream.set_nodelay(true).unwrap_or_default();
    keep_alive(&stream).unwrap_or_default();
    let local = stream.local_addr().unwrap_or(hub.address);
    let transport = match &hub.options.tls {
        None => Transport::plain(stream),
        Some(config) => match ServerConnection::new(config.clone()) {
            Ok(session) => Transport::tls(stream, session),
            Err(error) => return hub.tell(Cause::Tls, peer, format_args!("no TLS: {error}")),
        },
    };
    let open = hub.options.users.is_empty();
    let connection = hub.admit(|place, id| Connection::new(transport, place, id, peer, local, open));
    spawn_local(Serving { hub: hub.clone(), connection });
}

fn keep_alive(stream: &TcpStream) -> rustix::io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE / 3)?;
    sockopt::set_tcp_keepcnt(stream, 3)?;
    sockopt::set_socket_keepalive(stream, true)
}

/// The task of one connection.
struct Serving {
    hub: Rc<Hub>,
    connection: Shared,
}

impl Future for Serving {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.connection.borrow_mut().poll(cx, &self.hub)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let mut asks = Vec::new();
        let place = self.connection.borrow_mut().leave(&self.hub, &mut asks);
        self.hub.dismiss(place);
        self.hub.submit(asks);
    }
}

/// Takes all answers that are there, again and again. It can't keep the other tasks waiting for long: they ask what is answered here.
async fn deliver(hub: Rc<Hub>) -> Infallible {
    let mut words: Vec<(Ticket, Word)> = Vec::new();
    loop {
        poll_fn(|cx| hub.outbox.poll_take(cx, &mut words)).await;
        let asks = hub.deliver(&mut words);
        hub.submit(asks);
    }
}

async fn sweep(hub: Rc<Hub>) -> Infallible {
    let mut last = Instant::now();
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let now = Instant::now();
        hub.counters.measure(now - last);
        last = now;
        for connection in hub.connections() {
            connection.borrow_mut().look_after(now, &hub);
        }
    }
}

/// Writes what came when nobody could look any more.
struct LastDelivery(Rc<Hub>);

impl Drop for LastDelivery {
    fn drop(&mut self) {
        let mut words = self.0.outbox.take();
        // What that would start is not done any more.
        drop(self.0.deliver(&mut words));
    }
}
