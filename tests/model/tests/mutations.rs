//! The list of guards against the tree: each stands there once, so each can be turned off. What catches it is found by command,
//! because every guard needs a build of its own.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use outboard_model::mutations::{ALL, source, turned_off};
use std::collections::BTreeSet;

#[test]
fn every_guard_of_the_list_stands_in_the_core_and_can_be_turned_off() {
    for mutation in &ALL {
        let text = source(mutation.file).unwrap();
        let off = turned_off(mutation, &text).unwrap();
        assert_ne!(off, text, "{}", mutation.name);
    }
    let names: BTreeSet<_> = ALL.iter().map(|mutation| mutation.name).collect();
    assert_eq!(names.len(), ALL.len(), "a name means one guard");
}

#[test]
fn the_printed_table_has_every_guard_and_says_what_noticed() {
    let table = include_str!("../MUTATIONS.md");
    for mutation in &ALL {
        let begins = format!("| `{}` | {} |", mutation.name, mutation.off);
        let row = table.lines().find(|line| line.starts_with(&begins));
        let caught =
            row.and_then(|row| row.strip_prefix(&begins)).is_some_and(|rest| rest.contains(char::is_alphabetic));
        assert!(caught, "{}: MUTATIONS.md is to be printed again", mutation.name);
    }
}
