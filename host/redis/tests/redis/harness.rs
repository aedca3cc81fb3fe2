//! A listener in a thread of its own, a client that reads replies as they are, and a real `redis-server` to compare with.

use crate::fake::Fake;
use outboard_redis::{Options, serve};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// Longer than anything takes that is not stuck.
const PATIENCE: Duration = Duration::from_secs(30);

/// A listener, until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) fake: Fake,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(fake: Fake, options: Options) -> Server {
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let backend = fake.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                tell.send(listener.local_addr().expect("it is bound")).expect("the test waits");
                tokio::select! {
                    never = serve(listener, options, backend) => match never {},
                    _ = stopped => {}
                }
            });
        });
        let address = told.recv().expect("it listens");
        Server { address, fake, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn client(&self) -> Client<TcpStream> {
        Client::new(self.stream())
    }

    pub(crate) fn stream(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
        stream.set_nodelay(true).expect("a socket");
        stream
    }

    /// Ends it, and waits until it has.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            assert!(thread.join().is_ok(), "the listener panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(self.stop.take());
        } else {
            self.stop();
        }
    }
}

/// What clients talk over.
pub(crate) trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// A client of any stream.
pub(crate) struct Client<S: Read + Write> {
    stream: BufReader<S>,
}

impl<S: Read + Write> Client<S> {
    pub(crate) fn new(stream: S) -> Client<S> {
        Client { stream: BufReader::new(stream) }
    }

    pub(crate) fn get_ref(&self) -> &S {
        self.stream.get_ref()
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).expect("the listener reads");
    }

    /// One reply as it came; empty at the end of the stream.
    pub(crate) fn reply(&mut self) -> Vec<u8> {
        let mut reply = Vec::new();
        read_value(&mut self.stream, &mut reply).expect("a reply or the end");
        reply
    }

    /// Sends what a listener that has closed need not take.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap_or_default();
    }

    /// One reply; empty at the end of the stream, however it ended.
    pub(crate) fn try_reply(&mut self) -> Vec<u8> {
        let mut reply = Vec::new();
        match read_value(&mut self.stream, &mut reply) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("no reply")
            }
            Ok(()) | Err(_) => reply,
        }
    }

    /// The same for a client of any stream.
    pub(crate) fn boxed(self) -> Client<Box<dyn Stream>>
    where
        S: Stream + 'static,
    {
        Client::new(Box::new(self.stream.into_inner()))
    }

    /// One reply, readable.
    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.reply()).into_owned()
    }

    /// Sends an inline command and returns its reply.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\r\n"));
        self.text()
    }

    /// All that still comes until the end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("not ended: {error}"),
        }
        rest
    }
}

impl Client<TcpStream> {
    /// Ends the connection as a crashed machine's neighbour would see it.
    pub(crate) fn reset(self) {
        rustix::net::sockopt::set_socket_linger(self.stream.get_ref(), Some(Duration::ZERO)).expect("a socket");
    }
}

/// A command as an array of bulk strings.
pub(crate) fn array(arguments: &[&[u8]]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", arguments.len()).into_bytes();
    for argument in arguments {
        out.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        out.extend_from_slice(argument);
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn read_value(stream: &mut impl BufRead, out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    if stream.read_until(b'\n', out)? == 0 {
        return Ok(());
    }
    let line = String::from_utf8_lossy(&out[start + 1..]).trim_end().to_owned();
    let count: i64 = line.parse().unwrap_or(0);
    match out[start] {
        b'$' | b'=' if count >= 0 => {
            let from = out.len();
            out.resize(from + usize::try_from(count).expect("not negative") + 2, 0);
            stream.read_exact(&mut out[from..])?;
        }
        b'*' | b'~' => (0..count).try_for_each(|_| read_value(stream, out))?,
        b'%' => (0..2 * count).try_for_each(|_| read_value(stream, out))?,
        _ => {}
    }
    Ok(())
}

/// Says loudly that a test didn't test, for want of this. Written past the macros, whose output a test that passes hides.
pub(crate) fn skip(missing: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    let said = format!("\n*** SKIPPED {name}: there is no {missing} ***\n");
    io::stderr().write_all(said.as_bytes()).expect("stderr can be written");
}

/// A real Redis, until it is dropped; none where it is not installed, said loudly.
pub(crate) struct Redis {
    process: Child,
    folder: PathBuf,
}

impl Redis {
    pub(crate) fn start() -> Option<Redis> {
        let folder = std::env::temp_dir().join(format!(
            "outboard-redis-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        std::fs::create_dir_all(&folder).expect("a temp folder");
        let started = Command::new("redis-server")
            .args(["--port", "0", "--databases", "1", "--save", "", "--unixsocket"])
            .arg(folder.join("socket"))
            .current_dir(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(process) = started else {
            skip("redis-server to compare with (apt-get install redis-server)");
            return None;
        };
        let redis = Redis { process, folder };
        for _ in 0..2_000 {
            if UnixStream::connect(redis.folder.join("socket")).is_ok() {
                return Some(redis);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not start");
    }

    pub(crate) fn client(&self) -> Client<UnixStream> {
        let stream = UnixStream::connect(self.folder.join("socket")).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        Client::new(stream)
    }

    /// What is compared is 7.0; others say some things in other words.
    pub(crate) fn is_7_0(&self) -> bool {
        let is = self.client().ask("INFO server").contains("redis_version:7.0.");
        if !is {
            skip("redis-server 7.0, but another one");
        }
        is
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It holds nothing.
        self.process.kill().and_then(|()| self.process.wait()).map(drop).unwrap_or_default();
        std::fs::remove_dir_all(&self.folder).unwrap_or_default();
    }
}
