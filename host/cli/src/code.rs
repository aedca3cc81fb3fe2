//! The codes of all failures. They are stable: a code is never given another meaning, and its first digit is the exit code
//! (0 stands for 10). The texts of `explain` are in `explain.rs`.

/// Every way to fail.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Code {
    Other,
    ReadFile,
    WriteFile,
    AddressInUse,
    Locked,
    Folder,
    DiskFull,
    NotANode,
    Halted,
    Protocol,
    /// Not a failure to anyone: whoever read stdout has seen enough. The program ends quietly with 0.
    OutputClosed,
    ImportIncomplete,
    Usage,
    Input,
    NoContext,
    UnknownNode,
    UnknownEngine,
    InvalidRequest,
    NotConfirmed,
    Token,
    KeyNotFound,
    EngineNotFound,
    ValueDiffers,
    KeyExists,
    FolderNotEmpty,
    AtRisk,
    Conflict,
    QuorumThere,
    Unavailable,
    Timeout,
    Refused,
    Credentials,
    Forbidden,
    Removed,
    NotJoined,
    Rejected,
    EngineFailed,
    NotAnEngine,
    UpgradeRefused,
    Corrupt,
    Diverged,
    Unknown,
    Unhealthy,
}

impl Code {
    /// All that users see, in the order of their numbers within each exit code.
    pub(crate) const ALL: [Code; 42] = [
        Code::Other,
        Code::ReadFile,
        Code::WriteFile,
        Code::AddressInUse,
        Code::Locked,
        Code::Folder,
        Code::DiskFull,
        Code::NotANode,
        Code::Halted,
        Code::Protocol,
        Code::ImportIncomplete,
        Code::Usage,
        Code::Input,
        Code::NoContext,
        Code::UnknownNode,
        Code::UnknownEngine,
        Code::InvalidRequest,
        Code::NotConfirmed,
        Code::Token,
        Code::KeyNotFound,
        Code::EngineNotFound,
        Code::ValueDiffers,
        Code::KeyExists,
        Code::FolderNotEmpty,
        Code::AtRisk,
        Code::Conflict,
        Code::QuorumThere,
        Code::Unavailable,
        Code::Timeout,
        Code::Refused,
        Code::Credentials,
        Code::Forbidden,
        Code::Removed,
        Code::NotJoined,
        Code::Rejected,
        Code::EngineFailed,
        Code::NotAnEngine,
        Code::UpgradeRefused,
        Code::Corrupt,
        Code::Diverged,
        Code::Unknown,
        Code::Unhealthy,
    ];

    /// As people see it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Code::Other => "OB1001",
            Code::ReadFile => "OB1002",
            Code::WriteFile => "OB1003",
            Code::AddressInUse => "OB1004",
            Code::Locked => "OB1005",
            Code::Folder => "OB1006",
            Code::DiskFull => "OB1007",
            Code::NotANode => "OB1008",
            Code::Halted => "OB1009",
            Code::Protocol => "OB1010",
            Code::OutputClosed => "OB1011",
            Code::ImportIncomplete => "OB1012",
            Code::Usage => "OB2001",
            Code::Input => "OB2002",
            Code::NoContext => "OB2003",
            Code::UnknownNode => "OB2004",
            Code::UnknownEngine => "OB2005",
            Code::InvalidRequest => "OB2006",
            Code::NotConfirmed => "OB2007",
            Code::Token => "OB2008",
            Code::KeyNotFound => "OB3001",
            Code::EngineNotFound => "OB3002",
            Code::ValueDiffers => "OB4001",
            Code::KeyExists => "OB4002",
            Code::FolderNotEmpty => "OB4003",
            Code::AtRisk => "OB4004",
            Code::Conflict => "OB4005",
            Code::QuorumThere => "OB4020",
            Code::Unavailable => "OB5001",
            Code::Timeout => "OB5002",
            Code::Refused => "OB6001",
            Code::Credentials => "OB6002",
            Code::Forbidden => "OB6003",
            Code::Removed => "OB6004",
            Code::NotJoined => "OB6005",
            Code::Rejected => "OB7001",
            Code::EngineFailed => "OB7002",
            Code::NotAnEngine => "OB7003",
            Code::UpgradeRefused => "OB7004",
            Code::Corrupt => "OB8001",
            Code::Diverged => "OB8002",
            Code::Unknown => "OB9001",
            Code::Unhealthy => "OB0001",
        }
    }

    /// The exit code of the process.
    pub(crate) fn exit(self) -> u8 {
        match self.text().as_bytes()[2] - b'0' {
            0 => 10,
            digit => digit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_is_used_once_and_carries_its_exit_code() {
        let texts: BTreeSet<&str> = Code::ALL.iter().map(|code| code.text()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        for text in texts {
            assert!(
                text.len() == 6 && text.starts_with("OB") && text[2..].bytes().all(|b| b.is_ascii_digit()),
                "{text}"
            );
        }
    }

    #[test]
    fn the_exit_codes_are_the_documented_ones() {
        let documented = [
            (Code::Other, 1),
            (Code::Usage, 2),
            (Code::KeyNotFound, 3),
            (Code::ValueDiffers, 4),
            (Code::Unavailable, 5),
            (Code::Refused, 6),
            (Code::Rejected, 7),
            (Code::Corrupt, 8),
            (Code::Diverged, 8),
            (Code::Unknown, 9),
            (Code::Unhealthy, 10),
        ];
        for (code, exit) in documented {
            assert_eq!(code.exit(), exit, "{}", code.text());
        }
    }
}
