//! The four forms that data and errors are written in.

use clap::ValueEnum;

/// The form of the output.
#[derive(Copy, Clone, Eq, PartialEq, Debug, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// One document, or a line for each item of a stream
    Json,
    /// Everything on single lines
    Jsonl,
    /// Bytes as they are, with nothing added
    Raw,
}

impl Format {
    pub(crate) fn is_json(self) -> bool {
        matches!(self, Format::Json | Format::Jsonl)
    }
}
