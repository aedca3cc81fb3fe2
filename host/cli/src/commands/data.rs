//! `get`, `put`, `del` and `call`: one command for the engine each.

use std::ffi::OsString;

use crate::code::Code;
use crate::encoding::show;
use crate::failure::Failure;
use crate::format::Format;
use crate::global::Global;
use crate::input::Encoding;
use crate::output::Output;
use crate::{json, reply, session};
use bytes::Bytes;
use clap::Args;
use outboard_client::{ClientError, Reply};
use serde_json::json;

/// Flags of `get`.
#[derive(Args, Debug)]
pub(crate) struct GetArgs {
    /// The key: literal, - for stdin, @FILE
    key: OsString,
    #[command(flatten)]
    encoding: Encoding,
}

/// Flags of `put`.
#[derive(Args, Debug)]
pub(crate) struct PutArgs {
    /// The key: literal, - for stdin, @FILE
    key: OsString,
    /// The value: literal, - for stdin, @FILE
    value: OsString,
    /// Write only if the key has this value now
    #[arg(long, value_name = "VALUE")]
    if_value: Option<OsString>,
    /// Write only if there is no such key
    #[arg(long, conflicts_with = "if_value")]
    if_absent: bool,
    #[command(flatten)]
    encoding: Encoding,
}

/// Flags of `del`.
#[derive(Args, Debug)]
pub(crate) struct DelArgs {
    /// The keys: literal, - for stdin, @FILE
    #[arg(required = true)]
    keys: Vec<OsString>,
    #[command(flatten)]
    encoding: Encoding,
}

/// Flags of `call`.
#[derive(Args, Debug)]
pub(crate) struct CallArgs {
    /// The command's name and its arguments, as the engine takes them; after -- they may begin with a dash
    #[arg(required = true, allow_negative_numbers = true)]
    command: Vec<OsString>,
    /// Doing it twice is harmless: ask again when an answer is lost
    #[arg(long)]
    idempotent: bool,
    #[command(flatten)]
    encoding: Encoding,
}

pub(crate) async fn get(global: &Global, args: GetArgs, out: &mut Output) -> Result<(), Failure> {
    let key = args.encoding.key(&args.key)?;
    let client = session::client(global).await?;
    let value =
        client.command([b"GET", key.as_slice()]).idempotent(true).await.map_err(|error| engine_says("get", error))?;
    if value.is_nil() {
        return Err(Failure::new(Code::KeyNotFound, format!("there is no key {}", show(&key))));
    }
    match out.format() {
        Format::Text => out.line(reply::text(&value)),
        Format::Raw => out.bytes(&reply::raw(&value)),
        Format::Json | Format::Jsonl => {
            out.document(&json!({ "$type": "value", "key": json::bytes(&key), "value": reply::value(&value) }))
        }
    }
}

pub(crate) async fn put(global: &Global, args: PutArgs, out: &mut Output) -> Result<(), Failure> {
    let key = Bytes::from(args.encoding.key(&args.key)?);
    let value = Bytes::from(args.encoding.value(&args.value)?);
    let expected = args.if_value.as_ref().map(|text| args.encoding.value(text)).transpose()?.map(Bytes::from);
    let word = Bytes::from_static;
    let command = match (&expected, args.if_absent) {
        (Some(expected), _) => vec![word(b"CAS"), key.clone(), expected.clone(), value],
        (None, true) => vec![word(b"SET"), key.clone(), value, word(b"NX")],
        (None, false) => vec![word(b"SET"), key.clone(), value],
    };
    let client = session::client(global).await?;
    let is_conditional = expected.is_some() || args.if_absent;
    let answer = client.command_bytes(command).await;
    client.close().await;
    let answer = answer.map_err(|error| match (&error, is_conditional) {
        (ClientError::Rejected(_), true) => {
            Failure::from(error).help("conditions need an engine that knows them, such as kv")
        }
        _ => engine_says("put", error),
    })?;
    check_written(&key, expected.is_some(), args.if_absent, &answer)?;
    done(out, json!({ "$type": "written", "key": json::bytes(&key) }), "OK")
}

