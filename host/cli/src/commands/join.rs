//! `join`: comes into a cluster by a token, as a node or as a client; and how a node's folder comes into being when `start` finds none.
//!
//! The same line run again goes on where it was cut off, or just starts: the key waits in the folder, and the cluster knows it again.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::code::Code;
use crate::commands::cluster::{ADMIN_CONTEXT, not_formed};
use crate::commands::start::{self, StartArgs};
use crate::failure::{Failure, unreadable, unwritable};
use crate::global::Global;
use crate::output::Output;
use crate::session::{DEFAULT_CONTEXT, PORT, with_port};
use clap::Args;
use outboard_client::Context;
use outboard_net::{Credentials, JoinError, JoinRefusal, Principal, Token, address_towards, is_local_only};
use outboard_node::StartError;
use outboard_node::enrolment::{self, EnrolError};
use outboard_node::formation::{self, Founding, Planned};
use serde_json::json;

/// Between two attempts at a cluster that can't decide now.
const PAUSE: Duration = Duration::from_secs(1);
/// A place beyond this network, to find out which of its addresses this machine uses for that (RFC 5737). Nothing is sent.
const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// Flags of `join`.
#[derive(Args, Debug)]
pub(crate) struct JoinArgs {
    /// Any node of the cluster
    #[arg(value_name = "HOST:PORT")]
    seed: String,
    /// The token, or - to read it from stdin
    #[arg(value_name = "TOKEN", env = "OUTBOARD_TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[command(flatten)]
    pub(crate) start: StartArgs,
    /// What was typed that a client has no use for.
    #[arg(skip)]
    node_only: Option<&'static str>,
}

impl JoinArgs {
    pub(crate) fn resolve(self) -> Result<JoinArgs, Failure> {
        // A file of node's settings may lie on a client's machine; what is typed is meant.
        let node_only = self.start.node_only();
        Ok(JoinArgs { start: self.start.resolve()?, node_only, ..self })
    }
}

pub(crate) fn run(global: &Global, args: JoinArgs, out: &mut Output) -> Result<(), Failure> {
    let JoinArgs { seed, token, start, node_only } = args;
    let token = match token {
        Some(text) => Some(parse(&text)?),
        None => start.token()?,
    };
    let token = token.ok_or_else(|| Failure::new(Code::Usage, "which token?").help("outboard token create"))?;
    if token.enrols().is_node() {
        return start::run(start.joining(seed, data_dir()?), Some(token), global);
    }
    if let Some(flag) = node_only {
        let text = format!("this token is for a {}, and {flag} is for a node", token.enrols());
        return Err(Failure::new(Code::Usage, text).help("leave it out, or for a node: outboard token create"));
    }
    let runtime = start::runtime()?;
    runtime.block_on(client(global, &seed, &token, start.name.as_deref().unwrap_or_default(), out))
}

/// A token as it was typed, or from stdin.
pub(crate) fn parse(text: &str) -> Result<Token, Failure> {
    let mut read = String::new();
    let text = if text == "-" {
        let input = std::io::stdin().take(4_096).read_to_string(&mut read);
        input.map_err(|error| unreadable(Path::new("stdin"), &error))?;
        &read
    } else {
        text
    };
    Token::parse(text).map_err(|error| Failure::new(Code::Token, error.to_string()).help("outboard token create"))
}

/// A token from a file.
pub(crate) fn read(path: &Path) -> Result<Token, Failure> {
    parse(&std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?)
}

/// Where a node's folder is that was given none: the user's folder for data.
fn data_dir() -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = set("XDG_DATA_HOME").or_else(|| set("HOME").map(|home| home.join(".local/share")));
    home.map(|home| home.join("outboard"))
        .ok_or_else(|| Failure::new(Code::Usage, "which folder for the node's data?").help("--data-dir DIR"))
}

