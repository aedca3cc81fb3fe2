//! The program `outboard`: the node and the client behind one command line.
//!
//! What it promises: stdout carries data only, everything else goes to stderr; every failure has a code that stays
//! (`OB4001`), a cause, the next command to type, and an exit code that follows from the code's first digit; `-o json`
//! everywhere. A secret is never printed.
//!
//! - `args.rs`: the tree of commands and the global flags. `commands/`: one file or folder per noun, each with its own flags.
//! - `session.rs`: from the flags to a client. `config.rs`: a node's file. `environment.rs`: misspelled twins of flags. `redis.rs`: the Redis listener's glue.
//! - `enrol.rs`, `new_node.rs`: coming in by a token, and a node's folder that comes into being. `node_failure.rs`: how a node ends badly.
//! - `failure.rs`, `code.rs`, `explain.rs`: how things end badly.
//! - `format.rs`, `output.rs`, `json.rs`, `reply.rs`: the four forms of output. `input.rs`, `encoding.rs`, `units.rs`: what people type.
//!
//! This room decides nothing that a cluster depends on. Tests: beside each file; with real processes in `tests/`.

#![allow(clippy::print_stderr, reason = "hints and errors go to stderr here, and only here")]

mod args;
mod code;
mod commands;
mod config;
mod encoding;
mod enrol;
mod environment;
mod explain;
mod failure;
mod format;
mod global;
mod hint;
mod input;
mod json;
mod logging;
mod new_node;
mod node_failure;
mod output;
mod redis;
mod reply;
mod session;
mod suggest;
mod table;
mod units;

use args::{Cli, Command};
use clap::Parser;
use clap::error::ErrorKind;
use code::Code;
use failure::Failure;
use format::Format;
use global::Global;
use output::Output;
use std::process::ExitCode;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let (format, quiet) = (cli.global.output, cli.global.quiet);
    match environment::check().and_then(|()| run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.code == Code::OutputClosed => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(format, quiet);
            ExitCode::from(failure.code.exit())
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { global, mut command } = cli;
    if let Command::Start(args) = command {
        command = Command::Start(args.resolve()?);
    } else if let Command::Join(args) = command {
        command = Command::Join(args.resolve()?);
    }
    let node = if let Command::Start(args) = &command {
        Some(args)
    } else if let Command::Join(args) = &command {
        Some(&args.start)
    } else {
        None
    };
    hint::set_quiet(global.quiet);
    logging::start(node.map(|args| args.log_format()), global.verbose, global.quiet);
    let mut out = Output::stdout(global.output);
    // These two need no client; a node has threads of its own.
    match command {
        Command::Explain(args) => return commands::explain::run(&args, &mut out),
        Command::Start(args) => return commands::start::run(args, None, &global),
        Command::Join(args) => return commands::join::run(&global, args, &mut out),
        Command::Demo(_)
        | Command::Get(_)
        | Command::Put(_)
        | Command::Del(_)
        | Command::Scan(_)
        | Command::Call(_)
        | Command::Import(_)
        | Command::Status
        | Command::Shell(_)
        | Command::Bench(_)
        | Command::Engine(_)
        | Command::Leader(_)
        | Command::Member(_)
        | Command::Token(_)
        | Command::Client(_)
        | Command::Cluster(_)
        | Command::Recover(_)
        | Command::Config(_)
        | Command::Redis(_) => {}
    }
    // One thread is quicker than several for what a client does, and leaves the others to the nodes beside it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Other, format!("the runtime can't start: {error}")))?;
    runtime.block_on(dispatch(&global, command, &mut out))?;
    out.flush()
}

/// Runs a command that needs a runtime.
async fn dispatch(global: &Global, command: Command, out: &mut Output) -> Result<(), Failure> {
    match command {
        Command::Get(args) => commands::data::get(global, args, out).await,
        Command::Put(args) => commands::data::put(global, args, out).await,
        Command::Del(args) => commands::data::del(global, args, out).await,
        Command::Call(args) => commands::data::call(global, args, out).await,
        Command::Scan(args) => commands::scan::run(global, args, out).await,
        Command::Import(args) => commands::import::run(global, args, out).await,
        Command::Status => commands::status::run(global, out).await,
        Command::Demo(args) => commands::demo::run(global, args, out).await,
        Command::Shell(args) => commands::shell::run(global, args, out).await,
        Command::Bench(args) => commands::bench::run(global, args, out).await,
        Command::Engine(command) => commands::engine::run(global, command, out).await,
        Command::Member(command) => commands::member::run(global, command, out).await,
        Command::Token(command) => commands::token::run(global, command, out).await,
        Command::Client(command) => commands::client::run(global, command, out).await,
        Command::Leader(command) => commands::leader::run(global, command, out).await,
        Command::Cluster(command) => commands::cluster::run(command, out),
        Command::Config(command) => commands::config::run(command, out),
        Command::Redis(command) => commands::redis::run(command, out),
        Command::Recover(command) => commands::recover::run(global, command, out),
        Command::Explain(args) => commands::explain::run(&args, out),
        Command::Start(args) => commands::start::run(args, None, global),
        Command::Join(args) => commands::join::run(global, args, out),
    }
}

/// clap's own words, which already suggest the nearest right one; as a document when that was asked for.
fn usage(error: &clap::Error) -> ExitCode {
    let is_answer = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let wants_json =
        std::env::args().any(|argument| matches!(argument.as_str(), "json" | "jsonl" | "-ojson" | "-ojsonl"));
    if !is_answer && wants_json {
        let text = error.to_string();
        let cause: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
        Failure::new(Code::Usage, cause.join(" ").trim_start_matches("error: "))
            .help("outboard --help")
            .print(Format::Json, false);
    } else if error.print().is_err() {
        return ExitCode::FAILURE;
    }
    ExitCode::from(if is_answer { 0 } else { Code::Usage.exit() })
}
