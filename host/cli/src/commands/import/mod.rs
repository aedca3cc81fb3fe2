//! `import`: a file of keys and values, many writes under way at once, through elections if need be.
//!
//! Each line is one `SET` with a name in a session: when an answer is lost it is asked for again, and the line is still written once.
//! Two lines with the same key are never under way together, so the later one wins, as it would line by line. The file is read by a
//! thread of its own, so that what a slow writer has piped in so far is written and reported without waiting for its next line.

mod lines;
mod reader;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::code::Code;
use crate::failure::{Failure, unreadable};
use crate::global::Global;
use crate::output::Output;
use crate::{session, units};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use lines::{LineError, Lines, Record};
use outboard_client::{Client, ClientError};
use reader::Reader;
use serde_json::json;
use tokio::task::JoinSet;

/// A write may wait this long at least: an election or a restart must not end an import.
const TIMEOUT_MIN: Duration = Duration::from_secs(60);
/// Lines named on stderr; the others are counted.
const NAMED_MAX: u64 = 20;
const FILE_BUFFER_BYTES: usize = 256 << 10;

/// Flags of `import`.
#[derive(Args, Debug)]
pub(crate) struct ImportArgs {
    /// The file, - for stdin
    file: PathBuf,
    /// The form of its lines [default: by its extension; tsv if that says nothing]
    #[arg(long, value_enum)]
    format: Option<LineFormat>,
    /// Between key and value in tsv: the first one on a line
    #[arg(long, value_name = "CHARACTER", default_value = "\t", value_parser = parse_separator)]
    separator: u8,
    /// Writes under way at the same time
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=8192))]
    pipeline: u32,
    /// Read and check everything, write nothing
    #[arg(long)]
    dry_run: bool,
}

/// The form of a file's lines.
#[derive(Copy, Clone, Eq, PartialEq, Debug, ValueEnum)]
pub(crate) enum LineFormat {
    /// A key, the separator, and the value up to the end of the line
    Tsv,
    /// {"key": …, "value": …}, each a text or {"utf8": …} or {"base64": …}
    Jsonl,
}

pub(crate) async fn run(global: &Global, args: ImportArgs, out: &mut Output) -> Result<(), Failure> {
    let format = args.format.unwrap_or_else(|| format_of(&args.file));
    let bar = bar(global, &args.file);
    let source = BufReader::with_capacity(FILE_BUFFER_BYTES, bar.wrap_read(open(&args.file)?));
    let lines = Lines::new(source, format, args.separator);
    let began = Instant::now();
    let mut import = Import::new(&bar);
    let ended = if args.dry_run {
        import.check(lines, &args.file)
    } else {
        let client = session::client(global).await?;
        let written = import.write(Reader::start(lines), &args, &client, global.timeout.max(TIMEOUT_MIN)).await;
        client.close().await;
        written
    };
    bar.finish_and_clear();
    import.report(began.elapsed(), args.dry_run, out)?;
    out.flush()?;
    ended?;
    import.judge()
}

/// What was done so far.
struct Import<'a> {
    bar: &'a ProgressBar,
    written: u64,
    bytes: u64,
    refused: u64,
}

type Done = (u64, Bytes, Result<(), ClientError>);