/// A client: its credentials become a context.
async fn client(global: &Global, seed: &str, token: &Token, name: &str, out: &mut Output) -> Result<(), Failure> {
    let path = match &global.context {
        Some(name) if name.contains(std::path::is_separator) || name.ends_with(".toml") => PathBuf::from(name),
        Some(name) => Context::path_of(name)?,
        None => Context::path_of(DEFAULT_CONTEXT)?,
    };
    if path.exists() {
        let known = Context::load_file(&path)?;
        check_context(&known, &path, token, name)?;
        // As when the same line is run again.
        eprintln!("it came in before; the token is not used");
        return tell_client(&known, &path, out);
    }
    let key_dir = path.with_extension("joining");
    let deadline = Instant::now() + global.timeout;
    let joined = loop {
        match enrolment::join_client(resolve(seed)?, token, &key_dir, name).await {
            Ok(joined) => break joined,
            Err(error) if error.is_passing() && Instant::now() < deadline => pause(&error).await,
            Err(error) => {
                if matches!(&error, EnrolError::Join(JoinError::Refused(_))) && !error.is_passing() {
                    // Nothing was begun with this key that could go on.
                    drop(std::fs::remove_dir_all(&key_dir));
                }
                return Err(not_joined(error));
            }
        }
    };
    let mut endpoints = joined.endpoints;
    let seed = with_port(seed);
    endpoints.retain(|endpoint| *endpoint != seed);
    endpoints.insert(0, seed);
    let context = Context::new(endpoints, joined.credentials);
    context.save(&path)?;
    // It is in the context now.
    std::fs::remove_dir_all(&key_dir).map_err(|error| unwritable(&key_dir, &error))?;
    tell_client(&context, &path, out)
}

/// Whether a context that is there already is what this line would make.
fn check_context(known: &Context, path: &Path, token: &Token, name: &str) -> Result<(), Failure> {
    let other = |what: String| {
        let text = format!("the context {} is {what}", path.display());
        Err(Failure::new(Code::FolderNotEmpty, text).help("-c NAME, for a context of another name"))
    };
    if known.credentials.authority_pin() != token.pin() {
        return other(format!("of another cluster, {}", known.cluster));
    }
    match known.credentials.principal() {
        Principal::Client { name: own } if !name.is_empty() && own != name => {
            other(format!("that of the client {own}"))
        }
        Principal::Client { .. } | Principal::Node(_) => Ok(()),
    }
}

fn tell_client(context: &Context, path: &Path, out: &mut Output) -> Result<(), Failure> {
    let principal = context.credentials.principal().to_string();
    if out.format().is_json() {
        out.document(&json!({
            "$type": "joined",
            "cluster": context.cluster.to_string(),
            "principal": principal,
            "context": path.display().to_string(),
        }))?;
    } else {
        out.line(format!("{principal} of {}", context.cluster))?;
    }
    out.flush()?;
    eprintln!("the context is {}; try outboard status", path.display());
    Ok(())
}

/// Makes the folder of a node that `start` or `join` finds vacant: it joins if it has somebody to join, else it founds a cluster.
pub(crate) async fn make_node(
    args: &StartArgs,
    dir: &Path,
    token: Option<Token>,
    timeout: Duration,
) -> Result<(), Failure> {
    check_vacant(dir)?;
    let Some(seed) = &args.join else {
        let address = advertised(args, ELSEWHERE);
        check_port(args, &address)?;
        return found(args, dir, address);
    };
    let token = token.ok_or_else(|| {
        Failure::new(Code::Usage, format!("{} is to join {seed}, and there is no token", dir.display()))
            .help("OUTBOARD_TOKEN_FILE=FILE, or outboard join HOST:PORT TOKEN")
    })?;
    let advertised = advertised(args, resolve(seed)?);
    check_port(args, &advertised)?;
    let name = args.name.as_deref().unwrap_or_default();
    enrol_node(std::slice::from_ref(seed), &token, dir, name, &advertised, timeout).await
}

/// A folder that is given to a new node.
pub(crate) fn check_vacant(dir: &Path) -> Result<(), Failure> {
    if !formation::holds_node(dir) && formation::is_vacant(dir).map_err(not_formed)? {
        return Ok(());
    }
    let text = format!("{} holds something that is not a node's", dir.display());
    Err(Failure::new(Code::NotANode, text).help("name a new or empty folder"))
}

