//! `EX 10`, `PX 500`, `EXAT …`, `PXAT …`: how clients say when a value's time ends, in SET, GETEX, SETEX and PSETEX.

use outboard_sdk::args::parse_i64;
use outboard_sdk::{Args, Error, Result};

/// The end of a value's time in the client's words. The number is judged only when all words have been read, since a
/// syntax error comes first.
pub(crate) struct Lifetime {
    pub(crate) unit: Unit,
    pub(crate) number: Vec<u8>,
}

/// In what the number counts, and from where.
#[derive(Copy, Clone, Eq, PartialEq)]
pub(crate) enum Unit {
    Seconds,
    Ms,
    UnixSeconds,
    UnixMs,
}

impl Lifetime {
    /// The number behind one of the four words. The same word may come twice, as in Redis; two different ones may not.
    pub(crate) fn parse(unit: Unit, before: Option<&Lifetime>, args: &mut Args) -> Result<Lifetime> {
        if before.is_some_and(|before| before.unit != unit) {
            return Err(Error::SYNTAX);
        }
        Ok(Lifetime { unit, number: args.option()? })
    }

    /// The last millisecond of the value's life. It may be past; the command decides what follows from that.
    pub(crate) fn resolve(&self, command: &str, now_ms: u64) -> Result<u64> {
        let invalid = || invalid_expiry(command);
        let number = parse_i64(&self.number).ok_or(Error::NOT_AN_INTEGER)?;
        if number <= 0 {
            return Err(invalid());
        }
        self.unit.point_ms(number, now_ms).and_then(|ms| u64::try_from(ms).ok()).ok_or_else(invalid)
    }

    /// Whether it was said as a point in time.
    pub(crate) fn is_absolute(&self) -> bool {
        matches!(self.unit, Unit::UnixSeconds | Unit::UnixMs)
    }
}

impl Unit {
    /// The unit that a word in capitals stands for.
    pub(crate) fn named(word: &[u8]) -> Option<Unit> {
        match word {
            b"EX" => Some(Unit::Seconds),
            b"PX" => Some(Unit::Ms),
            b"EXAT" => Some(Unit::UnixSeconds),
            b"PXAT" => Some(Unit::UnixMs),
            _ => None,
        }
    }

    /// The point in time that a number of this unit stands for, in milliseconds since 1970; none beyond Redis' numbers.
    pub(crate) fn point_ms(self, number: i64, now_ms: u64) -> Option<i64> {
        let (unit_ms, start_ms) = match self {
            Unit::Seconds => (1000, now_ms),
            Unit::Ms => (1, now_ms),
            Unit::UnixSeconds => (1000, 0),
            Unit::UnixMs => (1, 0),
        };
        number.checked_mul(unit_ms)?.checked_add_unsigned(start_ms)
    }
}

/// What Redis says to a time that is not to be reached.
pub(crate) fn invalid_expiry(command: &str) -> Error {
    Error::new(format!("ERR invalid expire time in '{command}' command"))
}
