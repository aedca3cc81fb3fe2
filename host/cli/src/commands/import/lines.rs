//! The lines of an import file. The bytes come from outside: a line that can't be read is an error with its number, and the
//! reading goes on behind it. No line takes more memory than a command may have.

use std::io::{self, BufRead, Read};

use super::LineFormat;
use crate::encoding;
use bytes::Bytes;
use outboard_wire::limits::{COMMAND_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use serde_json::Value;

/// Longest line, in bytes; in JSON a byte may take several.
const LINE_BYTES_MAX: u64 = 2 * COMMAND_BYTES_MAX as u64;

/// A key and its value.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(super) struct Record {
    /// From 1.
    pub(super) line: u64,
    pub(super) key: Bytes,
    pub(super) value: Bytes,
}

/// A line that is no record.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(super) struct LineError {
    /// From 1.
    pub(super) line: u64,
    pub(super) what: String,
}

/// Reads a file line by line; empty lines are passed over.
pub(super) struct Lines<R> {
    source: R,
    format: LineFormat,
    separator: u8,
    line: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(source: R, format: LineFormat, separator: u8) -> Lines<R> {
        Lines { source, format, separator, line: 0, buffer: Vec::new() }
    }

    /// The next line without its end into the buffer; false at the end of the file.
    fn read_line(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        let read = self.source.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut self.buffer)?;
        self.line += 1;
        for end in [b'\n', b'\r'] {
            if self.buffer.last() == Some(&end) {
                self.buffer.pop();
            }
        }
        if self.buffer.len() as u64 > LINE_BYTES_MAX {
            self.source.skip_until(b'\n')?;
        }
        Ok(read > 0)
    }

    fn parse(&self) -> Result<(Bytes, Bytes), String> {
        if self.buffer.len() as u64 > LINE_BYTES_MAX {
            return Err(format!("longer than {LINE_BYTES_MAX} bytes"));
        }
        let (key, value) = match self.format {
            LineFormat::Tsv => self.parse_separated()?,
            LineFormat::Jsonl => parse_json(&self.buffer)?,
        };
        if key.len() > KEY_BYTES_MAX {
            return Err(format!("the key has {} bytes; {KEY_BYTES_MAX} are the most", key.len()));
        }
        if value.len() > VALUE_BYTES_MAX {
            return Err(format!("the value has {} bytes; {VALUE_BYTES_MAX} are the most", value.len()));
        }
        Ok((key, value))
    }

    fn parse_separated(&self) -> Result<(Bytes, Bytes), String> {
        let at = self.buffer.iter().position(|byte| *byte == self.separator);
        let at = at.ok_or_else(|| format!("no separator {:?} in it", char::from(self.separator)))?;
        if at == 0 {
            return Err("its key is empty".to_owned());
        }
        Ok((Bytes::copy_from_slice(&self.buffer[..at]), Bytes::copy_from_slice(&self.buffer[at + 1..])))
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<Result<Record, LineError>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.read_line() {
                Err(error) => return Some(Err(error)),
                Ok(false) => return None,
                Ok(true) if self.buffer.is_empty() => {}
                Ok(true) => break,
            }
        }
        let line = self.line;
        let parsed = self.parse().map(|(key, value)| Record { line, key, value });
        Some(Ok(parsed.map_err(|what| LineError { line, what })))
    }
}

fn parse_json(line: &[u8]) -> Result<(Bytes, Bytes), String> {
    let document: Value = serde_json::from_slice(line).map_err(|error| format!("no JSON: {error}"))?;
    let field = |name: &str| {
        let value = document.get(name).ok_or_else(|| format!("no {name:?} in it"))?;
        json_bytes(value).map_err(|what| format!("its {name}: {what}"))
    };
    let key = field("key")?;
    if key.is_empty() { Err("its key is empty".to_owned()) } else { Ok((key, field("value")?)) }
}

/// A text, or what this program writes: `{"utf8": …}`, `{"base64": …}`.
fn json_bytes(value: &Value) -> Result<Bytes, String> {
    let text = value.as_str().or_else(|| value.get("utf8").and_then(Value::as_str));
    if let Some(text) = text {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    match value.get("base64").and_then(Value::as_str) {
        Some(base64) => encoding::from_base64(base64.as_bytes()).map(Bytes::from),
        None => Err("neither a text nor {\"utf8\": …} nor {\"base64\": …}".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], format: LineFormat, separator: u8) -> Vec<Result<(String, String), (u64, String)>> {
        let text_of = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        Lines::new(text, format, separator)
            .map(|line| match line.expect("memory can be read") {
                Ok(record) => Ok((text_of(&record.key), text_of(&record.value))),
                Err(error) => Err((error.line, error.what)),
            })
            .collect()
    }

    fn pair(key: &str, value: &str) -> Result<(String, String), (u64, String)> {
        Ok((key.to_owned(), value.to_owned()))
    }

    #[test]
    fn the_value_is_everything_behind_the_first_separator() {
        let unicode = b"0041;LATIN CAPITAL LETTER A;Lu;0;L;;;;;N;;;;0061;\n0042;B;;";
        assert_eq!(
            read(unicode, LineFormat::Tsv, b';'),
            [pair("0041", "LATIN CAPITAL LETTER A;Lu;0;L;;;;;N;;;;0061;"), pair("0042", "B;;")]
        );
    }

    #[test]
    fn bad_lines_are_named_and_passed_over() {
        let lines = read(b"a\t1\r\n\nno separator\n\tno key\nb\t\n", LineFormat::Tsv, b'\t');
        assert_eq!((&lines[0], &lines[3]), (&pair("a", "1"), &pair("b", "")));
        assert_eq!(lines[1].as_ref().expect_err("no separator").0, 3);
        assert_eq!(lines[2].as_ref().expect_err("no key").0, 4);
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn json_lines_take_texts_and_what_this_program_writes() {
        let text = br#"{"key":"a","value":"1"}
{"$type":"record","key":{"utf8":"b"},"value":{"base64":"/wA="}}
{"key":"c"}
{"key":1,"value":"1"}
nonsense"#;
        let lines: Vec<_> = Lines::new(&text[..], LineFormat::Jsonl, b'\t').map(|line| line.expect("memory")).collect();
        assert_eq!(lines[1].as_ref().expect("a record").value.as_ref(), b"\xff\0");
        let wrong: Vec<u64> = lines.iter().filter_map(|line| line.as_ref().err()).map(|error| error.line).collect();
        assert_eq!(wrong, [3, 4, 5]);
    }

    #[test]
    fn keys_and_values_beyond_the_limits_are_refused_here() {
        let long_key = [vec![b'k'; KEY_BYTES_MAX + 1], b"\tv\n".to_vec()].concat();
        let long_value = [b"k\t".to_vec(), vec![b'v'; VALUE_BYTES_MAX + 1]].concat();
        let longest = [vec![b'k'; KEY_BYTES_MAX], b"\t".to_vec(), vec![b'v'; VALUE_BYTES_MAX]].concat();
        assert!(read(&long_key, LineFormat::Tsv, b'\t')[0].is_err());
        assert!(read(&long_value, LineFormat::Tsv, b'\t')[0].is_err());
        assert!(read(&longest, LineFormat::Tsv, b'\t')[0].is_ok());
    }

    #[test]
    fn an_endless_line_is_refused_and_the_next_one_read() {
        let text = [vec![b'x'; LINE_BYTES_MAX as usize + 10], b"\na\t1\n".to_vec()].concat();
        let lines = read(&text, LineFormat::Tsv, b'\t');
        assert!(lines[0].is_err());
        assert_eq!(lines[1], pair("a", "1"));
    }
}
