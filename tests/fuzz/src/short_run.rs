//! A short run of one target: the corpus as it is, then changes of it that a seed draws. The same in every run.

use crate::Target;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// No change makes an input longer.
const BYTES_MAX: usize = 1 << 16;

/// What came of a short run.
#[derive(Debug)]
pub struct Figures {
    /// Files of the corpus.
    pub files: u32,
    /// Of these, those that made sense.
    pub files_read: u32,
    /// Changes that were tried.
    pub tries: u32,
    /// Of these, those that made sense.
    pub read: u32,
}

/// The corpus of a target, in the order of the names.
pub fn corpus(target: &Target) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let folder = folder().join(target.name);
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    paths.into_iter().map(|path| Ok((path.clone(), fs::read(path)?))).collect()
}

/// Where the corpora lie.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// Runs it. Panics as the target does.
pub fn run(target: &Target) -> io::Result<Figures> {
    let corpus = corpus(target)?;
    let mut figures = Figures { files: 0, files_read: 0, tries: 0, read: 0 };
    for (_, bytes) in &corpus {
        figures.files += 1;
        figures.files_read += u32::from((target.read)(bytes));
    }
    let mut random = Random(0x5eed ^ u64::from(target.tries));
    for _ in 0..target.tries {
        let bytes = changed(&corpus, &mut random);
        figures.tries += 1;
        figures.read += u32::from((target.read)(&bytes));
    }
    Ok(figures)
}

fn changed(corpus: &[(PathBuf, Vec<u8>)], random: &mut Random) -> Vec<u8> {
    let Some((_, first)) = corpus.get(random.below(corpus.len())) else { return random.bytes(64) };
    let mut bytes = first.clone();
    for _ in 0..=random.below(4) {
        change(&mut bytes, &corpus[random.below(corpus.len())].1, random);
    }
    bytes.truncate(BYTES_MAX);
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let end = (at + random.below(16)).min(bytes.len());
    match random.below(8) {
        0 => bytes.truncate(at),
        1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        2 if at < bytes.len() => bytes[at] = *random.pick(&[0, 1, 0x7f, 0x80, 0xff]),
        3 => drop(bytes.splice(at..at, random.bytes(8))),
        4 => drop(bytes.drain(at..end)),
        5 => {
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        6 if !other.is_empty() => {
            let from = random.below(other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        // A length that is too great, as the messages write numbers.
        _ => drop(bytes.splice(at..end, [0xff, 0xff, 0xff, 0xff, 0x0f])),
    }
}

struct Random(u64);

impl Random {
    /// Below `end`; 0 if that is 0.
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize).checked_rem(end).unwrap_or(0)
    }

    fn bytes(&mut self, max: usize) -> Vec<u8> {
        (0..self.below(max + 1)).map(|_| self.below(256) as u8).collect()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
