//! Keys and values from the command line: literal, `-` for stdin, `@FILE` for a file; `--hex` and `--base64` for literals.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::Path;

use crate::code::Code;
use crate::encoding;
use crate::failure::{Failure, unreadable};
use clap::Args;
use outboard_wire::limits::COMMAND_BYTES_MAX;

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
    /// The bytes that an argument means. `@@x` is the literal `@x`.
    pub(crate) fn read(self, argument: &OsStr) -> Result<Vec<u8>, Failure> {
        let literal = argument.as_encoded_bytes();
        match literal {
            b"-" => read_bounded(&mut io::stdin().lock()).map_err(|error| unreadable(Path::new("stdin"), &error)),
            [b'@', b'@', ..] => self.decode(&literal[1..]),
            [b'@', _, ..] => {
                let path = Path::new(argument.to_str().map_or(argument, |text| OsStr::new(&text[1..])));
                let file = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
                read_bounded(&mut &file).map_err(|error| unreadable(path, &error))
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

/// No more than any command may have; the exact limits are the node's to check.
fn read_bounded(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(COMMAND_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > COMMAND_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than any value may be"));
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
    fn a_file_is_read_whole_and_a_missing_one_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), b"\0 bytes\n").expect("writable");
        let argument = format!("@{}", file.path().display());
        assert_eq!(Encoding::default().read(OsStr::new(&argument)).expect("a file"), b"\0 bytes\n");
        let failure = Encoding::default().read(OsStr::new("@/no/such/file")).expect_err("no file");
        assert!(failure.code == Code::ReadFile && failure.message.contains("/no/such/file"));
    }
}
