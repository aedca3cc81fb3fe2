//! Every guard of the core turned off in turn, and what notices. A mutation is a line of the source and what stands there
//! instead; it is put into a copy of the two crates under `target/`, never into the tree, so there is no switch in the product
//! that could be on by accident.
//!
//! What the node's workers guard (a sync before its promises, tables behind the log) the simulator breaks: `outboard_sim::mutation::Mutation`,
//! table by `cargo run --release -p outboard-sim -- --mutations`. What caught each stands in `MUTATIONS.md`. Tests: `tests/mutations.rs` holds the
//! list against the tree; the table itself takes a quarter of an hour, by command.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A guard, and how it is turned off.
pub struct Mutation {
    /// Its name.
    pub name: &'static str,
    /// What is off.
    pub off: &'static str,
    /// The file, from `host/raft/src`.
    pub file: &'static str,
    /// What stands there, once.
    pub guard: &'static str,
    /// What is put in its place.
    pub instead: &'static str,
}

const fn mutation(
    name: &'static str,
    off: &'static str,
    file: &'static str,
    guard: &'static str,
    instead: &'static str,
) -> Mutation {
    Mutation { name, off, file, guard, instead }
}

/// All of them.
pub const ALL: [Mutation; 44] = [
    mutation(
        "own-term-commit",
        "entries of older terms commit by being counted",
        "leader.rs",
        "if reached > shared.commit && shared.log.term_at(reached) == Some(shared.term) {",
        "if reached > shared.commit {",
    ),
    mutation(
        "own-log-durable",
        "the leader counts its own log before its disk has it",
        "leader.rs",
        "let durable = shared.log.durable();",
        "let durable = shared.log.last().index;",
    ),
    mutation(
        "vote-durable",
        "a vote is given before it is durable",
        "role.rs",
        "self.shared.send_after_persist(from, Message::VoteReply { granted: true });",
        "self.shared.send(from, Message::VoteReply { granted: true });",
    ),
    mutation(
        "own-vote-durable",
        "a candidate wins before its own vote is durable",
        "candidate.rs",
        "(Tally::Won, Round::Real { .. }) => shared.is_own_vote_durable().then_some(Change::Lead),",
        "(Tally::Won, Round::Real { .. }) => Some(Change::Lead),",
    ),
    mutation(
        "one-vote",
        "two candidates of a term get a vote",
        "role.rs",
        "let free = self.shared.vote.is_none() && self.leader().is_none();",
        "self.shared.vote = None;\n        let free = self.leader().is_none();",
    ),
    mutation(
        "vote-log-check",
        "a vote goes to a log that lacks entries",
        "role.rs",
        "if !may || !self.shared.approves(last) {",
        "if !may {",
    ),
    mutation(
        "pre-vote-log-check",
        "a pre-vote goes to a log that lacks entries",
        "role.rs",
        "let granted = term >= self.shared.term && !self.has_live_leader() && self.shared.approves(last);",
        "let granted = term >= self.shared.term && !self.has_live_leader();",
    ),
    mutation(
        "pre-vote-live-leader",
        "a pre-vote is given although a leader lives",
        "role.rs",
        "let granted = term >= self.shared.term && !self.has_live_leader() && self.shared.approves(last);",
        "let granted = term >= self.shared.term && self.shared.approves(last);",
    ),
    mutation(
        "pre-vote-round",
        "an answer to another round's pre-vote counts",
        "candidate.rs",
        "if next_term == shared.term.next() => {",
        "if next_term.0 > 0 => {",
    ),
    mutation(
        "vote-live-leader",
        "a vote is listened to although a leader lives",
        "role.rs",
        "Message::Vote { transfer, .. } => *transfer || !self.has_live_leader(),",
        "Message::Vote { .. } => true,",
    ),
    mutation(
        "answers-of-this-term",
        "answers of an older term count",
        "raft.rs",
        "if term == self.shared.term {\n                    self.step_role(from, message);",
        "if term.0 > 0 {\n                    self.step_role(from, message);",
    ),
    mutation(
        "time-out-now",
        "whoever says so starts an election, and whoever hears it",
        "follower.rs",
        "let asked = self.leader == Some(from) && shared.is_promotable();",
        "let asked = from.0 > 0 && shared.term.0 > 0;",
    ),
    mutation(
        "check-quorum",
        "a leader without a quorum stays",
        "leader.rs",
        "(!quorum::holds(shared.membership(), heard)).then_some(Change::Follow { leader: None })",
        "(!quorum::holds(shared.membership(), heard) && shared.term.0 == 0).then_some(Change::Follow { leader: None })",
    ),
    mutation(
        "accept-durable",
        "entries are acknowledged before they are durable",
        "shared.rs",
        "self.send_after_persist(to, message);\n    }\n\n    /// Still here.",
        "self.send(to, message);\n    }\n\n    /// Still here.",
    ),
    mutation(
        "accept-this-append",
        "an acknowledgement speaks of the whole log",
        "follower.rs",
        "shared.accept(from, last);",
        "shared.accept(from, last.max(shared.log.last().index));",
    ),
    mutation(
        "agreement",
        "entries are taken although the logs don't agree before them",
        "follower.rs",
        "if !shared.log.contains(prev) {",
        "if prev.index > shared.log.last().index {",
    ),
    mutation(
        "real-conflict",
        "an older, shorter Append drops a newer tail",
        "follower.rs",
        "let Some(new) = entries.iter().position(|entry| !shared.log.contains(entry.position())) else {\n        return;\n    };",
        "if entries.is_empty() {\n        return;\n    }\n    let new = 0;",
    ),
    mutation(
        "append-commit-clamp",
        "an Append's commit index holds for what it does not cover",
        "follower.rs",
        "shared.commit_to(commit.min(last).max(shared.commit));",
        "shared.commit_to(commit.min(shared.log.last().index).max(shared.commit));",
    ),
    mutation(
        "heartbeat-commit-clamp",
        "a heartbeat's commit index holds for what is not known to agree",
        "leader.rs",
        "let commit = shared.commit.min(peer.matched);",
        "let commit = shared.commit;",
    ),
    mutation(
        "stale-reject",
        "a late rejection takes agreement back",
        "progress.rs",
        "if !current || prev <= self.matched {",
        "self.matched = if prev <= self.matched { Index(0) } else { self.matched };\n        if !current {",
    ),
    mutation(
        "truncation-lowers-durable",
        "what was overwritten still counts as durable",
        "pending.rs",
        "self.durable = self.durable.min(kept);\n        for batch in &mut self.batches {\n            batch.last = batch.last.min(kept);\n        }",
        "self.durable = self.durable.min(kept);",
    ),
    mutation(
        "writes-in-order",
        "a report counts before those of earlier writes",
        "pending.rs",
        "while let Some(batch) = self.batches.pop_front_if(|batch| batch.done) {",
        "while let Some(batch) = self.batches.iter().position(|batch| batch.done).and_then(|at| self.batches.remove(at)) {",
    ),
    mutation(
        "apply-durable",
        "entries are applied before the own disk has them",
        "shared.rs",
        "self.commit.min(self.log.durable())",
        "self.commit",
    ),
    mutation(
        "read-back-current",
        "entries that were read back are sent although they were overwritten",
        "replicate.rs",
        "let current = first.index == peer.next && entries.iter().all(|entry| shared.log.contains(entry.position()));",
        "let current = first.index == peer.next;",
    ),
    mutation(
        "no-op-before-change",
        "a new leader changes the membership before its first commit",
        "change.rs",
        "if !self.has_committed_in_term(shared) || shared.memberships.index() > shared.commit {",
        "if shared.memberships.index() > shared.commit {",
    ),
    mutation(
        "one-change-at-a-time",
        "a second change begins before the first one is committed",
        "change.rs",
        "if !self.has_committed_in_term(shared) || shared.memberships.index() > shared.commit {",
        "if !self.has_committed_in_term(shared) {",
    ),
    mutation(
        "joint-form",
        "several voters change at once without the joint form",
        "membership.rs",
        "if target.voters.symmetric_difference(&self.voters).count() > 1 {",
        "if target.voters.symmetric_difference(&self.voters).count() > 99 {",
    ),
    mutation(
        "both-majorities",
        "while joint the new majority alone decides",
        "quorum.rs",
        "incoming.min(reached_by_half(&membership.outgoing, &value))",
        "incoming",
    ),
    mutation(
        "joint-form-committed",
        "the joint form is left before it is committed",
        "change.rs",
        "let settled = self.has_committed_in_term(shared) && shared.memberships.index() <= shared.commit;",
        "let settled = true;",
    ),
    mutation(
        "configuration-rollback",
        "a truncated membership stays in force",
        "history.rs",
        "self.known.retain(|(index, _)| *index < from);",
        "self.known.retain(|(index, _)| from.0 > 0 || *index < from);",
    ),
    mutation(
        "caught-up",
        "a newcomer gets its vote before it has caught up",
        "progress.rs",
        "self.keeping_up.rounds >= ROUNDS_KEPT_UP && !self.is_suspended()",
        "!self.is_suspended()",
    ),
    mutation(
        "living-quorum",
        "a change may lose the quorum of the living unasked",
        "change.rs",
        "if same || quorum::holds(target, live) {",
        "if same || quorum::holds(target, live) || timeout > 0 {",
    ),
    mutation(
        "farewell-for-certain",
        "a removed leader goes before its removal is committed",
        "change.rs",
        "if at > shared.commit || shared.membership().is_voter(shared.id) {",
        "if shared.membership().is_voter(shared.id) {",
    ),
    mutation(
        "read-after-own-commit",
        "a new leader reads before its first commit",
        "leader.rs",
        "if !self.reads.wants_round() || !self.has_committed_in_term(shared) {",
        "if !self.reads.wants_round() {",
    ),
    mutation(
        "read-round",
        "a read is served without asking whether this node still leads",
        "read.rs",
        "let round = self.round.take_if(|round| round.number <= confirmed)?;",
        "let round = self.round.take_if(|round| round.number > 0 || round.number <= confirmed)?;",
    ),
    mutation(
        "read-this-round",
        "answers to an earlier round confirm a later one",
        "leader.rs",
        "if peer.on_heartbeat_reply(read_round.min(shared.read_round), shared.config.heartbeat_ticks) {",
        "if peer.on_heartbeat_reply(read_round.max(shared.read_round), shared.config.heartbeat_ticks) {",
    ),
    mutation(
        "no-proposals-while-transferring",
        "proposals are taken while leadership is handed over",
        "leader.rs",
        "if self.transfer.is_some() {\n            return Err(Refusal::Transferring);\n        }\n        let bytes",
        "let bytes",
    ),
    mutation(
        "snapshot-of-this-term",
        "a snapshot of an older term's leader is installed",
        "raft.rs",
        "if term < self.shared.term || meta.position.term > term || from == self.shared.id {",
        "if meta.position.term > term || from == self.shared.id {",
    ),
    mutation(
        "installing-alone",
        "entries are taken while a snapshot is being installed",
        "follower.rs",
        "if shared.installing.is_some() || !is_well_formed(shared.term, prev, &entries) {",
        "if !is_well_formed(shared.term, prev, &entries) {",
    ),
    mutation(
        "suspended-counts",
        "the word of a node that lost its disk counts",
        "leader.rs",
        "self.peers.get(&id).filter(|peer| !peer.is_suspended())",
        "self.peers.get(&id)",
    ),
    mutation(
        "suspended-votes",
        "a node that lost its disk votes",
        "shared.rs",
        "remembered.is_some_and(|lost| last.up_to_date_with(lost)) && last.up_to_date_with(self.log.last())",
        "remembered.is_none_or(|lost| last.up_to_date_with(lost)) && last.up_to_date_with(self.log.last())",
    ),
    mutation(
        "readmission-fence",
        "a node that lost its votes is readmitted before an entry commits without it",
        "suspension.rs",
        "let fenced = !self.fence || commit >= self.upto;",
        "let fenced = !self.fence || commit <= self.upto || commit > self.upto;",
    ),
    mutation(
        "unfit-leads",
        "a leader that can't read what the others lack stays",
        "raft.rs",
        "if unfit && self.role() != RoleKind::Follower {",
        "if unfit && self.shared.term.0 == 0 {",
    ),
    mutation(
        "unfit-stands",
        "a node that can't read what the others lack stands for election",
        "shared.rs",
        "self.removed.is_none() && !self.unfit;",
        "self.removed.is_none();",
    ),
];

