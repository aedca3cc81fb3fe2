//! The shapes inside JSON documents: bytes, numbers of 64 bits, engines.

use crate::encoding;
use outboard_wire::bulk::Readiness;
use outboard_wire::command::EngineRecord;
use serde_json::{Value, json};

/// Keys and values: `{"utf8": …}`, or `{"base64": …}` when they are not text.
pub(crate) fn bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "utf8": text }),
        Err(_) => json!({ "base64": encoding::to_base64(bytes) }),
    }
}

/// Indexes, terms and ids are strings: JSON's numbers lose digits beyond 2^53 in many tools.
pub(crate) fn id(number: u64) -> Value {
    Value::String(number.to_string())
}

/// What an engine is.
pub(crate) fn engine(engine: &EngineRecord) -> Value {
    json!({
        "name": engine.name,
        "version": engine.version,
        "digest": engine.digest.to_string(),
        "schema": engine.schema,
        "reads_schemas": engine.reads_schemas,
        "bytes": engine.bytes,
    })
}

/// A node's word on an engine.
pub(crate) fn readiness(node: &str, readiness: &Readiness) -> Value {
    match readiness {
        Readiness::Ready => json!({ "node": node, "state": "ready" }),
        Readiness::Waiting => json!({ "node": node, "state": "waiting" }),
        Readiness::Refused(why) => json!({ "node": node, "state": "refused", "why": why }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_or_base64_and_ids_are_strings() {
        assert_eq!(bytes("Žluť".as_bytes()), json!({ "utf8": "Žluť" }));
        assert_eq!(bytes(b"\xff\x00"), json!({ "base64": "/wA=" }));
        assert_eq!(id(u64::MAX), json!("18446744073709551615"));
    }
}
