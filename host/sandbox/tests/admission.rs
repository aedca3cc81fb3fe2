//! Who may come in, and what the others are told.

mod common;

use common::hand::{Command, Hand, command};
use common::{admitted, limits, sandbox};
use outboard_sandbox::{Digest, Limits, Refusal, Sandbox};

fn refused(bytes: &[u8]) -> Refusal {
    sandbox().admit(bytes).expect_err("it is refused")
}

fn manifest_detail(refusal: Refusal) -> String {
    let Refusal::Manifest { detail } = refusal else { panic!("{refusal}") };
    detail
}

#[test]
fn an_engine_by_hand_is_admitted_with_what_it_says_of_itself() {
    let bytes = Hand::default().build();
    let component = admitted(&sandbox(), &bytes);
    assert_eq!(component.digest(), Digest::of(&bytes));
    assert_eq!(component.bytes_len(), bytes.len());
    assert_eq!((component.manifest().name.as_str(), component.manifest().schema), ("by-hand", 7));
    let spec = component.command(b"do").expect("found without regard to case");
    assert_eq!((spec.name.as_str(), spec.writes), ("DO", true));
    assert!(component.command(b"DONT").is_none() && component.command(b"").is_none());
    assert!(component.command(&[b'A'; 1000]).is_none());
}

#[test]
fn what_is_not_webassembly_is_told_so() {
    for bytes in [&b""[..], b"\0as", b"hello", b"\x7fELF\x02\x01\x01", &[0xFF; 100]] {
        assert_eq!(refused(bytes), Refusal::NotWasm);
    }
}

#[test]
fn a_core_module_is_told_how_to_become_a_component() {
    let refusal = refused(&wat::parse_str("(module (func (export \"f\")))").unwrap());
    assert_eq!(refusal, Refusal::CoreModule);
    assert!(refusal.to_string().contains("outboard engine push"), "{refusal}");
}

#[test]
fn a_component_cut_short_anywhere_is_refused() {
    let whole = Hand::default().build();
    let sandbox = sandbox();
    for end in (8..whole.len()).step_by(97) {
        let refusal = sandbox.admit(&whole[..end]).expect_err("a part is not the whole");
        assert!(matches!(refusal, Refusal::Invalid { .. } | Refusal::MissingExport { .. }), "{end}: {refusal}");
    }
}

#[test]
fn a_component_with_any_byte_flipped_does_no_harm() {
    let whole = Hand::default().build();
    let sandbox = sandbox();
    for place in (0..whole.len()).step_by(41) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x55;
        // Some flips hit a name or a constant and leave a component; all that counts is an answer.
        let _ = sandbox.admit(&bytes);
    }
}

#[test]
fn a_component_over_the_limit_is_refused_before_anything_else() {
    let sandbox = Sandbox::new(Limits { component_bytes_max: 10, ..limits() }, None).unwrap();
    assert_eq!(sandbox.admit(&[0; 11]).expect_err("too large"), Refusal::TooLarge { bytes: 11, max: 10 });
    assert_eq!(sandbox.admit(&[0; 10]).expect_err("not wasm"), Refusal::NotWasm);
}

#[test]
fn every_foreign_import_is_named() {
    let text = r#"(component
        (import "wasi:clocks/wall-clock@0.2.3" (instance (export "now" (func (result u64)))))
        (import "wasi:random/random@0.2.3" (instance (export "get-random-u64" (func (result u64)))))
        (import "sleep" (func)))"#;
    let refusal = refused(&wat::parse_str(text).unwrap());
    let names = ["wasi:clocks/wall-clock@0.2.3", "wasi:random/random@0.2.3", "sleep"];
    assert_eq!(refusal, Refusal::ForeignImports { names: names.map(str::to_owned).to_vec() });
    assert!(names.iter().all(|name| refusal.to_string().contains(name)), "{refusal}");
    assert!(refusal.to_string().contains("wasm32-unknown-unknown"), "{refusal}");
}

#[test]
fn an_engine_that_also_imports_wasi_is_refused_by_that_name() {
    let mut hand = Hand::default();
    hand.wit = hand.wit.replace("import log;", "import log; import wasi:clocks/now@0.2.3;")
        + "package wasi:clocks@0.2.3 { interface now { now: func() -> u64; } }";
    hand.imports = r#"(import "wasi:clocks/now@0.2.3" "now" (func $now (result i64)))"#.into();
    assert_eq!(refused(&hand.build()), Refusal::ForeignImports { names: vec!["wasi:clocks/now@0.2.3".into()] });
}

