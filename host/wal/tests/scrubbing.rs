//! Segments that are written no more, read again: every lost bit is found, and nothing else is.

mod support;

use outboard_raft::Index;
use outboard_wal::{MemDisk, Scrubber, Step, Suspect, Wal, WalError};
use support::{CLUSTER, Op, SMALL, Story, recover, segments};

fn running_log() -> Story {
    let mut story = Story::new(MemDisk::new(), SMALL);
    let append = |back, count| Op::Append { back, count, bytes: 90 };
    story.play(&[Op::Vote, append(0, 12), Op::Restart, append(4, 9), Op::Sync]).expect("nothing fails");
    assert!(segments(&story.disk).len() >= 4);
    story
}

/// One round over all segments.
fn round(scrubber: &mut Scrubber) -> Vec<Suspect> {
    let mut found = Vec::new();
    loop {
        match scrubber.step().expect("the disk can be read") {
            Step::Read(_) => {}
            Step::Suspect(suspect) => found.push(suspect),
            Step::Round => return found,
        }
    }
}

fn confirmed(wal: &mut Wal, found: &[Suspect]) -> Vec<(WalError, Index)> {
    found.iter().filter_map(|suspect| wal.check_segment(suspect.segment).expect("the disk can be read")).collect()
}

#[test]
fn a_sound_log_is_never_suspected_while_it_is_written_and_compacted() {
    let mut story = running_log();
    let mut scrubber = Scrubber::new(Box::new(story.disk.clone()), CLUSTER);
    for _ in 0..20 {
        for _ in 0..7 {
            if let Step::Suspect(suspect) = scrubber.step().expect("the disk can be read") {
                // Freed while it was read: the log itself knows better.
                assert!(confirmed(story.wal(), &[suspect]).is_empty());
            }
        }
        story.play(&[Op::Append { back: 0, count: 9, bytes: 100 }, Op::Sync, Op::Compact { share: 8 }]).expect("room");
    }
    assert!(confirmed(story.wal(), &round(&mut scrubber)).is_empty());
    assert_eq!(round(&mut scrubber), []);
}

#[test]
fn every_flipped_bit_of_a_closed_segment_is_found_and_the_log_goes_on_without_it() {
    let story = running_log();
    let names = segments(&story.disk);
    let (last, closed) = names.split_last().expect("several");
    for (number, name) in (1..).zip(closed) {
        let written = story.disk.bytes_of(name).expect("it is there");
        let end = written.iter().rposition(|byte| *byte != 0).expect("written");
        for offset in (0..=end as u64).filter(|offset| written[*offset as usize] != 0) {
            let mut story = running_log();
            story.disk.flip_bit(name, offset, 0);
            let found = round(&mut Scrubber::new(Box::new(story.disk.clone()), CLUSTER));
            assert_eq!(found, [Suspect { segment: number }], "{name} byte {offset}");
            let confirmed = confirmed(story.wal(), &found);
            let [(WalError::Corrupt { file, offset: at, .. }, upto)] = confirmed.as_slice() else {
                panic!("{name} byte {offset}: {confirmed:?}");
            };
            assert!(file.ends_with(name) && *at <= offset);
            // Compacted away, it harms nobody.
            story.wal().compact(*upto).expect("compacted");
            assert!(!segments(&story.disk).contains(name));
            let last = story.wal().last();
            story.wal = None;
            let (_, recovered) = recover(&story.disk).expect("a sound log");
            assert_eq!((recovered.base.index, recovered.last), (*upto, last));
        }
    }
    // The one that is being written is not looked at.
    story.disk.flip_bit(last, 70, 0);
    assert_eq!(round(&mut Scrubber::new(Box::new(story.disk.clone()), CLUSTER)), []);
}
