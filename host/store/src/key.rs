//! How a table and a key become one key among all records: eight bytes of table, big-endian, then the key as it is. So the order of
//! the encoded keys is the order of (table, key), and tables never mix.

use std::ops::Bound;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{StoreError, Table};

/// The longest key: with its table in front it must fit the 65,535 bytes that the library under [`crate::DiskStore`] takes. The
/// store in memory has the same limit, so that a command fares alike on both.
pub const KEY_BYTES_MAX: usize = u16::MAX as usize - PREFIX_BYTES;

/// Bytes of a table in front of its keys.
pub(crate) const PREFIX_BYTES: usize = size_of::<u64>();

/// Keys up to this length are encoded on the stack for a lookup; longer ones cost an allocation.
const STACK_KEY_BYTES: usize = 256;

/// The encoded key, to be kept.
pub(crate) fn encode(table: Table, key: &[u8]) -> Bytes {
    let mut encoded = BytesMut::with_capacity(PREFIX_BYTES + key.len());
    encoded.put_u64(table.0);
    encoded.put_slice(key);
    encoded.freeze()
}

/// Lends the encoded key to `look`, for lookups.
pub(crate) fn with_encoded<R>(table: Table, key: &[u8], look: impl FnOnce(&[u8]) -> R) -> R {
    let mut stack = [0; PREFIX_BYTES + STACK_KEY_BYTES];
    match stack.get_mut(..PREFIX_BYTES + key.len()) {
        Some(encoded) => {
            encoded[..PREFIX_BYTES].copy_from_slice(&table.0.to_be_bytes());
            encoded[PREFIX_BYTES..].copy_from_slice(key);
            look(encoded)
        }
        None => look(&encode(table, key)),
    }
}

/// The table of an encoded key and the key itself, without a copy; none for what is too short to be one.
pub(crate) fn decode(encoded: &Bytes) -> Option<(Table, Bytes)> {
    let (table, _) = encoded.split_first_chunk::<PREFIX_BYTES>()?;
    Some((Table(u64::from_be_bytes(*table)), encoded.slice(PREFIX_BYTES..)))
}

/// The table and key of an encoded key that this crate made.
pub(crate) fn split(encoded: &[u8]) -> (Table, &[u8]) {
    let (table, key) = encoded.split_first_chunk::<PREFIX_BYTES>().expect("an encoded key starts with its table");
    (Table(u64::from_be_bytes(*table)), key)
}

/// Encoded keys between two bounds that are not inverted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Span {
    lower: Bound<Bytes>,
    upper: Bound<Bytes>,
}

impl Span {
    /// The keys of `table` with start <= key < end; none when `end` is not after `start`.
    pub(crate) fn of(table: Table, start: &[u8], end: Option<&[u8]>) -> Option<Span> {
        if end.is_some_and(|end| end <= start) {
            return None;
        }
        // No stored key is longer than the limit, so one that is stands just after its longest storable beginning.
        let lower = match start.get(..KEY_BYTES_MAX) {
            Some(beginning) if start.len() > KEY_BYTES_MAX => Bound::Excluded(encode(table, beginning)),
            Some(_) | None => Bound::Included(encode(table, start)),
        };
        let upper = match end.map(|end| (end, end.get(..KEY_BYTES_MAX))) {
            Some((end, Some(beginning))) if end.len() > KEY_BYTES_MAX => Bound::Included(encode(table, beginning)),
            Some((end, _)) => Bound::Excluded(encode(table, end)),
            None => table.next().map_or(Bound::Unbounded, |next| Bound::Excluded(encode(next, &[]))),
        };
        Some(Span { lower, upper })
    }

    /// Everything.
    pub(crate) fn all() -> Span {
        Span { lower: Bound::Included(encode(Table(0), &[])), upper: Bound::Unbounded }
    }

    /// What is left of this span after its key `last`.
    pub(crate) fn after(self, last: &Bytes) -> Span {
        Span { lower: Bound::Excluded(last.clone()), upper: self.upper }
    }

    /// What is left of this span before its key `last`.
    pub(crate) fn before(self, last: &Bytes) -> Span {
        Span { lower: self.lower, upper: Bound::Excluded(last.clone()) }
    }

    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        (self.lower.as_ref().map(|lower| &lower[..]), self.upper.as_ref().map(|upper| &upper[..]))
    }
}

/// Refuses a key that is too long to be stored.
pub(crate) fn check(key: &[u8]) -> Result<(), StoreError> {
    if key.len() <= KEY_BYTES_MAX { Ok(()) } else { Err(StoreError::KeyTooLong { bytes: key.len() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_encoding_whatever_its_length() {
        for length in [0, 1, STACK_KEY_BYTES - 1, STACK_KEY_BYTES, STACK_KEY_BYTES + 1, KEY_BYTES_MAX] {
            let key = vec![7; length];
            let encoded = encode(Table::engine(2, 5), &key);
            assert_eq!(decode(&encoded), Some((Table::engine(2, 5), Bytes::from(key.clone()))));
            assert_eq!(split(&encoded), (Table::engine(2, 5), &key[..]));
            with_encoded(Table::engine(2, 5), &key, |lent| assert_eq!(lent, &encoded[..]));
        }
    }

    #[test]
    fn a_span_without_end_stops_where_the_next_table_starts() {
        let span = Span::of(Table(1), b"a", None).expect("not empty");
        assert_eq!(span.bounds().1, Bound::Excluded(&encode(Table(2), b"")[..]));
        assert_eq!(Span::of(Table(u64::MAX), b"a", None).expect("not empty").bounds().1, Bound::Unbounded);
    }

    #[test]
    fn a_bound_over_the_limit_stands_just_after_its_beginning() {
        let (beginning, long) = (vec![7; KEY_BYTES_MAX], vec![7; KEY_BYTES_MAX + 1]);
        let span = Span::of(Table(1), &long, Some(&[8])).expect("not empty");
        assert_eq!(span.bounds().0, Bound::Excluded(&encode(Table(1), &beginning)[..]));
        let span = Span::of(Table(1), &beginning, Some(&long)).expect("not empty");
        assert_eq!(span.bounds().1, Bound::Included(&encode(Table(1), &beginning)[..]));
    }

    #[test]
    fn a_span_that_ends_before_it_starts_is_none() {
        assert!(Span::of(Table(1), b"b", Some(b"a")).is_none());
        assert!(Span::of(Table(1), b"b", Some(b"b")).is_none());
        assert!(Span::of(Table(1), b"b", Some(b"b\0")).is_some());
    }

    #[test]
    fn what_is_shorter_than_a_table_is_no_key() {
        assert_eq!(decode(&Bytes::from_static(&[0; PREFIX_BYTES - 1])), None);
    }
}
