//! The async Rust client of a cluster: commands for the engine, transactions, and what an operator asks.
//!
//! A [`Client`] is built from a [`Context`] (one file: cluster, endpoints, credentials), is cheap to clone, and many tasks
//! may use it at once: all their requests share one connection to the node that leads. It follows the leader, goes to
//! another node when one is lost or silent, and waits out elections until the call's deadline.
//!
//! ```no_run
//! use outboard_client::{Client, ClientError, Context};
//! use std::time::Duration;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(&Context::load("admin")?).await?;
//!
//! client.set("user/42", "Ana").await?;
//! assert_eq!(client.get("user/42").await?.as_deref(), Some(&b"Ana"[..]));
//!
//! // Any command of the engine that runs; done once, even if the leader dies in between.
//! let reply = client.command(["INCRBY", "visits", "2"]).timeout(Duration::from_secs(3)).await;
//! match reply {
//!     Ok(reply) => println!("{:?} visits", reply.as_integer()),
//!     Err(error) if error.is_safe_to_retry() => println!("not done: {error}"),
//!     Err(ClientError::Unknown(why)) => println!("perhaps done: {why}"),
//!     Err(error) => return Err(error.into()),
//! }
//!
//! // All or nothing, and only if nobody has written the key since.
//! let watch = client.watch(["stock/7"]).await?;
//! let left: i64 = String::from_utf8_lossy(&client.get("stock/7").await?.unwrap_or_default()).parse()?;
//! if left > 0 {
//!     let sale = client.transaction().command(["DECR", "stock/7"]).command(["INCR", "sold/7"]).only_if(watch);
//!     match sale.await {
//!         Ok(replies) => println!("{:?} left", replies[0].as_integer()),
//!         Err(ClientError::WatchBroken) => println!("somebody was faster"),
//!         Err(error) => return Err(error.into()),
//!     }
//! }
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! A certificate lasts 90 days. The program `outboard` renews a context's when it is used; a program that runs for weeks spawns
//! [`Client::keep_renewed`].
//!
//! Invariant: a command is done at most once, however often it has to be sent, unless its caller said that doing it twice is
//! harmless ([`Call::idempotent`]). Writes have names in a session for that, which the cluster remembers ([`Options::sessions`]);
//! without sessions, a write that may have reached the log is never sent again. So a [`ClientError`] always says whether the
//! thing was done, was not, or may have been.
//!
//! Never: prints, logs keys or values, or holds a lock while it waits.
//!
//! Tests: beside the files that decide without I/O (`verdict.rs`, `route.rs`, `reply.rs`, `context.rs`, `sessions.rs`); against
//! made-up nodes over real QUIC in `tests/`; with real nodes in the workspace's `tests/`.

mod admin;
mod ask;
mod call;
mod client;
mod context;
mod error;
mod link;
mod membership;
mod push;
mod reply;
mod route;
mod sessions;
mod standard;
mod transaction;
mod verdict;

pub use call::Call;
pub use client::{Client, Options};
pub use context::{Context, ContextError};
pub use error::ClientError;
pub use reply::{Reply, ReplyError};
pub use standard::Lifetime;
pub use transaction::{Transaction, Watch};

pub use outboard_wire::client::Consistency;
