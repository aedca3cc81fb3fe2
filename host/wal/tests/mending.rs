//! Damaged logs that go on: what is still told of them, what is taken over, and that a crash in between loses neither the evidence nor the
//! knowledge of the loss.

mod support;

use outboard_raft::Position;
use outboard_wal::{DamagedLog, Disk, Fate, Loss, MemDisk, Options, Recovered, Unrecovered, Verdict, Wal, WalError};
use support::{CLUSTER, Chance, Op, SMALL, State, Story, at, recover, segments};

/// When losses are discovered.
const AT: u64 = 1_000;

/// Several segments, an overwrite, votes, a compaction, more than one life; closed, so that all of it is known to be durable.
fn closed_log() -> (MemDisk, State) {
    let append = |back, count, bytes| Op::Append { back, count, bytes };
    let mut story = Story::new(MemDisk::new(), SMALL);
    let ops = [
        Op::Vote,
        append(0, 8, 100),
        Op::Sync,
        append(3, 4, 60),
        Op::Sync,
        Op::Compact { share: 6 },
        append(0, 5, 90),
        Op::Restart,
        Op::VoteLate,
        append(2, 7, 70),
        Op::Vote,
        Op::Sync,
    ];
    story.play(&ops).expect("nothing fails");
    let state = story.now().clone();
    story.wal.take().expect("open").close().expect("nothing fails");
    (story.disk, state)
}

fn judge(disk: &MemDisk) -> Verdict {
    Unrecovered::open(Box::new(disk.clone()), CLUSTER, SMALL).expect("free").judge().expect("readable")
}

fn damaged(disk: &MemDisk) -> Option<DamagedLog> {
    match judge(disk) {
        Verdict::Sound(_) => None,
        Verdict::Damaged(damaged) => Some(damaged),
    }
}

/// Every byte of every segment damaged in turn, as far as that is found.
fn each_damage(disk: &MemDisk, mut look: impl FnMut(&MemDisk, DamagedLog)) {
    for name in segments(disk) {
        for offset in 0..SMALL.segment_bytes {
            let disk = disk.fork();
            assert!(disk.flip_bit(&name, offset, (offset % 8) as u8));
            if let Some(found) = damaged(&disk) {
                look(&disk, found);
            }
        }
    }
}

fn behind(state: &State, base: Position) -> State {
    let entries = state.entries.iter().filter(|entry| entry.index > base.index).cloned().collect();
    State { hard_state: state.hard_state, base, entries }
}

fn has_set_aside(disk: &MemDisk) -> bool {
    disk.list().expect("a disk in memory lists").iter().any(|name| name.ends_with(".damaged"))
}

#[test]
fn wherever_the_damage_is_the_tail_behind_it_is_told_as_it_was_or_not_at_all() {
    let (disk, state) = closed_log();
    assert!(segments(&disk).len() >= 3);
    let (mut known, mut unknown) = (0, 0);
    each_damage(&disk, |_, damaged| match damaged.tail() {
        Some(tail) => {
            assert_eq!((tail.last, tail.hard_state), (state.last(), state.hard_state));
            assert!(tail.after.index >= state.base.index);
            assert!(damaged.before().is_none_or(|before| before.index <= tail.last.index));
            known += 1;
        }
        None => unknown += 1,
    });
    assert!(known > 1_000 && unknown < known / 10, "{known} known, {unknown} unknown");
}

#[test]
fn several_damages_leave_the_tail_behind_the_last_of_them_as_it_was_or_nothing() {
    let (disk, state) = closed_log();
    let names = segments(&disk);
    let mut chance = Chance(7);
    for _ in 0..3_000 {
        let disk = disk.fork();
        for _ in 0..2 + chance.below(3) {
            let name = &names[chance.below(names.len() as u64) as usize];
            disk.flip_bit(name, chance.below(SMALL.segment_bytes), chance.below(8) as u8);
        }
        if let Some(tail) = damaged(&disk).and_then(|damaged| damaged.tail()) {
            assert_eq!((tail.last, tail.hard_state), (state.last(), state.hard_state));
        }
    }
}

