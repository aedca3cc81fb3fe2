//! Checks what an engine says of itself, and turns it into the host's words.

use std::collections::BTreeSet;

use crate::component::{COMMAND_NAME_BYTES_MAX, CommandSpec, KeyPositions, Manifest};
use crate::contract::{WitCommandSpec, WitKeyPositions, WitManifest};

const NAME_BYTES_MAX: usize = 64;
const VERSION_BYTES_MAX: usize = 64;
const SUMMARY_BYTES_MAX: usize = 512;
const READS_SCHEMAS_MAX: usize = 1024;
const COMMANDS_MAX: usize = 1024;

/// The manifest, or what is wrong with it.
pub(crate) fn checked(manifest: WitManifest) -> Result<Manifest, String> {
    let WitManifest { name, version, schema, reads_schemas, caches, commands } = manifest;
    check(is_name(&name), || {
        format!("its name {name:?} is not 1 to {NAME_BYTES_MAX} small letters, digits and dashes")
    })?;
    check(is_version(&version), || format!("its version {version:?} is not a semantic version such as 1.2.3"))?;
    check(reads_schemas.len() <= READS_SCHEMAS_MAX, || format!("it reads more than {READS_SCHEMAS_MAX} schemas"))?;
    check(!commands.is_empty(), || "it has no command".into())?;
    check(commands.len() <= COMMANDS_MAX, || format!("it has more than {COMMANDS_MAX} commands"))?;
    let mut names = BTreeSet::new();
    for spec in &commands {
        check_command(spec)?;
        check(names.insert(&spec.name), || format!("it has two commands {}", spec.name))?;
    }
    let commands = commands.into_iter().map(command).collect();
    Ok(Manifest { name, version, schema, reads_schemas, caches, commands })
}

fn check_command(spec: &WitCommandSpec) -> Result<(), String> {
    let name = &spec.name;
    check(is_command_name(name), || {
        format!(
            "the command name {name:?} is not 1 to {COMMAND_NAME_BYTES_MAX} capitals, digits, dots, dashes and underscores"
        )
    })?;
    let one_line = spec.summary.len() <= SUMMARY_BYTES_MAX && !spec.summary.contains(char::is_control);
    check(one_line, || format!("the summary of {name} is not one line of at most {SUMMARY_BYTES_MAX} bytes"))?;
    check(spec.arguments_max.is_none_or(|max| spec.arguments_min <= max), || {
        format!("{name} takes at least {} arguments and at most fewer", spec.arguments_min)
    })?;
    check(are_key_positions(&spec.keys, spec.arguments_max), || {
        let WitKeyPositions { first, last, step } = spec.keys;
        format!("the key positions ({first}, {last}, {step}) of {name} fit no command with its arguments")
    })
}

fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn is_name(name: &str) -> bool {
    let letters = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    letters && (1..=NAME_BYTES_MAX).contains(&name.len())
}

/// Three numbers, then perhaps `-` or `+` and more. Nobody computes with it, so this is as strict as it needs to be.
fn is_version(version: &str) -> bool {
    let letters = version.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+'));
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    letters
        && version.len() <= VERSION_BYTES_MAX
        && numbers.split('.').count() == 3
        && numbers.split('.').all(is_number)
}

fn is_command_name(name: &str) -> bool {
    let letters = name.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_'));
    letters && (1..=COMMAND_NAME_BYTES_MAX).contains(&name.len())
}

/// Can there be a call with a key? Whether a given call has the argument is seen when it comes.
fn are_key_positions(keys: &WitKeyPositions, arguments_max: Option<u32>) -> bool {
    let WitKeyPositions { first, last, step } = *keys;
    if first == 0 {
        return last == 0 && step == 0;
    }
    let in_reach = |place: u32| arguments_max.is_none_or(|max| place <= max);
    let last_fits = match u32::try_from(last) {
        Ok(last) => last >= first && in_reach(last),
        Err(_) => in_reach(last.unsigned_abs()),
    };
    step > 0 && in_reach(first) && last_fits
}

fn command(spec: WitCommandSpec) -> CommandSpec {
    let WitCommandSpec { name, summary, writes, arguments_min, arguments_max, keys } = spec;
    let WitKeyPositions { first, last, step } = keys;
    CommandSpec { name, summary, writes, arguments_min, arguments_max, keys: KeyPositions { first, last, step } }
}
