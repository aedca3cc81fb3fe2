//! A sequence of commands, as data: drawn from a seed, played any number of times, made shorter.

use std::fmt::Write;

/// One command's arguments, its name first.
pub(crate) type Command = Vec<Vec<u8>>;

/// What is played on an empty keyspace. Between two phases, everything that expires soon has expired.
#[derive(Clone)]
pub(crate) struct Sequence {
    pub(crate) seed: u64,
    pub(crate) phases: Vec<Vec<Vec<Word>>>,
}

/// An argument. Times are relative to the moment of playing, or else a seed would age.
#[derive(Clone, Eq, PartialEq)]
pub(crate) enum Word {
    Bytes(Vec<u8>),
    /// Seconds since 1970, so many after now.
    UnixSeconds(i64),
    /// Milliseconds since 1970, so many after now.
    UnixMs(i64),
}

impl Word {
    pub(crate) fn new(text: impl AsRef<[u8]>) -> Word {
        Word::Bytes(text.as_ref().to_vec())
    }

    fn resolve(&self, now_ms: i64) -> Vec<u8> {
        match self {
            Word::Bytes(bytes) => bytes.clone(),
            Word::UnixSeconds(after) => (now_ms / 1000 + after).to_string().into_bytes(),
            Word::UnixMs(after) => (now_ms + after).to_string().into_bytes(),
        }
    }
}

impl Sequence {
    /// The commands of each phase, as they are sent at that time.
    pub(crate) fn resolve(&self, now_ms: i64) -> Vec<Vec<Command>> {
        let command = |words: &Vec<Word>| words.iter().map(|word| word.resolve(now_ms)).collect();
        self.phases.iter().map(|phase| phase.iter().map(command).collect()).collect()
    }

    /// Every sequence that is one command shorter, the last command first.
    pub(crate) fn shorter(&self) -> impl Iterator<Item = Sequence> + '_ {
        let places =
            self.phases.iter().enumerate().flat_map(|(phase, commands)| (0..commands.len()).map(move |at| (phase, at)));
        places.collect::<Vec<_>>().into_iter().rev().map(|(phase, at)| {
            let mut shorter = self.clone();
            shorter.phases[phase].remove(at);
            shorter
        })
    }

    /// As lines for `redis-cli`.
    pub(crate) fn show(&self) -> String {
        let mut text = String::new();
        for (number, phase) in self.phases.iter().enumerate() {
            if number > 0 {
                text.push_str("  … until what expires soon has expired …\n");
            }
            for words in phase {
                let words: Vec<String> = words.iter().map(show_word).collect();
                writeln!(text, "  {}", words.join(" ")).expect("a string takes all");
            }
        }
        text
    }
}

fn show_word(word: &Word) -> String {
    const SHOWN_MAX: usize = 200;
    match word {
        Word::UnixSeconds(after) => format!("<now {after:+} s>"),
        Word::UnixMs(after) => format!("<now {after:+} ms>"),
        Word::Bytes(bytes) if bytes.len() > SHOWN_MAX => {
            format!("\"{}\"…({} bytes)", bytes[..SHOWN_MAX].escape_ascii(), bytes.len())
        }
        Word::Bytes(bytes) => format!("\"{}\"", bytes.escape_ascii()),
    }
}
