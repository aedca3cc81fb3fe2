//! A redis-server of the test's own: on loopback, on a port that nobody else has, without persistence, gone when the test
//! ends, however it ends.

use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::resp::{self, Value};

/// Whose words `kv` speaks. Other versions say some things otherwise.
const VERSION: &str = " v=7.0.";
/// How many sequences can be played side by side: each has a database of its own.
pub(crate) const DATABASES: usize = 128;
/// Between looking for a free port and taking it somebody else may take it.
const START_TRIES: u32 = 10;
/// Only something broken ever takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Server {
    process: Child,
    port: u16,
    folder: PathBuf,
}

impl Server {
    /// None, and a loud word about it, where there is no redis-server or one of another version.
    pub(crate) fn start() -> Option<Server> {
        let asked = Command::new("redis-server").arg("--version").output();
        let version =
            asked.map_or_else(|error| error.to_string(), |ran| String::from_utf8_lossy(&ran.stdout).into_owned());
        if !version.contains(VERSION) {
            skip(version.trim());
            return None;
        }
        let started = (0..START_TRIES).find_map(|_| Server::try_start());
        Some(started.expect("redis-server starts on one of many free ports"))
    }

    fn try_start() -> Option<Server> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let name = format!("redis-{}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&folder).expect("cargo gives tests a folder for their files");
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        let port = free.local_addr().expect("a listener has an address").port();
        drop(free);

        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no"])
            .args(["--save", "", "--appendonly", "no", "--databases", &DATABASES.to_string()])
            // The engine's longest value is Redis' least: so both refuse a longer one with the same words.
            .args(["--proto-max-bulk-len", "1mb"])
            .arg("--dir")
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server was there a moment ago");
        let mut server = Server { process, port, folder };
        server.is_ready().then_some(server)
    }

    /// Waits until it answers; false if it ended, or if somebody else answers on its port.
    fn is_ready(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.process.try_wait().expect("a child can be asked").is_some() {
                return false;
            }
            if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
                let info = Connection::new(stream).ask(&["INFO", "server"]);
                let ours = format!("process_id:{}\r\n", self.process.id());
                return matches!(info, Value::Bulk(text) if String::from_utf8_lossy(&text).contains(&ours));
            }
            assert!(Instant::now() < deadline, "redis-server neither answers nor ends");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::new(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("the server listens"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already, and a folder that stays hurts nobody: nothing to panic about, least of all in a panic.
        _ = self.process.kill();
        _ = self.process.wait();
        _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn skip(found: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    say(&format!(
        "SKIPPED {name}: it needs redis-server 7.0 (Debian 12: apt-get install redis-server); found: {found}"
    ));
}

/// Past the macros, whose output a test that passes hides, and in one piece, since tests run side by side.
pub(crate) fn say(text: &str) {
    std::io::stderr().write_all(format!("\n*** {text} ***\n").as_bytes()).expect("stderr can be written");
}

/// A client's connection. Commands are gathered and go out together; the replies come in their order.
pub(crate) struct Connection {
    writer: TcpStream,
    reader: BufReader<TcpStream>,
    unsent: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream) -> Connection {
        stream.set_nodelay(true).expect("TCP has nodelay");
        stream.set_read_timeout(Some(PATIENCE)).expect("the timeout is not zero");
        let writer = stream.try_clone().expect("a socket has two ends");
        Connection { writer, reader: BufReader::new(stream), unsent: Vec::new() }
    }

    /// Lets a command wait for [`Connection::send`].
    pub(crate) fn push(&mut self, command: &[impl AsRef<[u8]>]) {
        resp::write_command(&mut self.unsent, command);
    }

    /// Sends all that waits.
    pub(crate) fn send(&mut self) {
        self.writer.write_all(&self.unsent).expect("redis-server takes commands");
        self.unsent.clear();
    }

    /// The next reply.
    pub(crate) fn receive(&mut self) -> Value {
        resp::read(&mut self.reader).expect("redis-server answers in RESP")
    }

    /// One command and its reply.
    pub(crate) fn ask(&mut self, command: &[impl AsRef<[u8]>]) -> Value {
        self.push(command);
        self.send();
        self.receive()
    }
}
