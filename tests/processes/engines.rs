//! What may be pushed, what not, and an engine that does its worst.

use crate::OUTBOARD;
use outboard_tests::{Cluster, skip};
use std::path::{Path, PathBuf};

const COMPONENT_HEAD: &[u8] = b"\0asm\x0d\0\x01\0";
const COMPONENT_BYTES_MAX: usize = 16 << 20;

#[test]
fn what_is_no_engine_is_refused_at_push_with_the_cause_and_the_running_one_goes_on() {
    let cluster = Cluster::start(OUTBOARD, 1);
    let push = |name: &str, bytes: &[u8]| {
        let file = cluster.folder().join(name);
        std::fs::write(&file, bytes).expect("writable");
        cluster.run(["engine".as_ref(), "push".as_ref(), file.as_os_str()])
    };
    push("text.wasm", b"hello").exits(7).says(["OB7003", "not a WebAssembly"]);
    push("cut.wasm", b"\0asm").exits(7).says(["OB7003"]);
    push("empty-module.wasm", b"\0asm\x01\0\0\0").exits(7).says(["OB7003"]);
    push("damaged.wasm", &[COMPONENT_HEAD, &[1, 0x7f]].concat()).exits(7).says(["OB7003"]);
    push("empty-component.wasm", COMPONENT_HEAD).exits(7).says(["OB7003", "export"]);
    push("wasi.wasm", &component_importing("wasi:cli/environment@0.2.0"))
        .exits(7)
        .says(["OB7003", "wasi:cli/environment"]);
    push("large.wasm", &padded_component(COMPONENT_BYTES_MAX + 1)).exits(7).says(["OB7003", "16"]);
    cluster.run(["engine", "push", "./nothing.wasm"]).exits(1).says(["OB1002", "nothing.wasm"]);
    assert_eq!(
        cluster.run(["engine", "list", "-o", "json"]).ok().document()["engines"].as_array().map(Vec::len),
        Some(1)
    );
    cluster.run(["put", "k", "v"]).ok();
}

#[test]
fn a_core_module_built_with_the_sdk_is_made_a_component_on_the_way() {
    let Some(module) = core_module("kv") else { return skip("core module of kv beside the build of the program") };
    assert!(std::fs::read(&module).expect("it is there").starts_with(b"\0asm\x01\0\0\0"), "not a core module");
    let cluster = Cluster::start_with(OUTBOARD, 1, "kv-basic");
    let module = module.to_str().expect("text");
    let pushed = cluster.run(["engine", "push", module, "-o", "json"]).ok().document();
    assert_eq!(pushed["engine"]["name"], "kv");
    let digest = pushed["engine"]["digest"].as_str().expect("a digest");
    // The same component as the one that the program carries.
    let embedded = cluster.run(["engine", "inspect", "kv", "-o", "json"]).ok().document();
    assert_eq!(embedded["digest"], digest);
    cluster.run(["engine", "upgrade", &digest[..8]]).ok();
    assert_eq!(cluster.run(["call", "INCR", "n"]).ok().text(), "1");
}

#[test]
fn chaos_in_every_mode_leaves_all_nodes_equal_and_serving() {
    let cluster = Cluster::start(OUTBOARD, 3);
    let chaos = cluster.folder().join("chaos.wasm");
    cluster.run(["engine".as_ref(), "extract".as_ref(), "chaos".as_ref(), chaos.as_os_str()]).ok();
    cluster.run(["put", "k", "untouched"]).ok();
    cluster.run(["engine".as_ref(), "upgrade".as_ref(), chaos.as_os_str()]).ok();
    let writes = [
        "TRAP k",
        "SPIN k",
        "RECURSE k",
        "EAT k",
        "GARBAGE k text",
        "GARBAGE k empty",
        "GARBAGE k cut",
        "GARBAGE k two",
        "GARBAGE k deep",
        "GARBAGE k lie",
        "HUGE k 100000000",
        "BIGKEY 65537",
        "BIGVALUE k 1048833",
        "WRITEMANY 100000 1000",
        "REJECT k ERR-refused",
    ];
    for command in writes {
        let words = ["call"].into_iter().chain(command.split(' '));
        cluster.run(words).exits(7);
        assert_eq!(cluster.run(["get", "k"]).ok().text(), "untouched", "after {command}");
    }
    for command in
        ["TRAPQ", "SPINQ", "RECURSEQ", "EATQ", "GARBAGEQ lie", "HUGEQ 100000000", "WRITEQ k x", "REJECTQ ERR-no"]
    {
        let words = ["call", "--timeout", "60s", "--idempotent"].into_iter().chain(command.split(' '));
        cluster.run(words).exits(7);
    }
    cluster.run(["call", "LOGSPAM", "noise", "100000", "100"]).ok();
    cluster.run(["put", "k", "still writable"]).ok();
    let status = cluster.settled();
    assert!(status.nodes().iter().all(|node| node.engine().starts_with("chaos ")));
    assert_eq!(cluster.run(["get", "k"]).ok().text(), "still writable");
}

/// The smallest component that imports one instance, written by hand: a type section with an empty instance type, and an
/// import section with one import of it.
fn component_importing(name: &str) -> Vec<u8> {
    let types = [1, 0x42, 0];
    let length = u8::try_from(name.len()).expect("a short name");
    let import = [&[1, 0x00, length][..], name.as_bytes(), &[0x05, 0]].concat();
    let import_length = u8::try_from(import.len()).ok().filter(|length| *length < 0x80).expect("a short section");
    [COMPONENT_HEAD, &[7, types.len() as u8], &types, &[10, import_length], &import].concat()
}

/// A component with nothing in it but a custom section, so large in all.
fn padded_component(bytes: usize) -> Vec<u8> {
    // Section 0, its length in five bytes of LEB128, a name of one letter, zeros.
    let body = bytes - COMPONENT_HEAD.len() - 6;
    let mut component = [COMPONENT_HEAD, &[0]].concat();
    for place in 0..5 {
        let more = if place < 4 { 0x80 } else { 0 };
        component.push((body >> (7 * place)) as u8 & 0x7f | more);
    }
    component.extend_from_slice(&[1, b'x']);
    component.resize(bytes, 0);
    component
}

/// The build of the program leaves its engines' core modules in the target folder, beside the profiles.
fn core_module(name: &str) -> Option<PathBuf> {
    let target = Path::new(OUTBOARD).ancestors().nth(2)?;
    let module = target.join("engines/wasm32-unknown-unknown/release").join(format!("{name}.wasm"));
    module.is_file().then_some(module)
}
