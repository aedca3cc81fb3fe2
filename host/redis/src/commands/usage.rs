//! From the line of usage in a manifest, `SET key value [NX|XX] [EX seconds|PX ms]`, to the tree of arguments that COMMAND DOCS tells and
//! `redis-cli` shows as hints.
//!
//! The grammar is what the lines of `redis-cli` use: words in capitals are tokens, other words are values, `[…]` is optional, `|` stands
//! between alternatives, and `[… ...]` after the same words says that they may come again. What can't be read gives no hints.

/// How deep brackets are read.
const DEPTH_MAX: usize = 8;

/// One argument.
#[derive(Clone, Eq, PartialEq, Debug, Default)]
pub(crate) struct Argument {
    pub(crate) kind: Kind,
    pub(crate) optional: bool,
    pub(crate) multiple: bool,
}

/// What it is.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(crate) enum Kind {
    /// A value under this name, after this token if there is one.
    Value { token: Option<String>, name: String },
    /// A word that stands for itself.
    Token(String),
    /// One of these.
    OneOf(Vec<Argument>),
    /// All of these.
    Block(Vec<Argument>),
}

impl Default for Kind {
    fn default() -> Kind {
        Kind::Block(Vec::new())
    }
}

impl From<Kind> for Argument {
    fn from(kind: Kind) -> Argument {
        Argument { kind, optional: false, multiple: false }
    }
}

/// The arguments of a usage line without the command's name; none when it can't be read.
pub(crate) fn parse(usage: &str) -> Option<Vec<Argument>> {
    let mut rest = usage.trim();
    let arguments = sequence(&mut rest, DEPTH_MAX)?;
    rest.is_empty().then_some(arguments)
}

/// Usage and description of a manifest's summary: `SET key value -- stores the value`.
pub(crate) fn split<'a>(name: &str, summary: &'a str) -> (Option<&'a str>, &'a str) {
    let Some((usage, description)) = summary.split_once(" -- ") else { return (None, summary) };
    let usage = usage.trim();
    let rest = usage.get(..name.len()).filter(|word| word.eq_ignore_ascii_case(name)).map(|_| &usage[name.len()..]);
    (rest.filter(|rest| rest.is_empty() || rest.starts_with(' ')), description)
}

/// Up to the end, a bar or a closing bracket.
fn sequence(rest: &mut &str, depth: usize) -> Option<Vec<Argument>> {
    let mut arguments: Vec<Argument> = Vec::new();
    loop {
        *rest = rest.trim_start();
        if rest.is_empty() || rest.starts_with([']', '|']) {
            return Some(tokens_joined(arguments));
        }
        if let Some(inside) = rest.strip_prefix('[') {
            *rest = inside;
            let group = group(rest, depth.checked_sub(1)?)?;
            repeat_or_push(group, &mut arguments);
        } else {
            let end = rest.find([' ', '[', ']', '|']).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            *rest = after;
            let mut alternatives = vec![vec![one(word)]];
            // Outside brackets only single words are alternatives: `ON|OFF`.
            while let Some(after) = rest.strip_prefix('|') {
                if depth < DEPTH_MAX {
                    break;
                }
                let end = after.find([' ', '[', ']', '|']).unwrap_or(after.len());
                alternatives.push(vec![one(&after[..end])]);
                *rest = &after[end..];
            }
            arguments.push(one_of(alternatives));
        }
    }
}

/// Behind an opening bracket, up to its closing one.
fn group(rest: &mut &str, depth: usize) -> Option<Group> {
    let mut alternatives = Vec::new();
    loop {
        alternatives.push(sequence(rest, depth)?);
        if let Some(after) = rest.strip_prefix('|') {
            *rest = after;
        } else {
            *rest = rest.strip_prefix(']')?;
            break;
        }
    }
    let again = |argument: &Argument| argument.kind == Kind::Value { token: None, name: "...".to_owned() };
    let last = alternatives.last_mut()?;
    let repeats = last.last().is_some_and(again);
    if repeats {
        last.pop();
    }
    if alternatives.iter().any(Vec::is_empty) {
        return None;
    }
    Some(Group { alternatives, repeats })
}

struct Group {
    alternatives: Vec<Vec<Argument>>,
    repeats: bool,
}

/// `key [key ...]` is one argument that may come again.
fn repeat_or_push(group: Group, arguments: &mut Vec<Argument>) {
    let Group { mut alternatives, repeats } = group;
    if repeats && alternatives.len() == 1 && arguments.ends_with(&alternatives[0]) {
        let repeated = alternatives.remove(0);
        arguments.truncate(arguments.len() - repeated.len());
        arguments.push(Argument { multiple: true, ..block(repeated) });
    } else {
        arguments.push(Argument { optional: true, multiple: repeats, ..one_of(alternatives) });
    }
}

