//! The lines of an import, read ahead on a thread of their own: a pipe may stay silent for as long as it likes.

use std::io::{self, BufRead};
use std::thread::{self, JoinHandle};

use super::lines::{LineError, Lines, Record};
use tokio::sync::mpsc;

/// Lines that are read and not yet taken.
const AHEAD_MAX: usize = 64;

type Line = io::Result<Result<Record, LineError>>;

/// Dropped, it leaves the thread to itself: it may sit in a read that never ends, and goes with the process.
pub(super) struct Reader {
    lines: mpsc::Receiver<Line>,
    thread: Option<JoinHandle<()>>,
}

impl Reader {
    pub(super) fn start(lines: Lines<impl BufRead + Send + 'static>) -> Reader {
        let (sender, receiver) = mpsc::channel(AHEAD_MAX);
        let thread = thread::spawn(move || {
            for line in lines {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Reader { lines: receiver, thread: Some(thread) }
    }

    /// The next line; none at the end of the file. May be given up and called again.
    pub(super) async fn next(&mut self) -> Option<Line> {
        let line = self.lines.recv().await;
        if line.is_none()
            && let Some(thread) = self.thread.take()
        {
            // It has dropped its sender, so this doesn't wait; a file must not seem to end where the reader did.
            thread.join().expect("reading lines doesn't panic");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::import::LineFormat;
    use std::io::{BufReader, Write};

    #[tokio::test]
    async fn a_line_comes_although_the_next_one_does_not() {
        let (pipe, mut writer) = io::pipe().expect("a pipe");
        let mut reader = Reader::start(Lines::new(BufReader::new(pipe), LineFormat::Tsv, b'\t'));
        for key in ["a", "b"] {
            // The pipe stays open and silent behind it.
            writeln!(writer, "{key}\tvalue").expect("a reader is there");
            let record = reader.next().await.expect("a line").expect("readable").expect("a record");
            assert_eq!(record.key, key);
        }
        drop(writer);
        assert!(reader.next().await.is_none());
    }
}
