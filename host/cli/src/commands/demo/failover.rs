//! Killing a node of the demo, and measuring for how long no write went through.
//!
//! A probe asks every node that is left to do a write that changes nothing (removing a key that isn't there), again and again, from
//! the moment of the kill until one is acknowledged.

use std::time::{Duration, Instant};

use super::nodes::Nodes;
use crate::code::Code;
use crate::failure::Failure;
use crate::{json, units};
use outboard_client::{Client, ClientError, Context, Options};
use outboard_wire::status::{ClusterStatus, NodeStatus};
use serde_json::{Value, json};
use tokio::task::{JoinSet, spawn_blocking};

/// One attempt of the probe: a request that was passed on to the killed leader is not waited for.
const ATTEMPT: Duration = Duration::from_millis(100);
/// The probe gives up.
const PROBE_TIMEOUT: Duration = Duration::from_secs(20);
/// Nobody else has this key.
const PROBE_KEY: &[u8] = b"\0outboard demo probe";

impl Nodes {
    /// Stops a node without a word, and sees who takes over.
    pub(crate) async fn kill(&mut self, client: &Client, text: &str) -> Result<Killed, Failure> {
        let status = client.status().await.ok();
        let victim = self.find(text, status.as_ref())?;
        let name = self.slots[victim].name.clone();
        let Some(node) = self.slots[victim].node.take() else {
            return Err(Failure::new(Code::Usage, format!("{name} doesn't run")).help(format!(":start {name}")));
        };
        let was_leader = status.as_ref().and_then(ClusterStatus::leader).is_some_and(|leader| leader.name == name);
        let address = self.slots[victim].address;
        let left: Vec<String> =
            self.slots.iter().filter(|slot| slot.node.is_some()).map(|slot| slot.address.to_string()).collect();
        let has_majority = left.len() > self.slots.len() / 2;
        let probes = if has_majority { connect(&self.context, &left).await } else { Vec::new() };

        let began = Instant::now();
        spawn_blocking(move || node.kill()).await.expect("killing a node doesn't panic");
        client.leave(&address.to_string());
        let outcome = match (has_majority, probe(probes, began).await) {
            (false, _) => Aftermath::NoMajority { left: left.len(), of: self.slots.len() },
            (true, Some((paused, view))) => {
                Aftermath::Served { leader: self.leader_name(&view), term: view.term, paused }
            }
            (true, None) => {
                return Err(Failure::new(
                    Code::Unavailable,
                    format!("{name} stopped; no write went through for {}", units::short(PROBE_TIMEOUT)),
                )
                .help(":status"));
            }
        };
        Ok(Killed { name, was_leader, outcome })
    }

    /// Nodes are numbered in the order of the list.
    fn leader_name(&self, view: &NodeStatus) -> String {
        let place =
            view.leader.and_then(|leader| usize::try_from(leader).ok()).and_then(|leader| leader.checked_sub(1));
        place.and_then(|place| self.slots.get(place)).map_or_else(|| "nobody".to_owned(), |slot| slot.name.clone())
    }
}

/// A connection to each node that will be left, made before it matters.
async fn connect(context: &Context, addresses: &[String]) -> Vec<Client> {
    let mut clients = Vec::new();
    for address in addresses {
        let context = Context { endpoints: vec![address.clone()], ..context.clone() };
        let options = Options { timeout: Duration::from_secs(2), pinned: true, ..Options::default() };
        if let Ok(client) = Client::connect_with(&context, options).await {
            clients.push(client);
        }
    }
    clients
}

/// The time until the first write went through, and how the node that took it sees the cluster.
async fn probe(clients: Vec<Client>, began: Instant) -> Option<(Duration, NodeStatus)> {
    let mut attempts = JoinSet::new();
    for client in clients {
        attempts.spawn(async move {
            while began.elapsed() < PROBE_TIMEOUT {
                match client.command([b"DEL", PROBE_KEY]).idempotent(true).timeout(ATTEMPT).await {
                    // An engine without DEL says so only once the cluster serves again.
                    Ok(_) | Err(ClientError::Rejected(_)) => {
                        let paused = began.elapsed();
                        return client.node_status().await.ok().map(|status| (paused, status));
                    }
                    Err(_) => {}
                }
            }
            None
        });
    }
    while let Some(attempt) = attempts.join_next().await {
        if let Some(found) = attempt.expect("probing doesn't panic") {
            return Some(found);
        }
    }
    None
}

/// A node that was killed, and what followed.
pub(crate) struct Killed {
    name: String,
    was_leader: bool,
    outcome: Aftermath,
}

enum Aftermath {
    Served { leader: String, term: u64, paused: Duration },
    NoMajority { left: usize, of: usize },
}

impl Killed {
    pub(crate) fn text(&self) -> String {
        let name = &self.name;
        let role = if self.was_leader { "leader" } else { "follower" };
        match &self.outcome {
            Aftermath::Served { leader, term, paused } => {
                let verb = if self.was_leader { "elected" } else { "leads on" };
                format!(
                    "{name} stopped (was {role}); {leader} {verb} in term {term}, writes paused {}",
                    units::short(*paused)
                )
            }
            Aftermath::NoMajority { left, of } => {
                format!(
                    "{name} stopped (was {role}); {left} of {of} nodes are left, no majority: writes wait for :start {name}"
                )
            }
        }
    }

    pub(crate) fn document(&self) -> Value {
        match &self.outcome {
            Aftermath::Served { leader, term, paused } => json!({
                "killed": self.name,
                "was_leader": self.was_leader,
                "leader": leader,
                "term": json::id(*term),
                "writes_paused_ms": paused.as_millis() as u64,
            }),
            Aftermath::NoMajority { left, of } => {
                json!({ "killed": self.name, "was_leader": self.was_leader, "nodes_left": left, "nodes": of })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_a_failover() {
        let outcome = Aftermath::Served { leader: "n3".into(), term: 2, paused: Duration::from_millis(392) };
        let killed = Killed { name: "n1".into(), was_leader: true, outcome };
        assert_eq!(killed.text(), "n1 stopped (was leader); n3 elected in term 2, writes paused 392 ms");
        assert_eq!(killed.document()["writes_paused_ms"], 392);
    }

    #[test]
    fn without_a_majority_it_says_what_to_type() {
        let outcome = Aftermath::NoMajority { left: 1, of: 3 };
        let killed = Killed { name: "n2".into(), was_leader: false, outcome };
        assert!(killed.text().ends_with("1 of 3 nodes are left, no majority: writes wait for :start n2"));
    }
}
