//! Runs cargo for guests, inside or outside of another cargo, and always in the same way.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::{TARGET, componentize};

/// The profile of a guest, whatever the surrounding workspace's profiles say: fast code first, then small.
///
/// An overflow traps: the host then discards the command, where a wrapped number would be written to the tables.
const PROFILE: [(&str, &str); 9] = [
    ("OPT_LEVEL", "3"),
    ("LTO", "fat"),
    ("CODEGEN_UNITS", "1"),
    ("PANIC", "abort"),
    ("STRIP", "symbols"),
    ("DEBUG", "false"),
    ("DEBUG_ASSERTIONS", "false"),
    ("OVERFLOW_CHECKS", "true"),
    ("INCREMENTAL", "false"),
];

/// Variables by which a surrounding build would change the guest's code, its place or its compiler.
///
/// `CARGO_MAKEFLAGS` stays: through it the inner cargo shares the outer one's job slots. `CARGO_HOME`, `CARGO_NET_…` and the
/// like stay: they say where crates come from, not what becomes of them.
const LEAKING_PREFIXES: [&str; 8] = [
    "CARGO_PROFILE_",
    "CARGO_BUILD_",
    "CARGO_TARGET_",
    "CARGO_FEATURE_",
    "CARGO_CFG_",
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_UNSTABLE_",
];
const LEAKING_NAMES: [&str; 10] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTC",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_BOOTSTRAP",
    "RUSTDOC",
    "TARGET",
    "PROFILE",
    "OPT_LEVEL",
];

/// Builds the one guest crate in `package_dir` and returns its component. `target_dir` holds cargo's intermediate files.
pub fn build(package_dir: &Path, target_dir: &Path) -> Result<Vec<u8>> {
    let manifest = package_dir.join("Cargo.toml");
    ensure!(manifest.is_file(), "{} holds no Cargo.toml", package_dir.display());
    let build = Build { manifest, packages: Vec::new(), target_dir: target_dir.to_owned(), locked: false };
    let mut components = build.run()?.into_iter();
    match (components.next(), components.next()) {
        (Some(one), None) => Ok(one.component),
        (None, _) => bail!(
            "{} built no Wasm module: its Cargo.toml needs [lib] crate-type = [\"cdylib\", \"rlib\"]",
            package_dir.display()
        ),
        (Some(_), Some(_)) => bail!("{} holds more than one engine: name the folder of one", package_dir.display()),
    }
}

/// One run of cargo for some guests of one workspace.
pub struct Build {
    /// The `Cargo.toml` of the package or of the workspace.
    pub manifest: PathBuf,
    /// The packages to build; empty means the manifest's own.
    pub packages: Vec<String>,
    /// Where cargo keeps its intermediate files. Must not be the folder that a surrounding cargo has locked.
    pub target_dir: PathBuf,
    /// Insist on the lock file as it is, as an embedded build must.
    pub locked: bool,
}

/// A finished component and the crate that it came from.
pub struct Built {
    /// The name of the crate's library target as cargo tells it: dashes are underscores there.
    pub name: String,
    /// The component's bytes.
    pub component: Vec<u8>,
}

impl Build {
    /// Builds, wraps and returns the components, ordered by name. Cargo's own messages go to stderr.
    pub fn run(&self) -> Result<Vec<Built>> {
        let toolchain = Toolchain::find(&self.manifest)?;
        toolchain.ensure_target()?;
        let output = self.command(&toolchain)?.output().context("cargo could not be started")?;
        let modules = modules_built(&output.stdout);
        if !output.status.success() {
            bail!("the guest was not built: cargo ended with {}", output.status);
        }
        let mut components = Vec::with_capacity(modules.len());
        for (name, path) in modules {
            let module = std::fs::read(&path).with_context(|| format!("{} can't be read", path.display()))?;
            let component = componentize(&module).with_context(|| format!("{name} is not an engine"))?;
            components.push(Built { name, component });
        }
        Ok(components)
    }

