//! The window of Appends on the way against a naive list; the measure of uncommitted entries comes back to zero.

use crate::inflight::Inflight;
use crate::types::Index;
use crate::uncommitted::Uncommitted;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Add { entries: u64, bytes: usize },
    FreeTo(u64),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (1u64..5, 0usize..100).prop_map(|(entries, bytes)| Step::Add { entries, bytes }),
        3 => (0u64..100).prop_map(Step::FreeTo),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn the_window_counts_what_waits(messages_max in 0usize..6, bytes_max in 0usize..200, steps in steps()) {
        let mut inflight = Inflight::new(messages_max, bytes_max);
        let mut naive: Vec<(u64, usize)> = Vec::new();
        let mut last = 0;
        for step in steps {
            match step {
                Step::Add { entries, bytes } => {
                    let naive_bytes: usize = naive.iter().map(|(_, bytes)| bytes).sum();
                    let full = naive.len() >= messages_max.max(1) || naive_bytes >= bytes_max.max(1);
                    prop_assert_eq!(inflight.is_full(), full);
                    if !full {
                        last += entries;
                        inflight.add(Index(last), bytes);
                        naive.push((last, bytes));
                    }
                }
                Step::FreeTo(matched) => {
                    inflight.free_to(Index(matched));
                    naive.retain(|(last, _)| *last > matched);
                }
                Step::Clear => {
                    inflight.clear();
                    naive.clear();
                }
            }
            prop_assert_eq!(inflight.messages(), naive.len());
            prop_assert_eq!(inflight.bytes(), naive.iter().map(|(_, bytes)| bytes).sum::<usize>());
            prop_assert_eq!(inflight.is_empty(), naive.is_empty());
        }
        inflight.free_to(Index(last));
        prop_assert_eq!(inflight.bytes(), 0);
    }

    #[test]
    fn the_uncommitted_measure_comes_back_to_zero(sizes in prop::collection::vec(0usize..1000, 0..40), steps in 1u64..9) {
        let mut uncommitted = Uncommitted::default();
        for (index, bytes) in sizes.iter().enumerate() {
            uncommitted.add(Index(index as u64 + 1), *bytes);
        }
        for commit in (0..=sizes.len() as u64).step_by(steps as usize) {
            uncommitted.on_commit(Index(commit));
            prop_assert_eq!(uncommitted.bytes(), sizes[commit as usize..].iter().sum::<usize>());
        }
        uncommitted.on_commit(Index(sizes.len() as u64));
        prop_assert_eq!(uncommitted.bytes(), 0);
        prop_assert!(uncommitted.has_room(usize::MAX, 1), "one entry always has room");
    }
}
