//! Stories in plain text. A script is a list of blocks; a block is comments (`#`), commands, a line `---`, and the
//! events that the commands must cause, up to an empty line. Nodes are plain numbers.
//!
//! ```text
//! cluster nodes=3 [learners=4,5] [leader=1] [CONFIG=NUMBER ...]   a fresh world; with a leader it begins settled
//! disk N [log=1@1,2@1] [term=T] [vote=V] [applied=I] [tail=K]     restart N with this disk (log as it is if not given); K entries in memory
//! campaign N | timeout N | tick N [COUNT]                         timeout: tick until N does something about it
//! put N WORD... | flood N count=C bytes=B                         all proposals in one ready
//! read N ID... | readhere N ID... | transfer N [TO]               readhere: on a follower too
//! member N [force] +4 +l5 ^4 ~3 -2 2>4                            add voter, add learner, promote, demote, remove, replace 2 by 4
//! stabilize | deliver [A B [COUNT]]                               everything till rest; or what is there now
//! drop A B | shelve A B | copy A B | unshelve | reverse A B       messages on the way from A to B
//! inject A B tT MESSAGE FIELD=VALUE...                            a message that nobody sent
//! snapshot fail | snapshot A B tT                                 those on the way; or one of A, unasked, to B
//! run COUNT                                                       tick everyone and stabilize, heartbeats not shown
//! cut N | cut A B | heal                                          both ways; one way; all links
//! readback N PEER log=2@1,3@1                                     an answer to a read for PEER, from what the disk once held
//! hold PART N | release PART N | step PART N                      PART: disk, report, apply, reads, install
//! crash N | start N [tail=K] | compact N I | unreachable N PEER
//! wipe N | damage N I                                             a crash that loses the disk, or the log from I on
//! status | progress N | log N                                     print what is
//! ```

use super::{Bulk, Part, World, show_hard_state};
use outboard_raft::{
    Config, Entry, Envelope, HardState, Index, LogAnswer, LogPurpose, Membership, MembershipChange, MembershipStep,
    Message, NodeId, Payload, Position, ReadId, Refusal, RoleKind, Term,
};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

/// Runs a script and returns it with the events that really happened.
pub fn run(script: &str) -> String {
    let mut world = None;
    let mut output = String::new();
    let mut lines = script.lines().peekable();
    while lines.peek().is_some() {
        let mut block = String::new();
        let mut events = Vec::new();
        for line in lines.by_ref().take_while(|line| line.trim() != "---") {
            block.push_str(line);
            block.push('\n');
            run_line(&mut world, line.trim(), &mut events);
        }
        while lines.next_if(|line| !line.trim().is_empty()).is_some() {}
        while lines.next_if(|line| line.trim().is_empty()).is_some() {}
        output.push_str(&block);
        output.push_str("---\n");
        output.push_str(&events.iter().map(|event| format!("{event}\n")).collect::<String>());
        if lines.peek().is_some() {
            output.push('\n');
        }
    }
    output
}

fn run_line(world: &mut Option<World>, line: &str, events: &mut Vec<String>) {
    if line.is_empty() || line.starts_with('#') {
        return;
    }
    let words = Words(line.split_whitespace().collect());
    if words.name() == "cluster" {
        *world = Some(cluster(&words));
    } else {
        let world = world.as_mut().expect("a script begins with a cluster");
        command(world, &words);
        world.check_logs_match();
    }
    events.append(&mut world.as_mut().expect("there is a world now").events);
}

