//! Arguments by their types: a command's parameters say what it takes, and the rest follows from them: how many there are,
//! which are keys, and what a client is told when they don't fit.
//!
//! | Parameter                     | takes                                                       |
//! |-------------------------------|-------------------------------------------------------------|
//! | [`Key`]                       | one argument, bytes; the host knows it as a key             |
//! | [`Value`], `Vec<u8>`, `&[u8]` | one argument, bytes                                         |
//! | `i64`, `u64`, `u32`, `f64`    | one number, written as Redis reads it                       |
//! | `String`, `&str`              | one argument, UTF-8                                         |
//! | `(A, B)`                      | what A takes, then what B takes                             |
//! | `Option<T>`                   | as T, or nothing; at the end                                |
//! | `Vec<T>`                      | as T, any number of times; at the end                       |
//! | [`Many<T>`]                   | as T, once or more; at the end                              |
//!
//! Options in words (`EX 10 NX`) are a type of your own that implements [`FromArgs`]: [`Args::keyword`] takes a word,
//! [`Args::option`] its value.
//!
//! ```
//! use outboard_sdk::{Args, Error, FromArgs, Result, Shape};
//!
//! /// `[LIMIT n] [REV]`
//! #[derive(Default)]
//! struct Options { limit: Option<i64>, reverse: bool }
//!
//! impl FromArgs for Options {
//!     const SHAPE: Shape = Shape::OPTIONS;
//!     fn from_args(args: &mut Args) -> Result<Options> {
//!         let mut options = Options::default();
//!         while let Some(word) = args.keyword() {
//!             match word.as_slice() {
//!                 b"LIMIT" => options.limit = Some(args.option()?),
//!                 b"REV" => options.reverse = true,
//!                 _ => return Err(Error::SYNTAX),
//!             }
//!         }
//!         Ok(options)
//!     }
//! }
//! ```

use std::ops::Deref;

use crate::error::{Error, Result, until_zero};
use crate::shape::Shape;

/// What a parameter of a command must be able to do.
pub trait FromArgs: Sized {
    /// How many arguments it takes, and which of them are keys.
    const SHAPE: Shape;

    /// Takes its arguments from the front of what is left.
    fn from_args(args: &mut Args) -> Result<Self>;
}

/// The arguments that no parameter has taken yet.
pub struct Args {
    command: &'static str,
    rest: std::vec::IntoIter<Vec<u8>>,
}

impl Args {
    /// The arguments after the command's name.
    pub fn new(command: &'static str, rest: std::vec::IntoIter<Vec<u8>>) -> Args {
        Args { command, rest }
    }

    /// The next argument; without one, the error that the count is wrong.
    pub fn take(&mut self) -> Result<Vec<u8>> {
        self.rest.next().ok_or_else(|| Error::wrong_count(self.command))
    }

    /// The next argument as an option's word, in capitals; none at the end. Like Redis, it sees no further than a zero byte.
    pub fn keyword(&mut self) -> Option<Vec<u8>> {
        let mut word = self.rest.next()?;
        word.truncate(until_zero(&word).len());
        word.make_ascii_uppercase();
        Some(word)
    }

    /// The value that must follow an option's word; without one, the words break the syntax.
    pub fn option<T: FromArgs>(&mut self) -> Result<T> {
        if self.is_empty() {
            return Err(Error::SYNTAX);
        }
        T::from_args(self)
    }

    /// The next argument, left where it is.
    pub fn peek(&self) -> Option<&[u8]> {
        self.rest.as_slice().first().map(Vec::as_slice)
    }

    /// How many are left.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether all are taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All parameters are served; an argument that nobody wanted breaks the syntax.
    pub fn finish(&self) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(Error::SYNTAX) }
    }
}

macro_rules! bytes_argument {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug, Default)]
        pub struct $name(pub Vec<u8>);

        impl Deref for $name {
            type Target = [u8];
            fn deref(&self) -> &[u8] {
                &self.0
            }
        }
        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
        impl From<Vec<u8>> for $name {
            fn from(bytes: Vec<u8>) -> $name {
                $name(bytes)
            }
        }
    };
}

bytes_argument! {
    /// An argument that names something in the store. The host learns its place from the manifest: it refuses keys that are
    /// too long before they reach the log, and later routes and authorizes by them.
    Key
}

bytes_argument! {
    /// An argument of any bytes.
    Value
}

impl FromArgs for Key {
    const SHAPE: Shape = Shape::KEY;
    fn from_args(args: &mut Args) -> Result<Key> {
        args.take().map(Key)
    }
}

impl FromArgs for Value {
    const SHAPE: Shape = Shape::ONE;
    fn from_args(args: &mut Args) -> Result<Value> {
        args.take().map(Value)
    }
}

impl FromArgs for Vec<u8> {
    const SHAPE: Shape = Shape::ONE;
    fn from_args(args: &mut Args) -> Result<Vec<u8>> {
        args.take()
    }
}

impl FromArgs for String {
    const SHAPE: Shape = Shape::ONE;
    fn from_args(args: &mut Args) -> Result<String> {
        String::from_utf8(args.take()?).map_err(|_| Error::NOT_UTF8)
    }
}

impl FromArgs for i64 {
    const SHAPE: Shape = Shape::ONE;
    fn from_args(args: &mut Args) -> Result<i64> {
        parse_i64(&args.take()?).ok_or(Error::NOT_AN_INTEGER)
    }
}

impl FromArgs for u64 {
    const SHAPE: Shape = Shape::ONE;
    fn from_args(args: &mut Args) -> Result<u64> {
        parse_u64(&args.take()?).ok_or(Error::NOT_AN_INTEGER)
    }
}

