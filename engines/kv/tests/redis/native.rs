//! The engine's side: kv, run natively on the bench, in a gateway's place.

use kv::ENGINE;
use outboard_sdk::ReadTables;
use outboard_sdk::testing::Bench;

use crate::resp::{self, Value};
use crate::sequence::Command;

/// Table 2 holds the ends of keys' times (`engines/kv/src/record.rs`).
const EXPIRY: u32 = 2;

pub(crate) struct Native {
    bench: Bench,
}

impl Native {
    pub(crate) fn new() -> Native {
        Native { bench: Bench::new(&ENGINE) }
    }

    /// Time only goes on.
    pub(crate) fn set_clock(&mut self, ms: i64) {
        let ms = u64::try_from(ms).expect("this machine's clock is set to a time after 1970");
        let by = ms.checked_sub(self.bench.now_ms()).expect("this machine's clock is set and does not go back");
        self.bench.advance_ms(by);
    }

    /// The reply in RESP3, the form in which engines answer.
    pub(crate) fn answer(&mut self, command: &[impl AsRef<[u8]>]) -> Value {
        match self.bench.call(command) {
            Ok(notation) => {
                let mut rest = notation.as_slice();
                let value = resp::read(&mut rest).expect("an engine answers in RESP3");
                assert!(rest.is_empty(), "an engine answers with one value");
                value
            }
            Err(text) => Value::Error(text.into_bytes()),
        }
    }

    /// SCAN driven to its end: all keys that came, or the error that came.
    pub(crate) fn answer_whole_scan(&mut self, command: &Command) -> Value {
        let mut command = command.clone();
        let mut found = Vec::new();
        loop {
            let answer = self.answer(&command);
            let Value::Array(mut page) = answer else { return answer };
            let (Some(Value::Array(keys)), Some(Value::Bulk(cursor))) = (page.pop(), page.pop()) else {
                panic!("a page of SCAN is a cursor and keys");
            };
            found.extend(keys);
            if cursor == b"0" {
                return Value::Array(found);
            }
            command[1] = cursor;
        }
    }

    /// All keys that are live.
    pub(crate) fn live_keys(&mut self) -> Vec<Value> {
        let answer = self.answer(&["KEYS", "*"]);
        let Value::Array(keys) = answer else { panic!("KEYS * answered {answer:?}") };
        keys
    }

    /// Whether some key's time ends within these milliseconds, the last one excluded.
    pub(crate) fn has_ends_between(&self, from_ms: i64, to_ms: i64) -> bool {
        let bytes = |ms: i64| u64::try_from(ms).unwrap_or(0).to_be_bytes();
        !self.bench.tables().scan(EXPIRY, &bytes(from_ms), Some(&bytes(to_ms)), 1, false).is_empty()
    }

    /// How many keys there may be whose time is over.
    pub(crate) fn over(&mut self) -> usize {
        let now = self.bench.now_ms().to_be_bytes();
        self.bench.tables().scan(EXPIRY, b"", Some(&now), u32::MAX, false).len()
    }
}
