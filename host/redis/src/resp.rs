//! Replies in either version of the protocol: written by the gateway itself ([`Writer`]), or made by an engine in RESP3 notation and
//! turned into RESP2 where a client did not ask for 3 ([`convert`]).

use bytes::Bytes;

/// Which version a client understands.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
pub(crate) enum Protocol {
    /// What every client understands.
    #[default]
    Resp2,
    /// By HELLO 3.
    Resp3,
}

impl Protocol {
    pub(crate) fn number(self) -> i64 {
        match self {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        }
    }
}

/// Writes replies.
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Writer<'a> {
        Writer { out, protocol }
    }

    pub(crate) fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    pub(crate) fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// The text begins with the error's first word, `ERR` mostly.
    pub(crate) fn error(&mut self, text: impl AsRef<[u8]>) {
        self.line(b'-', text.as_ref());
    }

    pub(crate) fn integer(&mut self, number: i64) {
        self.head(b':', number);
    }

    pub(crate) fn bulk(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.head(b'$', length(bytes.len()));
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Text for people: a terminal shows it with its line ends.
    pub(crate) fn text(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.head(b'=', length(text.len() + 4));
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text.as_bytes());
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    pub(crate) fn nil(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// In place of an array.
    pub(crate) fn nil_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// So many values follow.
    pub(crate) fn array(&mut self, count: usize) {
        self.head(b'*', length(count));
    }

    /// So many values follow, in no order.
    pub(crate) fn set(&mut self, count: usize) {
        self.head(if self.protocol == Protocol::Resp3 { b'~' } else { b'*' }, length(count));
    }

    /// So many pairs of values follow.
    pub(crate) fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.head(b'*', length(2 * pairs)),
            Protocol::Resp3 => self.head(b'%', length(pairs)),
        }
    }

    /// A value of an engine, in RESP3 notation.
    pub(crate) fn value(&mut self, value: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => convert(value, self.out),
            Protocol::Resp3 => self.out.extend_from_slice(value),
        }
    }

    /// A simple string or an error, which ends with its line.
    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.push(kind);
        let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        let text = &text[..end];
        self.out.extend(text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
        self.out.extend_from_slice(b"\r\n");
    }

    fn head(&mut self, kind: u8, number: i64) {
        self.out.push(kind);
        push_integer(self.out, number);
        self.out.extend_from_slice(b"\r\n");
    }
}

fn length(count: usize) -> i64 {
    i64::try_from(count).expect("nothing in memory is that long")
}

fn push_integer(out: &mut Vec<u8>, number: i64) {
    if let 0..=9 = number {
        out.push(b'0' + number as u8);
    } else {
        use std::io::Write;
        write!(out, "{number}").expect("a vector takes everything");
    }
}

/// Whether a value of an engine is the same in RESP2.
pub(crate) fn is_resp2(value: &Bytes) -> bool {
    matches!(value.first(), Some(b'+' | b':' | b'$' | b'-'))
}

/// Appends one RESP3 value in RESP2: nil becomes a nil bulk string, a boolean 1 or 0, a double, a big number and a verbatim string a
/// bulk string, a map and a set an array, a long error a short one.
///
/// The sandbox has checked that it is one well-formed value. Whatever isn't is copied as it is, and never panics.
pub(crate) fn convert(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let Some((kind, line, after)) = head(rest) {
        rest = after;
        match kind {
            b'_' => out.extend_from_slice(b"$-1\r\n"),
            b'#' => out.extend_from_slice(if line == b"t" { b":1\r\n" } else { b":0\r\n" }),
            b',' | b'(' => push_bulk(out, line),
            b'~' => push_head(out, b'*', line),
            b'%' => {
                let pairs = number(line).unwrap_or(0);
                out.push(b'*');
                push_integer(out, length(pairs.saturating_mul(2)));
                out.extend_from_slice(b"\r\n");
            }
            b'$' | b'=' | b'!' => {
                let Some((blob, after)) = number(line).and_then(|length| blob(rest, length)) else { break };
                rest = after;
                match kind {
                    // Three letters of its kind and a colon.
                    b'=' => push_bulk(out, blob.get(4..).unwrap_or(blob)),
                    b'!' => {
                        out.push(b'-');
                        out.extend(blob.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }));
                        out.extend_from_slice(b"\r\n");
                    }
                    _ => push_bulk(out, blob),
                }
            }
            other => push_head(out, other, line),
        }
    }
    out.extend_from_slice(rest);
}

