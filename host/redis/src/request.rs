//! Where one request ends: the parser of what clients send, arrays of bulk strings or inline lines.
//!
//! It looks at bytes that somebody else keeps, remembers how far it got, and says where the arguments lie; it copies nothing and
//! allocates nothing for what is only announced. The bytes that it is given always begin where the request begins, and only grow until
//! it has said [`Step::Command`] or another step that consumes them.
//!
//! A request that is well-formed but too large is walked over to its end ([`Step::Skip`]) and then refused, so that the connection
//! lives on; what can't be walked over is a [`ProtocolError`], and the connection's end. Tests: in `intake.rs`, every split of a stream, and
//! properties; `fuzz_requests` is the entry for a fuzzer.

use crate::limits::{
    ARGUMENTS_MAX, COMMAND_BYTES_MAX, INLINE_BYTES_MAX, LOGIN_ARGUMENT_BYTES_MAX, LOGIN_ARGUMENTS_MAX,
    SKIPPED_ARGUMENT_BYTES_MAX, SKIPPED_ARGUMENTS_MAX, VALUE_BYTES_MAX,
};
use std::ops::Range;

/// Room for ranges that a parser keeps between two commands.
const RANGES_KEPT: usize = 16;

/// What the parser found.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(crate) enum Step {
    /// It needs at least so many bytes more.
    Incomplete { missing: usize },
    /// An array; its arguments are [`Parser::ranges`].
    Command { consumed: usize },
    /// An inline line, without its end.
    Inline { line: Range<usize>, consumed: usize },
    /// An empty array: no command, no reply.
    Nothing { consumed: usize },
    /// A part of a request that will be refused.
    Skip { consumed: usize },
    /// Its end.
    Refused { consumed: usize, why: TooLarge },
}

/// Why a well-formed request is refused.
#[derive(Copy, Clone, Eq, PartialEq, Debug, thiserror::Error)]
pub(crate) enum TooLarge {
    #[error("ERR a command has at most {ARGUMENTS_MAX} arguments")]
    Arguments,
    #[error("ERR a value is longer than {VALUE_BYTES_MAX} bytes")]
    Value,
    #[error("ERR a command is longer than {COMMAND_BYTES_MAX} bytes")]
    Command,
}

/// Why the stream can't be read on.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum ProtocolError {
    CountLineTooLong,
    Count,
    CountBeforeLogin,
    LengthLineTooLong,
    Length,
    LengthBeforeLogin,
    NoBulk(u8),
    InlineTooLong,
    Quotes,
}

impl ProtocolError {
    /// The words of Redis, after `ERR Protocol error: `.
    pub(crate) fn text(self) -> Vec<u8> {
        let text: &[u8] = match self {
            ProtocolError::CountLineTooLong => b"too big mbulk count string",
            ProtocolError::Count => b"invalid multibulk length",
            ProtocolError::CountBeforeLogin => b"unauthenticated multibulk length",
            ProtocolError::LengthLineTooLong => b"too big bulk count string",
            ProtocolError::Length => b"invalid bulk length",
            ProtocolError::LengthBeforeLogin => b"unauthenticated bulk length",
            ProtocolError::NoBulk(byte) => return [b"expected '$', got '", &[byte][..], b"'"].concat(),
            ProtocolError::InlineTooLong => b"too big inline request",
            ProtocolError::Quotes => b"unbalanced quotes in request",
        };
        text.to_vec()
    }
}

/// How far the present request has been read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parser {
    stage: Stage,
    /// Bytes of the request that are done with.
    at: usize,
    /// Bytes that have been searched for the end of a line.
    searched: usize,
    ranges: Vec<Range<usize>>,
    /// The arguments so far, in bytes.
    argument_bytes: usize,
    refused: Option<TooLarge>,
}

#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
enum Stage {
    #[default]
    Start,
    /// Before the header of an argument.
    Header { arguments_left: usize },
    /// Inside an argument, of which so many bytes (with the line end) have not been walked over.
    Argument { arguments_left: usize, bytes_left: usize },
}

