//! The Redis listener: RESP2 and RESP3 clients on one side, the node's requests on the other.
//!
//! ```text
//! socket ─▶ intake ─▶ request (parser) ─▶ commands::judge ─▶ gate ─▶ Backend::submit ─▶ the node
//!            bytes     where it ends       whose is it?       its turn?                      │ any thread
//! socket ◀─ output ◀─ resp (RESP2 or 3) ◀─ pending (order) ◀─ hub::deliver ◀─ outbox ◀───────┘
//! ```
//!
//! It knows no command that touches data: an argument vector goes to the engine and the engine's reply comes back. Its own are the
//! commands about the connection (`commands/`). Everything runs on the node's thread: a connection's task reads, and asks for all that it
//! has read at once; answers come from any thread into one outbox, wake the delivery once, and each connection is written to once.
//!
//! | file | holds |
//! | --- | --- |
//! | `serve` `hub` `connection` | accepting; what connections share; one connection's life |
//! | `intake` `request` `inline` `http` | from bytes to a command |
//! | `gate` `pending` `outbox` | what may be under way together, answers in order, the way back |
//! | `session` `transaction` `commands/` | what a connection agreed on, MULTI and WATCH, the gateway's own commands |
//! | `resp` `output` `transport` | replies in both versions, what is not taken yet, the socket and TLS |
//! | `users` `options` `limits` `told` | who may log in, how it is set up, every bound, log lines |
//!
//! Invariants: replies keep the order of their commands; a connection sees its own writes (`gate`); bytes from outside make errors,
//! never panics; all that a client can make grow is bounded in `limits`. Never: executes a command of HTTP, tells a password, blocks
//! the loop. Tests: in the files, and `tests/` with a node that keeps a map; what should equal Redis is compared with a real
//! `redis-server` where there is one.

mod backend;
mod commands;
mod connection;
mod gate;
mod http;
mod hub;
mod inline;
mod intake;
pub mod limits;
mod options;
mod outbox;
mod output;
mod pending;
mod request;
mod resp;
mod serve;
mod session;
#[cfg(test)]
mod testing;
mod told;
mod transaction;
mod transport;
mod users;

pub use backend::{Ask, Backend, Figures};
pub use intake::fuzz_requests;
pub use options::{Exposed, Options, TlsError, check_exposure, tls_from_pem};
pub use serve::serve;
pub use users::{Users, UsersError, user_line};
