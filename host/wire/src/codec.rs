//! Version byte, then postcard. One pair of functions for all messages, and [`Blob`] for bytes that are borrowed.

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use std::fmt;

/// The first byte of every message and entry.
pub const VERSION: u8 = 1;

/// What is wrong with a message from outside.
#[derive(Clone, Eq, PartialEq, Debug, thiserror::Error)]
pub enum CodecError {
    /// No bytes at all.
    #[error("the message is empty")]
    Empty,
    /// Written by a program of another protocol version.
    #[error("the message has protocol version {0}, this program speaks {VERSION}: run the same outboard on both sides")]
    Version(u8),
    /// Damaged, cut short, or not of this kind.
    #[error("the message is malformed: {0}")]
    Malformed(String),
    /// Bytes are left over behind the message.
    #[error("the message is followed by {0} bytes that don't belong to it")]
    Trailing(usize),
}

/// Appends the message to `out`.
pub(crate) fn encode_into<T: Serialize>(message: &T, mut out: Vec<u8>) -> Vec<u8> {
    out.push(VERSION);
    postcard::to_extend(message, out).expect("messages serialize: postcard knows every shape that this room uses")
}

/// The message as bytes of its own.
pub(crate) fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    encode_into(message, Vec::with_capacity(64))
}

/// A message that may borrow from `bytes`.
pub(crate) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CodecError> {
    let (version, body) = bytes.split_first().ok_or(CodecError::Empty)?;
    if *version != VERSION {
        return Err(CodecError::Version(*version));
    }
    let (message, rest) = postcard::take_from_bytes(body).map_err(|e| CodecError::Malformed(e.to_string()))?;
    if rest.is_empty() { Ok(message) } else { Err(CodecError::Trailing(rest.len())) }
}

/// The beginning of a message, whatever follows it.
pub(crate) fn decode_head<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CodecError> {
    let (_, body) = bytes.split_first().filter(|(version, _)| **version == VERSION).ok_or(CodecError::Empty)?;
    let taken = postcard::take_from_bytes(body).map_err(|e| CodecError::Malformed(e.to_string()));
    taken.map(|(head, _)| head)
}

/// A message that borrows nothing.
pub(crate) fn decode_owned<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    decode(bytes)
}

/// Bytes that are borrowed from the message and handled whole, not one by one as serde treats a slice.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Blob<'a>(pub &'a [u8]);

impl Serialize for Blob<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Blob<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowed;
        impl<'de> Visitor<'de> for Borrowed {
            type Value = Blob<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Blob<'de>, E> {
                Ok(Blob(bytes))
            }
        }
        deserializer.deserialize_bytes(Borrowed)
    }
}

impl fmt::Debug for Blob<'_> {
    /// The length only: keys and values don't belong in a log line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize as Derive;

    #[derive(Debug, PartialEq, serde::Serialize, Derive)]
    struct Sample<'a> {
        number: u64,
        #[serde(borrow)]
        blobs: Vec<Blob<'a>>,
    }

    #[test]
    fn a_message_survives_the_round_trip_and_borrows() {
        let sample = Sample { number: 1 << 40, blobs: vec![Blob(b"a"), Blob(b"\0\xff")] };
        let bytes = encode(&sample);
        assert_eq!(decode::<Sample<'_>>(&bytes).expect("own bytes"), sample);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = encode(&Sample { number: 300, blobs: vec![Blob(b"some bytes")] });
        for cut in 0..bytes.len() {
            assert!(decode::<Sample<'_>>(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_foreign_version_and_trailing_bytes_are_named() {
        let mut bytes = encode(&7u64);
        bytes.push(9);
        assert_eq!(decode::<u64>(&bytes), Err(CodecError::Trailing(1)));
        bytes[0] = 9;
        assert_eq!(decode::<u64>(&bytes), Err(CodecError::Version(9)));
        assert_eq!(decode::<u64>(&[]), Err(CodecError::Empty));
    }

    #[test]
    fn a_length_that_lies_allocates_nothing_big() {
        // A vector that claims 2^60 elements in a message of a few bytes.
        let lie = [VERSION, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(decode::<Sample<'_>>(&lie).is_err());
    }
}
