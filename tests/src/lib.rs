//! The harness of the tests that need whole processes: a program under test, clusters of real nodes, and what can be done to
//! them. The stories are in `tests/processes/` (a test target of host/cli, so that cargo builds the program first);
//! `floors.rs` compares the crates with the picture of the floors; `tests/versus/` measures beside etcd.
//!
//! - `program.rs`: runs command lines and judges how they end. `cluster.rs`: nodes as processes. `status.rs`: what they say.
//!   `demo.rs`: three nodes in one process, with the shell on them.
//! - `redis.rs`: a Redis client that can also misbehave. `redis_tools.rs`: redis-cli and redis-benchmark.
//! - `damage.rs`: what disks do to files. `tmpfs.rs`: small and read-only disks. `stranger.rs`: who doesn't belong.
//! - `writer.rs`: a load that remembers what it was promised. `counter.rs`: a load of which each part must be done once.
//!   `registers.rs`: a load whose history must be linearizable.
//! - `proxy.rs`: the network between nodes, made bad. `nemesis.rs`: faults for nodes and network, by a seed.
//!
//! Invariants: nothing outlives its test, even one that panics; tests run side by side, each on ports and in folders of its
//! own; nothing is expected after a time, only waited for, with [`PATIENCE`] before giving up.

#![allow(clippy::print_stderr, reason = "the logs of the nodes of a test that failed")]

mod cluster;
mod counter;
mod damage;
mod demo;
mod nemesis;
mod ports;
mod program;
mod proxy;
mod redis;
mod redis_tools;
mod registers;
mod status;
mod stranger;
mod tmpfs;
mod writer;

pub use cluster::Cluster;
pub use counter::{Counted, Counter};
pub use damage::Log;
pub use demo::Demo;
pub use nemesis::{FAULTS, Fault, Nemesis};
pub use ports::free_addresses;
pub use program::{Program, Ran, Running};
pub use proxy::{Proxy, Weather};
pub use redis::{Redis, Reply, command};
pub use redis_tools::{RedisTools, is_installed};
pub use registers::{Judgement, Registers};
pub use status::{NodeView, Status};
pub use stranger::{datagrams_of_garbage, is_cut_off_for, is_turned_away, is_turned_away_without_a_certificate};
pub use tmpfs::Tmpfs;
pub use writer::Writer;

use std::io::Write;
use std::time::{Duration, Instant};

/// Generous: only something broken ever takes so long.
pub const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks again and again until there is something to see.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Says loudly that a test didn't test, for want of this. Written past the macros, whose output a test that passes hides.
pub fn skip(missing: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    let said = writeln!(std::io::stderr(), "\n*** SKIPPED {name}: there is no {missing} ***\n");
    said.expect("stderr can be written");
}

/// Whether this process may do anything, so that file modes don't stop it.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    // Files belong to whoever makes them.
    tempfile::tempfile().and_then(|file| file.metadata()).expect("a file can be made").uid() == 0
}
