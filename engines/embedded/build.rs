//! Builds the engines that the program carries, as components, with the same cargo that builds the program.
//!
//! The inner cargo has a target folder of its own beside the outer one's profile folders, so neither waits for the other's
//! lock, and debug and release builds of the program share one build of the engines.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use outboard_component::Build;

const ENGINES: [&str; 3] = ["kv", "kv-basic", "chaos"];

fn main() -> Result<()> {
    // Asked at run time: a checkout that was moved keeps its compiled build scripts.
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").context("cargo sets CARGO_MANIFEST_DIR")?);
    let workspace = package.join("../..").canonicalize().context("finding the workspace")?;
    let out_dir = PathBuf::from(std::env::var_os("OUT_DIR").context("cargo sets OUT_DIR")?);
    rerun_when_sources_change(&workspace);

    let build = Build {
        manifest: workspace.join("Cargo.toml"),
        packages: ENGINES.map(str::to_owned).to_vec(),
        target_dir: guest_target_dir(&out_dir)?,
        locked: true,
    };
    let built = build.run()?;
    ensure!(built.len() == ENGINES.len(), "cargo named {} modules for {} engines", built.len(), ENGINES.len());
    for engine in built {
        std::fs::write(out_dir.join(format!("{}.wasm", engine.name)), &engine.component)?;
    }
    Ok(())
}

/// OUT_DIR is `<target>/<profile>/build/<package>/out`.
fn guest_target_dir(out_dir: &Path) -> Result<PathBuf> {
    let target = out_dir.ancestors().nth(4).context("OUT_DIR lies four folders deep in the target folder")?;
    Ok(target.join("engines"))
}

fn rerun_when_sources_change(workspace: &Path) {
    let sources = [
        "Cargo.lock",
        "rust-toolchain.toml",
        "wit",
        "sdk/Cargo.toml",
        "sdk/src",
        "sdk/macros/Cargo.toml",
        "sdk/macros/src",
    ];
    for source in sources {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    for engine in ENGINES {
        for source in ["Cargo.toml", "src"] {
            println!("cargo::rerun-if-changed={}", workspace.join("engines").join(engine).join(source).display());
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
}
