//! The default engine: the Redis commands for keys, strings, counters and expiry, over the tables of schema 1.
//!
//! Replies are Redis 7.0's, byte for byte in RESP3 notation, error texts included; `tests/redis/` holds them against a real
//! redis-server over thousands of drawn sequences of commands. What differs is meant:
//!
//! | What               | Redis 7.0                                 | `kv`                                                          |
//! |--------------------|-------------------------------------------|---------------------------------------------------------------|
//! | keys               | up to 512 MiB                             | up to 65,280 bytes, else `ERR key is too long`                |
//! | values             | up to 512 MiB (`proto-max-bulk-len`)      | up to 1 MiB, else the same error                              |
//! | databases          | 16                                        | one, number 0 (COPY … DB)                                     |
//! | FLUSHALL, FLUSHDB  | any number of keys                        | up to 50,000 keys (8 MiB of names), else an error and no change |
//! | SCAN's cursor      | a place in a hash table                   | a place in the order of the keys' hashes: each key comes once |
//! | SCAN … TYPE none   | may bring keys that are over              | brings none                                                   |
//! | KEYS               | in no order                               | in the order of the keys' bytes                               |
//! | RANDOMKEY          | chance                                    | chance from the log's place and time                          |
//! | DBSIZE             | counts what is over until it is removed   | the same, but what is removed when differs                    |
//! | error texts        | show what was sent, whatever it is        | show what is no UTF-8 as U+FFFD                               |
//! | CAS                | is not there                              | compares and sets                                             |
//! | not there          | DUMP INCRBYFLOAT LCS MIGRATE MOVE OBJECT RESTORE SUBSTR SWAPDB, bits, all other types | unknown commands  |
//!
//! INCRBYFLOAT is left out since Redis computes it in the machine's long double: its results differ between machines, and
//! an engine's must not.
//!
//! Time is the time stamped into the command by the leader, the same on every node. A key whose time is over is gone for
//! every reader from that stamp on. Its record goes when a write meets it, or with one of the small sweeps that writes do on
//! the side; until then DBSIZE counts it, as in Redis.
//!
//! - `record.rs`: the layout. `keyspace.rs`: all writing, and what must stay true between the tables.
//! - The commands: `set.rs`, `strings.rs`, `ranges.rs`, `numbers.rs` on values; `keys.rs`, `scan.rs`, `moves.rs`, `flush.rs`
//!   on keys; `expiry.rs` on time, with `lifetime.rs`, the grammar of `EX 10` and the like.
//! - Tests: `tests/`, stories for each command, a comparison with a model under random commands, and with Redis.

mod expiry;
mod flush;
mod keys;
mod keyspace;
mod lifetime;
mod moves;
mod numbers;
mod ranges;
mod record;
mod scan;
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
        numbers::incr,
        strings::mget,
        strings::mset,
        strings::append,
        strings::cas,
        strings::getdel,
        strings::getex,
        strings::msetnx,
        strings::strlen,
        ranges::getrange,
        ranges::setrange,
        set::getset,
        set::psetex,
        set::setex,
        set::setnx,
        numbers::decr,
        numbers::decrby,
        numbers::incrby,
        keys::dbsize,
        keys::del,
        keys::exists,
        keys::keys,
        keys::randomkey,
        keys::touch,
        keys::r#type,
        keys::unlink,
        scan::scan,
        moves::copy,
        moves::rename,
        moves::renamenx,
        flush::flushall,
        flush::flushdb,
        expiry::expire,
        expiry::expireat,
        expiry::expiretime,
        expiry::persist,
        expiry::pexpire,
        expiry::pexpireat,
        expiry::pexpiretime,
        expiry::pttl,
        expiry::ttl,
    ],
}
