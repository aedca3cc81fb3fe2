//! SET, whose options are a small language, and the commands that say parts of it in other words.

use outboard_sdk::{Args, Error, FromArgs, Key, Reply, Result, Shape, Store, Value, command, reply};

use crate::keyspace::Keyspace;
use crate::lifetime::{Lifetime, Unit};
use crate::record::Record;

/// SET key value [NX|XX] [GET] [EX seconds|PX ms|EXAT unix-seconds|PXAT unix-ms|KEEPTTL] -- stores the value under the key.
#[command(write)]
pub(crate) fn set(store: &mut Store, key: Key, value: Value, options: SetOptions) -> Result<Answer> {
    let mut keyspace = Keyspace::open(store);
    let expiry = options.expiry.resolve(keyspace.now_ms())?;
    let mut slot = keyspace.find(&key);
    let before = if options.get { Some(slot.record.clone()) } else { None };
    let allowed = match options.condition {
        Condition::Always => true,
        Condition::IfMissing => slot.record.is_none(),
        Condition::IfPresent => slot.record.is_some(),
    };
    if !allowed {
        return Ok(Answer::Value(before.flatten()));
    }
    match expiry {
        Expiry::Keep => keyspace.rewrite(&mut slot, &value)?,
        Expiry::At(expires_ms) => keyspace.write(&mut slot, &value, expires_ms)?,
    }
    Ok(before.map_or(Answer::Done, Answer::Value))
}

/// SETEX key seconds value -- stores a value that expires.
#[command(write)]
pub(crate) fn setex(store: &mut Store, key: Key, seconds: Value, value: Value) -> Result<()> {
    set_expiring(store, "setex", &key, Lifetime { unit: Unit::Seconds, number: seconds.0 }, &value)
}

/// PSETEX key ms value -- stores a value that expires.
#[command(write)]
pub(crate) fn psetex(store: &mut Store, key: Key, ms: Value, value: Value) -> Result<()> {
    set_expiring(store, "psetex", &key, Lifetime { unit: Unit::Ms, number: ms.0 }, &value)
}

fn set_expiring(store: &mut Store, command: &str, key: &[u8], lifetime: Lifetime, value: &[u8]) -> Result<()> {
    let mut keyspace = Keyspace::open(store);
    let expires_ms = lifetime.resolve(command, keyspace.now_ms())?;
    let mut slot = keyspace.find(key);
    keyspace.write(&mut slot, value, Some(expires_ms))
}

/// SETNX key value -- sets if there is no value; 1 if it did, else 0.
#[command(write)]
pub(crate) fn setnx(store: &mut Store, key: Key, value: Value) -> Result<i64> {
    let mut keyspace = Keyspace::open(store);
    let mut slot = keyspace.find(&key);
    if slot.record.is_some() {
        return Ok(0);
    }
    keyspace.write(&mut slot, &value, None)?;
    Ok(1)
}

/// GETSET key value -- stores the value and returns the one before, or nil.
#[command(write)]
pub(crate) fn getset(store: &mut Store, key: Key, value: Value) -> Result<Option<Record>> {
    let mut keyspace = Keyspace::open(store);
    let mut slot = keyspace.find(&key);
    let before = slot.record.clone();
    keyspace.write(&mut slot, &value, None)?;
    Ok(before)
}

/// What SET answers: OK, or with GET, or when it did nothing, a value or nil.
pub(crate) enum Answer {
    Done,
    Value(Option<Record>),
}

impl Reply for Answer {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Answer::Done => ().write(out),
            Answer::Value(Some(record)) => record.write(out),
            Answer::Value(None) => reply::write_nil(out),
        }
    }
}

pub(crate) struct SetOptions {
    condition: Condition,
    get: bool,
    expiry: SetExpiry,
}

#[derive(Copy, Clone, Eq, PartialEq)]
enum Condition {
    Always,
    IfMissing,
    IfPresent,
}

/// How long the value shall live, as the client said it.
enum SetExpiry {
    Forever,
    Keep,
    Until(Lifetime),
}

/// The same, as a time.
enum Expiry {
    Keep,
    At(Option<u64>),
}

impl FromArgs for SetOptions {
    const SHAPE: Shape = Shape::OPTIONS;

    fn from_args(args: &mut Args) -> Result<SetOptions> {
        let mut options = SetOptions { condition: Condition::Always, get: false, expiry: SetExpiry::Forever };
        while let Some(word) = args.keyword() {
            match word.as_slice() {
                b"GET" => options.get = true,
                b"NX" => options.require(Condition::IfMissing)?,
                b"XX" => options.require(Condition::IfPresent)?,
                b"KEEPTTL" => options.keep()?,
                word => options.until(Unit::named(word).ok_or(Error::SYNTAX)?, args)?,
            }
        }
        Ok(options)
    }
}

impl SetOptions {
    /// One and the same word may come twice, as in Redis; two that contradict each other may not.
    fn require(&mut self, condition: Condition) -> Result<()> {
        if self.condition != Condition::Always && self.condition != condition {
            return Err(Error::SYNTAX);
        }
        self.condition = condition;
        Ok(())
    }

    fn keep(&mut self) -> Result<()> {
        match self.expiry {
            SetExpiry::Forever | SetExpiry::Keep => self.expiry = SetExpiry::Keep,
            SetExpiry::Until(_) => return Err(Error::SYNTAX),
        }
        Ok(())
    }

    fn until(&mut self, unit: Unit, args: &mut Args) -> Result<()> {
        let before = match &self.expiry {
            SetExpiry::Forever => None,
            SetExpiry::Keep => return Err(Error::SYNTAX),
            SetExpiry::Until(before) => Some(before),
        };
        self.expiry = SetExpiry::Until(Lifetime::parse(unit, before, args)?);
        Ok(())
    }
}

impl SetExpiry {
    fn resolve(&self, now_ms: u64) -> Result<Expiry> {
        Ok(match self {
            SetExpiry::Forever => Expiry::At(None),
            SetExpiry::Keep => Expiry::Keep,
            SetExpiry::Until(lifetime) => Expiry::At(Some(lifetime.resolve("set", now_ms)?)),
        })
    }
}
