//! Worlds that are run with every test: a fixed set of seeds, each seed that found a bug, and broken rules that must be found.
//!
//! A seed means what it means to this version of the simulator: when worlds change, it becomes one seed among many. So what a seed
//! found has a test of its own, too, on the floor where it belongs; it is named beside the seed.

use outboard_sim::campaign::{Campaign, Outcome};
use outboard_sim::engines::Engines;
use outboard_sim::mutation::Mutation;
use outboard_sim::plan::{Fault, Plan};
use outboard_sim::{shrink, world};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::LazyLock;

static ENGINES: LazyLock<Engines> = LazyLock::new(|| Engines::compile().expect("the engines are sound"));

fn campaign(seeds: Range<u64>, failures_max: usize, plan: impl Fn(u64) -> Plan + Sync) -> Outcome {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Campaign { seeds, limit: None, threads, failures_max }.run(&ENGINES, plan, |_| {})
}

fn assert_holds(seed: u64) {
    let plan = Plan::of(seed);
    let report = world::run(&plan, &ENGINES, false);
    assert_eq!(report.failure, None, "again: {}", plan.line());
}

#[test]
fn a_fixed_set_of_seeds_holds_in_every_rule() {
    let outcome = campaign(0..80, 1, Plan::of);
    let failures: Vec<_> = outcome.failures.iter().map(|(plan, failure)| (plan.line(), failure)).collect();
    assert!(failures.is_empty(), "{failures:#?}");
    let figures = outcome.figures;
    assert_eq!((figures.schedules, figures.undecided), (80, 0));
    assert!(figures.answered > 10_000 && figures.upgrades > 40 && figures.snapshots > 40, "worlds are busy: {figures}");
    assert!(figures.of(Fault::SnapshotCut) > 15, "snapshots are cut: {figures}");
    assert!(figures.newcomers > 20 && figures.changes > 20 && figures.farewells > 10, "members change: {figures}");
    assert!(figures.of(Fault::Wipe) > 5, "disks are lost: {figures}");
}

#[test]
fn two_runs_of_a_seed_are_the_same_to_the_last_bit_and_two_seeds_are_not() {
    let mut hashes = BTreeSet::new();
    for seed in 200..212 {
        let plan = Plan::of(seed);
        let (first, told) = (world::run(&plan, &ENGINES, false), world::run(&plan, &ENGINES, true));
        assert_eq!(first.trace_hash, told.trace_hash, "seed {seed}");
        assert_eq!(first.figures, told.figures, "seed {seed}");
        assert!(first.lines.is_empty() && !told.lines.is_empty());
        hashes.insert(first.trace_hash);
    }
    assert_eq!(hashes.len(), 12);
}

#[test]
fn worlds_side_by_side_do_not_touch_each_other() {
    let alone = world::run(&Plan::of(300), &ENGINES, false);
    let crowd: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| world::run(&Plan::of(300), &ENGINES, false))).collect();
        runs.into_iter().map(|run| run.join().expect("a world does not panic").trace_hash).collect()
    });
    assert!(crowd.iter().all(|hash| *hash == alone.trace_hash));
}

/// REGRESSIONS D1. The log's own: `d1_what_a_failed_sync_left_in_memory_is_on_disk_once_a_recovery_has_told_it`.
#[test]
fn seed_5_what_is_read_after_a_failed_sync_is_written_again() {
    assert_holds(5);
}

/// The core's own: `no_ticket_of_an_earlier_life_is_given_out_again`.
#[test]
fn seed_220_an_answer_to_an_earlier_life_is_not_taken_for_another_one() {
    assert_holds(220);
}

/// The append worker's own: `a_snapshot_is_installed_only_after_what_the_log_was_given_before_is_durable`.
#[test]
fn seed_9402_tables_are_never_ahead_of_the_terms_in_the_log() {
    assert_holds(9402);
}

/// The net's own: `whoever_dials_a_node_that_has_not_heard_of_it_is_dialled_back_as_long_as_it_does`.
#[test]
fn seed_92_a_node_that_was_away_answers_a_leader_that_came_in_meanwhile() {
    assert_holds(92);
}

/// The machine's own: `a_switch_waits_for_its_component_even_where_that_of_the_running_engine_has_come_only_now`.
#[test]
fn seed_10327_a_newcomer_by_snapshot_stalls_at_a_switch_whose_component_it_lacks() {
    assert_holds(10_327);
}

