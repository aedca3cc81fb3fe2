//! `config`: the settings that a node would start with here, and where each comes from.

use std::path::PathBuf;

use crate::config::{Config, KEYS, Key};
use crate::failure::Failure;
use crate::output::Output;
use crate::table::{Align, columns};
use clap::{Args, Subcommand};
use serde_json::json;

/// What can be done with the settings.
#[derive(Subcommand, Debug)]
pub(crate) enum ConfigCommand {
    /// Show them
    Show(ShowArgs),
}

/// Flags of `config show`.
#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// The file; else ./outboard.toml, the user's config folder, /etc/outboard
    #[arg(long, env = "OUTBOARD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Also where each comes from
    #[arg(long)]
    origin: bool,
}

pub(crate) fn run(command: ConfigCommand, out: &mut Output) -> Result<(), Failure> {
    let ConfigCommand::Show(args) = command;
    let config = Config::find(args.config.as_deref())?;
    let mut rows = Vec::new();
    for key in &KEYS {
        let (value, origin) = told(&config, key);
        if out.format().is_json() {
            out.item(&json!({ "$type": "setting", "key": key.name, "value": value, "origin": origin }))?;
        } else if args.origin {
            rows.push(vec![key.name.to_owned(), value, origin]);
        } else {
            rows.push(vec![key.name.to_owned(), value]);
        }
    }
    let align = [Align::Left; 3];
    for line in columns(&align[..if args.origin { 3 } else { 2 }], &rows) {
        out.line(line)?;
    }
    out.flush()
}

fn told(config: &Config, key: &Key) -> (String, String) {
    if let Some(value) = std::env::var_os(key.environment) {
        return (value.to_string_lossy().into_owned(), format!("environment {}", key.environment));
    }
    match (config.text(key.name), &config.path) {
        (Some(value), Some(path)) => (value.to_owned(), path.display().to_string()),
        (Some(_), None) | (None, _) => (key.default.to_owned(), "default".to_owned()),
    }
}
