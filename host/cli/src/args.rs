//! The tree of commands. Each command's own flags stand beside it, those that all take in `global.rs`.

use crate::commands::{
    bench, client, cluster, config, data, demo, engine, explain, import, join, leader, member, recover, redis, scan,
    shell, start, token,
};
use crate::global::Global;
use clap::{Parser, Subcommand};

/// A storage engine clamped onto a Raft: replicated, sandboxed, replaceable while it runs.
#[derive(Parser, Debug)]
#[command(name = "outboard", version, max_term_width = 110, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Everything that can be done.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// A throw-away cluster in this process, with a shell
    Demo(demo::DemoArgs),
    /// Run a node until SIGTERM; on a new folder, found a cluster of one node
    Start(start::StartArgs),
    /// Come into a cluster by a token: as a node, which runs until SIGTERM, or as a client
    #[command(mut_arg("join", |flag| flag.hide(true)))]
    #[command(mut_arg("data_dir", |flag| flag.help("The node's folder [default: outboard in the user's folder for data]")))]
    Join(join::JoinArgs),
    /// Print the value of a key
    Get(data::GetArgs),
    /// Set a key to a value
    Put(data::PutArgs),
    /// Remove keys; prints how many there were
    Del(data::DelArgs),
    /// List keys
    Scan(scan::ScanArgs),
    /// Run any command of the engine
    Call(data::CallArgs),
    /// Load a file of keys and values
    Import(import::ImportArgs),
    /// How the cluster is, node by node
    Status,
    /// Type commands one after another
    Shell(shell::ShellArgs),
    /// Measure speed under load
    Bench(bench::BenchArgs),
    /// The engines: inspect, push, upgrade, list, extract
    #[command(subcommand)]
    Engine(engine::EngineCommand),
    /// The members: list, add, remove, promote, demote, replace
    #[command(subcommand)]
    Member(member::MemberCommand),
    /// Tokens, which let nodes and clients in: create, list, revoke
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// The clients: list, role, revoke
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// The leader: hand leadership over
    #[command(subcommand)]
    Leader(leader::LeaderCommand),
    /// The cluster as a whole: make a new one, renew a certificate by hand
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// A node's settings: show them
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// The Redis listener: a line for its file of users
    #[command(subcommand)]
    Redis(redis::RedisCommand),
    /// A majority is gone for good: go on with the nodes that are left
    #[command(subcommand)]
    Recover(recover::RecoverCommand),
    /// More about an error code, or a list of all
    Explain(explain::ExplainArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;
    use clap::CommandFactory;
    use std::time::Duration;

    #[test]
    fn the_tree_of_commands_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_mistyped_command_gets_the_nearest_right_one_suggested() {
        let error = Cli::try_parse_from(["outboard", "imprt", "x"]).expect_err("there is no such command");
        assert!(error.to_string().contains("'import'"), "{error}");
        let error = Cli::try_parse_from(["outboard", "get", "k", "--timout", "1s"]).expect_err("no such flag");
        assert!(error.to_string().contains("'--timeout'"), "{error}");
    }

    #[test]
    fn global_flags_may_stand_behind_the_command() {
        let cli = Cli::try_parse_from(["outboard", "get", "k", "-o", "json", "--timeout", "500ms"]).expect("flags");
        assert_eq!((cli.global.output, cli.global.timeout), (Format::Json, Duration::from_millis(500)));
    }
}
