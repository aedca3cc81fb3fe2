//! What a seed draws before anything runs: how many nodes, how fast the network and the disks, which faults and how often.
//! Every dimension is calm in some seeds, so that no fault always hides behind another.

use crate::mutation::Mutation;
use crate::random::Random;
use std::collections::BTreeSet;

/// One second, in the world's microseconds.
pub const SECOND: u64 = 1_000_000;
/// One millisecond.
pub const MILLI: u64 = 1_000;

/// Everything that can be done to a cluster. The order of [`Fault::ALL`] is that of the report.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Debug)]
pub enum Fault {
    /// A frame is lost.
    Loss,
    /// A frame comes twice.
    Duplication,
    /// A frame is overtaken.
    Reordering,
    /// A frame takes long.
    Delay,
    /// The cluster falls into two halves.
    Partition,
    /// Some pairs of nodes don't hear each other.
    PartialPartition,
    /// A node is heard and hears nothing, or the other way round.
    OneWay,
    /// A connection breaks although nothing is wrong.
    LinkFlap,
    /// The process ends; the disks keep what was written.
    Kill,
    /// Power is lost: what was not synced is lost, kept or torn.
    PowerLoss,
    /// Power is lost between two steps of a disk, or within one.
    PowerLossInStep,
    /// Power is lost on all nodes at once.
    Blackout,
    /// The operator stops a node.
    Stop,
    /// The process stands still for a while.
    Pause,
    /// A write of the log lands in the wrong place.
    Misdirection,
    /// A bit of the log flips.
    BitFlip,
    /// The log's disk has no room.
    DiskFull,
    /// The log's disk is slow.
    SlowDisk,
    /// The tables' disk is slow.
    SlowTables,
    /// A sync of the log fails.
    FailedSync,
    /// The tables can't be made durable.
    FailedPersist,
    /// A wall clock jumps.
    ClockJump,
    /// An engine is pushed, or takes over.
    Upgrade,
    /// A node has lost its components when it starts, but for the one that its command line names.
    EnginesLost,
    /// An engine is made to fail.
    Trap,
    /// Leadership is handed over.
    Transfer,
    /// A snapshot breaks off on its way.
    SnapshotCut,
    /// The operator lets a node in, or changes what a member is.
    Membership,
    /// A node loses all its disks for good: its operator has another one take its place.
    Wipe,
    /// Log and tables of a node are lost, and its folder still says who it is.
    Emptied,
}

impl Fault {
    /// All of them.
    pub const ALL: [Fault; 30] = [
        Fault::Loss,
        Fault::Duplication,
        Fault::Reordering,
        Fault::Delay,
        Fault::Partition,
        Fault::PartialPartition,
        Fault::OneWay,
        Fault::LinkFlap,
        Fault::Kill,
        Fault::PowerLoss,
        Fault::PowerLossInStep,
        Fault::Blackout,
        Fault::Stop,
        Fault::Pause,
        Fault::Misdirection,
        Fault::BitFlip,
        Fault::DiskFull,
        Fault::SlowDisk,
        Fault::SlowTables,
        Fault::FailedSync,
        Fault::FailedPersist,
        Fault::ClockJump,
        Fault::Upgrade,
        Fault::EnginesLost,
        Fault::Trap,
        Fault::Transfer,
        Fault::SnapshotCut,
        Fault::Membership,
        Fault::Wipe,
        Fault::Emptied,
    ];