/// Before a folder says that the node is there: a port that somebody else has makes no node and uses up no token.
fn check_port(args: &StartArgs, advertised: &str) -> Result<(), Failure> {
    let listens = args.listen.or_else(|| advertised.to_socket_addrs().ok()?.next());
    match listens.map(|listen| (listen, UdpSocket::bind(listen))) {
        Some((listen, Err(error))) if error.kind() == ErrorKind::AddrInUse => {
            Err(start::not_started(StartError::AddressInUse(listen)))
        }
        // Whatever else is wrong with it, the start says.
        Some((_, Ok(_) | Err(_))) | None => Ok(()),
    }
}

fn found(args: &StartArgs, dir: &Path, address: String) -> Result<(), Failure> {
    let name = args.name.clone().unwrap_or_else(|| "n1".to_owned());
    let founding = Founding::begin(dir, &Planned { name, address: address.clone() }).map_err(not_formed)?;
    let context = Context::new(vec![address.clone()], founding.admin.clone());
    context.save(&dir.join(ADMIN_CONTEXT))?;
    let cluster = founding.cluster;
    let known = keep(&context)?;
    founding.finish().map_err(not_formed)?;
    eprintln!("made the cluster {cluster}, its authority in {}", dir.join("ca").display());
    match known {
        Some(name) => eprintln!("the admin's context is {name}: outboard -c {name} status"),
        None => eprintln!("the admin's context: outboard -c {} status", dir.join(ADMIN_CONTEXT).display()),
    }
    if is_local_only(&address) {
        eprintln!("{address} is reached from this machine only; --advertise HOST:PORT lets others join");
    }
    Ok(())
}

/// Among the user's contexts: as the default one if there is none, else under the cluster's id.
fn keep(context: &Context) -> Result<Option<String>, Failure> {
    let Some(folder) = Context::folder() else { return Ok(None) };
    let default = folder.join(format!("{DEFAULT_CONTEXT}.toml"));
    let is_own = |known: Context| known.cluster == context.cluster;
    let free = !default.exists() || Context::load_file(&default).is_ok_and(is_own);
    let name = if free { DEFAULT_CONTEXT.to_owned() } else { context.cluster.to_string() };
    context.save(&folder.join(format!("{name}.toml")))?;
    Ok(Some(name))
}

/// Where others are to reach this node: as it is told, or where it listens, or the address that it has on the way to others.
fn advertised(args: &StartArgs, towards: SocketAddr) -> String {
    if let Some(address) = &args.advertise {
        return with_port(address);
    }
    let own = || address_towards(towards).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    match args.listen {
        Some(listen) if listen.ip().is_unspecified() => SocketAddr::new(own(), listen.port()).to_string(),
        Some(listen) => listen.to_string(),
        None => SocketAddr::new(own(), PORT).to_string(),
    }
}

/// Enrols a node by asking one of these; its folder is complete then.
pub(crate) async fn enrol_node(
    seeds: &[String],
    token: &Token,
    dir: &Path,
    name: &str,
    advertised: &str,
    timeout: Duration,
) -> Result<(), Failure> {
    let deadline = Instant::now() + timeout;
    loop {
        let mut failure = Failure::new(Code::Usage, "no node to ask");
        for seed in seeds {
            match enrolment::join_node(resolve(seed)?, token, dir, name, advertised).await {
                Ok(()) => {
                    eprintln!("enrolled by {seed}");
                    return Ok(());
                }
                Err(error) if error.is_passing() && Instant::now() < deadline => {
                    pause(&error).await;
                    failure = not_joined(error);
                }
                Err(EnrolError::Join(error @ JoinError::NoAnswer { .. })) => failure = not_joined(error.into()),
                Err(error) => return Err(not_joined(error)),
            }
        }
        if Instant::now() >= deadline || failure.code == Code::Unavailable && seeds.len() < 2 {
            return Err(failure);
        }
    }
}

async fn pause(error: &EnrolError) {
    eprintln!("{error}");
    tokio::time::sleep(PAUSE).await;
}

fn resolve(seed: &str) -> Result<SocketAddr, Failure> {
    let seed = with_port(seed);
    let unknown = |why: String| {
        let text = format!("{seed} can't be looked up: {why}");
        Failure::new(Code::Usage, text).help("HOST:PORT of any node of the cluster")
    };
    let mut found = seed.to_socket_addrs().map_err(|error| unknown(error.to_string()))?;
    found.next().ok_or_else(|| unknown("it has no address".to_owned()))
}