fn cluster(words: &Words) -> World {
    let count: u64 = words.field("nodes").unwrap_or(3);
    let mut membership = Membership::of_voters((1..=count).map(NodeId));
    membership.learners = words.list("learners").into_iter().map(NodeId).collect();
    let default = Config { seed: 1, ..Config::default() };
    let config = Config {
        append_bytes_max: words.field("append_bytes_max").unwrap_or(default.append_bytes_max),
        inflight_messages_max: words.field("inflight_messages_max").unwrap_or(default.inflight_messages_max),
        inflight_bytes_max: words.field("inflight_bytes_max").unwrap_or(default.inflight_bytes_max),
        uncommitted_bytes_max: words.field("uncommitted_bytes_max").unwrap_or(default.uncommitted_bytes_max),
        cache_bytes_max: words.field("cache_bytes_max").unwrap_or(default.cache_bytes_max),
        apply_bytes_max: words.field("apply_bytes_max").unwrap_or(default.apply_bytes_max),
        stall_ticks_max: words.field("stall_ticks_max").unwrap_or(default.stall_ticks_max),
        seed: words.field("seed").unwrap_or(default.seed),
        ..default
    };
    let mut world = World::new(membership, config);
    if let Some(leader) = words.field("leader") {
        world.campaign(NodeId(leader));
        world.stabilize();
        world.events.clear();
    }
    world
}

fn command(world: &mut World, words: &Words) {
    match words.name() {
        "disk" => disk(world, words),
        "campaign" => world.campaign(words.node(1)),
        "timeout" => timeout(world, words.node(1)),
        "tick" => {
            for _ in 0..words.number_or(2, 1) {
                world.tick(words.node(1));
            }
        }
        "put" => {
            for word in &words.0[2..] {
                let result = world.propose(words.node(1), word.as_bytes());
                show(world, words.node(1), "proposes", result);
            }
            world.settle(words.node(1));
        }
        "flood" => {
            let command = vec![b'x'; words.field("bytes").expect("flood has bytes=")];
            for _ in 0..words.field("count").expect("flood has count=") {
                let result = world.propose(words.node(1), &command);
                show(world, words.node(1), "proposes", result);
            }
            world.settle(words.node(1));
        }
        "read" | "readhere" => {
            for place in 2..words.0.len() {
                let (node, id) = (words.node(1), ReadId(words.number(place)));
                let here = words.name() == "readhere";
                if let Err(refusal) = if here { world.read_here(node, id) } else { world.read(node, id) } {
                    show::<u64>(world, words.node(1), "reads", Err(refusal));
                }
            }
            world.settle(words.node(1));
        }
        "unfit" | "fit" => {
            world.node(words.node(1)).raft.as_mut().expect("a running node").on_unfit(words.name() == "unfit");
            world.settle(words.node(1));
        }
        "transfer" => {
            let to = (words.0.len() > 2).then(|| words.node(2));
            let result = world.node(words.node(1)).raft.as_mut().expect("a running node").transfer(to);
            show(world, words.node(1), "hands over to", result);
            world.settle(words.node(1));
        }
        "member" => {
            let forced = words.0.get(2) == Some(&"force");
            let steps = words.0[2 + usize::from(forced)..].iter().map(|step| parse_step(step)).collect();
            let raft = world.node(words.node(1)).raft.as_mut().expect("a running node");
            let change = MembershipChange { steps };
            let preview = raft.preview_membership(&change, forced);
            let result = if forced { raft.force_membership(change) } else { raft.propose_membership(change) };
            assert_eq!(preview.is_ok(), result.is_ok(), "a preview says what will be");
            assert!(preview.is_err() || preview.as_ref() == Ok(raft.membership()), "a preview says what will be");
            let membership = raft.membership().to_string();
            show(world, words.node(1), &format!("changes to {membership},"), result);
            world.settle(words.node(1));
        }
        "stabilize" => world.stabilize(),
        "deliver" => deliver(world, words),
        "drop" => drop(take(world, words)),
        "shelve" => {
            let taken = take(world, words);
            world.shelf.extend(taken);
        }
        "copy" => {
            let link = (words.node(1), words.node(2));
            world.shelf.extend(world.network.iter().filter(|e| (e.from, e.to) == link).cloned());
        }
        "unshelve" => world.network.append(&mut world.shelf),
        "reverse" => {
            let taken = take(world, words);
            world.network.extend(taken.into_iter().rev());
        }
        "inject" => {
            let message = parse_message(&Words(words.0[4..].to_vec()));
            world.deliver(Envelope { from: words.node(1), to: words.node(2), term: words.term(3), message });
        }
        "cut" if words.0.len() == 2 => {
            for other in world.nodes.keys().copied().collect::<Vec<_>>() {
                world.cut.extend([(words.node(1), other), (other, words.node(1))]);
            }
        }
        "cut" => drop(world.cut.insert((words.node(1), words.node(2)))),
        "heal" => world.cut.clear(),
        "hold" => drop(world.node(words.node(2)).held.insert(part(words.0[1]))),
        "release" => {
            world.node(words.node(2)).held.remove(&part(words.0[1]));
            world.work(words.node(2));
            world.settle(words.node(2));
        }
        "step" => {
            match part(words.0[1]) {
                Part::Disk => drop(world.persist_one(words.node(2))),
                Part::Report => drop(world.report_one(words.node(2))),
                Part::Reads => drop(world.read_one(words.node(2))),
                Part::Apply => world.apply_all(words.node(2)),
                Part::Install => world.install(words.node(2)),
            }
            world.settle(words.node(2));
        }
        "crash" => world.crash(words.node(1)),
        "wipe" => world.wipe(words.node(1)),
        "damage" => world.damage(words.node(1), Index(words.number(2))),
        "start" => {
            if !world.nodes.contains_key(&words.node(1)) {
                world.add_node(words.node(1));
            }
            world.start(words.node(1), words.field("tail").unwrap_or(usize::MAX));
        }
        "compact" => {
            let upto = Index(words.number(2));
            world.with(words.node(1), |raft| raft.compact(upto));
            world.node(words.node(1)).disk.compact(upto);
        }
        "readback" => {
            let log = words.field::<String>("log").expect("what the disk once held");
            let entries = parse_positions(&log).into_iter().map(entry_at).collect();
            let answer = LogAnswer { purpose: LogPurpose::Peer(words.node(2)), entries };
            world.with(words.node(1), |raft| raft.on_log_read(answer));
        }
        "unreachable" => drop(world.with(words.node(1), |raft| raft.on_unreachable(words.node(2)))),
        "run" => {
            for _ in 0..words.number(1) {
                for id in world.nodes.keys().copied().collect::<Vec<_>>() {
                    world.tick(id);
                }
                world.stabilize();
            }
            world.events.retain(|event| !event.contains(" Heartbeat"));
        }
        "snapshot" if words.0.len() > 2 => {
            let (from, to, term) = (words.node(1), words.node(2), words.term(3));
            let snapshot = world.node(from).snapshot();
            world.deliver_bulk(Bulk { from, to, term, snapshot });
        }
        "snapshot" => {
            for Bulk { from, to, snapshot, .. } in std::mem::take(&mut world.bulk) {
                world.events.push(format!("{from} =x {to} Snapshot {}", snapshot.meta.position));
                world.with(from, |raft| raft.on_snapshot_sent(to, snapshot.meta.position, false));
            }
        }
        "status" => status(world),
        "progress" => progress(world, words.node(1)),
        "log" => log(world, words.node(1)),
        other => panic!("no such command: {other}"),
    }
}

