//! Writes that are not in the store yet: the newest per key, deletions as tombstones.

use std::collections::{BTreeMap, btree_map};

use bytes::Bytes;

use crate::key::Span;

/// A value, or none for a key that is deleted.
pub(crate) type Write = Option<Bytes>;

/// What a write counts beside its key and value: about what it takes in memory.
const WRITE_BYTES: usize = 64;

/// Writes by encoded key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overlay {
    writes: BTreeMap<Bytes, Write>,
    bytes: usize,
}

impl Overlay {
    /// What is known of an encoded key: nothing, a value or a deletion.
    pub(crate) fn get(&self, encoded: &[u8]) -> Option<&Write> {
        self.writes.get(encoded)
    }

    /// Adds a write; it takes the place of an older one under its key.
    pub(crate) fn set(&mut self, encoded: Bytes, write: Write) {
        let key_bytes = encoded.len();
        self.bytes += size(key_bytes, &write);
        if let Some(old) = self.writes.insert(encoded, write) {
            self.bytes -= size(key_bytes, &old);
        }
    }

    /// Takes over all writes of `newer` and leaves it empty.
    pub(crate) fn absorb(&mut self, newer: &mut Overlay) {
        if self.writes.is_empty() {
            return std::mem::swap(self, newer);
        }
        newer.bytes = 0;
        for (encoded, write) in std::mem::take(&mut newer.writes) {
            self.set(encoded, write);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.writes.clear();
        self.bytes = 0;
    }

    /// Writes in the order of their keys.
    pub(crate) fn iter(&self) -> btree_map::Iter<'_, Bytes, Write> {
        self.writes.iter()
    }

    pub(crate) fn range(&self, span: &Span) -> btree_map::Range<'_, Bytes, Write> {
        self.writes.range::<[u8], _>(span.bounds())
    }

    pub(crate) fn into_writes(self) -> BTreeMap<Bytes, Write> {
        self.writes
    }

    pub(crate) fn len(&self) -> usize {
        self.writes.len()
    }

    /// Accounting size: keys with their tables, values, and a constant for each write.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Overlay {
    /// Accounting size of one write.
    pub(crate) fn write_bytes(encoded: &[u8], write: &Write) -> usize {
        size(encoded.len(), write)
    }
}

fn size(key_bytes: usize, write: &Write) -> usize {
    WRITE_BYTES + key_bytes + write.as_ref().map_or(0, Bytes::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_follows_overwriting_absorbing_and_clearing() {
        let mut older = Overlay::default();
        older.set(Bytes::from_static(b"a"), Some(Bytes::from_static(b"12345")));
        older.set(Bytes::from_static(b"b"), None);
        assert_eq!(older.bytes(), 2 * WRITE_BYTES + 2 + 5);

        let mut newer = Overlay::default();
        newer.set(Bytes::from_static(b"a"), Some(Bytes::from_static(b"1")));
        older.absorb(&mut newer);
        assert_eq!((older.bytes(), older.len()), (2 * WRITE_BYTES + 2 + 1, 2));
        assert_eq!((newer.bytes(), newer.len()), (0, 0));

        older.clear();
        assert_eq!((older.bytes(), older.len()), (0, 0));
    }
}
