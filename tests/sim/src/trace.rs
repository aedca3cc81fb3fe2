//! What happened, as a hash that two runs of one seed must share, and on request as lines for a person.
//!
//! Lines are made only when asked for: a failing seed is run again, which gives the same run.

use std::collections::VecDeque;

/// Lines kept: the end of the story.
const LINES_MAX: usize = 200_000;

/// The trace of one run.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    notes: u64,
    lines: Option<VecDeque<String>>,
}

impl Trace {
    /// An empty one; `telling` keeps the last lines.
    pub fn new(telling: bool) -> Trace {
        Trace { hash: 0x9ae1_6a3b_2f90_404f, notes: 0, lines: telling.then(VecDeque::new) }
    }

    /// One step and what tells it from others.
    pub fn note(&mut self, words: &[u64]) {
        self.notes += 1;
        for word in words {
            self.hash = (self.hash ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(29);
        }
    }

    /// Bytes that took part in a step.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.note(&[u64::from_le_bytes(chunk.try_into().expect("eight bytes"))]);
        }
        let rest = chunks.remainder().iter().fold(bytes.len() as u64, |word, byte| (word << 8) | u64::from(*byte));
        self.note(&[rest]);
    }

    /// A line for a person, made only if somebody reads it.
    pub fn say(&mut self, now_us: u64, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            if lines.len() == LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(format!("{:>12.6}  {}", now_us as f64 / 1e6, line()));
        }
    }

    /// Whether somebody reads the lines.
    pub fn is_telling(&self) -> bool {
        self.lines.is_some()
    }

    /// The hash over all of it.
    pub fn hash(&self) -> u64 {
        self.hash ^ self.notes
    }

    /// The last lines.
    pub fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default().into()
    }
}
