//! The commands of the standard engine `kv` by name and type. Another engine that has them answers them as well.
//!
//! Reads are asked again freely; writes are done once, as every [`Client::command`] is.

use std::time::Duration;

use crate::client::Client;
use crate::error::ClientError;
use crate::reply::Reply;
use bytes::Bytes;

/// How long a key lives.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Lifetime {
    /// There is no such key.
    Missing,
    /// Until it is removed.
    Unlimited,
    /// For so long from now.
    Left(Duration),
}

impl Client {
    /// The value of a key, if there is one.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>, ClientError> {
        optional(self.read([b"GET", key.as_ref()]).await?)
    }

    /// The values of these keys, in their order.
    pub async fn mget<K: AsRef<[u8]>>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<Vec<Option<Bytes>>, ClientError> {
        let reply = self.read(named("MGET", keys)).await?;
        reply.into_array().ok_or_else(unexpected)?.into_iter().map(optional).collect()
    }

    /// How many of these keys there are.
    pub async fn exists<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Result<u64, ClientError> {
        count(self.read(named("EXISTS", keys)).await?)
    }

    /// The keys that match a pattern as Redis writes them (`user/*`), all at once.
    pub async fn keys(&self, pattern: impl AsRef<[u8]>) -> Result<Vec<Bytes>, ClientError> {
        let reply = self.read([b"KEYS", pattern.as_ref()]).await?;
        let keys = reply.into_array().ok_or_else(unexpected)?;
        keys.into_iter().map(|key| key.into_bytes().ok_or_else(unexpected)).collect()
    }

    /// The length of a key's value; 0 if there is none.
    pub async fn strlen(&self, key: impl AsRef<[u8]>) -> Result<u64, ClientError> {
        count(self.read([b"STRLEN", key.as_ref()]).await?)
    }

    /// How many keys there are.
    pub async fn dbsize(&self) -> Result<u64, ClientError> {
        count(self.read(["DBSIZE"]).await?)
    }

    /// For how long a key lives.
    pub async fn lifetime(&self, key: impl AsRef<[u8]>) -> Result<Lifetime, ClientError> {
        match integer(&self.read([b"PTTL", key.as_ref()]).await?)? {
            -2 => Ok(Lifetime::Missing),
            -1 => Ok(Lifetime::Unlimited),
            ms => u64::try_from(ms).map(|ms| Lifetime::Left(Duration::from_millis(ms))).map_err(|_| unexpected()),
        }
    }

    /// Sets a key to a value, for as long as nobody removes it.
    pub async fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<(), ClientError> {
        ok(&self.command([b"SET", key.as_ref(), value.as_ref()]).send().await?)
    }

    /// Sets a key to a value for so long, in whole milliseconds, at least one.
    pub async fn set_for(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        lifetime: Duration,
    ) -> Result<(), ClientError> {
        let ms = ms(lifetime);
        ok(&self.command([b"SET", key.as_ref(), value.as_ref(), b"PX", ms.as_bytes()]).send().await?)
    }

    /// Sets a key to a value if there is no such key; whether it did.
    pub async fn set_if_absent(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<bool, ClientError> {
        let reply = self.command([b"SET", key.as_ref(), value.as_ref(), b"NX"]).send().await?;
        if reply.is_nil() { Ok(false) } else { ok(&reply).map(|()| true) }
    }

    /// Sets a key that has the expected value to a new one; whether it did.
    pub async fn compare_and_set(
        &self,
        key: impl AsRef<[u8]>,
        expected: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<bool, ClientError> {
        let reply = self.command([b"CAS", key.as_ref(), expected.as_ref(), value.as_ref()]).send().await?;
        if reply.is_nil() { Ok(false) } else { yes_or_no(&reply) }
    }

    /// Sets all these keys to their values at once.
    pub async fn mset<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), ClientError> {
        let mut command = vec![Bytes::from_static(b"MSET")];
        for (key, value) in pairs {
            command.push(Bytes::copy_from_slice(key.as_ref()));
            command.push(Bytes::copy_from_slice(value.as_ref()));
        }
        ok(&self.command_bytes(command).send().await?)
    }

    /// Removes these keys; how many there were.
    pub async fn del<K: AsRef<[u8]>>(&self, keys: impl IntoIterator<Item = K>) -> Result<u64, ClientError> {
        count(self.command_bytes(named("DEL", keys)).send().await?)
    }

    /// Removes a key; what it had.
    pub async fn getdel(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>, ClientError> {
        optional(self.command([b"GETDEL", key.as_ref()]).send().await?)
    }

    /// Adds one to a number; the new one. A missing key counts as 0.
    pub async fn incr(&self, key: impl AsRef<[u8]>) -> Result<i64, ClientError> {
        integer(&self.command([b"INCR", key.as_ref()]).send().await?)
    }

    /// Adds to a number; the new one. A missing key counts as 0.
    pub async fn incr_by(&self, key: impl AsRef<[u8]>, by: i64) -> Result<i64, ClientError> {
        integer(&self.command([b"INCRBY", key.as_ref(), by.to_string().as_bytes()]).send().await?)
    }

    /// Adds to the end of a value; its new length.
    pub async fn append(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<u64, ClientError> {
        count(self.command([b"APPEND", key.as_ref(), value.as_ref()]).send().await?)
    }

    /// Lets a key live for so long from now, in whole milliseconds, at least one; false if there is no such key.
    pub async fn expire(&self, key: impl AsRef<[u8]>, lifetime: Duration) -> Result<bool, ClientError> {
        yes_or_no(&self.command([b"PEXPIRE", key.as_ref(), ms(lifetime).as_bytes()]).send().await?)
    }

    /// Lets a key live until it is removed; false if it did already, or there is no such key.
    pub async fn persist(&self, key: impl AsRef<[u8]>) -> Result<bool, ClientError> {
        yes_or_no(&self.command([b"PERSIST", key.as_ref()]).send().await?)
    }

    async fn read<A: AsRef<[u8]>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<Reply, ClientError> {
        self.command(arguments).idempotent(true).send().await
    }
}

fn named<K: AsRef<[u8]>>(name: &'static str, keys: impl IntoIterator<Item = K>) -> Vec<Bytes> {
    let keys = keys.into_iter().map(|key| Bytes::copy_from_slice(key.as_ref()));
    std::iter::once(Bytes::from_static(name.as_bytes())).chain(keys).collect()
}

fn ms(lifetime: Duration) -> String {
    lifetime.as_millis().max(1).to_string()
}

fn optional(reply: Reply) -> Result<Option<Bytes>, ClientError> {
    if reply.is_nil() { Ok(None) } else { reply.into_bytes().map(Some).ok_or_else(unexpected) }
}

fn integer(reply: &Reply) -> Result<i64, ClientError> {
    reply.as_integer().ok_or_else(unexpected)
}

fn count(reply: Reply) -> Result<u64, ClientError> {
    integer(&reply).and_then(|number| u64::try_from(number).map_err(|_| unexpected()))
}

fn yes_or_no(reply: &Reply) -> Result<bool, ClientError> {
    integer(reply).map(|number| number != 0)
}

fn ok(reply: &Reply) -> Result<(), ClientError> {
    if reply.is_ok() { Ok(()) } else { Err(unexpected()) }
}

fn unexpected() -> ClientError {
    ClientError::Protocol("the engine's reply is of another kind than this command's: another engine is running".into())
}
