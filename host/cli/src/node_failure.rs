//! A folder that became no node's, a node that did not start or stopped by itself: each as a failure of the command line.

use crate::code::Code;
use crate::failure::Failure;
use outboard_node::formation::FormError;
use outboard_node::{Halt, HaltKind, StartError};

const COME_BACK: &str = "delete the folder; to come back: outboard join HOST:PORT TOKEN";
const MAKE_ROOM: &str = "make room and start again";

/// Why there is no new folder of a node, or of a whole cluster.
pub(crate) fn not_formed(error: FormError) -> Failure {
    let message = error.to_string();
    match error {
        FormError::Plan(_) => Failure::new(Code::Usage, message),
        FormError::NotEmpty(_) => Failure::new(Code::FolderNotEmpty, message).help("name a new folder"),
        FormError::Io { .. } => Failure::new(Code::WriteFile, message),
        FormError::Credentials(_) => Failure::new(Code::WriteFile, message),
    }
}

/// Why a node didn't start.
pub(crate) fn not_started(error: StartError) -> Failure {
    let message = error.to_string();
    match error {
        StartError::Locked { .. } => Failure::new(Code::Locked, message).help("stop the other node first"),
        StartError::NotANode { .. } => {
            Failure::new(Code::NotANode, message).help("outboard start --data-dir DIR, on a new or empty folder")
        }
        StartError::OtherCluster { .. } => Failure::new(Code::NotANode, message).help("name the right folder"),
        StartError::Removed { .. } => Failure::new(Code::Removed, message).help(COME_BACK),
        StartError::Corrupt(_) => Failure::new(Code::Corrupt, message).help("delete nothing; outboard explain OB8001"),
        StartError::Full(_) => Failure::new(Code::DiskFull, message).help(MAKE_ROOM),
        StartError::Folder { .. } => Failure::new(Code::Folder, message),
        StartError::AddressInUse(_) => Failure::new(Code::AddressInUse, message).help("ss -lunp, or --listen IP:PORT"),
        StartError::Identity(_) => Failure::new(Code::Credentials, message),
        StartError::Engine(_) => Failure::new(Code::NotAnEngine, message).help("outboard engine inspect FILE"),
        StartError::Sandbox(_) | StartError::Net(_) | StartError::Storage(_) => Failure::new(Code::Other, message),
    }
}

/// Why a node stopped by itself.
pub(crate) fn halted(halt: Halt) -> Failure {
    let message = halt.to_string();
    match halt.kind {
        HaltKind::Corruption => Failure::new(Code::Corrupt, message).help("delete nothing; outboard explain OB8001"),
        HaltKind::Removed => Failure::new(Code::Removed, message).help(COME_BACK),
        HaltKind::Full => Failure::new(Code::DiskFull, message).help(MAKE_ROOM),
        HaltKind::Disk | HaltKind::Machine => Failure::new(Code::Halted, message).help("outboard explain OB1009"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corruption_has_an_exit_code_of_its_own_and_a_full_disk_a_code() {
        let halt = |kind| halted(Halt { kind, reason: "log/3 at 77".into() }).code;
        assert_eq!((halt(HaltKind::Corruption).exit(), halt(HaltKind::Disk).exit()), (8, 1));
        assert_eq!((halt(HaltKind::Full).text(), halt(HaltKind::Disk).text()), ("OB1007", "OB1009"));
        assert_eq!(not_started(StartError::Corrupt(String::new())).code.exit(), 8);
    }
}
