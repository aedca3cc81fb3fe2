//! An engine's reply: one value in RESP3 notation, parsed. Text and bytes are slices of the received frame, not copies.
//!
//! The bytes come from a node and thus from an engine: what is malformed is an error. Depth and number of values are
//! bounded, and nothing is set aside for a length that is only claimed. Tests: below.

use bytes::Bytes;

/// How deep values may lie inside each other.
const DEPTH_MAX: usize = 32;
/// How many values one reply may hold in all.
const VALUES_MAX: usize = 1 << 20;

/// One value.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// `_`, and the older forms `$-1` and `*-1`.
    Nil,
    /// `#t` or `#f`.
    Boolean(bool),
    /// `:7`.
    Integer(i64),
    /// `,3.25`.
    Double(f64),
    /// `(3492890328409238509324850943850943825024385`: its digits.
    BigNumber(Bytes),
    /// `+OK`.
    Text(Bytes),
    /// `$3 Ana`, and the verbatim `=7 txt:Ana` without its kind.
    Bytes(Bytes),
    /// `-ERR …` or `!…` inside of an array.
    Error(Bytes),
    /// `*2 …` and `>2 …`.
    Array(Vec<Reply>),
    /// `~2 …`.
    Set(Vec<Reply>),
    /// `%1 …`.
    Map(Vec<(Reply, Reply)>),
}

/// The reply is not one RESP3 value.
#[derive(Clone, Eq, PartialEq, Debug, thiserror::Error)]
#[error("the reply is malformed at byte {at}: {what}")]
pub struct ReplyError {
    /// Where.
    pub at: usize,
    /// What.
    pub what: &'static str,
}

impl Reply {
    /// Reads one value and nothing behind it.
    pub fn parse(bytes: &Bytes) -> Result<Reply, ReplyError> {
        let mut parser = Parser { bytes, at: 0, values: 0 };
        let reply = parser.value(0)?;
        if parser.at == bytes.len() { Ok(reply) } else { Err(parser.error("bytes are left over behind the value")) }
    }

    /// Whether there is nothing.
    pub fn is_nil(&self) -> bool {
        matches!(self, Reply::Nil)
    }

    /// Whether it is the text `OK`.
    pub fn is_ok(&self) -> bool {
        matches!(self, Reply::Text(text) if text.as_ref() == b"OK")
    }

    /// The bytes of a text or a byte string.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Reply::Text(bytes) | Reply::Bytes(bytes) | Reply::BigNumber(bytes) => Some(bytes),
            Reply::Nil
            | Reply::Boolean(_)
            | Reply::Integer(_)
            | Reply::Double(_)
            | Reply::Error(_)
            | Reply::Array(_)
            | Reply::Set(_)
            | Reply::Map(_) => None,
        }
    }

    /// The bytes of a text or a byte string, to keep.
    pub fn into_bytes(self) -> Option<Bytes> {
        match self {
            Reply::Text(bytes) | Reply::Bytes(bytes) | Reply::BigNumber(bytes) => Some(bytes),
            Reply::Nil
            | Reply::Boolean(_)
            | Reply::Integer(_)
            | Reply::Double(_)
            | Reply::Error(_)
            | Reply::Array(_)
            | Reply::Set(_)
            | Reply::Map(_) => None,
        }
    }

    /// The number.
    pub fn as_integer(&self) -> Option<i64> {
        if let Reply::Integer(number) = self { Some(*number) } else { None }
    }

    /// The members of an array or a set.
    pub fn into_array(self) -> Option<Vec<Reply>> {
        if let Reply::Array(values) | Reply::Set(values) = self { Some(values) } else { None }
    }
}

struct Parser<'a> {
    bytes: &'a Bytes,
    at: usize,
    values: usize,
}

