//! What to do after an attempt: pure, so that the rule "done once" is tested without a network.

use crate::error::ClientError;
use outboard_wire::client::Response;

/// Whether the same request may be sent more than once.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Repeat {
    /// A read, or a write whose caller says that doing it twice is the same as doing it once.
    Harmless,
    /// A write with a name in a session: however often it is sent, it is done once.
    Named,
    /// A second time could change something again.
    Never,
}

/// How one attempt at one node went.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(crate) enum Outcome {
    /// The node answered.
    Answered(Response),
    /// It never left this process: why.
    NotSent(String),
    /// It was sent and the connection ended: why.
    Lost(String),
    /// It was sent and the node has been silent for longer than nodes are; the deadline is not reached.
    Silent,
    /// It was sent and the deadline is reached.
    Expired,
    /// It can't be sent as it is: why.
    Unsendable(String),
    /// The answer makes no sense: why.
    Undecodable(String),
}

/// What follows from it.
#[derive(Clone, Eq, PartialEq, Debug)]
pub(crate) enum Verdict {
    /// This is the answer.
    Done(Response),
    /// Ask again: at another node if there is one, or at the same.
    Again {
        /// Whether another node is more likely to help.
        elsewhere: bool,
        /// Whether this attempt may have done it.
        doubtful: bool,
        /// What to tell when the deadline comes first.
        why: String,
    },
    /// The session is not known any more; this attempt did nothing.
    SessionGone,
    /// This is the end.
    End(ClientError),
}

/// Judges one attempt.
pub(crate) fn judge(outcome: Outcome, repeat: Repeat, timeout_ms: u64) -> Verdict {
    let perhaps_done = |why: String| match repeat {
        Repeat::Harmless => Verdict::Again { elsewhere: true, doubtful: false, why },
        Repeat::Named => Verdict::Again { elsewhere: true, doubtful: true, why },
        Repeat::Never => Verdict::End(ClientError::Unknown(why)),
    };
    match outcome {
        Outcome::Answered(response) => judge_response(response, perhaps_done),
        Outcome::NotSent(why) => Verdict::Again { elsewhere: true, doubtful: false, why },
        Outcome::Lost(why) => perhaps_done(why),
        Outcome::Silent => perhaps_done("the node is silent".to_owned()),
        Outcome::Expired => match repeat {
            Repeat::Harmless => Verdict::End(ClientError::Timeout(timeout_ms)),
            Repeat::Named | Repeat::Never => {
                Verdict::End(ClientError::Unknown(format!("sent, but not answered within {timeout_ms} ms")))
            }
        },
        Outcome::Unsendable(why) => Verdict::End(ClientError::Invalid(why)),
        // A write behind an answer that can't be read may have been done.
        Outcome::Undecodable(why) => match repeat {
            Repeat::Harmless => Verdict::End(ClientError::Protocol(why)),
            Repeat::Named | Repeat::Never => {
                Verdict::End(ClientError::Unknown(format!("the answer can't be read: {why}")))
            }
        },
    }
}

