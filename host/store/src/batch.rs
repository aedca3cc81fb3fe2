//! What one commit takes: the writes of some applied entries and the index of the last of them.

use bytes::Bytes;

use crate::{StoreError, Table, key, overlay::Overlay};

/// Writes that become visible together with the applied index. Usually made by [`crate::Transaction::into_batch`].
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The index of the last entry whose writes are in this batch or before it.
    pub applied: u64,
    pub(crate) writes: Overlay,
}

impl Batch {
    /// A batch without writes.
    pub fn new(applied: u64) -> Batch {
        Batch { applied, writes: Overlay::default() }
    }

    /// Sets `key` to `value`. An error only for a key over [`crate::KEY_BYTES_MAX`].
    pub fn put(&mut self, table: Table, key: &[u8], value: impl Into<Bytes>) -> Result<(), StoreError> {
        key::check(key)?;
        self.writes.set(key::encode(table, key), Some(value.into()));
        Ok(())
    }

    /// Removes `key`, whether it is there or not. An error only for a key over [`crate::KEY_BYTES_MAX`].
    pub fn delete(&mut self, table: Table, key: &[u8]) -> Result<(), StoreError> {
        key::check(key)?;
        self.writes.set(key::encode(table, key), None);
        Ok(())
    }

    /// The writes in the order of (table, key); none stands for a deletion.
    pub fn writes(&self) -> impl Iterator<Item = (Table, &[u8], Option<&[u8]>)> {
        self.writes.iter().map(|(encoded, write)| {
            let (table, key) = key::split(encoded);
            (table, key, write.as_deref())
        })
    }

    /// How many keys are written.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// True when only the applied index moves.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
