//! Frames on a stream: `[length u32 LE][body]`; on the request stream a body begins with `[id u64 LE]`.
//!
//! The decoder takes what QUIC hands over, packet by packet, and yields all frames that are whole. A frame inside one packet is a slice of
//! that packet; one across packets is put together once. Nothing is allocated for a length that is only claimed. An empty frame on a
//! lane is a probe: it makes the other side's QUIC answer and is never handed over. Tests: at the end.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use quinn::{RecvStream, SendStream};

use crate::error::NetError;

/// Longest frame between peers.
pub const PEER_FRAME_BYTES_MAX: usize = 80 << 20;
/// Longest request or response, with its id.
pub const CLIENT_FRAME_BYTES_MAX: usize = 16 << 20;

/// The request id before each body on the request stream.
pub(crate) const ID_BYTES: usize = 8;
const LENGTH_BYTES: usize = 4;
/// How much is set aside for a frame before its bytes have come.
const TRUST_BYTES: usize = 256 << 10;
/// Shorter bodies are copied into one buffer with their neighbours; longer ones travel as they are.
const COPY_BYTES_MAX: usize = 4 << 10;
/// Packets that one look at a stream takes.
const CHUNKS_MAX: usize = 64;

/// Finds the frames in a stream's bytes.
#[derive(Debug)]
pub(crate) struct Decoder {
    frame_bytes_max: usize,
    /// A frame's beginning, its length included; empty between frames.
    partial: BytesMut,
}

impl Decoder {
    pub(crate) fn new(frame_bytes_max: usize) -> Decoder {
        Decoder { frame_bytes_max, partial: BytesMut::new() }
    }

    /// Takes the stream's next bytes; appends every frame that is whole now.
    pub(crate) fn push(&mut self, mut chunk: Bytes, frames: &mut Vec<Bytes>) -> Result<(), Malformed> {
        while !chunk.is_empty() {
            if self.partial.is_empty() && chunk.len() >= LENGTH_BYTES {
                let length = self.length(&chunk)?;
                if chunk.len() >= LENGTH_BYTES + length {
                    chunk.advance(LENGTH_BYTES);
                    frames.push(chunk.split_to(length));
                    continue;
                }
            }
            if let Some(frame) = self.complete(&mut chunk)? {
                frames.push(frame);
            }
        }
        Ok(())
    }

    /// Whether the stream may end here.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.partial.is_empty()
    }

    /// Moves bytes from the chunk to the partial frame; yields it when it is whole.
    fn complete(&mut self, chunk: &mut Bytes) -> Result<Option<Bytes>, Malformed> {
        let missing = LENGTH_BYTES.saturating_sub(self.partial.len()).min(chunk.len());
        self.partial.extend_from_slice(&chunk.split_to(missing));
        if self.partial.len() < LENGTH_BYTES {
            return Ok(None);
        }
        let total = LENGTH_BYTES + self.length(&self.partial)?;
        let wanted = total - self.partial.len();
        let here = wanted.min(chunk.len());
        if self.partial.capacity() - self.partial.len() < here {
            // Doubles, but never beyond the frame.
            self.partial.reserve(wanted.min(TRUST_BYTES.max(self.partial.len())).max(here));
        }
        self.partial.extend_from_slice(&chunk.split_to(here));
        if self.partial.len() < total {
            return Ok(None);
        }
        let mut frame = std::mem::take(&mut self.partial).freeze();
        frame.advance(LENGTH_BYTES);
        Ok(Some(frame))
    }

    fn length(&self, mut bytes: &[u8]) -> Result<usize, Malformed> {
        let length = bytes.get_u32_le() as usize;
        if length > self.frame_bytes_max { Err(Malformed::TooLong(length)) } else { Ok(length) }
    }
}

/// Bytes that are no frames.
#[derive(Copy, Clone, Eq, PartialEq, Debug, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a frame of {0} bytes is too long")]
    TooLong(usize),
    #[error("a request of {0} bytes is too short for its id")]
    TooShort(usize),
    #[error("the stream ended inside a frame")]
    Truncated,
    #[error("a stream of unknown kind {0}")]
    UnknownKind(u8),
}

/// Why reading frames ended.
#[derive(Debug)]
pub(crate) enum ReadEnd {
    /// The stream or its connection ended.
    Closed,
    /// The other side broke the format.
    Malformed(Malformed),
}

