//! A bounded queue of frames before one stream: anybody puts frames in without waiting, one writer takes all that waits at once.

use std::mem;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::frame::Frame;

/// How much may wait.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Room {
    pub(crate) frames_max: usize,
    pub(crate) bytes_max: usize,
}

/// Why a frame was not taken.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Refused {
    /// There is no room.
    Full,
    /// Nobody will write it.
    Closed,
}

/// The queue. Invariant: while it is closed it is empty.
#[derive(Debug)]
pub(crate) struct Outbox {
    room: Room,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Debug)]
struct State {
    open: bool,
    finishing: bool,
    bytes: usize,
    frames: Vec<Frame>,
}

impl Outbox {
    pub(crate) fn new(room: Room, open: bool) -> Outbox {
        let state = State { open, finishing: false, bytes: 0, frames: Vec::new() };
        Outbox { room, state: Mutex::new(state), wake: Notify::new() }
    }

    /// Puts a frame in. A queue that is empty takes a frame of any size, so every frame that is legal gets through.
    pub(crate) fn push(&self, frame: Frame) -> Result<(), Refused> {
        let mut state = self.lock();
        if !state.open || state.finishing {
            return Err(Refused::Closed);
        }
        let full = state.frames.len() >= self.room.frames_max || state.bytes + frame.body.len() > self.room.bytes_max;
        if full && !state.frames.is_empty() {
            return Err(Refused::Full);
        }
        state.bytes += frame.body.len();
        state.frames.push(frame);
        let first = state.frames.len() == 1;
        drop(state);
        // The writer takes everything, so only the first frame has to wake it.
        if first {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Swaps all that waits into `frames` (which is empty); false once the queue is closed, or finishing and empty. Cancel-safe.
    pub(crate) async fn take_all(&self, frames: &mut Vec<Frame>) -> bool {
        debug_assert!(frames.is_empty(), "the writer has written what it took");
        loop {
            {
                let mut state = self.lock();
                if !state.frames.is_empty() {
                    mem::swap(&mut state.frames, frames);
                    state.bytes = 0;
                    return true;
                }
                if !state.open || state.finishing {
                    return false;
                }
            }
            self.wake.notified().await;
        }
    }

    /// A new connection: frames may wait again.
    pub(crate) fn open(&self) {
        let mut state = self.lock();
        state.open = true;
        state.finishing = false;
    }

    /// Takes no more; what waits may still be written.
    pub(crate) fn finish(&self) {
        self.lock().finishing = true;
        self.wake.notify_one();
    }

    /// Takes no more and gives back what waited.
    pub(crate) fn close(&self) -> Vec<Frame> {
        let mut state = self.lock();
        state.open = false;
        state.bytes = 0;
        let frames = mem::take(&mut state.frames);
        drop(state);
        self.wake.notify_one();
        frames
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds an outbox")
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn frame(bytes: usize) -> Frame {
        Frame { id: None, body: Bytes::from(vec![0; bytes]) }
    }

    #[test]
    fn an_outbox_is_bounded_by_count_and_by_bytes() {
        let outbox = Outbox::new(Room { frames_max: 3, bytes_max: 10 }, true);
        assert_eq!([4, 4, 4, 2].map(|bytes| outbox.push(frame(bytes))), [Ok(()), Ok(()), Err(Refused::Full), Ok(())]);
        assert_eq!(outbox.push(frame(0)), Err(Refused::Full));
        assert_eq!(outbox.close().len(), 3);
        assert_eq!(outbox.push(frame(0)), Err(Refused::Closed));
        outbox.open();
        assert_eq!(outbox.push(frame(11)), Ok(()), "alone, a frame may be larger than the room");
    }

    #[tokio::test]
    async fn the_writer_takes_all_and_ends_when_the_outbox_finished() {
        let outbox = Outbox::new(Room { frames_max: 9, bytes_max: 99 }, true);
        let mut frames = Vec::new();
        for _ in 0..5 {
            outbox.push(frame(1)).expect("there is room");
        }
        outbox.finish();
        assert!(outbox.take_all(&mut frames).await);
        assert_eq!(frames.len(), 5);
        frames.clear();
        assert!(!outbox.take_all(&mut frames).await);
    }
}
