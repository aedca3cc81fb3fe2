//! Which commands go on and how: the limits and the running engine's manifest decide, before anything reaches the log.

use bytes::Bytes;
use outboard_sandbox::{CommandSpec, Component, KeyPositions};
use outboard_wire::client::Response;
use outboard_wire::limits::{ARGUMENTS_MAX, COMMAND_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// Whether the command writes; else the answer to it.
pub(super) fn admit(component: &Component, arguments: &[Bytes]) -> Result<bool, Response> {
    let Some(name) = arguments.first() else { return Err(Response::Invalid("a command has a name".into())) };
    within_limits(arguments)?;
    let Some(spec) = component.command(name) else { return Err(Response::Rejected(unknown(arguments))) };
    let count = u32::try_from(arguments.len() - 1).expect("bounded above");
    if count < spec.arguments_min || spec.arguments_max.is_some_and(|max| count > max) {
        let name = spec.name.to_ascii_lowercase();
        return Err(Response::Rejected(format!("ERR wrong number of arguments for '{name}' command")));
    }
    keys_within_limits(spec, arguments)?;
    Ok(spec.writes)
}

fn within_limits(arguments: &[Bytes]) -> Result<(), Response> {
    if arguments.len() > ARGUMENTS_MAX {
        return Err(Response::Rejected(format!("ERR a command has at most {ARGUMENTS_MAX} arguments")));
    }
    if arguments.iter().any(|argument| argument.len() > VALUE_BYTES_MAX) {
        return Err(Response::Rejected(format!("ERR a value is longer than {VALUE_BYTES_MAX} bytes")));
    }
    if arguments.iter().map(Bytes::len).sum::<usize>() > COMMAND_BYTES_MAX {
        return Err(Response::Rejected(format!("ERR a command is longer than {COMMAND_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn keys_within_limits(spec: &CommandSpec, arguments: &[Bytes]) -> Result<(), Response> {
    if keys(&spec.keys, arguments).any(|key| key.len() > KEY_BYTES_MAX) {
        return Err(Response::Rejected(format!("ERR a key is longer than {KEY_BYTES_MAX} bytes")));
    }
    Ok(())
}

/// The arguments that are keys.
fn keys<'a>(positions: &KeyPositions, arguments: &'a [Bytes]) -> impl Iterator<Item = &'a Bytes> {
    let count = arguments.len() as i64;
    let last = if positions.last < 0 { count + i64::from(positions.last) } else { i64::from(positions.last) };
    let end = usize::try_from(last.saturating_add(1).clamp(0, count)).expect("clamped to a length");
    let first = if positions.first == 0 { end } else { (positions.first as usize).min(end) };
    arguments[first..end].iter().step_by(positions.step.max(1) as usize)
}

/// As Redis says it: each argument quoted, the whole cut at 128 bytes.
fn unknown(arguments: &[Bytes]) -> String {
    let name = String::from_utf8_lossy(&arguments[0][..arguments[0].len().min(128)]).into_owned();
    let mut shown = String::new();
    for argument in &arguments[1..] {
        if shown.len() >= 128 {
            break;
        }
        let room = (128 - shown.len()).min(argument.len());
        shown.push_str(&format!("'{}' ", String::from_utf8_lossy(&argument[..room])));
    }
    let text = format!("ERR unknown command '{name}', with args beginning with: {shown}");
    text.replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Vec<Bytes> {
        words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
    }

    #[test]
    fn keys_are_found_by_their_positions() {
        let found = |first, last, step, words: &[&str]| {
            let arguments = arguments(words);
            let keys: Vec<Bytes> = keys(&KeyPositions { first, last, step }, &arguments).cloned().collect();
            keys.iter().map(|key| String::from_utf8_lossy(key).into_owned()).collect::<Vec<_>>().join(",")
        };
        assert_eq!(found(1, 1, 1, &["GET", "k"]), "k");
        assert_eq!(found(1, -1, 2, &["MSET", "a", "1", "b", "2"]), "a,b");
        assert_eq!(found(0, 0, 0, &["DBSIZE"]), "");
        assert_eq!(found(1, 1, 1, &["GET"]), "", "fewer arguments than the manifest expects");
        assert_eq!(found(2, -2, 1, &["X", "a"]), "");
    }

    #[test]
    fn an_unknown_command_is_answered_as_redis_does() {
        let text = unknown(&arguments(&["FOO", "a", "b\r\nc"]));
        assert_eq!(text, "ERR unknown command 'FOO', with args beginning with: 'a' 'b  c' ");
        assert!(unknown(&arguments(&["X", &"y".repeat(1_000)])).len() < 250);
    }
}