/// Reads a stream, many packets at a time.
pub(crate) struct FrameReader {
    stream: RecvStream,
    decoder: Decoder,
    chunks: Vec<Bytes>,
}

impl FrameReader {
    pub(crate) fn new(stream: RecvStream, frame_bytes_max: usize) -> FrameReader {
        FrameReader { stream, decoder: Decoder::new(frame_bytes_max), chunks: vec![Bytes::new(); CHUNKS_MAX] }
    }

    /// All frames that are here, at least one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Result<Vec<Bytes>, ReadEnd> {
        let mut frames = Vec::new();
        while frames.is_empty() {
            let count = match self.stream.read_chunks(&mut self.chunks).await {
                Ok(Some(count)) => count,
                Ok(None) if self.decoder.is_between_frames() => return Err(ReadEnd::Closed),
                Ok(None) => return Err(ReadEnd::Malformed(Malformed::Truncated)),
                Err(_) => return Err(ReadEnd::Closed),
            };
            for chunk in &mut self.chunks[..count] {
                self.decoder.push(std::mem::take(chunk), &mut frames).map_err(ReadEnd::Malformed)?;
            }
        }
        Ok(frames)
    }
}

/// The next frame of a stream that is read frame by frame; None at its end. Nothing is allocated for a length that is only claimed.
pub(crate) async fn read_frame(stream: &mut RecvStream, bytes_max: usize) -> Result<Option<Bytes>, NetError> {
    let Some(first) = stream.read_chunk(1, true).await.map_err(NetError::lost)? else {
        return Ok(None);
    };
    let mut length = [first.bytes[0], 0, 0, 0];
    stream.read_exact(&mut length[1..]).await.map_err(NetError::lost)?;
    let length = u32::from_le_bytes(length) as usize;
    check_length(length, bytes_max)?;
    let mut frame = BytesMut::new();
    while frame.len() < length {
        let chunk = stream.read_chunk(length - frame.len(), true).await.map_err(NetError::lost)?;
        let chunk = chunk.ok_or_else(|| NetError::lost(Malformed::Truncated))?;
        frame.extend_from_slice(&chunk.bytes);
    }
    Ok(Some(frame.freeze()))
}

/// Whether so many bytes may be one frame.
pub(crate) fn check_length(bytes: usize, max: usize) -> Result<(), NetError> {
    if bytes > max { Err(NetError::TooLarge { bytes: bytes as u64, max: max as u64 }) } else { Ok(()) }
}

/// A frame on its way out.
#[derive(Debug)]
pub(crate) struct Frame {
    /// The request that it belongs to, on a request stream.
    pub(crate) id: Option<u64>,
    /// What follows.
    pub(crate) body: Bytes,
}

/// Turns many frames into few chunks and writes them in one go.
pub(crate) struct FrameWriter {
    buffer: BytesMut,
    chunks: Vec<Bytes>,
}

impl FrameWriter {
    const BUFFER_BYTES: usize = 128 << 10;

    pub(crate) fn new() -> FrameWriter {
        FrameWriter { buffer: BytesMut::new(), chunks: Vec::new() }
    }

    /// Writes all frames, in order; returns their bytes. Not cancel-safe: a stream left in the middle is of no more use.
    pub(crate) async fn write(&mut self, stream: &mut SendStream, frames: &mut Vec<Frame>) -> Result<usize, NetError> {
        self.encode(frames);
        let bytes = self.chunks.iter().map(Bytes::len).sum();
        let written = stream.write_all_chunks(&mut self.chunks).await;
        self.chunks.clear();
        written.map(|()| bytes).map_err(NetError::lost)
    }

