//! Who may come in: a component of the right size that imports nothing but our interfaces, exports all of them, and says something
//! sensible and steady of itself.
//!
//! Every refusal says what is wrong and what to do next; it is read by the engine's author, at `push`. The same bytes get the same
//! answer on every node with the same limits, except [`Refusal::Node`]. Tests: `tests/admission.rs`.

use std::sync::Arc;

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{self, ComponentExportIndex, ComponentNamedList, Instance, Lift, Linker, Lower};
use wasmtime::{Engine, OutOfMemory, Store};

use crate::cache::Cache;
use crate::component::{Code, Component, Digest, Manifest};
use crate::contract::{
    COMMANDS, CommandParams, CommandResults, DescribeParams, DescribeResults, LOG, MIGRATION, MigrateParams,
    MigrateResults, OpenParams, OpenResults, PACKAGE, TABLES, TYPES, WitManifest,
};
use crate::host::Host;
use crate::instance;
use crate::limits::Limits;
use crate::manifest;
use crate::outcome::Stop;

/// Why a component may not come in.
#[derive(Clone, Eq, PartialEq, Debug, thiserror::Error)]
pub enum Refusal {
    /// Over the limit.
    #[error(
        "the component has {bytes} bytes and {max} are allowed; build it in release mode and strip debug information, as `outboard engine build` does"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// No WebAssembly at all.
    #[error("this is not a WebAssembly file; push the .wasm file that `outboard engine build` writes")]
    NotWasm,
    /// A core module, as compilers write it.
    #[error(
        "this is a core WebAssembly module, and a node takes only components; `outboard engine build` makes components, and `outboard engine push` turns a module built with the SDK into one on the way"
    )]
    CoreModule,
    /// Starts like a component but is cut short, damaged, or uses a feature that is switched off here.
    #[error("this is not a valid component: {detail}; build it again with `outboard engine build`")]
    Invalid {
        /// What the compiler says.
        detail: String,
    },
    /// It wants more of the world than an engine gets.
    #[error("the component imports {}; an engine may import only {TABLES} and {LOG}; build it for wasm32-unknown-unknown, without WASI", names.join(", "))]
    ForeignImports {
        /// All of them.
        names: Vec<String>,
    },
    /// It was written for another version of the contract.
    #[error(
        "the component imports {name}, and this node knows only {TABLES} and {LOG}; build it with the SDK of this node's version"
    )]
    OtherContract {
        /// The import.
        name: String,
    },
    /// An import by a known name has types that the contract does not have.
    #[error(
        "the component imports our interfaces with other functions or types than wit/engine.wit has: {detail}; build it with the SDK of this node's version"
    )]
    WrongImport {
        /// Where they differ.
        detail: String,
    },
    /// Not an engine.
    #[error("the component does not export {name}; an engine exports all of the world `engine` in wit/engine.wit")]
    MissingExport {
        /// The export.
        name: String,
    },
    /// An export has types that the contract does not have.
    #[error(
        "the export {name} has another type than wit/engine.wit says: {detail}; build it with the SDK of this node's version"
    )]
    WrongExport {
        /// The export.
        name: String,
        /// How they differ.
        detail: String,
    },
    /// It can't even start, or can't say what it is.
    #[error(
        "{what}: {detail}; an engine must start and describe itself without tables, within its limits of fuel and memory"
    )]
    Broken {
        /// What was tried.
        what: &'static str,
        /// How it ended.
        detail: String,
    },
    /// Its describe is not the same at every call.
    #[error("`describe` gave two different answers; it must say the same at every call")]
    Unsteady,
    /// It says something of itself that can't be.
    #[error("what the engine says of itself is not right: {detail}; see `manifest` in wit/engine.wit")]
    Manifest {
        /// What.
        detail: String,
    },
    /// Not the component's fault: this machine could not check it.
    #[error("this node could not check the component: {detail}; free memory on this machine and push again")]
    Node {
        /// What happened.
        detail: String,
    },
}

pub(crate) fn admit(
    engine: &Engine,
    linker: &Linker<Host>,
    limits: &Limits,
    cache: Option<&Cache>,
    bytes: &[u8],
) -> Result<Component, Refusal> {
    check_shape(bytes, limits)?;
    let digest = Digest::of(bytes);
    let cached = cache.and_then(|cache| cache.load(engine, digest));
    let compiled = match &cached {
        Some(compiled) => compiled.clone(),
        None => compile(engine, bytes)?,
    };
    check_imports(engine, &compiled)?;
    let pre = linker.instantiate_pre(&compiled).map_err(|error| Refusal::WrongImport { detail: text(&error) })?;
    let code = Code {
        describe: export(&compiled, COMMANDS, "describe")?,
        open: export(&compiled, COMMANDS, "open")?,
        apply: export(&compiled, COMMANDS, "apply")?,
        query: export(&compiled, COMMANDS, "query")?,
        migrate: export(&compiled, MIGRATION, "migrate")?,
        pre,
    };
    let manifest = describe(&code, limits)?;
    // Only now: what is refused leaves nothing behind.
    if let (Some(cache), None) = (cache, cached) {
        cache.store(&compiled, digest);
    }
    Ok(Component::new(digest, bytes.len(), manifest, code))
}

