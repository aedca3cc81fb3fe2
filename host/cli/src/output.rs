//! What goes to stdout: data only, in one of four forms.
//!
//! A reader that closes the pipe ends the program quietly. Never: adds colour or hints to stdout.

use std::io::{self, BufWriter, Write};

use crate::code::Code;
use crate::failure::Failure;
use crate::format::Format;
use serde_json::Value;

/// Where data goes.
pub(crate) struct Output {
    format: Format,
    to: BufWriter<Box<dyn Write + Send>>,
}

impl Output {
    pub(crate) fn stdout(format: Format) -> Output {
        Output::new(format, Box::new(io::stdout()))
    }

    pub(crate) fn new(format: Format, to: Box<dyn Write + Send>) -> Output {
        Output { format, to: BufWriter::new(to) }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.to.write_all(bytes).map_err(|error| failed(&error))
    }

    /// A line of text.
    pub(crate) fn line(&mut self, text: impl AsRef<[u8]>) -> Result<(), Failure> {
        self.bytes(text.as_ref())?;
        self.bytes(b"\n")
    }

    /// One document: over several lines for `json`, on one for `jsonl`.
    pub(crate) fn document(&mut self, document: &Value) -> Result<(), Failure> {
        check(document);
        if self.format == Format::Jsonl { self.line(document.to_string()) } else { self.line(format!("{document:#}")) }
    }

    /// One item of a stream, always on one line.
    pub(crate) fn item(&mut self, document: &Value) -> Result<(), Failure> {
        check(document);
        self.line(document.to_string())
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.to.flush().map_err(|error| failed(&error))
    }
}

fn check(document: &Value) {
    assert!(document["$type"].is_string(), "every document has its $type");
}

fn failed(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::new(Code::OutputClosed, "the output was closed")
    } else {
        Failure::new(Code::WriteFile, format!("can't write to stdout: {error}"))
    }
}
