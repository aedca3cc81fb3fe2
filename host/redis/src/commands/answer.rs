//! The commands that are answered on the spot: they need nothing but the session and what the listener knows.
//!
//! They may also stand in a transaction; then they are answered in their place among the engine's replies. The commands that change
//! the course of a connection (AUTH, HELLO, QUIT, RESET, MULTI and its like) are the connection's own doing.

use super::own::Own;
use super::{Commands, client, config, docs, info};
use crate::connection::Facts;
use crate::hub::Hub;
use crate::request::integer;
use crate::resp::Writer;
use crate::session::Session;
use bytes::Bytes;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a command is answered from.
pub(crate) struct Desk<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) commands: &'a Commands,
    pub(crate) session: &'a mut Session,
    pub(crate) facts: &'a Facts,
}

pub(crate) const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
pub(crate) const SYNTAX: &str = "ERR syntax error";

/// Answers one command; name and number of arguments are judged.
pub(crate) fn answer(own: Own, arguments: &[Bytes], desk: &mut Desk<'_>, out: &mut Vec<u8>) {
    let mut writer = Writer::new(out, desk.session.protocol);
    let writer = &mut writer;
    match own {
        Own::Ping => ping(arguments, writer),
        Own::Echo => writer.bulk(&arguments[1]),
        Own::Select => select(&arguments[1], writer),
        Own::Time => time(writer),
        Own::Wait => wait(arguments, desk, writer),
        Own::ReadOnly | Own::ReadWrite => {
            desk.session.read_only = own == Own::ReadOnly;
            writer.ok();
        }
        Own::ClientGetName if desk.session.name.is_empty() => writer.nil(),
        Own::ClientGetName => writer.bulk(&desk.session.name),
        Own::ClientHelp => help("CLIENT", client::HELP, writer),
        Own::ClientId => writer.integer(desk.facts.id.cast_signed()),
        Own::ClientInfo => writer.text(&client::line(desk.facts, desk.session, desk.commands)),
        Own::ClientList => client::list(arguments, desk, writer),
        Own::ClientNoEvict | Own::ClientNoTouch => client::switch(&arguments[2], writer),
        Own::ClientSetInfo => client::set_info(arguments, desk.session, writer),
        Own::ClientSetName => client::set_name(&arguments[2], desk.session, writer),
        Own::Command => docs::all(desk.commands, writer),
        Own::CommandCount => writer.integer(docs::count(desk.commands)),
        Own::CommandDocs => docs::docs(&arguments[2..], desk.commands, writer),
        Own::CommandHelp => help("COMMAND", docs::HELP, writer),
        Own::CommandInfo => docs::info(&arguments[2..], desk.commands, writer),
        Own::CommandList => docs::list(&arguments[2..], desk.commands, writer),
        Own::ConfigGet => config::show(&arguments[2..], desk, writer),
        Own::ConfigHelp => help("CONFIG", config::HELP, writer),
        Own::ConfigResetStat => {
            desk.hub.counters.reset();
            writer.ok();
        }
        Own::ConfigRewrite => writer.error("ERR The server is running without a config file"),
        Own::ConfigSet => config::set(&arguments[2..], writer),
        Own::Info => writer.text(&info::text(&info::Sections::of(&arguments[1..]), desk.hub, desk.commands, None)),
        // In a transaction it comes too late to matter.
        Own::Unwatch => writer.ok(),
        Own::Auth | Own::Hello | Own::Quit | Own::Reset | Own::Multi | Own::Exec | Own::Discard | Own::Watch => {
            unreachable!("the connection carries these out itself")
        }
    }
}

fn ping(arguments: &[Bytes], writer: &mut Writer<'_>) {
    match arguments {
        [_] => writer.simple("PONG"),
        [_, message] => writer.bulk(message),
        _ => writer.error(super::wrong_number("ping")),
    }
}

fn select(index: &[u8], writer: &mut Writer<'_>) {
    match integer(index).map(i32::try_from) {
        Some(Ok(0)) => writer.ok(),
        Some(Ok(_)) => writer.error("ERR DB index is out of range"),
        Some(Err(_)) => writer.error("ERR value is out of range, value must between -2147483648 and 2147483647"),
        None => writer.error(NOT_AN_INTEGER),
    }
}

fn time(writer: &mut Writer<'_>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    writer.array(2);
    writer.bulk(now.as_secs().to_string());
    writer.bulk(now.subsec_micros().to_string());
}

/// Every write that was acknowledged is on a majority already, and nobody here can promise more: so there is nothing to wait for, and
/// the answer is the majority without the one node that Redis would have written to.
fn wait(arguments: &[Bytes], desk: &Desk<'_>, writer: &mut Writer<'_>) {
    if integer(&arguments[1]).is_none() {
        return writer.error(NOT_AN_INTEGER);
    }
    match integer(&arguments[2]) {
        None => writer.error("ERR timeout is not an integer or out of range"),
        Some(..0) => writer.error("ERR timeout is negative"),
        Some(0..) => writer.integer(i64::from(desk.hub.backend.figures().voters / 2)),
    }
}

/// The answer to `HELP`: usage, then a line for each subcommand.
fn help(container: &str, lines: &[(&str, &str)], writer: &mut Writer<'_>) {
    writer.array(2 * lines.len() + 1);
    writer.simple(&format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for (usage, summary) in lines {
        writer.simple(usage);
        writer.simple(&format!("    {summary}"));
    }
}
