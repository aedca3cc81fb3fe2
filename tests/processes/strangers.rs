//! Who doesn't belong gets nothing, and the node is unharmed.

use crate::OUTBOARD;
use outboard_tests::{Cluster, datagrams_of_garbage, is_cut_off_for, is_turned_away, wait_for};
use std::time::Duration;
use tokio::time::timeout;

const CLIENTS: &[u8] = b"outboard-client/1";
const PEERS: &[u8] = b"outboard-peer/1";
/// Longer than a node takes to end a connection that is silent.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn garbage_datagrams_leave_the_node_serving() {
    let cluster = Cluster::start(OUTBOARD, 1);
    cluster.run(["put", "k", "v"]).ok();
    datagrams_of_garbage(cluster.address(1), 5_000);
    assert_eq!(cluster.run(["get", "k"]).ok().text(), "v");
}

#[test]
fn an_unknown_protocol_a_client_among_peers_and_garbage_in_streams_are_turned_away_and_counted() {
    let cluster = Cluster::start(OUTBOARD, 1);
    let (address, admin) = (cluster.address(1), cluster.client_context().credentials);
    let mut refused = refusals(&cluster);
    for protocol in [b"h3", b"outboard-client/2".as_slice(), PEERS] {
        assert!(soon(is_turned_away(address, &admin, protocol)), "{protocol:?} was let in");
        refused = wait_for("the refusal to be counted", || Some(refusals(&cluster)).filter(|now| *now > refused));
    }
    let too_long = [&[3][..], &u32::MAX.to_le_bytes()].concat();
    let cut_short = [&[3][..], &100u32.to_le_bytes(), b"12345678 and no more"].concat();
    for bytes in [b"GET / HTTP/1.1\r\n\r\n", &*too_long, &*cut_short] {
        assert!(soon(is_cut_off_for(address, &admin, CLIENTS, bytes)), "{bytes:?} was put up with");
        refused = wait_for("the garbage to be counted", || Some(refusals(&cluster)).filter(|now| *now > refused));
    }
    cluster.run(["put", "k", "v"]).ok();
}

#[test]
fn the_context_of_another_cluster_is_refused_by_its_name() {
    let (cluster, other) = (Cluster::start(OUTBOARD, 1), Cluster::form(OUTBOARD, 1));
    let (endpoint, before) = (cluster.address(1).to_string(), refusals(&cluster));
    let refused = other.run(["get", "k", "--endpoint", &endpoint, "-o", "json"]).exits(6);
    assert!(refused.error()["code"].as_str().is_some_and(|code| code.starts_with("OB60")), "{refused}");
    wait_for("the refusal to be counted", || (refusals(&cluster) > before).then_some(()));
    cluster.run(["get", "k"]).exits(3);
}

fn refusals(cluster: &Cluster) -> u64 {
    cluster.status().nodes()[0].refused()
}

fn soon(story: impl Future<Output = bool>) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { timeout(SOON, story).await.is_ok_and(|held| held) })
}
