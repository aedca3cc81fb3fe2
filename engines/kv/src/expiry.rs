//! Commands on the time that a key has left.

use outboard_sdk::args::parse_i64;
use outboard_sdk::{Args, Error, FromArgs, Key, Result, Shape, Store, Value, View, command};

use crate::keyspace::{Keyspace, live};
use crate::lifetime::{Unit, invalid_expiry};

/// EXPIRE key seconds [NX|XX|GT|LT] -- lets the key expire after so many seconds; 1 if it will, else 0.
#[command(write)]
pub(crate) fn expire(store: &mut Store, key: Key, seconds: Value, options: ExpireOptions) -> Result<i64> {
    set_expiry(store, "expire", &key, (Unit::Seconds, seconds), options)
}

/// PEXPIRE key ms [NX|XX|GT|LT] -- lets the key expire after so many milliseconds; 1 if it will, else 0.
#[command(write)]
pub(crate) fn pexpire(store: &mut Store, key: Key, ms: Value, options: ExpireOptions) -> Result<i64> {
    set_expiry(store, "pexpire", &key, (Unit::Ms, ms), options)
}

/// EXPIREAT key unix-seconds [NX|XX|GT|LT] -- lets the key expire at a time, in seconds since 1970; 1 if it will, else 0.
#[command(write)]
pub(crate) fn expireat(store: &mut Store, key: Key, seconds: Value, options: ExpireOptions) -> Result<i64> {
    set_expiry(store, "expireat", &key, (Unit::UnixSeconds, seconds), options)
}

/// PEXPIREAT key unix-ms [NX|XX|GT|LT] -- lets the key expire at a time, in milliseconds since 1970; 1 if it will, else 0.
#[command(write)]
pub(crate) fn pexpireat(store: &mut Store, key: Key, ms: Value, options: ExpireOptions) -> Result<i64> {
    set_expiry(store, "pexpireat", &key, (Unit::UnixMs, ms), options)
}

/// TTL key -- the seconds that the key has left; -1 if it does not expire, -2 if there is no such key.
#[command(read)]
pub(crate) fn ttl(store: &View, key: Key) -> Result<i64> {
    pttl(store, key).map(to_seconds)
}

/// PTTL key -- the milliseconds that the key has left; -1 if it does not expire, -2 if there is no such key.
#[command(read)]
pub(crate) fn pttl(store: &View, key: Key) -> Result<i64> {
    Ok(end_of(store, &key).map_or_else(Missing::reply, |expires_ms| expires_ms.saturating_sub_unsigned(store.now_ms())))
}

/// EXPIRETIME key -- when the key expires, in seconds since 1970; -1 if it does not expire, -2 if there is no such key.
#[command(read)]
pub(crate) fn expiretime(store: &View, key: Key) -> Result<i64> {
    pexpiretime(store, key).map(to_seconds)
}

/// PEXPIRETIME key -- when the key expires, in milliseconds since 1970; -1 if it does not expire, -2 if there is no such key.
#[command(read)]
pub(crate) fn pexpiretime(store: &View, key: Key) -> Result<i64> {
    Ok(end_of(store, &key).unwrap_or_else(Missing::reply))
}

/// PERSIST key -- lets the key live forever; 1 if it would have expired, else 0.
#[command(write)]
pub(crate) fn persist(store: &mut Store, key: Key) -> Result<i64> {
    let mut keyspace = Keyspace::open(store);
    let mut slot = keyspace.find(&key);
    let Some(record) = slot.record.clone().filter(|record| record.expires_ms().is_some()) else { return Ok(0) };
    keyspace.write(&mut slot, record.value(), None)?;
    Ok(1)
}

/// The last millisecond of a key's life, or why there is none.
fn end_of(store: &View, key: &[u8]) -> std::result::Result<i64, Missing> {
    let record = live(store, key).ok_or(Missing::Key)?;
    let expires_ms = record.expires_ms().ok_or(Missing::End)?;
    Ok(i64::try_from(expires_ms).unwrap_or(i64::MAX))
}

enum Missing {
    Key,
    End,
}

impl Missing {
    fn reply(self) -> i64 {
        match self {
            Missing::Key => -2,
            Missing::End => -1,
        }
    }
}

/// To the nearest second. What stands for a missing time stays as it is.
fn to_seconds(ms: i64) -> i64 {
    if ms < 0 { ms } else { ms / 1000 + i64::from(ms % 1000 >= 500) }
}

/// The number is judged only here, after the options behind it: a wrong option is reported first, as in Redis.
fn set_expiry(
    store: &mut Store,
    command: &str,
    key: &[u8],
    (unit, number): (Unit, Value),
    options: ExpireOptions,
) -> Result<i64> {
    let number = parse_i64(&number).ok_or(Error::NOT_AN_INTEGER)?;
    let mut keyspace = Keyspace::open(store);
    let now_ms = keyspace.now_ms();
    let expires_ms = unit.point_ms(number, now_ms).ok_or_else(|| invalid_expiry(command))?;

    let mut slot = keyspace.find(key);
    let Some(record) = slot.record.clone() else { return Ok(0) };
    if !options.allow(record.expires_ms(), expires_ms) {
        return Ok(0);
    }
    // A time that is not in the future removes the key at once.
    match u64::try_from(expires_ms) {
        Ok(at_ms) if at_ms > now_ms => keyspace.write(&mut slot, record.value(), Some(at_ms))?,
        Ok(_) | Err(_) => _ = keyspace.remove(&mut slot),
    }
    Ok(1)
}

/// Under which conditions an expiry is set.
#[derive(Default)]
pub(crate) struct ExpireOptions {
    if_none: bool,
    if_any: bool,
    if_later: bool,
    if_earlier: bool,
}

impl FromArgs for ExpireOptions {
    const SHAPE: Shape = Shape::OPTIONS;

    fn from_args(args: &mut Args) -> Result<ExpireOptions> {
        let mut options = ExpireOptions::default();
        while let Some(given) = args.peek().map(<[u8]>::to_vec) {
            let word = args.keyword().expect("what was peeked at is there");
            match word.as_slice() {
                b"NX" => options.if_none = true,
                b"XX" => options.if_any = true,
                b"GT" => options.if_later = true,
                b"LT" => options.if_earlier = true,
                _ => return Err(Error::unsupported_option(&given)),
            }
        }
        if options.if_none && (options.if_any || options.if_later || options.if_earlier) {
            return Err("ERR NX and XX, GT or LT options at the same time are not compatible".into());
        }
        if options.if_later && options.if_earlier {
            return Err("ERR GT and LT options at the same time are not compatible".into());
        }
        Ok(options)
    }
}

impl ExpireOptions {
    /// A key that does not expire counts as one that expires after any time.
    fn allow(&self, before_ms: Option<u64>, after_ms: i64) -> bool {
        let before_ms = before_ms.map(|before_ms| i64::try_from(before_ms).unwrap_or(i64::MAX));
        let none = !self.if_none || before_ms.is_none();
        let any = !self.if_any || before_ms.is_some();
        let later = !self.if_later || before_ms.is_some_and(|before_ms| after_ms > before_ms);
        let earlier = !self.if_earlier || before_ms.is_none_or(|before_ms| after_ms < before_ms);
        none && any && later && earlier
    }
}
