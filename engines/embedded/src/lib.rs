//! The engines that the program carries, as finished components. `build.rs` builds them; no binary is committed.
//!
//! To everyone who uses this crate an engine is bytes: what is in them is learnt from the sandbox, as with any other file.

/// The default engine: the Redis commands for keys, counters and expiry. Schema 1.
pub const KV: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kv.wasm"));

/// The teaching engine, from which [`KV`] is a live upgrade over the same tables. Schema 1.
pub const KV_BASIC: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/kv_basic.wasm"));

/// The engine that misbehaves on command, for tests only; never found by name. Schema 1.
pub const CHAOS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/chaos.wasm"));

/// An engine that users may ask for by its name.
pub fn by_name(name: &str) -> Option<&'static [u8]> {
    match name {
        "kv" => Some(KV),
        "kv-basic" => Some(KV_BASIC),
        _ => None,
    }
}