fn show<T: Display>(world: &mut World, id: NodeId, does: &str, result: Result<T, Refusal>) {
    world.events.push(match result {
        Ok(value) => format!("{id} {does} {value}"),
        Err(refusal) => format!("{id} refuses: {refusal}"),
    });
}

/// A disk as a test needs it: what happened before is not told.
fn disk(world: &mut World, words: &Words) {
    let node = world.node(words.node(1));
    node.crash();
    if let Some(log) = words.field::<String>("log") {
        let applied = words.field("applied").unwrap_or(0);
        node.disk.entries = parse_positions(&log).into_iter().map(entry_at).collect();
        node.store.entries = node.disk.entries[..applied].to_vec();
        node.store.durable = applied;
    }
    let term = words.field("term").map_or(node.disk.last().term, Term);
    node.disk.hard_state = HardState { term, vote: words.field("vote").map(NodeId) };
    let entries = node.store.entries.clone();
    world.take_for_committed(&entries);
    world.start(words.node(1), words.field("tail").unwrap_or(usize::MAX));
}

/// The same position is the same entry on every node that is given it.
fn entry_at(position: Position) -> Entry {
    let command = Arc::from(position.to_string().as_bytes());
    Entry { index: position.index, term: position.term, payload: Payload::Command(command) }
}

