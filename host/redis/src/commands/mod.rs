//! Which commands there are: the gateway's own, and those of the running engine by its manifest. The gateway knows no command that
//! touches data.

pub(crate) mod answer;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod docs;
pub(crate) mod hello;
pub(crate) mod info;
pub(crate) mod own;
pub(crate) mod usage;

use bytes::Bytes;
use outboard_sandbox::{CommandSpec, Manifest};
use own::{OWN, Own, Spec};
use std::collections::HashMap;
use std::sync::Arc;

/// The longest name that can be known, in bytes; the sandbox takes no longer ones.
const NAME_BYTES_MAX: usize = 64;

/// All commands by name. Made anew when the engine changes.
pub(crate) struct Commands {
    manifest: Option<Arc<Manifest>>,
    /// By name in capitals.
    by_name: HashMap<Box<[u8]>, Which>,
}

/// Whose a command is.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Which {
    /// The gateway's.
    Own(&'static Spec),
    /// The engine's: its place in the manifest.
    Engine(usize),
}

/// A command whose name and number of arguments have been judged.
#[derive(Debug)]
pub(crate) enum Call {
    /// The gateway answers.
    Own { own: Own, spec: &'static Spec, arguments: Vec<Bytes> },
    /// The engine does: its place in the manifest, and whether it writes.
    Engine { place: usize, writes: bool, arguments: Vec<Bytes> },
    /// Known to nobody, or with too few or too many arguments: the error. Whether it was EXEC decides what becomes of a transaction.
    Rejected { error: Vec<u8>, exec: bool },
    /// There is no engine yet that could know it.
    Unready,
    /// A header or a body of HTTP: some browser is made to send commands.
    Attack,
}

impl Commands {
    pub(crate) fn new(manifest: Option<Arc<Manifest>>) -> Commands {
        let mut by_name = HashMap::new();
        if let Some(manifest) = &manifest {
            for (place, spec) in manifest.commands.iter().enumerate() {
                by_name.insert(spec.name.as_bytes().into(), Which::Engine(place));
            }
        }
        // An engine can't take over the connection's commands: clients rely on them.
        for spec in OWN {
            by_name.insert(spec.name.to_ascii_uppercase().into_bytes().into(), Which::Own(spec));
        }
        Commands { manifest, by_name }
    }

    pub(crate) fn manifest(&self) -> Option<&Arc<Manifest>> {
        self.manifest.as_ref()
    }

    /// The engine's commands that clients can reach.
    pub(crate) fn of_engine(&self) -> impl Iterator<Item = &CommandSpec> {
        let commands = self.manifest.iter().flat_map(|manifest| manifest.commands.iter());
        commands.filter(|spec| matches!(self.find(spec.name.as_bytes()), Some(Which::Engine(_))))
    }

    /// The command at that place of the manifest.
    pub(crate) fn engine_command(&self, place: usize) -> Option<&CommandSpec> {
        self.manifest.as_ref()?.commands.get(place)
    }

    /// Capitals or not.
    pub(crate) fn find(&self, name: &[u8]) -> Option<Which> {
        let mut capitals = [0; NAME_BYTES_MAX];
        let capitals = capitals.get_mut(..name.len())?;
        capitals.copy_from_slice(name);
        capitals.make_ascii_uppercase();
        self.by_name.get(&*capitals).copied()
    }

