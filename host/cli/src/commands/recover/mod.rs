//! `recover`: a quorum is gone for good; what its survivors have, and a smaller cluster made of them. Offline: the nodes don't run.

use crate::code::Code;
use crate::failure::Failure;
use crate::global::Global;
use crate::hint::hint;
use crate::json;
use crate::node_failure::not_started;
use crate::output::Output;
use crate::table::{Align, columns};
use clap::{Args, Subcommand};
use outboard_node::{Plan, RecoverError, StartError, Survivor};
use serde_json::{Value, json};
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;

/// Flags of `recover`.
#[derive(Subcommand, Debug)]
pub(crate) enum RecoverCommand {
    /// Compare the data folders of the nodes that are left; tell what would be lost
    Plan(PlanArgs),
    /// Make a smaller cluster of them; the nodes that are gone can never come back
    Apply(ApplyArgs),
}

/// Flags of `recover plan`.
#[derive(Args, Debug)]
pub(crate) struct PlanArgs {
    /// The data folder of every node that is left; none of them may run
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
}

/// Flags of `recover apply`.
#[derive(Args, Debug)]
pub(crate) struct ApplyArgs {
    /// The data folder of every node that is left; none of them may run
    #[arg(required = true, value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    /// Show the plan and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(_global: &Global, command: RecoverCommand, out: &mut Output) -> Result<(), Failure> {
    match command {
        RecoverCommand::Plan(args) => {
            let plan = Plan::of(&args.dirs).map_err(no_plan)?;
            show(&plan, false, out)?;
            hint!("next, if {} never come back:\n  outboard recover apply {}", gone(&plan), typed(&args.dirs));
            Ok(())
        }
        RecoverCommand::Apply(args) => apply(&args, out),
    }
}

fn apply(args: &ApplyArgs, out: &mut Output) -> Result<(), Failure> {
    let plan = Plan::of(&args.dirs).map_err(no_plan)?;
    if args.dry_run {
        return show(&plan, false, out);
    }
    if !args.yes {
        if !io::stdin().is_terminal() {
            return Err(not_confirmed());
        }
        text(&plan).iter().for_each(|line| eprintln!("{line}"));
        confirm(&plan)?;
    }
    plan.apply().map_err(no_plan)?;
    show(&plan, true, out)?;
    hint!("next, each on its own machine:");
    plan.survivors.iter().for_each(|survivor| hint!("  outboard start --data-dir {}", survivor.dir.display()));
    hint!(
        "never start {} again: these nodes refuse them, but clients don't know, and would be served by the old cluster if a majority of it met",
        gone(&plan)
    );
    Ok(())
}

fn confirm(plan: &Plan) -> Result<(), Failure> {
    eprint!("give up {} for ever? [y/N] ", gone(plan));
    let mut answer = String::new();
    let asked = io::stderr().flush().and_then(|()| io::stdin().lock().read_line(&mut answer));
    let is_yes = asked.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if is_yes { Ok(()) } else { Err(not_confirmed()) }
}

fn not_confirmed() -> Failure {
    Failure::new(Code::NotConfirmed, "not confirmed, nothing was changed")
        .help("--yes, after a look at: outboard recover plan")
}

fn show(plan: &Plan, applied: bool, out: &mut Output) -> Result<(), Failure> {
    if out.format().is_json() {
        out.document(&document(plan, applied))?;
    } else {
        text(plan).iter().try_for_each(|line| out.line(line))?;
        if applied {
            out.line(format!("done: incarnation {}", plan.incarnation))?;
        }
    }
    out.flush()
}

