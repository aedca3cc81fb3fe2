//! What `outboard explain` tells about a code: what happened, and what to do.

use crate::code::Code;

/// A title and a paragraph.
pub(crate) fn text(code: Code) -> (&'static str, &'static str) {
    match code {
        Code::Other => ("other failure", "Something failed that has no code of its own; the message says what."),
        Code::ReadFile => (
            "a file can't be read",
            "The message names the file and what the system said. Check the path and who may read it.",
        ),
        Code::WriteFile => (
            "a file can't be written",
            "The message names the file and what the system said. Check the folder, its owner and the room on the disk.",
        ),
        Code::AddressInUse => (
            "the address is in use",
            "Another program listens on this UDP port. `ss -lunp` shows which; or run the node with --listen ADDRESS.",
        ),
        Code::Locked => (
            "the data folder is in use",
            "A node runs on this folder already. Two nodes on one folder would destroy each other's log, so the second one \
             does not start. Stop the first, or name another folder.",
        ),
        Code::Folder => (
            "the data folder can't be used",
            "A file in it can't be read or written. Check the owner and the mode of the folder named in the message.",
        ),
        Code::DiskFull => (
            "the disk is full",
            "A node stops rather than lose what it acknowledged. Make room and start it again; nothing is lost.",
        ),
        Code::NotANode => (
            "this folder holds no node",
            "A node's folder is made by `outboard start` or `outboard join` where there is nothing, or by `outboard cluster init`. The message \
             says what is missing. Nothing was changed.",
        ),
        Code::Halted => (
            "the node halted",
            "A write or a sync failed, or this machine could not go on. Going on could lose or falsify data, so the node stopped. \
             The others go on without it. Fix the cause and start it again.",
        ),
        Code::Protocol => (
            "the answer makes no sense",
            "The node speaks another version than this program, most likely. Run the same version on both sides.",
        ),
        Code::OutputClosed => ("the output was closed", "Whoever read stdout stopped reading. Nothing else happened."),
        Code::ImportIncomplete => (
            "some lines were not imported",
            "The lines named on stderr were left out: malformed, too long, or rejected by the engine. All others are in. Fix them and \
             import again; what is there already is written again to the same value.",
        ),
        Code::Usage => ("the command line is wrong", "`outboard COMMAND --help` shows what the command takes."),
        Code::Input => ("a value can't be read", "The message says which value and what is wrong with it."),
        Code::NoContext => (
            "no context",
            "A context says where a cluster is and who you are to it. `outboard cluster init` writes one, a running `outboard demo` \
             writes the one named demo. Choose it with -c NAME|FILE or OUTBOARD_CONTEXT.",
        ),
        Code::UnknownNode => ("there is no such node", "`outboard status` shows the names of the nodes."),
        Code::UnknownEngine => (
            "there is no such engine",
            "An engine is named by a file, by at least four digits of its digest, or by its name. `outboard engine list` shows those that \
             the cluster has; kv and kv-basic come with this program.",
        ),
        Code::InvalidRequest => (
            "the request can't be asked so",
            "A limit is exceeded (keys of 64 KiB, values of 1 MiB) or an argument is missing. It was refused before it reached the log.",
        ),
        Code::NotConfirmed => {
            ("not confirmed", "The question was not answered with yes. Nothing was changed. --yes answers it.")
        }
        Code::Token => (
            "this is not a token that can be used",
            "A token is one line: obt1_ and 72 characters. The message says whether it is something else, damaged on the way, or of another \
             version. Nobody was asked. `outboard token create` makes another.",
        ),
        Code::KeyNotFound => ("there is no such key", "The read was made and there is nothing under this key."),
        Code::EngineNotFound => (
            "no engine has this digest",
            "No staged engine's digest begins so. `outboard engine list` shows them; `outboard engine push FILE` stages one.",
        ),
        Code::ValueDiffers => (
            "the value differs from the expected one",
            "The key has another value than --if-value said, or none. Nothing was written. Read it again and decide anew.",
        ),
        Code::KeyExists => ("the key exists already", "--if-absent writes only where nothing is. Nothing was written."),
        Code::FolderNotEmpty => (
            "the folder is not empty",
            "A new cluster is only made in a new or an empty folder, so that nothing is overwritten.",
        ),
        Code::AtRisk => (
            "the change would put the cluster at risk",
            "After it, no majority of the voters would be heard, or a node would vote that has not caught up. Nothing was changed. Start the \
             nodes that the message names, wait, or say --force: then the cluster may stand still until they are back.",
        ),
        Code::Conflict => (
            "the change can't be as things stand",
            "The message says what is in the way: a node that is no member, a vote that it has already, the only admin. Nothing was \
             changed. `outboard member list`, `outboard token list` and `outboard client list` show what there is.",
        ),
        Code::QuorumThere => (
            "nothing is to be recovered",
            "A majority of the voters is left: started, they elect a leader and lose nothing. Recovery gives up what only the missing nodes \
             had, and is for the case that a majority is gone for good. Nothing was changed.",
        ),
        Code::Unavailable => (
            "the cluster is not available",
            "No node could be reached, or no majority of the nodes is up to elect a leader. It was NOT done, and is safe to repeat. \
             `outboard status` shows who is missing: start them. If a majority is gone for good, `outboard recover plan` tells what the nodes \
             that are left have.",
        ),
        Code::Timeout => (
            "no answer in time",
            "It was asked and not answered before --timeout. It is a read, or something that may be done twice: safe to repeat.",
        ),
        Code::Refused => (
            "the credentials are refused",
            "The node and this client don't trust each other: another cluster, an expired certificate, or one for another purpose. \
             The message says which side refused. Use a context of this cluster; one that has expired is renewed on a voter's machine, or \
             wherever the authority's key is kept: `outboard cluster renew CONTEXT --ca DIR/ca`.",
        ),
        Code::Credentials => (
            "the credentials can't be used",
            "The context or a certificate in it is damaged. The message names the file; get it anew from whoever made the cluster.",
        ),
        Code::Forbidden => (
            "this client's role does not allow it",
            "The cluster knows the client and its role: reader, writer, operator, deployer or admin. The message says which one it takes. An \
             admin changes it with `outboard client role NAME ROLE`. Nothing was done.",
        ),
        Code::Removed => (
            "the node was removed from its cluster",
            "The others go on without it, for good: its number is never used again. Its data folder is not needed any more. To come back, \
             delete the folder and join as a new node with a new token.",
        ),
        Code::NotJoined => (
            "the cluster doesn't let this in",
            "The token is unknown, expired, used up or of another cluster, or the address or name can't be had; the message says which. \
             `outboard token create` makes a new token.",
        ),
        Code::Rejected => (
            "the engine rejected the command",
            "Decided, alike on every node, and nothing was changed. The text is the engine's. `outboard engine inspect running` lists its \
             commands.",
        ),
        Code::EngineFailed => (
            "the engine failed",
            "It trapped, ran out of fuel or memory, or wrote a malformed reply. Nothing was changed, on any node; the engine serves on. \
             Report it to the engine's author.",
        ),
        Code::NotAnEngine => (
            "this is not an engine",
            "A node takes a WebAssembly component that exports outboard:engine/commands and /migration and imports nothing but tables and log. \
             A core module built with the SDK is turned into one on the way. Build for wasm32-unknown-unknown, not for WASI.",
        ),
        Code::UpgradeRefused => (
            "the upgrade is refused",
            "Every voter must have the engine ready, and it must read the current table layout. The running engine goes on. \
             `outboard engine list` shows each node's word.",
        ),
        Code::Corrupt => (
            "data on disk is damaged",
            "Bytes that were durable don't match their checksum. The message names file and offset. Delete nothing: the node refuses to serve \
             from it, and the other nodes hold the data. If the same start goes on failing: take the node out (outboard member remove NODE), keep its \
             folder until the cluster is well, and let a new one in by outboard join, in another folder. A node whose log is gone, or is an older \
             copy, counts for nothing until the others have given everything back.",
        ),
        Code::Diverged => (
            "two nodes have different states",
            "They applied the same log and their hash chains differ. This must not happen: keep the data folders of both and report it.",
        ),
        Code::Unknown => (
            "the outcome is unknown",
            "The write was sent and no answer came: it may have been done. Read it back before you repeat it, unless doing it twice is harmless.",
        ),
        Code::Unhealthy => (
            "the cluster is not healthy",
            "There is no leader, a node does not answer, or a node waits for an engine that it lacks. The table shows which.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_explained_in_sentences() {
        for code in Code::ALL {
            let (title, body) = text(code);
            assert!(!title.is_empty() && body.ends_with('.') && !body.contains("  "), "{}", code.text());
        }
    }
}
