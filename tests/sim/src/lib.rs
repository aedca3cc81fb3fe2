//! The simulator: whole clusters in one thread, from one seed. The node's real core, log, control state and sandboxed engine
//! ([`outboard_node::stepped`]) run over a simulated network, simulated disks and simulated time; the same seed gives the same
//! run to the last bit. Faults come as the seed draws them, checks follow every step, and at the end the cluster must heal.
//!
//! ```text
//! plan (what a seed draws) ─▶ world ─┬─ node     one node: its steps, its disks, its lives      ─▶ checks, after every step
//!                                    ├─ network  frames and links                               ─▶ history ─▶ linear, at the end
//!                                    ├─ clients, operator, members: questions, answers          ─▶ trace: a hash, or lines
//!                                    ├─ faults   what goes wrong
//!                                    └─ heal     nothing goes wrong any more: all must serve
//! campaign: many seeds on all cores      shrink: the smallest plan that still fails
//! ```
//!
//! Never in a world: a real clock, threads, chance but the seed's, the order of a hash map. What can't be simulated is left out:
//! how components and snapshots travel (the product has it in tasks), whom a node dials and what a joiner proves are models here; TLS, QUIC and
//! files have other tests.
//! A failing run is run again with its trace told: nothing is formatted before.

mod answers;
pub mod campaign;
pub mod checks;
mod clients;
pub mod disk;
pub mod engines;
mod faults;
mod heal;
pub mod history;
pub mod linear;
mod lives;
mod members;
pub mod mutation;
mod network;
mod node;
mod operator;
pub mod plan;
pub mod random;
pub mod report;
pub mod shrink;
mod steps;
pub mod store;
pub mod trace;
pub mod world;
