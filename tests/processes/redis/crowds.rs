//! Thousands of connections, and what they cost.

use crate::OUTBOARD;
use outboard_tests::{Cluster, Redis, RedisTools, Reply, skip};
use std::process::Command;

const BUSY: usize = 500;
const IDLE: usize = 10_000;

#[test]
fn hundreds_of_idle_connections_are_in_nobodys_way() {
    let Some(tools) = RedisTools::find() else { return };
    let cluster = Cluster::start_with_redis(OUTBOARD, 1);
    cluster.redis_client(1);
    let mut crowd = Crowd::gather(&cluster, 400);
    let load = ["-t", "set,get", "-n", "2000", "-c", "100", "-q", "-P", "4"];
    let ran = tools.benchmark(cluster.redis(1), load).ok();
    assert!(!ran.to_string().contains("rror"), "{ran}");
    crowd.serve_all();
}

#[test]
#[ignore = "for its figures: cargo test --release -p outboard --test processes -- --ignored --nocapture crowds"]
fn ten_thousand_idle_and_five_hundred_busy_connections_are_held_at_once() {
    let Some(tools) = RedisTools::find() else { return };
    if !may_open_files(2 * IDLE) {
        return skip(&format!("leave to open {} files: ulimit -Hn, or prlimit (apt-get install util-linux)", 2 * IDLE));
    }
    let cluster = Cluster::start_with_redis(OUTBOARD, 3);
    for n in cluster.all() {
        cluster.redis_client(n);
    }
    let leader = cluster.leader();
    let report = |what: &str| {
        let each = cluster.all().into_iter().map(|n| {
            let (name, role) = (format!("n{n}"), if n == leader { " (leads)" } else { "" });
            format!("{name}{role} {:.1} MiB", resident_kib(cluster.pid(n)) as f64 / 1024.0)
        });
        println!("{what:<44} resident: {}", each.collect::<Vec<_>>().join(", "));
    };
    // So that what a busy node has anyway is not taken for what connections cost.
    let load = ["-t", "set,get", "-n", "200000", "-r", "100000", "-d", "256", "-q"];
    let busy = |clients: usize| {
        let clients = clients.to_string();
        let ran = tools.benchmark(cluster.redis(leader), load.into_iter().chain(["-c", &clients])).ok();
        assert!(!ran.to_string().contains("rror"), "{ran}");
        ran.text().lines().flat_map(|line| line.rsplit('\r').next()).collect::<Vec<_>>().join("; ")
    };
    println!("50 busy: {}", busy(50));
    report("no connection");
    let before = resident_kib(cluster.pid(leader));
    let mut crowd = Crowd::gather(&cluster, IDLE);
    report(&format!("{IDLE} idle connections to n{leader}"));
    let each = resident_kib(cluster.pid(leader)).saturating_sub(before) as f64 / IDLE as f64;
    println!("an idle connection costs {each:.2} KiB");
    crowd.serve_all();
    println!("{BUSY} busy beside them: {}", busy(BUSY));
    report(&format!("{IDLE} idle, after {BUSY} busy connections"));
    crowd.serve_all();
    cluster.settled();
    drop(crowd);
    println!("{BUSY} busy alone: {}", busy(BUSY));
    report("no connection again");
}

/// Makes it so for this process, whatever the shell says, as far as the system lets it.
fn may_open_files(count: usize) -> bool {
    let (pid, soft) = (std::process::id().to_string(), format!("--nofile={count}:"));
    Command::new("prlimit").args(["--pid", &pid, &soft]).status().is_ok_and(|status| status.success())
}

/// Connections to the leader that have said hello and nothing since.
struct Crowd(Vec<Redis>);

impl Crowd {
    fn gather(cluster: &Cluster, count: usize) -> Crowd {
        let at = cluster.redis(cluster.leader());
        let one = || {
            let mut redis = Redis::connect(at).expect("it is let in (ulimit -n?)");
            assert_eq!(redis.ask(["PING"]), Reply::Simple("PONG".to_owned()), "it is let in");
            redis
        };
        Crowd(std::iter::repeat_with(one).take(count).collect())
    }

    /// Each of them is still there and gets its answer.
    fn serve_all(&mut self) {
        for redis in &mut self.0 {
            assert_eq!(redis.ask(["GET", "none"]), Reply::Nil);
        }
    }
}

/// Of a process.
pub(super) fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("Linux tells it");
    line.split_whitespace().nth(1).expect("a number").parse().expect("in KiB")
}
