//! `engine upgrade`: finds the engine, pushes it if it is a file, switches, and waits until the nodes agree on the result.

use std::time::Duration;

use crate::code::Code;
use crate::commands::engine::component::{self, Component, EMBEDDED};
use crate::commands::engine::push;
use crate::commands::status;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::Output;
use crate::{json, units};
use outboard_client::Client;
use outboard_wire::client::{EngineInfo, Upgraded, engine_title};
use outboard_wire::command::{Digest, EngineRecord};
use outboard_wire::status::{Agreement, ClusterStatus};
use serde_json::{Value, json};
use std::path::Path;
use tokio::time::{Instant, sleep};

/// How long the nodes get to reach the switch's index and to compare their states.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
const SETTLE_EVERY: Duration = Duration::from_millis(50);

pub(crate) async fn run(
    client: &Client,
    global: &Global,
    target: &str,
    dry_run: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    if dry_run {
        let engine = match find(target, &client.engines().await?)? {
            Target::File(_) => super::inspect::inspect(target)?.record,
            Target::Staged(engine) => engine,
        };
        eprintln!("would switch to {}", engine_title(&engine));
        return Ok(());
    }
    let switch = switch(client, global, target).await?;
    if out.format().is_json() {
        out.document(&switch.document())?
    } else {
        out.line(switch.text())?
    }
    switch.check()
}

/// A switch of engines and how the nodes stand afterwards.
pub(crate) struct Switch {
    upgraded: Upgraded,
    status: Option<ClusterStatus>,
}

/// Does it all. Also for the shell.
pub(crate) async fn switch(client: &Client, global: &Global, target: &str) -> Result<Switch, Failure> {
    let digest = match find(target, &client.engines().await?)? {
        Target::File(component) => push::push(client, global, component).await?.engine.digest,
        Target::Staged(engine) => engine.digest,
    };
    let upgraded = client.upgrade(&digest.to_string()).await?;
    let status = settle(client, &upgraded).await;
    Ok(Switch { upgraded, status })
}

/// What `FILE|DIGEST|NAME` can mean.
enum Target {
    File(Component),
    Staged(EngineRecord),
}

/// An embedded name, then a file, then the digest or the name of a staged engine.
fn find(text: &str, staged: &[EngineInfo]) -> Result<Target, Failure> {
    if let Some(component) = component::embedded(text) {
        return Ok(Target::File(component));
    }
    if Path::new(text).is_file() {
        return component::from_file(Path::new(text)).map(Target::File);
    }
    let is_digest = text.len() >= 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let fits = |info: &&EngineInfo| {
        let engine = &info.engine;
        (is_digest && Digest::starts_with(&engine.digest, text)) || engine.name == text || engine.title() == text
    };
    let found: Vec<&EngineInfo> = staged.iter().filter(fits).collect();
    match found.as_slice() {
        [one] => Ok(Target::Staged(one.engine.clone())),
        [] if is_digest => Err(Failure::new(Code::EngineNotFound, format!("no engine's digest begins with {text}"))
            .help("outboard engine list")),
        [] => Err(component::no_such_engine(
            text,
            EMBEDDED.into_iter().chain(staged.iter().map(|info| info.engine.name.as_str())),
        )),
        several => {
            let titles: Vec<String> = several.iter().map(|info| engine_title(&info.engine)).collect();
            Err(Failure::new(Code::UnknownEngine, format!("{text} may be any of {}", titles.join(", ")))
                .help("name it by its digest"))
        }
    }
}

/// Waits until every node runs the new engine and their states are compared at or behind the switch.
async fn settle(client: &Client, upgraded: &Upgraded) -> Option<ClusterStatus> {
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    let mut last = None;
    while Instant::now() < deadline {
        if let Ok(status) = client.status_within(deadline - Instant::now()).await {
            let is_settled = is_settled(&status, upgraded);
            last = Some(status);
            if is_settled {
                break;
            }
        }
        sleep(SETTLE_EVERY).await;
    }
    last
}

fn is_settled(status: &ClusterStatus, upgraded: &Upgraded) -> bool {
    let arrived = status.members.iter().all(|member| {
        let node = member.status.as_ref();
        node.is_some_and(|node| {
            node.applied >= upgraded.index && node.engine.as_ref().map(|e| e.digest) == Some(upgraded.to.digest)
        })
    });
    match status.agreement() {
        Agreement::Equal(index) => arrived && index >= upgraded.index,
        Agreement::Differs(_) => true,
        Agreement::NoCommonMark => false,
    }
}

