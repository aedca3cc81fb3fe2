//! Lines that engines write to the node's log.

mod common;

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use common::hand::Hand;
use common::{admitted, at, limits, reply, sandbox, transaction, words};
use outboard_sandbox::{Applier, LOG_LINE_BYTES_MAX, Outcome};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

const LOG: &str = r#"(import "outboard:engine/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#;
const OK: &str = "(call $ok (i32.const 64) (i32.const 5))";

/// Collects what engines say.
#[derive(Clone, Default)]
struct Ear {
    heard: Arc<Mutex<Vec<(Level, String, String)>>>,
}

impl Subscriber for Ear {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        if event.metadata().target() == "outboard::engine" {
            let mut line = Line::default();
            event.record(&mut line);
            self.heard.lock().expect("a test's own footing").push((
                *event.metadata().level(),
                line.engine,
                line.message,
            ));
        }
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Line {
    engine: String,
    message: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "engine" {
            self.engine = value.into();
        }
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}

/// What is heard while one command runs twice.
fn heard(apply: &str) -> (Outcome, Vec<(Level, String, String)>) {
    let ear = Ear::default();
    let outcome = tracing::subscriber::with_default(ear.clone(), || {
        let sandbox = sandbox();
        let memory = "(memory (export \"memory\") 4)".into();
        let hand = Hand { apply: apply.into(), imports: LOG.into(), memory, ..Hand::default() };
        let mut applier = Applier::new(&sandbox, admitted(&sandbox, &hand.build()), 1);
        applier.apply(&mut transaction(), at(1), &words("DO")).expect("a test's own footing");
        ear.heard.lock().expect("a test's own footing").clear();
        applier.apply(&mut transaction(), at(2), &words("DO")).expect("a test's own footing")
    });
    let heard = std::mem::take(&mut *ear.heard.lock().expect("a test's own footing"));
    (outcome, heard)
}

#[test]
fn a_line_arrives_with_its_level_and_the_engine_s_name() {
    for (number, level) in [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR].into_iter().enumerate()
    {
        let (outcome, lines) = heard(&format!("(call $log (i32.const {number}) (i32.const 64) (i32.const 3)) {OK}"));
        assert_eq!(outcome, reply("+OK\r\n"));
        assert_eq!(lines, [(level, "by-hand".to_owned(), "+OK".to_owned())]);
    }
}

#[test]
fn a_long_line_is_cut_between_two_characters() {
    // Three-byte characters from address 70,000 on, over the limit.
    let fill = "(loop (i32.store (i32.add (i32.const 70000) (local.get $n)) (i32.const 0x00ac82e2))
        (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 3))) (i32.const 9000))))";
    let (_, lines) = heard(&format!("{fill} (call $log (i32.const 2) (i32.const 70000) (i32.const 9000)) {OK}"));
    assert_eq!(LOG_LINE_BYTES_MAX / 3 * 3, 4095);
    assert_eq!(lines, [(Level::INFO, "by-hand".to_owned(), "\u{20ac}".repeat(LOG_LINE_BYTES_MAX / 3))]);
}

#[test]
fn lines_over_the_limit_are_dropped_and_the_next_command_may_write_again() {
    let apply = format!(
        "(loop (call $log (i32.const 2) (i32.const 64) (i32.const 3))
            (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000)))) {OK}"
    );
    let (outcome, lines) = heard(&apply);
    assert_eq!(outcome, reply("+OK\r\n"));
    assert_eq!(lines.len(), limits().log_lines_max as usize);
}

#[test]
fn a_line_that_is_no_text_or_lies_outside_of_memory_ends_the_guest() {
    for line in [
        "(i32.store8 (i32.const 300) (i32.const 0xff)) (call $log (i32.const 2) (i32.const 300) (i32.const 1))",
        "(call $log (i32.const 2) (i32.const -1) (i32.const 10))",
        "(call $log (i32.const 5) (i32.const 64) (i32.const 1))",
    ] {
        assert!(matches!(heard(&format!("{line} {OK}")).0, Outcome::Failed(_)), "{line}");
    }
}
