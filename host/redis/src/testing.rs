//! What the unit tests share.

use bytes::Bytes;
use outboard_sandbox::{CommandSpec, KeyPositions, Manifest};
use std::sync::Arc;

/// A line as an argument vector.
pub(crate) fn words(line: &str) -> Vec<Bytes> {
    line.split_whitespace().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

/// Of a small engine: GET, SET, DBSIZE.
pub(crate) fn manifest() -> Arc<Manifest> {
    let command = |name: &str, summary: &str, writes, arguments_min, arguments_max, first| CommandSpec {
        name: name.into(),
        summary: summary.into(),
        writes,
        arguments_min,
        arguments_max,
        keys: KeyPositions { first, last: first.cast_signed(), step: first },
    };
    Arc::new(Manifest {
        name: "small".into(),
        version: "1.2.3".into(),
        schema: 1,
        reads_schemas: Vec::new(),
        caches: false,
        commands: vec![
            command("GET", "GET key -- the value, or nil.", false, 1, Some(1), 1),
            command("SET", "SET key value [NX|XX] -- stores the value.", true, 2, None, 1),
            command("DBSIZE", "how many keys there are.", false, 0, Some(0), 0),
        ],
    })
}

/// A certificate for `localhost`, and its key, both PEM.
pub(crate) fn certificate() -> (String, String) {
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a key is made");
    (pair.cert.pem(), pair.signing_key.serialize_pem())
}
