//! Components made by hand: a core module in text, with the contract's types put around it by the same library that the
//! command line uses. So a test can have an engine that no toolchain would make.

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

const WIT: &str = include_str!("../../../../wit/engine.wit");

/// The parts of a module that differ from test to test; the rest makes a quiet, valid engine.
pub struct Hand {
    pub wit: String,
    pub manifest: Manifest,
    /// Bodies of functions. `apply` and `query` leave an address; at [`ANSWER`] there are 12 bytes for a result. They have two
    /// variables, `$n` and `$h`.
    pub describe: String,
    pub open: String,
    pub apply: String,
    pub query: String,
    /// More fields of the module: imports must be written in `imports`.
    pub imports: String,
    pub fields: String,
    pub memory: String,
}

/// Where a result may be put: a tag, an address, a length, each four bytes.
pub const ANSWER: u32 = 16;
/// `+OK\r\n` stands here.
pub const OK: u32 = 64;
/// The manifest stands here, and its strings after it.
const MANIFEST: u32 = 4096;
/// `cabi_realloc` hands out from here on and begins anew with each call, so nothing is ever full.
const HEAP: u32 = 32768;

pub struct Manifest {
    pub name: String,
    pub version: String,
    pub caches: bool,
    pub reads_schemas: Vec<u32>,
    pub commands: Vec<Command>,
}

#[derive(Clone)]
pub struct Command {
    pub name: String,
    pub summary: String,
    pub writes: bool,
    pub arguments: (u32, Option<u32>),
    pub keys: (u32, i32, u32),
}

pub fn command(name: &str, writes: bool) -> Command {
    Command { name: name.into(), summary: format!("{name} -- a test"), writes, arguments: (0, None), keys: (0, 0, 0) }
}

impl Default for Hand {
    fn default() -> Hand {
        let ok = format!("(call $ok (i32.const {OK}) (i32.const 5))");
        Hand {
            wit: WIT.into(),
            manifest: Manifest {
                name: "by-hand".into(),
                version: "1.0.0".into(),
                caches: false,
                reads_schemas: vec![],
                commands: vec![command("DO", true), command("ASK", false)],
            },
            describe: format!("(i32.const {MANIFEST})"),
            open: String::new(),
            apply: ok.clone(),
            query: ok,
            imports: String::new(),
            fields: String::new(),
            memory: "(memory (export \"memory\") 2)".into(),
        }
    }
}

impl Hand {
    pub fn build(&self) -> Vec<u8> {
        let module = wat::parse_str(self.text()).expect("the module's text is right");
        component(module, &self.wit)
    }

    pub fn text(&self) -> String {
        let Hand { describe, open, apply, query, imports, fields, memory, .. } = self;
        let manifest = escaped(&self.manifest.image(MANIFEST));
        format!(
            r#"(module
            {imports}
            {memory}
            (global $next (mut i32) (i32.const {HEAP}))
            (data (i32.const {OK}) "+OK\r\n")
            (data (i32.const {MANIFEST}) "{manifest}")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.set $next (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func $ok (param i32 i32) (result i32)
                (i32.store (i32.const {ANSWER}) (i32.const 0))
                (i32.store offset=4 (i32.const {ANSWER}) (local.get 0))
                (i32.store offset=8 (i32.const {ANSWER}) (local.get 1))
                (i32.const {ANSWER}))
            (func $err (param i32 i32) (result i32)
                (i32.store (i32.const {ANSWER}) (i32.const 1))
                (i32.store offset=4 (i32.const {ANSWER}) (local.get 0))
                (i32.store offset=8 (i32.const {ANSWER}) (local.get 1))
                (i32.const {ANSWER}))
            {fields}
            (func (export "outboard:engine/commands@0.1.0#describe") (result i32) {describe})
            (func (export "outboard:engine/commands@0.1.0#open")
                (global.set $next (i32.const {HEAP})) {open})
            (func (export "outboard:engine/commands@0.1.0#apply") (param i64 i64 i64 i32 i32) (result i32)
                (local $n i32) (local $h i32)
                (global.set $next (i32.const {HEAP})) {apply})
            (func (export "outboard:engine/commands@0.1.0#query") (param i64 i64 i64 i32 i32) (result i32)
                (local $n i32) (local $h i32)
                (global.set $next (i32.const {HEAP})) {query})
            (func (export "outboard:engine/migration@0.1.0#migrate") (param i32 i32 i32 i32 i32 i32) (result i32)
                unreachable)
            )"#
        )
    }
}

/// Puts the types of `wit`'s world `engine` around a module.
pub fn component(mut module: Vec<u8>, wit: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("engine.wit", wit).expect("the contract parses");
    let world = resolve.select_world(&[package], Some("engine")).expect("it has the world `engine`");
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("it fits");
    let mut encoder = ComponentEncoder::default().validate(true).module(&module).expect("the module fits the contract");
    encoder.encode().expect("a component")
}

impl Manifest {
    /// The record `manifest` as it lies in memory, its strings and lists after it.
    fn image(&self, at: u32) -> Vec<u8> {
        let mut image = Image { at, bytes: vec![0; 40] };
        image.string(0, &self.name);
        image.string(8, &self.version);
        image.word(16, 7);
        let schemas = self.reads_schemas.iter().flat_map(|schema| schema.to_le_bytes()).collect::<Vec<_>>();
        image.list(20, &schemas, self.reads_schemas.len());
        image.bytes[28] = u8::from(self.caches);
        let commands = image.list(32, &vec![0; 44 * self.commands.len()], self.commands.len());
        for (place, command) in self.commands.iter().enumerate() {
            let field = commands + 44 * place;
            image.string(field, &command.name);
            image.string(field + 8, &command.summary);
            image.bytes[field + 16] = u8::from(command.writes);
            image.word(field + 20, command.arguments.0);
            image.bytes[field + 24] = u8::from(command.arguments.1.is_some());
            image.word(field + 28, command.arguments.1.unwrap_or(0));
            image.word(field + 32, command.keys.0);
            image.word(field + 36, command.keys.1.cast_unsigned());
            image.word(field + 40, command.keys.2);
        }
        image.bytes
    }
}

struct Image {
    at: u32,
    bytes: Vec<u8>,
}

impl Image {
    fn word(&mut self, field: usize, word: u32) {
        self.bytes[field..field + 4].copy_from_slice(&word.to_le_bytes());
    }

    fn string(&mut self, field: usize, text: &str) {
        self.list(field, text.as_bytes(), text.len());
    }

    /// Appends the elements, writes their address and number into the field, and returns their place in the image.
    fn list(&mut self, field: usize, elements: &[u8], count: usize) -> usize {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let place = self.bytes.len();
        self.bytes.extend_from_slice(elements);
        let number = |size: usize| u32::try_from(size).expect("a small image");
        self.word(field, self.at + number(place));
        self.word(field + 4, number(count));
        place
    }
}

pub fn escaped(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}
