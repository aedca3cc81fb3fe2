//! Coming in by a token, as both a node and a client do it: the token as it is typed, whom to ask, and why it did not work.

use std::io::Read;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::code::Code;
use crate::failure::{Failure, unreadable};
use crate::hint::hint;
use crate::node_failure::not_formed;
use crate::session::with_port;
use outboard_net::{JoinError, JoinRefusal, Token};
use outboard_node::enrolment::{self, EnrolError};

/// Between two attempts at a cluster that can't decide now.
const PAUSE: Duration = Duration::from_secs(1);

/// A token as it was typed, or from stdin.
pub(crate) fn token(text: &str) -> Result<Token, Failure> {
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
pub(crate) fn token_file(path: &Path) -> Result<Token, Failure> {
    token(&std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?)
}

/// Enrols a node by asking one of these; its folder is complete then.
pub(crate) async fn node(
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
                    hint!("enrolled by {seed}");
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

/// Tells why it has to be tried again, and waits.
pub(crate) async fn pause(error: &EnrolError) {
    eprintln!("{error}");
    tokio::time::sleep(PAUSE).await;
}

/// The address of a node that may be named without its port.
pub(crate) fn resolve(seed: &str) -> Result<SocketAddr, Failure> {
    let seed = with_port(seed);
    let unknown = |why: String| {
        let text = format!("{seed} can't be looked up: {why}");
        Failure::new(Code::Usage, text).help("HOST:PORT of any node of the cluster")
    };
    let mut found = seed.to_socket_addrs().map_err(|error| unknown(error.to_string()))?;
    found.next().ok_or_else(|| unknown("it has no address".to_owned()))
}

/// Why somebody did not come in.
pub(crate) fn not_joined(error: EnrolError) -> Failure {
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
                    Failure::new(Code::Unavailable, message).help("run the same line again; it goes on where it was")
                }
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::PORT;

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
