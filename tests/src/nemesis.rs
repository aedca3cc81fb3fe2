//! Who makes trouble: one fault after the other for nodes and the network between them, chosen by a seed, each taken back again.

use crate::cluster::Cluster;
use crate::proxy::Weather;
use outboard_sim::random::Random;
use std::collections::BTreeMap;
use std::fmt;
use std::thread::sleep;
use std::time::{Duration, Instant};

const HOLD_MS_MIN: u64 = 200;
const HOLD_MS_MAX: u64 = 6_000;
const REST_MS_MAX: u64 = 2_500;

/// What can be done to a cluster.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug)]
pub enum Fault {
    /// kill -9 of a node.
    Kill,
    /// kill -9 of the leader.
    KillLeader,
    /// kill -9 of as many as the others can spare.
    KillMinority,
    /// kill -9 of all.
    KillAll,
    /// A node is ended in peace.
    Terminate,
    /// SIGSTOP and SIGCONT of a node.
    Freeze,
    /// SIGSTOP and SIGCONT of the leader.
    FreezeLeader,
    /// Two groups that don't hear each other.
    Partition,
    /// A leader without peers.
    IsolateLeader,
    /// A node that hears nobody.
    Deaf,
    /// A node that nobody hears.
    Mute,
    /// Two groups that share one node.
    Bridge,
    /// Two nodes that don't hear each other.
    Pair,
    /// Many datagrams are lost.
    Loss,
    /// Datagrams arrive twice, late and in another order.
    Disorder,
    /// All of it a little, and a kill in the middle.
    Storm,
}

/// All of them.
pub const FAULTS: [Fault; 16] = [
    Fault::Kill,
    Fault::KillLeader,
    Fault::KillMinority,
    Fault::KillAll,
    Fault::Terminate,
    Fault::Freeze,
    Fault::FreezeLeader,
    Fault::Partition,
    Fault::IsolateLeader,
    Fault::Deaf,
    Fault::Mute,
    Fault::Bridge,
    Fault::Pair,
    Fault::Loss,
    Fault::Disorder,
    Fault::Storm,
];

const CUT: Weather = Weather { is_cut: true, loss_percent: 0, twice_percent: 0, late_percent: 0, late: Duration::ZERO };

/// The seed's choices, and how often each was made.
#[derive(Debug)]
pub struct Nemesis {
    random: Random,
    done: BTreeMap<Fault, u64>,
}

impl Nemesis {
    /// The one of this seed.
    pub fn new(seed: u64) -> Nemesis {
        Nemesis { random: Random::of(seed, "nemesis"), done: BTreeMap::new() }
    }

