//! Lines of input, read on a thread of their own: the runtime must go on keeping connections alive while a person thinks.
//!
//! The thread reads the next line only when it is asked to, so that the prompt comes after the answer.

use std::io::BufRead;
use std::sync::mpsc;

use crate::code::Code;
use crate::failure::Failure;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Where lines come from.
pub(super) struct Lines {
    ask: mpsc::Sender<()>,
    answers: UnboundedReceiver<Result<String, String>>,
}

impl Lines {
    /// From a person, with editing and a history.
    pub(super) fn terminal(prompt: &'static str) -> Lines {
        Lines::start(move |asked, answers| match DefaultEditor::new() {
            Ok(editor) => serve_terminal(editor, prompt, asked, answers),
            Err(error) => answers.send(Err(error.to_string())).unwrap_or_default(),
        })
    }

    /// From a pipe or a file.
    pub(super) fn plain() -> Lines {
        Lines::start(|asked, answers| {
            let mut lines = std::io::stdin().lock().lines();
            while asked.recv().is_ok() {
                let Some(line) = lines.next() else { return };
                if answers.send(line.map_err(|error| error.to_string())).is_err() {
                    return;
                }
            }
        })
    }

    /// The next line; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<String>, Failure> {
        if self.ask.send(()).is_err() {
            return Ok(None);
        }
        match self.answers.recv().await {
            Some(Ok(line)) => Ok(Some(line)),
            Some(Err(error)) => Err(Failure::new(Code::ReadFile, format!("can't read stdin: {error}"))),
            None => Ok(None),
        }
    }

    fn start(
        serve: impl FnOnce(mpsc::Receiver<()>, UnboundedSender<Result<String, String>>) + Send + 'static,
    ) -> Lines {
        let (ask, asked) = mpsc::channel();
        let (sender, answers) = unbounded_channel();
        // Not joined: it may sit in a read that only the end of the process ends.
        std::thread::spawn(move || serve(asked, sender));
        Lines { ask, answers }
    }
}

fn serve_terminal(
    mut editor: DefaultEditor,
    prompt: &str,
    asked: mpsc::Receiver<()>,
    answers: UnboundedSender<Result<String, String>>,
) {
    while asked.recv().is_ok() {
        let answer = match editor.readline(prompt) {
            Ok(line) => {
                // A history that is full or refuses a line is no reason to stop.
                editor.add_history_entry(&line).map(drop).unwrap_or_default();
                Ok(line)
            }
            // Ctrl-C empties the line, Ctrl-D leaves.
            Err(ReadlineError::Interrupted) => Ok(String::new()),
            Err(ReadlineError::Eof) => return,
            Err(error) => Err(error.to_string()),
        };
        if answers.send(answer).is_err() {
            return;
        }
    }
}
