//! Values that never change, with their fingerprint: cheap to clone, to compare and to hash again.
//!
//! The fingerprint is the same in every run: a search must give the same count of states each time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// A value and its fingerprint.
#[derive(Debug)]
pub struct Frozen<T> {
    fingerprint: u64,
    value: Arc<T>,
}

impl<T: Hash> Frozen<T> {
    /// Freezes a value.
    pub fn new(value: T) -> Frozen<T> {
        Frozen { fingerprint: fingerprint(&value), value: Arc::new(value) }
    }
}

impl<T> Frozen<T> {
    /// Equal for equal values, and taken for different otherwise.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The value.
    pub fn value(&self) -> &T {
        &self.value
    }
}

/// The fingerprint of anything.
pub fn fingerprint(value: &impl Hash) -> u64 {
    // Its keys are fixed, unlike a map's.
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl<T> Clone for Frozen<T> {
    fn clone(&self) -> Frozen<T> {
        Frozen { fingerprint: self.fingerprint, value: Arc::clone(&self.value) }
    }
}

impl<T> PartialEq for Frozen<T> {
    fn eq(&self, other: &Frozen<T>) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl<T> Eq for Frozen<T> {}

impl<T> PartialOrd for Frozen<T> {
    fn partial_cmp(&self, other: &Frozen<T>) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Frozen<T> {
    fn cmp(&self, other: &Frozen<T>) -> std::cmp::Ordering {
        self.fingerprint.cmp(&other.fingerprint)
    }
}

impl<T> Hash for Frozen<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.fingerprint);
    }
}
