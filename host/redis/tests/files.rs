//! A process of its own, as it changes what the process may do: a listener in a shell that allows few open files.

#[path = "redis/fake.rs"]
#[allow(dead_code, clippy::wildcard_enum_match_arm)]
mod fake;

use outboard_redis::{Options, serve};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{Read, Write};
use std::net::TcpStream;

const FILES: u64 = 128;
/// Each takes two files here: the client's and the listener's.
const CLIENTS: usize = 200;

#[test]
fn a_shell_that_allows_few_open_files_does_not_bound_the_connections() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if maximum.is_some_and(|files| files < 3 * CLIENTS as u64) {
        let said = format!("\n*** SKIPPED: {maximum:?} files may be open at most (ulimit -Hn) ***\n");
        std::io::stderr().write_all(said.as_bytes()).expect("stderr can be written");
        return;
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(FILES), maximum }).expect("less is always allowed");
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            tell.send(listener.local_addr().expect("it is bound")).expect("the test waits");
            match serve(listener, Options::default(), fake::Fake::start(fake::Order::AsTheyCome)).await {}
        });
    });
    let address = told.recv().expect("it listens");
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let mut client = TcpStream::connect(address).unwrap_or_else(|error| panic!("client {number}: {error}"));
        client.write_all(b"PING\r\n").expect("it reads");
        client.read_exact(&mut [0; 7]).expect("it answers");
        clients.push(client);
    }
}
