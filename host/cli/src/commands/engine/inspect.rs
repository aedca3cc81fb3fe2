//! `engine inspect`: what an engine says of itself, after every check that a node makes. A file needs no cluster.

use crate::code::Code;
use crate::commands::engine::component;
use crate::commands::status;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::Output;
use crate::{json, session, units};
use outboard_node::Inspection;
use outboard_wire::command::EngineRecord;
use serde_json::{Value, json};

pub(crate) async fn run(global: &Global, target: &str, out: &mut Output) -> Result<(), Failure> {
    let (record, commands) = if target == "running" {
        let client = session::connect(global).await?;
        let status = client.status().await?;
        let none = || Failure::new(Code::Unhealthy, "the cluster has no engine yet").help("outboard status");
        let record = status::engine(&status).cloned().ok_or_else(none)?;
        let commands = commands_of(&record);
        (record, commands)
    } else {
        let inspection = inspect(target)?;
        (inspection.record, Some(inspection.commands))
    };
    if out.format().is_json() {
        let mut document = json::engine(&record);
        document["$type"] = json!("engine");
        document["commands"] = commands.map_or(Value::Null, |commands| commands.iter().map(command).collect());
        return out.document(&document);
    }
    text(&record, commands.as_deref()).iter().try_for_each(|line| out.line(line))
}

/// Checks a file as a node would.
pub(crate) fn inspect(target: &str) -> Result<Inspection, Failure> {
    let component = component::named(target)?;
    outboard_node::inspect(&component.bytes).map_err(|why| component::not_an_engine(target, &why))
}

/// A name, a summary, and whether it writes.
type CommandLine = (String, String, bool);

/// A cluster tells which engine runs, not what is in it; for the embedded ones this program knows.
fn commands_of(record: &EngineRecord) -> Option<Vec<CommandLine>> {
    let component = component::embedded(&record.name)?;
    let inspection = outboard_node::inspect(&component.bytes).ok()?;
    (inspection.record.digest == record.digest).then_some(inspection.commands)
}

fn command((name, summary, writes): &CommandLine) -> Value {
    json!({ "name": name, "summary": summary, "writes": writes })
}

fn text(record: &EngineRecord, commands: Option<&[CommandLine]>) -> Vec<String> {
    let takes_over = match record.reads_schemas.as_slice() {
        [] => String::new(),
        others => format!(", takes over {}", others.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")),
    };
    let mut lines = vec![
        format!("engine  {}  {}", record.title(), units::size(record.bytes)),
        format!("digest  {}", record.digest),
        format!("schema  {}{takes_over}", record.schema),
    ];
    match commands {
        Some(commands) => {
            let width = commands.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
            for (name, summary, writes) in commands {
                let kind = if *writes { "write" } else { "read " };
                lines.push(format!("  {name:<width$}  {kind}  {summary}"));
            }
        }
        None => lines.push("commands  inspect its file to see them".to_owned()),
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_wire::command::Digest;

    #[test]
    fn an_engine_is_shown_with_its_commands() {
        let record = EngineRecord {
            digest: Digest([0xab; 32]),
            name: "visits".into(),
            version: "1.0.0".into(),
            schema: 2,
            reads_schemas: vec![1],
            bytes: 86_016,
        };
        let commands = [("VISIT".to_owned(), "VISIT page -- counts".to_owned(), true)];
        let lines = text(&record, Some(&commands));
        assert_eq!(lines[0], "engine  visits 1.0.0  84 KiB");
        assert_eq!(lines[2], "schema  2, takes over 1");
        assert_eq!(lines[3], "  VISIT  write  VISIT page -- counts");
    }
}
