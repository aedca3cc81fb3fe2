//! A context: all that a client needs to reach a cluster, in one TOML file with the certificates inline.
//!
//! It holds a private key: the file is written with mode 0600 into a folder of mode 0700, and nothing here shows the key.
//! Contexts live by name in the user's config folder (`outboard/contexts/NAME.toml`) or anywhere by path. Tests: below.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use outboard_net::{ClusterId, Credentials, CredentialsError};
use serde::{Deserialize, Serialize};

/// Longest file that is read as a context, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How to reach a cluster and as whom.
#[derive(Clone, Debug)]
pub struct Context {
    /// Which cluster; the credentials prove it.
    pub cluster: ClusterId,
    /// `host:port` of some of its nodes; the others are learnt from them.
    pub endpoints: Vec<String>,
    /// The client's identity.
    pub credentials: Credentials,
}

impl Context {
    /// A context of these credentials' cluster.
    pub fn new(endpoints: Vec<String>, credentials: Credentials) -> Context {
        Context { cluster: credentials.cluster(), endpoints, credentials }
    }

    /// By name, or by path if the text looks like one (it has a separator or ends in `.toml`).
    pub fn load(name_or_path: &str) -> Result<Context, ContextError> {
        let path = if is_path(name_or_path) { PathBuf::from(name_or_path) } else { Context::path_of(name_or_path)? };
        if !is_path(name_or_path) && !path.exists() {
            return Err(ContextError::NotFound { name: name_or_path.to_owned(), known: Context::list(), path });
        }
        Context::load_file(&path)
    }

    /// From a file.
    pub fn load_file(path: &Path) -> Result<Context, ContextError> {
        let read = || {
            if fs::metadata(path)?.len() > FILE_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too large for a context"));
            }
            fs::read_to_string(path)
        };
        let text = read().map_err(|source| ContextError::Read { path: path.to_owned(), source })?;
        Context::parse(&text).map_err(|what| ContextError::Damaged { path: path.to_owned(), what })
    }

    /// Writes the file, readable by its owner only; a crash leaves the old file or the new one.
    pub fn save(&self, path: &Path) -> Result<(), ContextError> {
        write_private(path, self.to_toml().as_bytes())
            .map_err(|source| ContextError::Write { path: path.to_owned(), source })
    }

    /// Where the context of this name lies, whether it exists or not.
    pub fn path_of(name: &str) -> Result<PathBuf, ContextError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(ContextError::Name(name.to_owned()));
        }
        Ok(Context::folder().ok_or(ContextError::NoFolder)?.join(format!("{name}.toml")))
    }

    /// The user's folder of contexts: `$XDG_CONFIG_HOME/outboard/contexts`, or the same under `~/.config`.
    pub fn folder() -> Option<PathBuf> {
        let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let config = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
        Some(config.join("outboard").join("contexts"))
    }

    /// The names of the user's contexts, in order; none when the folder can't be read.
    pub fn list() -> Vec<String> {
        let entries = Context::folder().and_then(|folder| fs::read_dir(folder).ok());
        let stem = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".toml").map(str::to_owned)
        };
        let mut names: Vec<String> = entries.into_iter().flatten().flatten().filter_map(stem).collect();
        names.sort();
        names
    }

    fn parse(text: &str) -> Result<Context, String> {
        // TOML's own error would quote the line, which may be a part of the key.
        let file: Shape = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        let cluster: ClusterId = file.cluster.parse().map_err(|error| format!("cluster: {error}"))?;
        let PemFile { certificate, key, ca } = file.credentials;
        let credentials = Credentials::from_pem(&certificate, &key, &ca).map_err(|error| match error {
            // Its path is made up: the texts came from this file.
            CredentialsError::Damaged { path, what } => format!("[credentials] {}: {what}", path.display()),
            other @ (CredentialsError::Read { .. }
            | CredentialsError::Write { .. }
            | CredentialsError::Issue { .. }) => other.to_string(),
        })?;
        if credentials.cluster() != cluster {
            return Err(format!("the cluster is {cluster}, but the certificate belongs to {}", credentials.cluster()));
        }
        if file.endpoints.is_empty() {
            return Err("endpoints: at least one is needed".to_owned());
        }
        Ok(Context { cluster, endpoints: file.endpoints, credentials })
    }

    fn to_toml(&self) -> String {
        let file = Shape {
            cluster: self.cluster.to_string(),
            endpoints: self.endpoints.clone(),
            credentials: PemFile {
                certificate: self.credentials.certificate_pem().to_owned(),
                key: self.credentials.key_pem().to_owned(),
                ca: self.credentials.ca_pem().to_owned(),
            },
        };
        let body = toml::to_string(&file).expect("a context is made of texts");
        format!("# How to reach an Outboard cluster. It holds a private key: keep it to yourself.\n{body}")
    }
}

