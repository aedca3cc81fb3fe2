//! Commands on the time that a key has left.

use outboard_sdk::{Args, Error, FromArgs, Key, Result, Shape, Store, View, command};

use crate::keyspace::{Keyspace, live};

/// EXPIRE key seconds [NX|XX|GT|LT] -- lets the key expire after so many seconds; 1 if it will, else 0.
#[command(write)]
pub(crate) fn expire(store: &mut Store, key: Key, seconds: Time, options: ExpireOptions) -> Result<i64> {
    set_expiry(store, &key, "expire", seconds, 1000, options)
}

/// PEXPIRE key ms [NX|XX|GT|LT] -- lets the key expire after so many milliseconds; 1 if it will, else 0.
#[command(write)]
pub(crate) fn pexpire(store: &mut Store, key: Key, ms: Time, options: ExpireOptions) -> Result<i64> {
    set_expiry(store, &key, "pexpire", ms, 1, options)
}

/// TTL key -- the seconds that the key has left; -1 if it does not expire, -2 if there is no such key.
#[command(read)]
pub(crate) fn ttl(store: &View, key: Key) -> Result<i64> {
    let left_ms = pttl(store, key)?;
    Ok(if left_ms < 0 { left_ms } else { (left_ms + 500) / 1000 })
}

/// PTTL key -- the milliseconds that the key has left; -1 if it does not expire, -2 if there is no such key.
#[command(read)]
pub(crate) fn pttl(store: &View, key: Key) -> Result<i64> {
    let Some(record) = live(store, &key) else { return Ok(-2) };
    let left_ms = record.expires_ms().map(|expires_ms| expires_ms - store.now_ms());
    Ok(left_ms.map_or(-1, |left_ms| i64::try_from(left_ms).unwrap_or(i64::MAX)))
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

fn set_expiry(
    store: &mut Store,
    key: &[u8],
    command: &str,
    time: Time,
    unit_ms: i64,
    options: ExpireOptions,
) -> Result<i64> {
    let invalid = || Error::new(format!("ERR invalid expire time in '{command}' command"));
    let time = outboard_sdk::args::parse_i64(&time.0).ok_or(Error::NOT_AN_INTEGER)?;
    let mut keyspace = Keyspace::open(store);
    let now_ms = i64::try_from(keyspace.now_ms()).map_err(|_| invalid())?;
    let expires_ms =
        time.checked_mul(unit_ms).and_then(|length_ms| now_ms.checked_add(length_ms)).ok_or_else(invalid)?;

    let mut slot = keyspace.find(key);
    let Some(record) = slot.record.clone() else { return Ok(0) };
    if !options.allow(record.expires_ms(), expires_ms) {
        return Ok(0);
    }
    // A time that is not in the future removes the key at once.
    match u64::try_from(expires_ms) {
        Ok(at_ms) if expires_ms > now_ms => keyspace.write(&mut slot, record.value(), Some(at_ms))?,
        Ok(_) | Err(_) => _ = keyspace.remove(&mut slot),
    }
    Ok(1)
}

/// A number that is judged only after the options behind it: a wrong option is reported first, as in Redis.
pub(crate) struct Time(Vec<u8>);

impl FromArgs for Time {
    const SHAPE: Shape = Shape::ONE;

    fn from_args(args: &mut Args) -> Result<Time> {
        args.take().map(Time)
    }
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
