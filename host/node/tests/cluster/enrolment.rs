//! Who comes in, what each may do, and how nodes and clients go.

use crate::world::World;
use bytes::Bytes;
use outboard_client::{Client, ClientError, Context, Options};
use outboard_net::{Authority, Credentials, JoinError, JoinRefusal, Principal, Serial, Validity};
use outboard_node::HaltKind;
use outboard_node::enrolment::EnrolError;
use outboard_wire::access::{AccessCommand, Enrols, MemberChange, Role, Wish};
use outboard_wire::client::{Answer, Consistency, Request, RequestBody, Response};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::task::JoinSet;

const VOTER: Enrols = Enrols::Node(Wish::Voter);

fn command(words: &[&str]) -> RequestBody {
    let arguments = words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    RequestBody::Command { arguments, consistency: Consistency::Linearizable, id: None }
}

fn number(response: Response) -> i64 {
    let Response::Reply(reply) = response else { panic!("no number: {response:?}") };
    let text = std::str::from_utf8(&reply).expect("text");
    text.trim_start_matches(':').trim_end().parse().expect("a number")
}

fn refusal(error: EnrolError) -> JoinRefusal {
    match error {
        EnrolError::Join(JoinError::Refused(why)) => why,
        other => panic!("not refused: {other}"),
    }
}

#[tokio::test]
async fn a_cluster_of_one_grows_to_three_by_a_token_and_shrinks_to_one_and_counts_on() {
    let mut world = World::start(1, outboard_embedded::KV).await;
    assert_eq!(number(world.ask(1, &["INCR", "k"]).await), 1);
    let token = world.token(VOTER, 2).await;
    assert_eq!(world.join(1, &token).await.expect("let in"), 2);
    world.until_voters(&[1, 2]).await;
    assert_eq!(number(world.ask(2, &["INCR", "k"]).await), 2);
    // Through the newcomer, which may not sign yet and has it done by one that does.
    assert_eq!(world.join(2, &token).await.expect("let in"), 3);
    world.until_voters(&[1, 2, 3]).await;
    assert_eq!(number(world.ask(3, &["INCR", "k"]).await), 3);
    world.assert_equal_states().await;
    // All by themselves, and over a restart of all.
    for node in [1, 2, 3] {
        world.stop(node);
    }
    for node in [2, 3, 1] {
        world.restart(node).await;
    }
    assert_eq!(number(world.ask(1, &["INCR", "k"]).await), 4);
    // The founder goes; whether it leads or not.
    assert_eq!(world.change(MemberChange::Remove { node: 1 }, false).await, Response::Done);
    let halt = world.until_ended(1).await;
    assert_eq!(halt.kind, HaltKind::Removed, "{halt}");
    assert_eq!(number(world.ask(2, &["INCR", "k"]).await), 5);
    assert!(world.try_restart(1).is_err_and(|error| error.to_string().contains("was removed")));
    assert_eq!(world.change(MemberChange::Remove { node: 3 }, false).await, Response::Done);
    assert_eq!(world.until_ended(3).await.kind, HaltKind::Removed);
    world.until_voters(&[2]).await;
    assert_eq!(number(world.ask(2, &["INCR", "k"]).await), 6);
}

#[tokio::test]
async fn a_node_that_was_away_when_it_was_removed_hears_it_when_it_comes_back() {
    let mut world = World::start(3, outboard_embedded::KV).await;
    world.ask(1, &["SET", "k", "v"]).await;
    world.kill(3);
    assert_eq!(world.change(MemberChange::Remove { node: 3 }, false).await, Response::Done);
    world.restart(3).await;
    let halt = world.until_ended(3).await;
    assert_eq!(halt.kind, HaltKind::Removed, "{halt}");
    let again = world.change(MemberChange::Remove { node: 3 }, false).await;
    assert!(matches!(&again, Response::ChangeRefused { reason, .. } if reason.contains("was removed")), "{again:?}");
}

