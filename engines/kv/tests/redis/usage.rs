//! A command's usage as its summary in the manifest tells it: `SET key value [NX|XX] [EX seconds|KEEPTTL]`. The commands to
//! compare are drawn from it, so what the engine claims is what is compared, and a new command is reached by itself.

use kv::ENGINE;

/// A command and what may follow its name.
pub(crate) struct Usage {
    pub(crate) name: &'static str,
    pub(crate) items: Vec<Item>,
}

pub(crate) enum Item {
    /// A word in capitals stands for itself, any other says of what kind an argument is.
    One(&'static str),
    /// `[A x|B]`: one of these rows of words, or nothing.
    Options(Vec<Vec<&'static str>>),
    /// `[key value ...]`: this row any number of times.
    Repeated(Vec<&'static str>),
}

impl Usage {
    /// Of all the engine's commands.
    pub(crate) fn all() -> Vec<Usage> {
        ENGINE.commands.iter().map(|command| Usage::parse(command.summary)).collect()
    }

    fn parse(summary: &'static str) -> Usage {
        let (usage, _) =
            summary.split_once(" -- ").expect("a summary is a usage, two dashes, and what the command does");
        let (name, mut rest) = usage.split_once(' ').unwrap_or((usage, ""));
        let mut items = Vec::new();
        while !rest.is_empty() {
            let (item, behind) = match rest.strip_prefix('[') {
                Some(bracket) => {
                    let (inside, behind) = bracket.split_once(']').expect("a bracket is closed");
                    (Item::in_brackets(inside), behind)
                }
                None => {
                    let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
                    (Item::One(word), behind)
                }
            };
            items.push(item);
            rest = behind.trim_start();
        }
        Usage { name, items }
    }
}

impl Item {
    fn in_brackets(inside: &'static str) -> Item {
        let row = |text: &'static str| text.split_whitespace().collect();
        match inside.strip_suffix(" ...") {
            Some(repeated) => Item::Repeated(row(repeated)),
            None => Item::Options(inside.split('|').map(row).collect()),
        }
    }
}
