//! `join`: comes into a cluster by a token, as a node or as a client.
//!
//! The same line run again goes on where it was cut off, or just starts: the key waits in the folder, and the cluster knows it again.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::code::Code;
use crate::commands::start::{self, StartArgs};
use crate::enrol;
use crate::failure::{Failure, unwritable};
use crate::global::Global;
use crate::hint::hint;
use crate::output::Output;
use crate::session::{DEFAULT_CONTEXT, with_port};
use clap::Args;
use outboard_client::Context;
use outboard_net::{JoinError, Principal, Token};
use outboard_node::enrolment::{self, EnrolError};
use serde_json::json;

/// The token's twin in the environment.
const TOKEN: &str = "OUTBOARD_TOKEN";

/// Flags of `join`.
#[derive(Args, Debug)]
pub(crate) struct JoinArgs {
    /// Any node of the cluster
    #[arg(value_name = "HOST:PORT")]
    seed: String,
    /// The token, or - to read it from stdin
    #[arg(value_name = "TOKEN", env = TOKEN, hide_env_values = true)]
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
        Some(text) => {
            let token = enrol::token(&text)?;
            begin_without(&text);
            Some(token)
        }
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

/// A token that was typed stands in the list of processes for as long as a node runs. So the program begins anew, as the same process, with the
/// token in its environment, which nobody but its user can read.
fn begin_without(token: &str) {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    // From the environment, or from stdin, it is hidden already.
    let Some(typed) = arguments.iter().position(|argument| argument == token).filter(|_| token != "-") else { return };
    arguments.remove(typed);
    let Ok(program) = std::env::current_exe() else { return };
    let error = Command::new(program).arg0(&arguments[0]).args(&arguments[1..]).env(TOKEN, token).exec();
    tracing::warn!(%error, "the token stays visible in the list of processes");
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
        hint!("it came in before; the token is not used");
        return tell_client(&known, &path, out);
    }
    let key_dir = path.with_extension("joining");
    let deadline = Instant::now() + global.timeout;
    let joined = loop {
        match enrolment::join_client(enrol::resolve(seed)?, token, &key_dir, name).await {
            Ok(joined) => break joined,
            Err(error) if error.is_passing() && Instant::now() < deadline => enrol::pause(&error).await,
            Err(error) => {
                if matches!(&error, EnrolError::Join(JoinError::Refused(_))) && !error.is_passing() {
                    // Nothing was begun with this key that could go on.
                    drop(std::fs::remove_dir_all(&key_dir));
                }
                return Err(enrol::not_joined(error));
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
    hint!("the context is {}; try outboard status", path.display());
    Ok(())
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
}
