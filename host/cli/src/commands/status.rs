//! `status`: the cluster on one screen, and whether all nodes have the same state.

use crate::code::Code;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::Output;
use crate::table::{Align, columns};
use crate::{json, session, units};
use outboard_wire::command::EngineRecord;
use outboard_wire::status::{Agreement, ClusterStatus, MemberStatus, NodeStatus};
use serde_json::{Value, json};

pub(crate) async fn run(global: &Global, out: &mut Output) -> Result<(), Failure> {
    let client = session::connect(global).await?;
    let status = client.status().await?;
    if out.format().is_json() {
        out.document(&document(&status))?;
    } else {
        text(&status).iter().try_for_each(|line| out.line(line))?;
    }
    out.flush()?;
    judge(&status)
}

/// How the cluster is, in one word.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Health {
    Healthy,
    /// It serves, but a node is missing, waits for an engine or gets back what its disk has lost.
    Degraded,
    /// It doesn't serve writes.
    NoLeader,
    /// Two nodes differ.
    Diverged,
}

impl Health {
    pub(crate) fn of(status: &ClusterStatus) -> Health {
        let answered: Vec<_> = status.members.iter().filter_map(|member| member.status.as_ref()).collect();
        let differs =
            matches!(status.agreement(), Agreement::Differs(_)) || answered.iter().any(|node| node.diverged.is_some());
        let is_well = |node: &&NodeStatus| node.stalled_for.is_none() && !node.suspended && node.damage.is_none();
        let all_well = answered.len() == status.members.len() && answered.iter().all(is_well);
        match (differs, status.leader().is_some(), all_well) {
            (true, _, _) => Health::Diverged,
            (false, false, _) => Health::NoLeader,
            (false, true, false) => Health::Degraded,
            (false, true, true) => Health::Healthy,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Degraded => "degraded",
            Health::NoLeader => "no leader",
            Health::Diverged => "DIVERGED",
        }
    }
}

/// The exit code of `status`.
fn judge(status: &ClusterStatus) -> Result<(), Failure> {
    let missing: Vec<&str> =
        status.members.iter().filter(|member| member.status.is_none()).map(|member| member.name.as_str()).collect();
    match Health::of(status) {
        Health::Healthy => Ok(()),
        Health::Diverged => Err(Failure::new(Code::Diverged, format!("the nodes differ: {}", agreement(status)))
            .help("outboard explain OB8002")),
        Health::NoLeader => Err(Failure::new(Code::Unhealthy, "there is no leader")),
        Health::Degraded if missing.is_empty() => Err(Failure::new(Code::Unhealthy, troubles(status).join("; "))),
        Health::Degraded => Err(Failure::new(Code::Unhealthy, format!("no answer from {}", missing.join(", ")))),
    }
}

/// The screen.
pub(crate) fn text(status: &ClusterStatus) -> Vec<String> {
    let voters = status.members.iter().filter(|member| member.voter).count();
    let mut lines = vec![format!(
        "cluster {}   {}   {voters} {}   term {}   commit {}",
        status.cluster,
        Health::of(status).word(),
        if voters == 1 { "voter" } else { "voters" },
        term(status),
        commit(status),
    )];
    lines.push(match engine(status) {
        Some(engine) => format!(
            "engine  {}  {}  on {}   {}",
            engine.title(),
            engine.digest.short(),
            spread(status, engine),
            agreement(status)
        ),
        None => "engine  none yet".to_owned(),
    });
    lines.extend(troubles(status));
    lines.extend(table(status));
    lines
}

/// What nodes that answer have to say of themselves.
fn troubles(status: &ClusterStatus) -> Vec<String> {
    let mut lines = Vec::new();
    for member in &status.members {
        let (name, Some(node)) = (&member.name, &member.status) else { continue };
        if let Some(digest) = &node.stalled_for {
            lines.push(format!("{name} waits for the engine {digest}"));
        }
        if node.suspended {
            lines.push(format!("{name} has lost data and counts for nothing until the others have given it back"));
        }
        if let Some(damage) = &node.damage {
            lines.push(format!("{name} repairs its log: {damage}"));
        }
    }
    lines
}

fn table(status: &ClusterStatus) -> Vec<String> {
    let head = ["NODE", "ROLE", "ADDRESS", "RTT", "APPLIED", "LAG", "DISK", "UP"].map(str::to_owned).to_vec();
    let rows = status.members.iter().map(|member| row(member, commit(status)));
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    use Align::{Left, Right};
    columns(&[Left, Left, Left, Left, Right, Right, Right, Left], &rows)
}

