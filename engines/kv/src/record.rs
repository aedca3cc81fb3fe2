//! Schema 1: the tables of `kv` and `kv-basic`, byte by byte.
//!
//! | Table | Key                            | Value                                                              |
//! |-------|--------------------------------|--------------------------------------------------------------------|
//! | 0     | the client's key               | `0`, value · or `1`, time of expiry (8 bytes, little-endian), value |
//! | 1     | empty                          | how many records table 0 holds (8 bytes, little-endian)            |
//! | 2     | time of expiry (8, big-endian), key | empty                                                         |
//! | 3     | hash of the key (7, big-endian), key | empty                                                        |
//!
//! Tables 0, 1 and 3 always agree. Table 2 names every record that expires; it may also hold entries that no record
//! confirms (after a while under `kv-basic`, which knows no expiry), and a sweep throws those away.

use outboard_sdk::{Reply, Table, reply, stable_hash};

pub(crate) const RECORDS: u32 = 0;
pub(crate) const COUNT: Table<u64> = Table::new(1);
pub(crate) const EXPIRY: u32 = 2;
pub(crate) const ORDER: u32 = 3;

/// The host's limit for a key in any table is 64 KiB, of which stores and tables 2 and 3 take a few bytes for themselves.
pub(crate) const KEY_BYTES_MAX: usize = (64 << 10) - 256;
/// The longest value that a client may send; the host takes a record that is a little longer.
pub(crate) const VALUE_BYTES_MAX: usize = 1 << 20;
const _: () = assert!(EXPIRING_HEADER_BYTES <= 256, "the host leaves an engine so much room beside the longest value");

const PLAIN: u8 = 0;
const EXPIRING: u8 = 1;
const EXPIRING_HEADER_BYTES: usize = 9;

/// A record of table 0 as it lies there. As a reply it is its value; nothing is copied before that.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(crate) struct Record(Vec<u8>);

impl Record {
    /// Checks the layout once, so that everything after may rely on it.
    pub(crate) fn from_table(bytes: Vec<u8>) -> Record {
        let fits = match bytes.first() {
            Some(&PLAIN) => true,
            Some(&EXPIRING) => bytes.len() >= EXPIRING_HEADER_BYTES,
            Some(_) | None => false,
        };
        assert!(fits, "a record of table 0 is not of schema 1");
        Record(bytes)
    }

    pub(crate) fn new(value: &[u8], expires_ms: Option<u64>) -> Record {
        let mut bytes = Vec::with_capacity(EXPIRING_HEADER_BYTES + value.len());
        match expires_ms {
            None => bytes.push(PLAIN),
            Some(expires_ms) => {
                bytes.push(EXPIRING);
                bytes.extend_from_slice(&expires_ms.to_le_bytes());
            }
        }
        bytes.extend_from_slice(value);
        Record(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn value(&self) -> &[u8] {
        if self.0[0] == PLAIN { &self.0[1..] } else { &self.0[EXPIRING_HEADER_BYTES..] }
    }

    pub(crate) fn expires_ms(&self) -> Option<u64> {
        if self.0[0] == PLAIN {
            return None;
        }
        let time = self.0[1..EXPIRING_HEADER_BYTES].try_into().expect("the header has eight bytes of time");
        Some(u64::from_le_bytes(time))
    }

    /// Redis' boundary: a key lives through the very millisecond of its expiry.
    pub(crate) fn is_live(&self, now_ms: u64) -> bool {
        self.expires_ms().is_none_or(|expires_ms| now_ms <= expires_ms)
    }
}

impl Reply for Record {
    fn write(&self, out: &mut Vec<u8>) {
        reply::write_bytes(out, self.value());
    }

    fn bytes_hint(&self) -> usize {
        self.0.len() + reply::FRAME_BYTES_MAX
    }
}

/// A key of table 2: what expires first comes first.
pub(crate) fn expiry_key(expires_ms: u64, key: &[u8]) -> Vec<u8> {
    [&expires_ms.to_be_bytes(), key].concat()
}

/// The two halves of a key of table 2.
pub(crate) fn split_expiry_key(bytes: &[u8]) -> (u64, &[u8]) {
    let (time, key) = bytes.split_first_chunk().expect("a key of table 2 begins with eight bytes of time");
    (u64::from_be_bytes(*time), key)
}

/// 53 bits of a key's hash: its place in the order of table 3, and as a number a cursor of SCAN. All clients can hold such
/// a number, also those that keep numbers as floats.
pub(crate) fn place(key: &[u8]) -> u64 {
    stable_hash(key) >> 11
}

/// How many places there are.
pub(crate) const PLACES: u64 = 1 << 53;

/// Greater than every place, and still of seven bytes.
pub(crate) const PLACE_MAX: u64 = (1 << 56) - 1;

/// The first bytes of a key of table 3.
pub(crate) fn place_bytes(place: u64) -> [u8; 7] {
    let [_, rest @ ..] = place.to_be_bytes();
    rest
}

/// A key of table 3.
pub(crate) fn order_key(key: &[u8]) -> Vec<u8> {
    [&place_bytes(place(key)), key].concat()
}

/// The two halves of a key of table 3.
pub(crate) fn split_order_key(bytes: &[u8]) -> (u64, &[u8]) {
    let (place, key) = bytes.split_first_chunk().expect("a key of table 3 begins with seven bytes of hash");
    let [a, b, c, d, e, f, g] = *place;
    (u64::from_be_bytes([0, a, b, c, d, e, f, g]), key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_its_value_and_its_time() {
        let plain = Record::new(b"v", None);
        assert_eq!((plain.bytes(), plain.value(), plain.expires_ms()), (&b"\x00v"[..], &b"v"[..], None));
        let expiring = Record::new(b"v", Some(258));
        assert_eq!(expiring.bytes(), b"\x01\x02\x01\0\0\0\0\0\0v");
        assert_eq!((expiring.value(), expiring.expires_ms()), (&b"v"[..], Some(258)));
        assert!(expiring.is_live(258) && !expiring.is_live(259) && plain.is_live(u64::MAX));
    }

    #[test]
    fn keys_of_the_other_tables_come_apart_again() {
        assert_eq!(split_expiry_key(&expiry_key(7, b"k")), (7, &b"k"[..]));
        assert!(expiry_key(255, b"z") < expiry_key(256, b"a"));
        assert_eq!(split_order_key(&order_key(b"k")), (place(b"k"), &b"k"[..]));
        assert!(place(b"k") < PLACES);
    }

    #[test]
    #[should_panic(expected = "not of schema 1")]
    fn a_record_of_another_layout_is_not_guessed_at() {
        Record::from_table(b"\x02v".to_vec());
    }
}
