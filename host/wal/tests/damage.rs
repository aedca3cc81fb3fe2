//! Damage told apart from a crash: flipped bits, lost files, wrong folders; and that a damaged log is left as it is.

mod support;

use outboard_raft::{HardState, Index, Term};
use outboard_wal::{Disk, ENTRY_BYTES_MAX, Fate, MemDisk, Options, Unrecovered, WalError};
use support::{CLUSTER, Op, SMALL, State, Story, at, check, command, recover, segments};

fn append(back: usize, count: usize, bytes: usize) -> Op {
    Op::Append { back, count, bytes }
}

/// Several segments, an overwrite, votes, a compaction.
fn several_segments() -> Vec<Op> {
    vec![
        Op::Vote,
        append(0, 8, 100),
        Op::Sync,
        append(3, 4, 60),
        Op::Sync,
        Op::Compact { share: 6 },
        append(0, 5, 90),
        Op::VoteLate,
        Op::Sync,
    ]
}

/// A disk with a log that a process has left without a word, everything synced; and the states at the last two syncs.
fn left_behind(last_ops: &[Op]) -> (MemDisk, Vec<State>) {
    let mut story = Story::new(MemDisk::new(), SMALL);
    story.play(&several_segments()).expect("nothing fails");
    let mut states = vec![story.now().clone()];
    story.play(last_ops).expect("nothing fails");
    states.push(story.now().clone());
    story.wal = None;
    story.disk.crash();
    (story.disk, states)
}

/// What recovery says after each flip of a bit: only `Corrupt` with nothing modified, or one of the states.
fn flip_every_bit(disk: &MemDisk, states: &[State]) -> (usize, usize) {
    let (mut refused, mut harmless) = (0, 0);
    for name in segments(disk) {
        for offset in 0..SMALL.segment_bytes {
            for bit in 0..8 {
                let damaged = disk.fork();
                damaged.flip_bit(&name, offset, bit);
                let steps = damaged.steps();
                match recover(&damaged) {
                    Ok((mut wal, _)) => {
                        assert!(states.contains(&State::of(&mut wal)), "{name} byte {offset} bit {bit}");
                        harmless += 1;
                    }
                    Err(WalError::Corrupt { file, offset: found, .. }) => {
                        assert_eq!(damaged.steps(), steps, "a damaged log is left as it is");
                        assert!(file.ends_with(&name) && found <= offset, "{name} byte {offset}: {file} at {found}");
                        refused += 1;
                    }
                    Err(error) => panic!("{name} byte {offset} bit {bit}: {error}"),
                }
            }
        }
    }
    (refused, harmless)
}

#[test]
fn no_flipped_bit_of_a_closed_log_changes_what_it_holds() {
    let mut story = Story::new(MemDisk::new(), SMALL);
    story.play(&several_segments()).unwrap();
    let state = story.now().clone();
    story.wal.take().unwrap().close().unwrap();
    assert!(segments(&story.disk).len() >= 3);
    let (refused, harmless) = flip_every_bit(&story.disk, &[state]);
    // Every bit of every batch but the last, which says nothing new, and of every header.
    assert!(refused > 8 * 1000, "{refused} refused, {harmless} harmless");
}

/// REGRESSIONS D1: after a failed sync the system takes the pages for written. The process that starts next reads them, and what it
/// promises of them must survive.
#[test]
fn d1_what_a_failed_sync_left_in_memory_is_on_disk_once_a_recovery_has_told_it() {
    for last in [append(0, 1, 100), append(0, 9, 120)] {
        let mut story = Story::new(MemDisk::new(), SMALL);
        story.play(&several_segments()).expect("nothing fails");
        story.play(&[last]).expect("nothing fails");
        let wal = story.wal.as_mut().expect("it is open");
        story.disk.fail_next_sync();
        assert!(matches!(wal.sync(), Err(WalError::Io { .. })));
        story.wal = None;
        let told = State::of(&mut recover(&story.disk).expect("the bytes are there").0);
        story.disk.crash();
        assert_eq!(State::of(&mut recover(&story.disk).expect("sound").0), told);
    }
}

#[test]
fn d2_no_flipped_bit_before_the_last_mark_takes_an_entry_away() {
    // The last batch was durable, but nothing behind it says so: it alone may be taken for torn.
    let (disk, states) = left_behind(&[append(0, 1, 10), Op::Sync]);
    flip_every_bit(&disk, &states);
}

