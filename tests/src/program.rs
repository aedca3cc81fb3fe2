//! The program under test, and others that are tried against it: their command lines, how they end, and what they print.
//!
//! Every run has a clean environment and a home of its own, so neither the user's contexts nor his settings reach a test.

use crate::PATIENCE;
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How the names of environment variables begin that would reach a test: of the program, and of redis-cli.
const SETTINGS: [&str; 2] = ["OUTBOARD_", "REDISCLI_"];

/// A program file and the home that it runs in.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    home: PathBuf,
}

impl Program {
    /// The program at `path`; it finds its user's configuration in `home`.
    pub fn new(path: impl Into<PathBuf>, home: impl Into<PathBuf>) -> Program {
        Program { path: path.into(), home: home.into() }
    }

    /// A command of it that inherits no setting.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        for (name, _) in std::env::vars_os() {
            if SETTINGS.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
                command.env_remove(name);
            }
        }
        command.env("HOME", &self.home).env("XDG_CONFIG_HOME", self.home.join("config")).env("TMPDIR", &self.home);
        command
    }

    /// Runs it to its end.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ran {
        self.spawn(arguments).finish()
    }

    /// Runs it to its end with this on stdin.
    pub fn run_with_input<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>, input: &[u8]) -> Ran {
        let mut running = self.spawn(arguments);
        let mut stdin = running.child.stdin.take().expect("it is piped");
        // A program that doesn't read all of it has closed its end: it says itself why.
        stdin.write_all(input).unwrap_or_default();
        drop(stdin);
        running.finish()
    }

    /// Starts it.
    pub fn spawn<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Running {
        let arguments: Vec<OsString> = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        let mut command = self.command();
        command.args(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{} can't be run: {error}", self.path.display()));
        let stdout = drain(child.stdout.take().expect("it is piped"));
        let stderr = drain(child.stderr.take().expect("it is piped"));
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Running { name, arguments, child, stdout, stderr }
    }
}

/// What comes out of a pipe, read by a thread of its own so that the program never waits for the test.
#[derive(Debug)]
struct Drain {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

fn drain(mut pipe: impl Read + Send + 'static) -> Drain {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let kept = bytes.clone();
    let reader = std::thread::spawn(move || {
        let mut chunk = [0; 8 << 10];
        loop {
            match pipe.read(&mut chunk).expect("a pipe can be read") {
                0 => return,
                count => kept.lock().expect("nothing panics with it").extend_from_slice(&chunk[..count]),
            }
        }
    });
    Drain { bytes, reader: Some(reader) }
}

impl Drain {
    fn so_far(&self) -> Vec<u8> {
        self.bytes.lock().expect("nothing panics with it").clone()
    }

    /// Once the program has ended.
    fn all(&mut self) -> Vec<u8> {
        self.reader.take().expect("it is waited for once").join().expect("reading doesn't panic");
        self.so_far()
    }
}

/// A command line under way. It is killed when it is dropped.
#[derive(Debug)]
pub struct Running {
    name: String,
    arguments: Vec<OsString>,
    child: Child,
    stdout: Drain,
    stderr: Drain,
}

impl Running {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its end can be asked for").is_none()
    }

    /// What it printed on stdout up to now.
    pub fn printed(&self) -> String {
        String::from_utf8_lossy(&self.stdout.so_far()).into_owned()
    }

    /// What it said on stderr up to now.
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.stderr.so_far()).into_owned()
    }

    /// Types a line into its stdin.
    pub fn type_line(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("it is piped until the end is waited for");
        // One that has ended already is found out when its end is judged.
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap_or_default();
    }

    /// As Ctrl-C.
    pub fn interrupt(&self) {
        signal(&self.child, "INT");
    }

    /// Waits for its end. One that hangs is killed, and the test fails.
    pub fn finish(self) -> Ran {
        self.finish_within(PATIENCE)
    }

    /// As [`Running::finish`], for what may take longer.
    pub fn finish_within(mut self, patience: Duration) -> Ran {
        // Without a writer, whoever reads stdin finds its end.
        drop(self.child.stdin.take());
        let deadline = Instant::now() + patience;
        while self.is_running() {
            assert!(Instant::now() < deadline, "it hangs: {} {:?}", self.name, self.arguments);
            std::thread::sleep(Duration::from_millis(5));
        }
        let code = self.child.wait().expect("it has ended").code();
        let (stdout, stderr) = (self.stdout.all(), self.stderr.all());
        let (name, arguments) = (std::mem::take(&mut self.name), std::mem::take(&mut self.arguments));
        Ran { name, arguments, code, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() }
    }
}

/// Sends a signal to a child that was not waited for yet. By the shell: the standard library knows only how to kill.
pub(crate) fn signal(child: &Child, signal: &str) {
    let kill = format!("kill -{signal} {}", child.id());
    let sent = Command::new("sh").args(["-c", &kill]).status().expect("there is a shell");
    assert!(sent.success(), "a child takes signals");
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

/// How a command line ended.
#[derive(Clone, Debug)]
pub struct Ran {
    name: String,
    arguments: Vec<OsString>,
    /// None when a signal ended it.
    pub code: Option<i32>,
    /// What it printed as data.
    pub stdout: Vec<u8>,
    /// Everything else that it said.
    pub stderr: String,
}

impl Ran {
    /// It must have ended well.
    #[track_caller]
    pub fn ok(self) -> Ran {
        self.exits(0)
    }

    /// It must have ended with this code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Ran {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// It must have said all of this on stderr, in whatever case.
    #[track_caller]
    pub fn says<'a>(self, words: impl IntoIterator<Item = &'a str>) -> Ran {
        let said = self.stderr.to_lowercase();
        for word in words {
            assert!(said.contains(&word.to_lowercase()), "it doesn't say {word:?}: {self}");
        }
        self
    }

    /// What it printed, as text without the last line's end.
    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("it prints text").trim_end_matches('\n')
    }

    /// The one document that it printed, which must have a type.
    #[track_caller]
    pub fn document(&self) -> Value {
        typed(serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("no document: {error}: {self}")))
    }

    /// The documents that it printed, one on each line.
    #[track_caller]
    pub fn documents(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON: {error}: {self}"));
        self.text().lines().map(|line| typed(parse(line))).collect()
    }

    /// The error document, the last line on stderr.
    #[track_caller]
    pub fn error(&self) -> Value {
        let last = self.stderr.lines().last().unwrap_or_default();
        let document = typed(serde_json::from_str(last).unwrap_or_else(|error| panic!("no document: {error}: {self}")));
        assert_eq!(document["$type"], "error", "{self}");
        assert_eq!(document["exit"].as_i64(), self.code.map(i64::from), "{self}");
        document
    }
}

#[track_caller]
fn typed(document: Value) -> Value {
    assert!(document["$type"].is_string(), "a document without its $type: {document}");
    document
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} {:?} ended with {:?}", self.name, self.arguments, self.code)?;
        let shown: String = String::from_utf8_lossy(&self.stdout).chars().take(2_000).collect();
        writeln!(f, "stdout: {shown}\nstderr: {}", self.stderr)
    }
}