    /// Its name on the command line and in the report.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Loss => "loss",
            Fault::Duplication => "duplication",
            Fault::Reordering => "reordering",
            Fault::Delay => "delay",
            Fault::Partition => "partition",
            Fault::PartialPartition => "partial-partition",
            Fault::OneWay => "one-way",
            Fault::LinkFlap => "link-flap",
            Fault::Kill => "kill",
            Fault::PowerLoss => "power-loss",
            Fault::PowerLossInStep => "power-loss-in-step",
            Fault::Blackout => "blackout",
            Fault::Stop => "stop",
            Fault::Pause => "pause",
            Fault::Misdirection => "misdirection",
            Fault::BitFlip => "bit-flip",
            Fault::DiskFull => "disk-full",
            Fault::SlowDisk => "slow-disk",
            Fault::SlowTables => "slow-tables",
            Fault::FailedSync => "failed-sync",
            Fault::FailedPersist => "failed-persist",
            Fault::ClockJump => "clock-jump",
            Fault::Upgrade => "upgrade",
            Fault::EnginesLost => "engines-lost",
            Fault::Trap => "trap",
            Fault::Transfer => "transfer",
            Fault::SnapshotCut => "snapshot-cut",
            Fault::Membership => "membership",
            Fault::Wipe => "wipe",
            Fault::Emptied => "emptied",
        }
    }

    /// The fault of this name.
    pub fn named(name: &str) -> Option<Fault> {
        Fault::ALL.into_iter().find(|fault| fault.name() == name)
    }

    /// How it comes: with a chance for each frame, command or transfer, else every now and then.
    fn is_by_chance(self) -> bool {
        matches!(
            self,
            Fault::Loss
                | Fault::Duplication
                | Fault::Reordering
                | Fault::Delay
                | Fault::EnginesLost
                | Fault::Trap
                | Fault::SnapshotCut
        )
    }
}

/// How often a fault comes in one run.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Rate {
    /// So many times in a million.
    PerMillion(u32),
    /// Every so many microseconds, in the mean.
    EveryUs(u64),
}

/// One schedule: what the seed draws, and what a person or the shrinker changes in it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The source of all chance.
    pub seed: u64,
    /// The voters that the cluster begins with.
    pub nodes: u64,
    /// So many may come in later.
    pub newcomers: u64,
    /// How long faults last, in microseconds.
    pub faults_us: u64,
    /// Clients that ask one thing after another.
    pub clients: u64,
    /// Keys that they share.
    pub keys: u64,
    /// Clients number their writes and send them again.
    pub sessions: bool,
    /// A client's longest rest between two questions, in microseconds.
    pub rest_us: u64,
    /// The questions of all clients together are no more than this.
    pub operations_max: u64,
    /// A frame's way, at least and at most, in microseconds.
    pub latency_us: (u64, u64),
    /// A sync of the log, at least and at most, in microseconds.
    pub sync_us: (u64, u64),
    /// The same for one batch of the tables.
    pub tables_us: (u64, u64),
    /// How often the tables are made durable, in microseconds.
    pub persist_us: u64,
    /// The log's segments, in bytes.
    pub segment_bytes: u64,
    /// Log kept behind the durable tables, in bytes.
    pub log_keep_bytes: u64,
    /// Consensus works with small windows.
    pub narrow: bool,
    /// The engine that the cluster starts with, by its place in [`crate::engines::Engines::all`].
    pub engine: usize,
    /// How often each fault comes.
    pub rates: Vec<(Fault, Rate)>,
    /// A rule that is broken on purpose.
    pub mutation: Option<Mutation>,
}

impl Plan {
    /// What this seed draws.
    pub fn of(seed: u64) -> Plan {
        let mut random = Random::of(seed, "plan");
        let nodes = match random.below(20) {
            0 => 1,
            1 => 2,
            2..=10 => 3,
            11 => 4,
            _ => 5,
        };
        let is_long = Random::of(seed, "length").percent(LONG_PERCENT);
        let latency_low = random.scale(50, 20 * MILLI);
        let sync_low = random.scale(30, 10 * MILLI);
        let tables_low = random.scale(10, 5 * MILLI);
        Plan {
            seed,
            nodes,
            newcomers: Random::of(seed, "newcomers").between(1, NEWCOMERS_MAX),
            faults_us: random.between(6 * SECOND, 20 * SECOND) / if is_long { 1 } else { 2 },
            clients: random.between(2, 6),
            keys: random.between(1, 6),
            rest_us: random.scale(5 * MILLI, 400 * MILLI),
            sessions: random.percent(50),
            operations_max: u64::MAX,
            latency_us: (latency_low, latency_low * random.between(1, 4)),
            sync_us: (sync_low, sync_low * random.between(1, 6)),
            tables_us: (tables_low, tables_low * random.between(1, 6)),
            persist_us: random.scale(100 * MILLI, 5 * SECOND),
            segment_bytes: random.scale(1 << 10, 64 << 10),
            log_keep_bytes: if random.percent(65) { random.scale(1, 16 << 10) } else { 1 << 30 },
            narrow: random.percent(40),
            engine: *random.pick(&[0, 0, 0, 0, 0, 0, 0, 1, 2, 2]),
            rates: rates(&mut random),
            mutation: None,
        }
    }