#[test]
fn d3_a_segment_that_is_gone_is_missed() {
    let (disk, _) = left_behind(&[append(0, 4, 100), Op::Sync]);
    let names = segments(&disk);
    assert!(names.len() >= 4);
    for name in names {
        let damaged = disk.fork();
        damaged.lose_file(&name);
        let steps = damaged.steps();
        match recover(&damaged) {
            Err(WalError::Corrupt { file, .. }) => assert!(file.ends_with(&name), "{name} is gone, {file} is named"),
            other => panic!("{name} is gone: {other:?}"),
        }
        assert_eq!(damaged.steps(), steps, "a damaged log is left as it is");
    }
}

/// Found by a fuzzer: a spare was used again under its own old number, so that its old batches had the right salt.
#[test]
fn d3_a_log_that_begins_anew_where_all_segments_are_gone_takes_nothing_from_the_spares_of_the_old_one() {
    let (disk, _) = left_behind(&[append(0, 30, 100), Op::Sync, Op::Compact { share: 16 }]);
    let is_spare = |name: &String| name.ends_with(".spare");
    assert!(disk.list().unwrap().iter().any(is_spare), "the first segment is among them");
    segments(&disk).iter().for_each(|name| assert!(disk.lose_file(name)));
    for count in 1..20 {
        let begun = disk.fork();
        let (mut wal, recovered) = recover(&begun).unwrap();
        check(&State::empty(), &recovered);
        for index in 1..=count {
            wal.append(Some(&HardState { term: Term(1), vote: None }), &[command(index, 1, 60)]).unwrap();
            wal.sync().unwrap();
        }
        let state = State::of(&mut wal);
        drop(wal);
        let (mut wal, _) = recover(&begun).unwrap();
        assert_eq!(State::of(&mut wal), state);
    }
}

/// Found by the simulator, seed 28309: such a spare waited for its own number to pass, and was counted twice when that was freed.
#[test]
fn a_segment_that_was_made_and_never_begun_is_one_spare_whenever_its_number_comes_again() {
    let busy = [append(0, 12, 100), Op::Sync, Op::Compact { share: 16 }];
    let steps = {
        let mut story = Story::new(MemDisk::new(), SMALL);
        story.play(&several_segments()).expect("nothing fails");
        let before = story.disk.steps();
        story.play(&busy).expect("nothing fails");
        before..story.disk.steps()
    };
    let mut with_spare = 0;
    for step in steps {
        let mut story = Story::new(MemDisk::new(), SMALL);
        story.play(&several_segments()).expect("nothing fails");
        story.disk.stop_at(step, 0);
        story.play(&busy).unwrap_err();
        story.wal = None;
        story.disk.crash_with(|_, _| Fate::Kept);
        let disk = story.disk;
        let (mut wal, _) = recover(&disk).unwrap();
        with_spare += usize::from(disk.list().unwrap().iter().any(|name| name.ends_with(".spare")));
        for round in 0..120 {
            let (next, term) = (wal.last().index.next(), wal.hard_state().term.max(Term(1)));
            let hard_state = HardState { term, ..wal.hard_state() };
            wal.append(Some(&hard_state), &[command(next.0, term.0, 100)]).unwrap();
            wal.sync().unwrap();
            // First the spares come and go one by one, then all of them are needed.
            if round < 60 {
                wal.compact(next).unwrap();
            }
        }
    }
    assert!(with_spare > 0, "some crash leaves one");
}

#[test]
fn freed_segments_that_come_back_in_any_order_do_no_harm() {
    let mut story = Story::new(MemDisk::new(), SMALL);
    story.play(&[Op::Vote, append(0, 30, 100), Op::Sync]).unwrap();
    let before = story.disk.fork();
    story.play(&[Op::Compact { share: 16 }]).unwrap();
    let kept = segments(&story.disk);
    for come_back in 0..1u32 << 5 {
        let disk = before.fork();
        let last = kept.last().unwrap();
        let file = disk.open(last).unwrap();
        file.write_at(0, &story.disk.bytes_of(last).unwrap()).unwrap();
        for (number, name) in segments(&disk).iter().enumerate().filter(|(_, name)| !kept.contains(name)) {
            if come_back & (1 << number) == 0 {
                disk.lose_file(name);
            }
        }
        let (mut wal, _) = recover(&disk).unwrap();
        assert_eq!(State::of(&mut wal), *story.now());
        assert_eq!(segments(&disk).len(), kept.len(), "what isn't needed is freed");
    }
}

