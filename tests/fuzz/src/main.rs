//! Writes the samples into `corpus/`, each under its name. What else lies there stays.

use outboard_fuzz::{TARGETS, samples, short_run};
use std::fs;
use std::io;

fn main() -> io::Result<()> {
    for target in &TARGETS {
        let folder = short_run::folder().join(target.name);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in samples::samples(target.name) {
            fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}
