//! Replies as values: read from a socket or from an engine's notation, turned from RESP3 into RESP2 as a gateway does.
//!
//! Nothing is lost in reading (numbers stay in their digits), so two values are equal if and only if their bytes are.

use std::fmt;
use std::io::{self, BufRead};

#[derive(Clone, Eq, PartialEq, Ord, PartialOrd)]
pub(crate) enum Value {
    Status(Vec<u8>),
    Error(Vec<u8>),
    Integer(Vec<u8>),
    Bulk(Vec<u8>),
    NullBulk,
    NullArray,
    Array(Vec<Value>),
    // From here on only in RESP3.
    Null,
    Boolean(Vec<u8>),
    Double(Vec<u8>),
    BigNumber(Vec<u8>),
    Map(Vec<Value>),
    Set(Vec<Value>),
}

impl Value {
    /// What a client that didn't ask for RESP3 is given instead.
    pub(crate) fn into_resp2(self) -> Value {
        let all = |values: Vec<Value>| values.into_iter().map(Value::into_resp2).collect();
        match self {
            Value::Null => Value::NullBulk,
            Value::Boolean(letter) => Value::Integer(if letter == b"t" { b"1".to_vec() } else { b"0".to_vec() }),
            Value::Double(digits) | Value::BigNumber(digits) => Value::Bulk(digits),
            Value::Array(values) | Value::Map(values) | Value::Set(values) => Value::Array(all(values)),
            same @ (Value::Status(_) | Value::Error(_) | Value::Integer(_)) => same,
            same @ (Value::Bulk(_) | Value::NullBulk | Value::NullArray) => same,
        }
    }

    pub(crate) fn is_error(&self) -> bool {
        matches!(self, Value::Error(_))
    }
}

/// One whole value.
pub(crate) fn read(from: &mut impl BufRead) -> io::Result<Value> {
    let line = read_line(from)?;
    let (sign, text) = line.split_first().ok_or_else(|| broken("an empty line"))?;
    let text = text.to_vec();
    match sign {
        b'+' => Ok(Value::Status(text)),
        b'-' => Ok(Value::Error(text)),
        b':' => Ok(Value::Integer(text)),
        b'_' if text.is_empty() => Ok(Value::Null),
        b'#' => Ok(Value::Boolean(text)),
        b',' => Ok(Value::Double(text)),
        b'(' => Ok(Value::BigNumber(text)),
        b'$' if text == b"-1" => Ok(Value::NullBulk),
        b'*' if text == b"-1" => Ok(Value::NullArray),
        b'$' => read_bulk(from, length(&text)?).map(Value::Bulk),
        b'*' => read_many(from, length(&text)?).map(Value::Array),
        b'~' => read_many(from, length(&text)?).map(Value::Set),
        b'%' => read_many(from, 2 * length(&text)?).map(Value::Map),
        _ => Err(broken("an unknown sign")),
    }
}

fn read_line(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line)?;
    line.strip_suffix(b"\r\n").map(<[u8]>::to_vec).ok_or_else(|| broken("a line without its end"))
}

fn length(text: &[u8]) -> io::Result<usize> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(|| broken("a length"))
}

fn read_bulk(from: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length + 2];
    from.read_exact(&mut bytes)?;
    if !bytes.ends_with(b"\r\n") {
        return Err(broken("a byte string longer than it says"));
    }
    bytes.truncate(length);
    Ok(bytes)
}

fn read_many(from: &mut impl BufRead, count: usize) -> io::Result<Vec<Value>> {
    (0..count).map(|_| read(from)).collect()
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A command as clients send it.
pub(crate) fn write_command(out: &mut Vec<u8>, words: &[impl AsRef<[u8]>]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.as_ref().len()).as_bytes());
        out.extend_from_slice(word.as_ref());
        out.extend_from_slice(b"\r\n");
    }
}

/// For people: the sign and the text, long texts cut.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 400;
        let (sign, text) = match self {
            Value::Status(text) => ("+", text),
            Value::Error(text) => ("-", text),
            Value::Integer(text) => (":", text),
            Value::Bulk(text) => ("$", text),
            Value::Boolean(text) => ("#", text),
            Value::Double(text) => (",", text),
            Value::BigNumber(text) => ("(", text),
            Value::NullBulk => return f.write_str("$-1"),
            Value::NullArray => return f.write_str("*-1"),
            Value::Null => return f.write_str("_"),
            Value::Array(values) => return f.debug_list().entries(values).finish(),
            Value::Map(values) => return write!(f, "%{values:?}"),
            Value::Set(values) => return write!(f, "~{values:?}"),
        };
        let cut = if text.len() > SHOWN_MAX { format!(" … ({} bytes)", text.len()) } else { String::new() };
        write!(f, "{sign}\"{}\"{cut}", text[..text.len().min(SHOWN_MAX)].escape_ascii())
    }
}
