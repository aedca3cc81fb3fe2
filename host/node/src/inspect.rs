//! What a component is, without a node: for the command line.

use outboard_sandbox::{Component, Limits, Sandbox};
use outboard_wire::command::{Digest, EngineRecord};

/// What a component says of itself, after passing every check that a node makes.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Its identity and layout.
    pub record: EngineRecord,
    /// Name, summary, and whether it writes, for every command.
    pub commands: Vec<(String, String, bool)>,
}

/// Checks a component as a node would and tells what it is; the error is the refusal's text.
pub fn inspect(component: &[u8]) -> Result<Inspection, String> {
    let sandbox = Sandbox::new(Limits::default(), None).map_err(|error| error.to_string())?;
    let component = sandbox.admit(component).map_err(|refusal| refusal.to_string())?;
    let commands = component.manifest().commands.iter();
    let commands = commands.map(|c| (c.name.clone(), c.summary.clone(), c.writes)).collect();
    Ok(Inspection { record: record(&component), commands })
}

/// A component's line in the control state.
pub fn record(component: &Component) -> EngineRecord {
    let manifest = component.manifest();
    EngineRecord {
        digest: Digest(component.digest().0),
        name: manifest.name.clone(),
        version: manifest.version.clone(),
        schema: manifest.schema,
        reads_schemas: manifest.reads_schemas.clone(),
        bytes: component.bytes_len() as u64,
    }
}
