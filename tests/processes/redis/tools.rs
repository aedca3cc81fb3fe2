//! Each mode of redis-cli and redis-benchmark, judged by what it prints.

use crate::OUTBOARD;
use outboard_tests::{Cluster, RedisTools, Reply, command, wait_for};

const KEYS: usize = 1_500;

#[test]
fn redis_cli_at_a_terminal_shows_replies_errors_and_the_engines_own_help() {
    let Some(tools) = RedisTools::find() else { return };
    let cluster = Cluster::start_with_redis(OUTBOARD, 1);
    cluster.redis_client(1);
    let at = cluster.redis(1);
    let lines = "set k \"a b\"\nget k\nincr n\nget missing\nkeys *\nmulti\nincr n\nexec\nincr k\nnosuch a\nhelp incr\n";
    let Some(ran) = tools.terminal(at, lines) else { return };
    let printed = ran.ok().text().replace('\r', "");
    let prompt = format!("{at}> ");
    for shown in [
        "OK\n",
        "\"a b\"\n",
        "(integer) 1\n",
        "(nil)\n",
        "1) \"k\"\n2) \"n\"\n",
        &format!("{at}(TX)> "),
        "QUEUED\n",
        "1) (integer) 2\n",
        "(error) ERR value is not an integer or out of range\n",
        "(error) ERR unknown command 'nosuch', with args beginning with: 'a' \n",
        // From the engine's manifest, by COMMAND DOCS.
        "INCR key\n",
        "summary: ",
    ] {
        assert!(printed.contains(shown), "it doesn't show {shown:?}: {printed}");
    }
    assert!(printed.matches(&prompt).count() >= 9, "{printed}");
}

#[test]
fn mass_insertion_scan_and_bigkeys_see_every_key_once() {
    let Some(tools) = RedisTools::find() else { return };
    let cluster = Cluster::start_with_redis(OUTBOARD, 3);
    for n in cluster.all() {
        cluster.redis_client(n);
    }
    let (at, other) = (cluster.redis(1), cluster.redis(2));
    let key = |number: usize| format!("key:{number:05}");
    let stream: Vec<u8> =
        (0..KEYS).flat_map(|number| command(["SET", &key(number), &"x".repeat(number % 100)])).collect();
    let piped = tools.cli_with_input(at, ["--pipe"], &stream).ok();
    assert!(piped.text().contains(&format!("errors: 0, replies: {KEYS}")), "{piped}");
    // Inline commands may stand in such a stream too; a refused one is counted and the others are done.
    let piped = tools.cli_with_input(at, ["--pipe"], b"SET inline 1\r\nINCR key:00001\r\nINCR inline\r\n");
    assert!(piped.text().contains("errors: 1, replies: 3"), "{piped}");
    tools.cli(at, ["append", "key:00042", &"y".repeat(5_000)]).ok();

    let scanned = tools.cli(other, ["--scan"]).ok();
    let mut keys: Vec<&str> = scanned.text().lines().collect();
    keys.sort_unstable();
    let expected: Vec<String> = (0..KEYS).map(key).collect();
    assert_eq!((keys.len(), keys.last()), (KEYS + 1, Some(&"key:01499")), "each key once");
    assert!(keys[1..].iter().zip(&expected[1..]).all(|(found, key)| *found == key || *found == "key:00000"));
    let matching = tools.cli(other, ["--scan", "--pattern", "key:0149?"]).ok();
    assert_eq!(matching.text().lines().count(), 10, "{matching}");

    let big = tools.cli(other, ["--bigkeys"]).ok();
    assert!(big.text().contains(&format!("Sampled {} keys in the keyspace!", KEYS + 1)), "{big}");
    assert!(big.text().contains("Biggest string found '\"key:00042\"' has 5042 bytes"), "{big}");
}

#[test]
fn stat_and_latency_print_figures() {
    let Some(tools) = RedisTools::find() else { return };
    let cluster = Cluster::start_with_redis(OUTBOARD, 1);
    let mut redis = cluster.redis_client(1);
    for number in 0..7 {
        assert_eq!(redis.ask(["SET", &format!("k{number}"), "v"]), Reply::ok());
    }
    let at = cluster.redis(1);
    let mut stat = tools.spawn_cli(at, ["--stat", "-i", "0.05"]);
    // Keys, memory, clients, blocked, requests and connections.
    let is_line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.len() >= 6 && words[0] == "7" && words[1].ends_with(['K', 'M', 'G']) && words[2] == "2"
    };
    wait_for("lines of --stat", || {
        assert!(stat.is_running(), "it ended: {}", stat.said());
        (stat.printed().lines().filter(|line| is_line(line)).count() >= 3).then_some(())
    });
    drop(stat);
    let latency = tools.cli(at, ["--latency", "-i", "0.3"]).ok();
    let figures: Vec<f64> = latency.text().split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // Least, most, average and how many.
    assert!(figures.len() == 4 && figures[3] > 1.0 && figures[1] < 10_000.0, "{latency}");
}

#[test]
fn redis_benchmark_runs_to_its_end_unpipelined_and_pipelined() {
    const TESTS: [&str; 6] = ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"];
    let Some(tools) = RedisTools::find() else { return };
    let cluster = Cluster::start_with_redis(OUTBOARD, 3);
    for n in cluster.all() {
        let mut redis = cluster.redis_client(n);
        // redis-benchmark asks for these, and wants an array of two.
        assert_eq!(redis.ask(["CONFIG", "GET", "save"]), Reply::Array(vec![Reply::bulk("save"), Reply::bulk("")]));
        for pipeline in ["1", "16"] {
            let load =
                ["-t", "ping,set,get,incr,mset", "-n", "1600", "-c", "20", "-r", "1000", "--csv", "-P", pipeline];
            let ran = tools.benchmark(cluster.redis(n), load).ok();
            assert!(!ran.to_string().contains("rror"), "{ran}");
            let rows: Vec<(&str, f64)> = ran.text().lines().skip(1).map(row).collect();
            assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), TESTS, "{ran}");
            assert!(rows.iter().all(|row| row.1 > 0.0), "{ran}");
        }
        // 1,600 at each pipelining and each node: all of them are counted, on one key out of a thousand as on one.
        assert_eq!(redis.ask(["SET", "counter:all", "0"]), Reply::ok());
        tools.benchmark(cluster.redis(n), ["-n", "1000", "-c", "20", "-q", "INCR", "counter:all"]).ok();
        assert_eq!(redis.ask(["GET", "counter:all"]), Reply::bulk("1000"), "n{n} lost or repeated increments");
    }
    cluster.settled();
}

/// `"SET","33444.82",…`
fn row(line: &str) -> (&str, f64) {
    let mut columns = line.split("\",\"").map(|column| column.trim_matches('"'));
    let (name, rate) = (columns.next().unwrap_or_default(), columns.next().unwrap_or_default());
    (name, rate.parse().unwrap_or(0.0))
}
