//! A majority is gone for good: what `recover` tells, what it makes, and that the old majority is fenced out.

use crate::OUTBOARD;
use outboard_tests::Cluster;

fn dir(cluster: &Cluster, n: usize) -> String {
    cluster.dir(n).to_str().expect("text").to_owned()
}

#[test]
fn of_three_nodes_one_is_left_and_serves_again_and_an_old_one_that_comes_back_is_fenced_out() {
    let mut cluster = Cluster::start(OUTBOARD, 3);
    for number in 0..20 {
        cluster.run(["put", &format!("k{number}"), "kept"]).ok();
    }
    cluster.settled();
    // A node that runs is not recovered under its feet.
    cluster.run(["recover", "plan", &dir(&cluster, 1)]).exits(1).says(["OB1005"]);
    cluster.kill_all();
    cluster.run(["recover", "plan", &dir(&cluster, 1), &dir(&cluster, 2)]).exits(4).says(["OB4020", "2 of 3 voters"]);

    // Two folders are gone for good; a copy of one turns up later.
    let away = cluster.folder().join("away");
    std::fs::rename(cluster.dir(3), &away).expect("moved");
    std::fs::remove_dir_all(cluster.dir(2)).expect("it was there");
    let plan = cluster.run(["recover", "plan", &dir(&cluster, 1)]).ok();
    for words in ["3 voters, 1 left", "gone: n2, n3", "lost:", "incarnation 1"] {
        assert!(plan.text().contains(words), "{plan}");
    }
    cluster.run(["recover", "apply", &dir(&cluster, 1)]).exits(2).says(["OB2007", "nothing was changed"]);
    cluster.run(["recover", "apply", &dir(&cluster, 1), "--yes"]).ok();
    cluster.run(["recover", "plan", &dir(&cluster, 1)]).exits(4);

    cluster.start_node(1);
    assert_eq!(cluster.run(["get", "k7", "--timeout", "60s"]).ok().text(), "kept");
    cluster.run(["put", "after", "kept", "--timeout", "60s"]).ok();
    let before = cluster.status();

    std::fs::rename(&away, cluster.dir(3)).expect("moved back");
    cluster.start_node(3);
    cluster.wait_for_log(3, "recovered without one of them");
    cluster.run(["put", "later", "kept", "--timeout", "60s"]).ok();
    assert_eq!(cluster.status().0["term"], before.0["term"], "the old node disturbs nobody");
}
