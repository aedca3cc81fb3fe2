//! The net over real sockets on loopback. Nothing here measures time: tests wait for conditions, with a generous deadline.

mod bulk;
mod clients;
mod credentials;
mod harness;
mod peers;
mod strangers;
