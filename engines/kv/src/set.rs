//! SET, whose options are a small language.

use outboard_sdk::{Args, Error, FromArgs, Key, Reply, Result, Shape, Store, Value, command, reply};

use crate::keyspace::Keyspace;
use crate::record::Record;

/// SET key value [NX|XX] [GET] [EX seconds|PX ms|EXAT seconds|PXAT ms|KEEPTTL] -- stores the value under the key.
#[command(write)]
pub(crate) fn set(store: &mut Store, key: Key, value: Value, options: SetOptions) -> Result<Answer> {
    let mut keyspace = Keyspace::open(store);
    let lifetime = options.lifetime.resolve(keyspace.now_ms())?;
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
    match lifetime {
        Expiry::Keep => keyspace.rewrite(&mut slot, &value)?,
        Expiry::At(expires_ms) => keyspace.write(&mut slot, &value, expires_ms)?,
    }
    Ok(before.map_or(Answer::Done, Answer::Value))
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
    lifetime: Lifetime,
}

#[derive(Copy, Clone, Eq, PartialEq)]
enum Condition {
    Always,
    IfMissing,
    IfPresent,
}

/// How long the value shall live, as the client said it.
enum Lifetime {
    Forever,
    Keep,
    /// The option's word and its number, judged only when all words have been read: a syntax error comes first.
    Until {
        word: Word,
        number: Vec<u8>,
    },
}

/// The same, as a time.
enum Expiry {
    Keep,
    At(Option<u64>),
}

#[derive(Copy, Clone, Eq, PartialEq)]
enum Word {
    Ex,
    Px,
    Exat,
    Pxat,
}

impl FromArgs for SetOptions {
    const SHAPE: Shape = Shape::OPTIONS;

    fn from_args(args: &mut Args) -> Result<SetOptions> {
        let mut options = SetOptions { condition: Condition::Always, get: false, lifetime: Lifetime::Forever };
        while let Some(word) = args.keyword() {
            match word.as_slice() {
                b"GET" => options.get = true,
                b"NX" => options.require(Condition::IfMissing)?,
                b"XX" => options.require(Condition::IfPresent)?,
                b"KEEPTTL" => options.keep()?,
                b"EX" => options.until(Word::Ex, args)?,
                b"PX" => options.until(Word::Px, args)?,
                b"EXAT" => options.until(Word::Exat, args)?,
                b"PXAT" => options.until(Word::Pxat, args)?,
                _ => return Err(Error::SYNTAX),
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
        match self.lifetime {
            Lifetime::Forever | Lifetime::Keep => self.lifetime = Lifetime::Keep,
            Lifetime::Until { .. } => return Err(Error::SYNTAX),
        }
        Ok(())
    }

    fn until(&mut self, word: Word, args: &mut Args) -> Result<()> {
        match self.lifetime {
            Lifetime::Forever => {}
            Lifetime::Until { word: before, .. } if before == word => {}
            Lifetime::Keep | Lifetime::Until { .. } => return Err(Error::SYNTAX),
        }
        self.lifetime = Lifetime::Until { word, number: args.option()? };
        Ok(())
    }
}

impl Lifetime {
    fn resolve(&self, now_ms: u64) -> Result<Expiry> {
        let (word, number) = match self {
            Lifetime::Forever => return Ok(Expiry::At(None)),
            Lifetime::Keep => return Ok(Expiry::Keep),
            Lifetime::Until { word, number } => (*word, number),
        };
        let invalid = Error::constant("ERR invalid expire time in 'set' command");
        let number = outboard_sdk::args::parse_i64(number).ok_or(Error::NOT_AN_INTEGER)?;
        let number = u64::try_from(number).ok().filter(|number| *number > 0).ok_or(invalid.clone())?;
        let (unit_ms, start_ms) = match word {
            Word::Ex => (1000, now_ms),
            Word::Px => (1, now_ms),
            Word::Exat => (1000, 0),
            Word::Pxat => (1, 0),
        };
        let expires_ms = number.checked_mul(unit_ms).and_then(|length_ms| length_ms.checked_add(start_ms));
        // Redis counts in signed numbers.
        let expires_ms = expires_ms.filter(|expires_ms| i64::try_from(*expires_ms).is_ok()).ok_or(invalid)?;
        Ok(Expiry::At(Some(expires_ms)))
    }
}