fn timeout(world: &mut World, id: NodeId) {
    let ticks = world.config.election_timeout_ticks * 2;
    let network = world.network.len();
    for _ in 0..ticks {
        world.tick(id);
        if world.network.len() > network
            || world.nodes[&id].raft.as_ref().map(|raft| raft.role()) != Some(RoleKind::Follower)
        {
            return;
        }
    }
}

fn deliver(world: &mut World, words: &Words) {
    if words.0.len() == 1 {
        let (network, bulk) = (std::mem::take(&mut world.network), std::mem::take(&mut world.bulk));
        network.into_iter().for_each(|envelope| world.deliver(envelope));
        bulk.into_iter().for_each(|bulk| world.deliver_bulk(bulk));
        return;
    }
    let mut taken = take(world, words);
    let count = words.number_or(3, taken.len() as u64) as usize;
    let rest = taken.split_off(count.min(taken.len()));
    for envelope in taken {
        world.deliver(envelope);
    }
    // What was not asked for stays in front of what came since.
    for envelope in rest.into_iter().rev() {
        world.network.push_front(envelope);
    }
}

fn take(world: &mut World, words: &Words) -> Vec<Envelope> {
    let link = (words.node(1), words.node(2));
    let (taken, rest) = std::mem::take(&mut world.network).into_iter().partition(|e: &Envelope| (e.from, e.to) == link);
    world.network = rest;
    Vec::from_iter::<std::collections::VecDeque<Envelope>>(taken)
}

fn status(world: &mut World) {
    for node in world.nodes.values() {
        let id = node.id;
        world.events.push(match &node.raft {
            None => format!("{id} down {} last={}", show_hard_state(node.disk.hard_state), node.disk.last()),
            Some(raft) => format!(
                "{id} {} t{} leader={} last={} commit={} applied={} base={}",
                raft.role(),
                raft.term(),
                raft.leader().map_or("none".to_string(), |leader| leader.to_string()),
                raft.last(),
                raft.commit(),
                raft.applied(),
                raft.base()
            ),
        });
    }
}

fn progress(world: &mut World, id: NodeId) {
    let Some(raft) = &world.nodes[&id].raft else { return };
    let mut lines = vec![format!(
        "{id} uncommitted={} bytes, cached={} bytes, {}",
        raft.uncommitted_bytes(),
        raft.cached_bytes(),
        raft.membership()
    )];
    lines.extend(raft.progress().into_iter().map(|peer| {
        format!(
            "  {} {} matched={} next={} inflight={} ({} bytes){}{}{}",
            peer.id,
            peer.state,
            peer.matched,
            peer.next,
            peer.inflight_messages,
            peer.inflight_bytes,
            if peer.heard { "" } else { " silent" },
            if peer.suspended { " suspended" } else { "" },
            if peer.caught_up { " caught up" } else { "" },
        )
    }));
    world.events.append(&mut lines);
}

fn log(world: &mut World, id: NodeId) {
    let disk = &world.nodes[&id].disk;
    let positions = super::words(disk.entries.iter().map(|entry| entry.position().to_string()));
    world.events.push(format!("{id} has base={} [{positions}] on disk", disk.base));
}

fn part(name: &str) -> Part {
    match name {
        "disk" => Part::Disk,
        "apply" => Part::Apply,
        "report" => Part::Report,
        "reads" => Part::Reads,
        "install" => Part::Install,
        other => panic!("no such part of a node: {other}"),
    }
}

fn parse_step(step: &str) -> MembershipStep {
    let number = |digits: &str| NodeId(digits.parse().expect("a node's number"));
    if let Some((old, new)) = step.split_once('>') {
        return MembershipStep::Replace { old: number(old), new: number(new) };
    }
    match step.split_at(1) {
        ("+", id) if id.starts_with('l') => MembershipStep::AddLearner(number(&id[1..])),
        ("+", id) => MembershipStep::AddVoter(number(id)),
        ("^", id) => MembershipStep::Promote(number(id)),
        ("~", id) => MembershipStep::Demote(number(id)),
        ("-", id) => MembershipStep::Remove(number(id)),
        _ => panic!("a step is +4, +l4, ^4, ~4, -4 or 2>4"),
    }
}

