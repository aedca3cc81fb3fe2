//! A connection's bytes, plain or through TLS. Never waits: what can't be read or written now is asked for again when the socket is
//! ready.

use crate::limits::READ_BYTES;
use bytes::BytesMut;
use rustls::ServerConnection;
use std::io::{self, BufRead, ErrorKind, IoSlice, Write};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::TcpStream;

/// What of TLS is read from the socket at once, in bytes: a record.
const TLS_READ_BYTES: usize = 17 << 10;

/// The two ways.
pub(crate) enum Transport {
    /// The client's bytes as they are.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<Tls>),
}

/// A socket and its TLS.
pub(crate) struct Tls {
    stream: TcpStream,
    session: ServerConnection,
}

impl Transport {
    pub(crate) fn plain(stream: TcpStream) -> Transport {
        Transport::Plain(stream)
    }

    pub(crate) fn tls(stream: TcpStream, session: ServerConnection) -> Transport {
        Transport::Tls(Box::new(Tls { stream, session }))
    }

    /// Reads once into the buffer's room; 0 bytes are the end.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        match self {
            Transport::Plain(stream) => pin!(stream.read_buf(into)).poll(cx),
            Transport::Tls(tls) => tls.poll_read(cx, into),
        }
    }

    /// Writes what the socket takes; `WouldBlock` when it takes nothing.
    pub(crate) fn write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Transport::Plain(stream) => match buffers {
                [one] => stream.try_write(one),
                several => stream.try_write_vectored(several),
            },
            Transport::Tls(tls) => tls.write(buffers),
        }
    }

    /// Whether something of TLS waits to be written beside the replies.
    pub(crate) fn wants_write(&self) -> bool {
        match self {
            Transport::Plain(_) => false,
            Transport::Tls(tls) => tls.session.wants_write(),
        }
    }

    /// Writes what of TLS waits.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Transport::Plain(_) => Ok(()),
            Transport::Tls(tls) => tls.flush(),
        }
    }

    /// Ready when a write may succeed again.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_write_ready(cx)
    }

    /// Tells the client that nothing more will come.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Transport::Tls(tls) = self {
            tls.session.send_close_notify();
            match tls.flush() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    ready!(tls.stream.poll_write_ready(cx))?;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error)),
                Ok(()) => {}
            }
        }
        Pin::new(self.stream_mut()).poll_shutdown(cx)
    }

    /// Whether TLS is still being agreed on.
    pub(crate) fn is_handshaking(&self) -> bool {
        match self {
            Transport::Plain(_) => false,
            Transport::Tls(tls) => tls.session.is_handshaking(),
        }
    }

    fn stream(&self) -> &TcpStream {
        match self {
            Transport::Plain(stream) => stream,
            Transport::Tls(tls) => &tls.stream,
        }
    }

    fn stream_mut(&mut self) -> &mut TcpStream {
        match self {
            Transport::Plain(stream) => stream,
            Transport::Tls(tls) => &mut tls.stream,
        }
    }
}

impl Tls {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
        let before = into.len();
        loop {
            let ended = self.take_plaintext(into)?;
            if into.len() > before || ended {
                return Poll::Ready(Ok(into.len() - before));
            }
            let mut encrypted = BytesMut::with_capacity(TLS_READ_BYTES);
            if ready!(pin!(self.stream.read_buf(&mut encrypted)).poll(cx))? == 0 {
                return Poll::Ready(Ok(0));
            }
            self.decrypt(&encrypted, into)?;
        }
    }

    fn decrypt(&mut self, mut encrypted: &[u8], into: &mut BytesMut) -> io::Result<()> {
        while !encrypted.is_empty() {
            let taken = self.session.read_tls(&mut encrypted)?;
            if let Err(error) = self.session.process_new_packets() {
                // The alert tells the client why.
                self.flush().unwrap_or_default();
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
            if self.take_plaintext(into)? || taken == 0 {
                break;
            }
        }
        match self.flush() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            result => result,
        }
    }

    /// Moves over what is decrypted; true at the end of the stream.
    fn take_plaintext(&mut self, into: &mut BytesMut) -> io::Result<bool> {
        let mut reader = self.session.reader();
        loop {
            match reader.fill_buf() {
                Ok([]) => return Ok(true),
                Ok(plain) => {
                    into.extend_from_slice(plain);
                    let count = plain.len();
                    reader.consume(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    fn write(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.flush()?;
        // rustls takes up to its buffer's limit and says how much.
        let written = self.session.writer().write_vectored(buffers)?;
        match self.flush() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            result => result?,
        }
        if written == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(written) }
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            self.session.write_tls(&mut Socket(&self.stream))?;
        }
        Ok(())
    }
}

/// The socket as rustls writes to it.
struct Socket<'a>(&'a TcpStream);

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const _: () = assert!(TLS_READ_BYTES < READ_BYTES, "what one record brings fits the shared buffer");