impl Parser {
    /// Where the arguments of the command lie that was found.
    pub(crate) fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// Reads on. After a step that consumes, `bytes` must begin behind what it consumed.
    pub(crate) fn step(&mut self, bytes: &[u8], logged_in: bool) -> Result<Step, ProtocolError> {
        loop {
            match self.stage {
                Stage::Start => {
                    self.begin();
                    match bytes.first() {
                        None => return Ok(Step::Incomplete { missing: 1 }),
                        Some(b'*') => match self.count(bytes, logged_in)? {
                            Some(0) => return Ok(self.done(|consumed| Step::Nothing { consumed })),
                            Some(count) => self.stage = Stage::Header { arguments_left: count },
                            None => return Ok(Step::Incomplete { missing: 1 }),
                        },
                        Some(_) => return self.inline(bytes),
                    }
                }
                Stage::Header { arguments_left: 0 } => {
                    return Ok(match self.refused {
                        Some(why) => self.done(|consumed| Step::Refused { consumed, why }),
                        None => self.done(|consumed| Step::Command { consumed }),
                    });
                }
                Stage::Header { arguments_left } => match self.length(bytes, logged_in)? {
                    Some(length) => {
                        self.announce(length);
                        self.stage = Stage::Argument { arguments_left, bytes_left: length + 2 };
                    }
                    None => return Ok(self.skipped().unwrap_or(Step::Incomplete { missing: 1 })),
                },
                Stage::Argument { arguments_left, bytes_left } => {
                    if let Some(step) = self.argument(bytes, arguments_left, bytes_left)? {
                        return Ok(step);
                    }
                }
            }
        }
    }

    fn begin(&mut self) {
        self.at = 0;
        self.ranges.clear();
        if self.ranges.capacity() > RANGES_KEPT {
            self.ranges = Vec::new();
        }
        self.argument_bytes = 0;
        self.refused = None;
    }

    /// The request is over.
    fn done(&mut self, step: impl FnOnce(usize) -> Step) -> Step {
        self.stage = Stage::Start;
        self.searched = 0;
        step(std::mem::take(&mut self.at))
    }

    /// Of a request that will be refused nothing is kept.
    fn skipped(&mut self) -> Option<Step> {
        if self.refused.is_none() || self.at == 0 {
            return None;
        }
        self.searched = self.searched.saturating_sub(self.at);
        Some(Step::Skip { consumed: std::mem::take(&mut self.at) })
    }

    fn refuse(&mut self, why: TooLarge) {
        self.refused.get_or_insert(why);
        self.ranges = Vec::new();
    }

    fn inline(&mut self, bytes: &[u8]) -> Result<Step, ProtocolError> {
        let Some(end) = find(bytes, self.searched, b'\n') else {
            self.searched = bytes.len();
            if bytes.len() > INLINE_BYTES_MAX {
                return Err(ProtocolError::InlineTooLong);
            }
            return Ok(Step::Incomplete { missing: 1 });
        };
        if end > INLINE_BYTES_MAX {
            return Err(ProtocolError::InlineTooLong);
        }
        self.at = end + 1;
        let line = 0..if end > 0 && bytes[end - 1] == b'\r' { end - 1 } else { end };
        Ok(self.done(|consumed| Step::Inline { line, consumed }))
    }

    /// `*count`; counts below 1 are empty.
    fn count(&mut self, bytes: &[u8], logged_in: bool) -> Result<Option<usize>, ProtocolError> {
        let Some(line) = self.line(bytes, ProtocolError::CountLineTooLong)? else { return Ok(None) };
        let count = integer(&bytes[line.start + 1..line.end]).ok_or(ProtocolError::Count)?;
        let count = usize::try_from(count).unwrap_or(0);
        if count > SKIPPED_ARGUMENTS_MAX {
            return Err(ProtocolError::Count);
        }
        if !logged_in && count > LOGIN_ARGUMENTS_MAX {
            return Err(ProtocolError::CountBeforeLogin);
        }
        if count > ARGUMENTS_MAX {
            self.refuse(TooLarge::Arguments);
        }
        Ok(Some(count))
    }

