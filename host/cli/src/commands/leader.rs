//! `leader transfer`, and finding a node by what people call it.

use crate::code::Code;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::Output;
use crate::{json, session, suggest};
use clap::Subcommand;
use outboard_client::Client;
use outboard_wire::status::{ClusterStatus, MemberStatus};
use serde_json::json;

/// Names of nodes that are no longer than this are numbers, more or less.
const SHORT_NAME: usize = 3;

/// Flags of `leader`.
#[derive(Subcommand, Debug)]
pub(crate) enum LeaderCommand {
    /// Hand leadership over, to the most caught-up voter if none is named
    Transfer {
        /// The node that is to lead
        node: Option<String>,
        /// Find the node, move nothing
        #[arg(long)]
        dry_run: bool,
    },
}

pub(crate) async fn run(global: &Global, command: LeaderCommand, out: &mut Output) -> Result<(), Failure> {
    let LeaderCommand::Transfer { node, dry_run } = command;
    let client = session::client(global).await?;
    if dry_run {
        let status = client.status().await?;
        let to = node.as_deref().map(|name| find_node(&status, name)).transpose()?;
        let name = to.map_or("the most caught-up voter", |member| member.name.as_str());
        eprintln!("would hand leadership over to {name}");
        return Ok(());
    }
    let moved = transfer(&client, node.as_deref()).await?;
    if out.format().is_json() {
        out.document(&json!({ "$type": "transferred", "leader": moved.name, "term": json::id(moved.term) }))
    } else {
        out.line(moved.text())
    }
}

/// A change of leader.
pub(crate) struct Moved {
    pub(crate) name: String,
    pub(crate) term: u64,
}

impl Moved {
    pub(crate) fn text(&self) -> String {
        format!("{} leads in term {}", self.name, self.term)
    }
}

pub(crate) async fn transfer(client: &Client, to: Option<&str>) -> Result<Moved, Failure> {
    let status = client.status().await?;
    let to = to.map(|name| find_node(&status, name)).transpose()?;
    let (node, term) = client.transfer(to.map(|member| member.node)).await?;
    Ok(Moved { name: name_of(&status, node), term })
}

/// By name, by number, as `n<number>`, or `leader`.
pub(crate) fn find_node<'a>(status: &'a ClusterStatus, text: &str) -> Result<&'a MemberStatus, Failure> {
    if text == "leader" {
        let none = || Failure::new(Code::Unavailable, "there is no leader at the moment").help("outboard status");
        return status.leader().ok_or_else(none);
    }
    let number = text.strip_prefix('n').unwrap_or(text).parse::<u64>().ok();
    let by_name = status.members.iter().find(|member| member.name == text);
    let found = by_name.or_else(|| status.members.iter().find(|member| Some(member.node) == number));
    found.ok_or_else(|| no_such_node(text, status.members.iter().map(|member| member.name.as_str())))
}

/// Suggests the nearest name, or tells them all.
pub(crate) fn no_such_node<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Failure {
    let names: Vec<&str> = names.collect();
    let failure = Failure::new(Code::UnknownNode, format!("there is no node {text}"));
    // Every short name is near to every other one.
    let near = suggest::nearest(text, names.iter().copied()).filter(|_| text.len() > SHORT_NAME);
    match near {
        Some(near) if names.len() > 1 => failure.help(format!("did you mean {near}? there are {}", names.join(", "))),
        Some(_) | None => match names.as_slice() {
            [only] => failure.help(format!("there is {only} alone")),
            all => failure.help(format!("there are {}", all.join(", "))),
        },
    }
}

/// What the operator calls a node.
pub(crate) fn name_of(status: &ClusterStatus, node: u64) -> String {
    let member = status.members.iter().find(|member| member.node == node);
    member.map_or_else(|| format!("n{node}"), |member| member.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> ClusterStatus {
        let member = |node, name: &str| MemberStatus {
            node,
            name: name.to_owned(),
            address: String::new(),
            voter: true,
            rtt_us: None,
            status: None,
        };
        ClusterStatus {
            cluster: "c-x".into(),
            asked: 1,
            members: vec![member(1, "oslo"), member(2, "n3"), member(3, "rome")],
        }
    }

    #[test]
    fn a_node_is_found_by_name_before_number() {
        let status = status();
        let found = |text| find_node(&status, text).map(|member| member.node).map_err(|failure| failure.code.text());
        assert_eq!(found("oslo"), Ok(1));
        assert_eq!(found("n3"), Ok(2));
        assert_eq!(found("3"), Ok(3));
        assert_eq!(found("n1"), Ok(1));
        assert_eq!(found("leader"), Err("OB5001"));
        assert_eq!(found("n9"), Err("OB2004"));
    }

    #[test]
    fn a_mistyped_node_gets_the_nearest_suggested() {
        let failure = find_node(&status(), "olso").expect_err("no such node");
        assert!(failure.help.expect("a suggestion").contains("did you mean oslo?"));
    }

    #[test]
    fn a_name_that_nobody_has_gets_the_nearest_one_or_all() {
        let help = |text: &str, names: &[&str]| no_such_node(text, names.iter().copied()).help.unwrap_or_default();
        assert_eq!(help("oslp", &["oslo", "rome"]), "did you mean oslo? there are oslo, rome");
        assert_eq!(help("n9", &["n1", "n2"]), "there are n1, n2");
        assert_eq!(help("n9", &["n1"]), "there is n1 alone");
    }
}
