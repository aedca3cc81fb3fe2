//! `engine list`: the engines that the cluster has, and each node's word on them.

use crate::commands::leader::name_of;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::Output;
use crate::table::{Align, columns};
use crate::{json, session, units};
use outboard_wire::bulk::Readiness;
use outboard_wire::client::EngineInfo;
use outboard_wire::status::ClusterStatus;
use serde_json::json;

pub(crate) async fn run(global: &Global, out: &mut Output) -> Result<(), Failure> {
    let client = session::connect(global).await?;
    let (engines, status) = (client.engines().await?, client.status().await?);
    if out.format().is_json() {
        let engines: Vec<_> = engines.iter().map(|info| document(info, &status)).collect();
        return out.document(&json!({ "$type": "engines", "engines": engines }));
    }
    text(&engines, &status).iter().try_for_each(|line| out.line(line))
}

fn document(info: &EngineInfo, status: &ClusterStatus) -> serde_json::Value {
    let mut document = json::engine(&info.engine);
    document["active"] = json!(info.active);
    let nodes = info.nodes.iter().map(|(node, word)| json::readiness(&name_of(status, *node), word));
    document["nodes"] = nodes.collect();
    document
}

fn text(engines: &[EngineInfo], status: &ClusterStatus) -> Vec<String> {
    let head = ["", "DIGEST", "ENGINE", "SCHEMA", "SIZE", "NODES"].map(str::to_owned).to_vec();
    let rows = engines.iter().map(|info| {
        let engine = &info.engine;
        vec![
            if info.active { "*".to_owned() } else { String::new() },
            engine.digest.short(),
            engine.title(),
            engine.schema.to_string(),
            units::size(engine.bytes),
            words(info, status),
        ]
    });
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    columns(&[Align::Left, Align::Left, Align::Left, Align::Right, Align::Right, Align::Left], &rows)
}

/// `3/3 ready`, or who is not and why.
fn words(info: &EngineInfo, status: &ClusterStatus) -> String {
    let ready = info.nodes.iter().filter(|(_, word)| matches!(word, Readiness::Ready)).count();
    let mut text = format!("{ready}/{} ready", info.nodes.len());
    for (node, word) in &info.nodes {
        let name = name_of(status, *node);
        match word {
            Readiness::Ready => {}
            Readiness::Waiting => text.push_str(&format!(", {name} waits")),
            Readiness::Refused(why) => text.push_str(&format!(", {name}: {why}")),
        }
    }
    text
}