    /// Nodes that there may ever be.
    pub fn nodes_max(&self) -> u64 {
        self.nodes + self.newcomers
    }

    /// Whether the members may change.
    pub fn churns(&self) -> bool {
        self.rate(Fault::Membership).or(self.rate(Fault::Wipe)).is_some()
    }

    /// How often this fault comes, if at all.
    pub fn rate(&self, fault: Fault) -> Option<Rate> {
        self.rates.iter().find(|(drawn, _)| *drawn == fault).map(|(_, rate)| *rate)
    }

    /// The chance of a fault that comes by chance.
    pub fn per_million(&self, fault: Fault) -> u32 {
        match self.rate(fault) {
            Some(Rate::PerMillion(chance)) => chance,
            Some(Rate::EveryUs(_)) | None => 0,
        }
    }

    /// Leaves these faults out.
    pub fn without(mut self, faults: &BTreeSet<Fault>) -> Plan {
        self.rates.retain(|(fault, _)| !faults.contains(fault));
        self
    }

    /// The line that runs this plan again.
    pub fn line(&self) -> String {
        let drawn = Plan::of(self.seed);
        let mut line = format!("cargo run --release -p outboard-sim -- --seed {}", self.seed);
        if self.faults_us != drawn.faults_us {
            line += &format!(" --faults-ms {}", self.faults_us.div_ceil(MILLI));
        }
        if self.operations_max != u64::MAX {
            line += &format!(" --operations {}", self.operations_max);
        }
        let kept: BTreeSet<Fault> = self.rates.iter().map(|(fault, _)| *fault).collect();
        let left_out: Vec<&str> =
            drawn.rates.iter().filter(|(fault, _)| !kept.contains(fault)).map(|(fault, _)| fault.name()).collect();
        if !left_out.is_empty() {
            line += &format!(" --without {}", left_out.join(","));
        }
        if let Some(mutation) = self.mutation {
            line += &format!(" --mutation {}", mutation.name());
        }
        line
    }
}

/// What can be found at all is mostly found early: so many schedules are twice as long as the others.
const LONG_PERCENT: u32 = 10;
/// So many nodes may come in during one run.
const NEWCOMERS_MAX: u64 = 5;
/// What has few occasions, or takes long, is in so many of the worlds that are shaken at all.
const WANTED_PERCENT: u32 = 60;
/// A snapshot breaks off at least so often where it does at all.
const SNAPSHOT_CUT_PER_MILLION_MIN: u32 = 300_000;

/// Some seeds shake everything, some a few things hard, some hardly anything.
fn rates(random: &mut Random) -> Vec<(Fault, Rate)> {
    let share = *random.pick(&[0, 10, 25, 45, 70]);
    let mut rates = Vec::new();
    for fault in Fault::ALL {
        // Drawn whether it is used or not, so that all faults draw alike in all seeds.
        let wanted = matches!(fault, Fault::Upgrade | Fault::SnapshotCut | Fault::Membership) && share > 0;
        let share = if wanted { share.max(WANTED_PERCENT) } else { share };
        let (on, chance, every) =
            (random.percent(share), random.scale(500, 150_000) as u32, random.scale(SECOND / 2, 15 * SECOND));
        if on {
            // What takes its time is the more worth the earlier it begins.
            let every = if matches!(fault, Fault::Upgrade | Fault::Membership) { every.min(4 * SECOND) } else { every };
            // What has few occasions gets a good chance at each.
            let chance = if matches!(fault, Fault::EnginesLost | Fault::SnapshotCut) { chance * 5 } else { chance };
            let chance = if fault == Fault::SnapshotCut { chance.max(SNAPSHOT_CUT_PER_MILLION_MIN) } else { chance };
            let rate = if fault.is_by_chance() { Rate::PerMillion(chance) } else { Rate::EveryUs(every) };
            rates.push((fault, rate));
        }
    }
    rates
}
