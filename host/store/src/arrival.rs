//! What an incoming snapshot has to hold to. It comes from another node, so whatever breaks the rules is an error.

use bytes::Bytes;

use crate::{StoreError, Table, key};

/// Checks the records of an install one after the other.
pub(crate) struct Arrival {
    last: Option<Bytes>,
}

impl Arrival {
    /// An install that takes the applied index from `from` to `to`.
    pub(crate) fn new(from: u64, to: u64) -> Result<Arrival, StoreError> {
        if to < from {
            let what = format!("it ends at entry {to}, the tables are already at {from}");
            return Err(StoreError::Snapshot { what });
        }
        Ok(Arrival { last: None })
    }

    /// The encoded key of the next record.
    pub(crate) fn admit(&mut self, table: Table, key: &[u8]) -> Result<Bytes, StoreError> {
        if key::check(key).is_err() {
            let what = format!("it has a key of {} bytes in table {table}", key.len());
            return Err(StoreError::Snapshot { what });
        }
        let encoded = key::encode(table, key);
        if self.last.as_ref().is_some_and(|last| encoded <= *last) {
            let what = format!("its records are out of order in table {table}");
            return Err(StoreError::Snapshot { what });
        }
        self.last = Some(encoded.clone());
        Ok(encoded)
    }
}
