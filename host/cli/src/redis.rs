//! The Redis listener of a node: its flags, its address taken before the node starts, and the glue between the listener and the
//! node, which don't know each other.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use crate::code::Code;
use crate::failure::{Failure, unreadable};
use clap::Args;
use outboard_node::{Durability, Gateway, Node};
use outboard_redis::{Ask, Backend, Figures, Options, UsersError};
use outboard_sandbox::Manifest;
use std::sync::Arc;
use std::time::Duration;

/// Flags of the listener.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RedisArgs {
    /// Serve Redis clients here; off loopback with TLS or users only
    #[arg(long, env = "OUTBOARD_REDIS", value_name = "IP:PORT")]
    pub(crate) redis: Option<SocketAddr>,
    /// Redis clients log in as one of these users; outboard redis user NAME prints a line for the file
    #[arg(long, env = "OUTBOARD_REDIS_USERS_FILE", value_name = "FILE")]
    pub(crate) redis_users: Option<PathBuf>,
    /// Redis clients use TLS: the certificate chain, PEM
    #[arg(long, env = "OUTBOARD_REDIS_CERT_FILE", value_name = "FILE")]
    pub(crate) redis_cert: Option<PathBuf>,
    /// Redis clients use TLS: the private key, PEM
    #[arg(long, env = "OUTBOARD_REDIS_KEY_FILE", value_name = "FILE")]
    pub(crate) redis_key: Option<PathBuf>,
}

/// A listener that has its address and waits for its node.
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    options: Options,
}

impl Listener {
    /// As the flags say; none if they ask for none.
    pub(crate) fn prepare(args: &RedisArgs) -> Result<Option<Listener>, Failure> {
        let Some(address) = args.redis else {
            let stray = [&args.redis_users, &args.redis_cert, &args.redis_key].into_iter().any(Option::is_some);
            let without = || Failure::new(Code::Usage, "settings of the Redis listener without its address");
            return if stray { Err(without().help("--redis IP:PORT")) } else { Ok(None) };
        };
        let options = options(args)?;
        outboard_redis::check_exposure(address, &options)
            .map_err(|exposed| Failure::new(Code::Usage, exposed.to_string()).help(PROTECT))?;
        Listener::bind(address, options).map(Some)
    }

    /// On loopback, open to all on this machine.
    pub(crate) fn on_loopback(address: SocketAddr) -> Result<Listener, Failure> {
        assert!(address.ip().is_loopback(), "an open listener stays on this machine");
        Listener::bind(address, Options::default())
    }

    fn bind(address: SocketAddr, options: Options) -> Result<Listener, Failure> {
        let taken = |error| {
            Failure::new(Code::AddressInUse, format!("Redis clients can't be served on {address}: {error}"))
                .help("ss -ltnp, or --redis IP:PORT")
        };
        let socket = TcpListener::bind(address).map_err(taken)?;
        socket.set_nonblocking(true).map_err(taken)?;
        let address = socket.local_addr().map_err(taken)?;
        Ok(Listener { socket, address, options })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves on the node's own thread until the node ends.
    pub(crate) fn serve(self, node: &Node, durability: Durability) {
        let backend = NodeBackend { gateway: node.gateway(), durability: durability.name() };
        let Listener { socket, address, options } = self;
        node.spawn(move || async move {
            match tokio::net::TcpListener::from_std(socket) {
                Ok(listener) => drop(outboard_redis::serve(listener, options, backend).await),
                Err(error) => tracing::error!(%address, %error, "the Redis listener can't be served"),
            }
        });
    }
}

const PROTECT: &str = "--redis-cert FILE --redis-key FILE, or --redis-users FILE";

fn options(args: &RedisArgs) -> Result<Options, Failure> {
    let tls = match (&args.redis_cert, &args.redis_key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => {
            let chain = fs::read(certificate).map_err(|error| unreadable(certificate, &error))?;
            let key = fs::read(key).map_err(|error| unreadable(key, &error))?;
            let unusable = |error: outboard_redis::TlsError| Failure::new(Code::Credentials, error.to_string());
            Some(outboard_redis::tls_from_pem(&chain, &key).map_err(unusable)?)
        }
        (Some(_), None) | (None, Some(_)) => {
            return Err(Failure::new(Code::Usage, "TLS needs a certificate and its key").help(PROTECT));
        }
    };
    let users = match &args.redis_users {
        None => outboard_redis::Users::nobody(),
        Some(path) => outboard_redis::Users::load(path).map_err(|error| {
            let code = if matches!(error, UsersError::Unreadable(_)) { Code::ReadFile } else { Code::Credentials };
            Failure::new(code, format!("{}: {error}", path.display())).help("outboard redis user NAME")
        })?,
    };
    Ok(Options { tls, users, ..Options::default() })
}

/// The node as the listener sees it.
#[derive(Clone)]
struct NodeBackend {
    gateway: Gateway,
    durability: &'static str,
}

impl Backend for NodeBackend {
    fn submit(&self, asks: Vec<Ask>) {
        let ask = |Ask { body, timeout_ms, reply }| outboard_node::Ask { body, timeout_ms, reply };
        self.gateway.submit(asks.into_iter().map(ask).collect());
    }

    fn manifest(&self) -> Option<Arc<Manifest>> {
        self.gateway.manifest()
    }

    fn figures(&self) -> Figures {
        let node = self.gateway.figures();
        Figures {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: node.name,
            cluster: node.cluster,
            role: node.role,
            leader: node.leader.map(|leader| leader.address),
            term: node.term,
            applied: node.applied,
            voters: u32::try_from(node.members.len()).unwrap_or(u32::MAX),
            engine: node.engine.map(|engine| engine.title()),
            durability: self.durability.to_owned(),
            uptime: Duration::from_millis(node.uptime_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(args: RedisArgs) -> Failure {
        Listener::prepare(&args).map(drop).expect_err("refused")
    }

    #[test]
    fn off_loopback_it_wants_tls_or_users_and_says_so() {
        let failure = refused(RedisArgs { redis: Some(([0, 0, 0, 0], 0).into()), ..RedisArgs::default() });
        assert_eq!(failure.code, Code::Usage);
        assert!(
            failure.message.contains("0.0.0.0:0") && failure.help.is_some_and(|help| help.contains("--redis-users"))
        );
    }

    #[test]
    fn half_of_what_tls_needs_and_settings_without_an_address_are_refused() {
        let loopback = Some(([127, 0, 0, 1], 0).into());
        let half = RedisArgs { redis: loopback, redis_cert: Some("x.pem".into()), ..RedisArgs::default() };
        assert_eq!(refused(half).code, Code::Usage);
        let stray = RedisArgs { redis_users: Some("users".into()), ..RedisArgs::default() };
        assert_eq!(refused(stray).code, Code::Usage);
        let missing = RedisArgs { redis: loopback, redis_users: Some("/no/such/file".into()), ..RedisArgs::default() };
        assert_eq!(refused(missing).code, Code::ReadFile);
    }

    #[test]
    fn a_taken_port_is_named() {
        let first = Listener::on_loopback(([127, 0, 0, 1], 0).into()).expect("free");
        let failure = refused(RedisArgs { redis: Some(first.address()), ..RedisArgs::default() });
        assert_eq!(failure.code, Code::AddressInUse);
        assert!(failure.message.contains(&first.address().to_string()), "{}", failure.message);
    }
}
