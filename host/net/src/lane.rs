//! The kinds of streams, and the two lanes between peers.
//!
//! A stream's first byte says its kind. The control lane and the request stream are bidirectional and answered by one byte,
//! [`HELLO`]: only then does the dialler know that its certificate was accepted, because in TLS 1.3 the server judges last.

use std::time::Duration;

use quinn::{Connection, RecvStream, SendStream};

use crate::error::NetError;
use crate::frame::Malformed;

/// The answer to the first byte of a control lane or a request stream.
pub(crate) const HELLO: u8 = 1;
/// A stream that says nothing about itself for so long is broken off.
pub(crate) const OPENING_TIMEOUT: Duration = Duration::from_secs(5);

/// Which of the two streams to a peer carries a frame. Order holds within a lane, not between them.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Lane {
    /// Votes, heartbeats, answers: small and urgent, sent before anything that waits on the append lane.
    Control,
    /// Entries.
    Append,
}

#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum StreamKind {
    Control,
    Append,
    Requests,
    Bulk,
    Join,
}

impl StreamKind {
    pub(crate) fn byte(self) -> u8 {
        match self {
            StreamKind::Control => 1,
            StreamKind::Append => 2,
            StreamKind::Requests => 3,
            StreamKind::Bulk => 4,
            StreamKind::Join => 5,
        }
    }

    pub(crate) fn parse(byte: u8) -> Result<StreamKind, Malformed> {
        [StreamKind::Control, StreamKind::Append, StreamKind::Requests, StreamKind::Bulk, StreamKind::Join]
            .into_iter()
            .find(|kind| kind.byte() == byte)
            .ok_or(Malformed::UnknownKind(byte))
    }

    /// Higher goes first within a connection.
    pub(crate) fn priority(self) -> i32 {
        match self {
            StreamKind::Control => 2,
            StreamKind::Append | StreamKind::Requests | StreamKind::Join => 1,
            StreamKind::Bulk => 0,
        }
    }
}

/// Opens a control lane or request stream and waits for the other side's hello. The receiving half carries only that byte on a
/// control lane, and the responses on a request stream.
pub(crate) async fn open_greeted(
    connection: &Connection,
    kind: StreamKind,
) -> Result<(SendStream, RecvStream), quinn::ConnectionError> {
    let opening = async {
        let (mut send, mut receive) = connection.open_bi().await.ok()?;
        send.set_priority(kind.priority()).ok()?;
        send.write_all(&[kind.byte()]).await.ok()?;
        let mut hello = [0];
        receive.read_exact(&mut hello).await.ok()?;
        (hello == [HELLO]).then_some((send, receive))
    };
    match opening.await {
        Some(streams) => Ok(streams),
        None => {
            // A stream fails just before its connection knows why; a stream that fails alone is a stranger's work.
            let closed = tokio::time::timeout(Duration::from_millis(500), connection.closed()).await;
            Err(closed.unwrap_or(quinn::ConnectionError::LocallyClosed))
        }
    }
}

/// Opens the append lane.
pub(crate) async fn open_append(connection: &Connection) -> Result<SendStream, quinn::ConnectionError> {
    let mut send = connection.open_uni().await?;
    let kind = StreamKind::Append;
    let opened = async {
        send.set_priority(kind.priority()).ok()?;
        send.write_all(&[kind.byte()]).await.ok()
    };
    match opened.await {
        Some(()) => Ok(send),
        None => Err(connection.closed().await),
    }
}

/// The first byte of a stream that the other side opened; None if it never came.
pub(crate) async fn read_kind(receive: &mut RecvStream) -> Result<Option<StreamKind>, Malformed> {
    let mut byte = [0];
    match tokio::time::timeout(OPENING_TIMEOUT, receive.read_exact(&mut byte)).await {
        Ok(Ok(())) => StreamKind::parse(byte[0]).map(Some),
        Ok(Err(_)) | Err(_) => Ok(None),
    }
}

/// Answers a dialler's first byte.
pub(crate) async fn greet(send: &mut SendStream, kind: StreamKind) -> Result<(), NetError> {
    send.set_priority(kind.priority()).map_err(NetError::lost)?;
    send.write_all(&[HELLO]).await.map_err(NetError::lost)
}
