//! The net over real sockets on loopback. Nothing here measures time: tests wait for conditions, with a generous deadline.

mod access;
mod bulk;
mod clients;
mod credentials;
mod enrolment;
mod harness;
mod peers;
mod renewal;
mod strangers;
