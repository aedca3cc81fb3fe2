//! Who is let in: passwords, TLS, and listeners that would be open to all.

use crate::OUTBOARD;
use outboard_tests::{Cluster, Redis, RedisTools, Reply, free_addresses};
use std::path::{Path, PathBuf};

const PASSWORD: &str = "correct horse";

/// A file with these users, all of the same password, each line made by the program.
fn users_file(cluster: &Cluster, names: &[&str]) -> PathBuf {
    let line = |name: &&str| {
        let made = cluster.program().run_with_input(["redis", "user", name], format!("{PASSWORD}\n").as_bytes()).ok();
        assert!(made.text().starts_with(&format!("{name} $argon2id$")), "{made}");
        made.text().to_owned()
    };
    let path = cluster.folder().join("redis-users");
    std::fs::write(&path, names.iter().map(line).collect::<Vec<_>>().join("\n")).expect("a file can be written");
    path
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a test's paths are text")
}

#[test]
fn a_listener_off_loopback_without_tls_or_users_is_refused_and_told_what_to_do() {
    let cluster = Cluster::form(OUTBOARD, 1);
    let port = free_addresses(1)[0].port();
    for open in [format!("0.0.0.0:{port}"), format!("[::]:{port}")] {
        let refused = cluster.try_start_with(1, ["--redis", &open]).exits(2);
        refused.says([&*open, "--redis-users FILE", "--redis-cert FILE", "127.0.0.1"]);
        let file = cluster.folder().join("outboard.toml");
        std::fs::write(&file, format!("redis = \"{open}\"\n")).expect("a file can be written");
        cluster.try_start_with(1, ["--config", text(&file)]).exits(2).says([&*open]);
    }
    // Nothing was begun.
    assert!(!cluster.dir(1).join("log").exists());
}

#[test]
fn half_of_tls_an_unusable_file_and_a_taken_port_each_have_their_own_error() {
    let cluster = Cluster::form(OUTBOARD, 1);
    let address = free_addresses(1)[0];
    let at = address.to_string();
    let identity = cluster.dir(1).join("identity");
    let (certificate, key) = (identity.join("certificate.pem"), identity.join("key.pem"));
    let (certificate, key) = (text(&certificate), text(&key));
    let refused = |arguments: &[&str]| cluster.try_start_with(1, ["--redis", &at].iter().chain(arguments));
    refused(&["--redis-cert", certificate]).exits(2).says(["TLS needs a certificate and its key"]);
    // Each of the two where the other belongs.
    refused(&["--redis-cert", key, "--redis-key", certificate]).exits(6).says(["certificate"]);
    refused(&["--redis-users", "/no/such/file"]).exits(1).says(["/no/such/file"]);
    refused(&["--redis-users", certificate]).exits(6).says(["certificate.pem", "line 1"]);
    cluster.try_start_with(1, ["--redis-users", certificate]).exits(2).says(["--redis IP:PORT"]);
    let _taken = std::net::TcpListener::bind(address).expect("nobody has it");
    refused(&[]).exits(1).says([&*at]);
}