    /// Torments a cluster that stands behind a proxy, and leaves it with all nodes running and the network well.
    pub fn torment(&mut self, cluster: &mut Cluster, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            let fault = FAULTS[self.random.below(FAULTS.len() as u64) as usize];
            self.inflict(cluster, fault);
            sleep(Duration::from_millis(self.random.scale(1, REST_MS_MAX)));
        }
    }

    /// One fault, held for a while and taken back.
    pub fn inflict(&mut self, cluster: &mut Cluster, fault: Fault) {
        *self.done.entry(fault).or_default() += 1;
        let order = self.shuffled(cluster);
        let leader = self.leader_or(cluster, order[0]);
        match fault {
            Fault::Kill => self.kill(cluster, &order[..1]),
            Fault::KillLeader => self.kill(cluster, &[leader]),
            Fault::KillMinority => self.kill(cluster, &order[..(order.len() - 1) / 2]),
            Fault::KillAll => self.kill(cluster, &order),
            Fault::Terminate => {
                assert_eq!(cluster.terminate(order[0]), Some(0), "a node that was asked to end ends well");
                self.hold();
                cluster.start_node(order[0]);
            }
            Fault::Freeze => self.freeze(cluster, order[0]),
            Fault::FreezeLeader => self.freeze(cluster, leader),
            Fault::Partition => {
                let (ours, theirs) = order.split_at(self.random.between(1, order.len() as u64 - 1) as usize);
                self.weather(cluster, &pairs(ours, theirs), CUT);
            }
            Fault::IsolateLeader => {
                let others: Vec<usize> = order.into_iter().filter(|node| *node != leader).collect();
                self.weather(cluster, &pairs(&[leader], &others), CUT);
            }
            Fault::Deaf => self.weather(cluster, &ways(&order[1..], &order[..1]), CUT),
            Fault::Mute => self.weather(cluster, &ways(&order[..1], &order[1..]), CUT),
            Fault::Bridge => {
                let middle = order.len() / 2;
                self.weather(cluster, &pairs(&order[..middle], &order[middle + 1..]), CUT);
            }
            Fault::Pair => self.weather(cluster, &pairs(&order[..1], &order[1..2]), CUT),
            Fault::Loss => {
                let loss_percent = self.random.between(5, 40) as u32;
                self.weather(cluster, &ways(&order, &order), Weather { loss_percent, ..Weather::default() });
            }
            Fault::Disorder => {
                let weather = self.disorder();
                self.weather(cluster, &ways(&order, &order), weather);
            }
            Fault::Storm => {
                let weather = Weather { loss_percent: 10, ..self.disorder() };
                set(cluster, &ways(&order, &order), weather);
                self.hold();
                self.kill(cluster, &order[..1]);
                cluster.proxy().heal();
            }
        }
    }

    fn disorder(&mut self) -> Weather {
        let late = Duration::from_millis(self.random.between(2, 120));
        Weather { twice_percent: 20, late_percent: self.random.between(10, 80) as u32, late, ..Weather::default() }
    }

    fn kill(&mut self, cluster: &mut Cluster, victims: &[usize]) {
        victims.iter().for_each(|victim| cluster.kill(*victim));
        self.hold();
        victims.iter().for_each(|victim| cluster.start_node(*victim));
    }

    fn freeze(&mut self, cluster: &Cluster, victim: usize) {
        cluster.freeze(victim);
        self.hold();
        cluster.thaw(victim);
    }

    fn weather(&mut self, cluster: &Cluster, ways: &[(usize, usize)], weather: Weather) {
        set(cluster, ways, weather);
        self.hold();
        cluster.proxy().heal();
    }

    fn hold(&mut self) {
        sleep(Duration::from_millis(self.random.scale(HOLD_MS_MIN, HOLD_MS_MAX)));
    }

    fn shuffled(&mut self, cluster: &Cluster) -> Vec<usize> {
        let mut nodes = cluster.all();
        for place in (1..nodes.len()).rev() {
            nodes.swap(place, self.random.below(place as u64 + 1) as usize);
        }
        nodes
    }

    /// The leader, as long as anybody knows one.
    fn leader_or(&self, cluster: &Cluster, node: usize) -> usize {
        cluster.try_leader().unwrap_or(node)
    }
}

impl fmt::Display for Nemesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let done: Vec<String> = self.done.iter().map(|(fault, times)| format!("{fault:?} {times}")).collect();
        write!(f, "{} faults: {}", self.done.values().sum::<u64>(), done.join(", "))
    }
}

fn set(cluster: &Cluster, ways: &[(usize, usize)], weather: Weather) {
    ways.iter().for_each(|(from, to)| cluster.proxy().set(*from, *to, weather));
}

/// Every direction from one of these to one of those.
fn ways(from: &[usize], to: &[usize]) -> Vec<(usize, usize)> {
    from.iter().flat_map(|from| to.iter().map(|to| (*from, *to))).filter(|(from, to)| from != to).collect()
}

/// Both directions between these and those.
fn pairs(ours: &[usize], theirs: &[usize]) -> Vec<(usize, usize)> {
    let mut both = ways(ours, theirs);
    both.extend(ways(theirs, ours));
    both
}