/// Whether a node's folder is of the cluster that the token is for.
pub(crate) fn check_same_cluster(dir: &Path, token: &Token) -> Result<(), Failure> {
    match Credentials::load(&dir.join("identity")) {
        Ok(known) if known.authority_pin() != token.pin() => {
            let text = format!(
                "{} is a node of {} already, and the token is for another cluster",
                dir.display(),
                known.cluster()
            );
            Err(Failure::new(Code::NotJoined, text).help("--data-dir DIR, a new or empty folder"))
        }
        // What is damaged is told by the start.
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Why somebody did not come in.
fn not_joined(error: EnrolError) -> Failure {
    let message = error.to_string();
    let refused = |help: &str| Failure::new(Code::NotJoined, message.clone()).help(help);
    let new_token = "outboard token create";
    match error {
        EnrolError::Folder(error) => not_formed(error),
        EnrolError::Welcome => Failure::new(Code::Protocol, message),
        EnrolError::Kind { .. } => Failure::new(Code::Usage, message).help(new_token),
        EnrolError::Join(error) => match error {
            JoinError::NoAnswer { .. } | JoinError::Busy { .. } | JoinError::Lost { .. } => {
                Failure::new(Code::Unavailable, message).help("run the same line again; it goes on where it was")
            }
            JoinError::WrongAuthority { .. } => refused("check the address, or make a token of that cluster"),
            JoinError::NodeCertificate { .. } => refused("check the clocks of both machines"),
            JoinError::NotEnrolling { .. } => refused("check the address and the version of the node there"),
            JoinError::OtherCluster { .. } => refused("--data-dir DIR, a new or empty folder"),
            JoinError::BadAnswer { .. } => Failure::new(Code::Protocol, message),
            JoinError::TooLarge { .. } => Failure::new(Code::Usage, message),
            JoinError::Socket { .. } => Failure::new(Code::Other, message),
            JoinError::Refused(why) => match why {
                JoinRefusal::UnknownToken | JoinRefusal::WrongProof | JoinRefusal::Expired | JoinRefusal::UsedUp => {
                    refused(new_token)
                }
                JoinRefusal::Loopback { .. } => refused("--advertise HOST:PORT"),
                JoinRefusal::Name { .. } => refused("--name NAME"),
                JoinRefusal::Removed => refused("delete the folder, and join with a new token"),
                JoinRefusal::WrongCluster { .. } | JoinRefusal::Incompatible { .. } | JoinRefusal::Invalid { .. } => {
                    refused("outboard member list")
                }
                JoinRefusal::NotLeader { .. } | JoinRefusal::Unavailable { .. } => {
                    Failure::new(Code::Unavailable, message).help("outboard status")
                }
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_net::{Authority, ClusterId};
    use outboard_wire::access::{Enrols, Role};

    #[test]
    fn a_context_that_is_there_is_kept_and_only_the_same_line_finds_it() {
        let ours = Authority::create(ClusterId::random()).expect("an authority");
        let other = Authority::create(ClusterId::random()).expect("an authority");
        let known = Context::new(vec!["h:1".into()], ours.issue_client("ana").expect("signed"));
        let token = |authority: &Authority| Token::generate(Enrols::Client(Role::Reader), authority.pin());
        let judge = |authority, name| check_context(&known, Path::new("x.toml"), &token(authority), name);
        assert!(judge(&ours, "").is_ok() && judge(&ours, "ana").is_ok());
        let refused = judge(&ours, "bob").expect_err("another client");
        assert!(refused.message.ends_with("is that of the client ana") && refused.code.exit() == 4, "{refused:?}");
        let refused = judge(&other, "ana").expect_err("another cluster");
        assert!(refused.message.contains("of another cluster") && refused.help.is_some(), "{refused:?}");
    }

    #[test]
    fn what_can_t_be_looked_up_is_told_with_what_is_expected() {
        for seed in ["nobody.invalid", "nobody.invalid:x", "127.0.0.1:99999"] {
            let failure = resolve(seed).expect_err(seed);
            assert!(failure.message.contains("can't be looked up") && failure.code.exit() == 2, "{failure:?}");
            assert!(failure.help.is_some_and(|help| help.contains("HOST:PORT")));
        }
        assert_eq!(resolve("127.0.0.1").expect("an address").port(), PORT);
    }
}