#[test]
fn users_log_in_with_their_passwords_and_nothing_works_without() {
    let Some(tools) = RedisTools::find() else { return };
    let cluster = Cluster::form(OUTBOARD, 3).with_redis();
    let users = users_file(&cluster, &["ana", "default"]);
    let cluster = cluster.with_arguments(["--redis-users", text(&users)]).started();
    for n in cluster.all() {
        let mut redis = Redis::connect(cluster.redis(n)).expect("it listens");
        for refused in [&["GET", "k"][..], &["SET", "k", "v"], &["PING"], &["INFO"], &["COMMAND"], &["MULTI"]] {
            assert!(redis.ask(refused).is_error_of("NOAUTH"), "{refused:?}");
        }
        assert!(redis.ask(["HELLO", "3"]).is_error_of("NOAUTH"));
        assert!(redis.ask(["AUTH", "ana", "wrong"]).is_error_of("WRONGPASS"));
        assert!(redis.ask(["AUTH", "bob", PASSWORD]).is_error_of("WRONGPASS"));
        assert!(redis.ask(["GET", "k"]).is_error_of("NOAUTH"));
        assert_eq!(redis.ask(["AUTH", "ana", PASSWORD]), Reply::ok());
        assert!(!redis.ask(["GET", "k"]).is_error_of("NOAUTH"));
        // RESET forgets who it was.
        assert_eq!(redis.ask(["RESET"]), Reply::Simple("RESET".to_owned()));
        assert!(redis.ask(["GET", "k"]).is_error_of("NOAUTH"));
        // Without a name it is the user default.
        assert_eq!(redis.ask(["AUTH", PASSWORD]), Reply::ok());
    }
    let as_ana = ["--no-auth-warning", "--user", "ana", "--pass"];
    let line =
        |password, command: &[&'static str]| as_ana.into_iter().chain([password]).chain(command.to_vec()).collect();
    let ask = |n, line: Vec<&str>| tools.cli(cluster.redis(n), line).ok();
    assert_eq!(ask(1, line(PASSWORD, &["set", "k", "v"])).text(), "OK");
    assert_eq!(ask(2, line(PASSWORD, &["get", "k"])).text(), "v");
    assert!(ask(3, line("wrong", &["get", "k"])).to_string().contains("NOAUTH"));
    for n in cluster.all() {
        let log = cluster.log(n);
        assert!(!log.contains(PASSWORD) && !log.contains("wrong"), "a password is in the log: {log}");
    }
}

#[test]
fn a_tls_listener_serves_redis_cli_with_tls_and_nobody_without() {
    let Some(tools) = RedisTools::find() else { return };
    let mut cluster = Cluster::form(OUTBOARD, 1).with_redis();
    // Any certificate would do; here is one with its authority.
    let identity = cluster.dir(1).join("identity");
    let (certificate, key) = (identity.join("certificate.pem"), identity.join("key.pem"));
    cluster = cluster.with_arguments(["--redis-cert", text(&certificate), "--redis-key", text(&key)]).started();
    let (at, authority) = (cluster.redis(1), identity.join("ca.pem"));
    let trusting = ["--tls", "--cacert", text(&authority)];
    let ask = |command: &[&'static str]| tools.cli(at, trusting.into_iter().chain(command.to_vec()));
    assert_eq!(ask(&["set", "k", "v"]).ok().text(), "OK");
    assert_eq!(ask(&["get", "k"]).ok().text(), "v");
    assert_eq!(ask(&["config", "get", "tls-port"]).ok().text(), format!("tls-port\n{}", at.port()));
    let value = vec![b'x'; 700_000];
    let put = ["--tls", "--cacert", text(&authority), "-x", "set", "large"];
    assert_eq!(tools.cli_with_input(at, put, &value).ok().text(), "OK");
    assert_eq!(ask(&["get", "large"]).ok().text().len(), value.len());
    // Another authority's word is nothing to a client that checks.
    let other = Cluster::form(OUTBOARD, 1);
    let wrong = other.dir(1).join("identity").join("ca.pem");
    assert_ne!(tools.cli(at, ["--tls", "--cacert", text(&wrong), "get", "k"]).code, Some(0));
    let mut plain = Redis::connect(at).expect("it listens");
    plain.send(b"*1\r\n$4\r\nPING\r\n").expect("it listens");
    // A TLS alert at most.
    let answer = plain.rest();
    assert!(!answer.starts_with(b"+") && answer.len() < 64, "{answer:?}");
    cluster.wait_for_log(1, "TLS");
    assert_eq!(ask(&["get", "k"]).ok().text(), "v");
}

#[test]
fn the_file_names_the_listener_and_config_show_says_where_each_setting_comes_from() {
    let cluster = Cluster::form(OUTBOARD, 1);
    let (in_file, by_flag) = (free_addresses(1)[0], free_addresses(1)[0]);
    let file = cluster.folder().join("node.toml");
    std::fs::write(&file, format!("redis = \"{in_file}\"\ndurability = \"none\"\n")).expect("a file can be written");
    let shown = cluster.program().run(["config", "show", "--origin", "--config", text(&file)]).ok();
    let line = |key: &str| {
        let found = shown.text().lines().find(|line| line.split_whitespace().next() == Some(key));
        found.unwrap_or_else(|| panic!("no {key} in {shown}")).to_owned()
    };
    assert!(line("redis").contains(&in_file.to_string()) && line("redis").contains("node.toml"), "{shown}");
    assert!(line("engine").contains("kv") && line("engine").contains("default"), "{shown}");
    std::fs::write(&file, format!("redsi = \"{in_file}\"\n")).expect("a file can be written");
    cluster.try_start_with(1, ["--config", text(&file)]).exits(2).says(["redsi", "did you mean redis?"]);
    // A flag counts before the file.
    std::fs::write(&file, format!("redis = \"{in_file}\"\n")).expect("a file can be written");
    let cluster = cluster.with_arguments(["--config", text(&file), "--redis", &by_flag.to_string()]).started();
    cluster.wait_for_log(1, &format!("Redis clients: {by_flag}"));
    assert!(Redis::connect(by_flag).is_ok() && Redis::connect(in_file).is_err());
}
