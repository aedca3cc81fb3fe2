//! `cluster init`: makes the folders of a new cluster, offline. `cluster renew`: signs a new certificate by hand.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::code::Code;
use crate::failure::Failure;
use crate::hint::hint;
use crate::node_failure::not_formed;
use crate::output::Output;
use crate::session::ADMIN_CONTEXT;
use crate::{json, units};
use clap::{Args, Subcommand};
use outboard_client::Context;
use outboard_net::{Authority, Credentials, CredentialsError, Principal, Validity};
use outboard_node::formation::{self, FormError, Planned, Signing};
use serde_json::json;

/// Flags of `cluster`.
#[derive(Subcommand, Debug)]
pub(crate) enum ClusterCommand {
    /// Make a new cluster: its CA, a data folder for each node, an admin context
    Init(InitArgs),
    /// Renew a certificate by hand, where the authority's key is: a context's that has expired, a node's whose authority is kept offline
    Renew(RenewArgs),
}

/// Flags of `cluster renew`.
#[derive(Args, Debug)]
pub(crate) struct RenewArgs {
    /// A context, by name or file, or the data folder of a node
    #[arg(value_name = "CONTEXT|DIR")]
    target: String,
    /// The folder of the authority: ca in a voter's folder, or in that of cluster init
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    /// Change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Flags of `cluster init`.
#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    /// The nodes, as NAME=HOST:PORT with commas between
    #[arg(long, required = true, value_name = "n1=ADDR,…", value_delimiter = ',', value_parser = parse_node)]
    nodes: Vec<Planned>,
    /// A new or empty folder for all of it
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Keep the authority's key off the nodes: then no tokens, and certificates are renewed by hand
    #[arg(long)]
    offline_ca: bool,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    /// Check the plan and write nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(command: ClusterCommand, out: &mut Output) -> Result<(), Failure> {
    match command {
        ClusterCommand::Init(args) => init(&args, out),
        ClusterCommand::Renew(args) => renew(&args, out),
    }
}

fn init(args: &InitArgs, out: &mut Output) -> Result<(), Failure> {
    check_empty(&args.out)?;
    let plan: Vec<String> = args.nodes.iter().map(|node| format!("{} at {}", node.name, node.address)).collect();
    let summary = format!("a cluster of {}: {}; in {}", args.nodes.len(), plan.join(", "), args.out.display());
    if args.dry_run {
        eprintln!("would make {summary}");
        return Ok(());
    }
    if !args.yes && io::stdin().is_terminal() {
        confirm(&format!("make {summary}"))?;
    }
    let signing = if args.offline_ca { Signing::Offline } else { Signing::Nodes };
    let formed = formation::form_with(&args.out, &args.nodes, signing).map_err(not_formed)?;
    let endpoints = args.nodes.iter().map(|node| node.address.clone()).collect();
    let context_path = args.out.join(ADMIN_CONTEXT);
    Context::new(endpoints, formed.admin).save(&context_path)?;
    if out.format().is_json() {
        let folders = args.nodes.iter().zip(&formed.node_dirs).map(
            |(node, dir)| json!({ "name": node.name, "address": node.address, "data_dir": dir.display().to_string() }),
        );
        out.document(&json!({
            "$type": "cluster_formed",
            "cluster": formed.cluster.to_string(),
            "nodes": folders.collect::<Vec<_>>(),
            "context": context_path.display().to_string(),
        }))
    } else {
        let count = match args.nodes.len() {
            1 => "1 node".to_owned(),
            count => format!("{count} nodes"),
        };
        out.line(format!("cluster {}  {count}  in {}", formed.cluster, args.out.display()))?;
        out.flush()?;
        eprint!("{}", next_steps(&formed.node_dirs, &args.out, &context_path));
        Ok(())
    }
}

/// Whose certificate is renewed by hand, and where it is kept.
enum Renewed {
    Context(Context, PathBuf),
    Node(Credentials, PathBuf),
}

