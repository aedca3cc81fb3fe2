//! Who may log in: names and argon2id hashes, one user to a line.
//!
//! ```text
//! # name   hash, as `argon2` and others write it (PHC)
//! default  $argon2id$v=19$m=19456,t=2,p=1$…$…
//! ana      $argon2id$v=19$m=19456,t=2,p=1$…$…
//! ```
//!
//! `AUTH password` without a name means `default`. A check costs what the hash says, on purpose, so it never runs on the node's
//! loop; a name that is unknown costs as much as the dearest that is known, so that the time tells nothing. Never: shows a hash or a
//! password in an error, in `Debug` or in a log.

use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Users in one file.
const USERS_MAX: usize = 10_000;
/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// Memory that a hash may ask for, in KiB.
const MEMORY_KIB_MAX: u32 = 256 << 10;
/// Passes that a hash may ask for.
const PASSES_MAX: u32 = 32;
/// Lanes that a hash may ask for.
const LANES_MAX: u32 = 16;
/// The user of `AUTH password`.
pub(crate) const DEFAULT: &str = "default";

/// Who may log in. Cheap to clone.
#[derive(Clone)]
pub struct Users {
    known: Arc<BTreeMap<String, PasswordHash>>,
    /// Is checked for a name that is unknown; nobody's.
    decoy: Option<Arc<PasswordHash>>,
}

/// What is wrong with a file of users.
#[derive(Clone, Eq, PartialEq, Debug, thiserror::Error)]
pub enum UsersError {
    /// The file can't be read.
    #[error("the file of users can't be read: {0}")]
    Unreadable(String),
    /// A line of it.
    #[error("line {line} of the users: {what}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// It protects nothing.
    #[error("the file of users names nobody")]
    Empty,
}

impl Users {
    /// No login is asked for.
    pub fn nobody() -> Users {
        Users { known: Arc::default(), decoy: None }
    }

    /// From a file.
    pub fn load(path: &Path) -> Result<Users, UsersError> {
        let text =
            std::fs::read(path).map_err(|error| UsersError::Unreadable(format!("{}: {error}", path.display())))?;
        let text =
            String::from_utf8(text).map_err(|_| UsersError::Unreadable(format!("{}: not text", path.display())))?;
        Users::parse(&text)
    }

    /// From a file's text.
    pub fn parse(text: &str) -> Result<Users, UsersError> {
        let mut known = BTreeMap::new();
        for (place, line) in text.lines().enumerate() {
            let wrong = |what: String| UsersError::Line { line: place + 1, what };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, hash) = user(line).map_err(wrong)?;
            if known.len() >= USERS_MAX {
                return Err(wrong(format!("more than {USERS_MAX} users")));
            }
            if known.insert(name.clone(), hash).is_some() {
                return Err(wrong(format!("{name} is named twice")));
            }
        }
        if known.is_empty() {
            return Err(UsersError::Empty);
        }
        let decoy = known.values().max_by_key(|hash| cost(hash)).cloned().map(Arc::new);
        Ok(Users { known: Arc::new(known), decoy })
    }

    /// Whether no login is asked for.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Whether this is that user's password. Takes tens of milliseconds of a core.
    pub fn verify(&self, name: &[u8], password: &[u8]) -> bool {
        let known = str::from_utf8(name).ok().and_then(|name| self.known.get(name));
        let Some(hash) = known.or(self.decoy.as_deref()) else { return false };
        Argon2::default().verify_password(password, hash).is_ok() && known.is_some()
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.known.len())
    }
}

/// A line for a file of users. The salt must be 8 to 64 random bytes; 16 are usual.
pub fn user_line(name: &str, password: &[u8], salt: &[u8]) -> Result<String, UsersError> {
    let wrong = |what: String| UsersError::Line { line: 1, what };
    check_name(name).map_err(wrong)?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default());
    let hash = hasher.hash_password_with_salt(password, salt);
    Ok(format!("{name} {}", hash.map_err(|error| wrong(format!("the password can't be hashed: {error}")))?))
}

/// The errors never hold a part of the hash.
fn user(line: &str) -> Result<(String, PasswordHash), String> {
    let mut words = line.split_whitespace();
    let (Some(name), Some(hash), None) = (words.next(), words.next(), words.next()) else {
        return Err("a name and an argon2id hash are expected, with a space between".to_owned());
    };
    check_name(name)?;
    let not_a_hash =
        || format!("what {name} has is no argon2id hash: $argon2id$v=19$m=…,t=…,p=…$salt$hash is expected");
    let hash = PasswordHash::new(hash).map_err(|_| not_a_hash())?;
    let whole = hash.salt.is_some() && hash.hash.is_some() && hash.version == Some(u32::from(Version::V0x13));
    if hash.algorithm != argon2::ARGON2ID_IDENT || !whole {
        return Err(not_a_hash());
    }
    let params = Params::try_from(&hash).map_err(|_| not_a_hash())?;
    if params.m_cost() > MEMORY_KIB_MAX || params.t_cost() > PASSES_MAX || params.p_cost() > LANES_MAX {
        return Err(format!(
            "the hash of {name} costs too much: at most m={MEMORY_KIB_MAX}, t={PASSES_MAX} and p={LANES_MAX} are taken"
        ));
    }
    Ok((name.to_owned(), hash))
}

