//! The default engine: the Redis commands for keys, strings, counters and expiry, over the tables of schema 1.
//!
//! Replies are Redis 7.0's, byte for byte in RESP3 notation, error texts included. What differs is told at the command:
//! SCAN's cursor, and the limits of the host (keys of 64 KiB, values of 1 MiB).
//!
//! Time is the time stamped into the command by the leader, the same on every node. A key whose time is over is gone for
//! every reader from that stamp on. Its record goes when a write meets it, or with one of the small sweeps that writes do on
//! the side; until then DBSIZE counts it, as in Redis.
//!
//! - `record.rs`: the layout. `keyspace.rs`: all writing, and what must stay true between the tables.
//! - `strings.rs`, `numbers.rs`, `keys.rs`, `expiry.rs`: the commands. `set.rs`: the grammar of SET's options.
//! - Tests: `tests/`, stories for each command and a comparison with a model under random commands.

mod expiry;
mod keys;
mod keyspace;
mod numbers;
mod record;
mod set;
mod strings;

outboard_sdk::engine! {
    name: "kv",
    version: "0.1.0",
    schema: 1,
    commands: [
        // The two that are run most stand first: a lookup goes from the front.
        strings::get,
        set::set,
        strings::append,
        strings::cas,
        strings::getdel,
        strings::mget,
        strings::mset,
        strings::setnx,
        strings::strlen,
        numbers::decr,
        numbers::decrby,
        numbers::incr,
        numbers::incrby,
        keys::dbsize,
        keys::del,
        keys::exists,
        keys::keys,
        keys::scan,
        keys::r#type,
        expiry::expire,
        expiry::persist,
        expiry::pexpire,
        expiry::pttl,
        expiry::ttl,
    ],
}
