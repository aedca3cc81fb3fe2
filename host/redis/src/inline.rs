//! The words of an inline command, with Redis' rules for quotes: `"…"` with escapes, `'…'` with `\'` only, and a closing quote ends
//! its word.

use crate::request::ProtocolError;
use bytes::Bytes;

/// Splits a line into words.
pub(crate) fn split(line: &[u8]) -> Result<Vec<Bytes>, ProtocolError> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        let start = rest.iter().position(|byte| !is_space(*byte)).unwrap_or(rest.len());
        rest = &rest[start..];
        if rest.is_empty() {
            return Ok(words);
        }
        let (word, after) = word(rest)?;
        words.push(Bytes::from(word));
        rest = after;
    }
}

/// The word at the beginning, and what follows it.
fn word(text: &[u8]) -> Result<(Vec<u8>, &[u8]), ProtocolError> {
    let mut word = Vec::new();
    let mut rest = text;
    loop {
        match rest {
            [] => return Ok((word, rest)),
            [byte, ..] if is_space(*byte) => return Ok((word, rest)),
            [b'"', after @ ..] => {
                let after = closed(double_quoted(after, &mut word))?;
                return Ok((word, after));
            }
            [b'\'', after @ ..] => {
                let after = closed(single_quoted(after, &mut word))?;
                return Ok((word, after));
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

/// A closing quote is followed by a space or nothing.
fn closed(after: Option<&[u8]>) -> Result<&[u8], ProtocolError> {
    after.filter(|after| after.first().is_none_or(|byte| is_space(*byte))).ok_or(ProtocolError::Quotes)
}

fn double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [] => return None,
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (digit(*high) << 4 | digit(*low), after)
            }
            [b'\\', byte, after @ ..] => (unescaped(*byte), after),
            [byte, after @ ..] => (*byte, after),
        };
        word.push(byte);
        rest = after;
    }
}

fn single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [] => return None,
            [b'\'', after @ ..] => return Some(after),
            [b'\\', b'\'', after @ ..] => (b'\'', after),
            [byte, after @ ..] => (*byte, after),
        };
        word.push(byte);
        rest = after;
    }
}

fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

fn digit(hex: u8) -> u8 {
    match hex {
        b'0'..=b'9' => hex - b'0',
        b'a'..=b'f' => hex - b'a' + 10,
        b'A'..=b'F' => hex - b'A' + 10,
        other => unreachable!("{other} was checked to be a hexadecimal digit"),
    }
}

/// As C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let words = split(line.as_bytes()).expect(line);
        words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    }

    #[test]
    fn words_are_split_at_spaces_and_quotes_are_taken_off() {
        assert_eq!(words(""), [""; 0]);
        assert_eq!(words("  \t "), [""; 0]);
        assert_eq!(words(" set  key\tvalue "), ["set", "key", "value"]);
        assert_eq!(words(r#"echo "a b" 'c d' e"f" "" ''"#), ["echo", "a b", "c d", "ef", "", ""]);
        assert_eq!(words(r#""\x41\x6a\n\r\t\b\a\\\"\q\x4""#), ["Aj\n\r\t\u{8}\u{7}\\\"qx4"]);
        assert_eq!(words(r#"'a\'b\n"c'"#), [r#"a'b\n"c"#]);
        assert_eq!(words("a\rb"), ["a", "b"]);
        assert_eq!(words("a\0b"), ["a\0b"]);
    }

    #[test]
    fn quotes_that_do_not_close_or_do_not_end_their_word_are_refused() {
        for line in [r#"""#, r#""abc"#, "'abc", r#""abc"d"#, "'abc'd", r#""abc\""#, r"'abc\'", r#"a "b""c""#] {
            assert_eq!(split(line.as_bytes()), Err(ProtocolError::Quotes), "{line}");
        }
    }
}