/// The kind of the next value, its line, and what follows that.
fn head(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    Some((kind, &rest[..end], &rest[end + 2..]))
}

fn blob(bytes: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let (blob, rest) = bytes.split_at_checked(length)?;
    Some((blob, rest.strip_prefix(b"\r\n")?))
}

fn number(line: &[u8]) -> Option<usize> {
    str::from_utf8(line).ok()?.parse().ok()
}

fn push_head(out: &mut Vec<u8>, kind: u8, line: &[u8]) {
    out.push(kind);
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
}

fn push_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'$');
    push_integer(out, length(bytes.len()));
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn resp2(value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        convert(value, &mut out);
        out
    }

    #[test]
    fn what_resp2_lacks_becomes_what_redis_makes_of_it() {
        for (resp3, expected) in [
            ("+OK\r\n", "+OK\r\n"),
            (":-7\r\n", ":-7\r\n"),
            ("$3\r\n_\r\n\r\n", "$3\r\n_\r\n\r\n"),
            ("_\r\n", "$-1\r\n"),
            ("#t\r\n", ":1\r\n"),
            ("#f\r\n", ":0\r\n"),
            (",1.5\r\n", "$3\r\n1.5\r\n"),
            (",inf\r\n", "$3\r\ninf\r\n"),
            ("(12345678901234567890\r\n", "$20\r\n12345678901234567890\r\n"),
            ("=7\r\ntxt:abc\r\n", "$3\r\nabc\r\n"),
            ("*2\r\n_\r\n-ERR no\r\n", "*2\r\n$-1\r\n-ERR no\r\n"),
            ("*1\r\n!7\r\nERR\r\nno\r\n", "*1\r\n-ERR  no\r\n"),
            ("%2\r\n+a\r\n#t\r\n+b\r\n_\r\n", "*4\r\n+a\r\n:1\r\n+b\r\n$-1\r\n"),
            ("~1\r\n*1\r\n,2\r\n", "*1\r\n*1\r\n$1\r\n2\r\n"),
            ("*0\r\n", "*0\r\n"),
            ("%0\r\n", "*0\r\n"),
            ("$0\r\n\r\n", "$0\r\n\r\n"),
            ("$5\r\na\r\nb_\r\n", "$5\r\na\r\nb_\r\n"),
        ] {
            assert_eq!(String::from_utf8(resp2(resp3.as_bytes())).expect("text"), expected, "{resp3:?}");
        }
    }

    #[test]
    fn the_writer_speaks_both_versions() {
        let written = |protocol| {
            let mut out = Vec::new();
            let mut writer = Writer::new(&mut out, protocol);
            writer.map(1);
            writer.simple("k");
            writer.set(3);
            writer.nil();
            writer.nil_array();
            writer.text("a\nb");
            writer.error("ERR a\r\nb \r\n");
            writer.integer(-10);
            writer.value(b"#t\r\n");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(
            written(Protocol::Resp2),
            "*2\r\n+k\r\n*3\r\n$-1\r\n*-1\r\n$3\r\na\nb\r\n-ERR a  b \r\n:-10\r\n:1\r\n"
        );
        assert_eq!(
            written(Protocol::Resp3),
            "%1\r\n+k\r\n~3\r\n_\r\n_\r\n=7\r\ntxt:a\nb\r\n-ERR a  b \r\n:-10\r\n#t\r\n"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic_the_conversion(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            resp2(&value);
        }

        #[test]
        fn values_of_resp2_stay_as_they_are(texts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..5)) {
            let mut value = Vec::new();
            let mut writer = Writer::new(&mut value, Protocol::Resp2);
            writer.array(texts.len());
            texts.iter().for_each(|text| writer.bulk(text));
            prop_assert_eq!(resp2(&value), value);
        }
    }
}
