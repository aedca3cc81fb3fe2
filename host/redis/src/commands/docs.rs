//! COMMAND: what commands there are, in the shapes that `redis-cli` and client libraries read. The engine's come from its manifest.

use super::own::{OWN, Spec};
use super::usage::{self, Argument, Kind};
use super::{Commands, Which, fits};
use crate::resp::Writer;
use bytes::Bytes;
use outboard_sandbox::{CommandSpec, KeyPositions};

pub(crate) const HELP: &[(&str, &str)] = &[
    ("(no subcommand)", "Return details about all commands."),
    ("COUNT", "Return the total number of commands."),
    ("LIST [FILTERBY (MODULE|ACLCAT|PATTERN) <value>]", "Return a list of all commands."),
    ("INFO [<command-name> ...]", "Return details about commands."),
    ("DOCS [<command-name> ...]", "Return documentation details about commands."),
    ("HELP", "Prints this help."),
];

/// The gateway's commands came with the Redis whose protocol this is.
const SINCE: &str = super::info::REDIS_VERSION;

/// A command of either kind.
#[derive(Copy, Clone)]
enum Listed<'a> {
    Own(&'static Spec),
    Engine(&'a CommandSpec),
}

fn listed(commands: &Commands) -> impl Iterator<Item = Listed<'_>> {
    commands.of_engine().map(Listed::Engine).chain(OWN.iter().map(Listed::Own))
}

fn find<'a>(name: &[u8], commands: &'a Commands) -> Option<Listed<'a>> {
    if let Some(bar) = name.iter().position(|byte| *byte == b'|') {
        let Some(Which::Own(spec)) = commands.find(&name[..bar]) else { return None };
        return spec.subcommand(&name[bar + 1..]).map(Listed::Own);
    }
    match commands.find(name)? {
        Which::Own(spec) => Some(Listed::Own(spec)),
        Which::Engine(place) => commands.engine_command(place).map(Listed::Engine),
    }
}

pub(crate) fn count(commands: &Commands) -> i64 {
    i64::try_from(listed(commands).count()).expect("few")
}

/// COMMAND.
pub(crate) fn all(commands: &Commands, writer: &mut Writer<'_>) {
    writer.array(listed(commands).count());
    listed(commands).for_each(|command| details(command, writer));
}

/// COMMAND INFO.
pub(crate) fn info(names: &[Bytes], commands: &Commands, writer: &mut Writer<'_>) {
    if names.is_empty() {
        return all(commands, writer);
    }
    writer.array(names.len());
    for name in names {
        match find(name, commands) {
            Some(command) => details(command, writer),
            None => writer.nil(),
        }
    }
}

/// COMMAND DOCS.
pub(crate) fn docs(names: &[Bytes], commands: &Commands, writer: &mut Writer<'_>) {
    let found: Vec<Listed<'_>> = if names.is_empty() {
        listed(commands).collect()
    } else {
        names.iter().filter_map(|name| find(name, commands)).collect()
    };
    writer.map(found.len());
    for command in found {
        documentation(command, commands, writer);
    }
}

/// COMMAND LIST.
pub(crate) fn list(options: &[Bytes], commands: &Commands, writer: &mut Writer<'_>) {
    let filter = match options {
        [] => Filter::None,
        [filterby, kind, value] if filterby.eq_ignore_ascii_case(b"filterby") => {
            match kind.to_ascii_lowercase().as_slice() {
                b"module" => Filter::Module,
                b"aclcat" => Filter::Category(value),
                b"pattern" => Filter::Pattern(value),
                _ => return writer.error(super::answer::SYNTAX),
            }
        }
        _ => return writer.error(super::answer::SYNTAX),
    };
    let with_subcommands = listed(commands).flat_map(|command| {
        let subcommands: &[Spec] = match command {
            Listed::Own(spec) => spec.subcommands,
            Listed::Engine(_) => &[],
        };
        [command].into_iter().chain(subcommands.iter().map(Listed::Own))
    });
    let fitting: Vec<Listed<'_>> = with_subcommands
        .filter(|command| match filter {
            Filter::None => !command.name().contains('|'),
            Filter::Module => false,
            Filter::Category(category) => command.category().as_bytes().eq_ignore_ascii_case(category),
            Filter::Pattern(pattern) => fits(pattern, command.name().as_bytes()),
        })
        .collect();
    writer.array(fitting.len());
    fitting.iter().for_each(|command| writer.bulk(command.name()));
}

enum Filter<'a> {
    None,
    /// There are none.
    Module,
    Category(&'a [u8]),
    Pattern(&'a [u8]),
}

impl Listed<'_> {
    fn name(&self) -> String {
        match self {
            Listed::Own(spec) => spec.name.to_owned(),
            Listed::Engine(spec) => spec.name.to_ascii_lowercase(),
        }
    }

    fn arity(&self) -> i64 {
        match self {
            Listed::Own(spec) => spec.arity,
            Listed::Engine(spec) => {
                let least = i64::from(spec.arguments_min) + 1;
                if spec.arguments_max == Some(spec.arguments_min) { least } else { -least }
            }
        }
    }

    fn flags(&self) -> &'static [&'static str] {
        match self {
            Listed::Own(spec) if spec.before_login() => &["noscript", "loading", "stale", "fast", "no_auth"],
            Listed::Own(_) => &["noscript", "loading", "stale", "fast"],
            Listed::Engine(spec) if spec.writes => &["write"],
            Listed::Engine(_) => &["readonly"],
        }
    }

    fn category(&self) -> &'static str {
        match self {
            Listed::Own(spec) => spec.group,
            Listed::Engine(spec) if spec.writes => "write",
            Listed::Engine(_) => "read",
        }
    }

    fn keys(&self) -> KeyPositions {
        match self {
            Listed::Own(spec) if spec.name == "watch" => KeyPositions { first: 1, last: -1, step: 1 },
            Listed::Own(_) => KeyPositions { first: 0, last: 0, step: 0 },
            Listed::Engine(spec) => spec.keys,
        }
    }
}