#[test]
fn a_log_of_another_cluster_is_refused_and_left_as_it_is() {
    let (disk, _) = left_behind(&[]);
    let steps = disk.steps();
    let error = Unrecovered::open(Box::new(disk.clone()), 77, SMALL).unwrap().recover().unwrap_err();
    assert!(matches!(error, WalError::OtherCluster { found: CLUSTER, expected: 77, .. }), "{error}");
    assert_eq!(disk.steps(), steps);
}

#[test]
fn a_file_cut_short_is_damage() {
    for bytes in [0, 10, 64, 1000] {
        let (disk, _) = left_behind(&[]);
        let name = segments(&disk).pop().unwrap();
        let content = disk.bytes_of(&name).unwrap();
        let file = disk.create(&name, bytes).unwrap();
        file.write_at(0, &content[..bytes as usize]).unwrap();
        assert!(matches!(recover(&disk).unwrap_err(), WalError::Corrupt { .. }));
    }
}

#[test]
fn segments_exchanged_are_damage() {
    let (disk, _) = left_behind(&[]);
    let names = segments(&disk);
    disk.rename(&names[0], "other").unwrap();
    disk.rename(&names[1], &names[0]).unwrap();
    disk.rename("other", &names[1]).unwrap();
    assert!(matches!(recover(&disk).unwrap_err(), WalError::Corrupt { .. }));
}

#[test]
fn files_that_are_none_of_the_logs_do_no_harm_and_stay() {
    let (disk, states) = left_behind(&[]);
    for name in ["notes.txt", "1.wal", "zzzzzzzz.wal", "0000000A.wal"] {
        disk.create(name, 10).unwrap();
    }
    let (mut wal, _) = recover(&disk).unwrap();
    assert_eq!(State::of(&mut wal), states[1]);
    assert_eq!(disk.list().unwrap().iter().filter(|name| disk.open(name).unwrap().size().unwrap() == 10).count(), 4);
}

#[test]
fn after_a_failed_sync_every_call_is_refused_and_what_it_lost_is_gone() {
    let mut story = Story::new(MemDisk::new(), SMALL);
    story.play(&[Op::Vote, append(0, 3, 50), Op::Sync]).unwrap();
    let synced = story.now().clone();
    story.play(&[append(0, 1, 50)]).unwrap();
    story.disk.fail_next_sync();
    let wal = story.wal();
    assert!(matches!(wal.sync(), Err(WalError::Io { doing: "sync", .. })));
    assert!(matches!(wal.sync(), Err(WalError::Halted)));
    assert!(matches!(wal.append(None, &[]), Err(WalError::Halted)));
    assert!(matches!(wal.read(Index(1), Index(1), 1), Err(WalError::Halted)));
    assert!(matches!(wal.compact(Index(1)), Err(WalError::Halted)));
    assert!(matches!(wal.reset(at(9, 9)), Err(WalError::Halted)));
    let syncs = story.disk.syncs();
    assert!(matches!(story.wal.take().unwrap().close(), Err(WalError::Halted)));
    assert_eq!(story.disk.syncs(), syncs, "nothing is retried");
    story.disk.crash();
    let (mut wal, _) = recover(&story.disk).unwrap();
    assert_eq!(State::of(&mut wal), synced);
}

#[test]
fn a_full_disk_is_told_and_loses_nothing_that_was_synced() {
    let mut story = Story::new(MemDisk::new(), SMALL);
    story.disk.limit_bytes(Some(2 * SMALL.segment_bytes));
    story.play(&[Op::Vote, append(0, 5, 100), Op::Sync]).unwrap();
    let error = story.play(&vec![append(0, 1, 100); 20]).unwrap_err();
    assert!(matches!(error, WalError::Full { doing: "create", .. }), "{error}");
    assert!(matches!(story.wal().sync(), Err(WalError::Halted)));
    story.wal = None;
    story.disk.crash();
    story.start().unwrap();
}