/// What the first bytes tell. Done before the digest and the compiler see any of it.
fn check_shape(bytes: &[u8], limits: &Limits) -> Result<(), Refusal> {
    const CORE_MODULE: [u8; 4] = [1, 0, 0, 0];
    if bytes.len() > limits.component_bytes_max {
        return Err(Refusal::TooLarge { bytes: bytes.len(), max: limits.component_bytes_max });
    }
    match bytes.strip_prefix(b"\0asm") {
        None => Err(Refusal::NotWasm),
        Some(rest) if rest.starts_with(&CORE_MODULE) => Err(Refusal::CoreModule),
        Some(_) => Ok(()),
    }
}

fn compile(engine: &Engine, bytes: &[u8]) -> Result<component::Component, Refusal> {
    component::Component::from_binary(engine, bytes).map_err(|error| Refusal::Invalid { detail: text(&error) })
}

fn check_imports(engine: &Engine, compiled: &component::Component) -> Result<(), Refusal> {
    let component_type = compiled.component_type();
    let (ours, foreign): (Vec<_>, Vec<_>) =
        component_type.imports(engine).partition(|(name, _)| name.starts_with(PACKAGE));
    if !foreign.is_empty() {
        return Err(Refusal::ForeignImports { names: foreign.iter().map(|(name, _)| (*name).to_owned()).collect() });
    }
    for (name, import) in ours {
        match name {
            TABLES | LOG => {}
            // An interface that only holds types shows up as an import; it gives nothing as long as it stays so.
            TYPES => check_only_types(engine, &import.ty)?,
            _ => return Err(Refusal::OtherContract { name: name.to_owned() }),
        }
    }
    Ok(())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "wasmtime's list; all but types is refused alike")]
fn check_only_types(engine: &Engine, item: &ComponentItem) -> Result<(), Refusal> {
    let ComponentItem::ComponentInstance(instance) = item else {
        return Err(Refusal::WrongImport { detail: format!("{TYPES} is not an interface") });
    };
    for (name, export) in instance.exports(engine) {
        match export.ty {
            ComponentItem::Type(_) => {}
            _ => return Err(Refusal::WrongImport { detail: format!("{TYPES} holds only types, and {name} is none") }),
        }
    }
    Ok(())
}

fn export(compiled: &component::Component, interface: &str, function: &str) -> Result<ComponentExportIndex, Refusal> {
    let missing = || Refusal::MissingExport { name: format!("{interface}.{function}") };
    let interface = compiled.get_export_index(None, interface).ok_or_else(missing)?;
    compiled.get_export_index(Some(&interface), function).ok_or_else(missing)
}

/// Asks a throw-away instance, twice, what it is.
fn describe(code: &Code, limits: &Limits) -> Result<Manifest, Refusal> {
    let mut store = instance::store(code.pre.engine(), Arc::from("(unnamed)"), 1, limits);
    store.set_fuel(limits.open_fuel).expect("fuel is configured");
    let instance = match code.pre.instantiate(&mut store) {
        Ok(instance) => instance,
        Err(error) => return Err(broken(&mut store, "the component could not start", &error)),
    };
    check_type::<OpenParams, OpenResults>(&mut store, instance, code.open, "open")?;
    check_type::<CommandParams<'_>, CommandResults>(&mut store, instance, code.apply, "apply")?;
    check_type::<CommandParams<'_>, CommandResults>(&mut store, instance, code.query, "query")?;
    check_type::<MigrateParams, MigrateResults>(&mut store, instance, code.migrate, "migrate")?;
    check_type::<DescribeParams, DescribeResults>(&mut store, instance, code.describe, "describe")?;
    let first = ask(&mut store, instance, code, limits)?;
    let second = ask(&mut store, instance, code, limits)?;
    if first != second {
        return Err(Refusal::Unsteady);
    }
    manifest::checked(first).map_err(|detail| Refusal::Manifest { detail })
}

fn check_type<P: ComponentNamedList + Lower, R: ComponentNamedList + Lift>(
    store: &mut Store<Host>,
    instance: Instance,
    export: ComponentExportIndex,
    name: &str,
) -> Result<(), Refusal> {
    match instance.get_typed_func::<P, R>(store, export) {
        Ok(_) => Ok(()),
        Err(error) => Err(Refusal::WrongExport { name: name.to_owned(), detail: text(&error) }),
    }
}

fn ask(store: &mut Store<Host>, instance: Instance, code: &Code, limits: &Limits) -> Result<WitManifest, Refusal> {
    store.set_fuel(limits.apply_fuel).expect("fuel is configured");
    store.data_mut().log.lines_left = limits.log_lines_max;
    let describe = instance
        .get_typed_func::<DescribeParams, DescribeResults>(&mut *store, code.describe)
        .expect("its type was checked before");
    match describe.call(&mut *store, ()) {
        Ok((manifest,)) => Ok(manifest),
        Err(error) => Err(broken(store, "`describe` failed", &error)),
    }
}

/// The engine's own last line of log says most of why it broke: a panic's message.
fn broken(store: &mut Store<Host>, what: &'static str, error: &wasmtime::Error) -> Refusal {
    let host = store.data_mut();
    let from_the_system = error.chain().any(|cause| cause.is::<std::io::Error>()) || error.is::<OutOfMemory>();
    match instance::stopped(host, error) {
        Stop::Fault(fault) => Refusal::Node { detail: fault.to_string() },
        Stop::Failure(_) if from_the_system => Refusal::Node { detail: text(error) },
        Stop::Failure(failure) => {
            let said = host.log.last_words.take().map(|line| format!(" ({line})")).unwrap_or_default();
            Refusal::Broken { what, detail: format!("{}{said}", failure.short()) }
        }
    }
}

/// The whole chain on one line.
fn text(error: &wasmtime::Error) -> String {
    format!("{error:#}").replace('\n', " ")
}
