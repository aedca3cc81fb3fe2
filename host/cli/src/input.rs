//! Keys and values from the command line: literal, `-` for stdin, `@FILE` for a file; `--hex` and `--base64` for literals.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::Path;

use crate::code::Code;
use crate::encoding;
use crate::failure::{Failure, unreadable};
use clap::Args;
use outboard_wire::limits::{COMMAND_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// How literal arguments are written.
#[derive(Args, Copy, Clone, Default, Debug)]
pub(crate) struct Encoding {
    /// Keys and values on the command line are hexadecimal
    #[arg(long, conflicts_with = "base64")]
    pub(crate) hex: bool,
    /// Keys and values on the command line are base64
    #[arg(long)]
    pub(crate) base64: bool,
}

impl Encoding {
    /// A key: what no node would take is refused here.
    pub(crate) fn key(self, argument: &OsStr) -> Result<Vec<u8>, Failure> {
        within("key", KEY_BYTES_MAX, self.read(argument)?)
    }

    /// A value, as [`Encoding::key`].
    pub(crate) fn value(self, argument: &OsStr) -> Result<Vec<u8>, Failure> {
        within("value", VALUE_BYTES_MAX, self.read(argument)?)
    }

    /// The bytes that an argument means. `@@x` is the literal `@x`.
    pub(crate) fn read(self, argument: &OsStr) -> Result<Vec<u8>, Failure> {
        let literal = argument.as_encoded_bytes();
        match literal {
            b"-" => read_bounded(&mut io::stdin().lock(), Path::new("stdin")),
            [b'@', b'@', ..] => self.decode(&literal[1..]),
            [b'@', _, ..] => {
                let path = Path::new(argument.to_str().map_or(argument, |text| OsStr::new(&text[1..])));
                let file = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
                read_bounded(&mut &file, path)
            }
            _ => self.decode(literal),
        }
    }

    fn decode(self, literal: &[u8]) -> Result<Vec<u8>, Failure> {
        let decoded = match (self.hex, self.base64) {
            (true, _) => encoding::from_hex(literal),
            (_, true) => encoding::from_base64(literal),
            (false, false) => Ok(literal.to_vec()),
        };
        decoded.map_err(|what| Failure::new(Code::Input, format!("{}: {what}", encoding::show(literal))))
    }
}

fn within(what: &str, bytes_max: usize, bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if bytes.len() <= bytes_max {
        return Ok(bytes);
    }
    let message = format!("the {what} has {} bytes; {bytes_max} are the most", bytes.len());
    Err(Failure::new(Code::InvalidRequest, message).help("outboard explain OB2006"))
}

/// No more than any command may have, so that nothing endless is read.
fn read_bounded(from: &mut impl Read, path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    from.take(COMMAND_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
    if bytes.len() > COMMAND_BYTES_MAX {
        let message = format!("{} has more than {COMMAND_BYTES_MAX} bytes, the most of any command", path.display());
        return Err(Failure::new(Code::InvalidRequest, message).help("outboard explain OB2006"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_input_is_understood() {
        let plain = Encoding::default();
        assert_eq!(plain.read(OsStr::new("a b")).expect("literal"), b"a b");
        assert_eq!(plain.read(OsStr::new("@")).expect("literal"), b"@");
        assert_eq!(plain.read(OsStr::new("@@home")).expect("literal"), b"@home");
        let hex = Encoding { hex: true, base64: false };
        assert_eq!(hex.read(OsStr::new("00ff")).expect("hex"), b"\0\xff");
        let base64 = Encoding { hex: false, base64: true };
        assert_eq!(base64.read(OsStr::new("/wA=")).expect("base64"), b"\xff\0");
    }

    #[test]
    fn what_is_over_the_limits_is_a_wrong_request() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let argument = format!("@{}", file.path().display());
        let argument = OsStr::new(&argument);
        let code = |read: Result<Vec<u8>, Failure>| read.err().map(|failure| failure.code);
        for (bytes, key, value) in [
            (KEY_BYTES_MAX, None, None),
            (KEY_BYTES_MAX + 1, Some(Code::InvalidRequest), None),
            (VALUE_BYTES_MAX, Some(Code::InvalidRequest), None),
            (VALUE_BYTES_MAX + 1, Some(Code::InvalidRequest), Some(Code::InvalidRequest)),
            (COMMAND_BYTES_MAX + 1, Some(Code::InvalidRequest), Some(Code::InvalidRequest)),
        ] {
            std::fs::write(file.path(), vec![b'x'; bytes]).expect("writable");
            let plain = Encoding::default();
            assert_eq!((code(plain.key(argument)), code(plain.value(argument))), (key, value), "{bytes}");
        }
    }

    #[test]
    fn a_file_is_read_whole_and_a_missing_one_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), b"\0 bytes\n").expect("writable");
        let argument = format!("@{}", file.path().display());
        assert_eq!(Encoding::default().read(OsStr::new(&argument)).expect("a file"), b"\0 bytes\n");
        let failure = Encoding::default().read(OsStr::new("@/no/such/file")).expect_err("no file");
        assert!(failure.code == Code::ReadFile && failure.message.contains("/no/such/file"));
    }
}