#[test]
fn d5_a_disk_that_cannot_read_is_told_apart_from_a_damaged_log() {
    let (disk, states) = left_behind(&[]);
    disk.fail_reads(true);
    assert!(matches!(recover(&disk).unwrap_err(), WalError::Io { doing: "read", .. }));
    disk.fail_reads(false);
    let (mut wal, _) = recover(&disk).unwrap();
    assert_eq!(State::of(&mut wal), states[1]);
    disk.fail_reads(true);
    assert!(matches!(wal.read(wal.last().index, wal.last().index, 1), Err(WalError::Io { .. })));
    assert!(matches!(wal.sync(), Err(WalError::Halted)), "a node that can't read its log stops");
}

#[test]
fn an_entry_damaged_while_the_log_is_open_is_never_served() {
    let mut story = Story::new(MemDisk::new(), SMALL);
    story.play(&[Op::Vote, append(0, 1, 100), Op::Sync]).unwrap();
    let name = segments(&story.disk).pop().unwrap();
    // Somewhere in the command's text.
    let content = story.disk.bytes_of(&name).unwrap();
    let text = content.windows(7).position(|bytes| bytes == b"command").unwrap();
    story.disk.flip_bit(&name, text as u64, 3);
    assert!(matches!(story.wal().read(Index(1), Index(1), 1000), Err(WalError::Corrupt { .. })));
}

#[test]
fn two_logs_never_share_a_folder() {
    let disk = MemDisk::new();
    let (wal, _) = recover(&disk).unwrap();
    assert!(matches!(recover(&disk).unwrap_err(), WalError::Locked { .. }));
    drop(wal);
    recover(&disk).unwrap();
}

#[test]
fn an_entry_outside_the_log_is_refused_without_halting_it() {
    let mut story = Story::new(MemDisk::new(), SMALL);
    story.play(&[Op::Vote, append(0, 3, 50), Op::Reset { ahead: 7 }, append(0, 2, 50)]).unwrap();
    let wal = story.wal();
    for (from, to) in [(0, 11), (10, 11), (13, 13), (12, 11)] {
        assert!(matches!(wal.read(Index(from), Index(to), 1000), Err(WalError::NotInLog { .. })), "{from} to {to}");
    }
    assert_eq!(wal.read(Index(11), Index(99), 1000).unwrap().len(), 2);
    assert_eq!(wal.read(Index(11), Index(12), 0).unwrap().len(), 1, "at least one");
}

#[test]
fn the_largest_entry_gets_a_segment_of_its_own_and_comes_back() {
    let disk = MemDisk::new();
    let options = Options { segment_bytes: 1 << 20, sync: true };
    let (mut wal, _) = Unrecovered::open(Box::new(disk.clone()), CLUSTER, options.clone()).unwrap().recover().unwrap();
    let entries = [command(1, 1, 10), command(2, 1, ENTRY_BYTES_MAX), command(3, 1, 10)];
    wal.append(Some(&HardState { term: Term(1), vote: None }), &entries).unwrap();
    wal.sync().unwrap();
    drop(wal);
    disk.crash();
    let (mut wal, recovered) = Unrecovered::open(Box::new(disk), CLUSTER, options).unwrap().recover().unwrap();
    assert_eq!(recovered.last, at(3, 1));
    for index in 1..=3 {
        assert!(wal.read(Index(index), Index(index), 1).unwrap()[0] == entries[index as usize - 1]);
    }
    wal.compact(Index(3)).unwrap();
    assert!(wal.bytes_on_disk() <= 3 << 20, "a segment larger than the others is not kept");
}

#[test]
#[should_panic(expected = "committed")]
fn what_was_compacted_is_never_overwritten() {
    let mut story = Story::new(MemDisk::new(), SMALL);
    story.play(&[Op::Vote, Op::Reset { ahead: 7 }]).unwrap();
    let _ = story.wal().append(None, &[command(7, 1, 1)]);
}

#[test]
#[should_panic(expected = "without a gap")]
fn a_gap_is_never_written() {
    let mut story = Story::new(MemDisk::new(), SMALL);
    story.play(&[Op::Vote, append(0, 2, 10)]).unwrap();
    let _ = story.wal().append(None, &[command(4, 1, 1)]);
}

#[test]
#[should_panic(expected = "vote is never changed")]
fn a_vote_is_never_changed() {
    let mut story = Story::new(MemDisk::new(), SMALL);
    story.play(&[Op::Vote]).unwrap();
    let _ = story.wal().append(Some(&HardState { term: Term(1), vote: None }), &[]);
}
