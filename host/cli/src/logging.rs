//! Logs go to stderr: a node tells what it does, a client only what goes wrong, unless more is asked for.

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// The form of log lines.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// Begins logging, of a node in this form. `OUTBOARD_LOG` (`info,outboard_net=debug`) overrides the flags.
pub(crate) fn start(node: Option<LogFormat>, verbose: u8, quiet: bool) {
    let format = node.unwrap_or_default();
    let level = level(node.is_some(), verbose, quiet);
    let filter = match std::env::var("OUTBOARD_LOG") {
        Ok(directives) => EnvFilter::builder().parse_lossy(directives),
        Err(_) => EnvFilter::builder().parse_lossy(directives(level, verbose)),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Text => builder.with_ansi(is_coloured()).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    // Only a second start in one process fails, and then the first one's settings hold.
    started.unwrap_or_default();
}

/// The libraries below speak only when something is wrong, or when everything is wanted.
fn directives(ours: LevelFilter, verbose: u8) -> String {
    let theirs = if verbose > 1 { ours } else { ours.min(LevelFilter::WARN) };
    // Targets are compared by their beginning: this is all our rooms.
    format!("{theirs},outboard={ours}")
}

fn level(is_node: bool, verbose: u8, quiet: bool) -> LevelFilter {
    const LEVELS: [LevelFilter; 5] =
        [LevelFilter::ERROR, LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE];
    let usual = if is_node { 2 } else { 0 };
    let wanted = if quiet { 0 } else { usual + usize::from(verbose) };
    LEVELS[wanted.min(LEVELS.len() - 1)]
}

fn is_coloured() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_quieter_than_our_own_rooms() {
        assert_eq!(directives(LevelFilter::INFO, 0), "warn,outboard=info");
        assert_eq!(directives(LevelFilter::ERROR, 0), "error,outboard=error");
        assert_eq!(directives(LevelFilter::TRACE, 2), "trace,outboard=trace");
    }

    #[test]
    fn a_node_says_more_than_a_client() {
        assert_eq!(level(true, 0, false), LevelFilter::INFO);
        assert_eq!(level(false, 0, false), LevelFilter::ERROR);
        assert_eq!(level(false, 1, false), LevelFilter::WARN);
        assert_eq!(level(true, 9, false), LevelFilter::TRACE);
        assert_eq!(level(true, 0, true), LevelFilter::ERROR);
    }
}
