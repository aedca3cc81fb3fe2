//! What the commands do to their surroundings. `black_box` keeps the compiler from seeing that it is pointless.

use std::cell::Cell;
use std::hint::black_box;

use outboard_sdk::{Reply, Result, log};

/// Where outsized records go, apart from schema 1.
pub(crate) const TABLE: u32 = 1_000_000;

/// A reply that is written as it is, RESP3 or not.
pub(crate) struct RawReply(Vec<u8>);

impl Reply for RawReply {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

pub(crate) fn trap() -> ! {
    panic!("chaos was asked to trap")
}

pub(crate) fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// Not a tail call: something is left to do after each.
pub(crate) fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    if black_box(depth) == 0 {
        return 0;
    }
    recurse(depth + 1) + black_box(frame)[0]
}

/// Writes to what it takes, so that the pages are really there.
pub(crate) fn eat() -> i64 {
    const BITE_BYTES: usize = 1 << 20;
    let mut eaten = Vec::new();
    loop {
        eaten.push(black_box(vec![0xee_u8; BITE_BYTES]));
        if black_box(eaten.len()) == usize::MAX {
            return eaten.len() as i64;
        }
    }
}

pub(crate) fn garbage(kind: &str) -> Result<RawReply> {
    Ok(RawReply(match kind {
        "text" => b"this is no reply".to_vec(),
        "empty" => Vec::new(),
        // The announced bytes don't come.
        "cut" => b"$100\r\nfew".to_vec(),
        "two" => b"+OK\r\n+OK\r\n".to_vec(),
        // Dangerous for whoever reads arrays by recursion.
        "deep" => b"*1\r\n".repeat(200_000),
        // Dangerous for whoever reserves what is announced.
        "lie" => b"*2147483647\r\n:1\r\n".to_vec(),
        _ => return Err("ERR kinds of garbage: text, empty, cut, two, deep, lie".into()),
    }))
}

pub(crate) fn flood(lines: u32, bytes: u32) {
    let line = "!".repeat(bytes as usize);
    for _ in 0..lines {
        log::info(&line);
    }
}

#[cfg(target_family = "wasm")]
pub(crate) fn write_past_the_types(table: u32, key: &[u8], value: &[u8]) {
    outboard_sdk::bindings::outboard::engine::tables::put(table, key, value);
}

/// Natively there is no host to call; the type of a view is all that there is.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn write_past_the_types(_table: u32, _key: &[u8], _value: &[u8]) {
    panic!("the host traps: a read that writes")
}

/// State in guest memory without `caches: true`, and an outcome that depends on it: forbidden twice.
pub(crate) fn asked_so_often() -> u64 {
    thread_local! {
        static ASKED: Cell<u64> = const { Cell::new(0) };
    }
    ASKED.with(|asked| {
        asked.set(asked.get() + 1);
        asked.get()
    })
}
