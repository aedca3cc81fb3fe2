//! Every small world in its small size, searched to the end.
#![allow(clippy::print_stdout, reason = "the count of states is part of the result")]

use outboard_model::worlds::{ALL, Size};

fn holds(name: &str) {
    let search = ALL.iter().find(|search| search.name == name).expect("the world is there");
    let found = search.run(Size::Small, 1);
    println!("{name}: {} states, {} steps, depth {}, {:?}", found.states, found.steps, found.depth, found.took);
    if let Some((rule, way)) = found.broken {
        panic!("BROKEN in {name}: {rule}\n{way}");
    }
    assert!(found.states > 400, "a world of {} states shows nothing", found.states);
}

#[test]
fn three_voters() {
    holds("three-voters");
}

#[test]
fn slow_disks() {
    holds("slow-disks");
}

#[test]
fn a_voter_more() {
    holds("a-voter-more");
}

#[test]
fn two_changes() {
    holds("two-changes");
}

#[test]
fn replacement() {
    holds("replacement");
}

#[test]
fn reads() {
    holds("reads");
}

#[test]
fn wiped_voter() {
    holds("wiped-voter");
}

#[test]
fn damaged_voter() {
    holds("damaged-voter");
}

#[test]
fn no_other_world_is_left_out() {
    assert_eq!(ALL.len(), 8);
}
