//! `cluster init`: makes the folders of a new cluster, offline.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::code::Code;
use crate::failure::Failure;
use crate::output::Output;
use clap::{Args, Subcommand};
use outboard_client::Context;
use outboard_node::formation::{self, FormError, Planned, Signing};
use serde_json::json;

/// The admin's context in the new cluster's folder.
pub(crate) const ADMIN_CONTEXT: &str = "admin.toml";

/// Flags of `cluster`.
#[derive(Subcommand, Debug)]
pub(crate) enum ClusterCommand {
    /// Make a new cluster: its CA, a data folder for each node, an admin context
    Init(InitArgs),
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
    let ClusterCommand::Init(args) = command;
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

/// Why there is no new cluster.
pub(crate) fn not_formed(error: FormError) -> Failure {
    let message = error.to_string();
    match error {
        FormError::Plan(_) => Failure::new(Code::Usage, message),
        FormError::NotEmpty(_) => Failure::new(Code::FolderNotEmpty, message).help("name a new folder"),
        FormError::Io { .. } => Failure::new(Code::WriteFile, message),
        FormError::Credentials(_) => Failure::new(Code::WriteFile, message),
    }
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
    fn a_folder_that_holds_something_is_a_failed_precondition() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(check_empty(folder.path()).is_ok() && check_empty(&folder.path().join("new")).is_ok());
        std::fs::write(folder.path().join("mine"), "").expect("writable");
        assert_eq!(check_empty(folder.path()).expect_err("not empty").code.exit(), 4);
    }
}