/// What noticed that a guard was off.
#[derive(Debug, Default)]
pub struct Caught {
    /// Scripts that went differently or broke a rule, by name.
    pub scripts: BTreeSet<String>,
    /// Other tests of the core.
    pub tests: BTreeSet<String>,
    /// Small worlds, each with the property that did not hold there.
    pub worlds: BTreeSet<String>,
}

impl Caught {
    /// Nobody noticed.
    pub fn is_nothing(&self) -> bool {
        self.scripts.is_empty() && self.tests.is_empty() && self.worlds.is_empty()
    }
}

/// The copy in which guards are turned off.
pub struct Copy {
    folder: PathBuf,
}

impl Copy {
    /// Copies both crates beside the build's other files.
    pub fn new() -> io::Result<Copy> {
        let root = root();
        let folder = root.join("target/mutations");
        if folder.join("host").exists() {
            fs::remove_dir_all(folder.join("host"))?;
            fs::remove_dir_all(folder.join("tests"))?;
        }
        for krate in ["host/raft", "tests/model"] {
            copy(&root.join(krate), &folder.join(krate))?;
        }
        for file in ["Cargo.lock", "clippy.toml", "rust-toolchain.toml"] {
            fs::copy(root.join(file), folder.join(file))?;
        }
        let manifest = fs::read_to_string(root.join("Cargo.toml"))?;
        let rest = manifest.split_once("[workspace.package]").map_or("", |(_, rest)| rest);
        let members =
            "[workspace]\nresolver = \"3\"\nmembers = [\"host/raft\", \"tests/model\"]\n\n[workspace.package]";
        // The searches are long otherwise; the asserts stay.
        let profile = "\n[profile.test]\nopt-level = 1\n";
        fs::write(folder.join("Cargo.toml"), format!("{members}{rest}{profile}"))?;
        Ok(Copy { folder })
    }

