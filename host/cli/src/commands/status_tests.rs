//! The status screen over made-up clusters.

use super::*;
use outboard_wire::command::Digest;
use outboard_wire::status::{ChainMark, Divergence, NodeStatus};

fn node(number: u64, role: &str, applied: u64, hash: u8) -> MemberStatus {
    let engine = EngineRecord {
        digest: Digest([0x41; 32]),
        name: "my-kv".into(),
        version: "0.2.0".into(),
        schema: 1,
        reads_schemas: vec![],
        bytes: 1,
    };
    let status = NodeStatus {
        node: number,
        name: format!("n{number}"),
        address: format!("10.0.0.{number}:4410"),
        role: role.into(),
        term: 7,
        leader: Some(1),
        commit: 1_204_331,
        applied,
        applied_durable: 0,
        log_first: 1,
        log_last: 1_204_331,
        disk_bytes: 412 << 20,
        uptime_ms: 12 * 86_400_000,
        engine: Some(engine),
        engine_since: 1,
        stalled_for: None,
        durability: "sync".into(),
        chain: vec![ChainMark { index: 1_204_000, hash: [hash; 32] }],
        diverged: None,
        refused: 0,
        suspended: false,
        damage: None,
    };
    let rtt_us = (number > 1).then_some(210);
    MemberStatus {
        node: number,
        name: status.name.clone(),
        address: status.address.clone(),
        voter: true,
        rtt_us,
        status: Some(status),
    }
}

fn cluster() -> ClusterStatus {
    let members =
        vec![node(1, "leader", 1_204_331, 1), node(2, "follower", 1_204_331, 1), node(3, "follower", 1_204_330, 1)];
    ClusterStatus { cluster: "c-3FVX2M".into(), asked: 1, members }
}

#[test]
fn the_screen_looks_as_documented() {
    assert_eq!(
        text(&cluster()),
        [
            "cluster c-3FVX2M   healthy   3 voters   term 7   commit 1204331",
            "engine  my-kv 0.2.0  41414141  on 3/3   state equal at 1204000",
            "NODE  ROLE      ADDRESS        RTT     APPLIED  LAG     DISK  UP",
            "n1    leader    10.0.0.1:4410  -       1204331    0  412 MiB  12d",
            "n2    follower  10.0.0.2:4410  0.2 ms  1204331    0  412 MiB  12d",
            "n3    follower  10.0.0.3:4410  0.2 ms  1204330    1  412 MiB  12d",
        ]
    );
    assert!(judge(&cluster()).is_ok());
}

#[test]
fn different_states_are_divergence() {
    let mut status = cluster();
    status.members[2] = node(3, "follower", 1_204_330, 2);
    assert_eq!(judge(&status).expect_err("differs").code.exit(), 8);
    assert!(text(&status)[1].ends_with("state differs at 1204000"));
    assert_eq!(document(&status)["state"]["comparison"], "differs");

    let mut status = cluster();
    let found = Divergence { with: 2, equal_at: 10, differs_at: 20 };
    status.members[0].status.as_mut().expect("answered").diverged = Some(found);
    assert_eq!(judge(&status).expect_err("differs").code.exit(), 8);
    assert_eq!(document(&status)["state"]["comparison"], "differs");
}

#[test]
fn a_missing_node_or_leader_is_unhealthy() {
    let mut status = cluster();
    status.members[1].status = None;
    let failure = judge(&status).expect_err("degraded");
    assert!(failure.code.exit() == 10 && failure.message.contains("n2"), "{failure:?}");
    assert!(text(&status)[0].contains("degraded") && text(&status)[4].contains("no answer"));

    let mut status = cluster();
    status.members[0].status.as_mut().expect("answered").role = "follower".into();
    assert_eq!(judge(&status).expect_err("no leader").code.exit(), 10);
}

#[test]
fn a_node_that_waits_for_its_engine_is_named() {
    let mut status = cluster();
    status.members[2].status.as_mut().expect("answered").stalled_for = Some("abcd".into());
    assert!(text(&status).contains(&"n3 waits for the engine abcd".to_owned()));
    assert_eq!(judge(&status).expect_err("degraded").code.exit(), 10);
}

#[test]
fn the_document_has_strings_for_indexes() {
    let document = document(&cluster());
    assert_eq!(document["commit"], "1204331");
    assert_eq!(document["nodes"][0]["status"]["applied"], "1204331");
    assert_eq!(document["health"], "healthy");
}