/// The ten elements of COMMAND INFO.
fn details(command: Listed<'_>, writer: &mut Writer<'_>) {
    let KeyPositions { first, last, step } = command.keys();
    writer.array(10);
    writer.bulk(command.name());
    writer.integer(command.arity());
    writer.set(command.flags().len());
    command.flags().iter().for_each(|flag| writer.simple(flag));
    writer.integer(first.into());
    writer.integer(last.into());
    writer.integer(step.into());
    writer.set(1);
    writer.simple(&format!("@{}", command.category()));
    writer.set(0);
    key_specification(command, writer);
    match command {
        Listed::Own(spec) if !spec.subcommands.is_empty() => {
            writer.array(spec.subcommands.len());
            spec.subcommands.iter().for_each(|sub| details(Listed::Own(sub), writer));
        }
        Listed::Own(_) | Listed::Engine(_) => writer.set(0),
    }
}

/// The same positions in the newer form, whose last key counts from the first.
fn key_specification(command: Listed<'_>, writer: &mut Writer<'_>) {
    let KeyPositions { first, last, step } = command.keys();
    if first == 0 {
        return writer.set(0);
    }
    writer.set(1);
    writer.map(3);
    writer.bulk("flags");
    let flags: &[&str] = if command.category() == "write" { &["RW", "update"] } else { &["RO", "access"] };
    writer.set(flags.len());
    flags.iter().for_each(|flag| writer.simple(flag));
    writer.bulk("begin_search");
    writer.map(2);
    writer.bulk("type");
    writer.bulk("index");
    writer.bulk("spec");
    writer.map(1);
    writer.bulk("index");
    writer.integer(first.into());
    writer.bulk("find_keys");
    writer.map(2);
    writer.bulk("type");
    writer.bulk("range");
    writer.bulk("spec");
    writer.map(3);
    writer.bulk("lastkey");
    writer.integer(if last < 0 { last.into() } else { i64::from(last) - i64::from(first) });
    writer.bulk("keystep");
    writer.integer(step.into());
    writer.bulk("limit");
    writer.integer(0);
}

/// A name and its map of COMMAND DOCS.
fn documentation(command: Listed<'_>, commands: &Commands, writer: &mut Writer<'_>) {
    let (since, group, summary, usage, subcommands): (_, _, _, _, &[Spec]) = match command {
        Listed::Own(spec) => (SINCE, spec.group, spec.summary, Some(spec.usage), spec.subcommands),
        Listed::Engine(spec) => {
            let (usage, summary) = usage::split(&spec.name, &spec.summary);
            let manifest = commands.manifest().expect("an engine's command is of a manifest");
            (manifest.version.as_str(), manifest.name.as_str(), summary, usage, &[])
        }
    };
    let arguments = usage.and_then(usage::parse).unwrap_or_default();
    writer.bulk(command.name());
    writer.map(3 + usize::from(!arguments.is_empty()) + usize::from(!subcommands.is_empty()));
    for (name, value) in [("summary", summary), ("since", since), ("group", group)] {
        writer.bulk(name);
        writer.bulk(value);
    }
    if !arguments.is_empty() {
        writer.bulk("arguments");
        write_arguments(&arguments, command.keys().first > 0, writer);
    }
    if !subcommands.is_empty() {
        writer.bulk("subcommands");
        writer.map(subcommands.len());
        subcommands.iter().for_each(|sub| documentation(Listed::Own(sub), commands, writer));
    }
}

fn write_arguments(arguments: &[Argument], has_keys: bool, writer: &mut Writer<'_>) {
    writer.array(arguments.len());
    for Argument { kind, optional, multiple } in arguments {
        let (name, kind_name, token, inner): (&str, _, _, &[Argument]) = match kind {
            Kind::Value { token, name } => {
                let is_key = has_keys && name == "key";
                (name, if is_key { "key" } else { "string" }, token.as_deref(), &[])
            }
            Kind::Token(token) => (token, "pure-token", Some(token.as_str()), &[]),
            Kind::OneOf(inner) => ("one", "oneof", None, inner),
            Kind::Block(inner) => ("block", "block", None, inner),
        };
        let flags: Vec<&str> = [("optional", optional), ("multiple", multiple)]
            .into_iter()
            .filter_map(|(name, set)| set.then_some(name))
            .collect();
        let is_key = kind_name == "key";
        let pairs = [is_key, token.is_some(), !flags.is_empty(), !inner.is_empty()];
        writer.map(2 + pairs.iter().filter(|there| **there).count());
        writer.bulk("name");
        writer.bulk(name.to_ascii_lowercase());
        writer.bulk("type");
        writer.bulk(kind_name);
        if is_key {
            writer.bulk("key_spec_index");
            writer.integer(0);
        }
        if let Some(token) = token {
            writer.bulk("token");
            writer.bulk(token);
        }
        if !flags.is_empty() {
            writer.bulk("flags");
            writer.set(flags.len());
            flags.iter().for_each(|flag| writer.simple(flag));
        }
        if !inner.is_empty() {
            writer.bulk("arguments");
            write_arguments(inner, has_keys, writer);
        }
    }
}
