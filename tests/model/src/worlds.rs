//! The small worlds that are searched, each in a small version for every test run and a full one by command. Every search ends: what is
//! counted are all states that can be reached.
//!
//! | world | small: states | full: states | steps | depth |
//! | --- | --- | --- | --- | --- |
//! | three-voters | 69,393 | 7,957,971 | 28,079,386 | 38 |
//! | slow-disks | 719,712 | 44,297,577 | 207,574,864 | 111 |
//! | a-voter-more | 30,661 | 1,369,685 | 5,414,316 | 42 |
//! | two-changes | 8,349 | 1,303,880 | 4,668,740 | 46 |
//! | replacement | 493 | 3,155,806 | 12,315,688 | 55 |
//! | reads | 141,094 | 8,330,424 | 35,368,306 | 34 |
//! | wiped-voter | 20,738 | 12,599,032 | 53,519,431 | 50 |
//! | damaged-voter | 84,058 | 1,814,535 | 8,702,636 | 45 |
//!
//! The full size takes half an hour on one core and less than 1 GiB (`worlds --alone`). The depth is that of the search, which goes deep first; it depends
//! on the order of the threads.

use crate::node::Kind;
use crate::world::{Budget, Memory, State, World};
use outboard_raft::{Membership, MembershipChange, MembershipStep, NodeId, RoleKind};
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How far a search goes.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum Size {
    /// Seconds, unoptimized.
    Small,
    /// Minutes, optimized.
    Full,
}

/// One search.
pub struct Search {
    /// Its name.
    pub name: &'static str,
    /// What is in it.
    pub about: &'static str,
    /// The world.
    pub world: fn(Size) -> World,
}

/// What a search found.
pub struct Found {
    /// States that differ.
    pub states: usize,
    /// Steps that were tried.
    pub steps: usize,
    /// The longest way.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// A broken property, and the way to it.
    pub broken: Option<(String, String)>,
}

/// All of them.
pub const ALL: [Search; 8] = [
    Search { name: "three-voters", about: "three voters, a command, a crash", world: three_voters },
    Search { name: "slow-disks", about: "three voters, writes that wait for the disk, a crash", world: slow_disks },
    Search { name: "a-voter-more", about: "a fourth voter comes while the leader changes", world: a_voter_more },
    Search {
        name: "two-changes",
        about: "leaders that each change one voter: one comes, one goes",
        world: two_changes,
    },
    Search {
        name: "replacement",
        about: "a voter is replaced by the joint form while the leader changes",
        world: replacement,
    },
    Search { name: "reads", about: "reads on a leader that may be paused and on a follower", world: reads },
    Search { name: "wiped-voter", about: "a voter loses its disk", world: wiped_voter },
    Search { name: "damaged-voter", about: "a voter loses the end of its log", world: damaged_voter },
];

impl Search {
    /// Searches to the end, or to the first broken property.
    pub fn run(&self, size: Size, threads: usize) -> Found {
        let began = Instant::now();
        let checker = (self.world)(size).checker();
        let checker = checker.threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join();
        let broken = checker
            .discoveries()
            .into_iter()
            .find(|(name, _)| checker.model().property(name).expectation == stateright::Expectation::Always);
        let broken = broken.map(|(name, path)| (name.to_owned(), tell(path.into_actions())));
        let vain = checker.discovery("what this world is about happens").is_none();
        let broken = broken.or(vain.then(|| ("what this world is about happens".into(), "never".into())));
        Found {
            states: checker.unique_state_count(),
            steps: checker.state_count(),
            depth: checker.max_depth(),
            took: began.elapsed(),
            broken,
        }
    }
}

fn tell(actions: Vec<crate::world::Action>) -> String {
    actions.iter().map(|action| format!("  {action:?}\n")).collect()
}

fn empty(nodes: u64, voters: u64) -> World {
    let first = Membership::of_voters((1..=voters).map(NodeId));
    World {
        kind: Kind { first, slow_disks: false, fresh_tickets: false },
        nodes,
        leader: None,
        candidates: (1..=nodes).map(NodeId).collect(),
        terms_max: 2,
        budget: Budget::default(),
        changes: Vec::new(),
        losers: Vec::new(),
        readers: Vec::new(),
        heartbeats: false,
        copies_min: 0,
        reached: |_| true,
        memory: Memory::default(),
    }
}

fn three_voters(size: Size) -> World {
    let (terms_max, commands, restarts) = match size {
        Size::Small => (2, 1, 0),
        Size::Full => (3, 1, 1),
    };
    World {
        terms_max,
        budget: Budget { commands, restarts, ..Budget::default() },
        copies_min: 2,
        reached: |state| state.history.committed.len() >= 3,
        ..empty(3, 3)
    }
}

