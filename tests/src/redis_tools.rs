//! redis-cli and redis-benchmark, as people run them.

use crate::{Program, Ran, Running, skip};
use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::Path;
use tempfile::TempDir;

/// The tools, with a home of their own: no `.redisclirc` reaches a test, and no history is left behind.
#[derive(Debug)]
pub struct RedisTools {
    home: TempDir,
}

impl RedisTools {
    /// None, said loudly, where they are not installed.
    pub fn find() -> Option<RedisTools> {
        for name in ["redis-cli", "redis-benchmark"] {
            if !is_installed(name) {
                skip(&format!("{name} (apt-get install redis-tools)"));
                return None;
            }
        }
        Some(RedisTools { home: tempfile::tempdir().expect("a temp folder") })
    }

    /// redis-cli with these arguments.
    pub fn cli<A: AsRef<OsStr>>(&self, at: SocketAddr, arguments: impl IntoIterator<Item = A>) -> Ran {
        self.spawn_cli(at, arguments).finish()
    }

    /// redis-cli with these arguments and this on stdin.
    pub fn cli_with_input<A: AsRef<OsStr>>(
        &self,
        at: SocketAddr,
        arguments: impl IntoIterator<Item = A>,
        input: &[u8],
    ) -> Ran {
        self.program("redis-cli").run_with_input(to(at, arguments), input)
    }

    /// redis-cli, started.
    pub fn spawn_cli<A: AsRef<OsStr>>(&self, at: SocketAddr, arguments: impl IntoIterator<Item = A>) -> Running {
        self.program("redis-cli").spawn(to(at, arguments))
    }

    /// redis-cli as at a terminal, with these lines typed and then Ctrl-D. None, said loudly, without `script`.
    pub fn terminal(&self, at: SocketAddr, lines: &str) -> Option<Ran> {
        if !is_installed("script") {
            skip("script (apt-get install bsdutils)");
            return None;
        }
        // A dumb terminal: what is printed comes without the movements of a cursor.
        let line = format!("exec env TERM=dumb redis-cli -h {} -p {}", at.ip(), at.port());
        let typed = self.program("script").run_with_input(["-qefc", &line, "/dev/null"], lines.as_bytes());
        Some(typed)
    }

    /// redis-benchmark with these arguments.
    pub fn benchmark<A: AsRef<OsStr>>(&self, at: SocketAddr, arguments: impl IntoIterator<Item = A>) -> Ran {
        self.program("redis-benchmark").run(to(at, arguments))
    }

    /// Where the tools may leave files.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    fn program(&self, name: &str) -> Program {
        Program::new(name, self.home.path())
    }
}

/// Whether there is a program of this name.
pub fn is_installed(name: &str) -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(name).is_file())
}

fn to<A: AsRef<OsStr>>(at: SocketAddr, arguments: impl IntoIterator<Item = A>) -> Vec<OsString> {
    let address = ["-h".to_owned(), at.ip().to_string(), "-p".to_owned(), at.port().to_string()].map(OsString::from);
    address.into_iter().chain(arguments.into_iter().map(|argument| argument.as_ref().to_owned())).collect()
}