    /// Turns a guard off, and tests. An error if the copy can't be built.
    pub fn run(&self, mutation: &Mutation) -> Result<Caught, String> {
        let path = self.folder.join("host/raft/src").join(mutation.file);
        let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
        fs::write(&path, turned_off(mutation, &text)?).map_err(|error| error.to_string())?;
        let caught = self.test();
        fs::write(&path, text).map_err(|error| error.to_string())?;
        caught
    }

    /// What fails in the copy as it is.
    pub fn test(&self) -> Result<Caught, String> {
        let mut caught = Caught::default();
        let core = self.cargo(&["test", "--offline", "-q", "-p", "outboard-raft", "--no-fail-fast"])?;
        for line in core.lines() {
            if let Some(test) = line.strip_prefix("---- ").and_then(|line| line.strip_suffix(" stdout ----")) {
                caught.tests.insert(test.to_owned());
            }
            let script = line.split_once("tests/scripts/").and_then(|(_, rest)| rest.split_once(".txt"));
            caught.scripts.extend(script.map(|(name, _)| name.to_owned()));
        }
        caught.tests.remove("scripts::every_script_goes_as_it_is_told");
        let worlds =
            self.cargo(&["test", "--offline", "-q", "-p", "outboard-model", "--test", "worlds", "--no-fail-fast"])?;
        let broken = worlds.lines().filter_map(|line| line.strip_prefix("BROKEN in "));
        caught.worlds.extend(broken.map(str::to_owned));
        Ok(caught)
    }

