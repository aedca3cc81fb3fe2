//! The queue of waiting reads is bounded, and no read is forgotten.

use crate::read::{READS_WAITING_MAX, Reads};
use crate::ready::ReadId;
use crate::types::Index;

#[test]
fn reads_beyond_the_limit_are_refused_and_the_others_answered() {
    let mut reads = Reads::default();
    for id in 0..READS_WAITING_MAX as u64 {
        assert!(reads.add(ReadId(id)));
    }
    assert!(!reads.add(ReadId(7)));
    reads.begin(1, Index(3));
    assert!(reads.add(ReadId(8)), "the next round has room again");
    assert!(!reads.wants_round(), "one round at a time");
    assert_eq!(reads.confirm(0), None, "an older round's answers are no confirmation");
    let barrier = reads.confirm(1).unwrap();
    assert_eq!((barrier.ids.len(), barrier.index), (READS_WAITING_MAX, Index(3)));
    assert_eq!(reads.into_lost().collect::<Vec<_>>(), [ReadId(8)]);
}
