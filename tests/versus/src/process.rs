//! Processes that end with this one.

use anyhow::{Context, Result, bail};
use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

/// A server; killed when it is dropped. (At Ctrl-C the terminal tells it as well.)
#[derive(Debug)]
pub(crate) struct Server(Child);

impl Server {
    /// Starts it; what it says goes to this file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Server> {
        let log = File::create(log).with_context(|| format!("{} can't be written", log.display()))?;
        let program = command.get_program().to_owned();
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("{} can't be started", program.to_string_lossy()))?;
        Ok(Server(child))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        self.0.kill().unwrap_or_default();
        self.0.wait().map(drop).unwrap_or_default();
    }
}

/// Runs a command to its end; its stdout.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?} can't be run"))?;
    if !output.status.success() {
        bail!("{command:?} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// Two calls in a row must not find the same ports.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// Ports that are free for TCP and for UDP, below those that the system hands out to clients.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    let first = 12_000 + (std::process::id() % 6_000) as u16;
    let free =
        |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok() && UdpSocket::bind(("127.0.0.1", *port)).is_ok();
    let candidates = std::iter::repeat_with(|| first + NEXT.fetch_add(1, Ordering::Relaxed));
    let ports: Vec<u16> = candidates.take(2_000).filter(free).take(count).collect();
    if ports.len() < count { bail!("there are not enough free ports from {first} on") } else { Ok(ports) }
}
