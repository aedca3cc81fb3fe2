//! What the finished components show to the world, read from their bytes.

use std::collections::BTreeSet;

use wasmparser::{Encoding, Parser, Payload};

const ALL: [(&str, &[u8]); 3] =
    [("kv", outboard_embedded::KV), ("kv-basic", outboard_embedded::KV_BASIC), ("chaos", outboard_embedded::CHAOS)];

/// Names of the outermost component's imports and exports.
// The parser's payloads are not our list: only four of them tell something here.
#[allow(clippy::wildcard_enum_match_arm)]
fn surface(component: &[u8]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut imports, mut exports) = (BTreeSet::new(), BTreeSet::new());
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component) {
        match payload.expect("a component that wit-component made parses") {
            Payload::Version { encoding, .. } => {
                assert!(depth > 0 || encoding == Encoding::Component, "the outermost layer is a component");
                depth += 1;
            }
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 1 => {
                imports.extend(section.into_iter().map(|import| import.expect("an import").name.name.to_owned()));
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                exports.extend(section.into_iter().map(|export| export.expect("an export").name.name.to_owned()));
            }
            _ => {}
        }
    }
    (imports, exports)
}

#[test]
fn engines_import_only_what_the_contract_offers() {
    let offered = ["outboard:engine/types@0.1.0", "outboard:engine/tables@0.1.0", "outboard:engine/log@0.1.0"];
    for (name, component) in ALL {
        let (imports, _) = surface(component);
        assert!(imports.contains("outboard:engine/tables@0.1.0"), "{name} imports {imports:?}");
        let foreign: Vec<_> = imports.iter().filter(|import| !offered.contains(&import.as_str())).collect();
        assert!(foreign.is_empty(), "{name} imports {foreign:?}");
    }
}

#[test]
fn engines_export_all_that_the_contract_asks() {
    for (name, component) in ALL {
        let (_, exports) = surface(component);
        let asked = ["outboard:engine/commands@0.1.0", "outboard:engine/migration@0.1.0"];
        assert_eq!(exports, asked.map(str::to_owned).into(), "{name}");
    }
}

#[test]
fn no_path_of_the_building_machine_is_in_the_bytes() {
    let folders = [env!("CARGO_MANIFEST_DIR"), env!("OUT_DIR")].map(str::to_owned);
    let home = std::env::home_dir().map(|home| home.display().to_string());
    for (name, component) in ALL {
        // A home of "/" or the like would be found anywhere.
        for path in folders.iter().chain(home.as_ref().filter(|home| home.len() > 4)) {
            let found = component.windows(path.len()).any(|window| window == path.as_bytes());
            assert!(!found, "{name} holds {path}");
        }
    }
}

#[test]
fn engines_for_users_are_found_by_name() {
    assert_eq!(outboard_embedded::by_name("kv"), Some(outboard_embedded::KV));
    assert_eq!(outboard_embedded::by_name("kv-basic"), Some(outboard_embedded::KV_BASIC));
    assert_eq!(outboard_embedded::by_name("chaos"), None);
}
