//! All writing goes through here, so that the tables agree after every command: each record is counted, has its place in
//! the order, and, if it expires, its entry among the expiries.
//!
//! The common write, a new value under a key that is there, costs one read and one write and touches nothing else. A new
//! key costs the count and the order beside it.
//!
//! Sweeps keep what is over from piling up. They look at a fixed number of entries at fixed places of the log, so they are
//! the same on every node, and they remove more than any command can add.

use outboard_sdk::{Error, Read, Result, Store};

use crate::record::{
    COUNT, EXPIRY, KEY_BYTES_MAX, ORDER, RECORDS, Record, VALUE_BYTES_MAX, expiry_key, order_key, split_expiry_key,
    split_order_key,
};

/// Every so many places of the log a writing command also sweeps: rarely, since even a look at an empty range costs a store
/// on disk more than the command itself …
const SWEEP_EVERY: u64 = 64;
/// … so many expired keys at most. More than `SWEEP_EVERY`: what expires goes faster than commands can bring it.
const SWEEP_KEYS_MAX: u32 = 256;

/// What FLUSHALL and FLUSHDB remove at most, in keys and in bytes of keys. All at these limits, and every key expiring, it takes
/// 60 of the 100 million units of fuel of a warm instance, 36 of 64 MiB of writes, and half a second.
const CLEAR_KEYS_MAX: usize = 50_000;
const CLEAR_BYTES_MAX: usize = 8 << 20;

/// The record under a key, unless its time is over.
pub(crate) fn live(store: &impl Read, key: &[u8]) -> Option<Record> {
    let view = store.view();
    let record = Record::from_table(view.get(RECORDS, key)?);
    record.is_live(view.now_ms()).then_some(record)
}

/// Refuses a value that no client could have sent.
pub(crate) fn check_value_length(bytes: usize) -> Result<()> {
    if bytes > VALUE_BYTES_MAX {
        return Err(Error::constant("ERR string exceeds maximum allowed size (proto-max-bulk-len)"));
    }
    Ok(())
}

/// The tables in the hands of a writing command.
pub(crate) struct Keyspace<'a, 's> {
    store: &'a mut Store<'s>,
}

/// A key and what is under it, as a writing command found it.
pub(crate) struct Slot<'k> {
    key: &'k [u8],
    /// Live, or none: what was expired is gone when a slot is found.
    pub(crate) record: Option<Record>,
}

impl<'k> Slot<'k> {
    pub(crate) fn key(&self) -> &'k [u8] {
        self.key
    }
}

impl<'a, 's> Keyspace<'a, 's> {
    pub(crate) fn open(store: &'a mut Store<'s>) -> Keyspace<'a, 's> {
        let mut keyspace = Keyspace { store };
        if keyspace.store.moment().index.is_multiple_of(SWEEP_EVERY) {
            keyspace.sweep();
        }
        keyspace
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.store.now_ms()
    }

    /// Removes everything, unless that is more than one command should take upon itself.
    pub(crate) fn clear(&mut self) -> Result<()> {
        let too_much = || {
            Error::constant("ERR too many keys to remove with one command; remove them in pages, with SCAN and UNLINK")
        };
        let mut bytes_left = CLEAR_BYTES_MAX;
        let mut places = Vec::new();
        for (place, _) in self.store.view().pages(ORDER, b"", None) {
            bytes_left = bytes_left.checked_sub(place.len()).ok_or_else(too_much)?;
            if places.len() == CLEAR_KEYS_MAX {
                return Err(too_much());
            }
            places.push(place);
        }
        for place in places {
            self.store.delete(RECORDS, split_order_key(&place).1);
            self.store.delete(ORDER, &place);
        }
        // Should there be more expiries than that, no record confirms them any more, and sweeps find them in time.
        let expiries: Vec<_> = self.store.view().pages(EXPIRY, b"", None).take(CLEAR_KEYS_MAX).collect();
        for (entry, _) in expiries {
            self.store.delete(EXPIRY, &entry);
        }
        COUNT.put(self.store, b"", &0);
        Ok(())
    }

    /// Looks a key up for writing; an expired record is removed on the way.
    pub(crate) fn find<'k>(&mut self, key: &'k [u8]) -> Slot<'k> {
        let record = self.store.get(RECORDS, key).map(Record::from_table);
        let mut slot = Slot { key, record };
        if slot.record.as_ref().is_some_and(|record| !record.is_live(self.store.now_ms())) {
            self.remove(&mut slot);
        }
        slot
    }

    /// Puts a value, with or without an end of its time, in place of what the slot holds.
    pub(crate) fn write(&mut self, slot: &mut Slot<'_>, value: &[u8], expires_ms: Option<u64>) -> Result<()> {
        check_value_length(value.len())?;
        let expired_ms = match &slot.record {
            Some(before) => before.expires_ms(),
            None => {
                self.add(slot.key)?;
                None
            }
        };
        if expired_ms != expires_ms {
            self.move_expiry(slot.key, expired_ms, expires_ms);
        }
        let record = Record::new(value, expires_ms);
        self.store.put(RECORDS, slot.key, record.bytes());
        slot.record = Some(record);
        Ok(())
    }

    /// As [`Keyspace::write`], and the time to live stays as it is.
    pub(crate) fn rewrite(&mut self, slot: &mut Slot<'_>, value: &[u8]) -> Result<()> {
        let expires_ms = slot.record.as_ref().and_then(Record::expires_ms);
        self.write(slot, value, expires_ms)
    }

    /// Empties the slot and returns what was in it.
    pub(crate) fn remove(&mut self, slot: &mut Slot<'_>) -> Option<Record> {
        let record = slot.record.take()?;
        self.move_expiry(slot.key, record.expires_ms(), None);
        self.forget(slot.key);
        self.change_count(-1);
        Some(record)
    }

    fn add(&mut self, key: &[u8]) -> Result<()> {
        if key.len() > KEY_BYTES_MAX {
            return Err(Error::constant("ERR key is too long"));
        }
        self.store.put(ORDER, &order_key(key), b"");
        self.change_count(1);
        Ok(())
    }

    fn forget(&mut self, key: &[u8]) {
        let was_there = self.store.delete(RECORDS, key) && self.store.delete(ORDER, &order_key(key));
        assert!(was_there, "every record has its place in the order");
    }

    fn change_count(&mut self, by: i64) {
        let count = COUNT.get(self.store, b"").expect("the count is of schema 1").unwrap_or(0);
        let count = count.checked_add_signed(by).expect("every record is counted");
        COUNT.put(self.store, b"", &count);
    }

    fn move_expiry(&mut self, key: &[u8], from_ms: Option<u64>, to_ms: Option<u64>) {
        if let Some(from_ms) = from_ms {
            self.store.delete(EXPIRY, &expiry_key(from_ms, key));
        }
        if let Some(to_ms) = to_ms {
            self.store.put(EXPIRY, &expiry_key(to_ms, key), b"");
        }
    }

    fn sweep(&mut self) {
        let end = self.store.now_ms().to_be_bytes();
        let mut forgotten = 0;
        for (entry, _) in self.store.scan(EXPIRY, b"", Some(&end), SWEEP_KEYS_MAX) {
            self.store.delete(EXPIRY, &entry);
            let (expires_ms, key) = split_expiry_key(&entry);
            let record = self.store.get(RECORDS, key).map(Record::from_table);
            if record.is_some_and(|record| record.expires_ms() == Some(expires_ms)) {
                self.forget(key);
                forgotten += 1;
            }
        }
        if forgotten > 0 {
            self.change_count(-forgotten);
        }
    }
}