impl Switch {
    pub(crate) fn text(&self) -> String {
        let Upgraded { from, to, index, pause_us } = &self.upgraded;
        let pause = units::short(Duration::from_micros(*pause_us));
        format!("{} -> {} at index {index}   pause {pause}   {}", from.title(), to.title(), self.state())
    }

    fn state(&self) -> String {
        let Some(status) = &self.status else { return "state not compared yet".to_owned() };
        if is_settled(status, &self.upgraded) && matches!(status.agreement(), Agreement::Equal(_)) {
            return format!("state equal on {}", status::spread(status, &self.upgraded.to));
        }
        let answered = status.members.iter().filter(|member| member.status.is_some()).count();
        match status.agreement() {
            Agreement::Differs(_) => status::agreement(status),
            Agreement::Equal(_) | Agreement::NoCommonMark => {
                format!(
                    "on {}, state not compared yet ({answered} answered)",
                    status::spread(status, &self.upgraded.to)
                )
            }
        }
    }

    pub(crate) fn document(&self) -> Value {
        let Upgraded { from, to, index, pause_us } = &self.upgraded;
        let state = match self.status.as_ref().map(ClusterStatus::agreement) {
            Some(Agreement::Equal(at)) if at >= *index => "equal",
            Some(Agreement::Differs(_)) => "differs",
            Some(Agreement::Equal(_) | Agreement::NoCommonMark) | None => "not_compared",
        };
        json!({
            "$type": "upgraded",
            "from": json::engine(from),
            "to": json::engine(to),
            "index": json::id(*index),
            "pause_us": pause_us,
            "state": state,
            "on": self.status.as_ref().map(|status| status::spread(status, to)),
        })
    }

    /// A difference is never passed over in silence.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.status.as_ref().map(ClusterStatus::agreement) {
            Some(Agreement::Differs(index)) => {
                Err(Failure::new(Code::Diverged, format!("the nodes differ at {index}")).help("outboard status"))
            }
            Some(Agreement::Equal(_) | Agreement::NoCommonMark) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(name: &str, version: &str, digest: u8) -> EngineRecord {
        let (name, version) = (name.to_owned(), version.to_owned());
        EngineRecord { digest: Digest([digest; 32]), name, version, schema: 1, reads_schemas: vec![], bytes: 1 }
    }

    fn staged() -> Vec<EngineInfo> {
        [("my-kv", "0.1.0", 0xaa), ("my-kv", "0.2.0", 0xbb), ("visits", "1.0.0", 0xcc)]
            .map(|(name, version, digest)| EngineInfo {
                engine: engine(name, version, digest),
                active: false,
                nodes: vec![],
            })
            .to_vec()
    }

    fn found(text: &str) -> Result<String, Failure> {
        find(text, &staged()).map(|target| match target {
            Target::File(component) => component.source,
            Target::Staged(engine) => engine.title(),
        })
    }

    #[test]
    fn an_engine_is_named_by_digest_name_or_title() {
        assert_eq!(found("BBBB").expect("staged"), "my-kv 0.2.0");
        assert_eq!(found("visits").expect("staged"), "visits 1.0.0");
        assert_eq!(found("my-kv 0.1.0").expect("staged"), "my-kv 0.1.0");
        assert_eq!(found("kv").expect("embedded"), "embedded");
    }

    #[test]
    fn what_names_none_or_several_is_refused() {
        assert_eq!(found("dddd").expect_err("none").code, Code::EngineNotFound);
        assert_eq!(found("my-kv").expect_err("two").code, Code::UnknownEngine);
        assert_eq!(found("visist").expect_err("none").help.as_deref(), Some("did you mean visits?"));
    }

    #[test]
    fn the_line_of_a_switch() {
        let (from, to) = (engine("kv-basic", "0.1.0", 1), engine("kv", "0.1.0", 2));
        let switch = Switch { upgraded: Upgraded { from, to, index: 1_386_671, pause_us: 41 }, status: None };
        assert_eq!(switch.text(), "kv-basic 0.1.0 -> kv 0.1.0 at index 1386671   pause 41 µs   state not compared yet");
    }
}
