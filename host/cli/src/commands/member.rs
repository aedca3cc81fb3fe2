//! `member`: who the members are, and changes of them.

use std::path::PathBuf;
use std::time::Duration;

use crate::args::Global;
use crate::code::Code;
use crate::commands::leader::no_such_node;
use crate::commands::{join, token};
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{Align, columns};
use crate::{json, session};
use clap::{Args, Subcommand};
use outboard_client::{Client, ClientError};
use outboard_wire::access::{Enrols, MemberChange, MemberInfo, Standing, Wish};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// How often it is looked whether a node has got its vote.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The token of `member add` is used at once.
const ADD_LASTS: Duration = Duration::from_secs(600);

/// Flags of `member`.
#[derive(Subcommand, Debug)]
pub(crate) enum MemberCommand {
    /// Every member: what it takes part as, and how far behind it is
    List,
    /// Make the folder of a new node, enrolled already; bring it to its machine and start it there
    Add(AddArgs),
    /// Take a node out for good; it is told so and stops
    Remove(ChangeArgs),
    /// Give a learner a vote, once it has caught up
    Promote(ChangeArgs),
    /// Take a voter's vote away; it goes on as a learner
    Demote(ChangeArgs),
    /// Let a learner take a voter's place in one step, once it has caught up; the voter leaves
    Replace(ReplaceArgs),
}

/// Flags of `member add`.
#[derive(Args, Debug)]
pub(crate) struct AddArgs {
    /// The new node, as NAME=HOST:PORT
    #[arg(value_name = "NAME=HOST:PORT", value_parser = parse_new)]
    node: (String, String),
    /// A new or empty folder for it
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// It only follows, without a vote
    #[arg(long)]
    learner: bool,
    /// Make nothing
    #[arg(long)]
    dry_run: bool,
}

/// Flags of a change.
#[derive(Args, Debug)]
pub(crate) struct ChangeArgs {
    /// Its name or number
    node: String,
    #[command(flatten)]
    how: How,
}

/// Flags of `member replace`.
#[derive(Args, Debug)]
pub(crate) struct ReplaceArgs {
    /// The voter that leaves
    old: String,
    /// The learner that takes its place
    new: String,
    #[command(flatten)]
    how: How,
}

#[derive(Args, Copy, Clone, Debug)]
struct How {
    /// Even if that leaves no majority of nodes that are heard, or the node has not caught up
    #[arg(long)]
    force: bool,
    /// Say whether it would be taken, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(global: &Global, command: MemberCommand, out: &mut Output) -> Result<(), Failure> {
    let (verb, names, how) = match command {
        MemberCommand::List => return list(global, out).await,
        MemberCommand::Add(args) => return add(global, args, out).await,
        MemberCommand::Remove(args) => (Verb::Remove, vec![args.node], args.how),
        MemberCommand::Promote(args) => (Verb::Promote, vec![args.node], args.how),
        MemberCommand::Demote(args) => (Verb::Demote, vec![args.node], args.how),
        MemberCommand::Replace(args) => (Verb::Replace, vec![args.old, args.new], args.how),
    };
    let client = session::connect(global).await?;
    let members = client.members().await?;
    let found: Vec<&MemberInfo> = names.iter().map(|name| find(&members, name)).collect::<Result<_, _>>()?;
    let change = verb.change(&found);
    match client.change_members(change, how.force, how.dry_run).await {
        // Asked through the node that left, or the leader was lost: the members tell.
        Err(ClientError::Unknown(_)) if is_gone(&client, change).await => {}
        answer => answer?,
    }
    if how.dry_run {
        eprintln!("would be taken: {}", verb.text(&found));
        return Ok(());
    }
    let settled = wait(&client, global.timeout, change).await?;
    // A change that is done is not undone by a context that stays behind.
    if let Ok(members) = client.members().await {
        follow(global, &members);
    }
    if out.format().is_json() {
        let node = found.last().expect("a change names a node");
        return out.document(&json!({
            "$type": "member_changed",
            "change": verb.name(),
            "node": node.name,
            "replaced": (verb == Verb::Replace).then(|| found[0].name.clone()),
            "settled": settled,
        }));
    }
    out.line(verb.text(&found))?;
    if !settled {
        eprintln!("it gets its vote as soon as it has caught up: outboard member list");
    }
    Ok(())
}

#[derive(Copy, Clone, Eq, PartialEq, Debug)]
enum Verb {
    Remove,
    Promote,
    Demote,
    Replace,
}

impl Verb {
    fn change(self, found: &[&MemberInfo]) -> MemberChange {
        let node = found[0].node;
        match self {
            Verb::Remove => MemberChange::Remove { node },
            Verb::Promote => MemberChange::Promote { node },
            Verb::Demote => MemberChange::Demote { node },
            Verb::Replace => MemberChange::Replace { old: node, new: found[1].node },
        }
    }

    fn name(self) -> &'static str {
        match self {
            Verb::Remove => "remove",
            Verb::Promote => "promote",
            Verb::Demote => "demote",
            Verb::Replace => "replace",
        }
    }

    fn text(self, found: &[&MemberInfo]) -> String {
        let name = &found[0].name;
        match self {
            Verb::Remove => format!("{name} is removed"),
            Verb::Promote => format!("{name} gets a vote"),
            Verb::Demote => format!("{name} is a learner"),
            Verb::Replace => format!("{} takes the place of {name}", found[1].name),
        }
    }
}

fn follow(global: &Global, members: &[MemberInfo]) {
    session::keep_endpoints(global, members.iter().map(|member| member.address.clone()).collect());
}

