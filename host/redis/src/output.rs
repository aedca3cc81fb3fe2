//! What a client is told and has not taken yet.

use crate::transport::Transport;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

/// Room that an idle connection may keep for its next reply, in bytes.
const TAIL_BYTES_KEPT: usize = 512;
/// Buffers that are written with one call.
const SLICES_MAX: usize = 16;

/// Replies that the socket has not taken yet. Small ones are gathered, large ones are kept as they are.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Before `tail`.
    whole: VecDeque<Bytes>,
    tail: Vec<u8>,
    /// Of `tail`, so many bytes are written; 0 while `whole` has something.
    written: usize,
    /// In `whole`.
    whole_bytes: usize,
}

impl Output {
    /// Where small replies are appended.
    pub(crate) fn small(&mut self) -> &mut Vec<u8> {
        &mut self.tail
    }

    /// Appends a reply without a copy.
    pub(crate) fn large(&mut self, bytes: Bytes) {
        if !self.tail.is_empty() {
            let mut tail = Bytes::from(std::mem::take(&mut self.tail));
            if self.whole.is_empty() {
                tail.advance(std::mem::take(&mut self.written));
            }
            self.push(tail);
        }
        self.push(bytes);
    }

    fn push(&mut self, bytes: Bytes) {
        self.whole_bytes += bytes.len();
        self.whole.push_back(bytes);
    }

    /// Not written yet, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.whole_bytes + self.tail.len() - self.written
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Memory that is held, in bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.whole_bytes + self.tail.capacity()
    }

    /// Writes what the socket takes; true when that is all.
    pub(crate) fn write_to(&mut self, transport: &mut Transport) -> io::Result<bool> {
        while !self.is_empty() {
            let result = if self.whole.is_empty() {
                transport.write(&[IoSlice::new(&self.tail[self.written..])])
            } else {
                let all = self.whole.iter().map(|bytes| IoSlice::new(bytes)).chain([IoSlice::new(&self.tail)]);
                transport.write(&all.take(SLICES_MAX).collect::<Vec<_>>())
            };
            match result {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.advance(count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(first) = self.whole.front_mut() {
            let taken = count.min(first.len());
            first.advance(taken);
            self.whole_bytes -= taken;
            count -= taken;
            if !first.is_empty() {
                return;
            }
            self.whole.pop_front();
        }
        self.written += count;
        assert!(self.written <= self.tail.len(), "no more is written than was there");
        if self.written == self.tail.len() {
            self.written = 0;
            self.tail.clear();
            if self.tail.capacity() > TAIL_BYTES_KEPT {
                self.tail = Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(output: &Output) -> Vec<u8> {
        let whole = output.whole.iter().flat_map(|bytes| bytes.iter());
        whole.chain(&output.tail[output.written..]).copied().collect()
    }

    #[test]
    fn small_and_large_replies_keep_their_order_however_they_are_written() {
        for step in 1..12 {
            let mut output = Output::default();
            output.small().extend_from_slice(b"ab");
            output.advance(1);
            output.small().extend_from_slice(b"cd");
            output.large(Bytes::from_static(b"EFGH"));
            output.large(Bytes::from_static(b"I"));
            output.small().extend_from_slice(b"jk");
            let mut left = b"bcdEFGHIjk".to_vec();
            while !left.is_empty() {
                assert_eq!((all(&output), output.bytes()), (left.clone(), left.len()));
                let count = step.min(left.len());
                output.advance(count);
                left.drain(..count);
            }
            assert!(output.is_empty());
        }
    }

    #[test]
    fn an_idle_output_keeps_little_room() {
        let mut output = Output::default();
        output.small().extend_from_slice(&[b'x'; 100_000]);
        output.advance(100_000);
        assert_eq!(output.held_bytes(), 0);
        output.small().extend_from_slice(b"+OK\r\n");
        output.advance(5);
        assert!(output.held_bytes() <= TAIL_BYTES_KEPT);
    }
}
