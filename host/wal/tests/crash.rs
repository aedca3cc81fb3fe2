//! A crash at every step of a history, and within a write after every byte.

mod support;

use outboard_wal::{Fate, MemDisk, Options, WalError};
use support::{Op, SMALL, State, Story, recover};

/// Every kind of step, several segments, freed and used again, overwritten, reset.
fn history() -> Vec<Op> {
    let append = |back, count, bytes| Op::Append { back, count, bytes };
    vec![
        Op::Vote,
        append(0, 2, 40),
        Op::Sync,
        append(0, 1, 0),
        append(1, 3, 60),
        Op::Sync,
        append(0, 9, 100),
        append(5, 2, 30),
        Op::Sync,
        append(0, 1, 1500),
        Op::VoteLate,
        Op::Sync,
        Op::Compact { share: 15 },
        append(0, 6, 90),
        Op::Restart,
        append(2, 8, 80),
        Op::Sync,
        Op::Compact { share: 16 },
        append(0, 2, 50),
        Op::Reset { ahead: 10 },
        append(0, 3, 70),
        Op::Sync,
        append(0, 10, 110),
        Op::Reset { ahead: -4 },
        append(0, 1, 20),
        Op::Close,
        append(1, 1, 20),
    ]
}

/// Plays the history until the machine stops at this step; nothing if the history ends before.
fn stopped_at(step: u64) -> Option<Story> {
    let mut story = Story::new(MemDisk::new(), SMALL);
    story.disk.stop_at(step, usize::MAX);
    match story.play(&history()) {
        Ok(()) => None,
        Err(WalError::Io { .. }) => Some(story),
        Err(error) => panic!("the machine stopped at step {step} and the log says: {error}"),
    }
}

/// Recovers from what the crash left, twice, and goes on.
fn recovers(crashed: &MemDisk, story: &Story) {
    let mut after = Story::new(crashed.clone(), SMALL);
    after.possible = story.possible.clone();
    after.start().expect("a crash is no damage");
    let recovered = after.now().clone();

    // A second crash, that takes all that isn't durable, changes nothing: the cut was durable and agreed.
    let again = crashed.fork();
    again.crash();
    let (mut wal, told) = recover(&again).expect("a recovered log recovers");
    assert_eq!(State::of(&mut wal), recovered);
    assert_eq!(told.torn_bytes, 0, "the tail was cut by the first recovery");

    after.play(&[Op::Append { back: 1, count: 3, bytes: 90 }, Op::Sync]).expect("the log goes on");
    after.wal = None;
    crashed.crash();
    after.start().expect("what was written after a recovery is safe, too");
}

#[test]
fn a_crash_at_every_step_and_byte_keeps_what_was_synced() {
    let mut crashes = 0;
    for step in 0.. {
        let Some(mut story) = stopped_at(step) else { break };
        story.wal = None;
        for others in [Fate::Kept, Fate::Lost] {
            let mut longest = None;
            let mut last_bytes = Vec::new();
            for torn in 0.. {
                let crashed = story.disk.fork();
                crashed.crash_with(|at, bytes| {
                    if at != step {
                        return others;
                    }
                    longest = Some(bytes);
                    if torn < bytes { Fate::Torn(torn) } else { Fate::Kept }
                });
                // Bytes that were there before make no difference.
                let bytes: Vec<_> = support::segments(&crashed).iter().map(|name| crashed.bytes_of(name)).collect();
                if bytes != last_bytes {
                    recovers(&crashed, &story);
                    crashes += 1;
                }
                last_bytes = bytes;
                if longest.is_none_or(|longest| torn >= longest) {
                    break;
                }
            }
        }
    }
    assert!(crashes > 1000, "the history has that many different crashes: {crashes}");
}

#[test]
fn the_end_of_the_process_alone_loses_nothing() {
    for step in 0.. {
        let Some(mut story) = stopped_at(step) else { break };
        story.wal = None;
        let written = story.disk.fork();
        recovers(&written, &story);
    }
}

#[test]
fn what_a_recovery_has_told_survives_the_next_crash_although_nobody_had_synced_it() {
    let mut story = Story::new(MemDisk::new(), SMALL);
    story.play(&[Op::Vote, Op::Append { back: 0, count: 30, bytes: 60 }]).unwrap();
    let written = story.now().clone();
    story.wal = None;
    let (wal, recovered) = recover(&story.disk).unwrap();
    assert_eq!(recovered.last, written.last());
    drop(wal);
    story.disk.crash();
    let (mut wal, _) = recover(&story.disk).unwrap();
    assert_eq!(State::of(&mut wal), written);
}

#[test]
fn a_batch_behind_a_cut_never_comes_back_when_the_gap_is_filled() {
    let append = |bytes| Op::Append { back: 0, count: 1, bytes };
    let mut story = Story::new(MemDisk::new(), Options { segment_bytes: 4 << 20, sync: true });
    story.play(&[Op::Vote, append(10), Op::Sync]).unwrap();

    // Two batches, of which the disk loses the first, long one: it is cut, and the second one still lies there.
    let long = story.disk.steps();
    story.play(&[append(300_005), append(20)]).unwrap();
    story.wal = None;
    story.disk.crash_with(|step, _| if step == long { Fate::Lost } else { Fate::Kept });
    story.start().unwrap();
    assert_eq!(story.now().entries.len(), 1);

    // With the batch that begins a life, this one ends exactly where the lost one ended; the zeros behind it are torn off.
    let filling = story.disk.steps();
    story.play(&[append(300_005 - 96)]).unwrap();
    story.wal = None;
    story.disk.crash_with(|step, _| if step == filling { Fate::Torn(96 + 300_005 - 96 + 35) } else { Fate::Lost });
    story.start().unwrap();
    assert_eq!(story.now().entries.len(), 2);
}

#[test]
fn d2_the_cut_of_a_torn_tail_is_told() {
    let mut story = Story::new(MemDisk::new(), SMALL);
    story.play(&[Op::Vote, Op::Sync, Op::Append { back: 0, count: 1, bytes: 90 }]).unwrap();
    story.wal = None;
    story.disk.crash_with(|_, bytes| Fate::Torn(bytes.min(150)));
    let (_, recovered) = recover(&story.disk).unwrap();
    // A header, an entry's header and payload, filled up to eight bytes.
    assert_eq!(recovered.torn_bytes, 96 + 25 + 100 + 3);
}