/// Whether a removal shows, though its answer was lost.
async fn is_gone(client: &Client, change: MemberChange) -> bool {
    let MemberChange::Remove { node } = change else { return false };
    client.members().await.is_ok_and(|members| members.iter().all(|member| member.node != node))
}

/// Until the change has come to its end, or the time is up; false then.
async fn wait(client: &Client, patience: Duration, change: MemberChange) -> Result<bool, Failure> {
    let new = match change {
        MemberChange::Promote { node } => node,
        MemberChange::Replace { new, .. } => new,
        MemberChange::Demote { .. } | MemberChange::Remove { .. } => return Ok(true),
    };
    let deadline = Instant::now() + patience;
    loop {
        let members = client.members().await?;
        if members.iter().any(|member| member.node == new && member.standing == Standing::Voter) {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        sleep(LOOK_EVERY).await;
    }
}

fn find<'a>(members: &'a [MemberInfo], text: &str) -> Result<&'a MemberInfo, Failure> {
    let number = text.strip_prefix('n').unwrap_or(text).parse::<u64>().ok();
    let by_name = members.iter().find(|member| member.name == text);
    let found = by_name.or_else(|| members.iter().find(|member| Some(member.node) == number));
    found.ok_or_else(|| no_such_node(text, members.iter().map(|member| member.name.as_str())))
}

async fn list(global: &Global, out: &mut Output) -> Result<(), Failure> {
    let members = session::connect(global).await?.members().await?;
    follow(global, &members);
    if out.format().is_json() {
        let members: Vec<Value> = members.iter().map(|member| document(member, &members)).collect();
        return out.document(&json!({ "$type": "members", "members": members }));
    }
    let head = ["NODE", "ROLE", "ADDRESS", "HEARD", "LAG"].map(str::to_owned).to_vec();
    let row = |member: &MemberInfo| {
        let heard = if member.heard { "yes" } else { "no" }.to_owned();
        vec![member.name.clone(), role(member, &members), member.address.clone(), heard, member.lag.to_string()]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(members.iter().map(row)).collect();
    let align = [Align::Left, Align::Left, Align::Left, Align::Left, Align::Right];
    columns(&align, &rows).iter().try_for_each(|line| out.line(line))
}

fn role(member: &MemberInfo, all: &[MemberInfo]) -> String {
    match member.standing {
        Standing::Voter if member.leader => "leader".to_owned(),
        Standing::Voter => "voter".to_owned(),
        Standing::Learner => "learner".to_owned(),
        Standing::Enrolled => "enrolled".to_owned(),
        Standing::Leaving => "leaving".to_owned(),
        Standing::Joining { replaces: None } => "joining".to_owned(),
        Standing::Joining { replaces: Some(old) } => {
            let old =
                all.iter().find(|member| member.node == old).map_or_else(|| format!("n{old}"), |it| it.name.clone());
            format!("joining for {old}")
        }
    }
}

fn document(member: &MemberInfo, all: &[MemberInfo]) -> Value {
    json!({
        "id": json::id(member.node),
        "name": member.name,
        "address": member.address,
        "role": role(member, all),
        "voter": matches!(member.standing, Standing::Voter | Standing::Leaving),
        "leader": member.leader,
        "heard": member.heard,
        "lag": json::id(member.lag),
    })
}

async fn add(global: &Global, args: AddArgs, out: &mut Output) -> Result<(), Failure> {
    let (name, address) = &args.node;
    let wish = if args.learner { Wish::Learner } else { Wish::Voter };
    join::check_vacant(&args.out)?;
    if args.dry_run {
        eprintln!("would enrol {name} at {address} as a {}, its folder in {}", Enrols::Node(wish), args.out.display());
        return Ok(());
    }
    let context = session::context(global)?;
    let client = session::connect(global).await?;
    let token = token::create(&client, &context, Enrols::Node(wish), ADD_LASTS, 1).await?;
    join::enrol_node(&context.endpoints, &token, &args.out, name, address, global.timeout).await?;
    if out.format().is_json() {
        let dir = args.out.display().to_string();
        out.document(&json!({ "$type": "member_added", "name": name, "address": address, "data_dir": dir }))?;
    } else {
        out.line(format!("{name} is enrolled"))?;
    }
    eprintln!("next, on its own machine (bring the folder there, it holds a private key):");
    eprintln!("  outboard start --data-dir {}", args.out.display());
    Ok(())
}

fn parse_new(text: &str) -> Result<(String, String), String> {
    let (name, address) = text.split_once('=').ok_or("expected NAME=HOST:PORT, such as n4=10.0.0.8:4410")?;
    Ok((name.trim().to_owned(), address.trim().to_owned()))
}

/// What an operator is told whose change is at risk.
pub(crate) const FORCE: &str = "start the nodes that are silent, or --force";

/// A change that can't be as things stand.
pub(crate) fn conflict(message: String) -> Failure {
    Failure::new(Code::Conflict, message).help("outboard member list")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(node: u64, name: &str, standing: Standing) -> MemberInfo {
        let address = String::new();
        MemberInfo { node, name: name.into(), address, standing, leader: node == 1, heard: true, lag: 0 }
    }

    #[test]
    fn members_are_found_and_named() {
        let all = [member(1, "oslo", Standing::Voter), member(4, "n9", Standing::Joining { replaces: Some(1) })];
        assert_eq!(find(&all, "n9").map(|it| it.node).ok(), Some(4));
        assert_eq!(find(&all, "4").map(|it| it.node).ok(), Some(4));
        assert_eq!(find(&all, "rome").expect_err("nobody").code, Code::UnknownNode);
        assert_eq!((role(&all[0], &all), role(&all[1], &all)), ("leader".into(), "joining for oslo".into()));
    }
}
