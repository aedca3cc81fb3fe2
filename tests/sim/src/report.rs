//! What came of a run, and of many.

use crate::checks::Violation;
use crate::plan::Fault;
use std::fmt;

/// A rule did not hold.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Failure {
    /// Which, and what was found.
    pub violation: Violation,
    /// When, in simulated microseconds.
    pub at_us: u64,
}

/// What came of one run.
#[derive(Debug)]
pub struct Report {
    /// Equal for two runs of one plan.
    pub trace_hash: u64,
    /// None if everything held.
    pub failure: Option<Failure>,
    /// What was done.
    pub figures: Figures,
    /// The end of the story, if it was to be told.
    pub lines: Vec<String>,
}

/// What was done, counted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Figures {
    /// Runs.
    pub schedules: u64,
    /// Simulated time, in microseconds.
    pub simulated_us: u64,
    /// Steps of worlds.
    pub steps: u64,
    /// Frames that left.
    pub frames: u64,
    /// Frames that a partition held up.
    pub frames_blocked: u64,
    /// Everything that was asked.
    pub requests: u64,
    /// Operations of the history with an answer.
    pub answered: u64,
    /// Those whose outcome nobody knows.
    pub unknown: u64,
    /// Numbered requests that were sent again.
    pub retries: u64,
    /// Those that had no effect.
    pub refused: u64,
    /// Switches of engines that clients were told of.
    pub upgrades: u64,
    /// Hand-overs that clients were told of.
    pub transfers: u64,
    /// Nodes that came in.
    pub newcomers: u64,
    /// Changes of the members that the operator was told of.
    pub changes: u64,
    /// Those that were refused.
    pub changes_refused: u64,
    /// Nodes that were out, were told so and ended.
    pub farewells: u64,
    /// Snapshots that set out.
    pub snapshots: u64,
    /// Damaged logs that a start reported.
    pub damage_reported: u64,
    /// Damage that hit nothing that was needed.
    pub damage_harmless: u64,
    /// How long it took until all was well after the faults, together, in simulated microseconds.
    pub healed_us: u64,
    /// The longest of these times.
    pub healed_max_us: u64,
    /// Terms that had a leader.
    pub terms: u64,
    /// All trace hashes together, whatever the order of the runs: two campaigns over the same seeds share it.
    pub traces: u64,
    /// Histories whose search was given up.
    pub undecided: u64,
    faults: [u64; Fault::ALL.len()],
}

impl Figures {
    /// One more of these.
    pub fn count(&mut self, fault: Fault) {
        self.faults[fault as usize] += 1;
    }

    /// All was well so long after the last fault.
    pub fn on_healed(&mut self, after_us: u64) {
        self.healed_us += after_us;
        self.healed_max_us = self.healed_max_us.max(after_us);
    }

    /// How often a fault came.
    pub fn of(&self, fault: Fault) -> u64 {
        self.faults[fault as usize]
    }

    /// Both together.
    pub fn add(&mut self, other: &Figures) {
        let Figures {
            schedules,
            simulated_us,
            steps,
            frames,
            frames_blocked,
            requests,
            answered,
            unknown,
            retries,
            refused,
            upgrades,
            transfers,
            newcomers,
            changes,
            changes_refused,
            farewells,
            snapshots,
            damage_reported,
            damage_harmless,
            healed_us,
            healed_max_us,
            terms,
            traces,
            undecided,
            faults,
        } = other;
        self.schedules += schedules;
        self.simulated_us += simulated_us;
        self.steps += steps;
        self.frames += frames;
        self.frames_blocked += frames_blocked;
        self.requests += requests;
        self.answered += answered;
        self.unknown += unknown;
        self.retries += retries;
        self.refused += refused;
        self.upgrades += upgrades;
        self.transfers += transfers;
        self.newcomers += newcomers;
        self.changes += changes;
        self.changes_refused += changes_refused;
        self.farewells += farewells;
        self.snapshots += snapshots;
        self.damage_reported += damage_reported;
        self.damage_harmless += damage_harmless;
        self.healed_us += healed_us;
        self.healed_max_us = self.healed_max_us.max(*healed_max_us);
        self.terms += terms;
        self.traces = self.traces.wrapping_add(*traces);
        self.undecided += undecided;
        self.faults.iter_mut().zip(faults).for_each(|(mine, theirs)| *mine += theirs);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.simulated_us as f64 / 3.6e9;
        let (schedules, steps, traces) = (self.schedules, self.steps, self.traces);
        writeln!(f, "{schedules} schedules, {hours:.1} simulated hours, {steps} steps, traces {traces:016x}")?;
        writeln!(
            f,
            "{} operations answered, {} unknown, {} without effect, {} sent again; {} frames, {} blocked",
            self.answered, self.unknown, self.refused, self.retries, self.frames, self.frames_blocked
        )?;
        writeln!(
            f,
            "{} elected leaders, {} hand-overs, {} upgrades, {} snapshots, {} damaged logs reported, {} harmless",
            self.terms, self.transfers, self.upgrades, self.snapshots, self.damage_reported, self.damage_harmless
        )?;
        writeln!(
            f,
            "{} nodes came in, {} changes of the members, {} refused, {} nodes were told that they are out",
            self.newcomers, self.changes, self.changes_refused, self.farewells
        )?;
        let mean = self.healed_us as f64 / 1e6 / self.schedules.max(1) as f64;
        let longest = self.healed_max_us as f64 / 1e6;
        writeln!(f, "all well {mean:.2} simulated seconds after the last fault in the mean, {longest:.2} at most")?;
        if self.undecided > 0 {
            writeln!(f, "{} histories were too hard to judge", self.undecided)?;
        }
        write!(f, "faults:")?;
        for fault in Fault::ALL {
            write!(f, " {} {}", fault.name(), self.of(fault))?;
        }
        Ok(())
    }
}