fn check_name(name: &str) -> Result<(), String> {
    let printable = name.bytes().all(|byte| byte.is_ascii_graphic());
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !printable || name.starts_with(['#', '$']) {
        return Err(format!("a name is 1 to {NAME_BYTES_MAX} printable ASCII characters without spaces, # or $ first"));
    }
    Ok(())
}

/// Block fillings.
fn cost(hash: &PasswordHash) -> u64 {
    Params::try_from(hash).map_or(0, |params| u64::from(params.m_cost()) * u64::from(params.t_cost()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the password `secret`, as cheap as can be.
    const HASH: &str = "$argon2id$v=19$m=8,t=1,p=1$";

    fn line(name: &str, password: &str) -> String {
        let params = Params::new(8, 1, 1, None).expect("within the bounds");
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hash: PasswordHash = hasher.hash_password_with_salt(password.as_bytes(), b"saltsalt").expect("hashes");
        format!("{name} {hash}")
    }

    #[test]
    fn a_user_logs_in_with_the_right_password_only() {
        let text = format!("# comment\n\n{}\r\n\t{}\n", line("default", "secret"), line("ana", "p w"));
        let users = Users::parse(&text).expect("well-formed");
        assert!(users.verify(b"default", b"secret") && users.verify(b"ana", b"p w"));
        for (name, password) in [("default", "p w"), ("ana", "secret"), ("bob", "secret"), ("ANA", "p w"), ("ana", "")]
        {
            assert!(!users.verify(name.as_bytes(), password.as_bytes()), "{name} {password}");
        }
        assert!(!users.verify(b"\xff", b"secret"));
        assert!(!Users::nobody().verify(b"default", b""));
    }

    #[test]
    fn a_line_made_here_is_taken() {
        let line = user_line("ana", b"secret", &[7; 16]).expect("a salt of 16 bytes");
        assert!(line.starts_with("ana $argon2id$v=19$m=19456,t=2,p=1$"), "{line}");
        assert!(Users::parse(&line).expect("own line").verify(b"ana", b"secret"));
        assert!(user_line("a b", b"secret", &[7; 16]).is_err());
        assert!(user_line("ana", b"secret", &[7; 2]).is_err());
    }

    #[test]
    fn wrong_lines_are_named_by_their_number_and_never_shown() {
        let good = line("ana", "x");
        let salted = format!("{HASH}c2FsdHNhbHQ$L1jZpHRYzBAEr16xHrUFRY0ZYxPbUMBKvHPHKXAIxjQ");
        for (text, number, word) in [
            (format!("{good}\nbob"), 2, "a name and"),
            (format!("{good}\n\n# x\nbob plaintext"), 4, "no argon2id hash"),
            (format!("{good}\nbob x y"), 2, "a name and"),
            (format!("{good}\n{good}"), 2, "ana is named twice"),
            (format!("bob {}", salted.replace("argon2id", "argon2i")), 1, "no argon2id hash"),
            (format!("bob {}", salted.replace("v=19", "v=16")), 1, "no argon2id hash"),
            (format!("bob {}", salted.replace("m=8", "m=9999999")), 1, "costs too much"),
            (format!("bob {}", salted.replace("t=1", "t=99")), 1, "costs too much"),
            ("bob $argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ".to_owned(), 1, "no argon2id hash"),
            (format!("b\u{f6}b {salted}"), 1, "printable ASCII"),
            (format!("{} {salted}", "b".repeat(129)), 1, "printable ASCII"),
        ] {
            let error = Users::parse(&text).expect_err(&text);
            let UsersError::Line { line, what } = &error else { panic!("{error}") };
            assert_eq!(*line, number, "{error}");
            assert!(what.contains(word), "{error}");
            assert!(!error.to_string().contains("c2FsdHNhbHQ") && !error.to_string().contains("plaintext"), "{error}");
        }
        assert_eq!(Users::parse("# nobody\n").expect_err("nobody"), UsersError::Empty);
    }

    #[test]
    fn nothing_of_a_hash_is_in_debug() {
        let users = Users::parse(&line("ana", "secret")).expect("well-formed");
        assert_eq!(format!("{users:?}"), "Users(1)");
    }

    #[test]
    fn an_unknown_name_costs_as_much_as_the_dearest_known_one() {
        let cheap = line("ana", "x");
        let dear = user_line("bob", b"x", &[7; 16]).expect("a salt of 16 bytes");
        let users = Users::parse(&format!("{cheap}\n{dear}")).expect("well-formed");
        assert_eq!(users.decoy.as_deref().map(cost), Some(19_456 * 2));
    }
}