impl Parser<'_> {
    fn value(&mut self, depth: usize) -> Result<Reply, ReplyError> {
        if depth > DEPTH_MAX {
            return Err(self.error("values lie too deep inside each other"));
        }
        self.values += 1;
        if self.values > VALUES_MAX {
            return Err(self.error("too many values"));
        }
        let line_at = self.at;
        let line = self.line()?;
        let Some((&kind, _)) = line.split_first() else {
            return Err(ReplyError { at: line_at, what: "a value without its kind" });
        };
        let rest = line.slice(1..);
        match kind {
            b'_' if rest.is_empty() => Ok(Reply::Nil),
            b'#' if rest.as_ref() == b"t" => Ok(Reply::Boolean(true)),
            b'#' if rest.as_ref() == b"f" => Ok(Reply::Boolean(false)),
            b'+' => Ok(Reply::Text(rest)),
            b'-' => Ok(Reply::Error(rest)),
            b':' => self.number(&rest).map(Reply::Integer),
            b',' => self.number(&rest).map(Reply::Double),
            b'(' => Ok(Reply::BigNumber(rest)),
            b'$' | b'*' if rest.as_ref() == b"-1" => Ok(Reply::Nil),
            b'$' => self.blob(&rest).map(Reply::Bytes),
            b'!' => self.blob(&rest).map(Reply::Error),
            b'=' => self.verbatim(&rest),
            b'*' | b'>' => self.values(&rest, depth).map(Reply::Array),
            b'~' => self.values(&rest, depth).map(Reply::Set),
            b'%' => self.pairs(&rest, depth).map(Reply::Map),
            _ => Err(ReplyError { at: line_at, what: "an unknown kind of value" }),
        }
    }

    /// Up to the next CR LF, which is skipped.
    fn line(&mut self) -> Result<Bytes, ReplyError> {
        let rest = &self.bytes[self.at..];
        let Some(length) = rest.windows(2).position(|pair| pair == b"\r\n") else {
            return Err(self.error("a line without its end"));
        };
        let line = self.bytes.slice(self.at..self.at + length);
        self.at += length + 2;
        Ok(line)
    }

    fn number<T: std::str::FromStr>(&self, digits: &[u8]) -> Result<T, ReplyError> {
        let text = std::str::from_utf8(digits).map_err(|_| self.error("a number that is none"))?;
        text.parse().map_err(|_| self.error("a number that is none"))
    }

    fn blob(&mut self, length: &[u8]) -> Result<Bytes, ReplyError> {
        let length: usize = self.number(length)?;
        let end =
            self.at.checked_add(length).filter(|end| end.checked_add(2).is_some_and(|all| all <= self.bytes.len()));
        let end = end.ok_or_else(|| self.error("a byte string that is cut short"))?;
        if &self.bytes[end..end + 2] != b"\r\n" {
            return Err(self.error("a byte string without its end"));
        }
        let blob = self.bytes.slice(self.at..end);
        self.at = end + 2;
        Ok(blob)
    }

    /// Three letters say the kind of text, then a colon.
    fn verbatim(&mut self, length: &[u8]) -> Result<Reply, ReplyError> {
        let blob = self.blob(length)?;
        if blob.get(3) == Some(&b':') {
            Ok(Reply::Bytes(blob.slice(4..)))
        } else {
            Err(self.error("a text without its kind"))
        }
    }

    fn values(&mut self, count: &[u8], depth: usize) -> Result<Vec<Reply>, ReplyError> {
        let count: usize = self.number(count)?;
        let mut values = Vec::with_capacity(self.believable(count));
        for _ in 0..count {
            values.push(self.value(depth + 1)?);
        }
        Ok(values)
    }

    fn pairs(&mut self, count: &[u8], depth: usize) -> Result<Vec<(Reply, Reply)>, ReplyError> {
        let count: usize = self.number(count)?;
        let mut pairs = Vec::with_capacity(self.believable(count));
        for _ in 0..count {
            pairs.push((self.value(depth + 1)?, self.value(depth + 1)?));
        }
        Ok(pairs)
    }

    /// The shortest value takes three bytes.
    fn believable(&self, count: usize) -> usize {
        count.min((self.bytes.len() - self.at) / 3)
    }

    fn error(&self, what: &'static str) -> ReplyError {
        ReplyError { at: self.at, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Reply, ReplyError> {
        Reply::parse(&Bytes::copy_from_slice(text.as_bytes()))
    }

    fn bytes(text: &str) -> Reply {
        Reply::Bytes(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn every_kind_of_value_is_read() {
        assert_eq!(parse("_\r\n"), Ok(Reply::Nil));
        assert_eq!(parse("$-1\r\n"), Ok(Reply::Nil));
        assert_eq!(parse("*-1\r\n"), Ok(Reply::Nil));
        assert_eq!(parse("#t\r\n"), Ok(Reply::Boolean(true)));
        assert_eq!(parse(":-7\r\n"), Ok(Reply::Integer(-7)));
        assert_eq!(parse(",2.5\r\n"), Ok(Reply::Double(2.5)));
        assert!(parse("+OK\r\n").expect("a text").is_ok());
        assert_eq!(parse("$4\r\na\r\nb\r\n"), Ok(bytes("a\r\nb")));
        assert_eq!(parse("=7\r\ntxt:Ana\r\n"), Ok(bytes("Ana")));
        assert_eq!(parse("*2\r\n:1\r\n*0\r\n"), Ok(Reply::Array(vec![Reply::Integer(1), Reply::Array(vec![])])));
        assert_eq!(parse("~1\r\n$0\r\n\r\n"), Ok(Reply::Set(vec![bytes("")])));
        assert_eq!(parse("%1\r\n$1\r\na\r\n:1\r\n"), Ok(Reply::Map(vec![(bytes("a"), Reply::Integer(1))])));
    }

    #[test]
    fn every_truncation_and_anything_left_over_is_an_error() {
        let whole = "*3\r\n$3\r\nAna\r\n:12\r\n%1\r\n+a\r\n_\r\n";
        assert!(parse(whole).is_ok());
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut]).is_err(), "cut at {cut}");
        }
        assert!(parse("+OK\r\n+OK\r\n").is_err());
    }

    #[test]
    fn lies_about_lengths_are_errors_and_allocate_nothing_big() {
        for lie in [
            "$99999999999999999999\r\n",
            "$18446744073709551615\r\na\r\n",
            "*1000000000000\r\n:1\r\n",
            "$-2\r\n",
            "%-1\r\n",
        ] {
            assert!(parse(lie).is_err(), "{lie:?} was taken");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}_\r\n", "*1\r\n".repeat(depth));
        assert!(parse(&nested(DEPTH_MAX)).is_ok());
        assert!(parse(&nested(DEPTH_MAX + 1)).is_err());
    }
}