    fn command(&self, toolchain: &Toolchain) -> Result<Command> {
        let mut cargo = toolchain.clean_command(&toolchain.cargo);
        cargo.args(["build", "--release", "--lib", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
        // Cargo runs in another folder than the caller: both paths must not depend on it.
        let manifest = self.manifest.canonicalize()?;
        let target_dir = std::path::absolute(&self.target_dir)?;
        cargo.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(target_dir);
        if self.locked {
            cargo.arg("--locked");
        }
        for package in &self.packages {
            cargo.args(["--package", package]);
        }
        for (key, value) in PROFILE {
            cargo.env(format!("CARGO_PROFILE_RELEASE_{key}"), value);
        }
        cargo.env("CARGO_ENCODED_RUSTFLAGS", self.rustc_flags(toolchain)?);
        cargo.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        Ok(cargo)
    }

    /// Source paths stand in panic messages, hence in the bytes: each root is replaced by a name that is the same everywhere.
    /// Set even when empty, this variable also outranks any flags in cargo's config files.
    fn rustc_flags(&self, toolchain: &Toolchain) -> Result<String> {
        let mut roots = vec![
            (toolchain.cargo_home()?, "/cargo".to_owned()),
            (toolchain.library_sources()?, format!("/rustc/{}", toolchain.commit()?)),
        ];
        roots.push((toolchain.workspace_root(&self.manifest)?, "/engine".to_owned()));
        let flags = roots.into_iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
        Ok(flags.collect::<Vec<_>>().join("\x1f"))
    }
}

/// Which files cargo says it built: its JSON lines name each artifact.
fn modules_built(stdout: &[u8]) -> BTreeMap<String, PathBuf> {
    let mut modules = BTreeMap::new();
    for line in String::from_utf8_lossy(stdout).lines() {
        let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        if message["reason"] != "compiler-artifact" {
            continue;
        }
        let files = message["filenames"].as_array().into_iter().flatten().filter_map(|file| file.as_str());
        for file in files.filter(|file| file.ends_with(".wasm")) {
            let name = message["target"]["name"].as_str().unwrap_or_default().replace('-', "_");
            modules.insert(name, PathBuf::from(file));
        }
    }
    modules
}

/// The cargo and rustc that build the guest: those of the folder in which it lies.
struct Toolchain {
    cargo: OsString,
    rustc: OsString,
    /// Where the questions are asked, since rustup answers by folder.
    folder: PathBuf,
}

impl Toolchain {
    /// Inside a build script cargo names itself; outside, the one on the search path is asked.
    fn find(manifest: &Path) -> Result<Toolchain> {
        let manifest = manifest.canonicalize().with_context(|| format!("{} can't be found", manifest.display()))?;
        let folder = manifest.parent().context("a manifest lies in a folder")?.to_owned();
        let from_env = |name, default: &str| std::env::var_os(name).unwrap_or_else(|| default.into());
        Ok(Toolchain { cargo: from_env("CARGO", "cargo"), rustc: from_env("RUSTC", "rustc"), folder })
    }

    fn clean_command(&self, program: &OsString) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder);
        for (name, _) in std::env::vars_os() {
            let leaks = name.to_str().is_some_and(|name| {
                LEAKING_NAMES.contains(&name) || LEAKING_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            });
            if leaks {
                command.env_remove(name);
            }
        }
        command
    }

    fn ask(&self, program: &OsString, arguments: &[&str]) -> Result<String> {
        let name = program.to_string_lossy();
        let output = self.clean_command(program).args(arguments).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("{name} could not be started"))?;
        if !output.status.success() {
            bail!("{name} {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout).context("an answer in UTF-8")?.trim().to_owned())
    }

    fn sysroot(&self) -> Result<PathBuf> {
        self.ask(&self.rustc, &["--print", "sysroot"]).map(PathBuf::from)
    }

    fn library_sources(&self) -> Result<PathBuf> {
        Ok(self.sysroot()?.join("lib/rustlib/src/rust"))
    }

    fn commit(&self) -> Result<String> {
        let version = self.ask(&self.rustc, &["--version", "--verbose"])?;
        let hash = version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
        Ok(hash.unwrap_or("unknown").to_owned())
    }

    fn cargo_home(&self) -> Result<PathBuf> {
        if let Some(home) = std::env::var_os("CARGO_HOME") {
            return Ok(PathBuf::from(home));
        }
        let home = std::env::home_dir().ok_or_else(|| anyhow!("neither CARGO_HOME nor a home folder is set"))?;
        Ok(home.join(".cargo"))
    }

    fn workspace_root(&self, manifest: &Path) -> Result<PathBuf> {
        let manifest = manifest.canonicalize()?;
        let manifest = manifest.to_str().context("a path in UTF-8")?;
        let arguments = ["locate-project", "--workspace", "--message-format", "plain", "--manifest-path", manifest];
        let root = PathBuf::from(self.ask(&self.cargo, &arguments)?);
        Ok(root.parent().context("a manifest lies in a folder")?.to_owned())
    }

    /// Adds the Wasm target where rustup can; else says the one line that helps.
    fn ensure_target(&self) -> Result<()> {
        let library = self.sysroot()?.join("lib/rustlib").join(TARGET).join("lib");
        if library.is_dir() {
            return Ok(());
        }
        let added = self.ask(&OsString::from("rustup"), &["target", "add", TARGET]);
        match added {
            Ok(_) if library.is_dir() => Ok(()),
            Ok(_) => bail!("rustup added {TARGET} to another toolchain than the one at {}", self.sysroot()?.display()),
            Err(cause) => bail!(
                "the Wasm target is missing. Type this, then build again:\n\n    rustup target add {TARGET}\n\n({cause:#})"
            ),
        }
    }
}
