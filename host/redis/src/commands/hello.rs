//! HELLO and AUTH: what they ask for, and what they are told when the login is settled.

use super::answer::SYNTAX;
use super::client::check_name;
use super::info::REDIS_VERSION;
use crate::request::integer;
use crate::resp::{Protocol, Writer};
use crate::session::Session;
use crate::users::DEFAULT;
use bytes::Bytes;

pub(crate) const WRONG: &str = "WRONGPASS invalid username-password pair or user is disabled.";
pub(crate) const NO_LOGIN: &str = "NOAUTH Authentication required.";
const NO_LOGIN_IN_HELLO: &str = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> \
     <pass> option can be used to authenticate the client and select the RESP protocol version at the same time";
const NO_PASSWORDS: &str = "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
     configuration is correct?";

/// A name and a password.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) name: Bytes,
    pub(crate) password: Bytes,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

/// What HELLO asks for, its login apart.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hello {
    protocol: Option<Protocol>,
    name: Option<String>,
}

/// AUTH's arguments.
pub(crate) fn auth(arguments: &[Bytes], users_known: bool) -> Result<Login, &'static str> {
    match arguments {
        [_, _] if !users_known => Err(NO_PASSWORDS),
        [_, password] => Ok(Login { name: Bytes::from_static(DEFAULT.as_bytes()), password: password.clone() }),
        [_, name, password] => Ok(Login { name: name.clone(), password: password.clone() }),
        _ => Err(SYNTAX),
    }
}

impl Hello {
    /// HELLO's arguments.
    pub(crate) fn parse(arguments: &[Bytes]) -> Result<(Hello, Option<Login>), Vec<u8>> {
        let mut hello = Hello::default();
        let mut login = None;
        let mut rest = &arguments[1..];
        if let [version, options @ ..] = rest {
            hello.protocol = Some(match integer(version) {
                Some(2) => Protocol::Resp2,
                Some(3) => Protocol::Resp3,
                Some(_) => return Err(b"NOPROTO unsupported protocol version".into()),
                None => return Err(b"ERR Protocol version is not an integer or out of range".into()),
            });
            rest = options;
        }
        loop {
            rest = match rest {
                [] => return Ok((hello, login)),
                [option, name, password, rest @ ..] if option.eq_ignore_ascii_case(b"auth") => {
                    login = Some(Login { name: name.clone(), password: password.clone() });
                    rest
                }
                [option, name, rest @ ..] if option.eq_ignore_ascii_case(b"setname") => {
                    hello.name = Some(check_name(name)?);
                    rest
                }
                [option, ..] => {
                    let option = &option[..option.len().min(128)];
                    return Err([b"ERR Syntax error in HELLO option '", option, b"'"].concat());
                }
            };
        }
    }

    /// Whoever asked is logged in, or not; then this is the answer.
    pub(crate) fn settle(self, session: &mut Session, id: u64, out: &mut Vec<u8>) {
        if !session.is_logged_in() {
            return Writer::new(out, session.protocol).error(NO_LOGIN_IN_HELLO);
        }
        session.name = self.name.unwrap_or_else(|| std::mem::take(&mut session.name));
        session.protocol = self.protocol.unwrap_or(session.protocol);
        let mut writer = Writer::new(out, session.protocol);
        writer.map(7);
        for (name, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
            writer.bulk(name);
            writer.bulk(value);
        }
        writer.bulk("proto");
        writer.integer(session.protocol.number());
        writer.bulk("id");
        writer.integer(id.cast_signed());
        for (name, value) in [("mode", "standalone"), ("role", "master")] {
            writer.bulk(name);
            writer.bulk(value);
        }
        writer.bulk("modules");
        writer.array(0);
    }
}