impl Renewed {
    fn find(target: &str) -> Result<Renewed, Failure> {
        let dir = Path::new(target);
        if dir.is_dir() {
            let home = dir.join("identity");
            return Ok(Renewed::Node(Credentials::load(&home).map_err(unusable)?, home));
        }
        let is_file = target.contains(std::path::is_separator) || target.ends_with(".toml");
        let path = if is_file { dir.to_owned() } else { Context::path_of(target)? };
        Ok(Renewed::Context(Context::load(target)?, path))
    }

    fn credentials(&self) -> &Credentials {
        match self {
            Renewed::Context(context, _) => &context.credentials,
            Renewed::Node(credentials, _) => credentials,
        }
    }

    fn keep(self, credentials: Credentials) -> Result<(), Failure> {
        match self {
            Renewed::Context(context, path) => Ok(Context::new(context.endpoints, credentials).save(&path)?),
            Renewed::Node(_, home) => credentials.save(&home).map_err(unusable),
        }
    }
}

fn renew(args: &RenewArgs, out: &mut Output) -> Result<(), Failure> {
    let target = Renewed::find(&args.target)?;
    let authority = Authority::load(&args.ca).map_err(unusable)?;
    let present = target.credentials();
    if authority.pin() != present.authority_pin() {
        let (here, there) = (present.cluster(), authority.cluster());
        let text = format!("{} is of {here}, and {} holds the authority of {there}", args.target, args.ca.display());
        return Err(Failure::new(Code::Conflict, text).help("--ca DIR, of the same cluster"));
    }
    // Who it is stays as it is: this gives nobody a right that was not given before, nor one that was taken.
    let principal = present.principal().clone();
    let request = present.renewal_request().map_err(unusable)?;
    let certificate = authority.sign(&request, &principal, Validity::usual()).map_err(unusable)?;
    let renewed = present.renewed(&certificate, authority.certificate_pem()).map_err(unusable)?;
    let left = renewed.valid_until().duration_since(SystemTime::now()).unwrap_or_default();
    let left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    if args.dry_run {
        eprintln!("would renew the certificate of {principal}, for {}", units::age(left_ms));
        return Ok(());
    }
    let is_node = matches!(principal, Principal::Node(_));
    target.keep(renewed)?;
    if out.format().is_json() {
        let (principal, left) = (principal.to_string(), json::id(left_ms));
        out.document(&json!({ "$type": "renewed", "principal": principal, "expires_in_ms": left }))?;
    } else {
        out.line(format!("{principal} has a certificate for {}", units::age(left_ms)))?;
    }
    out.flush()?;
    if is_node {
        hint!("a node that runs takes it at its next start");
    }
    Ok(())
}

fn unusable(error: CredentialsError) -> Failure {
    let code = match &error {
        CredentialsError::Read { .. } => Code::ReadFile,
        CredentialsError::Write { .. } => Code::WriteFile,
        CredentialsError::Damaged { .. } | CredentialsError::Issue { .. } => Code::Credentials,
    };
    Failure::new(code, error.to_string())
}

/// The commands to type next.
fn next_steps(node_dirs: &[PathBuf], out: &Path, context: &Path) -> String {
    let mut text = String::from("next, each on its own machine (bring the folder there, it holds a private key):\n");
    for dir in node_dirs {
        text.push_str(&format!("  outboard start --data-dir {}\n", dir.display()));
    }
    text.push_str(&format!("then:\n  outboard -c {} status\n", context.display()));
    text.push_str(&format!(
        "keep {} to yourself: who has it can join anything to this cluster\n",
        out.join("ca").display()
    ));
    text
}

fn parse_node(text: &str) -> Result<Planned, String> {
    let (name, address) = text.split_once('=').ok_or("expected NAME=HOST:PORT, such as n1=10.0.0.5:4410")?;
    Ok(Planned { name: name.trim().to_owned(), address: address.trim().to_owned() })
}