/// What a crash forgets is what was not synced: nothing may be promised before.
fn slow_disks(size: Size) -> World {
    let (terms_max, restarts) = match size {
        Size::Small => (1, 1),
        Size::Full => (2, 1),
    };
    World {
        kind: Kind { slow_disks: true, ..empty(3, 3).kind },
        terms_max,
        budget: Budget { commands: 1, restarts, ..Budget::default() },
        copies_min: 2,
        reached: |state| state.history.committed.len() >= 2,
        ..empty(3, 3)
    }
}

fn a_voter_more(size: Size) -> World {
    let (terms_max, commands) = match size {
        Size::Small => (2, 0),
        Size::Full => (3, 0),
    };
    let steps = vec![MembershipStep::AddLearner(NodeId(4)), MembershipStep::Promote(NodeId(4))];
    World {
        leader: Some(NodeId(1)),
        terms_max,
        budget: Budget { commands, changes: 1, ..Budget::default() },
        changes: vec![MembershipChange { steps }],
        copies_min: 2,
        reached: |state| {
            let four = [1, 2, 3, 4].map(NodeId).into();
            state.history.elected.len() > 1 && settled_with(state, &four)
        },
        ..empty(4, 3)
    }
}

/// The bug of the thesis lives here: two leaders, each with a change of its own on top of what both know.
fn two_changes(size: Size) -> World {
    let (terms_max, changes) = match size {
        Size::Small => (2, 1),
        Size::Full => (3, 2),
    };
    let come = vec![MembershipStep::AddLearner(NodeId(4)), MembershipStep::Promote(NodeId(4))];
    let go = vec![MembershipStep::Remove(NodeId(3))];
    World {
        leader: Some(NodeId(1)),
        candidates: [1, 2].map(NodeId).into(),
        terms_max,
        budget: Budget { changes, ..Budget::default() },
        changes: [come, go].map(|steps| MembershipChange { steps }).into(),
        copies_min: 1,
        reached: |state| state.history.elected.len() > 1 && state.history.left.changes == 0,
        ..empty(4, 3)
    }
}

fn replacement(size: Size) -> World {
    let (terms_max, commands) = match size {
        Size::Small => (1, 0),
        Size::Full => (3, 0),
    };
    let (come, promote, go) =
        (MembershipStep::AddLearner(NodeId(4)), MembershipStep::Promote(NodeId(4)), MembershipStep::Remove(NodeId(3)));
    World {
        leader: Some(NodeId(1)),
        terms_max,
        budget: Budget { commands, changes: 1, ..Budget::default() },
        changes: vec![MembershipChange { steps: vec![come, promote, go] }],
        copies_min: 1,
        reached: |state| settled_with(state, &[1, 2, 4].map(NodeId).into()),
        ..empty(4, 3)
    }
}

/// A message that is late enough is a pause: the old leader is asked, the new one has written.
fn reads(size: Size) -> World {
    let (reads, restarts) = match size {
        Size::Small => (1, 0),
        Size::Full => (2, 0),
    };
    World {
        kind: Kind { fresh_tickets: true, ..empty(3, 3).kind },
        leader: Some(NodeId(1)),
        candidates: [1, 2].map(NodeId).into(),
        terms_max: 2,
        budget: Budget { commands: 1, reads, restarts, ..Budget::default() },
        readers: [1, 3].map(NodeId).into(),
        copies_min: 2,
        reached: |state| state.history.elected.len() > 1 && state.history.reads_answered > 0,
        ..empty(3, 3)
    }
}

fn wiped_voter(size: Size) -> World {
    let world = World {
        leader: Some(NodeId(1)),
        candidates: [1, 2].map(NodeId).into(),
        terms_max: 3,
        losers: vec![NodeId(3)],
        copies_min: 1,
        reached: |state| state.history.left.wipes == 0 && nobody_is_suspended(state),
        ..empty(3, 3)
    };
    let commands = match size {
        Size::Small => 0,
        Size::Full => 1,
    };
    World { budget: Budget { commands, wipes: 1, ..Budget::default() }, ..world }
}

fn damaged_voter(size: Size) -> World {
    let (terms_max, commands) = match size {
        Size::Small => (2, 0),
        Size::Full => (3, 0),
    };
    World {
        leader: Some(NodeId(1)),
        candidates: [1, 2].map(NodeId).into(),
        terms_max,
        budget: Budget { commands, damages: 1, ..Budget::default() },
        losers: vec![NodeId(3)],
        heartbeats: true,
        copies_min: 1,
        reached: |state| state.history.left.damages == 0 && nobody_is_suspended(state),
        ..empty(3, 3)
    }
}

/// A leader has committed everything, and these are the voters.
fn settled_with(state: &State, voters: &BTreeSet<NodeId>) -> bool {
    state.nodes.iter().map(|node| &node.value().raft).any(|raft| {
        let settled = raft.commit() == raft.last().index && !raft.membership().is_joint();
        raft.role() == RoleKind::Leader && settled && raft.membership().voters == *voters
    })
}

fn nobody_is_suspended(state: &State) -> bool {
    state.nodes.iter().all(|node| node.value().suspended.is_none())
}