/// The file's shape.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shape {
    cluster: String,
    endpoints: Vec<String>,
    credentials: PemFile,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PemFile {
    certificate: String,
    key: String,
    ca: String,
}

/// Why a context can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// There is none of that name.
    #[error("there is no context {name:?} ({})", path.display())]
    NotFound {
        /// What was asked for.
        name: String,
        /// The contexts that there are.
        known: Vec<String>,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The name can't be a file's.
    #[error("{0:?} can't be the name of a context (letters, digits, '.', '_', '-')")]
    Name(String),
    /// Neither HOME nor XDG_CONFIG_HOME is set.
    #[error("there is no config folder: neither HOME nor XDG_CONFIG_HOME is set")]
    NoFolder,
    /// The file can't be read.
    #[error("can't read the context {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file can't be written.
    #[error("can't write the context {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a context.
    #[error("the context {} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

fn is_path(text: &str) -> bool {
    text.contains(std::path::is_separator) || text.ends_with(".toml")
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
    }
    let fresh = path.with_extension("toml.new");
    let mut file = take_turn(&fresh)?;
    file.set_len(0)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}

/// The file that is about to take the other's place, in one hand only: programs that end at the same time all keep what they learnt.
fn take_turn(fresh: &Path) -> io::Result<File> {
    loop {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(fresh)?;
        file.lock()?;
        // Whoever had it before has moved it into its place, most likely.
        if is_at(&file, fresh)? {
            return Ok(file);
        }
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let own = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_net::Authority;

    fn context() -> Context {
        let authority = Authority::create(ClusterId::random()).expect("an authority");
        Context::new(vec!["127.0.0.1:4410".into()], authority.issue_client("admin").expect("credentials"))
    }

    #[test]
    fn a_context_is_read_back_from_its_file() {
        let context = context();
        let read = Context::parse(&context.to_toml()).expect("own text");
        assert_eq!((read.cluster, &read.endpoints), (context.cluster, &context.endpoints));
        assert_eq!(read.credentials.key_pem(), context.credentials.key_pem());
    }

    #[test]
    fn many_hands_write_a_context_at_once_and_whoever_reads_it_finds_a_whole_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, context) = (folder.path().join("contexts").join("prod.toml"), context());
        context.save(&path).expect("writable");
        // What a crash left behind is no hindrance.
        fs::write(path.with_extension("toml.new"), "half").expect("writable");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (path, context) = (&path, &context);
                scope.spawn(move || {
                    for round in 0..25 {
                        let endpoints = vec![format!("h{writer}:{}", 1_000 + round)];
                        Context { endpoints, ..context.clone() }.save(path).expect("its turn comes");
                        Context::load_file(path).expect("a whole one");
                    }
                });
            }
        });
        let left = fs::read_dir(folder.path().join("contexts")).expect("readable").count();
        assert_eq!(left, 1, "nothing else is left in the folder");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn neither_debug_nor_an_error_shows_the_key() {
        let context = context();
        let secret = context.credentials.key_pem().lines().nth(1).expect("a PEM has lines").to_owned();
        assert!(!format!("{context:?}").contains(&secret));
        let damaged = context.to_toml().replace("-----END PRIVATE KEY-----", "");
        assert!(!Context::parse(&damaged).expect_err("no key").contains(&secret));
        let unfinished = context.to_toml().replace(&secret, &format!("{secret}\"\"\""));
        assert!(!Context::parse(&unfinished).expect_err("no TOML").contains(&secret));
    }

    #[test]
    fn a_context_of_two_clusters_is_refused() {
        let (one, other) = (context(), context());
        let mixed = one.to_toml().replace(&one.cluster.to_string(), &other.cluster.to_string());
        assert!(Context::parse(&mixed).is_err());
    }

    #[test]
    fn names_stay_inside_the_folder() {
        for name in ["", "..", ".hidden", "a b", "a\0b"] {
            assert!(matches!(Context::path_of(name), Err(ContextError::Name(_))), "{name:?} was taken");
        }
        assert!(is_path("./x") && is_path("admin.toml") && !is_path("demo"));
    }
}
