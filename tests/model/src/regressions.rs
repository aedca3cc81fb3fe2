//! The known bugs of other Raft systems, and where in the tree each is guarded against. The list is `regressions.txt`, beside
//! this crate's manifest; a place is the name of a test or the first line of a script, which begin with the ids.
//!
//! Never: judges whether a test keeps what its name claims. Tests: `tests/regressions.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Folders with tests, from the workspace's root.
const FOLDERS: [&str; 4] = ["host", "sdk", "engines", "tests"];
/// Folders in which nothing of ours lies.
const NOT_OURS: [&str; 2] = ["target", "node_modules"];
/// So many lines above a test's name its attribute may stand.
const ATTRIBUTE_LINES_MAX: usize = 4;

/// One known bug.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Known {
    /// A letter for the theme, a number.
    pub id: String,
    /// What must hold.
    pub claim: String,
    /// Why it can't occur here, if it can't.
    pub impossible: Option<String>,
}

/// Which places of the tree name an id.
pub type Places = BTreeMap<String, Vec<String>>;

/// The list. A line that is none, or an id that comes twice, is an error with its text.
pub fn known(list: &str) -> Result<Vec<Known>, String> {
    let mut known: Vec<Known> = Vec::new();
    for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (id, rest) = line.split_once(' ').ok_or_else(|| format!("no claim: {line}"))?;
        if !is_id(id) || known.iter().any(|earlier| earlier.id == id) {
            return Err(format!("no new id: {line}"));
        }
        let (claim, reason) = rest.split_once(" -- ").map_or((rest, None), |(claim, reason)| (claim, Some(reason)));
        known.push(Known {
            id: id.to_owned(),
            claim: claim.trim().to_owned(),
            impossible: reason.map(|reason| reason.trim().to_owned()),
        });
    }
    Ok(known)
}

/// Everything in the workspace that names an id.
pub fn places() -> io::Result<Places> {
    let root = root();
    let mut places = Places::new();
    for folder in FOLDERS {
        look(&root, &root.join(folder), &mut places)?;
    }
    Ok(places)
}

/// The list in the tree.
pub fn list() -> io::Result<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("regressions.txt"))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn look(root: &Path, folder: &Path, places: &mut Places) -> io::Result<()> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !NOT_OURS.contains(&name) && !name.starts_with('.') {
                look(root, &path, places)?;
            }
            continue;
        }
        let found = match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => of_tests(&fs::read_to_string(&path)?),
            Some("txt") if folder.ends_with("scripts") => of_script(&fs::read_to_string(&path)?),
            Some(_) | None => Vec::new(),
        };
        let file = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        for (id, name) in found {
            let place = if name.is_empty() { file.clone() } else { format!("{file}: {name}") };
            places.entry(id).or_default().push(place);
        }
    }
    Ok(())
}

/// The ids that tests' names begin with, and the names.
fn of_tests(text: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let line = line.strip_prefix("async ").unwrap_or(line);
        let Some(name) = line.strip_prefix("fn ").and_then(|line| line.split(['(', '<']).next()) else { continue };
        let above = &lines[number.saturating_sub(ATTRIBUTE_LINES_MAX)..number];
        let is_test = above.iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
        let ids = name.split('_').map(str::to_uppercase).take_while(|word| is_id(word));
        found.extend(ids.filter(|_| is_test).map(|id| (id, name.to_owned())));
    }
    found
}

/// The ids that a script's first line begins with.
fn of_script(text: &str) -> Vec<(String, String)> {
    let ids = text.lines().next().and_then(|line| line.strip_prefix("# ")?.split_once('.')).map_or("", |(ids, _)| ids);
    let ids = ids.split(' ').take_while(|word| is_id(word));
    ids.map(|id| (id.to_owned(), String::new())).collect()
}

/// A letter of the themes, and a number without a sign or a leading zero.
fn is_id(word: &str) -> bool {
    let mut letters = word.chars();
    let theme = letters.next().is_some_and(|letter| "EPRCMND".contains(letter));
    let digits = letters.as_str();
    theme && !digits.is_empty() && !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_test_s_name_counts_and_only_its_beginning() {
        let ids = |text| of_tests(text).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(ids("#[test]\nfn d6_r10_all_is_well_with_e5() {"), ["D6", "R10"]);
        assert_eq!(ids("#[tokio::test]\n    async fn n1_it_is() {"), ["N1"]);
        assert!(ids("fn d6_helps() {").is_empty());
        assert!(ids("#[test]\nfn seed_d6() {").is_empty());
        assert!(ids("// REGRESSIONS E5").is_empty());
    }

    #[test]
    fn only_a_script_s_first_words_count() {
        let ids = |text| of_script(text).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(ids("# E17 E18. Nodes that meet.\n# C1. No."), ["E17", "E18"]);
        assert!(ids("# As in C4. Something.").is_empty());
        assert!(ids("cluster nodes=3").is_empty());
    }

    #[test]
    fn a_list_with_a_line_that_is_none_is_refused() {
        assert_eq!(known("# x\n\nE1  Holds. -- Never here.").unwrap()[0].impossible.as_deref(), Some("Never here."));
        assert!(known("E1  Once.\nE1  Twice.").is_err());
        assert!(known("X1  No theme.").is_err());
        assert!(known("E1").is_err());
    }
}
