//! Three client libraries, as their users set them up, through the death of the leader. The programs are in `tests/clients/`, and
//! its README.md says what they do; the libraries come from their registries into the target folder, once.

use crate::OUTBOARD;
use outboard_tests::{Cluster, Program, Running, is_installed, skip, wait_for};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Acknowledged before the leader is killed, and as many again afterwards.
const ACKNOWLEDGED: u64 = 400;

#[test]
fn redis_py_keeps_all_that_was_acknowledged_through_the_death_of_the_leader() {
    let Some(program) = install("python", &[("python3", "python3-venv")], "requirements.txt", install_python) else {
        return;
    };
    survive_the_leader(&program, &["round.py"]);
}

#[test]
fn ioredis_keeps_all_that_was_acknowledged_through_the_death_of_the_leader() {
    let needs = [("node", "nodejs"), ("npm", "npm")];
    let Some(program) = install("node", &needs, "package-lock.json", install_node) else { return };
    survive_the_leader(&program, &["round.mjs"]);
}

#[test]
fn the_redis_crate_keeps_all_that_was_acknowledged_through_the_death_of_the_leader() {
    let Some(program) = install("rust", &[], "Cargo.lock", fetch_crates) else { return };
    build_crate(&program.folder);
    survive_the_leader(&program, &[]);
}

/// A program that can be run, and where its library is.
struct Client {
    program: PathBuf,
    folder: PathBuf,
}

/// The story of all of them.
fn survive_the_leader(client: &Client, script: &[&str]) {
    let mut cluster = Cluster::start_with_redis(OUTBOARD, 3);
    for n in cluster.all() {
        cluster.redis_client(n);
    }
    let scripts = script.iter().map(|name| client.folder.join(name).into_os_string());
    let addresses = cluster.all().into_iter().map(|n| cluster.redis(n).to_string().into());
    let mut load = Program::new(&client.program, cluster.folder()).spawn(scripts.chain(addresses));
    let before = wait_for_acknowledged(&mut load, ACKNOWLEDGED);
    let leader = cluster.leader();
    cluster.kill(leader);
    wait_for_acknowledged(&mut load, before + ACKNOWLEDGED);
    load.type_line("stop");
    let ran = load.finish().ok();
    assert!(ran.text().lines().any(|line| line.starts_with("verified ")), "{ran}");
    cluster.start_node(leader);
    cluster.settled();
}

fn wait_for_acknowledged(load: &mut Running, count: u64) -> u64 {
    wait_for(&format!("{count} acknowledged commands"), || {
        let printed = load.printed();
        assert!(load.is_running(), "it ended: {printed}{}", load.said());
        let last = printed.lines().rev().find_map(|line| line.strip_prefix("acknowledged ")?.parse::<u64>().ok());
        last.filter(|acknowledged| *acknowledged >= count)
    })
}

/// The client in its folder, with its library beside it; none, said loudly, if that can't be had.
fn install(
    language: &str,
    needs: &[(&str, &str)],
    pins: &str,
    fetch: fn(&Path) -> Result<PathBuf, String>,
) -> Option<Client> {
    if let Some((name, package)) = needs.iter().find(|(name, _)| !is_installed(name)) {
        skip(&format!("{name} (apt-get install {package})"));
        return None;
    }
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/clients").join(language);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(language);
    std::fs::create_dir_all(&folder).expect("cargo's folder for tests can be written");
    // Two test runs at once install once.
    let lock = File::create(folder.with_extension("lock")).expect("cargo's folder for tests can be written");
    lock.lock().expect("a file can be locked");
    copy(&sources, &folder);
    let (wanted, stamp) = (std::fs::read(sources.join(pins)).expect("the pins are there"), folder.join("installed"));
    let installed = std::fs::read(&stamp).is_ok_and(|installed| installed == wanted);
    if !installed {
        std::fs::remove_file(&stamp).unwrap_or_default();
    }
    match fetch(&folder) {
        Ok(program) => {
            std::fs::write(stamp, wanted).expect("cargo's folder for tests can be written");
            Some(Client { program, folder })
        }
        Err(why) => {
            skip(&format!("library for {language} to be had: {why}"));
            None
        }
    }
}

fn is_stamped(folder: &Path) -> bool {
    folder.join("installed").exists()
}

fn install_python(folder: &Path) -> Result<PathBuf, String> {
    let python = folder.join("venv/bin/python");
    if !is_stamped(folder) {
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder.join("venv")))
            .map_err(|why| format!("python3 -m venv (apt-get install python3-venv): {why}"))?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:", "--requirement"]);
        run(pip.arg(folder.join("requirements.txt")))?;
    }
    Ok(python)
}

fn install_node(folder: &Path) -> Result<PathBuf, String> {
    if !is_stamped(folder) {
        run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(folder))?;
    }
    Ok("node".into())
}

fn fetch_crates(folder: &Path) -> Result<PathBuf, String> {
    if !is_stamped(folder) {
        run(cargo().args(["fetch", "--locked"]).current_dir(folder))?;
    }
    Ok(folder.join("target/debug/outboard-redis-crate-round"))
}

/// What was fetched must build: that is no reason to skip.
fn build_crate(folder: &Path) {
    let mut build = cargo();
    build.args(["build", "--quiet", "--locked", "--offline", "--target-dir", "target"]).current_dir(folder);
    run(&mut build).expect("the client builds");
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // A profile or flags for the program under test are not meant for this one.
    for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_TARGET_DIR"] {
        cargo.env_remove(name);
    }
    cargo
}

/// Its last words if it fails.
fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(said.lines().last().unwrap_or(&name).to_owned())
}

/// Files that differ, so that nothing is built anew for no reason.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("cargo's folder for tests can be written");
    for entry in std::fs::read_dir(from).expect("the client is there") {
        let entry = entry.expect("its folder can be read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            if !["target", "node_modules", "venv"].iter().any(|name| entry.file_name() == *name) {
                copy(&entry.path(), &target);
            }
            continue;
        }
        let bytes = std::fs::read(entry.path()).expect("it can be read");
        if std::fs::read(&target).ok().as_ref() != Some(&bytes) {
            std::fs::write(target, bytes).expect("cargo's folder for tests can be written");
        }
    }
}
