//! The election timer: ticks against a timeout drawn anew each time, so that nodes don't stay in step.

use crate::types::Config;

/// Counts the ticks in which no leader was heard, or no election was decided.
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) struct Timer {
    elapsed: u32,
    timeout: u32,
}

impl Timer {
    /// The timeout lies within one and two election timeouts.
    pub(crate) fn new(random: &mut Random, config: &Config) -> Timer {
        let base = config.election_timeout_ticks;
        Timer { elapsed: 0, timeout: base + random.below(base) }
    }

    /// True when the time is over.
    pub(crate) fn tick(&mut self) -> bool {
        self.elapsed = self.elapsed.saturating_add(1);
        self.elapsed >= self.timeout
    }

    pub(crate) fn elapsed(&self) -> u32 {
        self.elapsed
    }

    pub(crate) fn reset(&mut self) {
        self.elapsed = 0;
    }
}

/// Chance that follows from the seed alone (splitmix64, public domain).
#[derive(Clone, Eq, PartialEq, Hash, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A number in `0..limit`.
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u32
    }

    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
