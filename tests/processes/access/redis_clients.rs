//! Redis clients: they have no certificates and no roles, so their listener has a door and users of its own.

use super::{Fort, Row, text};
use crate::OUTBOARD;
use outboard_tests::{Cluster, Redis, Reply, free_addresses, wait_for};

const PASSWORD: &str = "correct horse";

/// What somebody says on a connection that nobody has logged in on, and the first word of the answer.
const STRANGERS: [(&[&str], &str); 9] = [
    (&["GET", "treasure"], "NOAUTH"),
    (&["SET", "treasure", "stolen"], "NOAUTH"),
    (&["FLUSHALL"], "NOAUTH"),
    (&["MULTI"], "NOAUTH"),
    (&["CONFIG", "GET", "*"], "NOAUTH"),
    (&["HELLO", "3"], "NOAUTH"),
    (&["AUTH", "ana", "battery staple"], "WRONGPASS"),
    (&["AUTH", "eve", PASSWORD], "WRONGPASS"),
    (&["AUTH", PASSWORD], "WRONGPASS"),
];

/// What is not data is nothing to a user: none of the cluster's own affairs can be reached by this door.
const NOT_DATA: [&[&str]; 8] = [
    &["MEMBER", "REMOVE", "n1"],
    &["TOKEN", "CREATE"],
    &["CONFIG", "SET", "requirepass", ""],
    &["ACL", "SETUSER", "eve", "on", "nopass"],
    &["SHUTDOWN", "NOSAVE"],
    &["REPLICAOF", "NO", "ONE"],
    &["DEBUG", "RELOAD"],
    &["MODULE", "LOAD", "/tmp/x.so"],
];

#[test]
fn a_redis_client_gets_in_by_a_password_only_and_then_to_data_only() {
    let cluster = Cluster::form(OUTBOARD, 1).with_redis();
    let made = cluster.program().run_with_input(["redis", "user", "ana"], format!("{PASSWORD}\n").as_bytes()).ok();
    let users = cluster.folder().join("users");
    std::fs::write(&users, made.text()).expect("writable");
    let cluster = cluster.with_arguments(["--redis-users", text(&users)]).started();
    let ca = cluster.dir(1).join("ca");
    let fort = Fort::new(cluster.program(), cluster.folder(), &ca, cluster.address(1), &cluster.client_context());
    let mut redis = wait_for("the listener", || Redis::connect(cluster.redis(1)).ok());
    let before = fort.held();
    for (command, answer) in STRANGERS {
        let refused = redis.ask(command);
        assert!(refused.is_error_of(answer), "{command:?} was answered with {refused:?}");
        assert_eq!(fort.held(), before, "{command:?} changed something");
    }
    assert_eq!(redis.ask(["AUTH", "ana", PASSWORD]), Reply::ok());
    assert_eq!(redis.ask(["GET", "treasure"]), Reply::bulk("untouched"));
    for command in NOT_DATA {
        let refused = redis.ask(command);
        assert!(refused.is_error(), "{command:?} was answered with {refused:?}");
        assert_eq!(fort.held(), before, "{command:?} changed something");
    }
    off_loopback(&cluster, &fort);
}

/// A listener that anybody could reach does not begin, nor does its node.
fn off_loopback(cluster: &Cluster, fort: &Fort) {
    let port = free_addresses(1)[0].port();
    let dir = fort.folder.join("another");
    for open in [format!("0.0.0.0:{port}"), format!("[::]:{port}")] {
        let line = ["start", "--data-dir", text(&dir), "--redis", &open];
        let says = ["OB2001", &open, "--redis-users FILE", "--redis-cert FILE"];
        fort.refuses(cluster.context(), &Row { who: "a Redis listener for all", line: &line, exit: 2, says: &says });
    }
    assert!(!dir.exists(), "nothing was begun");
}
