//! The log against a naive one: a list of all entries, and a disk that is written batch by batch.
//!
//! The model's disk does what a real one would; "durable" must never claim more than what the disk holds once all
//! started batches are through (an entry may be replaced and come back while its first write is under way).

use crate::log::{Log, Room};
use crate::pending::Pending;
use crate::ready::PersistId;
use crate::terms::Terms;
use crate::types::{Entry, HardState, Index, Payload, Position, Term};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Step {
    Append { bytes: usize, term: u64 },
    Truncate(u64),
    Begin,
    Finish,
    Apply,
    Evict { applied_bytes_max: usize, bytes_max: usize },
    Compact(u64),
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0usize..50, 0u64..2).prop_map(|(bytes, term)| Step::Append { bytes, term }),
        2 => any::<u64>().prop_map(Step::Truncate),
        4 => Just(Step::Begin),
        4 => Just(Step::Finish),
        2 => Just(Step::Apply),
        2 => (0usize..500, 0usize..500).prop_map(|(a, b)| Step::Evict { applied_bytes_max: a, bytes_max: a + b }),
        1 => any::<u64>().prop_map(Step::Compact),
        1 => Just(Step::Reset),
    ];
    prop::collection::vec(step, 0..120)
}

/// Everything spelled out.
#[derive(Default)]
struct Naive {
    base: Position,
    entries: Vec<Entry>,
    disk: Vec<Entry>,
    batches: VecDeque<(PersistId, Vec<Entry>)>,
    applied: Index,
}

impl Naive {
    fn last(&self) -> Position {
        self.entries.last().map_or(self.base, Entry::position)
    }

    fn at(&self, index: Index) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        self.entries.iter().find(|entry| entry.index == index).map(|entry| entry.term)
    }

    fn write(&mut self, batch: Vec<Entry>) {
        if let Some(first) = batch.first() {
            self.disk.retain(|entry| entry.index < first.index);
            self.disk.extend(batch);
        }
    }

    /// How much of the log the disk holds and no started batch will overwrite with something else.
    fn durable(&self) -> Index {
        let agreed = self.entries.iter().zip(&self.disk).take_while(|(entry, disk)| entry == disk).count();
        Index(self.base.index.0 + agreed as u64)
    }
}

