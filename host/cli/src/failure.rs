//! A failure as the user sees it: code, cause, and the next command to type.

use crate::code::Code;
use crate::format::Format;
use outboard_client::{ClientError, ContextError};
use serde_json::json;

/// Why a command did not do what was asked.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Failure {
        Failure { code, message: message.into(), help: None }
    }

    /// A change of the members that can't be as things stand.
    pub(crate) fn conflict(message: String) -> Failure {
        Failure::new(Code::Conflict, message).help("outboard member list")
    }

    /// The next command to type, or what else to do.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Failure {
        self.help = Some(help.into());
        self
    }

    /// Says what was being done when it happened.
    pub(crate) fn during(mut self, what: &str) -> Failure {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// To stderr, in the form that was asked for.
    pub(crate) fn print(&self, format: Format, quiet: bool) {
        match format {
            Format::Json | Format::Jsonl => eprintln!("{}", self.document()),
            Format::Text | Format::Raw => eprint!("{}", self.text(quiet)),
        }
    }

    pub(crate) fn document(&self) -> serde_json::Value {
        json!({
            "$type": "error",
            "code": self.code.text(),
            "exit": self.code.exit(),
            "message": self.message,
            "help": self.help,
        })
    }

    pub(crate) fn text(&self, quiet: bool) -> String {
        let mut text = format!("error[{}]: {}\n", self.code.text(), self.message);
        if let Some(help) = self.help.as_ref().filter(|_| !quiet) {
            text.push_str(&format!("  help: {help}\n"));
        }
        text
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let message = error.to_string();
        match error {
            ClientError::Unavailable(_) => {
                Failure::new(Code::Unavailable, format!("not done: {message}")).help("outboard status")
            }
            ClientError::Timeout(_) => Failure::new(Code::Timeout, message).help("outboard status"),
            ClientError::Unknown(_) => Failure::new(Code::Unknown, format!("perhaps done: {message}"))
                .help("read it back before repeating it; outboard explain OB9001"),
            ClientError::Rejected(_) => Failure::new(Code::Rejected, message),
            ClientError::Failed(_) => {
                Failure::new(Code::EngineFailed, format!("the engine failed, nothing was changed: {message}"))
            }
            ClientError::WatchBroken => Failure::new(Code::ValueDiffers, message),
            ClientError::Invalid(_) => Failure::new(Code::InvalidRequest, message),
            ClientError::Auth(_) => Failure::new(Code::Refused, message).help("outboard explain OB6001"),
            ClientError::Conflict(_) => Failure::conflict(message),
            ClientError::AtRisk(_) => {
                Failure::new(Code::AtRisk, message).help("start the nodes that are silent, or --force")
            }
            ClientError::Forbidden(_) => {
                Failure::new(Code::Forbidden, message).help("outboard client role NAME ROLE, as an admin")
            }
            ClientError::Refused(_) => Failure::new(Code::UpgradeRefused, message).help("outboard engine list"),
            ClientError::Protocol(_) => {
                Failure::new(Code::Protocol, message).help("outboard --version  (on both sides)")
            }
        }
    }
}

impl From<ContextError> for Failure {
    fn from(error: ContextError) -> Failure {
        let message = error.to_string();
        match error {
            ContextError::NotFound { name, known, .. } => {
                let failure = Failure::new(Code::NoContext, message);
                match crate::suggest::nearest(&name, known.iter().map(String::as_str)) {
                    Some(near) => failure.help(format!("did you mean -c {near}?")),
                    None if known.is_empty() => failure.help("outboard demo, or -c DIR/admin.toml after cluster init"),
                    None => failure.help(format!("there are: {}", known.join(", "))),
                }
            }
            ContextError::Name(_) | ContextError::NoFolder => Failure::new(Code::NoContext, message),
            ContextError::Read { .. } => Failure::new(Code::ReadFile, message),
            ContextError::Write { .. } => Failure::new(Code::WriteFile, message),
            ContextError::Damaged { .. } => Failure::new(Code::Credentials, message),
        }
    }
}

/// A file that can't be read.
pub(crate) fn unreadable(path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::ReadFile, format!("can't read {}: {error}", path.display()))
}

/// A file that can't be written.
pub(crate) fn unwritable(path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::new(Code::WriteFile, format!("can't write {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_as_documented() {
        let failure = Failure::new(Code::ValueDiffers, "user/42 was not written").help("outboard get user/42");
        assert_eq!(failure.text(false), "error[OB4001]: user/42 was not written\n  help: outboard get user/42\n");
        assert_eq!(failure.text(true), "error[OB4001]: user/42 was not written\n");
        let document = failure.document();
        assert_eq!((&document["$type"], &document["exit"]), (&json!("error"), &json!(4)));
    }

    #[test]
    fn a_client_error_keeps_its_duty() {
        let exit = |error: ClientError| Failure::from(error).code.exit();
        assert_eq!(exit(ClientError::Unavailable(String::new())), 5);
        assert_eq!(exit(ClientError::Timeout(1)), 5);
        assert_eq!(exit(ClientError::Unknown(String::new())), 9);
        assert_eq!(exit(ClientError::Rejected(String::new())), 7);
        assert_eq!(exit(ClientError::Auth(String::new())), 6);
        assert_eq!(exit(ClientError::Invalid(String::new())), 2);
    }
}