    /// Judges name and number of arguments, in Redis' order and words.
    pub(crate) fn judge(&self, arguments: Vec<Bytes>) -> Call {
        let name = &arguments[0];
        let count = arguments.len();
        match self.find(name) {
            Some(Which::Own(spec)) => own_call(spec, arguments),
            Some(Which::Engine(place)) => {
                let spec = self.engine_command(place).expect("the table was made from this manifest");
                let (least, most) = (spec.arguments_min as usize + 1, spec.arguments_max.map(|max| max as usize + 1));
                if count < least || most.is_some_and(|most| count > most) {
                    return Call::Rejected { error: wrong_number(&spec.name.to_ascii_lowercase()), exec: false };
                }
                Call::Engine { place, writes: spec.writes, arguments }
            }
            None if name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") => Call::Attack,
            None if self.manifest.is_none() => Call::Unready,
            None => Call::Rejected { error: unknown(&arguments), exec: false },
        }
    }
}

fn own_call(spec: &'static Spec, arguments: Vec<Bytes>) -> Call {
    let exec = spec.own == Some(Own::Exec);
    // Before the number of arguments, as in Redis: QUIT takes any.
    if spec.takes(arguments.len())
        && let (false, Some(name)) = (spec.subcommands.is_empty(), arguments.get(1))
    {
        return match spec.subcommand(name) {
            Some(subcommand) => own_call(subcommand, arguments),
            None => Call::Rejected { error: unknown_subcommand(spec, name), exec },
        };
    }
    match spec.own {
        Some(own) if spec.takes(arguments.len()) => Call::Own { own, spec, arguments },
        Some(_) | None => Call::Rejected { error: wrong_number(spec.name), exec },
    }
}

/// The name in small letters.
pub(crate) fn wrong_number(name: &str) -> Vec<u8> {
    format!("ERR wrong number of arguments for '{name}' command").into_bytes()
}

fn unknown_subcommand(spec: &Spec, name: &[u8]) -> Vec<u8> {
    let container = spec.name.to_ascii_uppercase();
    [b"ERR unknown subcommand '", c_string(name, 128), b"'. Try ", container.as_bytes(), b" HELP."].concat()
}

/// The arguments are shown as far as 128 bytes go, quotes and spaces counted.
fn unknown(arguments: &[Bytes]) -> Vec<u8> {
    let mut shown: Vec<u8> = Vec::new();
    for argument in &arguments[1..] {
        if shown.len() >= UNKNOWN_BYTES_SHOWN {
            break;
        }
        let room = UNKNOWN_BYTES_SHOWN - shown.len();
        shown.push(b'\'');
        shown.extend_from_slice(c_string(argument, room));
        shown.extend_from_slice(b"' ");
    }
    let name = c_string(&arguments[0], UNKNOWN_BYTES_SHOWN);
    [b"ERR unknown command '", name, b"', with args beginning with: ", &shown].concat()
}

/// Of an unknown command so much is repeated, in bytes.
const UNKNOWN_BYTES_SHOWN: usize = 128;

/// Up to so many bytes, or the first NUL: so far goes a string of C.
fn c_string(bytes: &[u8], length_max: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(length_max)];
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Redis' patterns: `*`, `?`, `[a-z]`, `[^a]` and a backslash, without regard to capitals.
pub(crate) fn fits(pattern: &[u8], text: &[u8]) -> bool {
    // Where to go on when what follows the last star does not fit.
    let (mut pattern, mut text) = (pattern, text);
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        let step = match pattern {
            [b'*', rest @ ..] => {
                retry = Some((rest, text));
                pattern = rest;
                continue;
            }
            [] => {
                if text.is_empty() {
                    return true;
                } else {
                    None
                }
            }
            pattern => text.split_first().and_then(|(byte, after)| Some((one_fits(pattern, *byte)?, after))),
        };
        (pattern, text) = match (step, retry) {
            (Some(step), _) => step,
            (None, Some((after_star, [_, later @ ..]))) => {
                retry = Some((after_star, later));
                (after_star, later)
            }
            (None, Some((_, [])) | None) => return false,
        };
    }
}

/// The pattern behind the element that fits the byte.
fn one_fits(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let byte = byte.to_ascii_lowercase();
    let (fits, rest) = match pattern {
        [b'?', rest @ ..] => (true, rest),
        [b'[', rest @ ..] => class_fits(rest, byte),
        [b'\\', escaped, rest @ ..] => (escaped.to_ascii_lowercase() == byte, rest),
        [plain, rest @ ..] => (plain.to_ascii_lowercase() == byte, rest),
        [] => return None,
    };
    fits.then_some(rest)
}

