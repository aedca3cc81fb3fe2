//! Histories that are linearizable, and histories that must be refused.

use super::*;
use crate::history::{Kind, Seen};
use crate::random::Random;

fn operation(client: u64, asked: u64, answered: u64, kind: Kind, seen: Seen) -> Operation {
    Operation { client, key: 1, kind, asked, answered: Some((answered, seen)), node: 1, without_effect: false }
}

fn unknown(client: u64, asked: u64, kind: Kind) -> Operation {
    Operation { client, key: 1, kind, asked, answered: None, node: 1, without_effect: false }
}

fn set(client: u64, asked: u64, answered: u64, value: i64) -> Operation {
    operation(client, asked, answered, Kind::Set(value), Seen::Done)
}

fn get(client: u64, asked: u64, answered: u64, value: State) -> Operation {
    operation(client, asked, answered, Kind::Get, Seen::Value(value))
}

fn is_linearizable(history: &[Operation]) -> bool {
    match check(history) {
        Verdict::Linearizable => true,
        Verdict::Not { .. } => false,
        Verdict::Undecided { .. } => panic!("so short a history is decided"),
    }
}

#[test]
fn one_after_another_is_judged_by_the_order() {
    assert!(is_linearizable(&[set(1, 1, 2, 7), get(1, 3, 4, Some(7))]));
    assert!(!is_linearizable(&[set(1, 1, 2, 7), get(1, 3, 4, None)]), "an acknowledged write is lost");
    assert!(!is_linearizable(&[set(1, 1, 2, 7), set(1, 3, 4, 8), get(2, 5, 6, Some(7))]), "a stale read");
    assert!(!is_linearizable(&[get(1, 1, 2, Some(7)), set(1, 3, 4, 7)]), "a read from the future");
    assert!(!is_linearizable(&[get(1, 1, 2, Some(9))]), "a value that nobody wrote");
}

#[test]
fn what_overlaps_may_be_ordered_either_way_but_only_one_way() {
    let writes = [set(1, 1, 10, 1), set(2, 2, 9, 2)];
    let with = |reads: &[Operation]| [&writes[..], reads].concat();
    assert!(is_linearizable(&with(&[get(3, 11, 12, Some(1))])));
    assert!(is_linearizable(&with(&[get(3, 11, 12, Some(2))])));
    assert!(!is_linearizable(&with(&[get(3, 11, 12, Some(1)), get(4, 13, 14, Some(2))])));
    assert!(!is_linearizable(&with(&[get(3, 3, 4, Some(1)), get(3, 5, 6, Some(2)), get(3, 7, 8, Some(1))])));
    assert!(is_linearizable(&with(&[get(3, 3, 4, None), get(3, 5, 6, Some(2)), get(3, 7, 8, Some(1))])));
}

#[test]
fn an_unknown_outcome_may_come_late_or_never_but_not_before_it_was_asked_for_and_not_twice() {
    assert!(is_linearizable(&[unknown(1, 1, Kind::Set(7)), get(2, 2, 3, None)]));
    assert!(is_linearizable(&[unknown(1, 1, Kind::Set(7)), get(2, 2, 3, None), get(2, 9, 10, Some(7))]));
    assert!(!is_linearizable(&[get(2, 1, 2, Some(7)), unknown(1, 3, Kind::Set(7))]));
    let twice = [
        unknown(1, 1, Kind::Set(7)),
        get(2, 2, 3, Some(7)),
        set(2, 4, 5, 8),
        get(2, 6, 7, Some(8)),
        get(2, 8, 9, Some(7)),
    ];
    assert!(!is_linearizable(&twice));
}

#[test]
fn counters_count_each_acknowledged_step_once() {
    let incr = |client, asked, answered, n| operation(client, asked, answered, Kind::Add(1), Seen::Number(n));
    assert!(is_linearizable(&[incr(1, 1, 4, 2), incr(2, 2, 3, 1), get(1, 5, 6, Some(2))]));
    assert!(!is_linearizable(&[incr(1, 1, 4, 1), incr(2, 2, 3, 1)]), "a lost update");
    assert!(!is_linearizable(&[incr(1, 1, 2, 1), get(1, 3, 4, Some(2))]), "applied twice");
    assert!(is_linearizable(&[incr(1, 1, 2, 1), unknown(2, 2, Kind::Add(1)), get(1, 3, 4, Some(2))]));
    assert!(!is_linearizable(&[incr(1, 1, 2, 1), unknown(2, 2, Kind::Add(1)), get(1, 3, 4, Some(3))]));
}

#[test]
fn a_comparison_tells_what_it_met() {
    let cas = |asked, expected, new, seen| operation(3, asked, asked + 1, Kind::Cas(expected, new), seen);
    let del = |asked, n| operation(3, asked, asked + 1, Kind::Del, Seen::Number(n));
    let base = set(1, 1, 2, 7);
    let then = |more: &[Operation]| is_linearizable(&[&[base.clone()][..], more].concat());
    assert!(then(&[cas(3, 7, 8, Seen::Number(1)), get(1, 5, 6, Some(8))]));
    assert!(!then(&[cas(3, 7, 8, Seen::Number(0))]), "it would have met what it expected");
    assert!(!then(&[cas(3, 9, 8, Seen::Number(1))]));
    assert!(!then(&[cas(3, 7, 8, Seen::Number(1)), cas(5, 7, 9, Seen::Number(1))]), "two winners");
    assert!(then(&[del(3, 1), cas(5, 7, 8, Seen::Nothing), get(1, 7, 8, None)]));
    assert!(!then(&[del(3, 0)]));
}