pub(crate) async fn del(global: &Global, args: DelArgs, out: &mut Output) -> Result<(), Failure> {
    let mut command = vec![b"DEL".to_vec()];
    for key in &args.keys {
        command.push(args.encoding.key(key)?);
    }
    let client = session::client(global).await?;
    let answer = client.command(command).await;
    client.close().await;
    let answer = answer.map_err(|error| engine_says("del", error))?;
    let removed = answer.as_integer().unwrap_or_default();
    done(out, json!({ "$type": "removed", "count": removed }), &removed.to_string())
}

pub(crate) async fn call(global: &Global, args: CallArgs, out: &mut Output) -> Result<(), Failure> {
    let mut command = vec![args.command[0].as_encoded_bytes().to_vec()];
    for argument in &args.command[1..] {
        command.push(args.encoding.read(argument)?);
    }
    let client = session::client(global).await?;
    let answer = client.command(command).idempotent(args.idempotent).await;
    client.close().await;
    let answer = answer?;
    match out.format() {
        Format::Text => out.line(reply::text(&answer)),
        Format::Raw => out.bytes(&reply::raw(&answer)),
        Format::Json | Format::Jsonl => out.document(&json!({ "$type": "reply", "reply": reply::value(&answer) })),
    }
}

/// What the engine's answer to a conditional write means.
fn check_written(key: &[u8], if_value: bool, if_absent: bool, answer: &Reply) -> Result<(), Failure> {
    let shown = show(key);
    if if_value && answer.as_integer() != Some(1) {
        let why = if answer.is_nil() { "there is no such key" } else { "its value differs from the expected one" };
        return Err(Failure::new(Code::ValueDiffers, format!("{shown} was not written: {why}"))
            .help(format!("outboard get {shown}")));
    }
    if if_absent && answer.is_nil() {
        return Err(Failure::new(Code::KeyExists, format!("{shown} was not written: it exists already"))
            .help(format!("outboard get {shown}")));
    }
    Ok(())
}

fn done(out: &mut Output, document: serde_json::Value, text: &str) -> Result<(), Failure> {
    match out.format() {
        Format::Text | Format::Raw => out.line(text),
        Format::Json | Format::Jsonl => out.document(&document),
    }
}

/// These verbs are commands of the kv engines; another engine may not have them.
fn engine_says(verb: &str, error: ClientError) -> Failure {
    let lacks = matches!(&error, ClientError::Rejected(text) if text.contains("unknown command"));
    let failure = Failure::from(error);
    if lacks {
        failure.help(format!("`{verb}` needs an engine that has this command: outboard engine inspect running"))
    } else {
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    #[test]
    fn a_conditional_write_that_did_not_happen_is_a_failed_precondition() {
        let exit = |if_value, if_absent, answer: Reply| {
            check_written(b"k", if_value, if_absent, &answer).err().map(|failure| failure.code.text())
        };
        assert_eq!(exit(true, false, Reply::Integer(1)), None);
        assert_eq!(exit(true, false, Reply::Integer(0)), Some("OB4001"));
        assert_eq!(exit(true, false, Reply::Nil), Some("OB4001"));
        assert_eq!(exit(false, true, Reply::Nil), Some("OB4002"));
        assert_eq!(exit(false, true, Reply::Text(Bytes::from_static(b"OK"))), None);
    }

    #[test]
    fn a_call_takes_negative_numbers_and_global_flags_behind_it() {
        let cli =
            Cli::try_parse_from(["outboard", "call", "incrby", "n", "-5", "-o", "json", "--", "-x"]).expect("flags");
        assert_eq!(cli.global.output, Format::Json);
        let Command::Call(args) = cli.command else { panic!("call was asked for") };
        assert_eq!(args.command, ["incrby", "n", "-5", "-x"].map(OsString::from));
    }

    #[test]
    fn the_documented_message_of_a_failed_condition() {
        let failure = check_written(b"user/42", true, false, &Reply::Integer(0)).expect_err("differs");
        assert_eq!(
            failure.text(false),
            "error[OB4001]: user/42 was not written: its value differs from the expected one\n  help: outboard get user/42\n"
        );
    }
}
