//! SCAN: all keys, page by page.

use outboard_sdk::args::parse_i64;
use outboard_sdk::{Args, Error, FromArgs, Result, Shape, View, command, glob};

use crate::keys::TYPE_OF_VALUES;
use crate::keyspace::live;
use crate::record::{ORDER, PLACE_MAX, place_bytes, split_order_key};

/// SCAN cursor [MATCH pattern] [COUNT number] [TYPE type] -- a page of keys, and the cursor of the next page or 0.
///
/// Keys are walked in the order of their hashes, and the cursor is the hash to go on with. So nothing is kept for a client
/// between two pages, any node can serve the next one, and a key that is there from the first page to the last is returned
/// exactly once, whatever happens to others meanwhile. The price is one small record more for each key. Keys with equal
/// hashes come on one page.
#[command(read)]
pub(crate) fn scan(store: &View, cursor: Cursor, options: ScanOptions) -> Result<(String, Vec<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut last = None;
    for (looked_at, (entry, _)) in store.pages(ORDER, &place_bytes(cursor.0), None).enumerate() {
        let (place, key) = split_order_key(&entry);
        if looked_at >= options.count && last != Some(place) {
            return Ok((place.to_string(), found));
        }
        last = Some(place);
        if options.wants(key) && live(store, key).is_some() {
            found.push(key.to_vec());
        }
    }
    Ok(("0".to_owned(), found))
}

/// Where a walk goes on.
pub(crate) struct Cursor(u64);

impl FromArgs for Cursor {
    const SHAPE: Shape = Shape::ONE;

    fn from_args(args: &mut Args) -> Result<Cursor> {
        parse_cursor(&args.take()?).map(Cursor).ok_or(Error::constant("ERR invalid cursor"))
    }
}

/// Cursors are read less strictly than other numbers, as by C's strtoul: signs, leading zeros and no digits at all are
/// taken, and whatever follows a zero byte. What is beyond all places leads to the end.
fn parse_cursor(text: &[u8]) -> Option<u64> {
    let text = text.split(|byte| *byte == 0).next()?;
    if text.is_empty() {
        return Some(0);
    }
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse::<u64>().ok()?;
    let number = if negative { number.wrapping_neg() } else { number };
    Some(number.min(PLACE_MAX))
}

/// Which keys a walk returns, and how many a page looks at.
pub(crate) struct ScanOptions {
    pattern: Option<Vec<u8>>,
    count: usize,
    type_fits: bool,
}

impl ScanOptions {
    fn wants(&self, key: &[u8]) -> bool {
        self.type_fits && self.pattern.as_ref().is_none_or(|pattern| glob::matches(pattern, key))
    }
}

/// What Redis takes when COUNT is not given.
const SCAN_COUNT: usize = 10;
/// A page looks at no more keys than this, whatever COUNT says: it bounds the time of one query.
const SCAN_COUNT_MAX: usize = 10_000;

impl FromArgs for ScanOptions {
    const SHAPE: Shape = Shape::OPTIONS;

    fn from_args(args: &mut Args) -> Result<ScanOptions> {
        let mut options = ScanOptions { pattern: None, count: SCAN_COUNT, type_fits: true };
        while let Some(word) = args.keyword() {
            match word.as_slice() {
                b"MATCH" => options.pattern = Some(args.option()?),
                b"TYPE" => {
                    let wanted = args.keyword().ok_or(Error::SYNTAX)?;
                    options.type_fits = wanted.eq_ignore_ascii_case(TYPE_OF_VALUES.as_bytes());
                }
                b"COUNT" => {
                    let count = parse_i64(&args.option::<Vec<u8>>()?).ok_or(Error::NOT_AN_INTEGER)?;
                    if count < 1 {
                        return Err(Error::SYNTAX);
                    }
                    options.count = usize::try_from(count).unwrap_or(usize::MAX).min(SCAN_COUNT_MAX);
                }
                _ => return Err(Error::SYNTAX),
            }
        }
        Ok(options)
    }
}