#[test]
fn keys_are_judged_apart() {
    let mut other = get(2, 3, 4, None);
    other.key = 2;
    assert!(is_linearizable(&[set(1, 1, 2, 7), other]));
}

/// Histories that a correct register gave, with overlaps; then with one answer falsified.
#[test]
fn what_a_real_register_gave_is_accepted_and_a_value_out_of_nowhere_is_not() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut history = Vec::new();
        let (mut state, mut free) = (None, [0u64; 5]);
        for step in 1..=150u64 {
            let at = step * 1_000;
            let client = (0..).map(|_| random.below(5) as usize).find(|client| free[*client] < at);
            let client = client.expect("of five clients no more than three are busy");
            let kind = match random.below(4) {
                0 => Kind::Set(step as i64 * 1_000),
                1 => Kind::Add(1),
                2 => Kind::Cas(state.unwrap_or(0), step as i64 * 1_000),
                _ => Kind::Get,
            };
            let (next, seen) = kind.apply(state);
            state = next;
            // The effect is at `at`; question and answer lie around it, apart from the client's other ones.
            let asked = at - random.below((at - free[client]).min(4_000));
            let answered = at + 1 + random.below(3_000);
            free[client] = answered;
            if kind.writes() && random.percent(10) {
                history.push(Operation {
                    client: 90,
                    key: 1,
                    kind,
                    asked,
                    answered: None,
                    node: 1,
                    without_effect: false,
                });
            } else {
                let answered = Some((answered, seen));
                history.push(Operation {
                    client: client as u64,
                    key: 1,
                    kind,
                    asked,
                    answered,
                    node: 1,
                    without_effect: false,
                });
            }
        }
        // Moments have to be unique.
        for (number, operation) in history.iter_mut().enumerate() {
            operation.asked = operation.asked * 1_000 + number as u64;
            operation.answered = operation.answered.map(|(at, seen)| (at * 1_000 + 500 + number as u64, seen));
        }
        assert!(is_linearizable(&history), "seed {seed}");
        let reads = history.iter_mut().rev().find(|operation| operation.kind == Kind::Get);
        reads.expect("there are reads").answered.as_mut().expect("reads are answered").1 = Seen::Value(Some(-5));
        assert!(!is_linearizable(&history), "seed {seed}");
    }
}

/// Every order of every choice of the unknown ones.
fn is_linearizable_by_force(history: &[Operation], taken: u32, state: State) -> bool {
    let open = |number: &usize| taken >> number & 1 == 0;
    let known_open: Vec<usize> =
        (0..history.len()).filter(open).filter(|number| history[*number].answered.is_some()).collect();
    let Some(first_answer) = known_open.iter().filter_map(|number| history[*number].answered).map(|(at, _)| at).min()
    else {
        return true;
    };
    (0..history.len()).filter(open).any(|number| {
        let operation = &history[number];
        let (after, seen) = operation.kind.apply(state);
        operation.asked < first_answer
            && operation.answered.is_none_or(|(_, answer)| answer == seen)
            && is_linearizable_by_force(history, taken | 1 << number, after)
    })
}

#[test]
fn the_lazy_search_comes_to_the_same_verdict_as_one_without_tricks() {
    let mut counts = [0; 2];
    for seed in 0..30_000 {
        let mut random = Random::new(seed);
        let count = random.between(2, 7) as usize;
        let mut moments: Vec<u64> = (1..=2 * count as u64).collect();
        let mut take = |random: &mut Random| moments.swap_remove(random.below(moments.len() as u64) as usize);
        let mut history = Vec::new();
        for _ in 0..count {
            let (one, other) = (take(&mut random), take(&mut random));
            // In half of the histories values lie so far apart that many are never met.
            let apart = if seed % 2 == 0 { 1 } else { 100 };
            let small = |random: &mut Random| random.between(0, 3) as i64 * apart;
            let kind = match random.below(5) {
                0 => Kind::Get,
                1 => Kind::Set(small(&mut random)),
                2 => Kind::Add(random.between(1, 2) as i64),
                3 => Kind::Cas(small(&mut random), small(&mut random)),
                _ => Kind::Del,
            };
            let state = random.percent(70).then(|| small(&mut random));
            let answered = (!kind.writes() || random.percent(60)).then(|| (one.max(other), kind.apply(state).1));
            let asked = one.min(other);
            history.push(Operation { client: 1, key: 1, kind, asked, answered, node: 1, without_effect: false });
        }
        let expected = is_linearizable_by_force(&history, 0, None);
        counts[usize::from(expected)] += 1;
        assert_eq!(is_linearizable(&history), expected, "seed {seed}: {history:#?}");
    }
    assert!(counts.iter().all(|count| *count > 3_000), "both verdicts are common: {counts:?}");
}
