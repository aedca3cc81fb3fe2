//! FLUSHALL and FLUSHDB, which are the same: there is one database.
//!
//! A command has limits of time and bytes, and what exceeds them fails as a whole. So flushing is for what one command can
//! remove; more than that is refused before anything is touched, and the answer says how else. Removing a part and
//! answering OK would be a lie, and a mark that says "all before this is gone" would be a layout that `kv-basic`, to which
//! a cluster may go back, can't read.

use outboard_sdk::{Args, Error, FromArgs, Result, Shape, Store, command};

use crate::keyspace::Keyspace;

/// FLUSHALL [ASYNC|SYNC] -- removes all keys, up to 50,000 of them; with more it removes none and says so.
#[command(write)]
pub(crate) fn flushall(store: &mut Store, _when: When) -> Result<()> {
    Keyspace::open(store).clear()
}

/// FLUSHDB [ASYNC|SYNC] -- removes all keys, up to 50,000 of them; with more it removes none and says so.
#[command(write)]
pub(crate) fn flushdb(store: &mut Store, _when: When) -> Result<()> {
    Keyspace::open(store).clear()
}

/// Redis asks whether it may free memory later. Here the keys are gone when the command is applied, either way.
pub(crate) struct When;

impl FromArgs for When {
    const SHAPE: Shape = Shape::OPTIONS;

    fn from_args(args: &mut Args) -> Result<When> {
        match (args.keyword().as_deref(), args.is_empty()) {
            (None | Some(b"ASYNC" | b"SYNC"), true) => Ok(When),
            (_, _) => Err(Error::SYNTAX),
        }
    }
}
