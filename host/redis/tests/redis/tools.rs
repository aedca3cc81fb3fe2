//! The tools that come with Redis, where they are installed.

use crate::fake::{Fake, Order};
use crate::harness::{Server, array, skip};
use outboard_redis::Options;
use std::io::Write;
use std::process::{Command, Stdio};

fn server() -> Server {
    Server::start(Fake::start(Order::AsTheyCome), Options::default())
}

/// Runs a tool against the server; none where it is missing, said loudly.
fn run(tool: &str, server: &Server, arguments: &[&str], input: &[u8]) -> Option<String> {
    let started = Command::new(tool)
        .args(["-p", &server.address.port().to_string()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut process) = started else {
        skip(&format!("{tool} (apt-get install redis-tools)"));
        return None;
    };
    process.stdin.take().expect("piped").write_all(input).expect("it reads");
    let output = process.wait_with_output().expect("it ends");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{tool} {arguments:?}: {text}");
    Some(text)
}

#[test]
fn redis_cli_reads_writes_and_scans() {
    let server = server();
    let input = b"set mykey myvalue\nget mykey\nKEYS *\nMULTI\nincr n\nEXEC\nnosuch a\ninfo cluster\n";
    let Some(text) = run("redis-cli", &server, &[], input) else { return };
    for line in [
        "OK\n",
        "myvalue\n",
        "mykey\n",
        "QUEUED\n",
        "1\n",
        "ERR unknown command 'nosuch', with args beginning with: 'a'",
        "cluster_enabled:0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert_eq!(run("redis-cli", &server, &["-3", "get", "none"], b"").expect("it was there"), "\n");
    assert_eq!(run("redis-cli", &server, &["--scan"], b"").expect("it was there"), "mykey\nn\n");
    let text = run("redis-cli", &server, &["--bigkeys", "-i", "0"], b"").expect("it was there");
    assert!(text.contains("Sampled 2 keys in the keyspace!") && text.contains("2 strings with 8 bytes"), "{text}");
    let text = run("redis-cli", &server, &["--latency", "--raw"], b"").expect("it was there");
    assert_eq!(text.split_whitespace().count(), 4, "{text}");
}

#[test]
fn redis_cli_pipe_loads_a_stream() {
    let server = server();
    let stream: Vec<u8> = (0..5_000).flat_map(|n| array(&[b"SET", format!("k{n}").as_bytes(), b"v"])).collect();
    let Some(text) = run("redis-cli", &server, &["--pipe"], &stream) else { return };
    assert!(text.contains("errors: 0, replies: 5000"), "{text}");
    assert_eq!(server.client().ask("DBSIZE"), ":5000\r\n");
}

#[test]
fn redis_benchmark_runs_with_and_without_a_pipeline() {
    let server = server();
    for pipeline in ["1", "16"] {
        let arguments = ["-t", "ping,set,get,incr,mset", "-n", "2000", "-c", "20", "-q", "-r", "100", "-P", pipeline];
        let Some(text) = run("redis-benchmark", &server, &arguments, b"") else { return };
        for name in ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"] {
            assert!(text.contains(&format!("{name}: ")) && !text.contains("Error"), "{text}");
        }
        assert!(!text.contains("WARNING"), "CONFIG GET is answered: {text}");
    }
}

#[test]
fn redis_cli_shows_hints_from_the_manifest() {
    let server = server();
    let Some(text) = run("redis-cli", &server, &[], b"help set\nhelp multi\nhelp client setname\n") else { return };
    // Without the colours.
    let text = text.split('\x1b').map(|part| part.split_once('m').map_or(part, |(_, rest)| rest)).collect::<String>();
    for line in ["SET key value [NX|XX] [EX seconds|PX ms]", "as in Redis.", "MULTI", "CLIENT SETNAME connection-name"]
    {
        assert!(text.contains(line), "{line} in {text}");
    }
}
