//! `member`: who the members are, and changes of them.

use std::path::PathBuf;
use std::time::Duration;

use crate::code::Code;
use crate::commands::leader::no_such_node;
use crate::commands::token;
use crate::enrol;
use crate::failure::Failure;
use crate::global::Global;
use crate::hint::hint;
use crate::new_node;
use crate::output::Output;
use crate::table::{Align, columns};
use crate::{json, session};
use clap::{Args, Subcommand};
use outboard_client::{Client, ClientError};
use outboard_wire::access::{Enrols, MemberChange, MemberInfo, Standing, Wish};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// How long a change whose answer was lost may take to show.
const SHOWS_WITHIN: Duration = Duration::from_secs(5);
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
    /// Its name or number, or leader
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
    let members = client.members().await.map_err(not_done)?;
    let found: Vec<&MemberInfo> = names.iter().map(|name| find(&members, name)).collect::<Result<_, _>>()?;
    let change = verb.change(&found);
    match client.change_members(change, how.force, how.dry_run).await {
        // Asked through the node that left, or the leader was lost: the members tell.
        Err(ClientError::Unknown(_)) if comes_to_show(&client, change).await => {}
        answer => answer.map_err(not_done)?,
    }
    if how.dry_run {
        eprintln!("would be taken: {}", verb.text(&found, false));
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
    out.line(verb.text(&found, settled))?;
    out.flush()?;
    if !settled {
        hint!("how far it is: outboard member list");
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

    /// `settled`: it has come to its end, and is not only on its way.
    fn text(self, found: &[&MemberInfo], settled: bool) -> String {
        let name = &found[0].name;
        match (self, settled) {
            (Verb::Remove, _) => format!("{name} is removed"),
            (Verb::Promote, true) => format!("{name} has a vote"),
            (Verb::Promote, false) => format!("{name} gets a vote once it has caught up"),
            (Verb::Demote, _) => format!("{name} is a learner"),
            (Verb::Replace, true) => format!("{} has taken the place of {name}", found[1].name),
            (Verb::Replace, false) => format!("{} takes the place of {name} once it has caught up", found[1].name),
        }
    }
}

fn follow(global: &Global, members: &[MemberInfo]) {
    session::keep_endpoints(global, members.iter().map(|member| member.address.clone()).collect());
}

/// Whether the members show a change whose answer was lost; the next leader may need a moment to know of it.
async fn comes_to_show(client: &Client, change: MemberChange) -> bool {
    let deadline = Instant::now() + SHOWS_WITHIN;
    while Instant::now() < deadline {
        if client.members().await.is_ok_and(|members| shows(&members, change)) {
            return true;
        }
        sleep(LOOK_EVERY).await;
    }
    false
}

fn shows(members: &[MemberInfo], change: MemberChange) -> bool {
    let standing = |node: u64| members.iter().find(|member| member.node == node).map(|member| member.standing);
    let is_wanted = |standing| matches!(standing, Some(Standing::Voter | Standing::Joining { .. }));
    match change {
        MemberChange::Remove { node } => standing(node).is_none(),
        MemberChange::Demote { node } => standing(node) == Some(Standing::Learner),
        MemberChange::Promote { node } => is_wanted(standing(node)),
        MemberChange::Replace { new, .. } => is_wanted(standing(new)),
    }
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
        let members = client.members().await.map_err(not_done)?;
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
    let by_name = by_name.or_else(|| members.iter().find(|member| text == "leader" && member.leader));
    let found = by_name.or_else(|| members.iter().find(|member| Some(member.node) == number));
    found.ok_or_else(|| no_such_node(text, members.iter().map(|member| member.name.as_str())))
}

async fn list(global: &Global, out: &mut Output) -> Result<(), Failure> {
    let members = session::connect(global).await?.members().await.map_err(not_done)?;
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
    new_node::check_vacant(&args.out)?;
    let context = session::context(global)?;
    let client = session::connect(global).await?;
    check_free(&client.members().await.map_err(not_done)?, name, address)?;
    if args.dry_run {
        // Whoever may see the tokens may make one.
        client.access_lists().await.map_err(not_done)?;
        eprintln!("would enrol {name} at {address} as a {}, its folder in {}", Enrols::Node(wish), args.out.display());
        return Ok(());
    }
    let token = token::create(&client, &context, Enrols::Node(wish), ADD_LASTS, 1).await?;
    let enrolled = enrol::node(&context.endpoints, &token, &args.out, name, address, global.timeout).await;
    if let Err(failure) = enrolled {
        // Nobody else is to come in by it; what is not revoked expires in minutes.
        drop(client.revoke_token(token.id().0).await);
        let is_refused = failure.code == Code::NotJoined;
        return Err(if is_refused { failure.help("outboard member add NAME=HOST:PORT --out DIR") } else { failure });
    }
    if out.format().is_json() {
        let dir = args.out.display().to_string();
        out.document(&json!({ "$type": "member_added", "name": name, "address": address, "data_dir": dir }))?;
    } else {
        out.line(format!("{name} is enrolled"))?;
    }
    out.flush()?;
    hint!("next, on its own machine (bring the folder there, it holds a private key):");
    hint!("  outboard start --data-dir {}", args.out.display());
    Ok(())
}

fn parse_new(text: &str) -> Result<(String, String), String> {
    let expected = "expected NAME=HOST:PORT, such as n4=10.0.0.8:4410";
    let (name, address) = text.split_once('=').ok_or(expected)?;
    let (name, address) = (name.trim(), session::with_port(address.trim()));
    let is_address =
        address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if name.is_empty() || !is_address { Err(expected.to_owned()) } else { Ok((name.to_owned(), address)) }
}

/// What the cluster would refuse a newcomer for, before there is a token.
fn check_free(members: &[MemberInfo], name: &str, address: &str) -> Result<(), Failure> {
    match members.iter().find(|member| member.name == name || member.address == address) {
        Some(member) if member.name == name => Err(Failure::conflict(format!("another node is called {name}"))),
        Some(member) => Err(Failure::conflict(format!("{} has the address {address} already", member.name))),
        None => Ok(()),
    }
}

/// What an operator of members types next, whom a cluster without a majority can't help.
fn not_done(error: ClientError) -> Failure {
    let help = match &error {
        ClientError::Unavailable(_) | ClientError::Timeout(_) => {
            Some("outboard status; if a majority is gone for good: outboard recover plan DIR…")
        }
        ClientError::Unknown(_) => Some("outboard member list, before repeating it"),
        ClientError::Rejected(_)
        | ClientError::Failed(_)
        | ClientError::WatchBroken
        | ClientError::Invalid(_)
        | ClientError::Auth(_)
        | ClientError::Conflict(_)
        | ClientError::AtRisk(_)
        | ClientError::Forbidden(_)
        | ClientError::Refused(_)
        | ClientError::Protocol(_) => None,
    };
    let failure = Failure::from(error);
    if let Some(help) = help { failure.help(help) } else { failure }
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
        assert_eq!(find(&all, "leader").map(|it| it.node).ok(), Some(1));
        assert_eq!(find(&all, "rome").expect_err("nobody").code, Code::UnknownNode);
        assert_eq!((role(&all[0], &all), role(&all[1], &all)), ("leader".into(), "joining for oslo".into()));
    }

    #[test]
    fn a_newcomer_has_a_name_and_an_address_of_its_own() {
        assert_eq!(parse_new("n4=db4:99"), Ok(("n4".into(), "db4:99".into())));
        assert_eq!(parse_new(" n4 = 10.0.0.8 "), Ok(("n4".into(), "10.0.0.8:4410".into())));
        assert_eq!(parse_new("n4=::1"), Ok(("n4".into(), "[::1]:4410".into())));
        for wrong in ["n4", "=db4:99", "n4=", "n4=db4:x", "n4=db4:99999"] {
            assert!(parse_new(wrong).expect_err(wrong).contains("NAME=HOST:PORT"));
        }
        let there = MemberInfo { address: "db1:4410".into(), ..member(1, "oslo", Standing::Voter) };
        let refused = |name, address| check_free(std::slice::from_ref(&there), name, address).err();
        assert!(refused("rome", "db2:4410").is_none());
        assert_eq!(refused("oslo", "db2:4410").map(|failure| failure.code), Some(Code::Conflict));
        assert!(refused("rome", "db1:4410").is_some_and(|failure| failure.message.contains("oslo has the address")));
    }

    #[test]
    fn a_change_is_told_as_far_as_it_has_come() {
        let all = [member(1, "oslo", Standing::Voter), member(2, "rome", Standing::Learner)];
        let (oslo, both) = ([&all[0]], [&all[0], &all[1]]);
        assert_eq!(Verb::Promote.text(&oslo, true), "oslo has a vote");
        assert_eq!(Verb::Promote.text(&oslo, false), "oslo gets a vote once it has caught up");
        assert_eq!(Verb::Replace.text(&both, true), "rome has taken the place of oslo");
        assert_eq!(Verb::Replace.text(&both, false), "rome takes the place of oslo once it has caught up");
    }

    #[test]
    fn a_change_that_a_cluster_without_a_majority_can_t_make_leads_to_recovery_and_a_lost_answer_to_the_list() {
        let help = |error: ClientError| not_done(error).help.unwrap_or_default();
        assert!(help(ClientError::Unavailable("no leader".into())).contains("outboard recover plan"));
        assert!(help(ClientError::Unknown("lost".into())).contains("outboard member list"));
        assert_eq!(help(ClientError::Conflict("a voter already".into())), "outboard member list");
    }
}
