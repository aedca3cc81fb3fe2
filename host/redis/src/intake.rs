//! What a connection has sent and nobody has used yet.
//!
//! Most reads go into one buffer that all connections share, and what they brought is copied out at its exact size: a few hundred bytes,
//! so that a small command never keeps a large buffer alive. A read that fills a good part of the buffer keeps it instead, and a command
//! that is larger than the buffer is read straight to where it stays. Arguments are slices; nothing copies them.
//!
//! Bounded by: one read, or one command of [`COMMAND_BYTES_MAX`](crate::limits::COMMAND_BYTES_MAX) whose room grows only as bytes arrive.

use crate::inline;
use crate::limits::READ_BYTES;
use crate::request::{Parser, ProtocolError, Step, TooLarge};
use crate::transport::Transport;
use bytes::{Bytes, BytesMut};
use std::io;
use std::task::{Context, Poll};

/// One request.
#[derive(Debug)]
pub(crate) enum Request {
    /// With at least one argument, the name.
    Command(Vec<Bytes>),
    /// An inline line that is no command: a request of HTTP.
    Http,
    /// Too large, and walked over.
    Refused(TooLarge),
}

/// The bytes of one connection.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    parser: Parser,
    /// From the beginning of a request.
    rest: Bytes,
    /// `rest` is a part of something larger.
    shared: bool,
    /// The same, while a large request comes in; then `rest` is empty.
    large: BytesMut,
    /// The parser needs at least so many bytes more; 0 when it has not been asked.
    missing: usize,
}

impl Intake {
    /// Reads once; 0 bytes are the end of the stream.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        transport: &mut Transport,
        shared: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        if !self.large.is_empty() {
            // Room for what is announced, but never for much more than has come: lengths lie.
            let wanted = self.missing.clamp(1, self.large.len());
            if self.large.capacity() - self.large.len() < wanted {
                self.large.reserve(wanted);
            }
            return transport.poll_read(cx, &mut self.large);
        }
        shared.clear();
        shared.reserve(READ_BYTES);
        shared.extend_from_slice(&self.rest);
        let count = std::task::ready!(transport.poll_read(cx, shared))?;
        if count > 0 {
            self.fill(shared);
        }
        Poll::Ready(Ok(count))
    }

    /// As a read that brings these bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8], shared: &mut BytesMut) {
        if self.large.is_empty() {
            shared.clear();
            shared.extend_from_slice(&self.rest);
            shared.extend_from_slice(bytes);
            self.fill(shared);
        } else {
            self.large.extend_from_slice(bytes);
        }
    }

    fn fill(&mut self, shared: &mut BytesMut) {
        if shared.len() >= READ_BYTES / 4 {
            self.rest = shared.split().freeze();
            self.shared = true;
            *shared = BytesMut::with_capacity(READ_BYTES);
        } else {
            self.rest = Bytes::copy_from_slice(shared);
            self.shared = false;
        }
    }

    /// The next request; none while its end has not come.
    pub(crate) fn next(&mut self, logged_in: bool) -> Result<Option<Request>, ProtocolError> {
        loop {
            let bytes: &[u8] = if self.large.is_empty() { &self.rest } else { &self.large };
            if bytes.is_empty() {
                self.rest = Bytes::new();
                return Ok(None);
            }
            match self.parser.step(bytes, logged_in)? {
                Step::Incomplete { missing } => {
                    self.wait_for(missing);
                    return Ok(None);
                }
                Step::Command { consumed } => {
                    let frame = self.take(consumed);
                    let arguments = self.parser.ranges().iter().map(|range| frame.slice(range.clone())).collect();
                    return Ok(Some(Request::Command(arguments)));
                }
                Step::Inline { line, consumed } => {
                    let frame = self.take(consumed);
                    let line = &frame[line];
                    if crate::http::is_request(line) {
                        return Ok(Some(Request::Http));
                    }
                    let words = inline::split(line)?;
                    if !words.is_empty() {
                        return Ok(Some(Request::Command(words)));
                    }
                }
                Step::Nothing { consumed } | Step::Skip { consumed } => drop(self.take(consumed)),
                Step::Refused { consumed, why } => {
                    drop(self.take(consumed));
                    return Ok(Some(Request::Refused(why)));
                }
            }
        }
    }

    /// What has not been used, for a look at how a stream begins.
    pub(crate) fn unused(&self) -> &[u8] {
        if self.large.is_empty() { &self.rest } else { &self.large }
    }

    /// The beginning of a request is here, and not its end.
    pub(crate) fn is_half(&self) -> bool {
        self.missing > 0 && !self.unused().is_empty()
    }

    /// What is held, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.rest.len() + self.large.capacity()
    }

    /// Forgets all that came.
    pub(crate) fn clear(&mut self) {
        *self = Intake::default();
    }

    fn take(&mut self, consumed: usize) -> Bytes {
        if !self.large.is_empty() {
            self.rest = std::mem::take(&mut self.large).freeze();
        }
        self.missing = 0;
        self.shared = true;
        self.rest.split_to(consumed)
    }

    /// Half a request stays for as long as its sender likes, so it must not keep more memory than it has bytes.
    fn wait_for(&mut self, missing: usize) {
        self.missing = missing;
        if self.large.is_empty() && self.rest.len() + missing > READ_BYTES / 2 {
            self.large = BytesMut::from(std::mem::take(&mut self.rest));
        } else if self.large.is_empty() && self.shared {
            self.rest = Bytes::copy_from_slice(&self.rest);
            self.shared = false;
        }
    }
}

