//! The command line's promises: exit codes, suggestions, documents with a type.

use crate::OUTBOARD;
use outboard_tests::{Cluster, Program};
use serde_json::json;

#[test]
fn a_mistyped_word_gets_the_nearest_right_one_and_exit_code_2() {
    let home = tempfile::tempdir().expect("a folder");
    let program = Program::new(OUTBOARD, home.path());
    program.run(["imprt", "x"]).exits(2).says(["import"]);
    program.run(["get", "k", "--timout", "1s"]).exits(2).says(["--timeout"]);
    program.run(["engine", "upgrad", "kv"]).exits(2).says(["upgrade"]);
    program.run(["start", "--data-dir", "x", "--engine", "kv-basci"]).exits(2).says(["kv-basic"]);
    program.run(["explain", "OB40O1"]).exits(2).says(["OB4001"]);
    program.run(["get", "k", "--timeout", "soon"]).exits(2);
    let refused = program.run(["-o", "json", "gett", "k"]).exits(2);
    assert_eq!(refused.error()["code"], "OB2001");
}

#[test]
fn without_a_context_it_says_where_one_comes_from() {
    let home = tempfile::tempdir().expect("a folder");
    let program = Program::new(OUTBOARD, home.path());
    program.run(["get", "k"]).exits(2).says(["OB2003", "cluster init"]);
    program.run(["-c", "prod", "get", "k"]).exits(2).says(["OB2003", "prod"]);
}

#[test]
fn nobody_there_and_no_majority_are_both_unavailable_and_nothing_was_done() {
    let mut cluster = Cluster::form(OUTBOARD, 3);
    cluster.run(["get", "k", "--timeout", "1s"]).exits(5).says(["OB500"]);
    cluster.run(["status", "--timeout", "1s"]).exits(5);
    cluster.start_node(1);
    cluster.wait_for_log(1, "listens on");
    cluster.run(["put", "k", "v", "--timeout", "2s"]).exits(5).says(["OB5001", "not done"]);
    let document = cluster.run(["put", "k", "v", "--timeout", "2s", "-o", "json"]).exits(5).error();
    assert_eq!(document["code"], "OB5001");
    assert_eq!(cluster.status().health(), "no_leader");
}

#[test]
fn every_document_has_its_type_and_every_ending_its_code() {
    let cluster = Cluster::start(OUTBOARD, 1);
    let typed = |arguments: &[&str]| {
        let ran = cluster.run(["-o", "json"].iter().chain(arguments)).ok();
        ran.document()["$type"].as_str().expect("a type").to_owned()
    };
    assert_eq!(typed(&["put", "user/42", "x"]), "written");
    assert_eq!(typed(&["get", "user/42"]), "value");
    assert_eq!(typed(&["call", "INCR", "n"]), "reply");
    assert_eq!(typed(&["del", "n"]), "removed");
    assert_eq!(typed(&["status"]), "cluster_status");
    assert_eq!(typed(&["engine", "list"]), "engines");
    assert_eq!(typed(&["engine", "inspect", "running"]), "engine");
    assert_eq!(typed(&["engine", "inspect", "kv-basic"]), "engine");
    assert_eq!(typed(&["engine", "push", "kv-basic"]), "pushed");
    assert_eq!(typed(&["bench", "put", "--clients", "2", "--requests", "20"]), "bench");
    assert_eq!(typed(&["explain", "OB4001"]), "error_code");
    assert!(cluster.run(["explain", "-o", "json"]).ok().documents().len() > 30);
    assert_eq!(
        cluster.run(["scan", "user/", "--values", "-o", "json"]).ok().documents()[0]["key"],
        json!({ "utf8": "user/42" })
    );
    cluster.run(["get", "missing"]).exits(3).says(["OB3001", "missing"]);
    assert_eq!(cluster.run(["get", "missing", "-o", "json"]).exits(3).error()["code"], "OB3001");
    let differs = cluster.run(["put", "user/42", "x", "--if-value", "y"]).exits(4);
    assert_eq!(
        differs.stderr,
        "error[OB4001]: user/42 was not written: its value differs from the expected one\n  help: outboard get user/42\n"
    );
    cluster.run(["put", "user/42", "z", "--if-absent"]).exits(4).says(["OB4002"]);
    cluster.run(["call", "NOSUCH", "a"]).exits(7).says(["OB7001", "unknown command"]);
    cluster.run(["engine", "upgrade", "abcd1234"]).exits(3).says(["OB3002"]);
    cluster.run(["engine", "inspect", "kv-bsaic"]).exits(2).says(["kv-basic"]);
    let folder = cluster.dir(1).parent().and_then(|out| out.to_str()).expect("text");
    cluster.run(["cluster", "init", "--nodes", "n1=127.0.0.1:1", "--out", folder]).exits(4).says(["OB4003", folder]);
}

#[test]
fn what_is_over_the_limits_is_refused_before_it_reaches_the_log() {
    let cluster = Cluster::start(OUTBOARD, 1);
    cluster.run(["put", "k", "v"]).ok();
    let before = cluster.status().commit();
    let (long_key, long_value) = (vec![b'k'; (64 << 10) + 1], vec![b'v'; (1 << 20) + 1]);
    for arguments in [&["put", "-", "v"][..], &["get", "-"], &["del", "-"]] {
        cluster
            .run_with_input(arguments.iter().copied(), &long_key)
            .exits(2)
            .says(["OB2006", "the key has 65537 bytes"]);
    }
    cluster.run_with_input(["put", "k", "-"], &long_value).exits(2).says(["OB2006", "the value has 1048577 bytes"]);
    // A node takes no client's word for it. Without a session, which would stand in the log too.
    let call = ["call", "--idempotent", "set"];
    cluster.run_with_input(call.into_iter().chain(["-", "v"]), &long_key).exits(7).says(["OB7001", "key is longer"]);
    cluster
        .run_with_input(call.into_iter().chain(["k", "-"]), &long_value)
        .exits(7)
        .says(["OB7001", "value is longer"]);
    assert_eq!(cluster.status().commit(), before);
    cluster.run_with_input(["put", "-", "v"], &long_key[..60_000]).ok();
    cluster.run_with_input(["put", "k", "-"], &long_value[..1_000_000]).ok();
    assert_eq!(cluster.run(["get", "k", "-o", "raw"]).ok().stdout.len(), 1_000_000);
}

#[test]
fn keys_and_values_are_bytes_in_every_form() {
    let cluster = Cluster::start(OUTBOARD, 1);
    cluster.run(["put", "--hex", "00ff", "0a0d"]).ok();
    let value = cluster.run(["get", "--base64", "AP8=", "-o", "json"]).ok().document();
    assert_eq!((&value["key"], &value["value"]), (&json!({ "base64": "AP8=" }), &json!({ "utf8": "\n\r" })));
    assert_eq!(cluster.run(["get", "--hex", "00ff", "-o", "raw"]).ok().stdout, b"\n\r");
    cluster.run_with_input(["put", "piped", "-"], b"\0 bytes\n").ok();
    assert_eq!(cluster.run(["get", "piped", "-o", "raw"]).ok().stdout, b"\0 bytes\n");
}

#[test]
fn the_environment_stands_in_for_the_flags() {
    let cluster = Cluster::start(OUTBOARD, 1);
    let mut command = cluster.program().command();
    command.args(["status"]).env("OUTBOARD_CONTEXT", cluster.context()).env("OUTBOARD_OUTPUT", "json");
    let output = command.output().expect("it runs");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a document");
    assert_eq!(document["$type"], "cluster_status");
}
