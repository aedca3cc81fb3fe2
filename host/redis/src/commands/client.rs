//! CLIENT: what connections are called, and what there is to know of them.

use super::Commands;
use super::answer::{Desk, SYNTAX};
use crate::connection::Facts;
use crate::limits::CLIENT_NAME_BYTES_MAX;
use crate::request::integer;
use crate::resp::Writer;
use crate::session::{Last, Session};
use bytes::Bytes;
use std::fmt::Write;

pub(crate) const HELP: &[(&str, &str)] = &[
    ("GETNAME", "Return the name of the current connection."),
    ("ID", "Return the ID of the current connection."),
    ("INFO", "Return information about the current client connection."),
    (
        "LIST [options ...]",
        "Return information about client connections: TYPE (NORMAL|MASTER|REPLICA|PUBSUB), ID (id ...).",
    ),
    ("NO-EVICT (ON|OFF)", "Accepted, and without effect."),
    ("NO-TOUCH (ON|OFF)", "Accepted, and without effect."),
    ("SETINFO <option> <value>", "Tell LIB-NAME or LIB-VER."),
    ("SETNAME <name>", "Assign the name <name> to the current connection."),
    ("HELP", "Prints this help."),
];

const NAME_INVALID: &str = "ERR Client names cannot contain spaces, newlines or special characters.";

/// Why a name is refused.
pub(crate) fn check_name(name: &[u8]) -> Result<String, &'static str> {
    if name.len() > CLIENT_NAME_BYTES_MAX {
        return Err("ERR the client's name is too long");
    }
    if !name.iter().all(u8::is_ascii_graphic) {
        return Err(NAME_INVALID);
    }
    Ok(String::from_utf8_lossy(name).into_owned())
}

pub(crate) fn set_name(name: &[u8], session: &mut Session, writer: &mut Writer<'_>) {
    match check_name(name) {
        Ok(name) => {
            session.name = name;
            writer.ok();
        }
        Err(error) => writer.error(error),
    }
}

pub(crate) fn set_info(arguments: &[Bytes], session: &mut Session, writer: &mut Writer<'_>) {
    let (option, value) = (&arguments[2], &arguments[3]);
    let place = if option.eq_ignore_ascii_case(b"lib-name") {
        &mut session.library_name
    } else if option.eq_ignore_ascii_case(b"lib-ver") {
        &mut session.library_version
    } else {
        let text = [b"ERR Unrecognized option '", &option[..option.len().min(128)], b"'"].concat();
        return writer.error(text);
    };
    match check_name(value) {
        Ok(value) => {
            *place = value;
            writer.ok();
        }
        Err(_) => {
            let option = String::from_utf8_lossy(option).to_ascii_lowercase();
            writer.error(format!("ERR {option} cannot contain spaces, newlines or special characters."));
        }
    }
}

/// NO-EVICT and NO-TOUCH.
pub(crate) fn switch(word: &[u8], writer: &mut Writer<'_>) {
    if word.eq_ignore_ascii_case(b"on") || word.eq_ignore_ascii_case(b"off") {
        writer.ok();
    } else {
        writer.error(SYNTAX);
    }
}

pub(crate) fn list(arguments: &[Bytes], desk: &Desk<'_>, writer: &mut Writer<'_>) {
    let wanted = match &arguments[2..] {
        [] => Ok(Wanted::All),
        [option, kind] if option.eq_ignore_ascii_case(b"type") => kind_wanted(kind),
        [option, ids @ ..] if option.eq_ignore_ascii_case(b"id") && !ids.is_empty() => {
            let ids: Option<Vec<u64>> =
                ids.iter().map(|id| integer(id)?.try_into().ok().filter(|id| *id > 0)).collect();
            ids.map(Wanted::Ids).ok_or_else(|| b"ERR Invalid client ID".to_vec())
        }
        _ => Err(SYNTAX.into()),
    };
    match wanted {
        Ok(wanted) => writer.text(&lines(&wanted, desk)),
        Err(error) => writer.error(error),
    }
}

/// Which connections CLIENT LIST shows.
enum Wanted {
    All,
    /// There is no other kind than the normal one.
    None,
    Ids(Vec<u64>),
}

fn kind_wanted(kind: &[u8]) -> Result<Wanted, Vec<u8>> {
    match kind.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(Wanted::All),
        b"master" | b"replica" | b"slave" | b"pubsub" => Ok(Wanted::None),
        _ => Err([b"ERR Unknown client type '", &kind[..kind.len().min(128)], b"'"].concat()),
    }
}

fn lines(wanted: &Wanted, desk: &Desk<'_>) -> String {
    let mut text = String::new();
    let mut add = |facts: &Facts, session: &Session| {
        let shown = match wanted {
            Wanted::All => true,
            Wanted::None => false,
            Wanted::Ids(ids) => ids.contains(&facts.id),
        };
        if shown {
            text += &line(facts, session, desk.commands);
        }
    };
    // The connection that asks is busy with asking, and can't be looked up.
    for connection in desk.hub.connections() {
        match connection.try_borrow() {
            Ok(connection) => add(connection.facts(), connection.session()),
            Err(_) => add(desk.facts, desk.session),
        }
    }
    text
}

/// One line, in Redis' words. What has no meaning here is there too, for the programs that look for it.
pub(crate) fn line(facts: &Facts, session: &Session, commands: &Commands) -> String {
    let (flags, queued) = match &session.transaction {
        Some(queue) => ("x", i64::try_from(queue.parts.len()).unwrap_or(i64::MAX)),
        None => ("N", -1),
    };
    let last = match session.last {
        Last::None => "NULL".to_owned(),
        Last::Own(spec) => spec.name.to_owned(),
        Last::Engine(place) => {
            commands.engine_command(place).map_or("NULL".into(), |spec| spec.name.to_ascii_lowercase())
        }
    };
    let mut line = String::with_capacity(320);
    write!(
        line,
        "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={flags} db=0 sub=0 psub=0 ssub=0 multi={queued} qbuf={} \
         qbuf-free=0 argv-mem=0 multi-mem={} rbs=0 rbp=0 obl=0 oll=0 omem={} tot-mem={} events=r cmd={last} user={} redir=-1 \
         resp={} lib-name={} lib-ver={}\n",
        facts.id,
        facts.peer,
        facts.local,
        session.name,
        facts.opened.elapsed().as_secs(),
        facts.active.elapsed().as_secs(),
        facts.input_bytes,
        session.held_bytes(),
        facts.output_bytes,
        facts.held_bytes,
        session.user.as_deref().unwrap_or("(none)"),
        session.protocol.number(),
        session.library_name,
        session.library_version,
    )
    .expect("a string takes everything");
    line
}
