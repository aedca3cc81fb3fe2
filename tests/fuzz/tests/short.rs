//! Every decoder of outside bytes, for a moment: no panic, nothing read differently from what was written, and the samples make sense.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use outboard_fuzz::samples::samples;
use outboard_fuzz::short_run::{corpus, run};
use outboard_fuzz::{TARGETS, Target};
use std::collections::BTreeSet;

fn stands(name: &str) {
    let target: &Target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let figures = run(target).unwrap();
    assert!(figures.files_read > 0, "{name}: some of the corpus makes sense: {figures:?}");
    assert!(figures.read > 0, "{name}: changes get past the first look: {figures:?}");
}

#[test]
fn frames_of_peers() {
    stands("peer");
}

#[test]
fn requests_and_answers() {
    stands("client");
}

#[test]
fn commands_in_entries() {
    stands("entry");
}

#[test]
fn beginnings_of_streams() {
    stands("bulk");
}

#[test]
fn tokens_and_what_joiners_say() {
    stands("join");
}

#[test]
fn what_redis_clients_send() {
    stands("redis");
}

#[test]
fn logs_that_somebody_has_meddled_with() {
    stands("log");
}

#[test]
fn snapshots_on_arrival() {
    stands("snapshot");
}

#[test]
fn components_that_are_pushed() {
    stands("component");
}

#[test]
fn every_target_has_a_binary_and_the_samples_of_its_corpus_are_those_that_the_program_writes() {
    let manifest = include_str!("../libfuzzer/Cargo.toml");
    for target in &TARGETS {
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{}", target.name);
        let files: BTreeSet<String> = corpus(target)
            .unwrap()
            .iter()
            .map(|(path, _)| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        for (name, _) in samples(target.name) {
            assert!(files.contains(name), "cargo run -p outboard-fuzz writes {}/{name}", target.name);
        }
    }
}