#[test]
fn another_version_of_the_contract_is_told_apart_from_a_foreign_import() {
    for name in ["outboard:engine/tables@0.2.0", "outboard:engine/tables@0.1.1", "outboard:engine/files@0.1.0"] {
        let text = format!(r#"(component (import "{name}" (instance (export "get" (func)))))"#);
        assert_eq!(refused(&wat::parse_str(text).unwrap()), Refusal::OtherContract { name: name.into() });
    }
}

#[test]
fn our_interfaces_with_other_functions_are_refused() {
    for text in [
        r#"(component (import "outboard:engine/tables@0.1.0" (instance (export "drop-all" (func)))))"#,
        r#"(component (import "outboard:engine/tables@0.1.0" (instance (export "get" (func (param "x" u64))))))"#,
        r#"(component (import "outboard:engine/log@0.1.0" (func)))"#,
        r#"(component (import "outboard:engine/types@0.1.0" (instance (export "now" (func (result u64))))))"#,
    ] {
        let refusal = refused(&wat::parse_str(text).unwrap());
        assert!(matches!(refusal, Refusal::WrongImport { .. }), "{text}: {refusal}");
    }
}

#[test]
fn a_component_without_our_exports_is_told_the_first_that_is_missing() {
    let refusal = refused(&wat::parse_str("(component)").unwrap());
    assert_eq!(refusal, Refusal::MissingExport { name: "outboard:engine/commands@0.1.0.describe".into() });
    let mut hand = Hand::default();
    hand.wit = hand.wit.replace("  export migration;\n", "");
    let text = hand.text();
    let (before, migrate) = text.split_once("(func (export \"outboard:engine/migration").unwrap();
    assert!(migrate.contains("unreachable"));
    let module = wat::parse_str(format!("{before})")).unwrap();
    assert_eq!(
        refused(&common::hand::component(module, &hand.wit)),
        Refusal::MissingExport { name: "outboard:engine/migration@0.1.0.migrate".into() }
    );
}

#[test]
fn an_export_of_another_type_is_refused_by_name() {
    let mut hand = Hand::default();
    // One number less in the moment: the core function takes one parameter less.
    hand.wit = hand.wit.replace("    seed: u64,\n", "");
    let module = hand.text().replace("(param i64 i64 i64 i32 i32)", "(param i64 i64 i32 i32)");
    let refusal = refused(&common::hand::component(wat::parse_str(module).unwrap(), &hand.wit));
    assert!(matches!(&refusal, Refusal::WrongExport { name, .. } if name == "apply"), "{refusal}");
}

#[test]
fn an_engine_that_breaks_while_it_describes_itself_is_refused_with_its_last_words() {
    let said = r#"(import "outboard:engine/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#;
    let cases = [
        ("unreachable", "trapped"),
        ("(loop (br 0)) unreachable", "ran out of fuel"),
        ("(call $log (i32.const 4) (i32.const 65) (i32.const 2)) unreachable", "trapped (OK)"),
        // Tables are out of reach there.
        ("(drop (call $delete (i32.const 0) (i32.const 0) (i32.const 1))) (i32.const 4096)", "tried to write"),
        ("(call $get (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)) (i32.const 4096)", "trapped"),
        // A manifest that is not in memory.
        ("(i32.const 999999)", "trapped"),
    ];
    for (describe, expected) in cases {
        let tables = r#"(import "outboard:engine/tables@0.1.0" "delete" (func $delete (param i32 i32 i32) (result i32)))
            (import "outboard:engine/tables@0.1.0" "get" (func $get (param i32 i32 i32 i32)))"#;
        let hand = Hand { describe: describe.into(), imports: format!("{said}{tables}"), ..Hand::default() };
        let refusal = refused(&hand.build());
        assert!(
            matches!(&refusal, Refusal::Broken { detail, .. } if detail.contains(expected)),
            "{describe}: {refusal}"
        );
    }
}

#[test]
fn an_engine_that_describes_itself_differently_the_second_time_is_refused() {
    let describe = "(i32.store (i32.const 4112) (i32.add (i32.load (i32.const 4112)) (i32.const 1))) (i32.const 4096)";
    assert_eq!(refused(&Hand { describe: describe.into(), ..Hand::default() }.build()), Refusal::Unsteady);
}

#[test]
fn an_engine_that_starts_with_more_memory_than_it_may_have_is_refused() {
    let memory = "(memory (export \"memory\") 600)".into();
    let refusal = refused(&Hand { memory, ..Hand::default() }.build());
    assert!(matches!(&refusal, Refusal::Broken { detail, .. } if detail.contains("memory")), "{refusal}");
}

#[test]
fn manifests_that_can_not_be_are_refused_with_the_reason() {
    let edit = |change: fn(&mut Hand)| {
        let mut hand = Hand::default();
        change(&mut hand);
        manifest_detail(refused(&hand.build()))
    };
    let first = |change: fn(&mut Command)| {
        let mut hand = Hand::default();
        change(&mut hand.manifest.commands[0]);
        manifest_detail(refused(&hand.build()))
    };
    assert!(edit(|hand| hand.manifest.name = "Kv".into()).contains("name"));
    assert!(edit(|hand| hand.manifest.name = String::new()).contains("name"));
    assert!(edit(|hand| hand.manifest.name = "a".repeat(65)).contains("name"));
    assert!(edit(|hand| hand.manifest.version = "1.2".into()).contains("version"));
    assert!(edit(|hand| hand.manifest.version = "1.2.x".into()).contains("version"));
    assert!(edit(|hand| hand.manifest.commands.clear()).contains("no command"));
    assert!(edit(|hand| hand.manifest.commands[1].name = "DO".into()).contains("two commands DO"));
    assert!(edit(|hand| hand.manifest.reads_schemas = vec![1; 1025]).contains("schemas"));
    assert!(first(|command| command.name = "do".into()).contains("capitals"));
    assert!(first(|command| command.name = "DO IT".into()).contains("capitals"));
    assert!(first(|command| command.summary = "two\nlines".into()).contains("line"));
    assert!(first(|command| command.arguments = (3, Some(2))).contains("at least 3"));
    for keys in [(0, 1, 0), (0, 0, 1), (1, 0, 1), (2, 1, 1), (1, 1, 0), (3, 3, 1), (1, -3, 1)] {
        let mut hand = Hand::default();
        hand.manifest.commands[0] = Command { arguments: (1, Some(2)), keys, ..command("DO", true) };
        assert!(matches!(refused(&hand.build()), Refusal::Manifest { .. }), "{keys:?}");
    }
}

#[test]
fn manifests_at_the_bounds_are_admitted() {
    let mut hand = Hand::default();
    hand.manifest.name = "0-a".into();
    hand.manifest.version = "1.2.3-rc.1+build.5".into();
    hand.manifest.reads_schemas = vec![1, 2, 3];
    hand.manifest.commands = vec![
        Command { keys: (1, -1, 2), ..command("MSET", true) },
        Command { keys: (1, 1, 1), arguments: (1, Some(1)), ..command("JSON.GET", false) },
    ];
    let component = admitted(&sandbox(), &hand.build());
    assert_eq!(component.manifest().reads_schemas, [1, 2, 3]);
    assert_eq!(component.command(b"json.get").map(|spec| spec.keys.first), Some(1));
}

#[test]
fn features_that_could_differ_between_machines_are_refused() {
    let cases = [
        ("(func (param v128) (result v128) (i32x4.relaxed_trunc_f32x4_s (local.get 0)))", "relaxed"),
        ("(func (drop (memory.atomic.notify (i32.const 0) (i32.const 0))))", "thread"),
        ("(memory 1)", "memor"),
        ("(type (struct))", "gc"),
        ("(tag)", "exception"),
    ];
    for (fields, word) in cases {
        let sound = wat::parse_str(Hand { fields: fields.into(), ..Hand::default() }.text()).unwrap();
        // The library that makes components would itself refuse some of these, so it is left out.
        let mut component = b"\0asm\x0d\0\x01\0\x01".to_vec();
        let mut length = sound.len();
        while length >= 0x80 {
            component.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        component.push(length as u8);
        component.extend(sound);
        let refusal = refused(&component);
        let Refusal::Invalid { detail } = refusal else { panic!("{fields}: {refusal}") };
        assert!(detail.contains(word), "{fields}: {detail}");
    }
}

#[test]
fn the_environment_changes_with_what_decides_an_outcome_and_with_nothing_else() {
    let environment = |limits: Limits| Sandbox::new(limits, None).unwrap().environment();
    let usual = environment(limits());
    assert_eq!(usual, environment(limits()));
    assert_eq!(usual, environment(Limits { component_bytes_max: 1, log_lines_max: 1, ..limits() }));
    assert_ne!(usual, environment(Limits { apply_fuel: 1, ..limits() }));
    assert_ne!(usual, environment(Limits { memory_bytes_max: 1 << 20, ..limits() }));
}
