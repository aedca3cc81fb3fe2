//! The crates against the picture of the floors in README.md: whoever moves a wall moves it there as well.
//!
//! Only normal dependencies count: a room's tests may go anywhere.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The guest's side of the contract, beside the house, from the ground up. Nothing in it knows the host.
const GUESTS: [&[&str]; 3] = [&["sdk/macros"], &["sdk"], &["engines/kv", "engines/kv-basic", "engines/chaos"]];

/// Between both: the tool that makes components, and the components that the program carries. Only the top floor uses them.
const TOOLS: [&str; 2] = ["sdk/component", "engines/embedded"];

/// The harness of the tests with processes, the core on trial, the simulator and the decoders on trial stand outside.
const OUTSIDE: [&str; 4] = ["tests", "tests/model", "tests/sim", "tests/fuzz"];

/// Friends from elsewhere that only one room knows.
const ONLY: [(&str, &str); 3] = [("wasmtime", "host/sandbox"), ("fjall", "host/store"), ("quinn", "host/net")];

#[test]
fn a_room_depends_on_lower_floors_only() {
    let (house, floors) = (House::built(), pictured_floors());
    for (floor, rooms) in floors.iter().enumerate() {
        let below: BTreeSet<&str> = floors[..floor].iter().flatten().map(String::as_str).collect();
        let tools: &[&str] = if floor + 1 == floors.len() { &TOOLS } else { &[] };
        for room in rooms {
            for known in house.rooms_known_to(room) {
                assert!(below.contains(known) || tools.contains(&known), "{room} is not above {known}");
            }
        }
    }
}

#[test]
fn the_guests_know_nothing_of_the_host() {
    let house = House::built();
    for (floor, guests) in GUESTS.iter().enumerate() {
        let below = GUESTS[..floor].concat();
        for guest in *guests {
            let known = house.rooms_known_to(guest);
            assert!(known.iter().all(|room| below.contains(room)), "{guest} depends on {known:?}");
        }
    }
    for tool in TOOLS {
        let known = house.rooms_known_to(tool);
        assert!(known.iter().all(|room| TOOLS.contains(room)), "{tool} depends on {known:?}");
    }
}

#[test]
fn wasm_tables_and_quic_each_have_one_room() {
    let house = House::built();
    for (friend, owner) in ONLY {
        let knows = |room: &&str| house.dependencies[*room].contains(friend);
        let rooms: Vec<&str> = house.all_rooms().into_iter().filter(|room| !OUTSIDE.contains(room)).collect();
        let users: Vec<&str> = rooms.into_iter().filter(knows).collect();
        assert_eq!(users, [owner], "{friend}");
    }
}

#[test]
fn the_core_has_no_dependencies() {
    assert_eq!(House::built().dependencies["host/raft"], BTreeSet::new());
}

#[test]
fn every_crate_is_in_the_picture_and_the_picture_shows_no_other() {
    let pictured = pictured_floors().into_iter().flatten();
    let beside = GUESTS.concat().into_iter().chain(TOOLS).chain(OUTSIDE).map(str::to_owned);
    let pictured: BTreeSet<String> = pictured.chain(beside).collect();
    let built: BTreeSet<String> = House::built().dependencies.into_keys().collect();
    assert_eq!(built, pictured);
}

/// The README's first command names no program, and the workspace has several.
#[test]
fn cargo_run_means_outboard() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("cargo lists packages");
    let meant: Vec<String> =
        packages.iter().map(|it| &it["default_run"]).filter(|it| !it.is_null()).map(text).collect();
    assert_eq!(meant, ["outboard"]);
}

/// README.md's lines `floor 2   host/wal …   host/store …`, from the ground up.
fn pictured_floors() -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("the map is there");
    let line_of = |floor: usize| readme.lines().find(|line| line.starts_with(&format!("floor {floor} ")));
    let rooms =
        |line: &str| line.split_whitespace().filter(|word| word.starts_with("host/")).map(str::to_owned).collect();
    let floors: Vec<Vec<String>> = (0..).map_while(line_of).map(rooms).collect();
    assert!(floors.len() > 1, "README.md has a picture of the floors");
    floors
}

/// The workspace as cargo sees it; a room is called by its folder.
struct House {
    /// The names of the crates that a room normally depends on.
    dependencies: BTreeMap<String, BTreeSet<String>>,
    /// A crate's name and its room.
    rooms: BTreeMap<String, String>,
}

impl House {
    fn built() -> House {
        let metadata = metadata();
        let packages = metadata["packages"].as_array().expect("cargo lists packages");
        let rooms = packages.iter().map(|package| (text(&package["name"]), room(package))).collect();
        let dependencies = packages.iter().map(|package| (room(package), dependencies(package))).collect();
        House { dependencies, rooms }
    }

    fn rooms_known_to(&self, room: &str) -> Vec<&str> {
        let known = self.dependencies.get(room).unwrap_or_else(|| panic!("{room} is in the picture but not built"));
        known.iter().filter_map(|name| self.rooms.get(name)).map(String::as_str).collect()
    }

    fn all_rooms(&self) -> Vec<&str> {
        self.dependencies.keys().map(String::as_str).collect()
    }
}

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--offline", "--no-deps"]).current_dir(root());
    let output = command.output().expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("this crate lies in the workspace")
}

/// The folder of a package, as the picture calls it.
fn room(package: &Value) -> String {
    let manifest = PathBuf::from(text(&package["manifest_path"]));
    let folder = manifest.parent().and_then(|folder| folder.strip_prefix(root()).ok()).expect("inside the workspace");
    folder.to_str().expect("folders have plain names").to_owned()
}

fn dependencies(package: &Value) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().expect("cargo lists dependencies").iter();
    all.filter(|dependency| dependency["kind"].is_null()).map(|dependency| text(&dependency["name"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("names are text").to_owned()
}
