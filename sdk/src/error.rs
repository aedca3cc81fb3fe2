//! Why a command was rejected, in the words that a Redis client expects.

use std::borrow::Cow;
use std::fmt;

/// The result of a command. An `Err` becomes the reply, and nothing that the command wrote is kept.
pub type Result<T> = std::result::Result<T, Error>;

/// The text of an error without the leading minus sign: a code in capitals, a space, a sentence.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Error(Cow<'static, str>);

impl Error {
    /// The command's words don't follow its grammar.
    pub const SYNTAX: Error = Error::constant("ERR syntax error");
    /// Where a whole number was expected.
    pub const NOT_AN_INTEGER: Error = Error::constant("ERR value is not an integer or out of range");
    /// Where a number was expected.
    pub const NOT_A_FLOAT: Error = Error::constant("ERR value is not a valid float");
    /// A sum that no 64-bit number holds.
    pub const OVERFLOW: Error = Error::constant("ERR increment or decrement would overflow");
    /// Where text was expected.
    pub const NOT_UTF8: Error = Error::constant("ERR value is not valid UTF-8");
    /// The key holds something that this command does not work on.
    pub const WRONG_TYPE: Error = Error::constant("WRONGTYPE Operation against a key holding the wrong kind of value");

    /// An error whose text is known beforehand.
    pub const fn constant(text: &'static str) -> Error {
        Error(Cow::Borrowed(text))
    }

    /// An error with its own text. A reply is one line: line breaks at its ends go, those within become spaces.
    pub fn new(text: impl Into<String>) -> Error {
        let text: String = text.into();
        Error(Cow::Owned(text.trim_matches(['\r', '\n']).replace(['\r', '\n'], " ")))
    }

    /// What Redis says when a command has too few or too many arguments.
    pub fn wrong_count(command: &str) -> Error {
        Error::new(format!("ERR wrong number of arguments for '{}' command", command.to_ascii_lowercase()))
    }

    /// What Redis says to a command that it does not know; the arguments are cut as Redis cuts them.
    pub fn unknown_command(command: &[Vec<u8>]) -> Error {
        const SHOWN_BYTES_MAX: usize = 128;
        let (name, arguments) = command.split_first().map_or((&[][..], &[][..]), |(name, rest)| (&name[..], rest));
        let mut shown = Vec::new();
        for argument in arguments {
            if shown.len() >= SHOWN_BYTES_MAX {
                break;
            }
            let room = SHOWN_BYTES_MAX - shown.len();
            shown.push(b'\'');
            shown.extend_from_slice(until_zero(&argument[..argument.len().min(room)]));
            shown.extend_from_slice(b"' ");
        }
        let name = String::from_utf8_lossy(until_zero(&name[..name.len().min(SHOWN_BYTES_MAX)]));
        let shown = String::from_utf8_lossy(&shown);
        Error::new(format!("ERR unknown command '{name}', with args beginning with: {shown}"))
    }

    /// What Redis says to an option that it does not know, where it names it.
    pub fn unsupported_option(option: &[u8]) -> Error {
        Error::new(format!("ERR Unsupported option {}", String::from_utf8_lossy(until_zero(option))))
    }

    /// The text, as it goes to the client.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The text, to keep.
    pub fn into_text(self) -> String {
        self.0.into_owned()
    }
}

/// Redis shows what a client sent up to its first zero byte, and reads words so far.
pub(crate) fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<&'static str> for Error {
    fn from(text: &'static str) -> Error {
        Error::constant(text)
    }
}

impl From<String> for Error {
    fn from(text: String) -> Error {
        Error::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_command_is_named_with_its_first_arguments() {
        let text = |words: &[&str]| {
            Error::unknown_command(&words.iter().map(|w| w.as_bytes().to_vec()).collect::<Vec<_>>()).into_text()
        };
        assert_eq!(text(&["foo"]), "ERR unknown command 'foo', with args beginning with: ");
        assert_eq!(text(&["foo", "a", "b c"]), "ERR unknown command 'foo', with args beginning with: 'a' 'b c' ");
        assert_eq!(text(&["fo\r\no"]), "ERR unknown command 'fo  o', with args beginning with: ");
        assert_eq!(text(&["f\0o", "a\0b"]), "ERR unknown command 'f', with args beginning with: 'a' ");
        assert_eq!(Error::unsupported_option(b"\r\n").text(), "ERR Unsupported option ");
        let long = "x".repeat(200);
        let cut = format!("'{}' ", "x".repeat(128));
        assert_eq!(
            text(&[&long, &long, "y"]),
            format!("ERR unknown command '{}', with args beginning with: {cut}", "x".repeat(128))
        );
    }
}