    /// `$length`.
    fn length(&mut self, bytes: &[u8], logged_in: bool) -> Result<Option<usize>, ProtocolError> {
        match bytes.get(self.at) {
            None => return Ok(None),
            Some(b'$') => {}
            // Redis looks at the line only once it has all of it; so an error comes at the same byte.
            Some(&byte) => {
                return self
                    .line(bytes, ProtocolError::LengthLineTooLong)?
                    .map_or(Ok(None), |_| Err(ProtocolError::NoBulk(byte)));
            }
        }
        let Some(line) = self.line(bytes, ProtocolError::LengthLineTooLong)? else { return Ok(None) };
        let length = integer(&bytes[line.start + 1..line.end]).and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|length| *length <= SKIPPED_ARGUMENT_BYTES_MAX).ok_or(ProtocolError::Length)?;
        if !logged_in && length > LOGIN_ARGUMENT_BYTES_MAX {
            return Err(ProtocolError::LengthBeforeLogin);
        }
        Ok(Some(length))
    }

    /// An argument of so many bytes follows.
    fn announce(&mut self, length: usize) {
        self.argument_bytes += length;
        if length > VALUE_BYTES_MAX {
            self.refuse(TooLarge::Value);
        } else if self.argument_bytes > COMMAND_BYTES_MAX {
            self.refuse(TooLarge::Command);
        }
    }

    /// Walks over as much of the argument as is there; none when it is all there.
    fn argument(
        &mut self,
        bytes: &[u8],
        arguments_left: usize,
        bytes_left: usize,
    ) -> Result<Option<Step>, ProtocolError> {
        let there = bytes.len() - self.at;
        if there >= bytes_left {
            let end = self.at + bytes_left;
            // The length lied, and what follows would be taken for commands.
            if bytes[end - 2..end] != *b"\r\n" {
                return Err(ProtocolError::Length);
            }
            if self.refused.is_none() {
                self.ranges.push(self.at..end - 2);
            }
            self.at = end;
            self.searched = end;
            self.stage = Stage::Header { arguments_left: arguments_left - 1 };
            return Ok(None);
        }
        if self.refused.is_some() {
            // The line end stays, so that it can be checked.
            let walked = there.min(bytes_left.saturating_sub(2));
            self.at += walked;
            self.stage = Stage::Argument { arguments_left, bytes_left: bytes_left - walked };
            if let Some(step) = self.skipped() {
                return Ok(Some(step));
            }
            return Ok(Some(Step::Incomplete { missing: 1 }));
        }
        Ok(Some(Step::Incomplete { missing: bytes_left - there }))
    }

    /// The line that begins here, and goes behind it; none when its end is not there yet.
    fn line(&mut self, bytes: &[u8], too_long: ProtocolError) -> Result<Option<Range<usize>>, ProtocolError> {
        let start = self.at;
        match find(bytes, self.searched.max(start), b'\n') {
            Some(end) if end - start > INLINE_BYTES_MAX => Err(too_long),
            Some(end) => {
                self.at = end + 1;
                self.searched = self.at;
                // A line that ends without CR keeps its LF, and so holds no number.
                let line_end = if end > start && bytes[end - 1] == b'\r' { end - 1 } else { end + 1 };
                Ok(Some(start..line_end))
            }
            None if bytes.len() - start > INLINE_BYTES_MAX => Err(too_long),
            None => {
                self.searched = bytes.len();
                Ok(None)
            }
        }
    }
}

fn find(bytes: &[u8], from: usize, wanted: u8) -> Option<usize> {
    Some(from + bytes[from..].iter().position(|byte| *byte == wanted)?)
}

/// As strictly as Redis reads numbers: no plus, no leading zeros, no space.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = match digits {
        [] => false,
        [b'0', ..] => text == b"0",
        digits => digits.iter().all(u8::is_ascii_digit),
    };
    if plain { str::from_utf8(text).ok()?.parse().ok() } else { None }
}
