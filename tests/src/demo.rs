//! A demo with its shell open: three nodes in one process, told what to do line by line.

use crate::{PATIENCE, Program, Ran, Running, wait_for};
use std::net::{Ipv4Addr, SocketAddr};
use tempfile::TempDir;

/// A demo that runs until it is ended or dropped.
#[derive(Debug)]
pub struct Demo {
    running: Running,
    redis: Vec<SocketAddr>,
    // The last field: the folder goes after the process.
    _home: TempDir,
}

impl Demo {
    /// Starts a demo of three nodes and waits until it says that it is ready.
    pub fn start(program: &str) -> Demo {
        let home = tempfile::Builder::new().prefix("outboard-test-").tempdir().expect("a temp folder");
        let mut running = Program::new(program, home.path()).spawn(["demo"]);
        let banner = wait_for("the demo", || {
            assert!(running.is_running(), "the demo ended: {}", running.said());
            Some(running.said()).filter(|said| said.contains("Ctrl-D leaves"))
        });
        let redis = redis_ports(&banner);
        assert_eq!(redis.len(), 3, "where are the Redis listeners of: {banner}");
        Demo { running, redis, _home: home }
    }

    /// Where a node serves Redis clients, counted from 1.
    pub fn redis(&self, n: usize) -> SocketAddr {
        self.redis[n - 1]
    }

    /// Types a step and waits until its answer has this in it.
    pub fn step(&mut self, step: &str, answer: &str) {
        let before = self.running.printed().len();
        self.running.type_line(step);
        wait_for(&format!("{answer:?} after {step}"), || {
            self.running.printed().get(before..).is_some_and(|new| new.contains(answer)).then_some(())
        });
    }

    /// Leaves the shell.
    pub fn finish(self) -> Ran {
        self.running.finish_within(PATIENCE)
    }
}

/// `redis-cli -p 63791         (n2 63792, n3 63793; any node takes writes)`
fn redis_ports(banner: &str) -> Vec<SocketAddr> {
    let line = banner.lines().find_map(|line| line.split_once("redis-cli -p ")).map_or("", |(_, rest)| rest);
    let words = line.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.filter_map(|word| word.parse().ok()).map(|port: u16| (Ipv4Addr::LOCALHOST, port).into()).collect()
}
