//! One file or folder per noun.

pub(crate) mod bench;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod config;
pub(crate) mod data;
pub(crate) mod demo;
pub(crate) mod engine;
pub(crate) mod explain;
pub(crate) mod import;
pub(crate) mod join;
pub(crate) mod leader;
pub(crate) mod member;
pub(crate) mod recover;
pub(crate) mod redis;
pub(crate) mod scan;
pub(crate) mod shell;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod token;

use crate::args::Command;
use crate::failure::Failure;
use crate::global::Global;
use crate::output::Output;

/// Runs a command that needs a runtime.
pub(crate) async fn run(global: &Global, command: Command, out: &mut Output) -> Result<(), Failure> {
    match command {
        Command::Get(args) => data::get(global, args, out).await,
        Command::Put(args) => data::put(global, args, out).await,
        Command::Del(args) => data::del(global, args, out).await,
        Command::Call(args) => data::call(global, args, out).await,
        Command::Scan(args) => scan::run(global, args, out).await,
        Command::Import(args) => import::run(global, args, out).await,
        Command::Status => status::run(global, out).await,
        Command::Demo(args) => demo::run(global, args, out).await,
        Command::Shell(args) => shell::run(global, args, out).await,
        Command::Bench(args) => bench::run(global, args, out).await,
        Command::Engine(command) => engine::run(global, command, out).await,
        Command::Member(command) => member::run(global, command, out).await,
        Command::Token(command) => token::run(global, command, out).await,
        Command::Client(command) => client::run(global, command, out).await,
        Command::Leader(command) => leader::run(global, command, out).await,
        Command::Cluster(command) => cluster::run(command, out),
        Command::Config(command) => config::run(command, out),
        Command::Redis(command) => redis::run(command, out),
        Command::Recover(command) => recover::run(global, command, out),
        Command::Explain(args) => explain::run(&args, out),
        Command::Start(args) => start::run(args, None, global),
        Command::Join(args) => join::run(global, args, out),
    }
}