/// Whether a class holds the byte, and what follows the class.
fn class_fits(class: &[u8], byte: u8) -> (bool, &[u8]) {
    let (negated, mut rest) = match class {
        [b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut found = false;
    loop {
        let (low, high, after) = match rest {
            [] => return (found != negated, rest),
            [b']', after @ ..] => return (found != negated, after),
            [b'\\', escaped, after @ ..] => (*escaped, *escaped, after),
            [low, b'-', high, after @ ..] => (*low.min(high), *low.max(high), after),
            [plain, after @ ..] => (*plain, *plain, after),
        };
        found |= (low.to_ascii_lowercase()..=high.to_ascii_lowercase()).contains(&byte);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{manifest, words};

    fn judged(line: &str) -> String {
        match Commands::new(Some(manifest())).judge(words(line)) {
            Call::Own { own, .. } => format!("own {own:?}"),
            Call::Engine { place, writes, .. } => format!("engine {place} {writes}"),
            Call::Rejected { error, exec } => {
                format!("{}{}", String::from_utf8_lossy(&error), if exec { " (exec)" } else { "" })
            }
            Call::Unready => "unready".to_owned(),
            Call::Attack => "attack".to_owned(),
        }
    }

    #[test]
    fn a_command_is_the_gateways_the_engines_or_nobodys() {
        assert_eq!(judged("ping"), "own Ping");
        assert_eq!(judged("Client SetName x"), "own ClientSetName");
        assert_eq!(judged("COMMAND"), "own Command");
        assert_eq!(judged("set k v"), "engine 1 true");
        assert_eq!(judged("GET k"), "engine 0 false");
        assert_eq!(judged("quit now"), "own Quit");
        assert_eq!(judged("get"), "ERR wrong number of arguments for 'get' command");
        assert_eq!(judged("GET a b"), "ERR wrong number of arguments for 'get' command");
        assert_eq!(judged("exec x"), "ERR wrong number of arguments for 'exec' command (exec)");
        assert_eq!(judged("client id x"), "ERR wrong number of arguments for 'client|id' command");
        assert_eq!(judged("client"), "ERR wrong number of arguments for 'client' command");
        assert_eq!(judged("Client foo"), "ERR unknown subcommand 'foo'. Try CLIENT HELP.");
        assert_eq!(judged("FOO a b"), "ERR unknown command 'FOO', with args beginning with: 'a' 'b' ");
        assert_eq!(judged("HOST: x"), "attack");
        assert!(matches!(Commands::new(None).judge(words("get k")), Call::Unready));
        assert!(matches!(Commands::new(None).judge(words("ping")), Call::Own { .. }));
        assert_eq!(
            judged(&"x".repeat(100)),
            format!("ERR unknown command '{}', with args beginning with: ", "x".repeat(100))
        );
    }

    #[test]
    fn patterns_fit_as_in_redis_without_regard_to_capitals() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "save", true),
            ("s*e", "SAVE", true),
            ("s*e", "saver", false),
            ("s?ve", "save", true),
            ("s[a-c]ve", "save", true),
            ("s[^a]ve", "save", false),
            ("s[c-a]ve", "save", true),
            ("s\\*ve", "save", false),
            ("s\\*ve", "s*ve", true),
            ("*a*b*c", "xxaxxbxxc", true),
            ("*a*b*c", "xxaxxcxxb", false),
            ("", "", true),
            ("", "a", false),
            ("[", "a", false),
            ("a[", "a", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
        let bad_case = "a*".repeat(40) + "b";
        assert!(!fits(bad_case.as_bytes(), "a".repeat(20_000).as_bytes()), "quick for every pattern");
    }
}