/// A life that was cut leaves batches behind; with everything of the next life damaged, they must not be taken for the log's end.
#[test]
fn what_a_cut_has_left_behind_is_never_taken_for_the_tail() {
    let options = Options { segment_bytes: 4 << 10, sync: true };
    let mut story = Story::new(MemDisk::new(), options.clone());
    let append = || Op::Append { back: 0, count: 1, bytes: 10 };
    story.play(&[Op::Vote, append(), Op::Sync]).expect("nothing fails");
    for _ in 0..8 {
        story.act(&append()).expect("nothing fails");
    }
    story.wal = None;
    // Of what was not synced the first part is lost, so that the rest is behind a cut.
    let mut fates = [Fate::Lost].into_iter();
    story.disk.crash_with(|_, bytes| if bytes > 0 { fates.next().unwrap_or(Fate::Kept) } else { Fate::Kept });
    let name = segments(&story.disk).pop().expect("a segment");
    let cut = story.disk.bytes_of(&name).expect("it is there");
    let (mut wal, _) = support::recover_with(&story.disk, &options).expect("a torn tail");
    let hard_state = outboard_raft::HardState { term: outboard_raft::Term(9), vote: None };
    wal.append(Some(&hard_state), &[]).expect("room");
    wal.close().expect("synced");
    let after = story.disk.bytes_of(&name).expect("it is there");
    // Every byte of the second life's three batches, and of the end of the one before, is wrong; the zeros ahead of them never reached the
    // disk.
    let first = (0..after.len()).find(|at| cut.get(*at) != after.get(*at)).expect("it was written");
    let behind = first + 3 * 96;
    let file = story.disk.open(&name).expect("it is there");
    file.write_at(behind as u64, &cut[behind..]).expect("room");
    file.sync().expect("synced");
    for offset in first - 100..behind {
        story.disk.flip_bit(&name, offset as u64, 0);
    }
    let damaged = damaged(&story.disk).expect("something behind says that it had been durable");
    assert_eq!(damaged.tail(), None);
    assert_eq!(damaged.hard_state().term, outboard_raft::Term(1), "what the first life has left can still be read");
}

/// What stood behind the cut may have been more of the log, so nobody knows where it ended.
#[test]
fn a_file_that_was_cut_short_never_tells_the_logs_end() {
    let (disk, state) = closed_log();
    let names = segments(&disk);
    let (last, earlier) = names.split_last().expect("several segments");
    for size in 0..SMALL.segment_bytes {
        let disk = disk.fork();
        assert!(disk.cut_short(last, size));
        assert_eq!(damaged(&disk).expect("another size than it was made with").tail(), None, "cut to {size}");
    }
    for name in earlier {
        for size in (0..SMALL.segment_bytes).step_by(7) {
            let disk = disk.fork();
            assert!(disk.cut_short(name, size));
            let tail =
                damaged(&disk).expect("another size than it was made with").tail().expect("the last one is whole");
            assert_eq!((tail.last, tail.hard_state), (state.last(), state.hard_state), "{name} cut to {size}");
        }
    }
}

#[test]
fn nothing_is_lost_where_the_tables_hold_all_that_cant_be_read() {
    let (disk, state) = closed_log();
    each_damage(&disk, |disk, damaged| {
        let Some(tail) = damaged.tail() else { return };
        let base = tail.after;
        let (mut wal, recovered) = damaged.mend(base, tail.hard_state, AT, false, Some(tail.last)).expect("mended");
        assert_eq!(State::of(&mut wal), behind(&state, base));
        support::check(&behind(&state, base), &recovered);
        assert_eq!(recovered.loss, None);
        drop(wal);
        disk.crash();
        let (mut wal, recovered) = recover(disk).expect("a mended log is sound");
        assert_eq!((State::of(&mut wal), recovered.loss), (behind(&state, base), None));
        assert!(!has_set_aside(disk));
        wal.append(None, &[support::command(wal.last().index.0 + 1, wal.last().term.0, 50)]).expect("it goes on");
    });
}

/// REGRESSIONS D2: the evidence stays, and so does the knowledge that promises may be broken, until the owner says that they can't be.
#[test]
fn d2_a_loss_is_told_by_every_recovery_until_it_is_settled_and_the_damaged_files_stay_as_long() {
    let (disk, state) = closed_log();
    let mut before = None;
    each_damage(&disk, |disk, damaged| {
        let base = at(state.base.index.0, state.base.term.0);
        let remembers = damaged.tail().map(|tail| tail.last);
        let hard_state = damaged.tail().map_or(damaged.hard_state(), |tail| tail.hard_state);
        // Tables that stand nowhere in what can be read: everything has to come again.
        if damaged.tail().is_some_and(|tail| tail.after == base) {
            return;
        }
        let (wal, recovered) = damaged.mend(base, hard_state, AT, true, remembers).expect("mended");
        assert_eq!(recovered.loss, Some(Loss { incarnation: AT, remembers }));
        assert_eq!(recovered.last, base);
        drop(wal);
        for _ in 0..2 {
            disk.crash();
            let (_, recovered) = recover(disk).expect("a mended log is sound");
            assert_eq!(recovered.loss, Some(Loss { incarnation: AT, remembers }));
            assert!(has_set_aside(disk));
        }
        let (mut wal, _) = recover(disk).expect("a mended log is sound");
        wal.settle_loss().expect("settled");
        assert!(!has_set_aside(disk));
        let next = wal.note_loss(AT - 1, None).expect("noted");
        assert!(next.incarnation > AT, "no two losses have one number, whatever the clock says");
        drop(wal);
        before.get_or_insert(disk.clone());
    });
    let (mut wal, recovered) = recover(&before.expect("some damage was found")).expect("sound");
    assert_eq!(recovered.loss.map(|loss| loss.remembers), Some(None));
    wal.settle_loss().expect("settled");
}

