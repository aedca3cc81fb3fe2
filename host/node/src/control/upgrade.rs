//! When one engine may take over from another. Asked twice: by a leader that has applied its whole log before it proposes, to give the reason
//! at once, and by every node when the entry is applied, where the answer counts and is the same on all.

use super::Control;
use outboard_wire::client::engine_title;
use outboard_wire::command::{Digest, EngineRecord, Upgrade};

impl Control {
    /// The engine that would take over, or the reason why it may not.
    pub(crate) fn may_upgrade(&self, upgrade: &Upgrade) -> Result<&EngineRecord, String> {
        let Some(active) = &self.active else { return Err("the cluster has no engine yet".into()) };
        if active.engine.digest != upgrade.from {
            let now = engine_title(&active.engine);
            return Err(format!("the running engine is {now}, another upgrade came first"));
        }
        let Some(to) = self.engine(&upgrade.to) else {
            return Err(format!("no engine with digest {} is staged", upgrade.to.short()));
        };
        if to.digest == active.engine.digest {
            return Err(format!("{} is running already", engine_title(to)));
        }
        if !to.takes_over(active.schema) {
            let (title, writes, have) = (engine_title(to), to.schema, active.schema);
            return Err(format!(
                "{title} writes schema {writes} and does not read schema {have}, which the tables have"
            ));
        }
        self.all_voters_ready(&upgrade.to).map(|()| to)
    }

    fn all_voters_ready(&self, digest: &Digest) -> Result<(), String> {
        let mut environment = None;
        for node in &self.voters {
            let Some(vote) = self.vote_of(digest, *node) else {
                return Err(format!("{node} does not have it ready yet"));
            };
            if let Some(reason) = &vote.refusal {
                return Err(format!("{node} can't run it: {reason}"));
            }
            if *environment.get_or_insert(vote.environment) != vote.environment {
                return Err(format!("{node} runs another version of the sandbox than the others"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Active;
    use outboard_raft::NodeId;
    use outboard_wire::command::EngineVote;

    fn engine(byte: u8, schema: u32, reads_schemas: Vec<u32>) -> EngineRecord {
        let digest = Digest([byte; 32]);
        EngineRecord { digest, name: "e".into(), version: "1.0.0".into(), schema, reads_schemas, bytes: 1 }
    }

    fn ready(node: u64, byte: u8) -> EngineVote {
        EngineVote { node, digest: Digest([byte; 32]), environment: 1, refusal: None }
    }

    /// Engine 1 runs on three voters; engine 2 is staged.
    fn control(next: EngineRecord, votes: Vec<EngineVote>) -> Control {
        let running = engine(1, 1, vec![]);
        Control {
            active: Some(Active { engine: running.clone(), since: 1, schema: 1 }),
            engines: [running, next].into_iter().map(|e| (e.digest, e)).collect(),
            votes: votes.into_iter().map(|v| ((v.digest, NodeId(v.node)), v)).collect(),
            voters: [1, 2, 3].map(NodeId).into(),
            ..Control::default()
        }
    }

    fn asked(control: &Control, from: u8, to: u8) -> Result<(), String> {
        control.may_upgrade(&Upgrade { from: Digest([from; 32]), to: Digest([to; 32]) }).map(|_| ())
    }

    #[test]
    fn an_engine_that_all_voters_have_ready_and_that_reads_the_schema_may_take_over() {
        let votes = vec![ready(1, 2), ready(2, 2), ready(3, 2)];
        assert_eq!(asked(&control(engine(2, 1, vec![]), votes.clone()), 1, 2), Ok(()));
        assert_eq!(asked(&control(engine(2, 2, vec![1]), votes), 1, 2), Ok(()));
    }

    #[test]
    fn a_missing_voter_or_a_refusal_or_another_environment_stops_it_by_name() {
        let reason = |votes| asked(&control(engine(2, 1, vec![]), votes), 1, 2).expect_err("must be refused");
        assert!(reason(vec![ready(1, 2), ready(3, 2)]).contains("n2 does not have it ready"));
        let refused = EngineVote { refusal: Some("no memory".into()), ..ready(3, 2) };
        assert!(reason(vec![ready(1, 2), ready(2, 2), refused]).contains("n3 can't run it: no memory"));
        let other = EngineVote { environment: 2, ..ready(3, 2) };
        assert!(reason(vec![ready(1, 2), ready(2, 2), other]).contains("another version of the sandbox"));
    }

    #[test]
    fn a_foreign_schema_an_outdated_from_and_the_running_engine_are_refused() {
        let votes = vec![ready(1, 2), ready(2, 2), ready(3, 2)];
        let foreign = control(engine(2, 7, vec![6]), votes.clone());
        assert!(asked(&foreign, 1, 2).expect_err("schema").contains("does not read schema 1"));
        let fine = control(engine(2, 1, vec![]), votes);
        assert!(asked(&fine, 2, 2).expect_err("from").contains("another upgrade came first"));
        assert!(asked(&fine, 1, 1).expect_err("same").contains("is running already"));
        assert!(asked(&fine, 1, 9).expect_err("unknown").contains("is staged"));
    }
}
