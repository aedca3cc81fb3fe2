//! The file with a node's settings. A flag counts before its environment twin, that before the file, and the file before the
//! default.
//!
//! ```toml
//! data-dir = "/var/lib/outboard"
//! engine = "kv"
//! redis = "127.0.0.1:6379"
//! ```
//!
//! The keys are the long flags of `start`. An unknown key is an error, with the nearest right one; relative paths are taken from the
//! folder that the program runs in, as on the command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::code::Code;
use crate::failure::{Failure, unreadable};
use crate::suggest;
use toml::{Table, Value};

/// A key, its environment twin, and what holds without both.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) environment: &'static str,
    pub(crate) default: &'static str,
}

/// Every key of the file.
pub(crate) const KEYS: [Key; 13] = [
    Key { name: "data-dir", environment: "OUTBOARD_DATA_DIR", default: "" },
    Key { name: "engine", environment: "OUTBOARD_ENGINE", default: "kv" },
    Key { name: "listen", environment: "OUTBOARD_LISTEN", default: "" },
    Key { name: "advertise", environment: "OUTBOARD_ADVERTISE", default: "" },
    Key { name: "name", environment: "OUTBOARD_NAME", default: "" },
    Key { name: "join", environment: "OUTBOARD_JOIN", default: "" },
    Key { name: "token-file", environment: "OUTBOARD_TOKEN_FILE", default: "" },
    Key { name: "durability", environment: "OUTBOARD_DURABILITY", default: "sync" },
    Key { name: "log-format", environment: "OUTBOARD_LOG_FORMAT", default: "text" },
    Key { name: "redis", environment: "OUTBOARD_REDIS", default: "" },
    Key { name: "redis-users", environment: "OUTBOARD_REDIS_USERS_FILE", default: "" },
    Key { name: "redis-cert", environment: "OUTBOARD_REDIS_CERT_FILE", default: "" },
    Key { name: "redis-key", environment: "OUTBOARD_REDIS_KEY_FILE", default: "" },
];

const NAME: &str = "outboard.toml";

/// The file's settings, and where they were read.
#[derive(Debug, Default)]
pub(crate) struct Config {
    pub(crate) path: Option<PathBuf>,
    settings: Table,
}

impl Config {
    /// The named file, or else the first that is found of `./outboard.toml`, the user's config folder and `/etc/outboard`.
    pub(crate) fn find(named: Option<&Path>) -> Result<Config, Failure> {
        let found = match named {
            Some(path) => Some(path.to_owned()),
            None => places().into_iter().find(|path| path.is_file()),
        };
        found.map_or_else(|| Ok(Config::default()), |path| Config::read(&path))
    }

    fn read(path: &Path) -> Result<Config, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        let settings = parse(&text).map_err(|failure| failure.during(&path.display().to_string()))?;
        Ok(Config { path: Some(path.to_owned()), settings })
    }

    /// What the file says of a key.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        assert!(KEYS.iter().any(|known| known.name == key), "only known keys are asked for");
        self.settings.get(key).and_then(Value::as_str)
    }

    pub(crate) fn path_of(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(PathBuf::from)
    }

    /// `IP:PORT`.
    pub(crate) fn address(&self, key: &str) -> Result<Option<SocketAddr>, Failure> {
        let parse = |text: &str| text.parse().map_err(|_| self.wrong(key, text, "IP:PORT"));
        self.text(key).map(parse).transpose()
    }

    /// One of a few words.
    pub(crate) fn choice<T: clap::ValueEnum>(&self, key: &str) -> Result<Option<T>, Failure> {
        let words = || {
            let names = T::value_variants().iter().filter_map(|value| value.to_possible_value());
            names.map(|value| value.get_name().to_owned()).collect::<Vec<_>>().join(" or ")
        };
        let parse = |text: &str| T::from_str(text, false).map_err(|_| self.wrong(key, text, &words()));
        self.text(key).map(parse).transpose()
    }

    fn wrong(&self, key: &str, text: &str, wanted: &str) -> Failure {
        let place = self.path.as_ref().map_or_else(String::new, |path| format!("{}: ", path.display()));
        Failure::new(Code::Usage, format!("{place}{key} = \"{text}\" is not {wanted}"))
    }
}

fn places() -> Vec<PathBuf> {
    let user = outboard_client::Context::folder();
    let user = user.as_deref().and_then(Path::parent).map(|folder| folder.join(NAME));
    [Some(PathBuf::from(NAME)), user, Some(PathBuf::from("/etc/outboard").join(NAME))].into_iter().flatten().collect()
}

fn parse(text: &str) -> Result<Table, Failure> {
    let settings: Table = text
        .parse()
        .map_err(|error: toml::de::Error| Failure::new(Code::Usage, error.to_string().trim_end().replace('\n', " ")))?;
    for (key, value) in &settings {
        if !KEYS.iter().any(|known| known.name == key) {
            let failure = Failure::new(Code::Usage, format!("there is no setting {key}"));
            let near = suggest::nearest(key, KEYS.iter().map(|known| known.name));
            return Err(match near {
                Some(near) => failure.help(format!("did you mean {near}?")),
                None => failure.help("outboard config show"),
            });
        }
        if !value.is_str() {
            return Err(Failure::new(Code::Usage, format!("{key} wants a text, in quotes")));
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::LogFormat;

    fn config(text: &str) -> Config {
        Config { path: Some("x.toml".into()), settings: parse(text).expect("well-formed") }
    }

    #[test]
    fn settings_are_read_by_their_kinds() {
        let config = config("redis = \"127.0.0.1:6379\"\nlog-format = \"json\"\ndata-dir = \"/d\"\n");
        assert_eq!(config.address("redis").expect("an address"), Some(([127, 0, 0, 1], 6379).into()));
        assert_eq!(config.choice::<LogFormat>("log-format").expect("a choice"), Some(LogFormat::Json));
        assert_eq!(config.path_of("data-dir"), Some(PathBuf::from("/d")));
        assert_eq!(config.text("engine"), None);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        let failure = parse("redsi = \"x\"").expect_err("unknown");
        assert_eq!(failure.help.as_deref(), Some("did you mean redis?"));
        assert!(parse("redis = 6379").expect_err("a number").message.contains("redis wants a text"));
        assert_eq!(parse("redis").expect_err("not TOML").code, Code::Usage);
        let failure = config("redis = \"6379\"").address("redis").expect_err("no address");
        assert_eq!(failure.message, "x.toml: redis = \"6379\" is not IP:PORT");
        let failure = config("log-format = \"xml\"").choice::<LogFormat>("log-format").expect_err("no choice");
        assert_eq!(failure.message, "x.toml: log-format = \"xml\" is not text or json");
    }

    #[test]
    fn a_file_that_was_named_has_to_be_there() {
        assert_eq!(Config::find(Some(Path::new("/no/such/file"))).expect_err("missing").code, Code::ReadFile);
    }
}
