//! The environment twins of flags: one that is misspelled would be ignored in silence, and a node would listen, or found a cluster, elsewhere.
//!
//! Only what is nearly the name of a setting is refused: platforms put names of their own beside ours (`OUTBOARD_SERVICE_HOST`).

use std::collections::BTreeSet;
use std::ffi::OsString;

use crate::args::Cli;
use crate::code::Code;
use crate::failure::Failure;
use crate::suggest::distance;
use clap::CommandFactory;

const PREFIX: &str = "OUTBOARD_";
/// Those that are no flag's twin.
const OTHERS: [&str; 2] = ["OUTBOARD_LOG", "OUTBOARD_TOKEN"];
/// Letters that may be wrong, missing, too many or swapped.
const SLIPS_MAX: usize = 2;

/// Refuses the first name that is a slip of a setting's.
pub(crate) fn check() -> Result<(), Failure> {
    judge(std::env::vars_os().map(|(name, _)| name))
}

fn judge(names: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let names = names.filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with(PREFIX));
    let mut unknown: Vec<String> = names.collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let known = known();
    unknown.retain(|name| !known.contains(name));
    unknown.sort();
    for name in unknown {
        let meant =
            known.iter().filter(|known| distance(&name, known) <= SLIPS_MAX).min_by_key(|known| distance(&name, known));
        if let Some(meant) = meant {
            let text = format!("the environment has {name}, which is no setting");
            return Err(Failure::new(Code::Usage, text).help(meant.clone()));
        }
    }
    Ok(())
}

/// The twins of all flags of all commands.
fn known() -> BTreeSet<String> {
    fn gather(command: &clap::Command, known: &mut BTreeSet<String>) {
        let twins = command.get_arguments().filter_map(|argument| argument.get_env());
        known.extend(twins.filter_map(|name| name.to_str()).map(str::to_owned));
        command.get_subcommands().for_each(|command| gather(command, known));
    }
    let mut known: BTreeSet<String> = OTHERS.map(str::to_owned).into();
    gather(&Cli::command(), &mut known);
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(names: &[&str]) -> Option<String> {
        let failure = judge(names.iter().map(OsString::from)).err()?;
        assert_eq!(failure.code.exit(), 2);
        Some(format!("{} | {}", failure.message, failure.help.unwrap_or_default()))
    }

    #[test]
    fn a_slip_in_a_settings_name_is_told_and_what_others_put_there_is_not() {
        for name in ["OUTBOARD_LISTN", "OUTBOARD_DATADIR", "OUTBOARD_CONSISTENCI", "OUTBOARD_JION"] {
            let told = told(&["PATH", "OUTBOARD_LISTEN", name]).expect(name);
            assert!(told.contains(name) && told.contains("| OUTBOARD_"), "{told}");
        }
        assert!(told(&["OUTBOARD_LISTN"]).expect("a slip").ends_with("| OUTBOARD_LISTEN"));
        let platform = ["OUTBOARD_SERVICE_HOST", "OUTBOARD_PORT_4410_UDP", "OUTBOARD_PORT", "OUTBOARD_SERVICE_PORT"];
        assert_eq!(told(&platform), None);
        assert!(known().iter().all(|name| told(&[name]).is_none()), "{:?}", known());
    }
}
