//! From a guest crate to a finished component: `cargo build` for the Wasm target, then the core module is wrapped.
//!
//! A node takes only components, so this step stands on the author's side: in `outboard engine build` and `push`, and in
//! the build of the engines that the program carries. It knows nothing of engines' contents.
//!
//! Invariants: the same sources give the same bytes, wherever the checkout lies and whatever flags the surrounding build
//! was given, since the digest of the bytes is the engine's identity. What an engine may import is not judged here but by
//! the node that admits it.
//!
//! Tests: below, and `engines/embedded/tests/` (which looks into real components).

mod build;

pub use build::{Build, Built, build};

use anyhow::{Context, Result, ensure};
use wit_component::ComponentEncoder;

/// The target that guests are built for: std works there, and nothing of the outside world is imported unasked.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Every Wasm binary begins so; the next four bytes tell a core module from a component.
const MAGIC: &[u8; 4] = b"\0asm";
const CORE_MODULE: &[u8; 4] = &[0x01, 0x00, 0x00, 0x00];
const COMPONENT: &[u8; 4] = &[0x0d, 0x00, 0x01, 0x00];

/// Wraps a core module that was built with the SDK into a component, and validates the result.
///
/// The module carries its WIT world in a custom section; a module without one, or one that lacks an export of its world,
/// is an error that says so.
pub fn componentize(module: &[u8]) -> Result<Vec<u8>> {
    ensure!(!is_component(module), "this is a component already");
    ensure!(is_core_module(module), "this is not a WebAssembly module");
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .context("the module does not describe its world; was it built with the Outboard SDK?")?
        .encode()
        .context("the module does not fit the world that it describes")
}

/// Whether these bytes claim to be a component. Says nothing of the rest of them.
pub fn is_component(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) && bytes[4..].starts_with(COMPONENT)
}

/// Whether these bytes claim to be a core module, which [`componentize`] may turn into a component.
pub fn is_core_module(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) && bytes[4..].starts_with(CORE_MODULE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_MODULE: &[u8] = b"\0asm\x01\0\0\0";
    const EMPTY_COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn a_component_is_told_from_a_module_and_from_garbage() {
        assert!(is_component(EMPTY_COMPONENT) && !is_core_module(EMPTY_COMPONENT));
        assert!(is_core_module(EMPTY_MODULE) && !is_component(EMPTY_MODULE));
        for garbage in [&b""[..], b"\0as", b"\0asm", b"\0asm\x0d", b"hello, world"] {
            assert!(!is_component(garbage) && !is_core_module(garbage), "{garbage:?}");
        }
    }

    #[test]
    fn what_is_not_a_module_is_refused_with_the_cause() {
        let refusal = |bytes| format!("{:#}", componentize(bytes).expect_err("garbage was wrapped"));
        assert_eq!(refusal(b"hello"), "this is not a WebAssembly module");
        assert_eq!(refusal(EMPTY_COMPONENT), "this is a component already");
        let cut_short = b"\0asm\x01\0\0\0\x01\x7f";
        assert!(componentize(cut_short).is_err());
    }
}
