//! The room's door: one [`Sandbox`] for a node. It compiles and admits components; [`Applier`](crate::Applier) and
//! [`Querier`](crate::Querier) run them.

use std::path::PathBuf;
use std::sync::Arc;

use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::admit::{self, Refusal};
use crate::cache::Cache;
use crate::component::Component;
use crate::config;
use crate::contract;
use crate::host::Host;
use crate::limits::{Limits, VALUE_BYTES_MAX};
use crate::ticker::Ticker;

/// Compiles and admits components. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

struct Inner {
    limits: Limits,
    engine: Engine,
    linker: Linker<Host>,
    cache: Option<Cache>,
    /// Stopped with the last clone.
    _ticker: Ticker,
}

/// Why there can be no sandbox on this machine.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The compiler or the machine does not support the one configuration.
    #[error("WebAssembly can't run on this machine: {0}")]
    Unsupported(String),
    /// The system refused the thread that ends queries in time.
    #[error("no thread for the deadlines of queries: {0}")]
    Thread(#[from] std::io::Error),
}

impl Sandbox {
    /// Keeps compiled components in the folder `cache`, which only this node may write. It is made when first needed; a folder
    /// that can't be written costs time, not function.
    pub fn new(limits: Limits, cache: Option<PathBuf>) -> Result<Sandbox, SandboxError> {
        assert!(limits.reply_bytes_max >= VALUE_BYTES_MAX, "an engine can return a value that it can keep");
        let unsupported = |error: wasmtime::Error| SandboxError::Unsupported(format!("{error:#}"));
        let engine = config::engine().map_err(unsupported)?;
        let linker = contract::linker(&engine).map_err(unsupported)?;
        let cache = cache.map(|folder| Cache::new(folder, &engine));
        let ticker = Ticker::start(&engine)?;
        Ok(Sandbox { inner: Arc::new(Inner { limits, engine, linker, cache, _ticker: ticker }) })
    }

    /// A number that two nodes share exactly when the same command on the same tables ends the same on both.
    pub fn environment(&self) -> u32 {
        config::environment(&self.inner.limits)
    }

    /// The limits that hold here.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// Checks a component, compiles it and asks what it is. Takes 0.1 s for a small engine that is not in the cache; give it a
    /// thread of its own.
    pub fn admit(&self, bytes: &[u8]) -> Result<Arc<Component>, Refusal> {
        let Inner { limits, engine, linker, cache, .. } = &*self.inner;
        admit::admit(engine, linker, limits, cache.as_ref(), bytes).map(Arc::new)
    }
}