/// What a machine that stopped within a mend finds when it comes back.
fn after_a_crash_in_mending(disk: &MemDisk, state: &State, base: Position, lost: bool) {
    match judge(disk) {
        Verdict::Damaged(damaged) => {
            let tail = damaged.tail().expect("what could be read can be read again");
            assert_eq!((tail.last, tail.hard_state), (state.last(), state.hard_state));
            let remembers = Some(state.last());
            let (mut wal, recovered) =
                damaged.mend(base, tail.hard_state, AT, lost, remembers).expect("mended at last");
            assert_eq!(recovered.loss.is_some(), lost);
            assert_eq!(State::of(&mut wal), expected(state, base, lost));
        }
        Verdict::Sound(sound) => {
            let (mut wal, recovered): (Wal, Recovered) = sound.resume().expect("nothing fails");
            assert_eq!((wal.base(), wal.hard_state()), (base, state.hard_state));
            match recovered.loss {
                Some(loss) => assert_eq!(loss.remembers, Some(state.last())),
                None => assert_eq!((State::of(&mut wal), lost), (expected(state, base, lost), false)),
            }
        }
    }
}

fn expected(state: &State, base: Position, lost: bool) -> State {
    let whole = behind(state, base);
    if lost { State { entries: Vec::new(), ..whole } } else { whole }
}

#[test]
fn a_crash_at_every_step_of_a_mend_leaves_the_damaged_log_or_the_new_one_with_the_loss_noted() {
    let (disk, state) = closed_log();
    let first = segments(&disk).remove(0);
    let content = disk.bytes_of(&first).expect("it is there");
    let place = content.windows(7).position(|bytes| bytes == b"command").expect("an entry") as u64;
    disk.flip_bit(&first, place, 2);
    let tail = damaged(&disk).and_then(|damaged| damaged.tail()).expect("the rest can be read");
    let mut crashes = 0;
    for (base, lost) in [(tail.after, false), (state.base, true)] {
        for others in [Fate::Kept, Fate::Lost, Fate::Torn(9)] {
            for step in 0.. {
                let disk = disk.fork();
                let log = damaged(&disk).expect("it is damaged");
                disk.stop_at(disk.steps() + step, 11);
                let mended = log.mend(base, tail.hard_state, AT, lost, Some(tail.last));
                let done = mended.is_ok();
                assert!(matches!(mended, Ok(_) | Err(WalError::Io { .. })));
                drop(mended);
                disk.crash_with(|_, _| others);
                after_a_crash_in_mending(&disk, &state, base, lost);
                if done {
                    break;
                }
                crashes += 1;
            }
        }
    }
    assert!(crashes > 60, "{crashes}");
}

/// Names are made from the number of a life, and none may be made twice: a log of which nothing is remembered counts on from elsewhere.
#[test]
fn a_log_in_place_of_a_lost_one_is_in_no_life_of_the_one_before() {
    let life_of = |disk: &MemDisk, at: Option<u64>| {
        let Verdict::Sound(mut log) = judge(disk) else { panic!("sound") };
        if let Some(at) = at {
            log.note_loss(at).expect("nothing fails");
        }
        log.resume().expect("nothing fails").0.life()
    };
    let (first, second, third) = (MemDisk::new(), MemDisk::new(), MemDisk::new());
    let mut lives: Vec<u64> = (0..20).map(|_| life_of(&first, None)).collect();
    for (disk, at) in [(&second, 1_700_000_000_000), (&third, 1_700_000_001_000)] {
        lives.push(life_of(disk, Some(at)));
        lives.extend((0..1).map(|_| life_of(disk, None)));
    }
    let count = lives.len();
    lives.sort_unstable();
    lives.dedup();
    assert_eq!(lives.len(), count, "{lives:?}");
    assert!(lives.iter().all(|life| *life < 1 << 24), "{lives:?}");
}

/// Whoever finds no log where there should be one, says so before a new one begins: from then on every start knows. (Found by the simulator,
/// seed 600172.)
#[test]
fn a_crash_at_every_step_of_a_new_log_in_place_of_a_lost_one_leaves_none_or_one_that_knows_of_the_loss() {
    let begin = |disk: &MemDisk| -> Result<Recovered, WalError> {
        let Verdict::Sound(mut log) = Unrecovered::open(Box::new(disk.clone()), CLUSTER, SMALL)?.judge()? else {
            panic!("an empty folder is not damaged")
        };
        if log.is_new() {
            log.note_loss(AT)?;
        }
        log.resume().map(|(_, recovered)| recovered)
    };
    let mut crashes = 0;
    for others in [Fate::Kept, Fate::Lost, Fate::Torn(9)] {
        for step in 0.. {
            let disk = MemDisk::new();
            disk.stop_at(step, 11);
            let done = begin(&disk).is_ok();
            // Once more into the same step, then through.
            disk.crash_with(|_, _| others);
            disk.stop_at(disk.steps() + step, 11);
            drop(begin(&disk));
            disk.crash_with(|_, _| others);
            let loss = begin(&disk).expect("nothing fails now").loss.expect("it is known");
            assert!(loss.incarnation >= AT && loss.remembers.is_none(), "{loss:?}");
            if done {
                break;
            }
            crashes += 1;
        }
    }
    assert!(crashes > 10, "{crashes}");
}