fn text(plan: &Plan) -> Vec<String> {
    let left = plan.survivors.len();
    let mut lines = vec![format!("cluster {}   {} voters, {left} left", plan.cluster, plan.voters)];
    let head = ["NODE", "TERM", "APPLIED", "LOG ENDS AT", ""].map(str::to_owned).to_vec();
    let row = |survivor: &Survivor| {
        let leads = if survivor.node == plan.leader().node { "most advanced" } else { "" };
        let numbers = [survivor.term.to_string(), survivor.applied.to_string(), survivor.last.to_string()];
        let [term, applied, last] = numbers;
        vec![survivor.name.clone(), term, applied, last, leads.to_owned()]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(plan.survivors.iter().map(row)).collect();
    use Align::{Left, Right};
    lines.extend(columns(&[Left, Right, Right, Right, Left], &rows));
    let (leader, gone) = (plan.leader(), gone(plan));
    lines.push(format!("gone: {gone}"));
    lines.push(format!(
        "lost: what was acknowledged behind {} and only {gone} had; nobody here can tell whether there is any",
        leader.last
    ));
    if plan.undecided() > 0 {
        let name = &leader.name;
        lines
            .push(format!("kept: {} entries that {name} doesn't know to be committed; they will be", plan.undecided()));
    }
    lines.push(format!(
        "then: {left} {} in term {}, incarnation {}; {gone} are refused if they come back",
        if left == 1 { "voter" } else { "voters" },
        plan.term,
        plan.incarnation
    ));
    lines
}

fn gone(plan: &Plan) -> String {
    let names: Vec<&str> = plan.gone.iter().map(|(_, name)| name.as_str()).collect();
    names.join(", ")
}

fn typed(dirs: &[PathBuf]) -> String {
    let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    dirs.join(" ")
}

fn document(plan: &Plan, applied: bool) -> Value {
    let position = |index: u64, term: u64| json!({ "index": json::id(index), "term": json::id(term) });
    let survivors = plan.survivors.iter().map(|survivor| {
        json!({
            "node": json::id(survivor.node.0),
            "name": survivor.name,
            "data_dir": survivor.dir.display().to_string(),
            "term": json::id(survivor.term.0),
            "applied": position(survivor.applied.index.0, survivor.applied.term.0),
            "log_ends_at": position(survivor.last.index.0, survivor.last.term.0),
        })
    });
    json!({
        "$type": if applied { "recovered" } else { "recover_plan" },
        "cluster": plan.cluster,
        "voters": plan.voters,
        "survivors": survivors.collect::<Vec<_>>(),
        "most_advanced": plan.leader().name,
        "gone": plan.gone.iter().map(|(node, name)| json!({ "node": json::id(node.0), "name": name })).collect::<Vec<_>>(),
        "undecided": plan.undecided(),
        "term": json::id(plan.term.0),
        "incarnation": json::id(plan.incarnation),
    })
}

/// Why there is no plan.
fn no_plan(error: RecoverError) -> Failure {
    let message = error.to_string();
    match error {
        RecoverError::Folder { dir, source } => {
            let told = source.to_string();
            // Most of them name the folder themselves.
            let message = if told.contains(&*dir.display().to_string()) { told } else { message };
            let is_none = matches!(source, StartError::NotANode { .. });
            let failure = Failure { message, ..not_started(source) };
            if is_none { failure.help("name the data folders of the nodes that are left") } else { failure }
        }
        RecoverError::Mixed(_) => Failure::new(Code::Usage, message).help("name each folder once, all of one cluster"),
        RecoverError::NotNeeded(_) => {
            Failure::new(Code::QuorumThere, message).help("outboard start --data-dir DIR, each of them")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_folder_that_can_t_be_used_is_named_once_and_the_next_step_fits() {
        let dir = Path::new("/data/n1").to_owned();
        let missing = StartError::NotANode { dir: dir.clone(), what: "node.toml is missing".into() };
        let failure = no_plan(RecoverError::Folder { dir: dir.clone(), source: missing });
        assert_eq!(failure.message, "/data/n1 holds no node: node.toml is missing");
        assert!(failure.help.is_some_and(|help| help.contains("that are left")));
        let damaged = StartError::Corrupt("log/3 at 77".into());
        let failure = no_plan(RecoverError::Folder { dir, source: damaged });
        assert_eq!((failure.message.as_str(), failure.code.exit()), ("/data/n1: log/3 at 77", 8));
    }
}
