//! The one configuration of wasmtime, with the reason beside every setting, and the number that stands for it.

use std::num::NonZeroUsize;

use wasmtime::{Config, Engine, OptLevel, WasmFeatures};

use crate::limits::{GUEST_STACK_BYTES, Limits};

/// Raised by hand with every change that could make one command end differently: wasmtime's line (fuel tables change between
/// lines), a setting below that a guest can see, the price of host calls, the stack, or the rules for replies.
const ENVIRONMENT_REVISION: u32 = 1;
/// The line of wasmtime. Patch releases keep the fuel table.
const WASMTIME_LINE: u32 = 48;

/// A number that two nodes share exactly when the same command on the same tables ends the same on both. It takes in the
/// architecture, because the size of a stack frame, and so the depth at which a recursion is stopped, is the one thing that a
/// guest can see of it.
pub(crate) fn environment(limits: &Limits) -> u32 {
    let Limits {
        apply_fuel,
        open_fuel,
        memory_bytes_max,
        reply_bytes_max,
        // A node's own affair: they decide what is admitted, answered or logged here, not how a command ends.
        component_bytes_max: _,
        query_timeout: _,
        log_lines_max: _,
    } = limits;
    let text = format!(
        "{WASMTIME_LINE} {ENVIRONMENT_REVISION} {} {apply_fuel} {open_fuel} {memory_bytes_max} {reply_bytes_max}",
        std::env::consts::ARCH
    );
    let hash = blake3::hash(text.as_bytes());
    u32::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
}

/// The engine (in wasmtime's sense) that compiles and runs every component of this node.
pub(crate) fn engine() -> wasmtime::Result<Engine> {
    Engine::new(&config()?)
}

fn config() -> wasmtime::Result<Config> {
    let mut config = Config::new();

    // What a command may cost, the same on every node: fuel. What a query may cost, by the clock: epochs. Both in one engine, so
    // that a component is compiled once (0.1 s) and its code kept once. The price is that applies check an epoch that never comes:
    // measured, up to 10 % in a loop that does nothing else, nothing to be seen in a SET or a GET.
    config.consume_fuel(true);
    config.epoch_interruption(true);

    // The code is made for the architecture's baseline, not for this machine's extras. So it is a pure function of the component:
    // even stack frames have one size on all nodes of an architecture, and with them the depth at which a recursion is stopped.
    // Engines don't feel the difference (measured).
    if let Some(target) = target() {
        config.target(target)?;
    }
    // A NaN's bits are the only place where arithmetic may differ between two processors.
    config.cranelift_nan_canonicalization(true);
    // The features that compilers of engines use, and nothing that could differ between machines or between two runs.
    config.wasm_relaxed_simd(false);
    config.wasm_memory64(false);
    config.wasm_multi_memory(false);
    config.wasm_features(WasmFeatures::THREADS | WasmFeatures::SHARED_EVERYTHING_THREADS, false);
    config.wasm_features(WasmFeatures::GC | WasmFeatures::EXCEPTIONS | WasmFeatures::FUNCTION_REFERENCES, false);
    config.wasm_features(WasmFeatures::TAIL_CALL | WasmFeatures::STACK_SWITCHING, false);
    // Also the component model's own async: one call in, one reply out. Costs 0.35 us a call when left on.
    config.concurrency_support(false);

    // Twice wasmtime's default: Rust puts what has an address on a stack of its own in linear memory (1 MiB), which overflows
    // at the same depth everywhere. The deeper the native stack, the more recursions end there. Half a std thread's stack stays
    // for the host functions; see THREAD_STACK_BYTES_MIN.
    config.max_wasm_stack(GUEST_STACK_BYTES);

    // 4 GiB of addresses (not memory) for each instance: bounds checks then cost nothing, and 30,000 instances fit into the 128 TiB
    // of a process, which has a handful. Reserving only what an instance may use would make a fresh one 5 us cheaper (of 37) and
    // every access to memory dearer. The guard is wasmtime's default, 32 MiB, for offsets in instructions.
    config.memory_reservation(4 << 30);
    config.memory_may_move(false);
    // A fresh instance maps the component's initial memory instead of copying it; it costs microseconds.
    config.memory_init_cow(true);

    // A command must not feel that another component is being compiled: one core, not all. (Wasmtime is built here without the
    // feature that would allow more, so that there is nothing to switch off.)
    config.cranelift_opt_level(OptLevel::Speed);
    // Nobody unwinds or symbolizes guest frames: traps are answered by kind only, and a panic's message comes by the log.
    config.wasm_backtrace_max_frames(None::<NonZeroUsize>);
    config.native_unwind_info(false);
    config.generate_address_map(false);
    Ok(config)
}

/// This machine's target by name. Naming it is what makes wasmtime forget the extras of this machine's processor.
fn target() -> Option<&'static str> {
    let gnu = cfg!(target_env = "gnu");
    match (std::env::consts::ARCH, std::env::consts::OS) {
        ("x86_64", "linux") if gnu => Some("x86_64-unknown-linux-gnu"),
        ("x86_64", "linux") => Some("x86_64-unknown-linux-musl"),
        ("aarch64", "linux") if gnu => Some("aarch64-unknown-linux-gnu"),
        ("aarch64", "linux") => Some("aarch64-unknown-linux-musl"),
        ("aarch64", "macos") => Some("aarch64-apple-darwin"),
        ("x86_64", "macos") => Some("x86_64-apple-darwin"),
        // Not a machine that we test on: it works, with this machine's extras.
        _ => None,
    }
}
