//! The first thing that a newcomer types.

use crate::OUTBOARD;
use outboard_tests::Program;

#[test]
fn the_demos_script_survives_the_leader_and_swaps_the_engine() {
    let home = tempfile::tempdir().expect("a folder");
    let program = Program::new(OUTBOARD, home.path());
    let script = "put hello world; get hello; :kill leader; get hello; :upgrade kv; incr visits; :status";
    let ran = program.run(["demo", "--engine", "kv-basic", "--exec", script]).ok();
    assert_eq!(ran.text().lines().filter(|line| line.starts_with("world")).count(), 2, "{ran}");
    assert!(ran.text().contains("kv-basic 0.1.0 -> kv 0.1.0 at index "), "{ran}");
    assert!(ran.text().contains("state equal"), "{ran}");
}

#[test]
fn a_step_that_fails_ends_the_demos_script_with_its_exit_code() {
    let home = tempfile::tempdir().expect("a folder");
    let program = Program::new(OUTBOARD, home.path());
    let ran = program.run(["demo", "--nodes", "1", "--exec", "put a 1; :kil n1; put a 2"]).exits(2).says([":kill"]);
    assert!(!ran.stderr.contains("panicked"), "{ran}");
}

#[test]
fn a_kept_demo_goes_on_where_it_ended() {
    let home = tempfile::tempdir().expect("a folder");
    let program = Program::new(OUTBOARD, home.path());
    let keep = home.path().join("kept");
    let keep = keep.to_str().expect("text");
    // With the usual port taken, by this test or by another demo, it gets one that no other demo asks for while it is down.
    let _taken = std::net::UdpSocket::bind("127.0.0.1:4410");
    program.run(["demo", "--nodes", "1", "--keep", keep, "--exec", "put a 1"]).ok();
    let again = program.run(["demo", "--nodes", "1", "--keep", keep, "--exec", "get a"]).ok();
    assert!(again.text().lines().any(|line| line.starts_with('1')), "{again}");
}

#[test]
fn demos_that_start_at_the_same_time_find_ports_for_each() {
    let home = tempfile::tempdir().expect("a folder");
    let program = Program::new(OUTBOARD, home.path());
    let demo = || program.run(["demo", "--nodes", "2", "--engine", "kv-basic", "--exec", "put a 1; get a"]);
    let ran: Vec<_> = std::thread::scope(|scope| {
        let demos: Vec<_> = (0..4).map(|_| scope.spawn(demo)).collect();
        demos.into_iter().map(|demo| demo.join().expect("running a program doesn't panic")).collect()
    });
    for ran in ran {
        assert!(ran.clone().ok().text().lines().any(|line| line.starts_with('1')), "{ran}");
    }
}
