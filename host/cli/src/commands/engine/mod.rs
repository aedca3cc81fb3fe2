//! The engines: what is in a file, which ones the cluster has, bringing one in and switching to it.

pub(crate) mod component;
mod inspect;
mod list;
mod push;
pub(crate) mod upgrade;

use std::path::PathBuf;

use crate::failure::{Failure, unwritable};
use crate::global::Global;
use crate::hint::hint;
use crate::output::Output;
use crate::session;
use clap::Subcommand;

/// Flags of `engine`.
#[derive(Subcommand, Debug)]
pub(crate) enum EngineCommand {
    /// What an engine is and which commands it has
    Inspect {
        /// A file, the name of an embedded engine, or `running`
        #[arg(value_name = "FILE|NAME|running")]
        target: String,
    },
    /// Bring an engine to all nodes, checked and compiled there; nothing is switched
    Push {
        /// A component, or a core module built with the SDK; or the name of an embedded engine
        #[arg(value_name = "FILE|NAME")]
        target: String,
        /// Check it here and push nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Switch the running cluster to another engine; a file is pushed first
    Upgrade {
        /// A file, four or more digits of a digest, or a name
        #[arg(value_name = "FILE|DIGEST|NAME")]
        target: String,
        /// Find and check the engine, switch nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// The engines that the cluster has
    List,
    /// Write an embedded engine to a file
    Extract {
        /// kv, kv-basic or chaos
        name: String,
        /// The file, - for stdout
        file: PathBuf,
    },
}

pub(crate) async fn run(global: &Global, command: EngineCommand, out: &mut Output) -> Result<(), Failure> {
    match command {
        EngineCommand::Inspect { target } => inspect::run(global, &target, out).await,
        EngineCommand::Push { target, dry_run } => push::run(global, &target, dry_run, out).await,
        EngineCommand::Upgrade { target, dry_run } => {
            let client = session::connect(global).await?;
            upgrade::run(&client, global, &target, dry_run, out).await
        }
        EngineCommand::List => list::run(global, out).await,
        EngineCommand::Extract { name, file } => extract(&name, &file, out),
    }
}

fn extract(name: &str, file: &std::path::Path, out: &mut Output) -> Result<(), Failure> {
    let bytes = component::embedded_or_chaos(name)?;
    if file.as_os_str() == "-" {
        return out.bytes(bytes);
    }
    std::fs::write(file, bytes).map_err(|error| unwritable(file, &error))?;
    hint!("{name}: {} written to {}", crate::units::size(bytes.len() as u64), file.display());
    Ok(())
}
