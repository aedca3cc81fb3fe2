//! Random histories against a model, with crashes that keep, lose and tear whatever they like.

mod support;

use outboard_wal::{Fate, MemDisk, Options};
use proptest::prelude::*;
use support::{Chance, Op, Story};

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..3usize, 1..4usize, 0..120usize).prop_map(|(back, count, bytes)| Op::Append { back, count, bytes }),
        2 => (0..12usize, 1..14usize, 0..300usize).prop_map(|(back, count, bytes)| Op::Append { back, count, bytes }),
        1 => (0..2usize, 1..3usize, 800..3000usize).prop_map(|(back, count, bytes)| Op::Append { back, count, bytes }),
        1 => Just(Op::Vote),
        1 => Just(Op::VoteLate),
        4 => Just(Op::Sync),
        1 => (0..17usize).prop_map(|share| Op::Compact { share }),
        1 => (-5..20i64).prop_map(|ahead| Op::Reset { ahead }),
        1 => Just(Op::Restart),
        1 => Just(Op::Close),
    ]
}

/// A part of a history, after which the machine stops with this chance for each unsynced step; the stop comes after
/// so many more steps of the disk.
fn part() -> impl Strategy<Value = (Vec<Op>, u64, u64)> {
    (prop::collection::vec(op(), 1..25), any::<u64>(), 0..60u64)
}

fn fate(chance: &mut Chance, bytes: usize) -> Fate {
    match chance.below(4) {
        0 => Fate::Lost,
        1 | 2 => Fate::Kept,
        _ => Fate::Torn(chance.below(bytes as u64 + 1) as usize),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_any_crash_the_log_is_one_that_was_written_and_holds_what_was_synced(
        parts in prop::collection::vec(part(), 1..6),
        segment_bytes in 1024..5000u64,
    ) {
        let mut story = Story::new(MemDisk::new(), Options { segment_bytes, sync: true });
        for (ops, seed, steps) in parts {
            story.start().expect("a crash is no damage");
            story.disk.stop_at(story.disk.steps() + steps, usize::MAX);
            // Most parts end in the middle of an act, some after all of them.
            let _ = story.play(&ops);
            story.wal = None;
            let mut chance = Chance(seed | 1);
            story.disk.crash_with(|_, bytes| fate(&mut chance, bytes));
        }
        story.start().expect("a crash is no damage");
    }

    #[test]
    fn without_a_crash_the_log_is_the_model(
        ops in prop::collection::vec(op(), 1..80),
        segment_bytes in 1024..5000u64,
        sync in any::<bool>(),
    ) {
        let mut story = Story::new(MemDisk::new(), Options { segment_bytes, sync });
        story.play(&ops).expect("nothing fails");
        let now = story.now().clone();
        prop_assert_eq!(support::State::of(story.wal()), now);
    }
}
