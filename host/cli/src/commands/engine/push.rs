//! `engine push`: a component to all nodes, with a progress bar.

use std::time::Duration;

use crate::code::Code;
use crate::commands::engine::component::{self, Component};
use crate::commands::leader::name_of;
use crate::failure::Failure;
use crate::global::Global;
use crate::hint::hint;
use crate::output::Output;
use crate::{json, session};
use indicatif::{ProgressBar, ProgressStyle};
use outboard_client::{Client, ClientError};
use outboard_wire::bulk::{Pushed, Readiness};
use outboard_wire::client::engine_title;
use serde_json::json;

/// Spreading and compiling take longer than a command, on a busy machine much longer: this long at least. Nodes that are out
/// of reach are not waited for.
const TIMEOUT_MIN: Duration = Duration::from_secs(120);

pub(crate) async fn run(global: &Global, target: &str, dry_run: bool, out: &mut Output) -> Result<(), Failure> {
    let component = component::named(target)?;
    if dry_run {
        let inspection = super::inspect::inspect(target)?;
        eprintln!("would push {}", engine_title(&inspection.record));
        return Ok(());
    }
    let client = session::connect(global).await?;
    let pushed = push(&client, global, component).await?;
    let status = client.status().await?;
    let named: Vec<(String, &Readiness)> =
        pushed.nodes.iter().map(|(node, word)| (name_of(&status, *node), word)).collect();
    if out.format().is_json() {
        out.document(&json!({
            "$type": "pushed",
            "engine": json::engine(&pushed.engine),
            "nodes": named.iter().map(|(name, word)| json::readiness(name, word)).collect::<Vec<_>>(),
        }))?;
    } else {
        out.line(format!("{}  ready on {}", engine_title(&pushed.engine), ready(&pushed)))?;
        hint!("switch to it: outboard engine upgrade {}", pushed.engine.digest.short());
    }
    check(&pushed, &named)
}

/// Pushes, showing how far it is.
pub(crate) async fn push(client: &Client, global: &Global, component: Component) -> Result<Pushed, Failure> {
    let bar = if global.quiet { ProgressBar::hidden() } else { ProgressBar::new(component.bytes.len() as u64) };
    let style = ProgressStyle::with_template("push {wide_bar} {bytes}/{total_bytes} {msg}");
    bar.set_style(style.expect("the template is a constant that indicatif knows"));
    let total = component.bytes.len() as u64;
    let timeout = global.timeout.max(TIMEOUT_MIN);
    let pushed = client.push(component.bytes, timeout, |sent| {
        bar.set_position(sent);
        if sent == total {
            bar.set_message("checking and compiling on all nodes");
        }
    });
    let pushed = pushed.await;
    bar.finish_and_clear();
    pushed.map_err(|error| match error {
        ClientError::Refused(why) => component::not_an_engine(&component.source, &why),
        other @ (ClientError::Unavailable(_)
        | ClientError::Timeout(_)
        | ClientError::Unknown(_)
        | ClientError::Rejected(_)
        | ClientError::Failed(_)
        | ClientError::Invalid(_)
        | ClientError::WatchBroken
        | ClientError::Auth(_)
        | ClientError::Conflict(_)
        | ClientError::AtRisk(_)
        | ClientError::Forbidden(_)
        | ClientError::Protocol(_)) => other.into(),
    })
}

/// `2/3`.
fn ready(pushed: &Pushed) -> String {
    let ready = pushed.nodes.iter().filter(|(_, word)| matches!(word, Readiness::Ready)).count();
    format!("{ready}/{}", pushed.nodes.len())
}

fn check(pushed: &Pushed, named: &[(String, &Readiness)]) -> Result<(), Failure> {
    let mut refusals = Vec::new();
    for (name, word) in named {
        match word {
            Readiness::Ready => {}
            Readiness::Waiting => eprintln!("{name} has not said its word yet"),
            Readiness::Refused(why) => refusals.push(format!("{name}: {why}")),
        }
    }
    if refusals.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Code::UpgradeRefused,
        format!("{} can't run everywhere: {}", engine_title(&pushed.engine), refusals.join("; ")),
    ))
}