impl FromArgs for u32 {
    const SHAPE: Shape = Shape::ONE;
    fn from_args(args: &mut Args) -> Result<u32> {
        let number = parse_u64(&args.take()?);
        number.and_then(|number| u32::try_from(number).ok()).ok_or(Error::NOT_AN_INTEGER)
    }
}

impl FromArgs for f64 {
    const SHAPE: Shape = Shape::ONE;
    fn from_args(args: &mut Args) -> Result<f64> {
        let bytes = args.take()?;
        let number = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse::<f64>().ok());
        number.filter(|number| !number.is_nan()).ok_or(Error::NOT_A_FLOAT)
    }
}

impl<T: FromArgs> FromArgs for Option<T> {
    const SHAPE: Shape = T::SHAPE.optional();
    fn from_args(args: &mut Args) -> Result<Option<T>> {
        if args.is_empty() { Ok(None) } else { T::from_args(args).map(Some) }
    }
}

impl<T: FromArgs> FromArgs for Vec<T> {
    const SHAPE: Shape = T::SHAPE.repeated(0);
    fn from_args(args: &mut Args) -> Result<Vec<T>> {
        let mut all = Vec::with_capacity(args.len());
        while !args.is_empty() {
            all.push(T::from_args(args)?);
        }
        Ok(all)
    }
}

/// One or more of T, up to the end.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Many<T>(pub Vec<T>);

impl<T> Deref for Many<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> IntoIterator for Many<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T: FromArgs> FromArgs for Many<T> {
    const SHAPE: Shape = T::SHAPE.repeated(1);
    fn from_args(args: &mut Args) -> Result<Many<T>> {
        let all = Vec::<T>::from_args(args)?;
        if all.is_empty() { Err(Error::wrong_count(args.command)) } else { Ok(Many(all)) }
    }
}

impl<A: FromArgs, B: FromArgs> FromArgs for (A, B) {
    const SHAPE: Shape = A::SHAPE.then(B::SHAPE);
    fn from_args(args: &mut Args) -> Result<(A, B)> {
        Ok((A::from_args(args)?, B::from_args(args)?))
    }
}

impl<A: FromArgs, B: FromArgs, C: FromArgs> FromArgs for (A, B, C) {
    const SHAPE: Shape = A::SHAPE.then(B::SHAPE).then(C::SHAPE);
    fn from_args(args: &mut Args) -> Result<(A, B, C)> {
        Ok((A::from_args(args)?, B::from_args(args)?, C::from_args(args)?))
    }
}

/// A whole number as Redis reads it: an optional minus, no plus, no leading zero, no blanks, within 64 bits.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    match text.strip_prefix(b"-") {
        None => i64::try_from(parse_u64(text)?).ok(),
        Some(digits) => match parse_u64(digits)? {
            0 => None,
            magnitude => 0i64.checked_sub_unsigned(magnitude),
        },
    }
}

/// As [`parse_i64`], without a minus.
pub fn parse_u64(text: &[u8]) -> Option<u64> {
    const DIGITS_MAX: usize = 20;
    if text.is_empty() || text.len() > DIGITS_MAX || (text[0] == b'0' && text.len() > 1) {
        return None;
    }
    let mut number = 0u64;
    for &digit in text {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<T: FromArgs>(words: &[&str]) -> Result<T> {
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        let mut args = Args::new("CMD", words.into_iter());
        let parsed = T::from_args(&mut args)?;
        args.finish()?;
        Ok(parsed)
    }

    #[test]
    fn whole_numbers_are_read_as_redis_reads_them() {
        for (text, number) in
            [("0", 0), ("7", 7), ("-7", -7), ("9223372036854775807", i64::MAX), ("-9223372036854775808", i64::MIN)]
        {
            assert_eq!(parse_i64(text.as_bytes()), Some(number), "{text}");
        }
        for text in [
            "",
            "-",
            "+1",
            "01",
            "-0",
            " 1",
            "1 ",
            "1.0",
            "1e3",
            "9223372036854775808",
            "-9223372036854775809",
            "99999999999999999999999",
        ] {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
    }

    #[test]
    fn a_keyword_is_read_in_any_case_and_up_to_a_zero_byte() {
        let words = [&b"nx"[..], b"Get\0x", b"\0"].map(<[u8]>::to_vec);
        let mut args = Args::new("CMD", Vec::from(words).into_iter());
        let keywords: Vec<Vec<u8>> = std::iter::from_fn(|| args.keyword()).collect();
        assert_eq!(keywords, [&b"NX"[..], b"GET", b""]);
    }

    #[test]
    fn arguments_that_do_not_fit_get_the_words_of_redis() {
        assert_eq!(parse::<i64>(&["x"]), Err(Error::NOT_AN_INTEGER));
        assert_eq!(parse::<u32>(&["4294967296"]), Err(Error::NOT_AN_INTEGER));
        assert_eq!(parse::<f64>(&["nan"]), Err(Error::NOT_A_FLOAT));
        assert_eq!(parse::<f64>(&["2.5"]), Ok(2.5));
        assert_eq!(parse::<(Key, Value)>(&["k"]), Err(Error::wrong_count("cmd")));
        assert_eq!(parse::<Key>(&["k", "left over"]), Err(Error::SYNTAX));
        assert_eq!(parse::<Many<Key>>(&[]), Err(Error::wrong_count("CMD")));
        assert_eq!(parse::<Vec<(Key, Value)>>(&["k", "v", "k"]), Err(Error::wrong_count("CMD")));
        assert_eq!(parse::<Option<i64>>(&[]), Ok(None));
        assert_eq!(parse::<(Key, Option<i64>)>(&["k", "7"]), Ok((Key(b"k".to_vec()), Some(7))));
    }
}
