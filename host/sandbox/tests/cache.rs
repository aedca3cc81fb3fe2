//! Compiled components on disk: a hit is used, anything else is compiled again.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::hand::Hand;
use common::{admitted, at, limits, reply, transaction, words};
use outboard_sandbox::{Applier, Sandbox};

fn sandbox(folder: &Path) -> Sandbox {
    Sandbox::new(limits(), Some(folder.to_owned())).expect("a sandbox")
}

/// Admits the hand-made engine with a new sandbox and has it run a command.
fn use_it(folder: &Path, hand: &Hand) {
    let sandbox = sandbox(folder);
    let mut applier = Applier::new(&sandbox, admitted(&sandbox, &hand.build()), 1);
    assert_eq!(applier.apply(&mut transaction(), at(1), &words("DO")).expect("a test's own footing"), reply("+OK\r\n"));
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = fs::read_dir(folder)
        .expect("a test's own footing")
        .map(|entry| entry.expect("a test's own footing").path())
        .collect::<Vec<_>>();
    files.sort();
    files
}

#[test]
fn a_component_is_compiled_once_and_then_loaded() {
    let folder = tempfile::tempdir().unwrap();
    use_it(folder.path(), &Hand::default());
    let [file] = &files(folder.path())[..] else { panic!("one file") };
    // What is loaded is known by what is not written: a second compilation would write the file anew.
    let mut permissions = fs::metadata(file).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(file, permissions).unwrap();
    let before = fs::metadata(file).unwrap().modified().unwrap();
    use_it(folder.path(), &Hand::default());
    assert_eq!(fs::metadata(file).unwrap().modified().unwrap(), before);
    assert_eq!(files(folder.path()).len(), 1);
}

#[test]
fn each_component_has_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    use_it(folder.path(), &Hand::default());
    let mut other = Hand::default();
    other.manifest.version = "1.0.1".into();
    use_it(folder.path(), &other);
    assert_eq!(files(folder.path()).len(), 2);
}

#[test]
fn a_damaged_file_is_compiled_again_and_mended() {
    let folder = tempfile::tempdir().unwrap();
    use_it(folder.path(), &Hand::default());
    let file = files(folder.path()).remove(0);
    let sound = fs::read(&file).unwrap();
    let flipped = |place: usize| {
        let mut bytes = sound.clone();
        bytes[place] ^= 1;
        bytes
    };
    let cases = [
        vec![],
        b"hello".to_vec(),
        sound[..7].to_vec(),
        sound[..39].to_vec(),
        sound[..40].to_vec(),
        sound[..sound.len() / 2].to_vec(),
        [&sound[..], b"more"].concat(),
        flipped(0),
        flipped(8),
        flipped(40),
        flipped(sound.len() / 2),
        flipped(sound.len() - 1),
    ];
    for damaged in cases {
        fs::write(&file, &damaged).unwrap();
        use_it(folder.path(), &Hand::default());
        assert_eq!(fs::read(&file).unwrap(), sound, "mended");
    }
}

#[test]
fn a_file_of_another_component_under_this_name_is_not_loaded() {
    let folder = tempfile::tempdir().unwrap();
    // Answers otherwise, so that it would be noticed.
    use_it(folder.path(), &Hand::default());
    let ok = files(folder.path()).remove(0);
    let other = Hand { apply: "unreachable".into(), ..Hand::default() };
    sandbox(folder.path()).admit(&other.build()).unwrap();
    let trap = files(folder.path()).into_iter().find(|file| *file != ok).unwrap();
    fs::copy(&trap, &ok).unwrap();
    use_it(folder.path(), &Hand::default());
}

#[test]
fn a_folder_that_can_not_be_written_costs_only_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    fs::write(&file, "in the way").unwrap();
    use_it(&file, &Hand::default());
    use_it(&file.join("below"), &Hand::default());
    assert_eq!(fs::read(&file).unwrap(), b"in the way");
}

#[test]
fn nothing_is_left_aside() {
    let folder = tempfile::tempdir().unwrap();
    // The file's place is taken by a folder: writing it fails at the last step.
    use_it(folder.path(), &Hand::default());
    let file = files(folder.path()).remove(0);
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    use_it(folder.path(), &Hand::default());
    assert_eq!(files(folder.path()), [file]);
}

#[test]
fn what_is_refused_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut hand = Hand::default();
    hand.manifest.name = "Not A Name".into();
    sandbox(folder.path()).admit(&hand.build()).expect_err("its name is wrong");
    assert!(files(folder.path()).is_empty());
}
