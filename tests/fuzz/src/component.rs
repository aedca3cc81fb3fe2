//! The admission of engines: whatever is pushed is refused with a reason or runs. Bytes that don't begin as WebAssembly does are pieces (place,
//! 4 bytes; length, 1 byte) that are written over a good engine: few other ways lead past the first look.

use outboard_sandbox::{Limits, Sandbox};
use std::sync::LazyLock;
use std::time::Duration;

/// Little of everything, so that a component that does much is refused soon.
static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| {
    let limits = Limits {
        apply_fuel: 1_000_000,
        open_fuel: 1_000_000,
        memory_bytes_max: 4 << 20,
        query_timeout: Duration::from_secs(1),
        ..Limits::default()
    };
    Sandbox::new(limits, None).expect("this machine can run engines")
});

/// Bytes as somebody pushes them.
pub fn admit(bytes: &[u8]) -> bool {
    if bytes.starts_with(b"\0asm") {
        return push(bytes);
    }
    let (mut engine, mut rest) = (outboard_embedded::KV_BASIC.to_vec(), bytes);
    while let Some(([a, b, c, d, length], after)) = rest.split_first_chunk() {
        let at = u32::from_le_bytes([*a, *b, *c, *d]) as usize % engine.len();
        let length = usize::from(*length).min(after.len()).min(engine.len() - at);
        engine[at..at + length].copy_from_slice(&after[..length]);
        rest = &after[length..];
    }
    push(&engine)
}

fn push(bytes: &[u8]) -> bool {
    match SANDBOX.admit(bytes) {
        Ok(component) => {
            assert_eq!(component.digest().0, *blake3::hash(bytes).as_bytes(), "a component is known by its bytes");
            true
        }
        Err(refusal) => {
            assert!(!refusal.to_string().is_empty(), "a refusal says why");
            false
        }
    }
}
