//! Whole clusters under faults, with a history that is judged in the end. The short run is one of the tests; the long one and the
//! time that a takeover needs are by command:
//!
//! ```text
//!   NEMESIS_SEED=7 NEMESIS_NODES=5 NEMESIS_MINUTES=60 cargo test --release -p outboard --test processes -- --ignored --nocapture nemesis
//!   cargo test --release -p outboard --test processes -- --ignored --nocapture takeover
//! ```

use crate::OUTBOARD;
use outboard_client::{Client, Options};
use outboard_sim::linear::Verdict;
use outboard_tests::{Cluster, Fault, Judgement, Nemesis, PATIENCE, Registers};
use std::time::{Duration, Instant};

/// Leaders that are killed for the figure.
const TAKEOVERS: usize = 20;

#[test]
fn a_history_under_kills_partitions_and_bad_weather_is_linearizable_and_all_nodes_are_equal_in_the_end() {
    let mut cluster = Cluster::form_behind_a_proxy(OUTBOARD, 3).started();
    let registers = Registers::start(&cluster, 1);
    registers.wait_for_more(100);
    let mut nemesis = Nemesis::new(1);
    for fault in [
        Fault::KillLeader,
        Fault::IsolateLeader,
        Fault::FreezeLeader,
        Fault::Mute,
        Fault::Deaf,
        Fault::Storm,
        Fault::Bridge,
        Fault::KillAll,
    ] {
        nemesis.inflict(&mut cluster, fault);
        registers.wait_for_more(20);
    }
    judge(&cluster, registers, &nemesis);
}

#[test]
#[ignore = "an hour, or as long as NEMESIS_MINUTES says"]
fn nemesis() {
    let [seed, nodes, minutes] = [("SEED", 1), ("NODES", 5), ("MINUTES", 60)].map(|(name, usual)| {
        let given = std::env::var(format!("NEMESIS_{name}")).ok();
        given.map_or(usual, |text| text.parse().expect("a number"))
    });
    println!("NEMESIS_SEED={seed} NEMESIS_NODES={nodes} NEMESIS_MINUTES={minutes}");
    let mut cluster = Cluster::form_behind_a_proxy(OUTBOARD, nodes as usize).started();
    let registers = Registers::start(&cluster, seed);
    let mut nemesis = Nemesis::new(seed);
    for minute in 1..=minutes {
        nemesis.torment(&mut cluster, Duration::from_secs(60));
        registers.wait_for_more(20);
        println!("minute {minute}: {nemesis}");
    }
    println!("{}\n{nemesis}", judge(&cluster, registers, &nemesis));
}

fn judge(cluster: &Cluster, registers: Registers, nemesis: &Nemesis) -> Judgement {
    cluster.settled();
    let judgement = registers.finish();
    assert_eq!(judgement.verdict, Verdict::Linearizable, "{judgement}\n{nemesis}");
    assert!(judgement.answered > 200, "too little was tried: {judgement}");
    cluster.settled();
    judgement
}

#[test]
#[ignore = "a figure: how long a write waits when the leader is killed"]
fn takeover() {
    let mut cluster = Cluster::start(OUTBOARD, 3);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut waited: Vec<Duration> = (0..TAKEOVERS)
        .map(|trial| {
            cluster.settled();
            let options = Options { timeout: PATIENCE, ..cluster.client_options() };
            let client = Client::new(&cluster.client_context(), options).expect("the context is sound");
            runtime.block_on(client.set("k", "before")).expect("a write");
            let leader = cluster.leader();
            cluster.kill(leader);
            let killed = Instant::now();
            runtime.block_on(client.set("k", trial.to_string())).expect("a write");
            let waited = killed.elapsed();
            cluster.start_node(leader);
            waited
        })
        .collect();
    waited.sort_unstable();
    let median = waited[TAKEOVERS / 2];
    println!("the first write after kill -9 of the leader: median {median:?} of {TAKEOVERS}, all: {waited:?}");
}
