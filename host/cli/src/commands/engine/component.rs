//! From what people type to the bytes of a component.

use std::io::{self, Read};
use std::path::Path;

use crate::code::Code;
use crate::failure::{Failure, unreadable};
use crate::suggest;
use bytes::Bytes;
use outboard_wire::limits::COMPONENT_BYTES_MAX;

/// The engines that come with the program and that users may ask for by name.
pub(crate) const EMBEDDED: [&str; 2] = ["kv", "kv-basic"];

/// A component and where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Component {
    pub(crate) bytes: Bytes,
    /// `embedded`, or the file.
    pub(crate) source: String,
}

/// An embedded engine by its name, else a file. `./kv` is a file in any case.
pub(crate) fn named(text: &str) -> Result<Component, Failure> {
    match embedded(text) {
        Some(component) => Ok(component),
        None => match from_file(Path::new(text)) {
            Err(failure) if failure.code == Code::ReadFile && !looks_like_a_file(text) => {
                Err(no_such_engine(text, EMBEDDED.into_iter()))
            }
            result => result,
        },
    }
}

pub(crate) fn embedded(name: &str) -> Option<Component> {
    let bytes = outboard_embedded::by_name(name)?;
    Some(Component { bytes: Bytes::from_static(bytes), source: "embedded".to_owned() })
}

/// For `extract` only: chaos is for tests, nobody should run it by its name.
pub(crate) fn embedded_or_chaos(name: &str) -> Result<&'static [u8], Failure> {
    let found = outboard_embedded::by_name(name).or((name == "chaos").then_some(outboard_embedded::CHAOS));
    found.ok_or_else(|| no_such_engine(name, EMBEDDED.into_iter().chain(["chaos"])))
}

/// Reads a file; a core module is made a component.
pub(crate) fn from_file(path: &Path) -> Result<Component, Failure> {
    let bytes = read(path).map_err(|error| unreadable(path, &error))?;
    let source = path.display().to_string();
    let bytes = if outboard_component::is_core_module(&bytes) {
        outboard_component::componentize(&bytes).map_err(|error| not_an_engine(&source, &format!("{error:#}")))?
    } else if outboard_component::is_component(&bytes) {
        bytes
    } else {
        return Err(not_an_engine(&source, "it is not a WebAssembly file"));
    };
    Ok(Component { bytes: Bytes::from(bytes), source })
}

pub(crate) fn not_an_engine(source: &str, why: &str) -> Failure {
    Failure::new(Code::NotAnEngine, format!("{source} is not an engine: {why}")).help("outboard explain OB7003")
}

/// Suggests the nearest name, or tells them all.
pub(crate) fn no_such_engine<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Failure {
    let names: Vec<&str> = names.collect();
    let failure = Failure::new(Code::UnknownEngine, format!("there is no engine and no file {text}"));
    match suggest::nearest(text, names.iter().copied()) {
        Some(near) => failure.help(format!("did you mean {near}?")),
        None => failure.help(format!("a file, or one of {}", names.join(", "))),
    }
}

fn looks_like_a_file(text: &str) -> bool {
    text.contains(std::path::is_separator) || text.contains('.')
}

/// Modules are a little larger than the components made from them, so the limit here is twice the node's.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let most = 2 * COMPONENT_BYTES_MAX as u64;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large for an engine"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_engine_gets_the_nearest_suggested() {
        let failure = named("kv-bsaic").expect_err("no such engine");
        assert_eq!((failure.code.text(), failure.help.as_deref()), ("OB2005", Some("did you mean kv-basic?")));
    }

    #[test]
    fn a_missing_file_is_a_missing_file() {
        assert_eq!(named("./nothing.wasm").expect_err("no file").code, Code::ReadFile);
    }

    #[test]
    fn what_is_no_wasm_is_refused_here() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "hello").expect("writable");
        assert_eq!(from_file(file.path()).expect_err("garbage").code.exit(), 7);
        std::fs::write(file.path(), b"\0asm\x01\0\0\0\x01\x7f").expect("writable");
        assert_eq!(from_file(file.path()).expect_err("a damaged module").code, Code::NotAnEngine);
    }

    #[test]
    fn the_embedded_engines_are_components() {
        for name in EMBEDDED {
            assert!(outboard_component::is_component(&embedded(name).expect("embedded").bytes), "{name}");
        }
        assert!(embedded("chaos").is_none() && embedded_or_chaos("chaos").is_ok());
    }
}