    fn cargo(&self, words: &[&str]) -> Result<String, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut command = Command::new(cargo);
        command.args(words).current_dir(&self.folder).env("CARGO_TARGET_DIR", self.folder.join("target"));
        // A wrong guess at what is off would be told as thousands of panics' traces.
        command.env("RUST_BACKTRACE", "0").env("PROPTEST_FAILURE_PERSISTENCE", "off");
        let Output { stdout, stderr, .. } = command.output().map_err(|error| error.to_string())?;
        let text = format!("{}\n{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
        if text.contains("could not compile") || !text.contains("test result:") {
            return Err(format!("the copy can't be tested:\n{text}"));
        }
        Ok(text)
    }
}

/// The source without the guard. An error if it is not there exactly once.
pub fn turned_off(mutation: &Mutation, text: &str) -> Result<String, String> {
    let places = text.matches(mutation.guard).count();
    if places != 1 {
        return Err(format!("{}: the guard stands {places} times in {}", mutation.name, mutation.file));
    }
    Ok(text.replacen(mutation.guard, mutation.instead, 1))
}

/// The source of the core, as it is.
pub fn source(file: &str) -> io::Result<String> {
    fs::read_to_string(root().join("host/raft/src").join(file))
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    here.canonicalize().unwrap_or(here)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (from, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if from.is_dir() {
            copy(&from, &to.join(name))?;
        } else {
            fs::copy(&from, to.join(name))?;
        }
    }
    Ok(())
}