impl Import<'_> {
    fn new(bar: &ProgressBar) -> Import<'_> {
        Import { bar, written: 0, bytes: 0, refused: 0 }
    }

    fn check(&mut self, lines: Lines<impl io::BufRead>, file: &Path) -> Result<(), Failure> {
        for line in lines {
            match line.map_err(|error| unreadable(file, &error))? {
                Ok(record) => self.count(&record),
                Err(error) => self.name(error.line, &error.what),
            }
        }
        Ok(())
    }

    async fn write(
        &mut self,
        mut lines: Reader,
        args: &ImportArgs,
        client: &Client,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let mut under_way: JoinSet<Done> = JoinSet::new();
        let mut keys: HashSet<Bytes> = HashSet::new();
        loop {
            let line = tokio::select! {
                biased;
                // First, as it costs nothing and keeps the list of keys short.
                Some(done) = under_way.join_next() => {
                    self.on_done(done.expect("writing doesn't panic"), &mut keys)?;
                    continue;
                }
                line = lines.next() => line,
            };
            let Some(line) = line else { break };
            let record = match line.map_err(|error| unreadable(&args.file, &error))? {
                Ok(record) => record,
                Err(LineError { line, what }) => {
                    self.name(line, &what);
                    continue;
                }
            };
            while under_way.len() >= args.pipeline as usize || keys.contains(&record.key) {
                let done = under_way.join_next().await.expect("a key in the list is under way");
                self.on_done(done.expect("writing doesn't panic"), &mut keys)?;
            }
            self.count(&record);
            keys.insert(record.key.clone());
            let client = client.clone();
            under_way.spawn(async move {
                let Record { line, key, value } = record;
                let command = vec![Bytes::from_static(b"SET"), key.clone(), value];
                let result = client.command_bytes(command).timeout(timeout).send_raw().await;
                (line, key, result.map(drop))
            });
        }
        while let Some(done) = under_way.join_next().await {
            self.on_done(done.expect("writing doesn't panic"), &mut keys)?;
        }
        Ok(())
    }

    /// A line that the engine refuses is left out; anything else ends the import.
    fn on_done(&mut self, (line, key, result): Done, keys: &mut HashSet<Bytes>) -> Result<(), Failure> {
        keys.remove(&key);
        match result {
            Ok(()) => Ok(()),
            Err(error @ (ClientError::Rejected(_) | ClientError::Failed(_) | ClientError::Invalid(_))) => {
                self.written -= 1;
                self.name(line, &error.to_string());
                Ok(())
            }
            Err(
                error @ (ClientError::Unavailable(_)
                | ClientError::Timeout(_)
                | ClientError::Unknown(_)
                | ClientError::WatchBroken
                | ClientError::Auth(_)
                | ClientError::Conflict(_)
                | ClientError::AtRisk(_)
                | ClientError::Forbidden(_)
                | ClientError::Refused(_)
                | ClientError::Protocol(_)),
            ) => {
                let failure = Failure::from(error).during(&format!("the import stopped at line {line}"));
                Err(failure
                    .help("run it again when the cluster is well: what is there is written again to the same value"))
            }
        }
    }

    fn count(&mut self, record: &Record) {
        self.written += 1;
        self.bytes += (record.key.len() + record.value.len()) as u64;
    }

    fn name(&mut self, line: u64, what: &str) {
        self.refused += 1;
        match self.refused {
            ..=NAMED_MAX => self.bar.suspend(|| eprintln!("line {line}: {what}")),
            refused if refused == NAMED_MAX + 1 => self.bar.suspend(|| eprintln!("more such lines are only counted")),
            _ => {}
        }
    }

    fn report(&self, elapsed: Duration, dry_run: bool, out: &mut Output) -> Result<(), Failure> {
        let rate = self.written as f64 / elapsed.as_secs_f64().max(1e-6);
        if out.format().is_json() {
            return out.document(&json!({
                "$type": "imported",
                "records": self.written,
                "refused": self.refused,
                "bytes": self.bytes,
                "elapsed_ms": elapsed.as_millis() as u64,
                "records_per_second": rate.round(),
                "dry_run": dry_run,
            }));
        }
        let verb = if dry_run { "checked" } else { "imported" };
        let (records, refused) = (units::thousands(self.written), units::thousands(self.refused));
        let rate = units::thousands(rate as u64);
        out.line(format!(
            "{records} records {verb}, {refused} refused, {} in {} ({rate}/s)",
            units::size(self.bytes),
            units::short(elapsed)
        ))
    }

    fn judge(&self) -> Result<(), Failure> {
        match self.refused {
            0 => Ok(()),
            refused => {
                Err(Failure::new(Code::ImportIncomplete, format!("{} lines were left out", units::thousands(refused)))
                    .help("outboard explain OB1012"))
            }
        }
    }
}

fn open(file: &Path) -> Result<Box<dyn Read + Send>, Failure> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(io::stdin()));
    }
    let opened = File::open(file).map_err(|error| unreadable(file, &error))?;
    Ok(Box::new(opened))
}

/// Hidden where stderr is no terminal.
fn bar(global: &Global, file: &Path) -> ProgressBar {
    if global.quiet {
        return ProgressBar::hidden();
    }
    let length = std::fs::metadata(file).ok().filter(|metadata| metadata.is_file()).map(|metadata| metadata.len());
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "import {wide_bar} {bytes}/{total_bytes} {eta}"),
        None => (ProgressBar::new_spinner(), "import {spinner} {bytes}"),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is a constant that indicatif knows"))
}

fn format_of(file: &Path) -> LineFormat {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl" | "ndjson" | "json") => LineFormat::Jsonl,
        Some(_) | None => LineFormat::Tsv,
    }
}

fn parse_separator(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        b"\n" | b"\r" => Err("a line's end can't separate inside a line".to_owned()),
        [byte] => Ok(*byte),
        _ => Err("one character, such as ';' or '\\t'".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides_the_format() {
        assert_eq!(format_of(Path::new("a/x.jsonl")), LineFormat::Jsonl);
        assert_eq!(format_of(Path::new("UnicodeData.txt")), LineFormat::Tsv);
        assert_eq!(format_of(Path::new("-")), LineFormat::Tsv);
    }

    #[test]
    fn a_separator_is_one_character() {
        assert_eq!(parse_separator("\\t"), Ok(b'\t'));
        assert_eq!(parse_separator(";"), Ok(b';'));
        assert!(parse_separator("").is_err() && parse_separator("::").is_err() && parse_separator("\n").is_err());
    }
}
