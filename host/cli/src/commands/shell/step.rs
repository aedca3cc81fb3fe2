//! What a step of the shell means.

use crate::code::Code;
use crate::failure::Failure;
use crate::suggest;

/// What `help` prints.
pub(super) const HELP: &str = "\
put KEY VALUE      set a key                       get KEY       print its value
del KEY …          remove keys                     scan [PREFIX] list keys
call NAME ARG …    any command of the engine; NAME ARG … alone does the same: incr visits
:status            how the cluster is              :quit         leave (also Ctrl-D)
:kill NODE|leader  stop a node without a word      :start NODE   start it again
:upgrade FILE|NAME switch the running engine       :transfer [NODE]  hand leadership over
Steps are separated by ; and quoted with '…' or \"…\".
";

const COLON_STEPS: [&str; 7] = [":status", ":quit", ":kill", ":start", ":upgrade", ":transfer", ":help"];

/// One thing to do.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(super) enum Step {
    Help,
    Quit,
    Status,
    Kill(String),
    Start(String),
    Upgrade(String),
    Transfer(Option<String>),
    Get(Vec<u8>),
    Scan(Vec<u8>),
    /// A command for the engine, its name first.
    Call(Vec<Vec<u8>>),
}

impl Step {
    /// Words are at least one.
    pub(super) fn parse(words: &[Vec<u8>]) -> Result<Step, Failure> {
        let (name, rest) = words.split_first().expect("a step has a word");
        let name = String::from_utf8_lossy(name).to_lowercase();
        match (name.as_str(), rest) {
            ("help" | ":help" | "?", []) => Ok(Step::Help),
            ("quit" | "exit" | ":quit" | ":q", []) => Ok(Step::Quit),
            ("status" | ":status", []) => Ok(Step::Status),
            (":kill", [node]) => Ok(Step::Kill(text(node))),
            (":start", [node]) => Ok(Step::Start(text(node))),
            (":upgrade", [target]) => Ok(Step::Upgrade(text(target))),
            (":transfer", []) => Ok(Step::Transfer(None)),
            (":transfer", [node]) => Ok(Step::Transfer(Some(text(node)))),
            (":kill", _) => Err(usage(":kill NODE|leader")),
            (":start", _) => Err(usage(":start NODE")),
            (":upgrade", _) => Err(usage(":upgrade FILE|DIGEST|NAME")),
            (":transfer", _) => Err(usage(":transfer [NODE]")),
            ("get", [key]) => Ok(Step::Get(key.clone())),
            ("get", _) => Err(usage("get KEY")),
            ("put", [_, _, ..]) => Ok(Step::Call(renamed("SET", rest))),
            ("put", _) => Err(usage("put KEY VALUE")),
            ("del", [_, ..]) => Ok(Step::Call(renamed("DEL", rest))),
            ("del", []) => Err(usage("del KEY …")),
            // With more words it is the engine's own SCAN.
            ("scan", []) => Ok(Step::Scan(Vec::new())),
            ("scan", [prefix]) => Ok(Step::Scan(prefix.clone())),
            ("call", [_, ..]) => Ok(Step::Call(rest.to_vec())),
            ("call", []) => Err(usage("call NAME ARG …")),
            (unknown, _) if unknown.starts_with(':') => {
                let failure = Failure::new(Code::Usage, format!("there is no step {unknown}"));
                Err(match suggest::nearest(unknown, COLON_STEPS) {
                    Some(near) => failure.help(format!("did you mean {near}?")),
                    None => failure.help("help"),
                })
            }
            _ => Ok(Step::Call(words.to_vec())),
        }
    }
}

fn renamed(name: &str, rest: &[Vec<u8>]) -> Vec<Vec<u8>> {
    std::iter::once(name.as_bytes().to_vec()).chain(rest.iter().cloned()).collect()
}

fn text(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

fn usage(usage: &str) -> Failure {
    Failure::new(Code::Usage, "a word is missing or too many").help(usage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::shell::script::split;

    fn parse(line: &str) -> Result<Step, Failure> {
        Step::parse(&split(line).expect("a line")[0].words)
    }

    fn call(words: &[&str]) -> Step {
        Step::Call(words.iter().map(|word| word.as_bytes().to_vec()).collect())
    }

    #[test]
    fn verbs_become_commands_of_the_engine() {
        assert_eq!(parse("put a 1").expect("a step"), call(&["SET", "a", "1"]));
        assert_eq!(parse("put a 1 EX 5").expect("a step"), call(&["SET", "a", "1", "EX", "5"]));
        assert_eq!(parse("DEL a b").expect("a step"), call(&["DEL", "a", "b"]));
        assert_eq!(parse("get a").expect("a step"), Step::Get(b"a".to_vec()));
        assert_eq!(parse("call mget a b").expect("a step"), call(&["mget", "a", "b"]));
        assert_eq!(parse("incr n").expect("a step"), call(&["incr", "n"]));
        assert_eq!(parse("scan 0 match x*").expect("a step"), call(&["scan", "0", "match", "x*"]));
    }

    #[test]
    fn steps_with_a_colon_are_the_shells_own() {
        assert_eq!(parse(":kill leader").expect("a step"), Step::Kill("leader".into()));
        assert_eq!(parse(":upgrade ./Kv.wasm").expect("a step"), Step::Upgrade("./Kv.wasm".into()));
        assert_eq!(parse(":transfer").expect("a step"), Step::Transfer(None));
        let failure = parse(":kil n1").expect_err("no such step");
        assert_eq!((failure.code.exit(), failure.help.as_deref()), (2, Some("did you mean :kill?")));
    }

    #[test]
    fn missing_words_say_the_usage() {
        for (line, usage) in [("put a", "put KEY VALUE"), ("get", "get KEY"), (":start", ":start NODE")] {
            assert_eq!(parse(line).expect_err("incomplete").help.as_deref(), Some(usage));
        }
    }
}