fn check_empty(out: &Path) -> Result<(), Failure> {
    match std::fs::read_dir(out).map(|mut entries| entries.next().is_some()) {
        Ok(true) => Err(not_formed(FormError::NotEmpty(out.to_owned()))),
        // It is made; or it can't be read, and making the cluster will say why.
        Ok(false) | Err(_) => Ok(()),
    }
}

fn confirm(what: &str) -> Result<(), Failure> {
    eprint!("{what}? [y/N] ");
    let mut answer = String::new();
    let asked = io::stderr().flush().and_then(|()| io::stdin().lock().read_line(&mut answer));
    let is_yes = asked.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if is_yes { Ok(()) } else { Err(Failure::new(Code::NotConfirmed, "not confirmed, nothing was made").help("--yes")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_a_name_and_an_address() {
        let node = parse_node("n1=[::1]:4410").expect("a node");
        assert_eq!((node.name.as_str(), node.address.as_str()), ("n1", "[::1]:4410"));
        assert!(parse_node("n1:4410").is_err());
    }

    #[test]
    fn an_expired_context_and_a_node_are_renewed_by_hand_and_nothing_of_another_cluster() {
        use outboard_net::ClusterId;
        use std::time::Duration;
        let folder = tempfile::tempdir().expect("a folder");
        let nodes = [parse_node("n1=127.0.0.1:4410").expect("a node")];
        let formed = formation::form_with(&folder.path().join("c"), &nodes, Signing::Offline).expect("formed");
        let ca = folder.path().join("c").join("ca");
        let (now, day) = (SystemTime::now(), Duration::from_secs(24 * 3_600));
        let expired = Validity { from: now - 90 * day, until: now - day };
        let authority = Authority::load(&ca).expect("formed");
        let admin = authority.issue(formed.admin.principal().clone(), expired).expect("signed");
        let path = folder.path().join("admin.toml");
        Context::new(vec!["127.0.0.1:4410".into()], admin.clone()).save(&path).expect("writable");
        let run = |target: &Path, ca: &Path, dry_run| {
            let args = RenewArgs { target: target.display().to_string(), ca: ca.to_owned(), dry_run };
            renew(&args, &mut Output::new(crate::format::Format::Text, Box::new(std::io::sink())))
        };
        run(&path, &ca, true).expect("it would");
        assert_eq!(Context::load_file(&path).expect("whole").credentials.serial(), admin.serial());
        run(&path, &ca, false).expect("renewed");
        let renewed = Context::load_file(&path).expect("whole").credentials;
        assert!(renewed.valid_until() > now + 80 * day && renewed.key_pem() == admin.key_pem());
        assert_eq!(renewed.principal(), admin.principal());
        let home = formed.node_dirs[0].join("identity");
        let before = Credentials::load(&home).expect("a node").serial();
        run(&formed.node_dirs[0], &ca, false).expect("renewed");
        assert_ne!(Credentials::load(&home).expect("a node").serial(), before);
        let other = folder.path().join("other");
        Authority::create(ClusterId::random()).and_then(|authority| authority.save(&other)).expect("an authority");
        let refused = run(&path, &other, false).expect_err("another cluster's");
        assert!(refused.code.exit() == 4 && refused.help.is_some(), "{refused:?}");
        assert_eq!(Context::load_file(&path).expect("whole").credentials.serial(), renewed.serial());
        assert_eq!(run(&path, &folder.path().join("nowhere"), false).expect_err("no authority").code, Code::ReadFile);
    }

    #[test]
    fn a_folder_that_holds_something_is_a_failed_precondition() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(check_empty(folder.path()).is_ok() && check_empty(&folder.path().join("new")).is_ok());
        std::fs::write(folder.path().join("mine"), "").expect("writable");
        assert_eq!(check_empty(folder.path()).expect_err("not empty").code.exit(), 4);
    }
}