fn one(word: &str) -> Argument {
    let token =
        word.bytes().any(|byte| byte.is_ascii_uppercase()) && !word.bytes().any(|byte| byte.is_ascii_lowercase());
    if token { Kind::Token(word.to_owned()) } else { Kind::Value { token: None, name: word.to_owned() } }.into()
}

fn one_of(mut alternatives: Vec<Vec<Argument>>) -> Argument {
    if alternatives.len() == 1 {
        return block(alternatives.remove(0));
    }
    Kind::OneOf(alternatives.into_iter().map(block).collect()).into()
}

fn block(mut arguments: Vec<Argument>) -> Argument {
    if arguments.len() == 1 { arguments.remove(0) } else { Kind::Block(arguments).into() }
}

/// `EX seconds` is one argument: a value behind its token. Only where an alternative or an option is just that; else both stay.
fn tokens_joined(arguments: Vec<Argument>) -> Vec<Argument> {
    match arguments.as_slice() {
        [Argument { kind: Kind::Token(token), optional: false, multiple: false }, value] => match &value.kind {
            Kind::Value { token: None, name } if !value.optional && name != "..." => {
                let kind = Kind::Value { token: Some(token.clone()), name: name.clone() };
                vec![Argument { kind, ..value.clone() }]
            }
            Kind::Value { .. } | Kind::Token(_) | Kind::OneOf(_) | Kind::Block(_) => arguments,
        },
        _ => arguments,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `redis-cli` shows it.
    fn shown(arguments: &[Argument]) -> String {
        let one = |argument: &Argument| {
            let inside = match &argument.kind {
                Kind::Value { token: Some(token), name } => format!("{token} {name}"),
                Kind::Value { token: None, name } => name.clone(),
                Kind::Token(token) => token.clone(),
                Kind::OneOf(inner) => {
                    inner.iter().map(|a| shown(std::slice::from_ref(a))).collect::<Vec<_>>().join("|")
                }
                Kind::Block(inner) => shown(inner),
            };
            let repeated = if argument.multiple { format!("{inside} [{inside} ...]") } else { inside };
            if argument.optional { format!("[{repeated}]") } else { repeated }
        };
        arguments.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn lines_of_usage_are_read_and_shown_alike() {
        for usage in [
            "",
            "key",
            "key value [NX|XX] [GET] [EX seconds|PX ms|EXAT seconds|PXAT ms|KEEPTTL]",
            "key [key ...]",
            "key value [key value ...]",
            "cursor [MATCH pattern] [COUNT number] [TYPE type]",
            "[protover [AUTH username password] [SETNAME clientname]]",
            "ON|OFF",
        ] {
            let arguments = parse(usage).expect(usage);
            assert_eq!(shown(&arguments), usage);
        }
        assert_eq!(shown(&parse("[command-name ...]").expect("read")), "[command-name [command-name ...]]");
    }

    #[test]
    fn values_know_their_tokens_and_repetitions() {
        let arguments = parse("key [EX seconds] [key ...]").expect("read");
        let value =
            |token: Option<&str>, name: &str| Kind::Value { token: token.map(str::to_owned), name: name.to_owned() };
        assert_eq!(arguments[0], value(None, "key").into());
        assert_eq!(arguments[1], Argument { kind: value(Some("EX"), "seconds"), optional: true, multiple: false });
        assert_eq!(arguments[2], Argument { kind: value(None, "key"), optional: true, multiple: true });
        assert!(parse("key [key ...]").expect("read")[0].multiple);
    }

    #[test]
    fn what_cannot_be_read_gives_nothing() {
        for bad in ["[", "]", "a ] b", "[a", "[]", "[a|]", "a [b]]", &"[".repeat(10_000), &"[a ".repeat(10_000)] {
            assert_eq!(parse(bad), None, "{}", &bad[..bad.len().min(20)]);
        }
    }

    #[test]
    fn a_summary_has_usage_and_description_or_only_the_latter() {
        assert_eq!(split("GET", "GET key -- the value"), (Some(" key"), "the value"));
        assert_eq!(split("DBSIZE", "DBSIZE -- how many"), (Some(""), "how many"));
        assert_eq!(split("GET", "tells the value"), (None, "tells the value"));
        assert_eq!(split("GET", "GETS key -- the value"), (None, "the value"));
        assert_eq!(split("GET", "\u{e4}\u{e4} -- the value"), (None, "the value"));
    }
}