fn row(member: &MemberStatus, commit: u64) -> Vec<String> {
    let rtt = member.rtt_us.map_or_else(|| "-".to_owned(), |us| units::short(std::time::Duration::from_micros(us)));
    let (name, address) = (member.name.clone(), member.address.clone());
    match &member.status {
        Some(node) => {
            let lag = commit.saturating_sub(node.applied).to_string();
            let disk = units::size(node.disk_bytes);
            vec![name, node.role.clone(), address, rtt, node.applied.to_string(), lag, disk, units::age(node.uptime_ms)]
        }
        None => {
            let dash = || "-".to_owned();
            vec![name, "no answer".to_owned(), address, rtt, dash(), dash(), dash(), dash()]
        }
    }
}

/// The engine of the leader, else of anyone.
pub(crate) fn engine(status: &ClusterStatus) -> Option<&EngineRecord> {
    let leader = status.leader().and_then(|leader| leader.status.as_ref());
    let anyone = status.members.iter().filter_map(|member| member.status.as_ref());
    leader.into_iter().chain(anyone).find_map(|node| node.engine.as_ref())
}

/// On how many nodes it runs: `3/3`.
pub(crate) fn spread(status: &ClusterStatus, engine: &EngineRecord) -> String {
    let runs = |member: &&MemberStatus| {
        member.status.as_ref().and_then(|node| node.engine.as_ref()).is_some_and(|own| own.digest == engine.digest)
    };
    format!("{}/{}", status.members.iter().filter(runs).count(), status.members.len())
}

/// What comparing the hash chains says.
pub(crate) fn agreement(status: &ClusterStatus) -> String {
    let reported = status.members.iter().find_map(|member| {
        let node = member.status.as_ref()?;
        node.diverged.as_ref().map(|found| (member.name.clone(), found.clone()))
    });
    match (reported, status.agreement()) {
        (Some((name, found)), _) => format!(
            "state differs: {name} from n{}, equal at {}, different at {}",
            found.with, found.equal_at, found.differs_at
        ),
        (None, Agreement::Equal(index)) => format!("state equal at {index}"),
        (None, Agreement::Differs(index)) => format!("state differs at {index}"),
        (None, Agreement::NoCommonMark) => "state not compared yet".to_owned(),
    }
}

fn term(status: &ClusterStatus) -> u64 {
    status.members.iter().filter_map(|member| member.status.as_ref()).map(|node| node.term).max().unwrap_or(0)
}

fn commit(status: &ClusterStatus) -> u64 {
    status.members.iter().filter_map(|member| member.status.as_ref()).map(|node| node.commit).max().unwrap_or(0)
}

/// The screen as a document.
pub(crate) fn document(status: &ClusterStatus) -> Value {
    let (state, index) = match (Health::of(status), status.agreement()) {
        (_, Agreement::Differs(index)) => ("differs", Some(index)),
        (Health::Diverged, Agreement::Equal(_) | Agreement::NoCommonMark) => ("differs", None),
        (Health::Healthy | Health::Degraded | Health::NoLeader, Agreement::Equal(index)) => ("equal", Some(index)),
        (Health::Healthy | Health::Degraded | Health::NoLeader, Agreement::NoCommonMark) => ("not_compared", None),
    };
    json!({
        "$type": "cluster_status",
        "cluster": status.cluster,
        "health": Health::of(status).word().to_lowercase().replace(' ', "_"),
        "term": json::id(term(status)),
        "commit": json::id(commit(status)),
        "leader": status.leader().map(|leader| &leader.name),
        "engine": engine(status).map(json::engine),
        "state": { "comparison": state, "index": index.map(json::id) },
        "nodes": status.members.iter().map(node).collect::<Vec<_>>(),
    })
}

fn node(member: &MemberStatus) -> Value {
    let status = member.status.as_ref().map(|node| {
        json!({
            "role": node.role,
            "term": json::id(node.term),
            "commit": json::id(node.commit),
            "applied": json::id(node.applied),
            "applied_durable": json::id(node.applied_durable),
            "log_first": json::id(node.log_first),
            "log_last": json::id(node.log_last),
            "disk_bytes": node.disk_bytes,
            "uptime_ms": node.uptime_ms,
            "engine": node.engine.as_ref().map(json::engine),
            "engine_since": json::id(node.engine_since),
            "stalled_for": node.stalled_for,
            "durability": node.durability,
            "refused": node.refused,
            "suspended": node.suspended,
            "damage": node.damage,
        })
    });
    json!({
        "node": json::id(member.node),
        "name": member.name,
        "address": member.address,
        "voter": member.voter,
        "rtt_us": member.rtt_us,
        "status": status,
    })
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
