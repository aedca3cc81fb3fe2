//! A component that was admitted: its identity, what it says of itself, and its code, ready to be instantiated.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use wasmtime::component::{ComponentExportIndex, InstancePre};

use crate::host::Host;

/// The BLAKE3 hash of a component's bytes: its identity.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(blake3::hash(bytes).into())
    }

    /// The first eight hex digits, for people.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// What an engine says of itself; the wit file says what each field means. Checked at admission.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Manifest {
    /// Small letters, digits and dashes.
    pub name: String,
    /// A semantic version, for people.
    pub version: String,
    /// The table layout that it writes.
    pub schema: u32,
    /// Older layouts that it takes over as they are.
    pub reads_schemas: Vec<u32>,
    /// It keeps something in its memory between commands.
    pub caches: bool,
    /// Each name once.
    pub commands: Vec<CommandSpec>,
}

/// What an engine says of one command.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct CommandSpec {
    /// In capitals.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// Through the log and `apply`, or on a view and `query`.
    pub writes: bool,
    /// Fewest arguments after the name.
    pub arguments_min: u32,
    /// Most arguments after the name, if there is a most.
    pub arguments_max: Option<u32>,
    /// Which of them are keys.
    pub keys: KeyPositions,
}

/// Which arguments are keys, as Redis counts them: the name is argument 0.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct KeyPositions {
    /// 0 says that there is none.
    pub first: u32,
    /// -1 is the last argument.
    pub last: i32,
    /// From one key to the next.
    pub step: u32,
}

/// An admitted component. Made by [`Sandbox::admit`](crate::Sandbox::admit) only.
pub struct Component {
    pub(crate) digest: Digest,
    pub(crate) bytes_len: usize,
    pub(crate) manifest: Manifest,
    /// The manifest's name, shared with every instance for its log lines.
    pub(crate) name: Arc<str>,
    /// Places in the manifest by name, in capitals.
    pub(crate) places: BTreeMap<Vec<u8>, usize>,
    pub(crate) code: Code,
}

/// The compiled code, linked to the host functions, and where its exports stand.
pub(crate) struct Code {
    pub(crate) pre: InstancePre<Host>,
    pub(crate) describe: ComponentExportIndex,
    pub(crate) open: ComponentExportIndex,
    pub(crate) apply: ComponentExportIndex,
    pub(crate) query: ComponentExportIndex,
    pub(crate) migrate: ComponentExportIndex,
}

/// The longest name of a command, in bytes.
pub(crate) const COMMAND_NAME_BYTES_MAX: usize = 64;

impl Component {
    pub(crate) fn new(digest: Digest, bytes_len: usize, manifest: Manifest, code: Code) -> Component {
        let name = Arc::from(manifest.name.as_str());
        let place = |(place, spec): (usize, &CommandSpec)| (spec.name.clone().into_bytes(), place);
        let places = manifest.commands.iter().enumerate().map(place).collect();
        Component { digest, bytes_len, manifest, name, places, code }
    }

    /// Its identity.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its size, in bytes.
    pub fn bytes_len(&self) -> usize {
        self.bytes_len
    }

    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The command of this name, in capitals or not.
    pub fn command(&self, name: &[u8]) -> Option<&CommandSpec> {
        let mut capitals = [0; COMMAND_NAME_BYTES_MAX];
        let capitals = capitals.get_mut(..name.len())?;
        capitals.copy_from_slice(name);
        capitals.make_ascii_uppercase();
        self.places.get(&*capitals).map(|place| &self.manifest.commands[*place])
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Component({} {} {})", self.manifest.name, self.manifest.version, self.digest.short())
    }
}
