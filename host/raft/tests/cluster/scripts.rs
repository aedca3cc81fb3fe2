//! Every story in `tests/scripts/*.txt` goes as it is told. A file's name is its claim, its first comment line names
//! the known bugs of other systems (REGRESSIONS ids) that it guards against.
//!
//! `UPDATE_SCRIPTS=1 cargo test -p outboard-raft --test cluster` writes what really happens into the files: read the
//! difference before you believe it.

use crate::harness;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

#[test]
fn every_script_goes_as_it_is_told() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    assert!(paths.len() > 25, "the scripts are there");
    let failed: Vec<_> = paths.iter().filter(|path| !goes_as_told(path)).collect();
    assert!(failed.is_empty(), "these went differently: {failed:#?}");
}

/// What is committed may still have to be applied, and is in the log alone.
#[test]
#[should_panic(expected = "only what is applied is compacted")]
fn n11_compacting_what_is_not_applied_breaks_a_rule() {
    harness::script::run("cluster nodes=1 leader=1\nhold apply 1\nput 1 a\ncompact 1 2\n---\n");
}

fn goes_as_told(path: &Path) -> bool {
    let told = fs::read_to_string(path).expect("a script is readable");
    assert!(told.starts_with('#'), "{} begins with its claim", path.display());
    let Ok(happened) = catch_unwind(|| harness::script::run(&told)) else {
        println!("{} broke a rule, see above", path.display());
        return false;
    };
    if happened == told {
        return true;
    }
    if std::env::var_os("UPDATE_SCRIPTS").is_some() {
        fs::write(path, happened).expect("a script is writable");
        return true;
    }
    println!("{} goes differently:", path.display());
    for (number, (told, happened)) in told.lines().zip(happened.lines()).enumerate() {
        if told != happened {
            println!("  line {}\n  told:     {told}\n  happened: {happened}", number + 1);
            break;
        }
    }
    false
}
