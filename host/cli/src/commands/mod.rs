//! One file or folder per noun.

pub(crate) mod bench;
pub(crate) mod client;
pub(crate) mod cluster;
pub(crate) mod config;
pub(crate) mod data;
pub(crate) mod demo;
pub(crate) mod engine;
pub(crate) mod explain;
pub(crate) mod import;
pub(crate) mod join;
pub(crate) mod leader;
pub(crate) mod member;
pub(crate) mod recover;
pub(crate) mod redis;
pub(crate) mod scan;
pub(crate) mod shell;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod token;
