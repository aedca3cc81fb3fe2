//! What of chaos can be tried without a sandbox: the rest would take the test along.

use chaos::ENGINE;
use outboard_sdk::testing::{Bench, script};

#[test]
fn its_ordinary_commands_keep_schema_1() {
    let bench = script(
        &ENGINE,
        r#"
        SET a 1                  => OK
        SET a 2                  => OK
        GET a                    => "2"
        REJECT a "ERR as asked"  => (error) ERR as asked
        REJECT b "two\r\nlines"  => (error) two  lines
        REJECTQ "NO"             => (error) NO
        GET a                    => "2"
        GET b                    => (nil)
        WRITEMANY 3 10           => (integer) 3
        GARBAGEQ other           => (error) ERR kinds of garbage: text, empty, cut, two, deep, lie
        "#,
    );
    assert_eq!((bench.tables().len(0), bench.tables().len(3), bench.tables().len(1_000_000)), (1, 1, 3));
}

#[test]
fn garbage_is_garbage() {
    for kind in ["text", "empty", "cut", "two"] {
        let reply = Bench::new(&ENGINE).call(&["GARBAGE", "k", kind]).expect("garbage is not a rejection");
        let shown = std::panic::catch_unwind(|| outboard_sdk::testing::show(&reply));
        assert!(shown.is_err(), "{kind} was taken for a reply");
    }
}

#[test]
#[should_panic(expected = "chaos was asked to trap")]
fn a_trap_is_a_panic() {
    Bench::new(&ENGINE).run("TRAP k");
}

#[test]
#[should_panic(expected = "the host traps: a value of")]
fn a_value_beyond_the_limit_traps() {
    Bench::new(&ENGINE).run("BIGVALUE k 1048833");
}
