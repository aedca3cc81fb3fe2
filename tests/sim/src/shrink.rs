//! The smallest plan that still fails in the same way: less time, fewer operations, fewer kinds of faults.
//!
//! Nothing here is clever: each kind of fault draws from its own stream, so leaving one out often leaves the failure.

use crate::checks::{BROKEN_RULE, Violation};
use crate::engines::Engines;
use crate::plan::{Fault, MILLI, Plan};
use crate::report::Report;
use crate::world;
use std::collections::BTreeSet;

/// Runs that a shrinking may take.
const RUNS_MAX: usize = 400;

/// Shrinks a plan that fails. Returns it as it was if it does not fail.
pub fn shrink(plan: &Plan, engines: &Engines) -> (Plan, Report) {
    let report = world::run(plan, engines, false);
    let Some(failure) = &report.failure else { return (plan.clone(), report) };
    let kind = kind(&failure.violation);
    let mut best = (plan.clone(), report);
    let mut runs = 0;
    loop {
        let before = runs;
        let mut smaller = false;
        for candidate in candidates(&best) {
            runs += 1;
            let report = world::run(&candidate, engines, false);
            if report.failure.as_ref().is_some_and(|failure| kind == self::kind(&failure.violation)) {
                best = (candidate, report);
                smaller = true;
                break;
            }
            if runs >= RUNS_MAX {
                return best;
            }
        }
        if !smaller || runs == before {
            return best;
        }
    }
}

/// What has to stay while a plan shrinks: the check, and of a broken rule which one.
fn kind(violation: &Violation) -> String {
    let words = violation.what.split_whitespace().take(4).collect::<Vec<_>>().join(" ");
    if violation.check == BROKEN_RULE { words } else { violation.check.to_owned() }
}

/// Plans that are smaller by one step, the most promising first.
fn candidates((plan, report): &(Plan, Report)) -> Vec<Plan> {
    let mut candidates = Vec::new();
    let at_us = report.failure.as_ref().map_or(plan.faults_us, |failure| failure.at_us);
    for faults_us in [at_us + MILLI, plan.faults_us / 2, plan.faults_us * 3 / 4, plan.faults_us * 9 / 10] {
        let faults_us = faults_us.div_ceil(MILLI) * MILLI;
        if faults_us < plan.faults_us {
            candidates.push(Plan { faults_us, ..plan.clone() });
        }
    }
    for (fault, _) in &plan.rates {
        candidates.push(plan.clone().without(&BTreeSet::<Fault>::from([*fault])));
    }
    let operations = report.figures.requests.min(plan.operations_max);
    for operations_max in [operations / 2, operations * 3 / 4, operations.saturating_sub(1)] {
        if operations_max < operations {
            candidates.push(Plan { operations_max, ..plan.clone() });
        }
    }
    candidates
}
