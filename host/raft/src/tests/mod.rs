//! Properties of the parts, against naive models and brute force.

mod inflight;
mod log;
mod quorum;
mod read;