fn parse_message(words: &Words) -> Message {
    let index = |name: &str| Index(words.field(name).expect("an index"));
    let position = |name: &str| parse_position(&words.field::<String>(name).expect("a position"));
    let granted = words.0.contains(&"granted");
    let round = words.field("round").unwrap_or(0);
    match words.name() {
        "PreVote" => {
            Message::PreVote { next_term: Term(words.field("next_term").expect("a term")), last: position("last") }
        }
        "PreVoteReply" => Message::PreVoteReply { next_term: Term(words.field("next_term").expect("a term")), granted },
        "Vote" => Message::Vote { last: position("last"), transfer: words.0.contains(&"transfer") },
        "VoteReply" => Message::VoteReply { granted },
        "Append" => {
            let entries = words.field::<String>("entries").map_or(Vec::new(), |log| parse_positions(&log));
            let entries = entries.into_iter().map(entry_at).collect();
            Message::Append { prev: position("prev"), entries, commit: index("commit") }
        }
        "AppendAccept" => Message::AppendAccept { matched: index("matched") },
        "AppendReject" => Message::AppendReject { prev: index("prev"), hint: position("hint") },
        "Heartbeat" => Message::Heartbeat { commit: index("commit"), read_round: round },
        "HeartbeatReply" => Message::HeartbeatReply { read_round: round },
        "Commit" => Message::Commit { commit: index("commit") },
        "StaleTerm" => Message::StaleTerm,
        "TimeoutNow" => Message::TimeoutNow,
        "Removed" => Message::Removed { at: index("at") },
        "Suspended" => Message::Suspended {
            incarnation: words.field("incarnation").expect("an incarnation"),
            fence: words.0.contains(&"fence"),
            matched: words.field("matched").map(Index),
        },
        "Readmitted" => Message::Readmitted {
            incarnation: words.field("incarnation").expect("an incarnation"),
            upto: index("upto"),
        },
        "ReadIndex" => Message::ReadIndex { ticket: words.field("ticket").expect("a ticket") },
        "ReadIndexReply" => {
            Message::ReadIndexReply { ticket: words.field("ticket").expect("a ticket"), index: index("index") }
        }
        other => panic!("no such message: {other}"),
    }
}

fn parse_positions(log: &str) -> Vec<Position> {
    log.split(',').map(parse_position).collect()
}

fn parse_position(position: &str) -> Position {
    let (index, term) = position.split_once('@').expect("a position like 7@2");
    Position::new(index.parse().expect("an index"), term.parse().expect("a term"))
}

/// The words of one line: a name, places, and fields like `count=3`.
struct Words<'a>(Vec<&'a str>);

impl Words<'_> {
    fn name(&self) -> &str {
        self.0[0]
    }

    fn node(&self, place: usize) -> NodeId {
        NodeId(self.number(place))
    }

    fn number(&self, place: usize) -> u64 {
        self.0.get(place).and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("a number in {:?}", self.0))
    }

    fn term(&self, place: usize) -> Term {
        Term(self.0[place].strip_prefix('t').and_then(|term| term.parse().ok()).expect("a term like t2"))
    }

    fn number_or(&self, place: usize, default: u64) -> u64 {
        if self.0.len() > place { self.number(place) } else { default }
    }

    fn field<T: FromStr>(&self, name: &str) -> Option<T> {
        let fields: BTreeMap<_, _> = self.0.iter().filter_map(|word| word.split_once('=')).collect();
        fields.get(name).map(|value| value.parse().ok().unwrap_or_else(|| panic!("a value for {name} in {:?}", self.0)))
    }

    fn list(&self, name: &str) -> Vec<u64> {
        let list: Option<String> = self.field(name);
        list.map_or(Vec::new(), |list| list.split(',').map(|id| id.parse().expect("a number")).collect())
    }
}
