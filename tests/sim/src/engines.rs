//! The engines that simulated clusters run, compiled once for the process and shared by all worlds: a component is the same to
//! everyone, and its instances are not shared.

use anyhow::{Context, Result};
use outboard_sandbox::{Component, Limits, Sandbox};
use outboard_wire::command::Digest;
use std::sync::Arc;
use std::time::Duration;

/// The sandbox and the engines.
#[derive(Clone)]
pub struct Engines {
    /// What runs them.
    pub sandbox: Sandbox,
    /// The default one.
    pub kv: Arc<Component>,
    /// With fewer commands.
    pub kv_basic: Arc<Component>,
    /// Fails on command.
    pub chaos: Arc<Component>,
}

impl Engines {
    /// Compiles them.
    pub fn compile() -> Result<Engines> {
        let limits = Limits {
            // Enough for every command that is meant to succeed, and little for those that are not: they cost real time.
            apply_fuel: 1_000_000,
            open_fuel: 10_000_000,
            memory_bytes_max: 4 << 20,
            // Real time must not decide anything.
            query_timeout: Duration::from_secs(24 * 60 * 60),
            ..Limits::default()
        };
        let sandbox = Sandbox::new(limits, None).context("no sandbox on this machine")?;
        let admit = |bytes, name| sandbox.admit(bytes).with_context(|| format!("the engine {name} is refused"));
        Ok(Engines {
            kv: admit(outboard_embedded::KV, "kv")?,
            kv_basic: admit(outboard_embedded::KV_BASIC, "kv-basic")?,
            chaos: admit(outboard_embedded::CHAOS, "chaos")?,
            sandbox,
        })
    }

    /// All of them.
    pub fn all(&self) -> [&Arc<Component>; 3] {
        [&self.kv, &self.kv_basic, &self.chaos]
    }

    /// The one with this digest.
    pub fn find(&self, digest: &Digest) -> Option<&Arc<Component>> {
        self.all().into_iter().find(|component| component.digest().0 == digest.0)
    }
}