proptest! {
    #[test]
    fn the_log_does_what_a_list_would(steps in steps()) {
        let mut log = Log::new(Terms::new(Position::ZERO, &[], Position::ZERO), Vec::new(), HardState::default());
        let mut naive = Naive::default();
        let mut newest_term = 1;
        for step in steps {
            match step {
                Step::Append { bytes, term } => {
                    newest_term += term;
                    let index = naive.last().index.next();
                    let payload = Payload::Command(Arc::from(vec![index.0 as u8; bytes]));
                    let entry = Entry { index, term: Term(newest_term), payload };
                    log.append(entry.clone());
                    naive.entries.push(entry);
                }
                Step::Truncate(place) => {
                    // What is applied is committed: never truncated.
                    let kept = (naive.applied.0 - naive.base.index.0) as usize;
                    if naive.entries.len() > kept {
                        let from = naive.entries[kept + (place % (naive.entries.len() - kept) as u64) as usize].index;
                        log.truncate(from);
                        naive.entries.retain(|entry| entry.index < from);
                    }
                }
                Step::Begin => {
                    let (id, entries) = log.begin_persist(None);
                    naive.batches.push_back((id, entries));
                }
                Step::Finish => {
                    if let Some((id, entries)) = naive.batches.pop_front() {
                        naive.write(entries);
                        log.finish_persist(id);
                    }
                }
                Step::Apply => naive.applied = log.durable(),
                Step::Evict { applied_bytes_max, bytes_max } => {
                    log.evict(naive.applied, Room { applied_bytes_max, bytes_max });
                    let front_stays = log.window_first() > log.durable();
                    prop_assert!(log.window_bytes() <= bytes_max || front_stays);
                }
                Step::Compact(place) => {
                    let upto = Index(naive.base.index.0 + place % (naive.applied.0 - naive.base.index.0 + 1));
                    naive.base = Position { index: upto, term: naive.at(upto).unwrap() };
                    naive.entries.retain(|entry| entry.index > upto);
                    naive.disk.retain(|entry| entry.index > upto);
                    log.compact(upto);
                }
                Step::Reset => {
                    newest_term += 1;
                    let base = Position { index: Index(naive.last().index.0 + 3), term: Term(newest_term) };
                    while let Some((id, entries)) = naive.batches.pop_front() {
                        naive.write(entries);
                        log.finish_persist(id);
                    }
                    log.reset(base);
                    naive = Naive { base, applied: base.index, ..Naive::default() };
                }
            }
            check(&log, &naive)?;
        }
        // Whatever is written at last is durable at last.
        let (id, entries) = log.begin_persist(None);
        naive.batches.push_back((id, entries));
        while let Some((id, entries)) = naive.batches.pop_front() {
            naive.write(entries);
            log.finish_persist(id);
        }
        prop_assert_eq!(log.durable(), naive.last().index);
        prop_assert_eq!(naive.durable(), naive.last().index);
        prop_assert!(log.is_settled());
    }

    #[test]
    fn the_place_of_agreement_is_the_last_one_possible(
        runs in prop::collection::vec((1u64..4, 1u64..3), 0..6),
        base in 0u64..3,
        index in 0u64..20,
        term in 0u64..12,
    ) {
        let base = Position::new(base, base);
        let mut all = vec![base];
        let mut firsts = Vec::new();
        for (length, step) in runs {
            let first = Position { index: all[all.len() - 1].index.next(), term: Term(all[all.len() - 1].term.0 + step) };
            firsts.push(first);
            all.extend((0..length).map(|more| Position { index: Index(first.index.0 + more), ..first }));
        }
        let terms = Terms::new(base, &firsts, all[all.len() - 1]);
        for position in &all {
            prop_assert_eq!(terms.at(position.index), Some(position.term));
        }
        let possible = all.iter().rev().find(|position| position.index.0 <= index && position.term.0 <= term);
        prop_assert_eq!(terms.last_not_above(Index(index), Term(term)), possible.copied());
    }
}

fn check(log: &Log, naive: &Naive) -> Result<(), TestCaseError> {
    prop_assert_eq!(log.base(), naive.base);
    prop_assert_eq!(log.last(), naive.last());
    prop_assert!(log.durable() <= naive.durable(), "durable {} but the disk has {}", log.durable(), naive.durable());
    for index in naive.base.index.0.saturating_sub(2)..naive.last().index.0 + 3 {
        prop_assert_eq!(log.term_at(Index(index)), naive.at(Index(index)));
    }
    let first = log.window_first();
    let kept: Vec<_> = naive.entries.iter().filter(|entry| entry.index >= first).cloned().collect();
    prop_assert_eq!(log.window_bytes(), kept.iter().map(Entry::bytes).sum::<usize>());
    if let Some(last) = kept.last() {
        prop_assert_eq!(log.slice(first, last.index, usize::MAX), Some(kept.clone()));
        prop_assert_eq!(log.slice(first, last.index, 1), Some(kept[..1].to_vec()), "at least one entry");
        prop_assert!(first == naive.base.index.next() || log.slice(first.previous(), last.index, 1).is_none());
    }
    Ok(())
}

#[test]
fn c10_completions_out_of_order_count_in_order() {
    let mut pending = Pending::new(Index(0), HardState::default());
    let voted = HardState { term: Term(3), vote: None };
    let first = pending.begin(None, Some(Index(4)));
    let second = pending.begin(Some(voted), Some(Index(9)));
    pending.finish(second);
    assert_eq!((pending.durable(), pending.hard_state()), (Index(0), HardState::default()));
    pending.finish(first);
    assert_eq!((pending.durable(), pending.hard_state()), (Index(9), voted));
    pending.finish(first);
    assert!(pending.is_empty() && pending.durable() == Index(9), "a report that comes twice says nothing new");
}