#[tokio::test]
async fn a_learner_takes_a_voters_place_and_a_change_without_a_living_majority_is_refused_unless_forced() {
    let mut world = World::start(3, outboard_embedded::KV).await;
    world.ask(1, &["SET", "k", "v"]).await;
    let token = world.token(Enrols::Node(Wish::Learner), 1).await;
    assert_eq!(world.join(2, &token).await.expect("let in"), 4);
    world.until_voters(&[1, 2, 3]).await;
    assert_eq!(world.change(MemberChange::Replace { old: 3, new: 4 }, false).await, Response::Done);
    assert_eq!(world.until_ended(3).await.kind, HaltKind::Removed);
    world.until_voters(&[1, 2, 4]).await;
    assert_eq!(world.change(MemberChange::Demote { node: 4 }, false).await, Response::Done);
    world.until_voters(&[1, 2]).await;
    assert_eq!(world.change(MemberChange::Promote { node: 4 }, false).await, Response::Done);
    world.until_voters(&[1, 2, 4]).await;
    // Of three voters one is silent: the majority of two would be both.
    let leader = world.leader().await;
    let others: Vec<u64> = [1, 2, 4].into_iter().filter(|node| *node != leader).collect();
    world.kill(others[0]);
    let deadline = Instant::now() + Duration::from_secs(30);
    while world.members().await.iter().any(|member| member.node == others[0] && member.heard) {
        assert!(Instant::now() < deadline, "the killed node is still heard");
    }
    let refused = world.change(MemberChange::Remove { node: others[1] }, false).await;
    let says = |reason: &str| reason.contains("silent") && reason.contains(&format!("n{}", others[0]));
    assert!(matches!(&refused, Response::ChangeRefused { reason, can_be_forced: true } if says(reason)), "{refused:?}");
    assert_eq!(world.change(MemberChange::Remove { node: others[0] }, false).await, Response::Done);
}

#[tokio::test]
async fn a_token_lets_in_whom_it_says_once_and_nobody_by_another_way() {
    let mut world = World::start(1, outboard_embedded::KV).await;
    let other = World::start(1, outboard_embedded::KV).await;
    world.ask(1, &["SET", "k", "v"]).await;
    let token = world.token(VOTER, 1).await;
    // The same line again goes on with the same key.
    world.try_join(1, &token, "a").await.expect("let in");
    world.try_join(1, &token, "a").await.expect("let in again");
    assert_eq!(refusal(world.try_join(1, &token, "b").await.expect_err("used up")), JoinRefusal::UsedUp);
    let unknown = outboard_net::Token::generate(token.enrols(), token.pin());
    let refused = refusal(world.try_join(1, &unknown, "b").await.expect_err("unknown"));
    assert_eq!(refused, JoinRefusal::UnknownToken);
    let elsewhere = other.try_join(1, &token, "b").await.expect_err("another cluster");
    assert!(matches!(elsewhere, EnrolError::Join(JoinError::WrongAuthority { .. })), "{elsewhere}");
    let client = world.token(Enrols::Client(Role::Reader), 1).await;
    assert!(world.try_join(1, &client, "c").await.is_err(), "a client's token makes no node");
}

