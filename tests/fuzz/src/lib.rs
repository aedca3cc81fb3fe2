//! Bytes from outside: a target for everything that reads some. A target takes any bytes and returns; it panics if a decoder does, or if
//! what was read is not what was written.
//!
//! | target | what reads the bytes | file |
//! | --- | --- | --- |
//! | `peer` | frames between nodes | [`messages`] |
//! | `client` | requests and answers, as a node and as a client reads them | [`messages`] |
//! | `entry` | commands in entries of the log, and what is kept of them in the tables | [`messages`] |
//! | `bulk` | the first frame of a stream, and its answer | [`messages`] |
//! | `join` | tokens, requests to join, answers, requests for certificates | [`messages`] |
//! | `redis` | what Redis clients send, in pieces of any size | [`messages`] |
//! | `log` | the log's recovery, over a log that somebody has meddled with | [`log`] |
//! | `snapshot` | a snapshot's frames, its manifest and its chunks, on their arrival | [`snapshot`] |
//! | `component` | the admission of an engine | [`component`] |
//!
//! `cargo test -p outboard-fuzz` runs every target for a moment, over `corpus/` and changes of it that a seed draws. With a nightly compiler
//! (`rustup toolchain install nightly --target wasm32-unknown-unknown`) and a C++ compiler, libFuzzer runs a target as long as one likes; new
//! input goes to a folder of one's own:
//!
//! ```text
//! cd tests/fuzz/libfuzzer
//! mkdir -p /tmp/peer && cargo +nightly run --release --bin peer -- /tmp/peer ../corpus/peer -max_total_time=60
//! ```
//!
//! What such a run finds becomes a file in `corpus/`, named after what was wrong. The samples there are written by
//! `cargo run -p outboard-fuzz`.

pub mod component;
pub mod log;
pub mod messages;
pub mod samples;
pub mod short_run;
pub mod snapshot;

/// One door of the program.
pub struct Target {
    /// Its name, that of its folder in `corpus/` and of its binary.
    pub name: &'static str,
    /// Any bytes. Tells whether they made sense.
    pub read: fn(&[u8]) -> bool,
    /// A short run tries so many changes of the corpus.
    pub tries: u32,
}

/// All of them.
pub const TARGETS: [Target; 9] = [
    Target { name: "peer", read: messages::peer, tries: 20_000 },
    Target { name: "client", read: messages::client, tries: 20_000 },
    Target { name: "entry", read: messages::entry, tries: 20_000 },
    Target { name: "bulk", read: messages::bulk, tries: 10_000 },
    Target { name: "join", read: messages::join, tries: 10_000 },
    Target { name: "redis", read: messages::redis, tries: 20_000 },
    Target { name: "log", read: log::recover, tries: 1_500 },
    Target { name: "snapshot", read: snapshot::receive, tries: 3_000 },
    Target { name: "component", read: component::admit, tries: 60 },
];

/// For a fuzzer's binary.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a binary is named after its target");
    (target.read)(bytes);
}
