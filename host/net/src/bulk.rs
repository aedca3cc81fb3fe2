//! Long transfers (a snapshot, a component): a stream of its own beside the lanes, with the lowest priority.
//!
//! The opener sends a header that says what it wants; then both sides read and write as they agree. At most
//! [`BULK_STREAMS_MAX`](crate::transport::BULK_STREAMS_MAX) at once on a connection: opening one more waits.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use quinn::{Connection, RecvStream, SendStream};

use crate::error::NetError;
use crate::frame::{check_length, read_frame};
use crate::identity::Principal;
use crate::lane::StreamKind;

/// Longest header of a bulk stream.
pub const BULK_HEADER_BYTES_MAX: usize = 64 << 10;
/// Longest frame inside a bulk stream.
pub const BULK_FRAME_BYTES_MAX: usize = 16 << 20;
/// Most bytes that one read returns.
const CHUNK_BYTES_MAX: usize = 1 << 20;

/// Both directions of one transfer. Dropping it unfinished breaks it off, which the other side sees as an error.
pub struct BulkStream {
    from: Principal,
    header: Bytes,
    send: SendStream,
    receive: RecvStream,
    finished: bool,
    /// Keeps the connection that this stream lives on from being closed.
    _connection: Option<Arc<dyn Any + Send + Sync>>,
}

impl BulkStream {
    pub(crate) async fn open(
        connection: &Connection,
        from: Principal,
        header: Bytes,
        keep: Option<Arc<dyn Any + Send + Sync>>,
    ) -> Result<BulkStream, NetError> {
        check_length(header.len(), BULK_HEADER_BYTES_MAX)?;
        let (mut send, receive) = connection.open_bi().await.map_err(NetError::lost)?;
        send.set_priority(StreamKind::Bulk.priority()).map_err(NetError::lost)?;
        let mut opening = vec![StreamKind::Bulk.byte()];
        opening.extend_from_slice(&(header.len() as u32).to_le_bytes());
        opening.extend_from_slice(&header);
        send.write_all(&opening).await.map_err(NetError::lost)?;
        Ok(BulkStream { from, header, send, receive, finished: false, _connection: keep })
    }

    /// The other end of [`BulkStream::open`], after the stream's first byte said what it is.
    pub(crate) async fn accept(from: Principal, send: SendStream, receive: RecvStream) -> Result<BulkStream, NetError> {
        let mut stream = BulkStream { from, header: Bytes::new(), send, receive, finished: false, _connection: None };
        let header = read_frame(&mut stream.receive, BULK_HEADER_BYTES_MAX).await?;
        stream.header = header.ok_or_else(|| NetError::lost("the stream ended before its header"))?;
        Ok(stream)
    }

    /// Who is at the other end.
    pub fn from(&self) -> &Principal {
        &self.from
    }

    /// What the opener sent first.
    pub fn header(&self) -> &Bytes {
        &self.header
    }

    /// The next bytes, however many are here (1 MiB at most); None after the other side's `finish`.
    pub async fn read_chunk(&mut self) -> Result<Option<Bytes>, NetError> {
        let chunk = self.receive.read_chunk(CHUNK_BYTES_MAX, true).await.map_err(NetError::lost)?;
        Ok(chunk.map(|chunk| chunk.bytes))
    }

    /// What one `write_frame` wrote; None after the other side's `finish`. May be mixed with `read_chunk` at frame boundaries.
    pub async fn read_frame(&mut self) -> Result<Option<Bytes>, NetError> {
        read_frame(&mut self.receive, BULK_FRAME_BYTES_MAX).await
    }

    /// Writes all bytes; waits while the other side doesn't read.
    pub async fn write_all(&mut self, bytes: Bytes) -> Result<(), NetError> {
        self.send.write_chunk(bytes).await.map_err(NetError::lost)
    }

    /// Writes a frame of at most [`BULK_FRAME_BYTES_MAX`].
    pub async fn write_frame(&mut self, frame: Bytes) -> Result<(), NetError> {
        check_length(frame.len(), BULK_FRAME_BYTES_MAX)?;
        let length = Bytes::copy_from_slice(&(frame.len() as u32).to_le_bytes());
        self.send.write_all_chunks(&mut [length, frame]).await.map_err(NetError::lost)
    }

    /// Nothing more will be written; waits until the other side's QUIC has everything.
    pub async fn finish(&mut self) -> Result<(), NetError> {
        if !self.finished {
            self.send.finish().map_err(NetError::lost)?;
            self.finished = true;
        }
        match self.send.stopped().await {
            Ok(None) => Ok(()),
            Ok(Some(code)) => Err(NetError::lost(format!("the other side stopped reading (code {code})"))),
            Err(error) => Err(NetError::lost(error)),
        }
    }
}

impl Drop for BulkStream {
    fn drop(&mut self) {
        if !self.finished {
            // Without this, quinn would finish the stream and half a snapshot would look whole. An error means it is gone already.
            self.send.reset(crate::refusal::CloseCode::Done.number()).unwrap_or_default();
        }
    }
}

impl fmt::Debug for BulkStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkStream")
            .field("from", &self.from)
            .field("header_bytes", &self.header.len())
            .finish_non_exhaustive()
    }
}
