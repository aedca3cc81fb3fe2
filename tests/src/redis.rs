//! A Redis client of the simplest kind: it sends what it is told to, well-formed or not, and reads replies of RESP2.

use crate::PATIENCE;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// One connection.
#[derive(Debug)]
pub struct Redis {
    stream: BufReader<TcpStream>,
}

/// What came back.
#[derive(Clone, Eq, PartialEq, Debug)]
pub enum Reply {
    /// `+`
    Simple(String),
    /// `-`
    Error(String),
    /// `:`
    Integer(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `$-1` or `*-1`
    Nil,
    /// `*`
    Array(Vec<Reply>),
}

impl Redis {
    /// Connects, as clients do: a node that isn't there is an error.
    pub fn connect(to: SocketAddr) -> io::Result<Redis> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        // One that hangs fails the test.
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Redis { stream: BufReader::new(stream) })
    }

    /// Sends a command and waits for its reply.
    #[track_caller]
    pub fn ask<A: AsRef<[u8]>>(&mut self, words: impl IntoIterator<Item = A>) -> Reply {
        self.try_ask(words).unwrap_or_else(|error| panic!("no reply: {error}"))
    }

    /// As [`Redis::ask`]; the connection may be lost.
    pub fn try_ask<A: AsRef<[u8]>>(&mut self, words: impl IntoIterator<Item = A>) -> io::Result<Reply> {
        self.send(&command(words))?;
        self.reply()
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The next reply.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let line = self.line()?;
        let (kind, text) = line.split_at_checked(1).ok_or_else(|| malformed("an empty line"))?;
        let number = || text.parse::<i64>().map_err(|_| malformed(&line));
        match kind {
            "+" => Ok(Reply::Simple(text.to_owned())),
            "-" => Ok(Reply::Error(text.to_owned())),
            ":" => Ok(Reply::Integer(number()?)),
            "$" | "*" if number()? == -1 => Ok(Reply::Nil),
            "$" => {
                let length = usize::try_from(number()?).map_err(|_| malformed(&line))?;
                let mut bytes = vec![0; length + 2];
                self.stream.read_exact(&mut bytes)?;
                if !bytes.ends_with(b"\r\n") {
                    return Err(malformed("a bulk string without its end"));
                }
                bytes.truncate(length);
                Ok(Reply::Bulk(bytes))
            }
            "*" => (0..number()?).map(|_| self.reply()).collect::<io::Result<_>>().map(Reply::Array),
            _ => Err(malformed(&line)),
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        match line.strip_suffix("\r\n") {
            Some(text) => Ok(text.to_owned()),
            None if line.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            None => Err(malformed(&line)),
        }
    }

    /// Everything up to the end of the connection, which must come. Bytes that were on their way may be lost with it.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => bytes,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => bytes,
            Err(error) => panic!("the connection was not closed: {error}"),
        }
    }

    /// The socket below, for what no client does.
    pub fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }
}

impl Reply {
    /// `+OK`
    pub fn ok() -> Reply {
        Reply::Simple("OK".to_owned())
    }

    /// A bulk string.
    pub fn bulk(bytes: impl AsRef<[u8]>) -> Reply {
        Reply::Bulk(bytes.as_ref().to_owned())
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// Whether it is an error whose first word this is.
    pub fn is_error_of(&self, word: &str) -> bool {
        matches!(self, Reply::Error(text) if text.split(' ').next() == Some(word))
    }
}

/// A command as clients send it.
pub fn command<A: AsRef<[u8]>>(words: impl IntoIterator<Item = A>) -> Vec<u8> {
    let (mut count, mut body) = (0, Vec::new());
    for word in words {
        let word = word.as_ref();
        count += 1;
        body.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        body.extend_from_slice(word);
        body.extend_from_slice(b"\r\n");
    }
    [format!("*{count}\r\n").as_bytes(), &body].concat()
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("this is no reply: {what:?}"))
}