    fn encode(&mut self, frames: &mut Vec<Frame>) {
        for Frame { id, body } in frames.drain(..) {
            let room = LENGTH_BYTES + ID_BYTES + if body.len() <= COPY_BYTES_MAX { body.len() } else { 0 };
            if self.buffer.capacity() - self.buffer.len() < room {
                self.flush();
                self.buffer.reserve(FrameWriter::BUFFER_BYTES);
            }
            let id_bytes = if id.is_some() { ID_BYTES } else { 0 };
            let length = u32::try_from(id_bytes + body.len()).expect("frames are bounded where they are queued");
            self.buffer.put_u32_le(length);
            if let Some(id) = id {
                self.buffer.put_u64_le(id);
            }
            if body.len() <= COPY_BYTES_MAX {
                self.buffer.put_slice(&body);
            } else {
                self.flush();
                self.chunks.push(body);
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        if !self.buffer.is_empty() {
            self.chunks.push(self.buffer.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(bodies: &[Vec<u8>], id: Option<u64>) -> Vec<u8> {
        let mut writer = FrameWriter::new();
        let mut frames: Vec<Frame> =
            bodies.iter().map(|body| Frame { id, body: Bytes::copy_from_slice(body) }).collect();
        writer.encode(&mut frames);
        writer.chunks.concat()
    }

    fn decoded(bytes: &[u8], cut: usize, max: usize) -> Result<(Vec<Bytes>, bool), Malformed> {
        let mut decoder = Decoder::new(max);
        let mut frames = Vec::new();
        for chunk in bytes.chunks(cut) {
            decoder.push(Bytes::copy_from_slice(chunk), &mut frames)?;
        }
        Ok((frames, decoder.is_between_frames()))
    }

    #[test]
    fn frames_survive_any_cutting_into_packets() {
        let bodies: Vec<Vec<u8>> =
            [0, 1, 3, 4, 5, 255, 256, COPY_BYTES_MAX, COPY_BYTES_MAX + 1, 70_000, 0, 0, 12, 300_000, 1]
                .iter()
                .enumerate()
                .map(|(at, length)| vec![at as u8; *length])
                .collect();
        let bytes = encoded(&bodies, None);
        for cut in [1, 2, 3, 4, 5, 7, 64, 1_200, 6_500, 65_536, bytes.len()] {
            let (frames, whole) = decoded(&bytes, cut, 300_000).expect("these are frames");
            assert_eq!(frames, bodies, "cut into {cut}");
            assert!(whole);
        }
    }

    #[test]
    fn a_frame_inside_one_packet_is_not_copied() {
        let bytes = Bytes::from(encoded(&[vec![7; 100], vec![8; 100]], None));
        let mut frames = Vec::new();
        Decoder::new(1_000).push(bytes.clone(), &mut frames).expect("these are frames");
        assert_eq!(frames[1].as_ptr(), bytes[108..].as_ptr());
    }

    #[test]
    fn a_length_beyond_the_limit_is_malformed_however_it_arrives() {
        let bytes = encoded(&[vec![1; 10], vec![1; 11]], None);
        for cut in [1, 3, 14, 15, 100] {
            assert_eq!(decoded(&bytes, cut, 10).expect_err("too long"), Malformed::TooLong(11));
        }
    }

    #[test]
    fn random_bytes_are_frames_or_malformed_but_never_a_panic() {
        let mut state = 7u64;
        let mut next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as usize
        };
        for _ in 0..2_000 {
            let mut decoder = Decoder::new(300);
            let mut frames = Vec::new();
            for _ in 0..next() % 20 {
                let chunk: Vec<u8> = (0..next() % 40).map(|_| (next() % 3) as u8).collect();
                if decoder.push(Bytes::from(chunk), &mut frames).is_err() {
                    break;
                }
            }
            assert!(frames.iter().all(|frame| frame.len() <= 300));
        }
    }

    #[test]
    fn a_claimed_length_allocates_little() {
        let mut decoder = Decoder::new(PEER_FRAME_BYTES_MAX);
        let mut frames = Vec::new();
        let claim = (PEER_FRAME_BYTES_MAX as u32).to_le_bytes();
        decoder.push(Bytes::copy_from_slice(&claim), &mut frames).expect("within the limit");
        decoder.push(Bytes::from_static(b"abc"), &mut frames).expect("within the limit");
        assert!(decoder.partial.capacity() <= 2 * TRUST_BYTES, "{} bytes", decoder.partial.capacity());
        assert!(frames.is_empty() && !decoder.is_between_frames());
    }

    #[test]
    fn ids_stand_before_bodies_and_small_frames_share_a_chunk() {
        let mut writer = FrameWriter::new();
        let mut frames: Vec<Frame> =
            (0..100).map(|id| Frame { id: Some(id), body: Bytes::from_static(b"xy") }).collect();
        writer.encode(&mut frames);
        assert_eq!(writer.chunks.len(), 1);
        let (frames, _) = decoded(&writer.chunks[0], 9, 10).expect("these are frames");
        assert_eq!(frames.len(), 100);
        assert_eq!(&frames[99][..], b"\x63\0\0\0\0\0\0\0xy");
    }
}
