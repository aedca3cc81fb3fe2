//! Nodes that are out: one that was removed while it was away, and one that a recovery by hand left behind.

use super::{Fort, Row, text};
use crate::OUTBOARD;
use outboard_net::Credentials;
use outboard_tests::{Cluster, wait_for};

fn fort(cluster: &Cluster) -> Fort {
    let ca = cluster.dir(1).join("ca");
    Fort::new(cluster.program(), cluster.folder(), &ca, cluster.address(1), &cluster.client_context())
}

#[test]
fn a_removed_node_and_one_that_a_recovery_left_behind_come_back_to_nothing() {
    let mut cluster = Cluster::start(OUTBOARD, 3);
    cluster.settled();
    cluster.kill(3);
    removed(&mut cluster);
    left_behind(&mut cluster);
}

fn removed(cluster: &mut Cluster) {
    cluster.run(["member", "remove", "n3", "--timeout", "60s"]).ok();
    let identity = Credentials::load(&cluster.dir(3).join("identity")).expect("a node has one");
    let fort = fort(cluster);
    let before = fort.held();
    // It knows nothing of its removal yet; the others tell it.
    cluster.start_node(3);
    assert_eq!(cluster.wait_for_end(3), Some(6), "{}", cluster.log(3));
    for words in ["OB6004", "no member any more", "outboard join HOST:PORT TOKEN"] {
        assert!(cluster.log(3).contains(words), "{words}: {}", cluster.log(3));
    }
    assert_eq!(fort.held(), before);
    // From then on it knows by itself, whatever it is told.
    let (dir, seed) = (text(cluster.dir(3)).to_owned(), cluster.address(1).to_string());
    let token = cluster.run(["token", "create"]).ok().text().to_owned();
    fort.settle();
    for line in [&["start", "--data-dir", &dir][..], &["join", &seed, &token, "--data-dir", &dir]] {
        let says = ["OB6004", "was removed", "outboard join HOST:PORT TOKEN"];
        fort.refuses(cluster.context(), &Row { who: "a removed node", line, exit: 6, says: &says });
    }
    // The authority's key is gone from it, so it signs for nobody.
    assert!(!cluster.dir(3).join("ca").exists());
    let context = fort.context(identity);
    for line in [&["status"][..], &["get", "treasure"], &["member", "promote", "n3"], &["token", "create"]] {
        let says = ["OB6001", "removed from the cluster"];
        fort.refuses(&context, &Row { who: "a removed node, as a client", line, exit: 6, says: &says });
    }
}

/// Of two voters one is gone; the other goes on alone, and then the first turns up.
fn left_behind(cluster: &mut Cluster) {
    cluster.kill(2);
    cluster.kill(1);
    let dir = text(cluster.dir(1)).to_owned();
    cluster.run(["recover", "apply", &dir, "--yes"]).ok();
    cluster.start_node(1);
    let fort = fort(cluster);
    let before = fort.held();
    cluster.start_node(2);
    cluster.wait_for_log(2, "recovered without one of them");
    // It has a majority of nothing: who asks it is not served, and what the others have stays.
    let there = cluster.address(2).to_string();
    let line = ["--endpoint", &there, "--timeout", "2s", "put", "treasure", "stolen"];
    let row = Row { who: "who asks a node that was left behind", line: &line, exit: 5, says: &["OB5001", "not done"] };
    fort.refuses(cluster.context(), &row);
    let refused = wait_for("the fence", || Some(cluster.status().nodes()[0].refused()).filter(|refused| *refused > 0));
    assert!(refused > 0);
    assert_eq!(fort.held(), before);
}
