//! Which key is next. Chance comes from a small generator of each worker's own.

use super::Distribution;
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};

/// The exponent of the usual key-value benchmarks.
const ZIPF_THETA: f64 = 0.99;
const KEY_BYTES: usize = 16;
const KEY_PREFIX: &[u8] = b"key:";

/// The keys and how they are chosen.
#[derive(Debug)]
pub(super) struct Keys {
    count: u64,
    choice: Choice,
}

#[derive(Debug)]
enum Choice {
    Uniform,
    Sequential(AtomicU64),
    Zipf(Zipf),
}

impl Keys {
    pub(super) fn new(count: u64, distribution: Distribution) -> Keys {
        let choice = match distribution {
            Distribution::Uniform => Choice::Uniform,
            Distribution::Sequential => Choice::Sequential(AtomicU64::new(0)),
            Distribution::Zipf => Choice::Zipf(Zipf::new(count)),
        };
        Keys { count, choice }
    }

    /// The next key.
    pub(super) fn next(&self, chance: &mut Chance) -> Bytes {
        key(match &self.choice {
            Choice::Uniform => chance.below(self.count),
            Choice::Sequential(next) => next.fetch_add(1, Ordering::Relaxed) % self.count,
            Choice::Zipf(zipf) => zipf.sample(chance),
        })
    }
}

/// `key:000000000042`, without the machinery of formatting.
fn key(mut number: u64) -> Bytes {
    let mut key = [b'0'; KEY_BYTES];
    key[..KEY_PREFIX.len()].copy_from_slice(KEY_PREFIX);
    for place in (KEY_PREFIX.len()..KEY_BYTES).rev() {
        key[place] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    Bytes::copy_from_slice(&key)
}

/// Numbers with the frequencies of Zipf's law, in constant time after a sum over all of them (Gray and others, "Quickly
/// generating billion-record synthetic databases", 1994).
#[derive(Debug)]
struct Zipf {
    count: f64,
    zeta: f64,
    eta: f64,
    alpha: f64,
}

impl Zipf {
    /// Beyond this many the sum is continued by its integral; the error is far below what a benchmark shows.
    const SUMMED_MAX: u64 = 1 << 20;

    fn new(count: u64) -> Zipf {
        let zeta = Zipf::zeta(count);
        let eta = (1.0 - (2.0 / count as f64).powf(1.0 - ZIPF_THETA)) / (1.0 - Zipf::zeta(2) / zeta);
        Zipf { count: count as f64, zeta, eta, alpha: 1.0 / (1.0 - ZIPF_THETA) }
    }

    fn zeta(count: u64) -> f64 {
        let summed = count.min(Zipf::SUMMED_MAX);
        let sum: f64 = (1..=summed).map(|rank| (rank as f64).powf(-ZIPF_THETA)).sum();
        let power = 1.0 - ZIPF_THETA;
        sum + ((count as f64).powf(power) - (summed as f64).powf(power)) / power
    }

    fn sample(&self, chance: &mut Chance) -> u64 {
        let at = chance.unit();
        let weight = at * self.zeta;
        if weight < 1.0 || self.count < 2.0 {
            return 0;
        }
        if weight < 1.0 + 0.5f64.powf(ZIPF_THETA) {
            return 1;
        }
        let rank = self.count * (self.eta * at - self.eta + 1.0).powf(self.alpha);
        (rank as u64).min(self.count as u64 - 1)
    }
}

/// SplitMix64: quick, and good enough to choose keys.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Chance {
        Chance(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below the bound.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// From 0 to below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(distribution: Distribution, keys: u64, draws: usize) -> Vec<u64> {
        let chooser = Keys::new(keys, distribution);
        let mut chance = Chance::new(7);
        let mut counts = vec![0; keys as usize];
        for _ in 0..draws {
            let key = chooser.next(&mut chance);
            let number: usize = std::str::from_utf8(&key[4..]).expect("digits").parse().expect("a number");
            counts[number] += 1;
        }
        counts
    }

    #[test]
    fn keys_have_one_length() {
        assert_eq!(key(42).as_ref(), b"key:000000000042");
        assert_eq!(key(999_999_999_999).len(), KEY_BYTES);
    }

    #[test]
    fn sequential_meets_each_key_equally_often() {
        assert!(counts(Distribution::Sequential, 10, 30).iter().all(|count| *count == 3));
    }

    #[test]
    fn uniform_is_level_and_zipf_is_steep() {
        let uniform = counts(Distribution::Uniform, 10, 10_000);
        assert!(uniform.iter().all(|count| (800..1_200).contains(count)), "{uniform:?}");
        let zipf = counts(Distribution::Zipf, 1_000, 100_000);
        // The first of 1,000 keys gets about one part in 7.5, the tenth a tenth of that.
        assert!((11_000..16_000).contains(&zipf[0]) && (900..2_000).contains(&zipf[9]), "{} {}", zipf[0], zipf[9]);
        assert!(zipf.iter().sum::<u64>() == 100_000);
    }

    #[test]
    fn one_key_is_enough_for_every_distribution() {
        for distribution in [Distribution::Uniform, Distribution::Zipf, Distribution::Sequential] {
            assert_eq!(counts(distribution, 1, 5), [5]);
        }
    }
}
