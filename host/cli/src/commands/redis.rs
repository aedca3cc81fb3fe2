//! `redis`: what the Redis listener needs from outside the node.

use std::io::{IsTerminal, Read};

use crate::code::Code;
use crate::failure::Failure;
use crate::output::Output;
use clap::{Args, Subcommand};
use serde_json::json;

/// No password is longer.
const PASSWORD_BYTES_MAX: u64 = 4_096;
const SALT_BYTES: usize = 16;

/// What can be done for the listener.
#[derive(Subcommand, Debug)]
pub(crate) enum RedisCommand {
    /// Print a line for the file of users; the password comes from stdin
    User(UserArgs),
}

/// Flags of `redis user`.
#[derive(Args, Debug)]
pub(crate) struct UserArgs {
    /// The user's name; default is who logs in without a name
    name: String,
}

pub(crate) fn run(command: RedisCommand, out: &mut Output) -> Result<(), Failure> {
    let RedisCommand::User(args) = command;
    let password = password()?;
    let mut salt = [0; SALT_BYTES];
    let no_chance = |error| Failure::new(Code::Other, format!("the system gives no random bytes: {error}"));
    std::fs::File::open("/dev/urandom").and_then(|mut chance| chance.read_exact(&mut salt)).map_err(no_chance)?;
    let line = outboard_redis::user_line(&args.name, &password, &salt)
        .map_err(|error| Failure::new(Code::Input, error.to_string()))?;
    if out.format().is_json() {
        out.document(&json!({ "$type": "redis_user", "line": line }))?;
    } else {
        out.line(line)?;
    }
    out.flush()
}

/// The first line of stdin: a password among the arguments would stand in the list of processes.
fn password() -> Result<Vec<u8>, Failure> {
    if std::io::stdin().is_terminal() {
        eprintln!("The password, and Enter (it shows as you type; or: outboard redis user NAME < FILE):");
    }
    let mut line = Vec::new();
    let mut stdin = std::io::BufReader::new(std::io::stdin().lock().take(PASSWORD_BYTES_MAX + 1));
    std::io::BufRead::read_until(&mut stdin, b'\n', &mut line)
        .map_err(|error| Failure::new(Code::Input, format!("stdin can't be read: {error}")))?;
    while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        line.pop();
    }
    if line.is_empty() || line.len() as u64 > PASSWORD_BYTES_MAX {
        let message = format!("a password of 1 to {PASSWORD_BYTES_MAX} bytes is expected on stdin");
        return Err(Failure::new(Code::Input, message));
    }
    Ok(line)
}
