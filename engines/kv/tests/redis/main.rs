//! What `kv` claims of Redis' commands, compared reply by reply with a real redis-server: some thousand sequences of
//! commands drawn from seeds, and stories of the corners. Error texts are compared like all other replies.
//!
//! `KV_SEEDS=0..100000 cargo test -p kv --test redis` compares as many sequences as wanted. A sequence that differs is
//! made shorter while it still does, and printed with its seed.
//!
//! - From a seed to a sequence: `generate.rs` draws from `usage.rs` (each command's usage, read from the engine's own
//!   manifest) and `vocabulary.rs` (the arguments); `sequence.rs` is the result.
//! - Both sides: `real.rs` plays sequences on a `server.rs`, `native.rs` on the engine; `resp.rs` are their replies.
//! - `compare.rs` compares, `search.rs` goes through the seeds and makes what differs shorter.
//! - `tolerated.rs` names the differences that are meant and that sequences meet; `meant.rs` shows the others.
//! - `stories.rs`: corners that chance seldom finds, and what was once found.
//!
//! Where there is no redis-server of the version whose words `kv` speaks, the tests say so on stderr and test nothing.

mod compare;
mod generate;
mod meant;
mod native;
mod real;
mod resp;
mod search;
mod sequence;
mod server;
mod stories;
mod tolerated;
mod usage;
mod vocabulary;

use compare::Protocol;

#[test]
fn random_sequences_are_answered_as_redis_answers_them() {
    search::compare_seeds(Protocol::Resp2);
}

#[test]
fn random_sequences_are_answered_as_redis_answers_them_in_resp3() {
    search::compare_seeds(Protocol::Resp3);
}
