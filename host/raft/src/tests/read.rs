//! The queue of waiting reads is bounded, and no read is forgotten.

use crate::read::{Asker, READS_WAITING_MAX, Reads};
use crate::ready::ReadId;
use crate::types::{Index, NodeId};

#[test]
fn reads_beyond_the_limit_are_refused_and_the_others_answered() {
    let mut reads = Reads::default();
    for id in 0..READS_WAITING_MAX as u64 {
        assert!(reads.add(Asker::Own(ReadId(id))));
    }
    assert!(!reads.add(Asker::Own(ReadId(7))));
    reads.begin(1, Index(3));
    assert!(reads.add(Asker::Own(ReadId(8))), "the next round has room again");
    assert!(!reads.wants_round(), "one round at a time");
    assert_eq!(reads.confirm(0), None, "an older round's answers are no confirmation");
    let barrier = reads.confirm(1).and_then(|confirmed| confirmed.barrier).unwrap();
    assert_eq!((barrier.ids.len(), barrier.index), (READS_WAITING_MAX, Index(3)));
    assert_eq!(reads.into_lost().collect::<Vec<_>>(), [ReadId(8)]);
}

#[test]
fn a_followers_question_is_answered_once_per_round_and_lost_without_a_word() {
    let mut reads = Reads::default();
    let question = Asker::Peer { id: NodeId(2), ticket: 9 };
    assert!(reads.add(question) && reads.add(question), "a repeated question is no error");
    reads.begin(1, Index(5));
    let confirmed = reads.confirm(1).unwrap();
    assert_eq!((confirmed.barrier, confirmed.answers, confirmed.index), (None, vec![(NodeId(2), 9)], Index(5)));
    reads.add(question);
    assert_eq!(reads.into_lost().count(), 0, "the follower notices by itself");
}