/// The entry for a fuzzer: reads `bytes` as a client would send them, in pieces whose sizes the first two bytes choose, and returns how many
/// requests there were, or the protocol error. Never panics, and finds the same in every way of cutting.
pub fn fuzz_requests(bytes: &[u8]) -> Result<usize, String> {
    let (logged_in, piece, stream) = match bytes {
        [first, second, stream @ ..] => (first % 2 == 1, 1 + usize::from(*second), stream),
        _ => (true, 1, bytes),
    };
    let cut = read_all(stream, piece, logged_in);
    assert_eq!(cut, read_all(stream, stream.len().max(1), logged_in), "how a stream is cut changes nothing");
    cut.map(|requests| requests.len()).map_err(|error| String::from_utf8_lossy(&error.text()).into_owned())
}

/// All requests of a stream that comes in pieces of so many bytes; the first word tells what a request was.
fn read_all(stream: &[u8], piece: usize, logged_in: bool) -> Result<Vec<Vec<Bytes>>, ProtocolError> {
    let (mut intake, mut shared, mut all) = (Intake::default(), BytesMut::new(), Vec::new());
    for piece in stream.chunks(piece) {
        intake.feed(piece, &mut shared);
        while let Some(request) = intake.next(logged_in)? {
            all.push(match request {
                Request::Command(arguments) => arguments,
                Request::Http => vec![Bytes::from_static(b"http")],
                Request::Refused(why) => vec![Bytes::from_static(b"refused"), why.to_string().into()],
            });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{
        ARGUMENTS_MAX, COMMAND_BYTES_MAX, INLINE_BYTES_MAX, LOGIN_ARGUMENT_BYTES_MAX, VALUE_BYTES_MAX,
    };
    use proptest::prelude::*;

    fn read(stream: &[u8]) -> Result<Vec<String>, String> {
        let all = read_all(stream, stream.len().max(1), true)
            .map_err(|error| String::from_utf8_lossy(&error.text()).into_owned())?;
        Ok(all
            .iter()
            .map(|words| words.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join(" "))
            .collect())
    }

    fn array(arguments: &[&[u8]]) -> Vec<u8> {
        let mut out = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments {
            out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
            out.extend_from_slice(argument);
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    /// Everything that may stand in a stream, one behind the other.
    fn medley() -> Vec<u8> {
        let parts: [&[u8]; 9] = [
            b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
            b"PING\r\n",
            b"\r\n\n",
            b"*0\r\n*-1\r\n",
            b"*1\r\n$0\r\n\r\n",
            b"set k \"a b\\r\\n\"\n",
            b"*3\r\n$3\r\nSET\r\n$2\r\n\r\n\r\n$5\r\n\0*1\r\n\r\n",
            b"GET / HTTP/1.1\r\n",
            b"*1\r\n$4\r\nQUIT\r\n",
        ];
        parts.concat()
    }

    const MEDLEY: [&str; 7] = ["GET k", "PING", "", "set k a b\\r\\n", "SET \\r\\n \\x00*1\\r\\n", "http", "QUIT"];

    #[test]
    fn requests_of_all_kinds_come_out_as_they_were_meant() {
        assert_eq!(read(&medley()).expect("well-formed"), MEDLEY);
    }

    #[test]
    fn a_stream_may_be_split_anywhere() {
        let stream = medley();
        let whole = read_all(&stream, stream.len(), true);
        for at in 0..=stream.len() {
            let (mut intake, mut shared, mut all) = (Intake::default(), BytesMut::new(), Vec::new());
            for part in [&stream[..at], &stream[at..]] {
                intake.feed(part, &mut shared);
                while let Some(request) = intake.next(true).expect("well-formed") {
                    all.push(request);
                }
            }
            assert_eq!(all.len(), MEDLEY.len(), "split at {at}");
            assert!(!intake.is_half(), "split at {at}");
        }
        for piece in 1..40 {
            assert_eq!(read_all(&stream, piece, true), whole, "in pieces of {piece}");
        }
    }

    #[test]
    fn malformed_streams_get_the_error_of_redis() {
        let long = |start: &str| [start.as_bytes(), &[b'1'; INLINE_BYTES_MAX + 1]].concat();
        for (stream, error) in [
            (b"*1\r\n+PING\r\n".to_vec(), "expected '$', got '+'"),
            (b"*1\r\n\xff\r\n".to_vec(), "expected '$', got '\u{fffd}'"),
            (b"*1\r\n\r\n".to_vec(), "expected '$', got '\r'"),
            (b"*abc\r\n".to_vec(), "invalid multibulk length"),
            (b"*\r\n".to_vec(), "invalid multibulk length"),
            (b"*01\r\n".to_vec(), "invalid multibulk length"),
            (b"*+1\r\n".to_vec(), "invalid multibulk length"),
            (b"*1\n".to_vec(), "invalid multibulk length"),
            (b"*1\rx\r\n".to_vec(), "invalid multibulk length"),
            (b"*1000000000\r\n".to_vec(), "invalid multibulk length"),
            (b"*99999999999999999999\r\n".to_vec(), "invalid multibulk length"),
            (b"*1\r\n$-1\r\n".to_vec(), "invalid bulk length"),
            (b"*1\r\n$abc\r\n".to_vec(), "invalid bulk length"),
            (b"*1\r\n$ 4\r\nPING\r\n".to_vec(), "invalid bulk length"),
            (b"*1\r\n$536870913\r\n".to_vec(), "invalid bulk length"),
            (b"*1\r\n$3\r\nPING\r\n".to_vec(), "invalid bulk length"),
            (b"*1\r\n$5\r\nPING\r\n\r\n".to_vec(), "invalid bulk length"),
            (b"\"abc\r\n".to_vec(), "unbalanced quotes in request"),
            (long("*1"), "too big mbulk count string"),
            (long("*1\r\n$1"), "too big bulk count string"),
            (long("a"), "too big inline request"),
        ] {
            let shown = stream[..stream.len().min(30)].escape_ascii();
            assert_eq!(read(&stream), Err(error.to_owned()), "{shown}");
            assert_eq!(read_all(&stream, 1_000, true).err(), read_all(&stream, 7, true).err(), "{shown}");
        }
    }

    #[test]
    fn before_a_login_only_small_commands_are_read() {
        let large = vec![b'x'; LOGIN_ARGUMENT_BYTES_MAX + 1];
        let error = |stream: &[u8]| read_all(stream, 100, false).expect_err("too large");
        assert_eq!(error(&array(&[&b"x"[..]; 11])), ProtocolError::CountBeforeLogin);
        assert_eq!(error(&array(&[&large])), ProtocolError::LengthBeforeLogin);
        assert_eq!(read_all(&array(&[&b"x"[..]; 10]), 100, false).map(|all| all.len()), Ok(1));
    }

    #[test]
    fn what_is_too_large_is_walked_over_and_refused_and_the_stream_goes_on() {
        let value = vec![b'x'; VALUE_BYTES_MAX];
        let (longer, eight) = ([&value[..], b"x"].concat(), [&value[..]; COMMAND_BYTES_MAX / VALUE_BYTES_MAX]);
        let nine = [&eight[..], &[&b"x"[..]]].concat();
        for (command, answer) in [
            (array(&[b"SET", b"k", &longer]), "refused ERR a value is longer than 1048576 bytes"),
            (array(&nine), "refused ERR a command is longer than 8388608 bytes"),
            (array(&vec![&b""[..]; ARGUMENTS_MAX + 1]), "refused ERR a command has at most 65536 arguments"),
        ] {
            let stream = [&command[..], b"PING\r\n"].concat();
            assert_eq!(read(&stream).expect("well-formed"), [answer, "PING"]);
            assert_eq!(read_all(&stream, 60_000, true), read_all(&stream, stream.len(), true));
            // A lie inside what is walked over is still one.
            let lie = command[..command.len() - 1].to_vec();
            assert!(read(&[&lie[..], b"x"].concat()).is_err());
        }
        assert_eq!(read_all(&array(&eight), 100_000, true).map(|all| all[0].len()), Ok(8));
    }

    #[test]
    fn nothing_is_allocated_for_what_is_only_announced() {
        let mut shared = BytesMut::new();
        for announced in ["*65536\r\n$1048576\r\n", "*1048576\r\n$1\r\na\r\n$1048576\r\n", "*2\r\n$536870912\r\n"] {
            let mut intake = Intake::default();
            intake.feed(announced.as_bytes(), &mut shared);
            assert!(matches!(intake.next(true), Ok(None)));
            assert!(intake.held_bytes() < 100, "{announced:?} holds {}", intake.held_bytes());
        }
        // What is walked over is not kept either.
        let mut intake = Intake::default();
        intake.feed(b"*2\r\n$536870912\r\n", &mut shared);
        for _ in 0..100 {
            intake.feed(&[b'x'; 60_000], &mut shared);
            assert!(matches!(intake.next(true), Ok(None)));
            assert!(intake.held_bytes() < 100, "{}", intake.held_bytes());
        }
    }

    #[test]
    fn half_a_command_keeps_no_more_than_its_bytes() {
        let mut shared = BytesMut::new();
        let mut intake = Intake::default();
        let many = array(&[b"GET", b"k"]).repeat(2_000);
        intake.feed(&[&many[..], b"*2\r\n$3\r\nGE"].concat(), &mut shared);
        while let Ok(Some(_)) = intake.next(true) {}
        assert!(intake.is_half());
        assert_eq!(intake.held_bytes(), 10);
        assert!(intake.rest.is_unique(), "the large buffer is free");
    }

    #[test]
    fn small_commands_do_not_keep_large_buffers_and_large_reads_are_not_copied() {
        let mut shared = BytesMut::with_capacity(READ_BYTES);
        let mut intake = Intake::default();
        intake.feed(&array(&[b"GET", b"k"]), &mut shared);
        let address = shared.as_ptr();
        assert!(matches!(intake.next(true), Ok(Some(Request::Command(_)))));
        assert_eq!(shared.as_ptr(), address, "a small read leaves the shared buffer where it is");
        let value = vec![b'x'; READ_BYTES / 2];
        intake.feed(&array(&[b"SET", b"k", &value]), &mut shared);
        let Ok(Some(Request::Command(arguments))) = intake.next(true) else { panic!("a whole command") };
        let range = address..address.wrapping_add(READ_BYTES);
        assert!(range.contains(&arguments[2].as_ptr()), "a large read stays where it was read to");
    }

    proptest! {
        #[test]
        fn commands_survive_any_cutting(
            commands in proptest::collection::vec(proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..6), 1..8),
            piece in 1..200usize,
        ) {
            let stream: Vec<u8> = commands.iter()
                .flat_map(|command| array(&command.iter().map(Vec::as_slice).collect::<Vec<_>>()))
                .collect();
            let read = read_all(&stream, piece, true).expect("well-formed");
            prop_assert_eq!(read, commands.into_iter().map(|c| c.into_iter().map(Bytes::from).collect::<Vec<_>>()).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = fuzz_requests(&bytes);
        }

        #[test]
        fn bytes_that_look_like_requests_do_not_either(
            parts in proptest::collection::vec(proptest::sample::select(vec![
                "*1\r\n", "*2\r\n", "$3\r\n", "$-1\r\n", "\r\n", "\r", "\n", "GET", "abc", "*", "$", "0", "1", "\"", "'", " ", "*70000\r\n", "$2000000\r\n",
            ]), 0..30),
            piece in any::<u8>(),
        ) {
            let _ = fuzz_requests(&[&[1, piece], parts.concat().as_bytes()].concat());
        }
    }
}