#[tokio::test]
async fn a_client_may_do_what_its_role_says_and_is_cut_off_at_once_when_it_is_revoked() {
    let mut world = World::start(1, outboard_embedded::KV).await;
    world.ask(1, &["SET", "k", "v"]).await;
    let token = world.token(Enrols::Client(Role::Reader), 1).await;
    let ana = world.join_client(1, &token, "ana").await.expect("let in");
    assert_eq!(world.ask_as(&ana, 1, command(&["GET", "k"])).await, Ok(Response::Reply("$1\r\nv\r\n".into())));
    let refused = world.ask_as(&ana, 1, command(&["SET", "k", "w"])).await;
    assert!(matches!(&refused, Ok(Response::Forbidden(why)) if why.contains("ana is a reader")), "{refused:?}");
    let role = AccessCommand::ClientRole { name: "ana".into(), role: Role::Writer };
    assert!(matches!(world.ask_as(&ana, 1, RequestBody::Access(role.clone())).await, Ok(Response::Forbidden(_))));
    assert_eq!(world.raw(1, RequestBody::Access(role)).await, Response::Done);
    assert_eq!(world.ask_as(&ana, 1, command(&["SET", "k", "w"])).await, Ok(Response::Reply("+OK\r\n".into())));
    let standing = world.connect_as(&ana, 1).await;
    let revoke = AccessCommand::ClientRevoke { name: "ana".into() };
    assert_eq!(world.raw(1, RequestBody::Access(revoke)).await, Response::Done);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !standing.is_closed() {
        assert!(Instant::now() < deadline, "the revoked client's connection stands");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let refused = world.ask_as(&ana, 1, command(&["GET", "k"])).await.expect_err("cut off");
    assert!(refused.contains("revoked"), "{refused}");
}

#[tokio::test]
async fn a_right_that_is_given_or_taken_holds_with_the_next_request() {
    let mut world = World::start(1, outboard_embedded::KV).await;
    world.ask(1, &["SET", "k", "v"]).await;
    let token = world.token(Enrols::Client(Role::Reader), 1).await;
    let ana = world.join_client(1, &token, "ana").await.expect("let in");
    let standing = world.connect_as(&ana, 1).await;
    for round in 0..100 {
        let role = if round % 2 == 0 { Role::Writer } else { Role::Reader };
        let command_of_the_admin = AccessCommand::ClientRole { name: "ana".into(), role };
        assert_eq!(world.raw(1, RequestBody::Access(command_of_the_admin)).await, Response::Done);
        let request = Request { timeout_ms: 20_000, body: command(&["SET", "k", "w"]) };
        let answer = standing.request(request.encode().into()).await.expect("answered");
        let response = Answer::decode(&answer).expect("readable").response;
        assert_eq!(matches!(response, Response::Reply(_)), role == Role::Writer, "round {round}: {response:?}");
    }
}

#[tokio::test]
async fn who_is_signed_by_the_authority_and_unknown_to_the_cluster_may_do_nothing() {
    let mut world = World::start(1, outboard_embedded::KV).await;
    world.ask(1, &["SET", "k", "v"]).await;
    let authority = Authority::load(&world.dir(1).join("ca")).expect("a node that signs");
    let eve = authority.issue_client("eve").expect("signed");
    for body in [command(&["GET", "k"]), RequestBody::Status, RequestBody::MemberList, RequestBody::AccessLists] {
        let refused = world.ask_as(&eve, 1, body).await;
        assert!(matches!(&refused, Ok(Response::Forbidden(why)) if why.contains("no role")), "{refused:?}");
    }
}

#[tokio::test]
async fn a_node_s_certificate_is_renewed_by_itself_while_its_connections_stand() {
    let mut world = World::start(1, outboard_embedded::KV).await;
    world.ask(1, &["SET", "k", "v"]).await;
    world.stop(1);
    let home = world.dir(1).join("identity");
    let authority = Authority::load(&world.dir(1).join("ca")).expect("a node that signs");
    let day = Duration::from_secs(24 * 3_600);
    let validity = Validity { from: SystemTime::now() - 80 * day, until: SystemTime::now() + 10 * day };
    let old = authority.issue(Principal::Node(outboard_raft::NodeId(1)), validity).expect("signed");
    old.save(&home).expect("saved");
    world.restart(1).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    while Credentials::load(&home).is_ok_and(|now| now.serial() == old.serial()) {
        assert!(Instant::now() < deadline, "not renewed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let new = Credentials::load(&home).expect("whole");
    assert_eq!(new.key_pem(), old.key_pem());
    assert!(new.valid_until() > SystemTime::now() + 80 * day);
    assert_eq!(world.ask(1, &["GET", "k"]).await, Response::Reply("$1\r\nv\r\n".into()));
}

#[tokio::test]
async fn the_authority_outlives_a_founder_that_is_removed_as_soon_as_another_node_votes() {
    let mut world = World::start(1, outboard_embedded::KV).await;
    world.ask(1, &["SET", "k", "v"]).await;
    let token = world.token(VOTER, 2).await;
    world.join(1, &token).await.expect("let in");
    world.until_voters(&[1, 2]).await;
    let answer = world.change(MemberChange::Remove { node: 1 }, false).await;
    // A leader that leaves may be gone before its answer has been passed on.
    assert!(matches!(answer, Response::Done | Response::Unknown(_)), "{answer:?}");
    assert_eq!(world.until_ended(1).await.kind, HaltKind::Removed);
    assert!(!world.dir(1).join("ca").exists());
    // The only one that is left signs.
    world.join(2, &token).await.expect("let in");
    world.until_voters(&[2, 3]).await;
}

#[tokio::test]
async fn the_authority_comes_to_whoever_gets_a_vote_and_leaves_whoever_loses_it() {
    let mut world = World::start(1, outboard_embedded::KV).await;
    world.ask(1, &["SET", "k", "v"]).await;
    let (voter, learner) = (world.token(VOTER, 1).await, world.token(Enrols::Node(Wish::Learner), 1).await);
    world.join(1, &voter).await.expect("let in");
    world.join(1, &learner).await.expect("let in");
    world.until_voters(&[1, 2]).await;
    until_signs(&world, 2, true).await;
    assert!(!world.dir(3).join("ca").exists(), "a learner has the authority");
    assert_eq!(world.change(MemberChange::Promote { node: 3 }, false).await, Response::Done);
    until_signs(&world, 3, true).await;
    world.until_voters(&[1, 2, 3]).await;
    assert_eq!(world.change(MemberChange::Demote { node: 3 }, false).await, Response::Done);
    until_signs(&world, 3, false).await;
    // What it lacks it has done by others.
    let token = world.token(Enrols::Client(Role::Reader), 1).await;
    world.join_client(3, &token, "ana").await.expect("let in");
    assert_eq!(world.change(MemberChange::Remove { node: 2 }, false).await, Response::Done);
    assert_eq!(world.until_ended(2).await.kind, HaltKind::Removed);
    assert!(!world.dir(2).join("ca").exists() && world.dir(1).join("ca").exists());
}

async fn until_signs(world: &World, node: u64, signs: bool) {
    until(&format!("n{node} to sign: {signs}"), || Authority::is_kept_in(&world.dir(node).join("ca")) == signs).await;
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Credentials whose time is two thirds over so long from now.
fn due_in(authority: &Authority, principal: Principal, left: Duration) -> Credentials {
    let gone = Duration::from_secs(100);
    let from = SystemTime::now() - gone;
    authority.issue(principal, Validity { from, until: from + (gone + left) * 3 / 2 }).expect("signed")
}

fn serial(home: &Path) -> Option<Serial> {
    // In the middle of a renewal its three files may not fit.
    Credentials::load(home).ok().map(|credentials| credentials.serial())
}

/// Connections that were made by and to these nodes.
fn connections(world: &World) -> Vec<[u64; 5]> {
    let counted = |node| {
        let counters = world.node(node).counters();
        let peers = [counters.peers_accepted, counters.peers_connected, counters.reconnects];
        [peers[0], peers[1], peers[2], counters.clients_accepted, counters.connections_open]
    };
    world.running().into_iter().map(counted).collect()
}

#[tokio::test]
async fn certificates_of_a_node_and_of_a_client_are_renewed_under_load_and_not_one_connection_is_made_anew() {
    const SOON: Duration = Duration::from_secs(3);
    let mut world = World::start(3, outboard_embedded::KV).await;
    world.ask(1, &["SET", "count", "0"]).await;
    let authority = Authority::load(&world.dir(1).join("ca")).expect("a node that signs");
    world.stop(3);
    let home = world.dir(3).join("identity");
    due_in(&authority, Principal::Node(outboard_raft::NodeId(3)), SOON).save(&home).expect("writable");
    world.restart(3).await;
    let shown = due_in(&authority, Principal::Client { name: "admin".to_owned() }, SOON);
    let endpoints = world.running().into_iter().map(|node| world.node(node).address().to_string()).collect();
    let client = Client::new(&Context::new(endpoints, shown.clone()), Options::default()).expect("a client");
    let load = Load::start(&client);
    world.assert_equal_states().await;
    load.wait_for_more(100).await;
    let (before, old) = (connections(&world), serial(&home));
    until("a client's certificate that is due", || client.renewal_due()).await;
    let renewed = client.renew().await.expect("somebody signs");
    assert_ne!(renewed.serial(), shown.serial());
    assert!(!client.renewal_due());
    let deadline = Instant::now() + Duration::from_secs(60);
    while serial(&home).is_none_or(|now| Some(now) == old) {
        assert!(Instant::now() < deadline, "n3's certificate is not renewed");
        // A node looks at its certificate when something of the cluster changes, and now and then.
        world.token(VOTER, 1).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    load.wait_for_more(100).await;
    assert_eq!(connections(&world), before);
    let (done, errors) = load.finish().await;
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(client.incr("count").await.expect("it serves"), done + 1);
}

/// Increments by several tasks over one client's connection.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicI64>,
    tasks: JoinSet<Result<(), ClientError>>,
}

impl Load {
    fn start(client: &Client) -> Load {
        let (stop, done, mut tasks) = (Arc::<AtomicBool>::default(), Arc::<AtomicI64>::default(), JoinSet::new());
        for _ in 0..8 {
            let (client, stop, done) = (client.clone(), stop.clone(), done.clone());
            tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    client.incr("count").await?;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            });
        }
        Load { stop, done, tasks }
    }

    async fn wait_for_more(&self, more: i64) {
        let before = self.done.load(Ordering::Relaxed);
        until("increments", || self.done.load(Ordering::Relaxed) >= before + more).await;
    }

    async fn finish(mut self) -> (i64, Vec<ClientError>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut errors = Vec::new();
        while let Some(ended) = self.tasks.join_next().await {
            errors.extend(ended.expect("counting doesn't panic").err());
        }
        (self.done.load(Ordering::Relaxed), errors)
    }
}

#[tokio::test]
async fn where_nobody_signs_a_join_and_a_renewal_are_told_so_and_both_go_on_once_somebody_does() {
    let mut world = World::start(3, outboard_embedded::KV).await;
    world.ask(1, &["SET", "k", "v"]).await;
    let authority = Authority::load(&world.dir(1).join("ca")).expect("a node that signs");
    let home = world.dir(1).join("identity");
    for node in [1, 2, 3] {
        world.stop(node);
        Authority::forget(&world.dir(node).join("ca")).expect("it was there");
    }
    // Due for long, and not over yet.
    let day = Duration::from_secs(24 * 3_600);
    let validity = Validity { from: SystemTime::now() - 80 * day, until: SystemTime::now() + 10 * day };
    let old = authority.issue(Principal::Node(outboard_raft::NodeId(1)), validity).expect("signed");
    old.save(&home).expect("writable");
    for node in [1, 2, 3] {
        world.restart(node).await;
    }
    world.assert_equal_states().await;
    let token = world.token(VOTER, 1).await;
    let refused = world.try_join(1, &token, "newcomer").await.expect_err("nobody signs");
    assert!(refused.is_passing() && refused.to_string().contains("holds the authority's key"), "{refused}");
    assert_eq!(world.members().await.len(), 3, "somebody was enrolled who can't get a certificate");
    let client = world.client();
    let refused = client.renew().await.expect_err("nobody signs");
    let says = |why: &str| why.contains("no certificate was signed") && why.contains("holds the authority's key");
    assert!(matches!(&refused, ClientError::Conflict(why) if says(why)), "{refused:?}");
    assert_eq!(serial(&home), Some(old.serial()));
    assert_eq!(world.ask(1, &["GET", "k"]).await, Response::Reply("$1\r\nv\r\n".into()));
    // The key comes back to one of them, and from there to all.
    world.stop(2);
    authority.save(&world.dir(2).join("ca")).expect("writable");
    world.restart(2).await;
    until_signs(&world, 1, true).await;
    // A voter that was told by all that they don't sign either asks again when something of the cluster changes, and now and then.
    world.token(VOTER, 1).await;
    until_signs(&world, 3, true).await;
    until("a renewal", || serial(&home).is_some_and(|now| now != old.serial())).await;
    client.renew().await.expect("somebody signs");
    world.try_join(1, &token, "newcomer").await.expect("let in");
}

#[tokio::test]
async fn a_program_that_runs_for_weeks_keeps_its_context_renewed() {
    let mut world = World::start(1, outboard_embedded::KV).await;
    world.ask(1, &["SET", "k", "v"]).await;
    let authority = Authority::load(&world.dir(1).join("ca")).expect("a node that signs");
    let due = due_in(&authority, Principal::Client { name: "admin".to_owned() }, Duration::ZERO);
    let path = world.dir(1).with_file_name("program.toml");
    let context = Context::new(vec![world.node(1).address().to_string()], due.clone());
    context.save(&path).expect("writable");
    let client = Client::new(&context, Options::default()).expect("a client");
    let keeper = tokio::spawn(client.keep_renewed(&path, |what| panic!("{what}")));
    let kept = || Context::load_file(&path).expect("whole");
    until("a renewed context", || kept().credentials.serial() != due.serial()).await;
    assert!(!client.renewal_due());
    assert_eq!(kept().endpoints, context.endpoints);
    assert_eq!(client.get("k").await.expect("it serves").as_deref(), Some(&b"v"[..]));
    assert!(!keeper.is_finished());
    keeper.abort();
}

#[tokio::test]
async fn a_token_is_unknown_only_where_somebody_leads_who_knows() {
    let mut world = World::start(3, outboard_embedded::KV).await;
    world.ask(1, &["SET", "k", "v"]).await;
    let good = world.token(VOTER, 1).await;
    let unknown = outboard_net::Token::generate(good.enrols(), good.pin());
    for node in [1, 2, 3] {
        let refused = world.try_join(node, &unknown, "guesser").await.expect_err("nobody made it");
        assert_eq!(refusal(refused), JoinRefusal::UnknownToken);
    }
    world.kill(2);
    world.kill(3);
    world.until(1, "without a leader", |status| status.leader.is_none()).await;
    // Alone it can't tell: whoever leads elsewhere may have made it a moment ago.
    let refused = world.try_join(1, &unknown, "guesser").await.expect_err("nobody leads");
    assert!(refused.is_passing(), "{refused}");
}
