//! Is this exactly one well-formed value in RESP3 notation? The reply of an engine is shown to every Redis client as it is, so a
//! value that is cut short or followed by more would shift all later replies on that connection.
//!
//! Left out on purpose: pushes, attributes and streamed values (they mean something between replies, not inside one), RESP2's
//! `$-1` and `*-1` (RESP3 says `_`), and an error as the whole reply: a client would take it for a rejection, and believe that
//! nothing was written. Inside an array an error is a value like any other.

/// How deep values may be nested.
const DEPTH_MAX: usize = 32;

/// True when `bytes` is one value and nothing else.
pub(crate) fn is_one_value(bytes: &[u8]) -> bool {
    match bytes {
        // The forms that almost every command answers with.
        b"+OK\r\n" | b"_\r\n" | b":0\r\n" | b":1\r\n" => true,
        [b'-' | b'!', ..] => false,
        _ => matches!(Reader { rest: bytes }.value(), Some([])),
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads one value with all that is in it and returns what follows. The open arrays stand in a small array of our own: an
    /// engine must not decide the depth of the host's stack.
    fn value(mut self) -> Option<&'a [u8]> {
        let mut open = [0u64; DEPTH_MAX];
        let mut depth = 0;
        loop {
            let mut children = self.head()?;
            if children == 0 {
                while depth > 0 && open[depth - 1] == 0 {
                    depth -= 1;
                }
                if depth == 0 {
                    return Some(self.rest);
                }
                open[depth - 1] -= 1;
                continue;
            }
            // The first child is read in the next round.
            children -= 1;
            *open.get_mut(depth)? = children;
            depth += 1;
        }
    }

    /// Reads a scalar whole, or the head of an aggregate; returns how many values follow inside.
    fn head(&mut self) -> Option<u64> {
        let (&kind, rest) = self.rest.split_first()?;
        self.rest = rest;
        match kind {
            b'+' | b'-' => self.line().map(|_| 0),
            b':' => integer(self.line()?).then_some(0),
            b'$' | b'!' => self.blob().map(|_| 0),
            b'=' => (self.blob()?.get(3) == Some(&b':')).then_some(0),
            b'_' => self.line()?.is_empty().then_some(0),
            b'#' => matches!(self.line()?, b"t" | b"f").then_some(0),
            b',' => double(self.line()?).then_some(0),
            b'(' => digits(unsigned(self.line()?)).then_some(0),
            b'*' | b'~' => self.count(),
            b'%' => self.count()?.checked_mul(2),
            _ => None,
        }
    }

    /// A count that the rest could hold: every value has at least three bytes.
    fn count(&mut self) -> Option<u64> {
        let count = length(self.line()?)?;
        (count <= self.rest.len() as u64 / 3).then_some(count)
    }

    fn blob(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(length(self.line()?)?).ok()?;
        let (blob, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest.strip_prefix(b"\r\n")?;
        Some(blob)
    }

    /// Up to the next line end, which is taken too. A lone CR or LF ends it all.
    fn line(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.strip_prefix(b"\r\n")?;
        Some(line)
    }
}

/// A decimal length of at most ten digits: more than any reply may have.
fn length(text: &[u8]) -> Option<u64> {
    if text.len() > 10 || !digits(text) {
        return None;
    }
    Some(text.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

fn integer(text: &[u8]) -> bool {
    digits(unsigned(text)) && str::from_utf8(text).is_ok_and(|text| text.parse::<i64>().is_ok())
}

fn double(text: &[u8]) -> bool {
    if matches!(text, b"inf" | b"-inf" | b"nan") {
        return true;
    }
    let letters = text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    letters && str::from_utf8(text).is_ok_and(|text| text.parse::<f64>().is_ok())
}

fn unsigned(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text)
}

fn digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_formed_values_pass() {
        for good in [
            "+OK\r\n",
            "+\r\n",
            "_\r\n",
            ":0\r\n",
            ":-7\r\n",
            ":+9223372036854775807\r\n",
            "$3\r\nAna\r\n",
            "$0\r\n\r\n",
            "$2\r\n\r\n\r\n",
            "*0\r\n",
            "*2\r\n:1\r\n$1\r\na\r\n",
            "*3\r\n*0\r\n*1\r\n_\r\n+x\r\n",
            "#t\r\n",
            ",1.5\r\n",
            ",-inf\r\n",
            ",1e9\r\n",
            "(123456789012345678901234567890\r\n",
            "%1\r\n+k\r\n:1\r\n",
            "~2\r\n:1\r\n:2\r\n",
            "=7\r\ntxt:abc\r\n",
            "*2\r\n-ERR no\r\n:1\r\n",
            "*1\r\n!3\r\nERR\r\n",
        ] {
            assert!(is_one_value(good.as_bytes()), "{good:?}");
        }
    }

    #[test]
    fn malformed_values_are_refused() {
        for bad in [
            "",
            "OK",
            "+OK",
            "+OK\n",
            "+O\rK\r\n",
            "+OK\r\n+OK\r\n",
            ":\r\n",
            ":x\r\n",
            ":9223372036854775808\r\n",
            ": 1\r\n",
            "$3\r\nAn\r\n",
            "$3\r\nAnna\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "$+1\r\na\r\n",
            "*1\r\n",
            "*2\r\n:1\r\n",
            "*1\r\n:1\r\n:2\r\n",
            "*9999999999\r\n",
            "$99999999999\r\n",
            "_x\r\n",
            "#y\r\n",
            ",\r\n",
            ",infinity\r\n",
            "%1\r\n+k\r\n",
            "=2\r\nab\r\n",
            ">1\r\n+x\r\n",
            "|1\r\n+a\r\n+b\r\n+OK\r\n",
            "$?\r\n",
            "-ERR no\r\n",
            "!3\r\nERR\r\n",
            "\0",
        ] {
            assert!(!is_one_value(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn nesting_is_limited() {
        let nested = |depth: usize| [b"*1\r\n".repeat(depth), b"_\r\n".to_vec()].concat();
        assert!(is_one_value(&nested(DEPTH_MAX)));
        assert!(!is_one_value(&nested(DEPTH_MAX + 1)));
        assert!(!is_one_value(&nested(1_000_000)));
    }

    #[test]
    fn every_prefix_of_a_value_is_refused() {
        let whole = b"*3\r\n$3\r\nAna\r\n%1\r\n+k\r\n,1.5\r\n#t\r\n";
        assert!(is_one_value(whole));
        for end in 0..whole.len() {
            assert!(!is_one_value(&whole[..end]), "{end}");
        }
    }
}
