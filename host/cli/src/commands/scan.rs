//! `scan`: the keys that begin with a prefix, page by page; with their values if wanted.
//!
//! It walks with SCAN where the engine has it, else it asks KEYS for all at once. The order is the engine's.

use std::collections::VecDeque;
use std::ffi::OsString;

use crate::code::Code;
use crate::failure::Failure;
use crate::format::Format;
use crate::global::Global;
use crate::input::Encoding;
use crate::output::Output;
use crate::{json, session};
use bytes::Bytes;
use clap::Args;
use outboard_client::{Client, ClientError, Reply};
use serde_json::json;
use tokio::task::JoinSet;

/// Keys that one page looks at.
const PAGE_KEYS: &str = "1000";
/// Values that are asked for at the same time.
const VALUES_AT_ONCE: usize = 64;

/// Flags of `scan`.
#[derive(Args, Debug)]
pub(crate) struct ScanArgs {
    /// Only keys that begin so
    #[arg(default_value = "")]
    prefix: OsString,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print the values too, behind a tab
    #[arg(long)]
    values: bool,
    #[command(flatten)]
    encoding: Encoding,
}

pub(crate) async fn run(global: &Global, args: ScanArgs, out: &mut Output) -> Result<(), Failure> {
    let prefix = if args.prefix.is_empty() { Vec::new() } else { args.encoding.read(&args.prefix)? };
    let client = session::client(global).await?;
    let mut keys = Keys::new(client.clone(), &prefix);
    let mut left = args.limit.unwrap_or(u64::MAX);
    while left > 0
        && let Some(mut page) = keys.page().await?
    {
        page.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= page.len() as u64;
        if args.values {
            for (key, value) in values(&client, page).await? {
                write(out, &key, Some(&value))?;
            }
        } else {
            page.iter().try_for_each(|key| write(out, key, None))?;
        }
    }
    out.flush()
}

fn write(out: &mut Output, key: &[u8], value: Option<&[u8]>) -> Result<(), Failure> {
    match (out.format(), value) {
        (Format::Json | Format::Jsonl, None) => out.item(&json!({ "$type": "key", "key": json::bytes(key) })),
        (Format::Json | Format::Jsonl, Some(value)) => {
            out.item(&json!({ "$type": "record", "key": json::bytes(key), "value": json::bytes(value) }))
        }
        (Format::Text | Format::Raw, None) => out.line(key),
        (Format::Text | Format::Raw, Some(value)) => {
            out.bytes(key)?;
            out.bytes(b"\t")?;
            out.line(value)
        }
    }
}

/// A walk through the keys.
pub(crate) struct Keys {
    client: Client,
    pattern: Vec<u8>,
    /// Where the walk goes on; none at its end.
    cursor: Option<Bytes>,
}

impl Keys {
    pub(crate) fn new(client: Client, prefix: &[u8]) -> Keys {
        Keys { client, pattern: pattern(prefix), cursor: Some(Bytes::from_static(b"0")) }
    }

    /// The next keys (there may be none on a page), or the end.
    pub(crate) async fn page(&mut self) -> Result<Option<Vec<Bytes>>, Failure> {
        let Some(cursor) = self.cursor.take() else { return Ok(None) };
        let command: [&[u8]; 6] = [b"SCAN", &cursor, b"MATCH", &self.pattern, b"COUNT", PAGE_KEYS.as_bytes()];
        match self.client.command(command).idempotent(true).await {
            Ok(reply) => {
                let (next, keys) = split_page(reply)?;
                self.cursor = (next.as_ref() != b"0").then_some(next);
                Ok(Some(keys))
            }
            Err(ClientError::Rejected(text)) if text.contains("unknown command") => {
                let command: [&[u8]; 2] = [b"KEYS", &self.pattern];
                let reply = self.client.command(command).idempotent(true).await?;
                Ok(Some(byte_strings(reply)?))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The values of some keys, in their order; without those that went away meanwhile.
async fn values(client: &Client, keys: Vec<Bytes>) -> Result<Vec<(Bytes, Bytes)>, Failure> {
    let mut waiting: VecDeque<(usize, Bytes)> = keys.into_iter().enumerate().collect();
    let mut asked = JoinSet::new();
    let mut found = Vec::with_capacity(waiting.len());
    loop {
        while asked.len() < VALUES_AT_ONCE
            && let Some((place, key)) = waiting.pop_front()
        {
            let client = client.clone();
            asked.spawn(async move {
                let command = vec![Bytes::from_static(b"GET"), key.clone()];
                let reply = client.command_bytes(command).idempotent(true).send().await;
                reply.map(|reply| (place, key, reply.into_bytes()))
            });
        }
        let Some(answered) = asked.join_next().await else { break };
        let (place, key, value) = answered.expect("asking doesn't panic")?;
        found.extend(value.map(|value| (place, key, value)));
    }
    found.sort_by_key(|(place, _, _)| *place);
    Ok(found.into_iter().map(|(_, key, value)| (key, value)).collect())
}

/// A pattern that fits what begins with these bytes, whatever they are.
fn pattern(prefix: &[u8]) -> Vec<u8> {
    let mut pattern = Vec::with_capacity(prefix.len() + 1);
    for byte in prefix {
        if b"*?[]\\^".contains(byte) {
            pattern.push(b'\\');
        }
        pattern.push(*byte);
    }
    pattern.push(b'*');
    pattern
}

fn split_page(reply: Reply) -> Result<(Bytes, Vec<Bytes>), Failure> {
    let mut parts = reply.into_array().unwrap_or_default().into_iter();
    match (parts.next().and_then(Reply::into_bytes), parts.next(), parts.next()) {
        (Some(cursor), Some(keys), None) => Ok((cursor, byte_strings(keys)?)),
        _ => Err(Failure::new(Code::Protocol, "the engine's SCAN doesn't answer with a cursor and keys")),
    }
}

fn byte_strings(reply: Reply) -> Result<Vec<Bytes>, Failure> {
    let strings: Option<Vec<Bytes>> =
        reply.into_array().and_then(|keys| keys.into_iter().map(Reply::into_bytes).collect());
    strings.ok_or_else(|| Failure::new(Code::Protocol, "the engine doesn't answer with a list of keys"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_taken_literally() {
        assert_eq!(pattern(b""), b"*");
        assert_eq!(pattern(b"a*[b]\\"), b"a\\*\\[b\\]\\\\*");
    }

    #[test]
    fn a_page_is_a_cursor_and_keys() {
        let page = |resp: &'static [u8]| split_page(Reply::parse(&Bytes::from_static(resp)).expect("a reply"));
        let (cursor, keys) = page(b"*2\r\n$2\r\n17\r\n*1\r\n$1\r\na\r\n").expect("a page");
        assert_eq!((cursor.as_ref(), keys), (b"17".as_ref(), vec![Bytes::from_static(b"a")]));
        assert!(page(b"*1\r\n$2\r\n17\r\n").is_err() && page(b"+OK\r\n").is_err());
    }
}
