//! What needs minutes and gigabytes. `cargo test --release -p outboard --test processes -- --ignored --nocapture size`

use crate::OUTBOARD;
use outboard_tests::{Cluster, wait_for};
use std::time::{Duration, Instant};

const VALUES: u64 = 5_000_000;
const RESIDENT_KIB_MAX: u64 = 1 << 20;
const RESTART_MAX: Duration = Duration::from_secs(3);

#[test]
#[ignore = "writes gigabytes for minutes"]
fn five_million_values_fit_into_a_gigabyte_each_and_a_clean_restart_serves_within_three_seconds() {
    let mut cluster = Cluster::start(OUTBOARD, 3);
    let (values, began) = (VALUES.to_string(), Instant::now());
    let load = ["bench", "put", "--clients", "256", "--pipeline", "8", "--distribution", "sequential"];
    let amount = ["--keys", &values, "--requests", &values, "--value-size", "256", "--timeout", "60s", "-o", "json"];
    // Far longer than any other command: no limit but the test's own.
    let load = cluster.spawn(load.into_iter().chain(amount)).finish_within(Duration::from_secs(3_600)).ok();
    println!("{VALUES} values in {:?}: {}/s", began.elapsed(), load.document()["requests_per_second"]);
    assert_eq!(load.document()["errors"], serde_json::json!({}));
    cluster.settled();
    for n in cluster.all() {
        let (now, peak) = (resident_kib(cluster.pid(n), "VmRSS"), resident_kib(cluster.pid(n), "VmHWM"));
        println!("n{n}: {} MiB resident, {} MiB at most", now >> 10, peak >> 10);
        assert!(peak < RESIDENT_KIB_MAX, "n{n} had {peak} KiB resident");
    }
    for n in cluster.all() {
        assert_eq!(cluster.terminate(n), Some(0));
    }
    let began = Instant::now();
    cluster.start_all();
    wait_for("a value after the restart", || {
        (cluster.run(["get", "key:000000000042", "--timeout", "1s"]).code == Some(0)).then_some(())
    });
    let took = began.elapsed();
    println!("serving {took:?} after a clean restart");
    assert!(took < RESTART_MAX, "it took {took:?}");
    cluster.settled();
}

fn resident_kib(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find(|line| line.starts_with(field)).expect("Linux tells it");
    line.split_whitespace().nth(1).expect("a number").parse().expect("in KiB")
}
