//! A table with a type: the bytes are packed and unpacked for you.

use std::marker::PhantomData;

use crate::error::{Error, Result};
use crate::store::{Read, Store};

/// One of the engine's tables, whose values are all of one type. Number and type belong to the engine's schema.
pub struct Table<T> {
    number: u32,
    values: PhantomData<fn() -> T>,
}

impl<T: Packed> Table<T> {
    /// The table of that number.
    pub const fn new(number: u32) -> Table<T> {
        Table { number, values: PhantomData }
    }

    /// The value under `key`.
    pub fn get(&self, store: &impl Read, key: &[u8]) -> Result<Option<T>> {
        let Some(bytes) = store.view().get(self.number, key) else { return Ok(None) };
        match T::unpack(bytes) {
            Some(value) => Ok(Some(value)),
            None => Err(Error::new(format!("ERR a record of table {} is not of this schema", self.number))),
        }
    }

    /// Sets `key` to `value`.
    pub fn put(&self, store: &mut Store<'_>, key: &[u8], value: &T) {
        store.put(self.number, key, &value.pack());
    }

    /// Removes `key`; true when it was there.
    pub fn delete(&self, store: &mut Store<'_>, key: &[u8]) -> bool {
        store.delete(self.number, key)
    }
}

/// A type that can lie in a [`Table`].
pub trait Packed: Sized {
    /// As bytes; the same value always as the same bytes.
    fn pack(&self) -> Vec<u8>;
    /// From bytes; none if these are not of this type.
    fn unpack(bytes: Vec<u8>) -> Option<Self>;
}

macro_rules! packed_number {
    ($($type:ty),*) => {$(
        impl Packed for $type {
            fn pack(&self) -> Vec<u8> {
                self.to_le_bytes().to_vec()
            }
            fn unpack(bytes: Vec<u8>) -> Option<$type> {
                bytes.try_into().ok().map(<$type>::from_le_bytes)
            }
        }
    )*};
}
packed_number!(i64, u64, u32, f64);

impl Packed for Vec<u8> {
    fn pack(&self) -> Vec<u8> {
        self.clone()
    }
    fn unpack(bytes: Vec<u8>) -> Option<Vec<u8>> {
        Some(bytes)
    }
}

impl Packed for String {
    fn pack(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
    fn unpack(bytes: Vec<u8>) -> Option<String> {
        String::from_utf8(bytes).ok()
    }
}

impl Packed for () {
    fn pack(&self) -> Vec<u8> {
        Vec::new()
    }
    fn unpack(bytes: Vec<u8>) -> Option<()> {
        bytes.is_empty().then_some(())
    }
}
