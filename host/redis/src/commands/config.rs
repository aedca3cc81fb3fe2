//! CONFIG: settings that Redis clients ask for, under Redis' names and with what holds here. Nothing can be set: a node's settings
//! stand in its own files.

use super::answer::{Desk, SYNTAX};
use super::fits;
use crate::limits::{KEEPALIVE, VALUE_BYTES_MAX};
use crate::resp::Writer;
use bytes::Bytes;

pub(crate) const HELP: &[(&str, &str)] = &[
    ("GET <pattern>", "Return parameters matching the glob-like <pattern> and their values."),
    ("SET <directive> <value>", "Refused: nothing can be set here."),
    ("RESETSTAT", "Reset statistics reported by the INFO command."),
    ("REWRITE", "Refused: nothing can be set here."),
    ("HELP", "Prints this help."),
];

/// In the order of names.
const NAMES: &[&str] = &[
    "appendfsync",
    "appendonly",
    "bind",
    "cluster-enabled",
    "databases",
    "maxclients",
    "maxmemory",
    "maxmemory-policy",
    "notify-keyspace-events",
    "port",
    "proto-max-bulk-len",
    "save",
    "tcp-keepalive",
    "timeout",
    "tls-port",
];

fn value(name: &str, desk: &Desk<'_>) -> String {
    let local = desk.facts.local;
    let tls = desk.hub.options.tls.is_some();
    let number = |number: usize| number.to_string();
    let of = |text: &str| text.to_owned();
    match name {
        // The log is written before a write is acknowledged, and synced unless the node was told not to.
        "appendonly" => of("yes"),
        "appendfsync" => of(if desk.hub.backend.figures().durability == "none" { "no" } else { "always" }),
        "bind" => local.ip().to_string(),
        "port" => number(if tls { 0 } else { local.port().into() }),
        "tls-port" => number(if tls { local.port().into() } else { 0 }),
        "cluster-enabled" => of("no"),
        "databases" => of("1"),
        "maxclients" => number(desk.hub.options.connections_max),
        "maxmemory" | "timeout" => of("0"),
        "maxmemory-policy" => of("noeviction"),
        "proto-max-bulk-len" => number(VALUE_BYTES_MAX),
        "tcp-keepalive" => KEEPALIVE.as_secs().to_string(),
        // `save` and `notify-keyspace-events`: there are no snapshots at times, and no events.
        _ => String::new(),
    }
}

/// CONFIG GET.
pub(crate) fn show(patterns: &[Bytes], desk: &Desk<'_>, writer: &mut Writer<'_>) {
    let found: Vec<&str> =
        NAMES.iter().copied().filter(|name| patterns.iter().any(|pattern| fits(pattern, name.as_bytes()))).collect();
    writer.map(found.len());
    for name in found {
        writer.bulk(name);
        writer.bulk(value(name, desk));
    }
}

/// CONFIG SET.
pub(crate) fn set(pairs: &[Bytes], writer: &mut Writer<'_>) {
    if !pairs.len().is_multiple_of(2) {
        return writer.error(SYNTAX);
    }
    let names = || pairs.iter().step_by(2).map(|name| &name[..name.len().min(128)]);
    let known = |name: &[u8]| NAMES.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name));
    let error = match names().find(|name| !known(name)) {
        Some(name) => [b"ERR Unknown option or number of arguments for CONFIG SET - '", name, b"'"].concat(),
        None => {
            let name = names().next().unwrap_or_default();
            [b"ERR CONFIG SET failed (possibly related to argument '", name, b"') - can't set immutable config"]
                .concat()
        }
    };
    writer.error(error);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_in_order() {
        assert!(NAMES.is_sorted());
    }
}
