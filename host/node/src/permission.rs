//! Which request which client may make: looked up by the name in its certificate, with each request, at the node that it asks. What a node
//! passes on was judged there; nodes believe each other.
//!
//! | role | may |
//! | --- | --- |
//! | everyone who is known | ask how the cluster, its nodes, engines and members are; have its certificate renewed |
//! | reader | commands that read |
//! | writer | also commands that write, transactions, watches |
//! | operator | change the members, hand leadership over |
//! | deployer | push and upgrade engines |
//! | admin | all of it; tokens, roles of others, revocations |
//!
//! Sessions are the reader's too: they change nothing, and a client that doesn't know an engine's commands asks for one. Tests: below;
//! the table of attempts and answers, against real nodes: `tests/processes/access/`.

use crate::control::Control;
use bytes::Bytes;
use outboard_net::Principal;
use outboard_sandbox::Component;
use outboard_wire::access::{AccessCommand, Role};
use outboard_wire::client::RequestBody;

/// Who may do something.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
enum Needs {
    /// Whoever has a role at all.
    Any,
    /// One of these; an admin too.
    One(&'static [Role]),
    /// No client: nodes ask each other.
    Node,
}

/// The words of the refusal if the asker may not do this.
pub(crate) fn refusal(
    control: &Control,
    component: Option<&Component>,
    asker: &Principal,
    body: &RequestBody,
) -> Option<String> {
    let needs = needs(body, component);
    judge(control, asker, needs, || what(body, component))
}

/// As [`refusal`], for a component on its way to the cluster.
pub(crate) fn push_refusal(control: &Control, asker: &Principal) -> Option<String> {
    judge(control, asker, DEPLOY, || "push an engine")
}

const READ: Needs = Needs::One(&[Role::Reader, Role::Writer]);
const WRITE: Needs = Needs::One(&[Role::Writer]);
const OPERATE: Needs = Needs::One(&[Role::Operator]);
const DEPLOY: Needs = Needs::One(&[Role::Deployer]);
const ADMINISTER: Needs = Needs::One(&[]);

/// `what` is only put in words for a refusal.
fn judge(control: &Control, asker: &Principal, needs: Needs, what: impl FnOnce() -> &'static str) -> Option<String> {
    let (name, role) = match asker {
        Principal::Client { name } => match control.permissions.role_of(name) {
            Some(role) => (name, role),
            None => return Some(format!("{name} has no role in this cluster, so it may not {}", what())),
        },
        // A node that dials as a client may look.
        Principal::Node(_) if needs == Needs::Any => return None,
        Principal::Node(node) => return Some(format!("{node} is a node and not a client, so it may not {}", what())),
    };
    match needs {
        Needs::Any => None,
        Needs::One(_) if role == Role::Admin => None,
        Needs::One(roles) if roles.contains(&role) => None,
        Needs::One(roles) => {
            let able: Vec<String> = roles.iter().map(|role| with_article(role.name())).collect();
            let able = if able.is_empty() { String::new() } else { format!("{} or ", able.join(", ")) };
            let is = with_article(role.name());
            Some(format!("{name} is {is} and may not {}: that takes {able}an admin", what()))
        }
        Needs::Node => Some(format!("no client may {}", what())),
    }
}

fn with_article(word: &str) -> String {
    if word.starts_with(['a', 'o']) { format!("an {word}") } else { format!("a {word}") }
}

fn needs(body: &RequestBody, component: Option<&Component>) -> Needs {
    match body {
        // What this node doesn't know may be a write to another node, whose engine is newer.
        RequestBody::Command { arguments, .. } => match writes(arguments, component) {
            Some(false) => READ,
            Some(true) | None => WRITE,
        },
        RequestBody::Transaction { .. } | RequestBody::Watch { .. } | RequestBody::Unwatch { .. } => WRITE,
        RequestBody::SessionOpen | RequestBody::SessionClose { .. } => READ,
        RequestBody::Status
        | RequestBody::NodeStatus
        | RequestBody::EngineList
        | RequestBody::MemberList
        | RequestBody::Renew { .. } => Needs::Any,
        RequestBody::EngineUpgrade { .. } => DEPLOY,
        RequestBody::LeaderTransfer { .. } | RequestBody::MemberChange { .. } => OPERATE,
        RequestBody::Access(command) => match command {
            AccessCommand::MemberForget { .. } => OPERATE,
            AccessCommand::TokenCreate(_)
            | AccessCommand::TokenRevoke { .. }
            | AccessCommand::ClientRole { .. }
            | AccessCommand::ClientRevoke { .. } => ADMINISTER,
            AccessCommand::Enrol(_) => Needs::Node,
        },
        RequestBody::AccessLists => ADMINISTER,
        RequestBody::Control { .. } => Needs::Node,
    }
}

/// Whether a command writes, if this node knows it.
fn writes(arguments: &[Bytes], component: Option<&Component>) -> Option<bool> {
    component?.command(arguments.first()?).map(|spec| spec.writes)
}

fn what(body: &RequestBody, component: Option<&Component>) -> &'static str {
    match body {
        RequestBody::Command { arguments, .. } => match writes(arguments, component) {
            Some(true) => "run a command that writes",
            Some(false) => "run a command that reads",
            None => "run a command that is not known to read only",
        },
        RequestBody::Transaction { .. } => "run transactions",
        RequestBody::Watch { .. } | RequestBody::Unwatch { .. } => "watch keys",
        RequestBody::SessionOpen | RequestBody::SessionClose { .. } => "open sessions",
        RequestBody::Status | RequestBody::NodeStatus => "see the cluster's status",
        RequestBody::EngineList => "list the engines",
        RequestBody::MemberList => "list the members",
        RequestBody::Renew { .. } => "renew a certificate",
        RequestBody::EngineUpgrade { .. } => "upgrade the engine",
        RequestBody::LeaderTransfer { .. } => "hand leadership over",
        RequestBody::MemberChange { .. } => "change the members",
        RequestBody::Access(command) => match command {
            AccessCommand::MemberForget { .. } => "change the members",
            AccessCommand::TokenCreate(_) | AccessCommand::TokenRevoke { .. } => "make or revoke tokens",
            AccessCommand::ClientRole { .. } | AccessCommand::ClientRevoke { .. } => "change what clients may do",
            AccessCommand::Enrol(_) => "enrol others",
        },
        RequestBody::AccessLists => "list tokens and clients",
        RequestBody::Control { .. } => "change the control state",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use outboard_sandbox::{Limits, Sandbox};
    use outboard_wire::access::{Enrolment, Enrols, MemberChange, TokenSpec, Wish};
    use outboard_wire::client::Consistency;
    use std::sync::Arc;

    /// A cluster with a client of each role, called by its role, and one that is revoked.
    fn control() -> Control {
        use outboard_store::{MemoryStore, Store, Transaction};
        let store = MemoryStore::new();
        let mut txn = Transaction::new(store.view());
        let mut control = Control::default();
        let directory = Arc::make_mut(&mut control.directory);
        let permissions = Arc::make_mut(&mut control.permissions);
        let names = Role::ALL.iter().map(|role| (format!("a-{role}"), *role)).chain([("gone".into(), Role::Writer)]);
        for (number, (name, role)) in (1..).zip(names) {
            let spec = TokenSpec { id: number, verifier: [0; 32], enrols: Enrols::Client(role), lasts_ms: 9, uses: 1 };
            permissions.token_create(&spec, 0, &mut txn).expect("memory");
            let enrolment = Enrolment { token: number, key: [1; 32], name, address: String::new() };
            permissions.enrol(&enrolment, 0, directory, &mut txn).expect("memory");
        }
        permissions.client_revoke("gone", &mut txn).expect("memory");
        control
    }

    fn kv() -> Arc<Component> {
        Sandbox::new(Limits::default(), None).expect("a sandbox").admit(outboard_embedded::KV).expect("an engine")
    }

    fn command(words: &[&str]) -> RequestBody {
        let arguments = words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
        RequestBody::Command { arguments, consistency: Consistency::Linearizable, id: None }
    }

    /// One of each kind, and who may: R(eader), W(riter), O(perator), D(eployer), A(dmin).
    fn table() -> Vec<(RequestBody, &'static str)> {
        let spec = TokenSpec { id: 1, verifier: [0; 32], enrols: Enrols::Node(Wish::Voter), lasts_ms: 1, uses: 1 };
        let enrolment = Enrolment { token: 1, key: [0; 32], name: String::new(), address: String::new() };
        let name = || "a-reader".to_owned();
        let change = MemberChange::Remove { node: 1 };
        vec![
            (command(&["GET", "k"]), "RWA"),
            (command(&["SET", "k", "v"]), "WA"),
            (command(&["NOSUCH"]), "WA"),
            (RequestBody::Transaction { commands: vec![], watcher: None, id: None }, "WA"),
            (RequestBody::Watch { watcher: None, keys: vec![] }, "WA"),
            (RequestBody::Unwatch { watcher: 1 }, "WA"),
            (RequestBody::SessionOpen, "RWA"),
            (RequestBody::SessionClose { session: 1 }, "RWA"),
            (RequestBody::Status, "RWODA"),
            (RequestBody::NodeStatus, "RWODA"),
            (RequestBody::EngineList, "RWODA"),
            (RequestBody::MemberList, "RWODA"),
            (RequestBody::Renew { request: Bytes::new() }, "RWODA"),
            (RequestBody::EngineUpgrade { digest: String::new() }, "DA"),
            (RequestBody::LeaderTransfer { to: None }, "OA"),
            (RequestBody::MemberChange { change, forced: true, dry_run: true }, "OA"),
            (RequestBody::Access(AccessCommand::MemberForget { node: 1 }), "OA"),
            (RequestBody::Access(AccessCommand::TokenCreate(spec)), "A"),
            (RequestBody::Access(AccessCommand::TokenRevoke { id: 1 }), "A"),
            (RequestBody::Access(AccessCommand::ClientRole { name: name(), role: Role::Admin }), "A"),
            (RequestBody::Access(AccessCommand::ClientRevoke { name: name() }), "A"),
            (RequestBody::Access(AccessCommand::Enrol(enrolment)), ""),
            (RequestBody::AccessLists, "A"),
            (RequestBody::Control { command: Bytes::new() }, ""),
        ]
    }

    #[test]
    fn each_role_may_do_what_the_table_says_and_nothing_else() {
        let (control, kv) = (control(), kv());
        for (body, able) in table() {
            for role in Role::ALL {
                let asker = Principal::Client { name: format!("a-{role}") };
                let letter = role.name().to_ascii_uppercase().chars().next().expect("roles have names");
                let refused = refusal(&control, Some(&kv), &asker, &body);
                assert_eq!(refused.is_none(), able.contains(letter), "{role} {body:?}: {refused:?}");
            }
        }
    }

    #[test]
    fn who_is_unknown_or_revoked_or_a_node_gets_nothing_done() {
        let (control, kv) = (control(), kv());
        let client = |name: &str| Principal::Client { name: name.into() };
        for (body, able) in table() {
            for asker in [client("eve"), client("gone"), client(""), client("A-ADMIN")] {
                assert!(refusal(&control, Some(&kv), &asker, &body).is_some(), "{asker} {body:?}");
            }
            let node = Principal::Node(outboard_raft::NodeId(1));
            assert_eq!(refusal(&control, Some(&kv), &node, &body).is_none(), able == "RWODA", "{body:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_is_refused_and_who_may() {
        let (control, kv) = (control(), kv());
        let told = |role: Role, body: RequestBody| {
            let asker = Principal::Client { name: format!("a-{role}") };
            refusal(&control, Some(&kv), &asker, &body).expect("not its own")
        };
        for (role, body, says) in [
            (
                Role::Reader,
                RequestBody::AccessLists,
                "a reader and may not list tokens and clients: that takes an admin",
            ),
            (Role::Reader, command(&["SET"]), "may not run a command that writes: that takes a writer or an admin"),
            (
                Role::Reader,
                command(&["GTE"]),
                "may not run a command that is not known to read only: that takes a writer or",
            ),
            (
                Role::Operator,
                command(&["GET"]),
                "an operator and may not run a command that reads: that takes a reader, a writer or",
            ),
        ] {
            assert!(told(role, body).contains(says), "{says}");
        }
    }

    #[test]
    fn only_a_deployer_and_an_admin_push() {
        let able: Vec<Role> = Role::ALL
            .into_iter()
            .filter(|role| push_refusal(&control(), &Principal::Client { name: format!("a-{role}") }).is_none())
            .collect();
        assert_eq!(able, [Role::Deployer, Role::Admin]);
    }
}