fn judge_response(response: Response, perhaps_done: impl FnOnce(String) -> Verdict) -> Verdict {
    let again = |elsewhere, why| Verdict::Again { elsewhere, doubtful: false, why };
    match response {
        Response::NotDone(why) => again(true, why),
        Response::Overloaded => again(false, "the cluster is overloaded".to_owned()),
        Response::Unknown(why) => perhaps_done(why),
        Response::SessionGone => Verdict::SessionGone,
        Response::Forgotten => Verdict::End(ClientError::Unknown(
            "it was decided, but the answer was lost and is not kept any more".to_owned(),
        )),
        Response::WatchBroken => Verdict::End(ClientError::WatchBroken),
        Response::Rejected(why) => Verdict::End(ClientError::Rejected(why)),
        Response::Failed(why) => Verdict::End(ClientError::Failed(why)),
        Response::Invalid(why) => Verdict::End(ClientError::Invalid(why)),
        Response::UpgradeRefused(why) => Verdict::End(ClientError::Refused(why)),
        Response::ChangeRefused { reason, can_be_forced: true } => Verdict::End(ClientError::AtRisk(reason)),
        Response::ChangeRefused { reason, can_be_forced: false } => Verdict::End(ClientError::Conflict(reason)),
        Response::Forbidden(why) => Verdict::End(ClientError::Forbidden(why)),
        done @ (Response::Reply(_)
        | Response::Status(_)
        | Response::NodeStatus(_)
        | Response::Engines(_)
        | Response::Upgraded(_)
        | Response::Transferred { .. }
        | Response::Done
        | Response::Replies(_)
        | Response::Watching { .. }
        | Response::SessionOpened { .. }
        | Response::Members(_)
        | Response::Enrolled(_)
        | Response::EnrolRefused(_)
        | Response::AccessLists(_)
        | Response::Certificate { .. }) => Verdict::Done(done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_asked_again(outcome: Outcome, repeat: Repeat) -> bool {
        matches!(judge(outcome, repeat, 1_000), Verdict::Again { .. })
    }

    #[test]
    fn what_may_have_been_done_is_asked_again_only_when_twice_is_harmless_or_it_has_a_name() {
        let doubtful = [
            Outcome::Lost("gone".into()),
            Outcome::Silent,
            Outcome::Answered(Response::Unknown("the leader changed".into())),
        ];
        for outcome in doubtful {
            assert!(is_asked_again(outcome.clone(), Repeat::Harmless), "{outcome:?}");
            let named = judge(outcome.clone(), Repeat::Named, 1_000);
            assert!(matches!(named, Verdict::Again { doubtful: true, .. }), "{outcome:?}: {named:?}");
            let end = judge(outcome.clone(), Repeat::Never, 1_000);
            assert!(matches!(end, Verdict::End(ClientError::Unknown(_))), "{outcome:?}: {end:?}");
        }
    }

    #[test]
    fn what_was_not_done_is_always_asked_again_and_leaves_no_doubt() {
        let safe = [
            Outcome::NotSent("closed".into()),
            Outcome::Answered(Response::NotDone("no leader".into())),
            Outcome::Answered(Response::Overloaded),
        ];
        for outcome in safe {
            for repeat in [Repeat::Harmless, Repeat::Named, Repeat::Never] {
                let verdict = judge(outcome.clone(), repeat, 1_000);
                assert!(matches!(verdict, Verdict::Again { doubtful: false, .. }), "{outcome:?}");
            }
        }
    }

    #[test]
    fn an_unreadable_answer_or_none_leaves_a_write_in_doubt_and_a_read_not() {
        for outcome in [Outcome::Expired, Outcome::Undecodable("version 9".into())] {
            for repeat in [Repeat::Named, Repeat::Never] {
                let write = judge(outcome.clone(), repeat, 1_000);
                assert!(matches!(write, Verdict::End(ClientError::Unknown(_))), "{write:?}");
            }
            let read = judge(outcome, Repeat::Harmless, 1_000);
            assert!(matches!(read, Verdict::End(ClientError::Timeout(_) | ClientError::Protocol(_))), "{read:?}");
        }
    }

    #[test]
    fn a_lost_session_is_for_the_caller_to_judge_and_a_forgotten_reply_is_unknown() {
        assert_eq!(judge(Outcome::Answered(Response::SessionGone), Repeat::Named, 1_000), Verdict::SessionGone);
        let forgotten = judge(Outcome::Answered(Response::Forgotten), Repeat::Named, 1_000);
        assert!(matches!(forgotten, Verdict::End(ClientError::Unknown(_))), "{forgotten:?}");
    }

    #[test]
    fn decisions_are_final() {
        for response in [
            Response::Rejected("ERR".into()),
            Response::Failed("trap".into()),
            Response::Invalid("too long".into()),
            Response::UpgradeRefused("n2 lacks it".into()),
            Response::WatchBroken,
            Response::ChangeRefused { reason: "no majority".into(), can_be_forced: true },
            Response::Forbidden("a reader".into()),
        ] {
            let verdict = judge(Outcome::Answered(response), Repeat::Harmless, 1_000);
            assert!(matches!(verdict, Verdict::End(_)), "{verdict:?}");
        }
    }
}