/// The log's own: `a_segment_that_was_made_and_never_begun_is_one_spare_whenever_its_number_comes_again`.
#[test]
fn seed_28309_a_spare_is_in_the_list_once() {
    assert_holds(28_309);
}

/// REGRESSIONS D5. The core's own: the script `a_leader_that_cannot_read_its_log_leaves_the_lead`.
#[test]
fn seed_28466_a_leader_that_cannot_read_what_the_others_lack_leaves_the_lead() {
    assert_holds(28_466);
}

#[test]
fn seed_127767_a_removed_node_is_not_let_in_again_by_a_leader_whose_tables_are_behind() {
    assert_holds(127_767);
}

/// The node's own: `writes_that_wait_for_slow_tables_are_answered_when_a_snapshot_overtakes_them`.
#[test]
fn seed_315991_who_waits_for_slow_tables_is_answered_when_a_snapshot_overtakes_them() {
    assert_holds(315_991);
}

/// The log's own: `a_crash_at_every_step_of_a_new_log_in_place_of_a_lost_one_leaves_none_or_one_that_knows_of_the_loss`.
#[test]
fn seed_600172_what_an_attempt_to_note_a_loss_has_left_bars_no_start() {
    assert_holds(600_172);
}

/// The log's own: `a_log_in_place_of_a_lost_one_is_in_no_life_of_the_one_before`.
#[test]
fn seed_604356_a_node_that_has_lost_its_log_takes_no_answer_to_an_earlier_life_for_its_own() {
    assert_holds(604_356);
}

/// The node's own: `a_loss_is_named_above_the_one_before_it_even_if_the_clock_went_back_and_the_note_is_gone`.
#[test]
fn seed_759742_a_second_loss_is_told_from_the_first_though_the_clock_went_back() {
    assert_holds(759_742);
}

/// The node's own: `a_peer_that_comes_back_is_asked_at_once_how_far_its_snapshot_has_brought_it`.
#[test]
fn seed_702411_nobody_waits_for_a_snapshot_that_is_there() {
    assert_holds(702_411);
}

/// A component came between a snapshot's installation and the log's new beginning behind it.
#[test]
fn seed_841505_what_resumes_behind_a_snapshot_is_told_behind_it() {
    assert_holds(841_505);
}

/// Every broken rule is found within some seeds, by a check that has to do with it.
#[test]
fn every_rule_that_a_world_breaks_on_purpose_is_found() {
    for mutation in Mutation::ALL {
        let checks: &[&str] = match mutation {
            // Who notices its loss counts for nothing, and there may be too few others: then the cluster does not heal. It may notice by what a
            // leader knows of it, and halts.
            Mutation::SyncsDropped | Mutation::AckBeforeSync => {
                &["start", "leader completeness", "votes", "durability", "healing", "halts"]
            }
            Mutation::DiskGoesBack => {
                &["halts", "leader completeness", "votes", "state machine safety", "linearizability", "election safety"]
            }
            Mutation::VotesForgotten => &["votes", "election safety", "start"],
            Mutation::TablesForgotten => &["start"],
            Mutation::StaleReads | Mutation::WritesInvented => &["linearizability"],
            Mutation::EntriesAltered => &["log matching", "hash chains", "state machine safety"],
            Mutation::TableWritesLost => &["hash chains", "linearizability"],
        };
        let outcome = campaign(0..150, 1, |seed| Plan { mutation: Some(mutation), ..Plan::of(seed) });
        let Some((plan, failure)) = outcome.failures.first() else { panic!("nothing found {}", mutation.name()) };
        let check = failure.violation.check;
        assert!(checks.contains(&check), "{} was found by {check}: {}", mutation.name(), plan.line());
    }
}

#[test]
fn a_failing_plan_shrinks_and_fails_in_the_same_way() {
    let outcome = campaign(0..50, 1, |seed| Plan { mutation: Some(Mutation::WritesInvented), ..Plan::of(seed) });
    let (plan, failure) = outcome.failures.first().expect("a broken rule is found");
    let (small, report) = shrink::shrink(plan, &ENGINES);
    let again = world::run(&small, &ENGINES, false);
    assert_eq!(again.failure, report.failure);
    assert_eq!(again.failure.expect("it still fails").violation.check, failure.violation.check);
    let shorter = small.faults_us < plan.faults_us || small.operations_max < plan.operations_max;
    assert!(small.rates.len() < plan.rates.len() && shorter, "{}", small.line());
}
