//! Which commands go on and how: the limits and the running engine's manifest decide, before anything reaches the log.

use crate::keys::keys;
use crate::machine::in_transaction;
use bytes::Bytes;
use outboard_sandbox::{CommandSpec, Component};
use outboard_wire::client::{RequestId, Response};
use outboard_wire::limits::{
    ARGUMENTS_MAX, COMMAND_BYTES_MAX, KEY_BYTES_MAX, TRANSACTION_BYTES_MAX, TRANSACTION_COMMANDS_MAX, VALUE_BYTES_MAX,
    WATCHER_KEYS_MAX,
};

/// Whether the command writes; else the answer to it.
pub(super) fn admit(component: &Component, arguments: &[Bytes], id: Option<RequestId>) -> Result<bool, Response> {
    let Some(name) = arguments.first() else { return Err(Response::Invalid("a command has a name".into())) };
    within_limits(arguments)?;
    let Some(spec) = component.command(name) else { return unfit(id, || unknown(arguments)) };
    let count = u32::try_from(arguments.len() - 1).expect("bounded above");
    if count < spec.arguments_min || spec.arguments_max.is_some_and(|max| count > max) {
        let name = spec.name.to_ascii_lowercase();
        return unfit(id, || format!("ERR wrong number of arguments for '{name}' command"));
    }
    keys_within_limits(spec, arguments)?;
    Ok(spec.writes)
}

/// Every command of a transaction; the answer tells which one is wrong.
pub(super) fn admit_all(component: &Component, commands: &[Vec<Bytes>], id: Option<RequestId>) -> Result<(), Response> {
    if !(1..=TRANSACTION_COMMANDS_MAX).contains(&commands.len()) {
        let text = format!("ERR a transaction has 1 to {TRANSACTION_COMMANDS_MAX} commands");
        return Err(Response::Rejected(text));
    }
    if commands.iter().flatten().map(Bytes::len).sum::<usize>() > TRANSACTION_BYTES_MAX {
        return Err(Response::Rejected(format!("ERR a transaction is longer than {TRANSACTION_BYTES_MAX} bytes")));
    }
    for (place, command) in commands.iter().enumerate() {
        admit(component, command, id).map_err(|answer| {
            let Response::Rejected(text) = answer else { return answer };
            Response::Rejected(format!("{text} {}", in_transaction(place)))
        })?;
    }
    Ok(())
}

/// Keys to watch.
pub(super) fn admit_keys(keys: &[Bytes]) -> Result<(), Response> {
    if !(1..=WATCHER_KEYS_MAX).contains(&keys.len()) {
        return Err(Response::Rejected(format!("ERR 1 to {WATCHER_KEYS_MAX} keys can be watched")));
    }
    if keys.iter().any(|key| key.len() > KEY_BYTES_MAX) {
        return Err(Response::Rejected(format!("ERR a key is longer than {KEY_BYTES_MAX} bytes")));
    }
    Ok(())
}

/// The running engine does not take such a command. With a request that has a name, that is not for this node to decide: it may
/// have been done when another engine ran. Its place in the log shows it.
fn unfit(id: Option<RequestId>, text: impl FnOnce() -> String) -> Result<bool, Response> {
    if id.is_some() { Ok(true) } else { Err(Response::Rejected(text())) }
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

/// As Redis says it: the name, and each argument quoted as far as 128 bytes go, all of them up to their first zero byte.
fn unknown(arguments: &[Bytes]) -> String {
    const SHOWN_BYTES_MAX: usize = 128;
    let mut shown: Vec<u8> = Vec::new();
    for argument in &arguments[1..] {
        if shown.len() >= SHOWN_BYTES_MAX {
            break;
        }
        let room = SHOWN_BYTES_MAX - shown.len();
        shown.push(b'\'');
        shown.extend_from_slice(until_zero(&argument[..argument.len().min(room)]));
        shown.extend_from_slice(b"' ");
    }
    let name = &arguments[0][..arguments[0].len().min(SHOWN_BYTES_MAX)];
    let (name, shown) = (String::from_utf8_lossy(until_zero(name)), String::from_utf8_lossy(&shown));
    format!("ERR unknown command '{name}', with args beginning with: {shown}").replace(['\r', '\n'], " ")
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Vec<Bytes> {
        words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
    }

    #[test]
    fn an_unknown_command_is_answered_as_redis_does() {
        let text = unknown(&arguments(&["FOO", "a", "b\r\nc"]));
        assert_eq!(text, "ERR unknown command 'FOO', with args beginning with: 'a' 'b  c' ");
        assert_eq!(unknown(&arguments(&["F\0O", "a\0b"])), "ERR unknown command 'F', with args beginning with: 'a' ");
        let (long, cut) = ("x".repeat(200), "x".repeat(128));
        let text = unknown(&arguments(&[&long, &long, "y"]));
        assert_eq!(text, format!("ERR unknown command '{cut}', with args beginning with: '{cut}' "));
    }
}
