//! The bytes on the wire and in entries: what nodes tell each other ([`peer`]), what clients ask ([`client`]), how long
//! transfers begin ([`bulk`]), what the log's entries say ([`command`]) and who belongs to the cluster ([`access`]). serde and postcard, little-endian varints.
//!
//! Every message starts with [`codec::VERSION`]; another version is an error that says so, never a guess. Decoding takes
//! bytes from outside: it returns errors and never panics, and what it allocates is bounded by the message's own length.
//! This room knows no sockets, no files and no meaning beyond the shapes.
//!
//! Tests: beside each file; decoding of damaged messages in `codec.rs`.

pub mod access;
pub mod bulk;
pub mod client;
mod codec;
pub mod command;
pub mod limits;
pub mod peer;
pub mod status;

pub use codec::{Blob, CodecError, VERSION};
