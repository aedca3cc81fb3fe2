//! The flags that all commands take.

use std::time::Duration;

use crate::format::Format;
use crate::units;
use clap::{Args, ValueEnum};

/// What every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The cluster to talk to: a context's name or file
    #[arg(short, long, global = true, env = "OUTBOARD_CONTEXT", value_name = "NAME|FILE")]
    pub(crate) context: Option<String>,
    /// Ask this node first instead of the context's; several with commas
    #[arg(short, long, global = true, env = "OUTBOARD_ENDPOINT", value_name = "HOST:PORT", value_delimiter = ',')]
    pub(crate) endpoint: Vec<String>,
    /// The form of what goes to stdout
    #[arg(short, long, global = true, env = "OUTBOARD_OUTPUT", value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
    /// What reads may show
    #[arg(long, global = true, env = "OUTBOARD_CONSISTENCY", value_enum, default_value_t = Reads::Linearizable)]
    pub(crate) consistency: Reads,
    /// How long to wait at most, retries included (500ms, 3s, 1m)
    #[arg(long, global = true, env = "OUTBOARD_TIMEOUT", value_parser = units::parse_duration, default_value = "10s")]
    pub(crate) timeout: Duration,
    /// Say more on stderr; twice for even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// What a read may show.
#[derive(Copy, Clone, Eq, PartialEq, Debug, ValueEnum)]
pub(crate) enum Reads {
    /// Everything that was acknowledged before the read began
    Linearizable,
    /// What the asked node has, however old
    Stale,
    /// As linearizable, carried out by the asked node: spares the leader
    Follower,
}
